//! From the whole state to a part of it.

use super::moves::{distinct, gather, moves, on_axis, scatter, Moves};
use super::{check, LinearOperator, Properties};
use crate::error::{at_most, below};
use crate::{Axis, BlockMut, BlockRef, Error, Scalar, Shape};
use core::fmt;
use core::ops::Range;

/// Which places of an axis are taken, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select<'a> {
    /// All of them.
    All,
    /// Those from `start` to before `end`.
    Window {
        /// The first place.
        start: usize,
        /// One beyond the last place.
        end: usize,
    },
    /// These, each at most once.
    List(&'a [usize]),
}

impl From<Range<usize>> for Select<'_> {
    fn from(range: Range<usize>) -> Self {
        Self::Window { start: range.start, end: range.end }
    }
}

impl<'a> From<&'a [usize]> for Select<'a> {
    fn from(list: &'a [usize]) -> Self {
        Self::List(list)
    }
}

impl Select<'_> {
    fn check(&self, places: usize) -> Result<(), Error> {
        match *self {
            Select::All => Ok(()),
            Select::Window { start, end } => {
                at_most(places, end)?;
                at_most(end, start)
            }
            Select::List(list) => {
                list.iter().try_for_each(|place| below(places, *place))?;
                distinct(list)
            }
        }
    }
    fn len(&self, places: usize) -> usize {
        match *self {
            Select::All => places,
            Select::Window { start, end } => end - start,
            Select::List(list) => list.len(),
        }
    }
    #[inline]
    fn place(&self, i: usize) -> usize {
        match *self {
            Select::All => i,
            Select::Window { start, .. } => start + i,
            Select::List(list) => list[i],
        }
    }
}

/// The restriction R to some trajectories, steps and units: `(R x)[b, t, k] = x[trajectories[b], steps[t], units[k]]`.
///
/// Its adjoint puts zeros elsewhere, so `R A Rᵀ`, which is A [within](super::Expression::within) R, is the block of A that belongs to the part.
/// **Shapes**: to as many places on every axis as are taken. **Cost**: a copy; no scratch.
///
/// ```
/// use kpflow_core::{operator::{Restriction, Select}, BlockMut, BlockRef, LinearOperator, Shape};
/// let full = Shape::new(1, 2, 3);
/// let r = Restriction::new(full, [Select::All, (1..2).into(), Select::List(&[2, 0])])?;
/// let (x, mut y) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.0; 2]);
/// r.apply(BlockRef::new(full, 1, &x)?, BlockMut::new(r.part(), 1, &mut y)?, &mut [])?;
/// assert_eq!(y, [6.0, 4.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Restriction<'a> {
    full: Shape,
    selects: [Select<'a>; 3],
}

impl<'a> Restriction<'a> {
    /// Makes the restriction of vectors of the shape `full` to some of their `[trajectories, steps, units]`.
    ///
    /// **Errors**: if a place is not in the shape, or listed twice.
    pub fn new(full: Shape, selects: [Select<'a>; 3]) -> Result<Self, Error> {
        for (select, axis) in selects.iter().zip([Axis::Trajectory, Axis::Step, Axis::Unit]) {
            select.check(on_axis(full, axis))?;
        }
        Ok(Self { full, selects })
    }

    /// One place of one axis, which there is.
    pub(super) fn slice(full: Shape, axis: Axis, place: usize) -> Self {
        let mut selects = [Select::All; 3];
        selects[axis as usize] = Select::Window { start: place, end: place + 1 };
        Self { full, selects }
    }

    /// The shape of the whole.
    pub fn full(&self) -> Shape {
        self.full
    }

    /// The shape of the part.
    pub fn part(&self) -> Shape {
        let [b, t, j] = self.selects;
        Shape::new(b.len(self.full.trajectories), t.len(self.full.steps), j.len(self.full.units))
    }
}

impl fmt::Display for Restriction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("R")
    }
}

impl Moves for Restriction<'_> {
    fn from(&self) -> Shape {
        self.full
    }
    fn to(&self) -> Shape {
        self.part()
    }
    #[inline]
    fn source(&self, [b, t, j]: [usize; 3]) -> Option<[usize; 3]> {
        let [trajectories, steps, units] = &self.selects;
        Some([trajectories.place(b), steps.place(t), units.place(j)])
    }
    fn keeps_trajectories(&self) -> bool {
        self.selects[0] == Select::All
    }
}

moves!(Restriction<'_>, gather);
