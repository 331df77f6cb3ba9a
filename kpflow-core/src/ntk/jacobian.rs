//! The Jacobians from the parameters to the state.

use super::forms::weight_place;
use super::sandwich::{pull_back, push_forward};
use super::waves::wave_len;
use crate::machine::Machine;
use crate::model::{Linearization, Mode, Sweep};
use crate::operator::require;
use crate::{BlockMut, BlockRef, LinearOperator, Scalar, Shape};

/// The parameter Jacobian: `J = ∂F/∂θ` (immediate) or `P J = dz/dθ` (total).
///
/// **Shapes**: `[1, 1, n_θ]` to `[B, T, N]`. θ is every weight in the graph's order, its matrix row by row and then its bias.
/// On several processes θ is replicated and the adjoint is summed. **Cost**: one injection and one sweep.
#[derive(Clone, Copy)]
pub struct ParameterJacobian<'a, T, M> {
    lin: &'a Linearization<'a, T>,
    machine: &'a M,
    mode: Mode,
}

impl<'a, T: Scalar, M: Machine<T>> ParameterJacobian<'a, T, M> {
    /// J: what the weights move at once.
    pub fn immediate(lin: &'a Linearization<'a, T>, machine: &'a M) -> Self {
        Self { lin, machine, mode: Mode::Immediate }
    }
    /// P J: what the weights move in all.
    pub fn total(lin: &'a Linearization<'a, T>, machine: &'a M) -> Self {
        Self { lin, machine, mode: Mode::Total }
    }

    fn work_len(&self, m: usize) -> usize {
        Sweep::<T, M>::work_len(self.lin.graph(), self.mode.flow(), m, self.lin.tile())
    }

    /// Calls `f(place in θ of vector v, place in δW, length)` for every piece of every vector: δW keeps a weight's vectors together.
    fn pieces(&self, m: usize, mut f: impl FnMut(usize, usize, usize)) {
        let graph = self.lin.graph();
        let n = graph.parameters();
        for (w, weight) in graph.weights().iter().enumerate() {
            let place = weight_place(graph, w);
            let (matrix, bias) = (weight.matrix_parameters(), weight.bias_parameters());
            for v in 0..m {
                f(v * n + place, m * place + v * matrix, matrix);
                f(v * n + place + matrix, m * (place + matrix) + v * bias, bias);
            }
        }
    }
}

impl<T: Scalar, M: Machine<T>> LinearOperator<T> for ParameterJacobian<'_, T, M> {
    fn domain(&self) -> Shape {
        Shape::new(1, 1, self.lin.graph().parameters())
    }
    fn codomain(&self) -> Shape {
        self.lin.shape()
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        vectors * self.lin.graph().parameters() + wave_len(self.lin, self.machine) * self.work_len(vectors)
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) {
        let m = x.vectors();
        require(self.domain(), self.codomain(), self.scratch_len(m), &x, &y, scratch);
        let (dw, work) = scratch.split_at_mut(m * self.lin.graph().parameters());
        self.pieces(m, |theta, place, len| dw[place..place + len].copy_from_slice(&x.data()[theta..theta + len]));
        push_forward(self.lin, self.machine, self.mode, m, dw, y, work, self.work_len(m));
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) {
        let m = x.vectors();
        require(self.codomain(), self.domain(), self.scratch_len(m), &x, &y, scratch);
        let (dw, work) = scratch.split_at_mut(m * self.lin.graph().parameters());
        dw.fill(T::zero());
        pull_back(self.lin, self.machine, self.mode, x, dw, work, self.work_len(m));
        self.machine.sum(dw);
        let y = y.into_data();
        self.pieces(m, |theta, place, len| y[theta..theta + len].copy_from_slice(&dw[place..place + len]));
    }
}
