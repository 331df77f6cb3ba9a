//! Is the model that runs the one whose outputs were recorded? What an export wrote beside the
//! weights, against what this program computes.

use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::hdf5_file;
use crate::job::{Job, Source};
use crate::load::Array;
use crate::model::Loaded;
use crate::network::select::StateChoice;
use crc32fast::Hasher;
use std::path::Path;

/// What may lie between two programs in single precision, of the largest output.
const SINGLE: f64 = 1e-4;
/// The same where the record does not say what it was measured to be.
const UNKNOWN: f64 = 1e-5;
/// Numbers that are read at once for a checksum.
const BLOCK: usize = 1 << 20;

/// What is known of recorded outputs.
struct Recorded {
    array: Array,
    /// Relative to the largest number.
    tolerance: f64,
    /// The checksum of the file of weights that made them.
    weights: Option<u32>,
    /// Of the inputs.
    inputs: Option<u32>,
}

impl Recorded {
    fn open(source: &Source) -> Result<Self> {
        let array = Array::open(source)?;
        let (mut tolerance, mut weights, mut inputs) = (UNKNOWN, None, None);
        if let (Some(name), true) = (&source.dataset, hdf5_file::is_hdf5(&source.path)) {
            let file = hdf5_file::open(&source.path, "")?;
            let attribute = |of: &str| file.dataset(name).and_then(|d| d.attr(of));
            let sum = |of: &str| attribute(of).and_then(|a| a.read_scalar::<i64>()).ok().map(|x| x as u32);
            (weights, inputs) = (sum("weights_crc32"), sum("inputs_crc32"));
            let told = attribute("tolerance").and_then(|a| a.read_scalar::<f64>());
            tolerance = told.ok().filter(|t| (0.0..1.0).contains(t)).unwrap_or(UNKNOWN);
        }
        Ok(Self { array, tolerance, weights, inputs })
    }
}

/// The outcome: what to print, whether it is good.
pub(super) struct Outcome {
    pub name: String,
    pub found: String,
    pub good: bool,
    /// What is likely wrong where it is not.
    pub why: String,
}

/// Compares in double precision and, if the job runs in single, in that too. Nothing where the job
/// names no outputs. Collective.
pub(super) fn compare(job: &Job, engine: &Engine) -> Result<Vec<Outcome>> {
    let Some(source) = &job.outputs else { return Ok(Vec::new()) };
    let grid = engine.grid();
    let recorded = grid.agree(Recorded::open(source))?;
    grid.agree(if grid.is_root() { same_inputs(job, &recorded) } else { Ok(()) })?;
    let changed = grid.agree(changed(&job.model.weights, recorded.weights))?;
    if changed && !job.stages.is_empty() {
        let found = "not compared: they were recorded of other weights than the first stage's".into();
        return Ok(vec![Outcome { name: "recorded outputs".into(), found, good: true, why: String::new() }]);
    }
    let mut outcomes = vec![outcome::<f64>(job, engine, &recorded, recorded.tolerance, changed)?];
    if job.precision == crate::job::Precision::F32 {
        outcomes.push(outcome::<f32>(job, engine, &recorded, recorded.tolerance.max(SINGLE), changed)?);
    }
    Ok(outcomes)
}

fn outcome<T: Real>(job: &Job, engine: &Engine, recorded: &Recorded, within: f64, changed: bool) -> Result<Outcome> {
    let (grid, array) = (engine.grid(), &recorded.array);
    // Whatever the job watches and trains, this is about the output, which depends on all of it.
    let mut job = job.clone();
    (job.model.state, job.model.readout, job.model.parameters) = (StateChoice::Output, None, Vec::new());
    let loaded = Loaded::<T>::load(&job, engine)?;
    let output = loaded.network().watched().first().map_or(String::new(), |w| w.name.clone());
    let name = match output.as_str() {
        "" => "output against what was recorded".into(),
        output => format!("output {output} against what was recorded"),
    };
    let (file, per) = (job.model.weights.display(), loaded.shape.per_trajectory());
    let why = match changed {
        true => format!("{file} has changed since its outputs were recorded"),
        false => format!(
            "{file} is what it was when they were recorded: kind, activation or another key of [model] is not what made them, or this is a bug to report"
        ),
    };
    let shape = array.shape();
    if shape.first() != Some(&loaded.trajectories) || shape[1..].iter().product::<usize>() != per {
        let (b, (t, n)) = (loaded.trajectories, loaded.network().state_shape());
        let found = format!("{shape:?} was recorded, and the model that runs makes [{b}, {t}, {n}]");
        return Ok(Outcome { name, found, good: false, why });
    }
    let found = loaded.run(loaded.weights(), engine)?;
    let rows = loaded.first..loaded.first + loaded.shape.trajectories;
    // Behind a trajectory's end there is nothing to compare, whatever torch made of the padding.
    let lengths = loaded.lengths().filter(|_| shape.get(1) == Some(&loaded.shape.steps));
    let right = grid.agree(array.read_until::<f64>(rows, lengths))?;
    let first = loaded.first * per;
    let worst = farthest(engine, first, &found, &right);
    let (apart, scale) = (worst.apart, worst.scale.max(f64::MIN_POSITIVE));
    let good = apart <= within * scale;
    let precision = if std::mem::size_of::<T>() == 4 { " in single precision" } else { "" };
    let place = index_of(worst.at, shape);
    let mut told = format!(
        "{:.1e} of the largest{precision}, tolerance {within:.0e} (trajectory {}, at {place:?}: {apart:.2e})",
        apart / scale,
        place.first().copied().unwrap_or(0),
    );
    if good && changed {
        told += "; the file of the weights has changed since";
    }
    Ok(Outcome { name, found: told, good, why })
}

