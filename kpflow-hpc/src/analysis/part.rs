//! An operator on a part of the state: a window of steps, some units, the mean over trajectories.

use super::Boxed;
use crate::engine::Real;
use crate::error::{fits, Error, Result};
use kpflow_core::machine::Machine;
use kpflow_core::operator::{Expression, Restriction, Select, TrajectorySum};
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Properties, Shape};
use std::ops::Range;

type Fitting = std::result::Result<(), kpflow_core::Error>;

/// The part of the state that an operator is restricted to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// These steps only.
    pub window: Option<Range<usize>>,
    /// These units only, in this order.
    pub units: Option<Vec<usize>>,
    /// The mean over trajectories of the diagonal blocks.
    pub average: bool,
}

impl Part {
    /// Whether it is all of the state.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Steps and units of it.
    pub fn sizes(&self, shape: Shape) -> [usize; 2] {
        let steps = self.window.as_ref().map_or(shape.steps, |w| w.len());
        [steps, self.units.as_ref().map_or(shape.units, Vec::len)]
    }

    /// Where in the state's numbers of a trajectory, `t·N + j`, those of it are, in their order.
    pub fn numbers(&self, shape: Shape) -> Vec<usize> {
        let all: Vec<usize> = (0..shape.units).collect();
        let units = self.units.as_deref().unwrap_or(&all);
        let steps = self.window.clone().unwrap_or(0..shape.steps);
        steps.flat_map(|t| units.iter().map(move |j| t * shape.units + j)).collect()
    }

    /// How many steps of it each trajectory has; of a mean over trajectories, as many as the longest.
    pub fn lengths(&self, lengths: &[usize]) -> Vec<usize> {
        let window = self.window.clone().unwrap_or(0..usize::MAX);
        let within = lengths.iter().map(|length| length.min(&window.end).saturating_sub(window.start));
        match self.average {
            true => vec![within.max().unwrap_or(0)],
            false => within.collect(),
        }
    }

    /// Fails unless the state has all steps and units of it, and some trajectory a step of it.
    pub fn check(&self, shape: Shape, of_trajectories: Option<&[usize]>) -> Result<()> {
        if let Some(window) = self.window.as_ref().filter(|w| w.end > shape.steps) {
            let what = format!("window = [{}, {}] goes beyond the {} steps", window.start, window.end, shape.steps);
            return Err(Error::usage(format!("{what} of the state")));
        }
        let behind = |w: &&Range<usize>| of_trajectories.is_some_and(|all| all.iter().all(|l| *l <= w.start));
        if let Some(window) = self.window.as_ref().filter(behind) {
            let longest = of_trajectories.into_iter().flatten().max().unwrap_or(&0);
            let what = format!("window = [{}, {}] is behind the end of every trajectory", window.start, window.end);
            return Err(Error::usage(format!("{what}; the longest has {longest} steps")));
        }
        match self.units.iter().flatten().find(|u| **u >= shape.units) {
            Some(unit) => Err(Error::usage(format!("units names {unit}; the state's are 0 to {}", shape.units - 1))),
            None => Ok(()),
        }
    }
}

/// Makes the operator of a part from that of the whole state (for a mean: block diagonal), which has so many `trajectories` on all ranks.
///
/// `owns`: whether this rank holds the mean. **Errors**: a step or a unit that the state does not have.
pub fn of_part<'a, T: Real, M: Machine<T>>(
    whole: Boxed<'a, T>,
    part: &'a Part,
    trajectories: usize,
    owns: bool,
    machine: &'a M,
) -> Result<Boxed<'a, T>> {
    if part.is_all() {
        return Ok(whole);
    }
    Ok(Box::new(OfPart::new(whole, part, trajectories, owns, machine)?))
}

/// `R A Rᵀ`, or `E R A Rᵀ Eᵀ / B`: R restricts, E sums over trajectories.
struct OfPart<'a, T, M> {
    whole: Boxed<'a, T>,
    restriction: Restriction<'a>,
    mean: Option<(TrajectorySum<'a, M>, T)>,
}

impl<'a, T: Real, M: Machine<T>> OfPart<'a, T, M> {
    fn new(whole: Boxed<'a, T>, part: &'a Part, trajectories: usize, owns: bool, machine: &'a M) -> Result<Self> {
        let shape = whole.domain();
        part.check(shape, None)?;
        let window = part.window.clone().map_or(Select::All, Select::from);
        let units = part.units.as_deref().map_or(Select::All, Select::from);
        let restriction = Restriction::new(shape, [Select::All, window, units])?;
        let scale = T::of(1.0 / trajectories as f64);
        let mean = part.average.then(|| (TrajectorySum::new(restriction.part(), owns, machine), scale));
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

impl<T: Real, M: Machine<T>> LinearOperator<T> for OfPart<'_, T, M> {
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
