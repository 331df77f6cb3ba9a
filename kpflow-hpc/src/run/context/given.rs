//! The user's own vectors.

use super::Running;
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::load::signal::read_signal;
use crate::run::range::largest;
use kpflow_estimate::{times_power, Tall};

impl<T: Real> Running<'_, T> {
    /// This rank's part of the user's tensor, which may be `many`, and whether it is a single one.
    pub(super) fn given(&self, many: bool) -> Result<(Tall<T>, bool)> {
        let (shape, grid) = (self.loaded.shape, self.engine.grid());
        let own = self.loaded.first..self.loaded.first + shape.trajectories;
        let read = || {
            let Some(with) = &self.analysis.with else { return Err(Error::usage("with is missing")) };
            let array = self.loaded.open_state(with, many)?;
            Ok((read_signal::<T>(&array, own, self.loaded.lengths())?, array.shape().len() == 3))
        };
        let (vectors, single) = grid.agree(read())?;
        let mut x = Tall::zeros(shape, vectors.len());
        let per = shape.per_trajectory();
        for (v, numbers) in vectors.iter().enumerate() {
            (0..shape.trajectories).for_each(|b| x.part_mut(b, v).copy_from_slice(&numbers[b * per..][..per]));
        }
        Ok((x, single))
    }

    /// This rank's part of a tensor as the state, times 2^-k, and k.
    pub(super) fn tensor(&self) -> Result<(Tall<T>, i32)> {
        let (mut e, _) = self.given(false)?;
        let k = match largest(&e.data, self.engine) {
            0.0 => 0,
            size => size.log2().round() as i32,
        };
        e.data.iter_mut().for_each(|x| *x = T::of(times_power(x.f64(), -k)));
        Ok((e, k))
    }
}
