//! The Jacobians from the parameters to the state.

use super::coupling::{accumulate, inject, Wave};
use super::forms::{chunk_len, chunks};
use super::side::Side;
use super::waves::{run_wave, wave_len, waves};
use crate::machine::{Machine, Slab};
use crate::model::{Form, Linearization, Mode, Sweep};
use crate::operator::display::{expression, Binds};
use crate::operator::{check, Properties};
use crate::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};

/// The parameter Jacobian: `J = ∂F/∂θ` (immediate) or `P J = dz/dθ` (total).
///
/// **Shapes**: `[1, 1, n_θ]` to `[B, T, N]`. θ is every weight in the graph's order, its matrix as it lies (row by row) and then its bias.
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

    /// Calls `f(place in θ of vector v, place in δW)` for every parameter that a site reads, of every vector.
    fn pairs(&self, m: usize, mut f: impl FnMut(usize, usize)) {
        let graph = self.lin.graph();
        let n = graph.parameters();
        graph.each_weight(|w, row, c, at| {
            let weight = &graph.weights()[w];
            let before: usize = graph.weights()[..w.0].iter().map(|w| w.parameters()).sum();
            let (columns, matrix) = (weight.columns(), weight.matrix_parameters());
            for vectors in chunks(m, chunk_len(m)) {
                let per_row = vectors.len() * c.units;
                for v in vectors.clone() {
                    let dw = vectors.start * self.dw_len(1) + vectors.len() * c.place + (v - vectors.start) * c.units;
                    let theta = v * n + before;
                    for r in 0..c.units {
                        for k in 0..columns {
                            let here = if c.form == Form::Gain { k * c.units + r } else { (row + r) * columns + k };
                            f(theta + here, dw + (at + k) * per_row + r);
                        }
                        if weight.bias_parameters() > 0 {
                            f(theta + matrix + row + r, dw + (at + columns) * per_row + r);
                        }
                    }
                }
            }
        });
    }

    fn transposed_len(&self) -> usize {
        self.lin.graph().transposed_len(self.mode.flow(), self.machine)
    }

    fn dw_len(&self, m: usize) -> usize {
        m.saturating_mul(self.lin.graph().coupled_len())
    }
}

impl<T, M> core::fmt::Display for ParameterJacobian<'_, T, M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.mode {
            Mode::Total => expression(f, Binds::Product, |f| f.write_str("P ∘ J")),
            Mode::Propagator | Mode::Constraint | Mode::Immediate => f.write_str("J"),
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
        let tiles = wave_len(self.lin, self.machine.lanes()).saturating_mul(self.work_len(vectors));
        self.dw_len(vectors).saturating_add(self.transposed_len()).saturating_add(tiles)
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let m = x.vectors();
        check(self.domain(), self.codomain(), self.scratch_len(m), &x, &y, scratch)?;
        self.lin.require_values()?;
        if m == 0 {
            return Ok(());
        }
        let (dw, work) = scratch.split_at_mut(self.dw_len(m));
        self.pairs(m, |theta, place| dw[place] = x.data()[theta]);
        let (lin, machine, mode) = (self.lin, self.machine, self.mode);
        let (transposed, work) = work.split_at_mut(self.transposed_len());
        lin.graph().transpose(mode.flow(), machine, transposed);
        let (transposed, dw, mut y) =
            (&*transposed, &*dw, Slab::whole(y.into_data(), m * lin.shape().per_trajectory()));
        for tiles in waves(lin, machine.lanes()) {
            run_wave(lin, machine, &tiles, work, self.work_len(m), &mut y, |i, work, y| {
                inject(&lin.view(i), mode.flow(), Side::Weight, (m, chunk_len(m)), dw, work, machine);
                let sweep = Sweep::new(lin.view(i), mode, m, machine);
                sweep.with_transposed(transposed).tangent(&[], y, work);
            });
        }
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let m = x.vectors();
        check(self.codomain(), self.domain(), self.scratch_len(m), &x, &y, scratch)?;
        self.lin.require_values()?;
        if m == 0 {
            return Ok(());
        }
        let (dw, work) = scratch.split_at_mut(self.dw_len(m));
        dw.fill(T::zero());
        let (lin, machine, mode, work_len) = (self.lin, self.machine, self.mode, self.work_len(m));
        let (vectors, lanes) = ((m, chunk_len(m)), machine.lanes());
        for tiles in waves(lin, lanes) {
            run_wave(lin, machine, &tiles, work, work_len, &mut Slab::nothing(), |i, work, y| {
                Sweep::new(lin.view(i), mode, m, machine).cotangent(x.tile(lin.tile_range(i)).data(), y, work);
            });
            let wave = Wave { tiles, work, work_len, flow: mode.flow(), vectors, lanes };
            accumulate(lin, machine, Side::Weight, &wave, dw);
        }
        self.machine.sum(dw);
        let y = y.into_data();
        y.fill(T::zero());
        self.pairs(m, |theta, place| y[theta] = dw[place]);
        Ok(())
    }
    /// θ is the same on all processes, whatever each of them holds of the state.
    fn properties(&self) -> Properties {
        Properties { rank_bound: self.lin.graph().parameters(), ..Properties::UNKNOWN }
    }
}
