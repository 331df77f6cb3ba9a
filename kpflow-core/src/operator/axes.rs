//! Operators that only move numbers: every number of the output is one of the input, or zero.
//!
//! One mechanism for all of them: each says where a number comes from ([`Moves::source`]); the adjoint puts it back there.

use super::{check, LinearOperator, Properties};
use crate::error::length;
use crate::{Axis, BlockMut, BlockRef, Error, Scalar, Shape};
use core::fmt;

/// The places of an axis.
pub(super) fn on_axis(shape: Shape, axis: Axis) -> usize {
    match axis {
        Axis::Trajectory => shape.trajectories,
        Axis::Step => shape.steps,
        Axis::Unit => shape.units,
    }
}

/// The same shape with another number of places on an axis.
pub(super) fn with_axis(shape: Shape, axis: Axis, places: usize) -> Shape {
    match axis {
        Axis::Trajectory => Shape { trajectories: places, ..shape },
        Axis::Step => Shape { steps: places, ..shape },
        Axis::Unit => Shape { units: places, ..shape },
    }
}

pub(super) fn name(axis: Axis) -> &'static str {
    match axis {
        Axis::Trajectory => "b",
        Axis::Step => "t",
        Axis::Unit => "j",
    }
}

/// A map whose every output is one of the inputs, or zero.
pub(super) trait Moves {
    fn from(&self) -> Shape;
    fn to(&self) -> Shape;
    /// Where the output at (b, t, j) comes from.
    fn source(&self, to: [usize; 3]) -> Option<[usize; 3]>;
    /// Whether no number leaves its trajectory.
    fn keeps_trajectories(&self) -> bool;
}

/// Calls `f(place in a block of `to`, place in a block of `from`)` for every number that moves.
fn each(map: &impl Moves, m: usize, mut f: impl FnMut(usize, usize)) {
    let (from, to) = (map.from(), map.to());
    if m == 0 || to.is_empty() || from.is_empty() {
        return;
    }
    let mut at = 0;
    for b in 0..to.trajectories {
        for v in 0..m {
            for t in 0..to.steps {
                for j in 0..to.units {
                    if let Some([b, t, j]) = map.source([b, t, j]) {
                        f(at, ((b * m + v) * from.steps + t) * from.units + j);
                    }
                    at += 1;
                }
            }
        }
    }
}

/// Writes (or adds) to y what the map moves there from x.
pub(super) fn gather<T: Scalar>(map: &impl Moves, x: BlockRef<'_, T>, y: BlockMut<'_, T>, add: bool) {
    let (m, y) = (x.vectors(), y.into_data());
    if !add {
        y.fill(T::zero());
    }
    each(map, m, |to, from| y[to] += x.data()[from]);
}

/// Writes to y what the map has moved to x from there: the adjoint of [`gather`].
pub(super) fn scatter<T: Scalar>(map: &impl Moves, x: BlockRef<'_, T>, y: BlockMut<'_, T>) {
    let (m, y) = (x.vectors(), y.into_data());
    y.fill(T::zero());
    each(map, m, |to, from| y[from] += x.data()[to]);
}

macro_rules! moves {
    ($type:ty, $forward:ident) => {
        moves!($type, $forward, domain from codomain to);
    };
    ($type:ty, $forward:ident, domain $from:ident codomain $to:ident) => {
        impl<T: Scalar> LinearOperator<T> for $type {
            fn domain(&self) -> Shape {
                Moves::$from(self)
            }
            fn codomain(&self) -> Shape {
                Moves::$to(self)
            }
            fn scratch_len(&self, _vectors: usize) -> usize {
                0
            }
            fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
                check(Moves::$from(self), Moves::$to(self), 0, &x, &y, scratch)?;
                $crate::operator::axes::moves!(@forward $forward, self, x, y);
                Ok(())
            }
            fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
                check(Moves::$to(self), Moves::$from(self), 0, &x, &y, scratch)?;
                $crate::operator::axes::moves!(@backward $forward, self, x, y);
                Ok(())
            }
            fn properties(&self) -> Properties {
                Properties { block_diagonal: self.keeps_trajectories(), ..Properties::UNKNOWN }
            }
        }
    };
    (@forward gather, $map:expr, $x:expr, $y:expr) => { gather($map, $x, $y, false) };
    (@forward scatter, $map:expr, $x:expr, $y:expr) => { scatter($map, $x, $y) };
    (@backward gather, $map:expr, $x:expr, $y:expr) => { scatter($map, $x, $y) };
    (@backward scatter, $map:expr, $x:expr, $y:expr) => { gather($map, $x, $y, false) };
}
pub(super) use moves;

