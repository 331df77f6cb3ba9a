//! The exact matrix of an analysis's operator, with numbers.

use super::Running;
use crate::analysis::{self, Context, Operator};
use crate::closed::{ExactMatrix, Rows};
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::model::{with_other_inputs, Loaded};
use kpflow_core::machine::Tasks;
use kpflow_core::model::Linearization;
use kpflow_estimate::Tall;

impl<T: Real> Running<'_, T> {
    /// The exact matrix, on some numbers of every trajectory.
    fn exact<'l>(
        &self,
        lin: &'l Linearization<'l, T>,
        numbers: &'l [usize],
        trajectories: usize,
    ) -> ExactMatrix<'l, T> {
        ExactMatrix::new(lin, self.asked.operator == Operator::Ntk, numbers, trajectories)
    }

    /// What [`Context::exact_flops`] says.
    pub(super) fn matrix_flops(&self) -> Option<f64> {
        let numbers = self.analysis.part.numbers(self.lin.shape());
        analysis::matrix::has_exact(&self.asked)
            .then(|| self.exact(self.lin, &numbers, self.loaded.trajectories).flops())
    }

    /// This rank's rows of 2^-k A. Collective.
    pub(super) fn matrix_rows(&self) -> Result<Rows> {
        let numbers = self.analysis.part.numbers(self.lin.shape());
        self.exact(self.lin, &numbers, self.loaded.trajectories).rows(self.engine, self.exponent()?)
    }

    /// This rank's rows of 2^-k A(x, y), y the other inputs, and how many columns there are. Collective.
    pub(super) fn matrix_rows_with_others(&self) -> Result<(Rows, usize)> {
        let numbers = self.analysis.part.numbers(self.lin.shape());
        let (job, k) = (with_other_inputs(self.job), self.exponent()?);
        let other = Loaded::<T>::load(&job, self.engine)?;
        other.linearized(other.weights(), self.engine, |lin| {
            let finite = other.state(lin).iter().all(|x| x.is_finite());
            let wrong = || Error::usage("the state overflows on other_inputs; check dt, weights and inputs");
            self.engine.grid().agree(if finite { Ok(()) } else { Err(wrong()) })?;
            let here = self.exact(self.lin, &numbers, self.loaded.trajectories);
            let rows = here.rows_with(&self.exact(lin, &numbers, other.trajectories), self.engine, k)?;
            Ok((rows, other.trajectories * numbers.len()))
        })?
    }

    /// The columns of some rows of a matrix, as vectors.
    pub(super) fn columns_of(&self, rows: &Rows, columns: usize) -> Tall<T> {
        let shape = self.operators.all.domain();
        let (per, mut out) = (shape.per_trajectory(), Tall::zeros(shape, columns));
        let stride = (per * columns).max(1);
        self.engine.for_each(shape.trajectories, &mut out.data, stride, &mut [], 0, |b, out, _: &mut [T]| {
            let rows = &rows.numbers[b * stride..][..per * columns];
            for (v, out) in out.chunks_exact_mut(per.max(1)).enumerate() {
                out.iter_mut().enumerate().for_each(|(i, x)| *x = T::of(rows[i * columns + v]));
            }
        });
        out
    }
}
