//! Estimators, one file an algorithm, named as the literature names it.
//!
//! All work on any operator of the core, alone or with its vectors sharded by trajectory over ranks: they need a block product and
//! global sums, nothing else. Every estimate has a standard error, every eigenpair a residual, every run a reason why it stopped.

mod alignment;
mod block_krylov;
mod blocks;
mod dense;
mod effective_rank;
mod exact;
mod factor;
mod frobenius;
mod lanczos;
mod learnability;
mod lyapunov;
mod marginal;
mod memo;
mod nystrom;
mod pair_statistic;
mod problem;
mod qr;
mod sampling;
mod singular_triplets;
mod small;
mod tall;
mod trace;
mod whitening;

use crate::engine::Real;

pub use alignment::alignment;
pub use block_krylov::{block_krylov, block_krylov_sizes, block_krylov_vectors};
pub use blocks::{blocks, dense_blocks, Blocks};
pub use dense::{dense, require_dense, DenseSpectrum, DENSE_LIMIT};
pub use effective_rank::{effective_rank, effective_rank_sampled, stable_rank};
pub use exact::{
    exact_frobenius, exact_frobenius_flops, exact_frobenius_len, exact_trace, exact_trace_flops, exact_trace_len,
    frobenius_blocks, require_closed, Closed,
};
pub use frobenius::{frobenius, frobenius_deflated};
pub use lanczos::{density, density_of, entropy_rank, entropy_rank_of, lanczos_sizes, log_det, log_det_of, Density};
pub use learnability::{learnability, Learnability};
pub use lyapunov::{lyapunov, require_recurrence};
pub use marginal::{is_structured, marginal, marginal_of, Kept, Marginal, MARGINAL_LIMIT};
pub use memo::Memo;
pub use pair_statistic::{pair_alignment, pair_statistic, SecondMoment};
pub use problem::{chunk, Budget, Extent, Family, Problem, SKETCHES, TESTS};
pub use sampling::sketch_sizes;
pub use singular_triplets::{singular_triplets, Triplets};
pub use small::eigen as symmetric_eigen;
pub use tall::Tall;
pub use trace::{
    auto, forward, hutchinson, hutchpp, largest_sketch, look_at, nystrompp, per_trajectory, per_trajectory_xnystrace,
    reverse, xnystrace, xtrace, Exact,
};

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The method is exact.
    Exact,
    /// The estimated error is within the tolerance.
    Tolerance,
    /// All products allowed are spent.
    Budget,
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
            StopReason::Overflow => "products overflow",
        }
    }
}

/// What to do where numbers leave the range of the job's precision: never to take the one that it
/// has.
pub fn beyond<T: Real>() -> String {
    match T::epsilon().f64() > 1e-10 {
        true => "single precision holds 1e-38 to 3e38; take precision = \"f64\", or check the weights and inputs".into(),
        false => "double precision holds 1e-308 to 1e308, and no other has more; scale the weights or the inputs, or take fewer steps".into(),
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
    /// Its standard error; 0 where the method is exact, infinite where too few products allow none or they overflow. Never NaN.
    pub standard_error: f64,
    /// Operator products spent.
    pub matvecs: usize,
    /// Why it stopped.
    pub stop: StopReason,
    /// Products, value and standard error on the way.
    pub history: Vec<[f64; 3]>,
}

impl Estimate {
    /// A value without error.
    pub fn exact(value: f64, matvecs: usize) -> Self {
        Self {
            value,
            standard_error: 0.0,
            matvecs,
            stop: StopReason::Exact,
            history: vec![[matvecs as f64, value, 0.0]],
        }
    }

    /// What is left when products overflow: the last finite value, of which nothing is claimed any more.
    fn overflow(matvecs: usize, history: Vec<[f64; 3]>) -> Self {
        let value = history.last().map_or(0.0, |h| h[1]);
        Self { value, standard_error: f64::INFINITY, matvecs, stop: StopReason::Overflow, history }
    }
}

/// Eigenpairs of a symmetric operator, largest first.
#[derive(Clone, Debug)]
pub struct Eigenpairs<T> {
    /// The Ritz values.
    pub values: Vec<f64>,
    /// ‖A v − λ v‖ / λ_1 of each.
    pub residuals: Vec<f64>,
    /// The vectors: this rank's trajectories.
    pub vectors: Tall<T>,
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
mod tests_journal;
#[cfg(test)]
mod tests_lengths;
#[cfg(test)]
mod tests_marginal;
#[cfg(test)]
mod tests_qr;
#[cfg(test)]
mod tests_spectra;
#[cfg(test)]
mod tests_trace;
#[cfg(test)]
mod twins;