/// Reads vectors of one shape as vectors of another, of as many numbers in the same C order.
///
/// **Adjoint**: back again, which is also the inverse. **Cost**: a copy; no scratch.
///
/// ```
/// use kpflow_core::{operator::Reshape, BlockMut, BlockRef, LinearOperator, Shape};
/// let (from, to, mut y) = (Shape::new(2, 1, 2), Shape::new(1, 2, 2), [0.0; 8]);
/// let reshape = Reshape::new(from, to)?;
/// // Two vectors, whose parts lie trajectory by trajectory before and together afterwards.
/// reshape.apply(BlockRef::new(from, 2, &[1.0, 2.0, 5.0, 6.0, 3.0, 4.0, 7.0, 8.0])?, BlockMut::new(to, 2, &mut y)?, &mut [])?;
/// assert_eq!(y, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Reshape {
    from: Shape,
    to: Shape,
}

impl Reshape {
    /// Makes the map between two shapes.
    ///
    /// **Errors**: unless they have as many numbers.
    pub fn new(from: Shape, to: Shape) -> Result<Self, Error> {
        length(from.len(), to.len())?;
        Ok(Self { from, to })
    }
}

impl fmt::Display for Reshape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("vec")
    }
}

impl Moves for Reshape {
    fn from(&self) -> Shape {
        self.from
    }
    fn to(&self) -> Shape {
        self.to
    }
    fn source(&self, [b, t, j]: [usize; 3]) -> Option<[usize; 3]> {
        let i = (b * self.to.steps + t) * self.to.units + j;
        let (row, n) = (i / self.from.units, self.from.steps);
        Some([row / n, row % n, i % self.from.units])
    }
    fn keeps_trajectories(&self) -> bool {
        self.from.trajectories == self.to.trajectories
    }
}

moves!(Reshape, gather);

/// Exchanges the axes: place i of the output is place `order[i]` of the input, as of NumPy's `transpose`.
///
/// **Adjoint**: the inverse permutation. **Cost**: a copy; no scratch.
///
/// ```
/// use kpflow_core::{operator::PermuteAxes, Axis, BlockMut, BlockRef, LinearOperator, Shape};
/// let (from, to, mut y) = (Shape::new(1, 2, 3), Shape::new(1, 3, 2), [0.0; 6]);
/// let transpose = PermuteAxes::new(from, [Axis::Trajectory, Axis::Unit, Axis::Step])?;
/// transpose.apply(BlockRef::new(from, 1, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?, BlockMut::new(to, 1, &mut y)?, &mut [])?;
/// assert_eq!(y, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PermuteAxes {
    from: Shape,
    order: [Axis; 3],
}

impl PermuteAxes {
    /// Makes the permutation.
    ///
    /// **Errors**: if an axis is named twice.
    pub fn new(from: Shape, order: [Axis; 3]) -> Result<Self, Error> {
        super::restriction::distinct(&order)?;
        Ok(Self { from, order })
    }
}

impl fmt::Display for PermuteAxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.order.map(name);
        write!(f, "Π_{a}{b}{c}")
    }
}

impl Moves for PermuteAxes {
    fn from(&self) -> Shape {
        self.from
    }
    fn to(&self) -> Shape {
        let [b, t, j] = self.order.map(|axis| on_axis(self.from, axis));
        Shape::new(b, t, j)
    }
    fn source(&self, to: [usize; 3]) -> Option<[usize; 3]> {
        let mut from = [0; 3];
        self.order.iter().zip(to).for_each(|(axis, place)| from[*axis as usize] = place);
        Some(from)
    }
    fn keeps_trajectories(&self) -> bool {
        self.order[0] == Axis::Trajectory
    }
}

moves!(PermuteAxes, gather);

