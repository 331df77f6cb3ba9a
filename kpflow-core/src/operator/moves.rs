//! Operators that only move numbers: every number of the output is one of the input, or zero.
//!
//! One mechanism for all of them: each says where a number comes from ([`Moves::source`]); the adjoint puts it back there.

use crate::{Axis, BlockMut, BlockRef, Error, Scalar, Shape};

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

/// Fails if a list names something twice.
pub(super) fn distinct<T: PartialEq>(list: &[T]) -> Result<(), Error> {
    for (again, entry) in list.iter().enumerate() {
        if let Some(first) = list[..again].iter().position(|e| e == entry) {
            return Err(Error::Repeated { first, again });
        }
    }
    Ok(())
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
                $crate::operator::moves::moves!(@forward $forward, self, x, y);
                Ok(())
            }
            fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
                check(Moves::$to(self), Moves::$from(self), 0, &x, &y, scratch)?;
                $crate::operator::moves::moves!(@backward $forward, self, x, y);
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
