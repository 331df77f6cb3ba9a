//! What single precision leaves unknown: products in it beside the same in double precision.
//!
//! Rounding accumulates over the steps of a network, in its state and in every product; no estimate that is made of such products can see it. So before the analyses of a run in
//! f32, some trajectories are run once more in f64, and a few random vectors are multiplied in both: δ = ‖y₃₂ − y₆₄‖ / ‖y₃₂‖. What an
//! error bar lacks is then in proportion to δ ([`Rounds`](crate::analysis::outputs::Rounds)), added in squares. A run in f64 has none.

use crate::analysis::outputs::Rounds;
use crate::analysis::{of_part, Found, Part};
use crate::comm::Comm;
use crate::engine::{is_single, Engine, Real};
use crate::error::Result;
use crate::job::{Analysis, Job};
use crate::model::{of_all, on_one, Loaded};
use crate::network::FromFiles;
use kpflow_core::machine::Tasks;
use kpflow_core::ntk::Coupling;
use kpflow_core::probe::{Distribution, Probe};
use kpflow_core::{BlockMut, BlockRef};
use kpflow_estimate::{power_of, times_power, StopReason, Tall, Z};

/// Trajectories that are run twice, at most: spread evenly, so that they are the same on any number of ranks.
const SAMPLES: usize = 4;
/// Numbers of a model that one rank alone reads once more.
const LARGE: usize = 1 << 26;
/// Vectors that are multiplied in both precisions.
pub(crate) const VECTORS: usize = 4;
/// The powers of two of numbers that single precision holds when they are squared.
const MILD: i32 = 50;
/// The family of random vectors that no estimate draws from.
const STREAM: u32 = 255;
/// What a run says whose tolerance is below its rounding.
const BEYOND: &str = "rtol is below the rounding of f32; take precision = \"f64\"";

/// What is unknown of every operator of a job; of a run in f64, nothing.
#[derive(Debug, Default)]
pub(super) struct Rounding {
    of: Vec<(String, Unknown)>,
}

/// What is unknown of the products of an operator.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unknown {
    /// δ.
    pub delta: f64,
    /// ‖A‖_F / √n, of all trajectories, or more.
    size: f64,
}

/// The operators of what is still to be done, told apart: all of them on some part of the state.
fn distinct<'j>(job: &'j Job, finished: &[&str]) -> Vec<&'j Analysis> {
    let mut all: Vec<&Analysis> = Vec::new();
    for analysis in job.analyses.iter().filter(|a| !finished.contains(&a.name.as_str())) {
        if all.iter().all(|other| !other.same_operator(analysis)) {
            all.push(analysis);
        }
    }
    all
}

