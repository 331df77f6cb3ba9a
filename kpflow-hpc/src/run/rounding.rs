//! What single precision leaves unknown: products in it beside the same in double precision.
//!
//! Rounding accumulates over the steps of a network, in its state and in every product; no estimate that is made of such products can see it. So before the analyses of a run in
//! f32, some trajectories are run once more in f64, and a few random vectors are multiplied in both: δ = ‖y₃₂ − y₆₄‖ / ‖y₃₂‖. What an
//! error bar lacks is then in proportion to δ ([`Rounds`](crate::analysis::outputs::Rounds)), added in squares. A run in f64 has none.

use crate::analysis::outputs::Rounds;
use crate::analysis::{of_part, Found, Part, Quantity};
use crate::comm::Comm;
use crate::engine::{is_single, Engine, Real};
use crate::error::Result;
use crate::job::{Analysis, Job};
use crate::model::Sample;
use kpflow_core::machine::Tasks;
use kpflow_core::ntk::Coupling;
use kpflow_core::probe::{Distribution, Probe};
use kpflow_core::{BlockMut, BlockRef};
use kpflow_estimate::{StopReason, Tall, Z};

/// Trajectories that are run twice, at most: spread evenly, so that they are the same on any number of ranks.
const SAMPLES: usize = 4;
/// Vectors that are multiplied in both precisions.
pub(crate) const VECTORS: usize = 4;
/// The family of random vectors that no estimate draws from.
const STREAM: u32 = 255;
/// What a run says whose tolerance is below its rounding.
const BEYOND: &str = "rtol is below the rounding of f32; take precision = \"f64\"";

/// δ of every operator of a job; of a run in f64, none.
#[derive(Debug, Default)]
pub(super) struct Rounding {
    of: Vec<(String, f64)>,
}

/// The operators that are told apart: all of them on some part of the state.
fn distinct(job: &Job) -> Vec<&Analysis> {
    let mut all: Vec<&Analysis> = Vec::new();
    for analysis in &job.analyses {
        if all.iter().all(|other| !other.same_operator(analysis)) {
            all.push(analysis);
        }
    }
    all
}

impl Rounding {
    /// Measures it. Collective: each of the trajectories is run by one rank.
    pub fn measure<T: Real>(job: &Job, trajectories: usize, engine: &Engine) -> Result<Self> {
        if !is_single::<T>() {
            return Ok(Self::default());
        }
        let (analyses, world) = (distinct(job), engine.grid().world());
        let (samples, mut squares) = (trajectories.min(SAMPLES), vec![0.0; 2 * analyses.len()]);
        let mut own = || -> Result<()> {
            for i in (0..samples).filter(|i| i % world.size() == world.rank()) {
                let alone = Engine::new(Comm::alone(), engine.lanes())?;
                let trajectory = i * trajectories / samples;
                let double = products::<f64>(job, &analyses, trajectory, &alone)?;
                let single = products::<T>(job, &analyses, trajectory, &alone)?;
                for (sums, (y, z)) in squares.chunks_exact_mut(2).zip(single.iter().zip(&double)) {
                    sums[0] += y.iter().zip(z).map(|(y, z)| (y - z).powi(2)).sum::<f64>();
                    sums[1] += y.iter().map(|y| y * y).sum::<f64>();
                }
            }
            Ok(())
        };
        let done = own();
        world.agree(done)?;
        // In the same order on any number of ranks.
        let mut all = vec![0.0; squares.len() * world.size()];
        world.gather(&squares, &mut all);
        let total = |i: usize| all.chunks_exact(squares.len()).map(|s| s[i]).sum::<f64>();
        let delta = |i: usize| match [total(2 * i), total(2 * i + 1)] {
            [apart, size] if apart > 0.0 && size > 0.0 => (apart / size).sqrt(),
            _ => 0.0,
        };
        Ok(Self { of: analyses.iter().enumerate().map(|(i, a)| (a.known_as(), delta(i))).collect() })
    }

    /// δ of an analysis's operator.
    pub fn of(&self, analysis: &Analysis) -> f64 {
        let known = analysis.known_as();
        self.of.iter().find(|(name, _)| *name == known).map_or(0.0, |(_, delta)| *delta)
    }
}