/// The shift in time: `(S x)[b, t, j] = x[b, t − by, j]`, zero where that lies outside.
///
/// **Adjoint**: the shift by −by, which is the inverse but for what has been shifted out. **Cost**: a copy; no scratch.
///
/// ```
/// use kpflow_core::{operator::TimeShift, BlockMut, BlockRef, LinearOperator, Shape};
/// let (shape, mut y) = (Shape::new(1, 3, 1), [0.0; 3]);
/// TimeShift::new(shape, 2).apply(BlockRef::new(shape, 1, &[1.0, 2.0, 3.0])?, BlockMut::new(shape, 1, &mut y)?, &mut [])?;
/// assert_eq!(y, [0.0, 0.0, 1.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TimeShift {
    shape: Shape,
    by: isize,
}

impl TimeShift {
    /// Makes the shift by so many steps into the future.
    pub fn new(shape: Shape, by: isize) -> Self {
        Self { shape, by }
    }
}

impl fmt::Display for TimeShift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S_{}", self.by)
    }
}

impl Moves for TimeShift {
    fn from(&self) -> Shape {
        self.shape
    }
    fn to(&self) -> Shape {
        self.shape
    }
    fn source(&self, [b, t, j]: [usize; 3]) -> Option<[usize; 3]> {
        let t = match self.by {
            by if by >= 0 => t.checked_sub(by.unsigned_abs()),
            by => t.checked_add(by.unsigned_abs()),
        };
        t.filter(|t| *t < self.shape.steps).map(|t| [b, t, j])
    }
    fn keeps_trajectories(&self) -> bool {
        true
    }
}

moves!(TimeShift, gather);

/// The sum over an axis: `E = 1ᵀ` on the axis, I on the others. The axis sum of an operator, `1ᵀ A 1`, is `A` [within](super::Expression::within) E.
///
/// It is not the partial trace. With A = [[1, 2], [3, 4]] over two steps: the axis sum 1ᵀA1 = 1 + 2 + 3 + 4 = 10;
/// the [`PartialTrace`](super::PartialTrace) Σ_i e_iᵀ A e_i = 1 + 4 = 5, and the [`PartialAverage`](super::PartialAverage) half of that, 2.5.
///
/// **Shapes**: to the same shape with one place on the axis. **Adjoint**: repeats along the axis. **Cost**: one addition a number; no scratch.
///
/// ```
/// use kpflow_core::operator::{AxisSum, Dense, Expression, PartialAverage, PartialTrace};
/// use kpflow_core::{Axis, BlockMut, BlockRef, LinearOperator, Shape};
/// let (two, one) = (Shape::new(1, 2, 1), Shape::new(1, 1, 1));
/// let a = Dense::new(&[1.0, 2.0, 3.0, 4.0], two, two)?;
/// let value = |op: &dyn LinearOperator<f64>| {
///     let (mut y, mut scratch) = ([0.0], [0.0; 8]);
///     op.apply(BlockRef::new(one, 1, &[1.0])?, BlockMut::new(one, 1, &mut y)?, &mut scratch).map(|_| y[0])
/// };
/// assert_eq!(value(&a.within(AxisSum::new(two, Axis::Step))?)?, 10.0);
/// assert_eq!(value(&PartialTrace::new(a, Axis::Step)?)?, 5.0);
/// assert_eq!(value(&PartialAverage::new(a, Axis::Step)?)?, 2.5);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AxisSum {
    shape: Shape,
    axis: Axis,
}

impl AxisSum {
    /// Makes the sum over an axis of vectors of a shape.
    pub fn new(shape: Shape, axis: Axis) -> Self {
        Self { shape, axis }
    }
}

impl fmt::Display for AxisSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Σ_{}", name(self.axis))
    }
}

/// As a map that only moves numbers it is read backwards: the repetition along the axis.
impl Moves for AxisSum {
    fn from(&self) -> Shape {
        with_axis(self.shape, self.axis, 1)
    }
    fn to(&self) -> Shape {
        self.shape
    }
    fn source(&self, mut to: [usize; 3]) -> Option<[usize; 3]> {
        to[self.axis as usize] = 0;
        Some(to)
    }
    fn keeps_trajectories(&self) -> bool {
        self.axis != Axis::Trajectory
    }
}

moves!(AxisSum, scatter, domain to codomain from);
