//! Estimators of the trace, one file an algorithm.

mod auto;
mod hutchinson;
mod hutchpp;
mod nystrompp;
mod one_sided;
mod per_trajectory;
mod per_trajectory_xnystrace;
mod range;
mod xnystrace;
mod xtrace;

pub use auto::{auto, Exact};
pub use hutchinson::hutchinson;
pub use hutchpp::hutchpp;
pub use nystrompp::nystrompp;
pub(super) use one_sided::in_products;
pub use one_sided::{forward, reverse};
pub use per_trajectory::per_trajectory;
pub use per_trajectory_xnystrace::{largest_sketch, per_trajectory_xnystrace};
pub(super) use range::Range;
pub use xnystrace::xnystrace;
pub use xtrace::xtrace;

use super::{Family, Problem, Tall};
use crate::engine::Real;

/// Probes Ω of a family and the products Y = AΩ, more and more of them.
pub(super) struct Sketch<T> {
    family: Family,
    first: usize,
    /// Ω.
    pub omega: Tall<T>,
    /// A Ω.
    pub y: Tall<T>,
}

impl<T: Real> Sketch<T> {
    pub fn new(problem: &Problem<'_, T>, family: Family) -> Self {
        Self::from(problem, family, 0)
    }

    /// A sketch of the probes number `first ..`.
    pub fn from(problem: &Problem<'_, T>, family: Family, first: usize) -> Self {
        Self { family, first, omega: Tall::zeros(problem.shape(), 0), y: Tall::zeros(problem.shape(), 0) }
    }

    /// Goes on to `total` probes. Collective.
    pub fn extend(&mut self, problem: &Problem<'_, T>, total: usize) {
        let there = self.omega.vectors;
        if total > there {
            let more = problem.draw(self.family, self.first + there, total - there);
            self.y = self.y.beside(&problem.apply(&more));
            self.omega = self.omega.beside(&more);
        }
    }

    /// (A + ν) Ω.
    pub fn shifted(&self, shift: f64) -> Tall<T> {
        let mut y = self.y.clone();
        let shift = T::of(shift);
        y.data.iter_mut().zip(&self.omega.data).for_each(|(y, x)| *y += shift * *x);
        y
    }
}