struct Farthest {
    apart: f64,
    scale: f64,
    at: usize,
}

/// The largest difference, the largest number of `right`, and where the first such difference is.
/// Collective.
fn farthest<T: Real>(engine: &Engine, first: usize, found: &[T], right: &[f64]) -> Farthest {
    // What is no number is as far off as can be.
    let apart = |(a, b): (&T, &f64)| {
        let d = (a.to_f64().unwrap_or(f64::NAN) - b).abs();
        if d.is_nan() {
            f64::INFINITY
        } else {
            d
        }
    };
    let differences: Vec<f64> = found.iter().zip(right).map(apart).collect();
    let most = differences.iter().copied().fold(0.0, f64::max);
    let scale = right.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    let world = engine.grid().world();
    // Numbers from 0 are ordered as their bits are.
    let [apart, scale] = world.most([most.to_bits(), scale.to_bits()]).map(f64::from_bits);
    let own = differences.iter().position(|d| *d == apart).map_or(0, |i| u64::MAX - (first + i) as u64);
    let [at] = world.most([own]);
    Farthest { apart, scale, at: (u64::MAX - at) as usize }
}

fn index_of(place: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = place;
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|d| {
            let i = rest % d;
            rest /= d;
            i
        })
        .collect();
    index.reverse();
    index
}

/// Fails if the outputs were recorded of other inputs.
fn same_inputs(job: &Job, recorded: &Recorded) -> Result<()> {
    let Some(right) = recorded.inputs else { return Ok(()) };
    let sources = job.inputs.iter().map(|(_, source)| source).chain(&job.initial_state);
    let mut sums = sources.map(|s| Array::open(s).and_then(|a| checksum(&a))).collect::<Result<Vec<u32>>>()?;
    sums.sort_unstable();
    let mut all = Hasher::new();
    sums.iter().for_each(|s| all.update(&s.to_le_bytes()));
    match all.finalize() == right {
        true => Ok(()),
        false => Err(recorded
            .array
            .error("was recorded of other inputs than the job's; export them again, or leave outputs out of [data]")),
    }
}

/// Of an array's numbers in double precision, whatever its type and file.
fn checksum(array: &Array) -> Result<u32> {
    let rows = array.shape().first().copied().unwrap_or(0);
    let per = array.shape().iter().skip(1).product::<usize>().max(1);
    let (step, mut sum) = ((BLOCK / per).max(1), Hasher::new());
    for start in (0..rows).step_by(step) {
        let numbers = array.read_rows::<f64>(start..rows.min(start + step))?;
        sum.update(&numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
    }
    Ok(sum.finalize())
}

/// Whether a file is another than the one of this checksum.
fn changed(path: &Path, right: Option<u32>) -> Result<bool> {
    use std::io::Read;
    let Some(right) = right else { return Ok(false) };
    let mut file = crate::spelling::open(path)?;
    let (mut buffer, mut sum) = (vec![0; 8 << 20], Hasher::new());
    loop {
        match file.read(&mut buffer).map_err(|e| crate::spelling::unreadable(path, &e))? {
            0 => return Ok(sum.finalize() != right),
            n => sum.update(&buffer[..n]),
        }
    }
}

/// What is said at the end of a check that failed here.
pub(super) fn failed(path: &Path, outcomes: &[Outcome]) -> Option<Error> {
    let wrong = outcomes.iter().find(|o| !o.good)?;
    Some(Error::run(format!(
        "the model that {} runs is not the one whose outputs were recorded: {}: {}; {}",
        path.display(),
        wrong.name,
        wrong.found,
        wrong.why
    )))
}

/// Fails where a job names outputs and its model, in double precision, makes others. Collective.
pub(crate) fn require(job: &Job, engine: &Engine) -> Result<()> {
    let Some(source) = &job.outputs else { return Ok(()) };
    let grid = engine.grid();
    let recorded = grid.agree(Recorded::open(source))?;
    let found = outcome::<f64>(job, engine, &recorded, recorded.tolerance, false)?;
    match found.good {
        true => Ok(()),
        false => Err(Error::input(
            &job.model.weights,
            format!(
                "as it runs here it does not give the outputs recorded of it: {}: {}; a graph is that of one trajectory: control flow that depends on numbers is lost in it",
                found.name, found.found
            ),
        )),
    }
}
