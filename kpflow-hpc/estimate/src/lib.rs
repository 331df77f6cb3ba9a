//! Traces, norms, ranks, spectra and eigenpairs of operators that can only be applied: one file an algorithm, named as the literature names it.
//!
//! An estimator needs two things: a block product ([`Product`]) and a sum over the processes that hold the other part of the vectors ([`Sums`]; `()` where
//! there is one process). Every estimate has a standard error, every eigenpair a residual, every run a reason why it stopped. Nothing here reads files, has state
//! of its own or unwinds: a product that ends an estimate does so by the error that it returns.
//!
//! ```
//! use kpflow_estimate::*;
//! // A user's own operator: the kernel exp(−(s − t)²/2) of 400 points, never formed.
//! let at = |i: usize| 8.0 * i as f64 / 400.0;
//! let kernel = Function::new(400, |x: &[f64], y: &mut [f64]| {
//!     for (i, y) in y.iter_mut().enumerate() {
//!         *y = (0..400).map(|j| (-0.5 * (at(i) - at(j)).powi(2)).exp() * x[j]).sum();
//!     }
//! });
//! let problem = Problem::alone(&kernel, 0);
//! let trace = xnystrace(&problem, &Budget { rtol: 1e-6, max_matvecs: 100 })?;
//! assert!((trace.value - 400.0).abs() < 1e-3, "{} ± {}", trace.value, trace.standard_error);
//! let pairs = block_krylov(&Problem::alone(&kernel, 0), &Budget { rtol: 1e-6, max_matvecs: 200 }, 10)?;
//! assert_eq!((pairs.values.len(), pairs.stop), (10, StopReason::Tolerance));
//! assert!(pairs.residuals.iter().all(|r| *r < 1e-6) && pairs.values.is_sorted_by(|a, b| a >= b));
//! # Ok::<(), Error>(())
//! ```
//!
//! What an estimate will need is told by the same code: given a [`Ledger`] in the place of a [`Problem`] it goes all the way on sizes alone.

#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

// Tests that `kpflow-bench` shares know the crate by its name.
#[cfg(test)]
extern crate self as kpflow_estimate;

mod account;
mod alignment;
mod block_krylov;
mod blocks;
mod dense;
mod density;
mod diagonal;
mod effective_rank;
mod error;
mod factor;
mod frobenius;
mod interval;
mod lanczos;
mod learnability;
mod ledger;
mod marginal;
mod marginal_samples;
mod numbers;
mod nystrom;
mod pair_statistic;
mod partial_trace;
mod parts;
mod problem;
mod product;
mod qr;
mod quadrature;
mod sampling;
mod selection;
mod singular_triplets;
mod small;
mod solve;
mod space;
mod split;
mod tall;
mod trace;
mod whitener;
mod whitening;
mod workers;

pub use account::{Account, Costs, Held, Outline, Rounds, Sizes, Work};
pub use alignment::alignment;
pub use block_krylov::block_krylov;
pub use blocks::{blocks, dense_blocks, Blocks};
pub use dense::{
    alignment_of_factors, dense, dense_of_factor, dense_of_matrix, require_dense, spread, DenseSpectrum, Wanted,
    DENSE_LIMIT,
};
pub use density::{density, density_of, Density};
pub use diagonal::{diagonal, diagonal_of, Diagonal};
pub use effective_rank::{effective_rank, effective_rank_sampled, stable_rank};
pub use error::{beyond, Error, Result};
pub use frobenius::{frobenius, frobenius_deflated};
pub use interval::{around as normal_interval, Z};
pub use kpflow_core::operator::Properties;
pub use lanczos::{entropy_rank, entropy_rank_of, log_det, log_det_of};
pub use learnability::{learnability, Learnability};
pub use ledger::Ledger;
pub use marginal::{marginal, marginal_of, require_marginal, MARGINAL_LIMIT};
pub use marginal_samples::Marginal;
pub use pair_statistic::{pair_alignment, pair_statistic, SecondMoment};
pub use problem::Problem;
pub use product::{Applied, Function, Product, Sums};
pub use selection::{Selection, Which};
pub use singular_triplets::{singular_triplets, Triplets};
pub use small::{
    eigen as symmetric_eigen, eigen_len as symmetric_eigen_len, eigenvalues as symmetric_eigenvalues, make_ready,
    Decompose,
};
pub use solve::{solve, solve_by, solve_plainly, Noise, Solution};
pub use space::{Blank, Block, Budget, Extent, Family, Small, Space, SKETCHES, TESTS};
pub use split::{Kept, Split};
pub use tall::Tall;
pub use trace::{
    auto, hutchinson, hutchpp, look, look_at, nystrompp, one_sided, per_trajectory, per_trajectory_xnystrace,
    xnystrace, xtrace, Exact,
};
pub use whitener::Whitener;
pub use workers::Workers;

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The method is exact.
    Exact,
    /// The estimated error is within the tolerance.
    Tolerance,
    /// All products allowed are spent.
    Budget,
    /// Rounding allows no smaller residual.
    Stagnated,
    /// A product left the range of the floating-point numbers: nothing more can be known in this precision.
    Overflow,
}

