//! The exact matrix of an analysis's operator, with numbers.

use super::Running;
use crate::analysis::{matrix, Context};
use crate::closed::Rows;
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::model::{with_other_inputs, Loaded};
use kpflow_core::machine::Tasks;
use kpflow_estimate::Tall;

impl<T: Real> Running<'_, T> {
    /// This rank's rows of 2^-k A. Collective.
    pub(super) fn matrix_rows(&self) -> Result<Rows> {
        let numbers = self.analysis.part.numbers(self.lin.shape());
        matrix::made_of(&self.asked, self.lin, &numbers, self.loaded.trajectories).rows(self.engine, self.exponent()?)
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
            let here = matrix::made_of(&self.asked, self.lin, &numbers, self.loaded.trajectories);
            let rows =
                here.rows_with(&matrix::made_of(&self.asked, lin, &numbers, other.trajectories), self.engine, k)?;
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