impl Rounding {
    /// Measures it. Collective: each of the trajectories is run by one rank.
    pub fn measure<T: Real>(job: &Job, loaded: &Loaded<T>, finished: &[&str], engine: &Engine) -> Result<Self> {
        let analyses = distinct(job, finished);
        if !is_single::<T>() || analyses.is_empty() {
            return Ok(Self::default());
        }
        let (world, trajectories) = (engine.grid().world(), loaded.trajectories);
        let samples = trajectories.min(if loaded.sizes().weights > LARGE { 1 } else { SAMPLES });
        let mut squares = vec![0.0; 3 * analyses.len()];
        let mut own = || -> Result<()> {
            let mine = || (0..samples).filter(|i| i % world.size() == world.rank());
            let known = if mine().count() > 0 { of_all::<f64>(job)? } else { None };
            for i in mine() {
                let alone = Engine::within(Comm::alone(), engine.lanes())?;
                let trajectory = i * trajectories / samples;
                let no_powers = vec![0; analyses.len()];
                let double = products(job, &analyses, trajectory, &no_powers, known.as_ref(), &alone)?;
                let size = |y: &Vec<f64>| y.iter().fold(0.0, |m: f64, y| m.max(y.abs()));
                let powers: Vec<i32> = double.iter().map(|y| power_of(size(y), MILD)).collect();
                let single = products(job, &analyses, trajectory, &powers, Some(loaded.network()), &alone)?;
                for (sums, (y, z)) in squares.chunks_exact_mut(3).zip(single.iter().zip(&double)) {
                    sums[0] += y.iter().zip(z).map(|(y, z)| (y - z).powi(2)).sum::<f64>();
                    sums[1] += y.iter().map(|y| y * y).sum::<f64>();
                    sums[2] += y.len() as f64;
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
        let unknown = |i: usize, a: &Analysis| {
            let [apart, size, count] = [0, 1, 2].map(|j| total(3 * i + j));
            // Blocks between trajectories are no larger than those of one.
            let coupled = if a.operator.about().through_weights { trajectories as f64 } else { 1.0 };
            match apart > 0.0 && size > 0.0 && (apart + size).is_finite() {
                true => Unknown { delta: (apart / size).sqrt(), size: (coupled * size / count).sqrt() },
                false => Unknown::default(),
            }
        };
        Ok(Self { of: analyses.iter().enumerate().map(|(i, a)| (a.known_as(), unknown(i, a))).collect() })
    }

    /// What is unknown of an analysis's operator.
    pub fn of(&self, analysis: &Analysis) -> Unknown {
        let known = analysis.known_as();
        self.of.iter().find(|(name, _)| *name == known).map_or(Unknown::default(), |(_, unknown)| *unknown)
    }
}

/// The products of every operator with the same random vectors, on one trajectory, made of these times 2^-k.
fn products<T: Real>(
    job: &Job,
    analyses: &[&Analysis],
    trajectory: usize,
    powers: &[i32],
    known: Option<&FromFiles<T>>,
    engine: &Engine,
) -> Result<Vec<Vec<f64>>> {
    let probe = Probe { seed: job.seed, stream: STREAM, distribution: Distribution::Rademacher };
    on_one::<T, _>(job, trajectory, known, engine, |lin| {
        let one = |(a, &k): (&&Analysis, &i32)| -> Result<Vec<f64>> {
            // A mean over trajectories is of one trajectory's block here.
            let part = Part { average: false, ..a.part.clone() };
            let op = of_part(a.operator.make(lin, engine, Coupling::PerTrajectory)?, &part, 1, true, engine)?;
            let (domain, codomain) = (op.domain(), op.codomain());
            let mut x = vec![T::zero(); VECTORS * domain.len()];
            let mut y = vec![T::zero(); VECTORS * codomain.len()];
            let mut scratch = vec![T::zero(); op.scratch_len(VECTORS)];
            probe.fill(trajectory, 0, BlockMut::new(domain, VECTORS, &mut x)?)?;
            x.iter_mut().for_each(|x| *x = T::of(times_power(x.f64(), -k)));
            let (read, written) = (BlockRef::new(domain, VECTORS, &x)?, BlockMut::new(codomain, VECTORS, &mut y)?);
            op.apply(read, written, &mut scratch)?;
            Ok(y.iter().map(|y| times_power(y.f64(), k)).collect())
        };
        analyses.iter().zip(powers).map(one).collect()
    })?
}

impl<T: Real> Found<Tall<T>> {
    /// Adds what rounding leaves unknown to every error.
    pub(super) fn round(&mut self, analysis: &Analysis, unknown: Unknown) {
        let (quantity, rtol, Unknown { delta, .. }) = (analysis.quantity, analysis.rtol, unknown);
        if delta == 0.0 {
            return;
        }
        self.round_value(analysis, unknown);
        let mut largest: f64 = 0.0;
        for output in quantity.outputs {
            if let (Rounds::Relative { times, .. }, Some(error)) = (output.rounds, output.error) {
                self.round_tensor([output.name, error], times * delta);
            }
            let Some(own) = self.arrays.iter().position(|a| a.0 == output.name) else { continue };
            match (output.rounds, output.error) {
                (Rounds::Relative { times, .. }, Some(error)) => {
                    let by = sizes(&self.arrays[own].1, &self.arrays[own].2).map(|x| times * delta * x);
                    let by: Vec<f64> = by.collect();
                    if let Some((.., errors)) = self.arrays.iter_mut().find(|a| a.0 == error) {
                        errors.iter_mut().zip(by).for_each(|(e, by)| *e = e.hypot(by));
                    }
                }
                (Rounds::Residual, _) => {
                    let residuals = &mut self.arrays[own].2;
                    residuals.iter_mut().for_each(|r| *r = r.hypot(2.0 * delta));
                    largest = residuals.iter().copied().fold(largest, f64::max);
                }
                (Rounds::Relative { .. }, None) | (Rounds::No | Rounds::OverNoise { .. }, _) => {}
            }
        }
        // A value that does not round by itself is judged by the residuals.
        let rounds = quantity.output("value").is_some_and(|o| o.rounds != Rounds::No);
        let half = self.ends().filter(|_| rounds).map_or(0.0, |[low, high]| (high - low) / 2.0);
        let within = half <= rtol * self.value.map_or(0.0, f64::abs) && largest <= rtol;
        if self.stop == StopReason::Tolerance && self.status.is_none() && !within {
            (self.stop, self.status) = (StopReason::Budget, Some(BEYOND));
        }
    }

    /// The same of a tensor and that of its errors.
    fn round_tensor(&mut self, [name, error]: [&str; 2], by: f64) {
        let find = |name: &str| self.tensors.iter().position(|t| t.name == name);
        let (Some(own), Some(errors)) = (find(name), find(error)) else { return };
        let numbers: Vec<f64> = self.tensors[own].block.data.iter().map(|x| x.f64()).collect();
        let by: Vec<f64> = sizes(&[numbers.len()], &numbers).map(|x| by * x).collect();
        self.tensors[errors].block.data.iter_mut().zip(by).for_each(|(e, by)| *e = T::of(e.f64().hypot(by)));
    }

    fn round_value(&mut self, analysis: &Analysis, Unknown { delta, size }: Unknown) {
        let rounds = analysis.quantity.output("value").map_or(Rounds::No, |o| o.rounds);
        let (Some(value), Some(error)) = (self.value, self.standard_error) else { return };
        let (by, possible) = match rounds {
            Rounds::Relative { times, possible } => (times * delta * value.abs(), possible),
            Rounds::OverNoise { times } => {
                (delta * value.abs().hypot(times * size / analysis.noise), [0.0, f64::INFINITY])
            }
            Rounds::No | Rounds::Residual => return,
        };
        let ends = self.ends().unwrap_or([value; 2]);
        let [low, high] = ends.map(|end| (end - value).abs().hypot(Z * by));
        // A rank of 0 is that of nothing.
        let least = if value < possible[0] { f64::NEG_INFINITY } else { possible[0] };
        self.interval = Some([(value - low).max(least).min(value), (value + high).min(possible[1]).max(value)]);
        self.standard_error = Some(error.hypot(by));
    }
}

/// By what the errors of numbers are measured, of an array of this shape ([`Rounds::Relative`]).
fn sizes<'x>(shape: &[usize], x: &'x [f64]) -> impl Iterator<Item = f64> + 'x {
    let side = match *shape {
        [rows, columns] if rows == columns => rows,
        _ => 0,
    };
    let floor = 0.1 * (x.iter().map(|x| x * x).sum::<f64>() / x.len().max(1) as f64).sqrt();
    let on = move |i: usize| x[i * side + i].abs();
    x.iter().enumerate().map(move |(i, x)| match side {
        0 => x.abs().max(floor),
        side => (on(i / side) * on(i % side)).sqrt().max(x.abs()),
    })
}
