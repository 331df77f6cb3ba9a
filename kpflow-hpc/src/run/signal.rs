//! Error signals of operators that act on positions.

use crate::engine::Real;
use kpflow_core::Shape;
use kpflow_estimate::Tall;

/// The units of one vector as vectors of positions, [b][unit][step].
pub(super) fn by_unit<T: Real>(e: &Tall<T>) -> Tall<T> {
    let (shape, units) = (e.shape, e.shape.units);
    let mut out = Tall::zeros(Shape::new(shape.trajectories, shape.steps, 1), units);
    for b in 0..shape.trajectories {
        let from = e.part(b, 0);
        for j in 0..units {
            out.part_mut(b, j).iter_mut().enumerate().for_each(|(t, x)| *x = from[t * units + j]);
        }
    }
    out
}