/// The products of every operator with the same random vectors, on one trajectory.
fn products<T: Real>(job: &Job, analyses: &[&Analysis], trajectory: usize, engine: &Engine) -> Result<Vec<Vec<f64>>> {
    let probe = Probe { seed: job.seed, stream: STREAM, distribution: Distribution::Rademacher };
    Sample::<T>::read(job, trajectory)?.linearized(engine, |lin| {
        let one = |a: &&Analysis| -> Result<Vec<f64>> {
            // A mean over trajectories is of one trajectory's block here.
            let part = Part { average: false, ..a.part.clone() };
            let op = of_part(a.operator.make(lin, engine, Coupling::PerTrajectory)?, &part, 1, true, engine)?;
            let (domain, codomain) = (op.domain(), op.codomain());
            let mut x = vec![T::zero(); VECTORS * domain.len()];
            let mut y = vec![T::zero(); VECTORS * codomain.len()];
            let mut scratch = vec![T::zero(); op.scratch_len(VECTORS)];
            probe.fill(trajectory, 0, BlockMut::new(domain, VECTORS, &mut x)?)?;
            let (read, written) = (BlockRef::new(domain, VECTORS, &x)?, BlockMut::new(codomain, VECTORS, &mut y)?);
            op.apply(read, written, &mut scratch)?;
            Ok(y.iter().map(|y| y.f64()).collect())
        };
        analyses.iter().map(one).collect()
    })?
}

impl<T: Real> Found<Tall<T>> {
    /// Adds what rounding leaves unknown to every error, where products are known to δ of their size.
    pub(super) fn round(&mut self, quantity: &Quantity, delta: f64, rtol: f64) {
        if delta == 0.0 {
            return;
        }
        self.round_value(quantity, delta);
        let mut largest: f64 = 0.0;
        for output in quantity.outputs {
            if let (Rounds::Relative { times, .. }, Some(error)) = (output.rounds, output.error) {
                self.round_tensor([output.name, error], times * delta);
            }
            let Some(own) = self.arrays.iter().position(|a| a.0 == output.name) else { continue };
            match (output.rounds, output.error) {
                (Rounds::Relative { times, .. }, Some(error)) => {
                    let by: Vec<f64> = self.arrays[own].2.iter().map(|x| times * delta * x.abs()).collect();
                    if let Some((.., errors)) = self.arrays.iter_mut().find(|a| a.0 == error) {
                        errors.iter_mut().zip(by).for_each(|(e, by)| *e = e.hypot(by));
                    }
                }
                (Rounds::Residual, _) => {
                    let residuals = &mut self.arrays[own].2;
                    residuals.iter_mut().for_each(|r| *r = r.hypot(delta));
                    largest = residuals.iter().copied().fold(largest, f64::max);
                }
                (Rounds::Relative { .. }, None) | (Rounds::No, _) => {}
            }
        }
        let half = self.ends().map_or(0.0, |[low, high]| (high - low) / 2.0);
        let within = half <= rtol * self.value.map_or(0.0, f64::abs) && largest <= rtol;
        if self.stop == StopReason::Tolerance && self.status.is_none() && !within {
            (self.stop, self.status) = (StopReason::Budget, Some(BEYOND));
        }
    }

    /// The same of a tensor and that of its errors.
    fn round_tensor(&mut self, [name, error]: [&str; 2], by: f64) {
        let find = |name: &str| self.tensors.iter().position(|t| t.name == name);
        let (Some(own), Some(errors)) = (find(name), find(error)) else { return };
        let by: Vec<f64> = self.tensors[own].block.data.iter().map(|x| by * x.f64().abs()).collect();
        self.tensors[errors].block.data.iter_mut().zip(by).for_each(|(e, by)| *e = T::of(e.f64().hypot(by)));
    }

    fn round_value(&mut self, quantity: &Quantity, delta: f64) {
        let rounds = quantity.output("value").map_or(Rounds::No, |o| o.rounds);
        let (Some(value), Some(error), Rounds::Relative { times, possible }) =
            (self.value, self.standard_error, rounds)
        else {
            return;
        };
        let by = times * delta * value.abs();
        let ends = self.ends().unwrap_or([value; 2]);
        let [low, high] = ends.map(|end| (end - value).abs().hypot(Z * by));
        // A rank of 0 is that of nothing.
        let least = if value < possible[0] { f64::NEG_INFINITY } else { possible[0] };
        self.interval = Some([(value - low).max(least).min(value), (value + high).min(possible[1]).max(value)]);
        self.standard_error = Some(error.hypot(by));
    }
}
