//! Reshapes, permutations of the axes, shifts in time and sums over an axis.

use super::moves::{distinct, gather, moves, name, on_axis, scatter, with_axis, Moves};
use super::{check, LinearOperator, Properties};
use crate::error::length;
use crate::{Axis, BlockMut, BlockRef, Error, Scalar, Shape};
use core::fmt;

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
        distinct(&order)?;
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
