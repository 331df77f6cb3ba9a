//! The Kronecker core by itself.

use crate::machine::{Gemm, Machine, MatMut, MatRef};
use crate::model::{Form, Graph, Linearization, Site};
use crate::operator::{check, Properties};
use crate::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};

/// The Kronecker core `Σ_sites U Uᵀ` (a row of U a position, a 1 appended for a bias): the Gram matrix of what the weights read.
///
/// **Shapes**: `[B, T, 1]` to itself, symmetric, positive semidefinite, of a rank of at most Σ (n_in + 1). **Cost**: 4·Σ n_in flops a position and vector, one sum of
/// m·Σ n_in numbers over processes.
pub struct KroneckerCore<'a, T, M> {
    lin: &'a Linearization<'a, T>,
    machine: &'a M,
}

/// Every trained weight's sites once, however its rows are divided.
fn sites<'g, T: Scalar>(graph: &'g Graph<'_, T>) -> impl Iterator<Item = Site> + 'g {
    graph.sites().filter(|s| s.row == 0)
}

impl<'a, T: Scalar, M: Machine<T>> KroneckerCore<'a, T, M> {
    /// Makes the operator; `None` if the sites do not all act at the T steps of the state or are not all of the dense form.
    pub fn new(lin: &'a Linearization<'a, T>, machine: &'a M) -> Option<Self> {
        let steps = lin.shape().steps;
        sites(lin.graph()).all(|s| s.positions == steps && s.form == Form::Dense).then_some(Self { lin, machine })
    }

    fn columns(&self, site: &Site) -> usize {
        self.lin.graph().weights()[site.weight].columns()
    }

    fn total_columns(&self) -> usize {
        sites(self.lin.graph()).map(|s| self.columns(&s) + 1).sum()
    }

    /// Calls `f(U of trajectory b and a site, up to its end, b, the site's place in c, whether it has a bias)`.
    fn for_each(&self, m: usize, mut f: impl FnMut(MatRef<'_, T>, usize, usize, bool)) {
        let mut place = 0;
        for site in sites(self.lin.graph()) {
            for i in 0..self.lin.tiles() {
                let tile = self.lin.view(i);
                for (k, b) in self.lin.tile_range(i).enumerate() {
                    let u = tile.reads(site.input);
                    let columns = self.columns(&site);
                    let u = MatRef::of(&u.data[k * u.ld..], self.lin.steps_of(b), columns, u.ld * tile.count());
                    f(u, b, place, self.lin.graph().weights()[site.weight].bias_parameters() > 0);
                }
            }
            place += m * (self.columns(&site) + 1);
        }
    }
}

impl<T, M> core::fmt::Display for KroneckerCore<'_, T, M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("G")
    }
}

impl<T: Scalar, M: Machine<T>> LinearOperator<T> for KroneckerCore<'_, T, M> {
    fn domain(&self) -> Shape {
        Shape { units: 1, ..self.lin.shape() }
    }
    fn codomain(&self) -> Shape {
        self.domain()
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        vectors.saturating_mul(self.total_columns())
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let (m, steps) = (x.vectors(), self.lin.shape().steps);
        check(self.domain(), self.domain(), self.scratch_len(m), &x, &y, scratch)?;
        self.lin.require_values()?;
        if m == 0 {
            return Ok(());
        }
        let (machine, y) = (self.machine, y.into_data());
        let c = &mut scratch[..m * self.total_columns()];
        c.fill(T::zero());
        self.for_each(m, |u, b, place, bias| {
            let x = MatRef::of(&x.data()[b * m * steps..], m, u.rows, steps);
            let (matrix, sums) = c[place..].split_at_mut(m * u.cols);
            machine.gemm(T::one(), Gemm::of(x, u, MatMut::of(matrix, m, u.cols, u.cols)), T::one());
            if bias {
                for (v, sum) in sums[..m].iter_mut().enumerate() {
                    *sum += x.data[v * steps..][..u.rows].iter().copied().sum();
                }
            }
        });
        machine.sum(c);
        y.fill(T::zero());
        self.for_each(m, |u, b, place, bias| {
            let y = &mut y[b * m * steps..][..m * steps];
            let (matrix, sums) = c[place..].split_at(m * u.cols);
            if bias {
                for (y, sum) in y.chunks_mut(steps.max(1)).zip(sums) {
                    y[..u.rows].iter_mut().for_each(|y| *y += *sum);
                }
            }
            let matrix = MatRef::of(matrix, m, u.cols, u.cols);
            machine.gemm(T::one(), Gemm::of(matrix, u.t(), MatMut::of(y, m, u.rows, steps)), T::one());
        });
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        self.apply(x, y, scratch)
    }
    fn properties(&self) -> Properties {
        let graph = self.lin.graph();
        let bias = |site: &Site| usize::from(graph.weights()[site.weight].bias_parameters() > 0);
        let rank_bound = sites(graph).map(|s| self.columns(&s) + bias(&s)).sum();
        Properties { rank_bound, ..Properties::UNKNOWN }.semidefinite()
    }
}
