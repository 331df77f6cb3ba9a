//! An operator on a part of the state: a window of steps, some units, the mean over trajectories.

use super::operators::Boxed;
use crate::engine::{Engine, Real};
use crate::error::{fits, Error, Result};
use crate::job::Part;
use kpflow_core::operator::{Expression, Restriction, Select, TrajectorySum};
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Properties, Shape};

type Fitting = std::result::Result<(), kpflow_core::Error>;

/// `R A Rᵀ`, or `E R A Rᵀ Eᵀ / B`: R restricts, E sums over trajectories.
pub(super) struct OfPart<'a, T> {
    whole: Boxed<'a, T>,
    restriction: Restriction<'a>,
    mean: Option<(TrajectorySum<'a, Engine>, T)>,
}

/// How many steps of a part each trajectory has; of a mean over trajectories, as many as the longest.
pub(super) fn lengths(part: &Part, lengths: &[usize]) -> Vec<usize> {
    let window = part.window.clone().unwrap_or(0..usize::MAX);
    let within = lengths.iter().map(|length| length.min(&window.end).saturating_sub(window.start));
    match part.average {
        true => vec![within.max().unwrap_or(0)],
        false => within.collect(),
    }
}

/// Fails unless the state has all steps and units of a part, and some trajectory a step of it.
pub(super) fn check(part: &Part, shape: Shape, of_trajectories: Option<&[usize]>) -> Result<()> {
    if let Some(window) = part.window.as_ref().filter(|w| w.end > shape.steps) {
        let what = format!("window = [{}, {}] goes beyond the {} steps", window.start, window.end, shape.steps);
        return Err(Error::usage(format!("{what} of the state")));
    }
    let window = part.window.as_ref().filter(|w| of_trajectories.is_some_and(|all| all.iter().all(|l| *l <= w.start)));
    if let Some(window) = window {
        let longest = of_trajectories.into_iter().flatten().max().unwrap_or(&0);
        let what = format!("window = [{}, {}] is behind the end of every trajectory", window.start, window.end);
        return Err(Error::usage(format!("{what}; the longest has {longest} steps")));
    }
    match part.units.iter().flatten().find(|u| **u >= shape.units) {
        Some(unit) => Err(Error::usage(format!("units names {unit}; the state's are 0 to {}", shape.units - 1))),
        None => Ok(()),
    }
}

impl<'a, T: Real> OfPart<'a, T> {
    /// Makes the operator of a part from that of the whole state (for a mean: block diagonal), which has so many `trajectories` on all ranks.
    ///
    /// **Errors**: a step or a unit that the state does not have.
    pub fn new(
        whole: Boxed<'a, T>,
        part: &'a Part,
        trajectories: usize,
        owns: bool,
        engine: &'a Engine,
    ) -> Result<Self> {
        let shape = whole.domain();
        check(part, shape, None)?;
        let window = part.window.clone().map_or(Select::All, Select::from);
        let units = part.units.as_deref().map_or(Select::All, Select::from);
        let restriction = Restriction::new(shape, [Select::All, window, units])?;
        let scale = T::of(1.0 / trajectories as f64);
        let mean = part.average.then(|| (TrajectorySum::new(restriction.part(), owns, engine), scale));
        Ok(Self { whole, restriction, mean })
    }

    /// Calls `f` with the expression, whose pieces fit by the way they were made.
    fn expression<R>(&self, f: impl FnOnce(&dyn LinearOperator<T>) -> R) -> R {
        let r = &self.restriction;
        let restricted = fits((&*self.whole).within::<T, _>(r));
        match &self.mean {
            None => f(&restricted),
            Some((e, scale)) => {
                let sum = fits(restricted.within::<T, _>(e));
                f(&sum.scaled(*scale))
            }
        }
    }
}

impl<T: Real> LinearOperator<T> for OfPart<'_, T> {
    fn domain(&self) -> Shape {
        self.expression(|a| a.domain())
    }
    fn codomain(&self) -> Shape {
        self.expression(|a| a.codomain())
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        self.expression(|a| a.scratch_len(vectors))
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Fitting {
        self.expression(|a| a.apply(x, y, scratch))
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Fitting {
        self.expression(|a| a.apply_adjoint(x, y, scratch))
    }
    fn properties(&self) -> Properties {
        self.expression(|a| a.properties())
    }
}