impl StopReason {
    /// Whether the result is as good as was asked for.
    pub fn converged(self) -> bool {
        matches!(self, StopReason::Exact | StopReason::Tolerance)
    }
    /// The words for the result file.
    pub fn describe(self) -> &'static str {
        match self {
            StopReason::Exact => "exact",
            StopReason::Tolerance => "tolerance reached",
            StopReason::Budget => "max_matvecs reached",
            StopReason::Stagnated => "stagnated at rounding",
            StopReason::Overflow => "products overflow",
        }
    }
}

/// k of the 2^k nearest to a size, where it is beyond ±`mild`; else, and of what is 0 or no number, 0.
pub fn power_of(size: f64, mild: i32) -> i32 {
    match size > 0.0 && size.is_finite() {
        true => Some(size.log2().round() as i32).filter(|k| k.abs() > mild).unwrap_or(0),
        false => 0,
    }
}

/// x 2^k, without an intermediate that leaves the range.
pub fn times_power(x: f64, k: i32) -> f64 {
    let (mut x, mut k) = (x, k);
    while k != 0 && x != 0.0 && x.is_finite() {
        let step = k.clamp(-1000, 1000);
        x *= f64::from(step).exp2();
        k -= step;
    }
    x
}

/// A number with its error.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Its 95 % interval, which need not be symmetric: [value, value] where the method is exact, infinite ends where too few products allow none.
    pub interval: [f64; 2],
    /// Its standard error, 1.96 of which are the wider half of the interval; 0 where the method is exact, infinite where too few products allow none or they overflow. Never NaN.
    pub standard_error: f64,
    /// Operator products spent.
    pub matvecs: usize,
    /// Why it stopped.
    pub stop: StopReason,
    /// Products, value and standard error on the way.
    pub history: Vec<[f64; 3]>,
}

impl Estimate {
    /// A value with the interval of a normal number.
    pub fn new(value: f64, standard_error: f64, matvecs: usize, stop: StopReason, history: Vec<[f64; 3]>) -> Self {
        interval::Bar::normal(value, standard_error).estimate(matvecs, stop, history)
    }

    /// A positive number, made of squares: its interval is that of its cube root, and as wide on the upper side as the standard error is made to say.
    /// `error` is that of a mean, with Student's factor.
    pub fn positive(value: f64, error: f64, matvecs: usize, stop: StopReason, history: Vec<[f64; 3]>) -> Self {
        interval::Bar::positive(value, error).estimate(matvecs, stop, history)
    }

    /// A value whose distance from the truth is at most `bound`, as that of an eigenvalue is by its residual.
    pub fn bounded(value: f64, bound: f64, matvecs: usize, stop: StopReason, history: Vec<[f64; 3]>) -> Self {
        let interval = [value - bound, value + bound];
        Self { value, interval, standard_error: bound, matvecs, stop, history }
    }

    /// The ends of the interval moved into what is possible, but not beyond the value; value and error are left.
    pub fn clamped(self, low: f64, high: f64) -> Self {
        Self { interval: interval::clamped(self.interval, self.value, [low, high]), ..self }
    }

    /// Half the width of the interval, on its wider side: what `rtol` is compared with.
    pub fn half_width(&self) -> f64 {
        (self.interval[1] - self.value).max(self.value - self.interval[0])
    }

    /// A value without error.
    pub fn exact(value: f64, matvecs: usize) -> Self {
        Self {
            value,
            interval: [value; 2],
            standard_error: 0.0,
            matvecs,
            stop: StopReason::Exact,
            history: vec![[matvecs as f64, value, 0.0]],
        }
    }

    /// What is left when products overflow: the last finite value, of which nothing is claimed any more.
    fn overflow(matvecs: usize, history: Vec<[f64; 3]>) -> Self {
        let value = history.last().map_or(0.0, |h| h[1]);
        Self::new(value, f64::INFINITY, matvecs, StopReason::Overflow, history)
    }
}

/// Eigenpairs of a symmetric operator, largest first.
#[derive(Clone, Debug)]
pub struct Eigenpairs<B> {
    /// The Ritz values.
    pub values: Vec<f64>,
    /// ‖A v − λ v‖ / λ_1 of each.
    pub residuals: Vec<f64>,
    /// The vectors: this rank's trajectories.
    pub vectors: B,
    /// Operator products spent.
    pub matvecs: usize,
    /// Why it stopped.
    pub stop: StopReason,
    /// Products, λ_1 and the largest residual on the way.
    pub history: Vec<[f64; 3]>,
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_cases;
#[cfg(test)]
mod tests_coverage;
#[cfg(test)]
mod tests_dense;
#[cfg(test)]
mod tests_lengths;
#[cfg(test)]
mod tests_marginal;
#[cfg(test)]
mod tests_qr;
#[cfg(test)]
mod tests_solve;
#[cfg(test)]
mod tests_spectra;
#[cfg(test)]
mod tests_trace;
#[cfg(test)]
mod twins;
