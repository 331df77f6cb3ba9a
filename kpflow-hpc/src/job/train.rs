//! The job file of a training, TRAIN.toml.

use super::section::Section;
use super::{read, table, Kind, Precision, Source};
use crate::error::{Error, Result};
use crate::tasks::{self, Task};
use kpflow_core::model::Activation;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Table;
use xxhash_rust::xxh3::xxh3_64;

/// A whole training.
#[derive(Clone, Debug)]
pub struct TrainJob {
    /// The job file.
    pub path: PathBuf,
    /// The model.
    pub model: TrainModel,
    /// What it is trained on.
    pub data: TrainData,
    /// How the weights are changed.
    pub optimizer: Optimizer,
    /// η.
    pub learning_rate: f64,
    /// Changes of the weights.
    pub steps: usize,
    /// Trajectories of a step; `None` for all of a file.
    pub batch: Option<usize>,
    /// The largest norm of a gradient.
    pub clip: Option<f64>,
    /// The steps whose weights are kept, besides the last's.
    pub checkpoints: Vec<usize>,
    /// Steps from one checkpoint to the next.
    pub every: Option<usize>,
    /// f32 or f64.
    pub precision: Precision,
    /// The key of all random numbers.
    pub seed: u64,
    /// The directory of everything that is written.
    pub directory: PathBuf,
    /// What an interrupted training must have had in common with this one to be gone on with.
    pub fingerprint: u64,
}

/// `[model]`.
#[derive(Clone, Debug)]
pub struct TrainModel {
    /// rnn, leaky_rnn, gru or lstm.
    pub kind: Kind,
    /// H; the initial weights tell it if the job does not.
    pub hidden: Option<usize>,
    /// φ.
    pub activation: Option<Activation>,
    /// The step of time.
    pub dt: Option<f64>,
    /// Whether there are biases.
    pub bias: bool,
    /// The initial weights; drawn if `None`.
    pub weights: Option<PathBuf>,
    /// What the names of the layer's tensors begin with.
    pub prefix: String,
    /// The name of the readout.
    pub readout: String,
}

/// What is trained on.
#[derive(Clone, Debug)]
pub enum TrainData {
    /// Trajectories drawn anew for every step.
    Task(&'static str, Arc<dyn Task>),
    /// Trajectories of files, in their order.
    Files {
        /// `[M, T, n_in]`.
        inputs: Source,
        /// `[M, T, n_out]`.
        targets: Source,
        /// `[M, T]`, ones if `None`.
        mask: Option<Source>,
        /// `[M]`, the steps of each trajectory; all of them if `None`.
        lengths: Option<Source>,
    },
}

/// An optimiser, with PyTorch's definitions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// `torch.optim.Adam`.
    Adam {
        /// β₁, β₂.
        betas: [f64; 2],
        /// ε.
        eps: f64,
    },
    /// `torch.optim.SGD`.
    Sgd {
        /// μ.
        momentum: f64,
    },
}

const KINDS: &[(&str, Kind)] =
    &[("rnn", Kind::Rnn), ("leaky_rnn", Kind::LeakyRnn), ("gru", Kind::Gru), ("lstm", Kind::Lstm)];
const ACTIVATIONS: &[(&str, Activation)] =
    &[("tanh", Activation::Tanh), ("relu", Activation::Relu), ("linear", Activation::Linear)];

/// The most hidden units, trajectories of a batch, and steps of a training.
const MOST: usize = 1 << 20;
const MOST_STEPS: usize = 1 << 31;

/// A number within `least ..= most`.
fn within(s: &Section<'_>, key: &str, default: f64, least: f64, most: f64) -> Result<f64> {
    let x = s.number(key)?.unwrap_or(default);
    match x >= least && x <= most {
        true => Ok(x),
        false => Err(s.error(format!("{key} = {x} is outside of its range; it is from {least} to {most}"))),
    }
}

/// A number above 0.
fn positive(s: &Section<'_>, key: &str) -> Result<Option<f64>> {
    match s.number(key)? {
        Some(x) if !(x > 0.0 && x.is_finite()) => Err(s.error(format!("{key} = {x} is not a positive number"))),
        other => Ok(other),
    }
}

/// An integer within `least ..= most`.
fn count(s: &Section<'_>, key: &str, least: usize, most: usize) -> Result<Option<usize>> {
    match s.integer(key, least as i64)? {
        Some(n) if n > most => Err(s.error(format!("{key} = {n} is too large; it is at most {most}"))),
        other => Ok(other),
    }
}

impl TrainJob {
    /// Reads and checks a job file.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(path, &read(path)?)
    }

    /// Checks the text of a job file; paths in it are relative to `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let table = table(path, text)?;
        let keys = ["model", "task", "data", "training", "compute", "output"];
        let root = Section::new(path, "the training", &table, &keys)?;
        let (directory, empty) = (path.parent().unwrap_or(Path::new("")), Table::new());
        let required = |key: &str| root.table(key)?.ok_or_else(|| root.missing(&format!("[{key}]")));
        let model = model(path, directory, required("model")?)?;
        let compute = root.table("compute")?.unwrap_or(&empty);
        let compute = Section::new(path, "[compute]", compute, &["precision", "seed"])?;
        let seed = compute.integer("seed", 0)?.unwrap_or(0) as u64;
        let output = Section::new(path, "[output]", root.table("output")?.unwrap_or(&empty), &["directory"])?;
        let data = match (root.table("task")?, root.table("data")?) {
            (Some(_), Some(_)) => return Err(root.error("[task] and [data] both say what is trained on; one of them")),
            (None, None) => return Err(root.error("neither [task] nor [data] says what is trained on; one of them")),
            (Some(t), None) => task(path, t, seed)?,
            (None, Some(t)) => files(path, directory, t)?,
        };
        let keys = [
            "optimizer",
            "learning_rate",
            "betas",
            "eps",
            "momentum",
            "steps",
            "batch",
            "clip",
            "checkpoints",
            "every",
        ];
        let s = Section::new(path, "[training]", required("training")?, &keys)?;
        let steps = count(&s, "steps", 1, MOST_STEPS)?.ok_or_else(|| s.missing("steps"))?;
        let checkpoints = s.integers("checkpoints")?.unwrap_or_default();
        if let Some(beyond) = checkpoints.iter().find(|&&c| c > steps) {
            return Err(s.error(format!("checkpoints names step {beyond}; they are from 0 to steps = {steps}")));
        }
        let batch = count(&s, "batch", 1, MOST)?;
        Ok(Self {
            path: path.into(),
            optimizer: optimizer(&s)?,
            learning_rate: positive(&s, "learning_rate")?.ok_or_else(|| s.missing("learning_rate"))?,
            steps,
            batch: batch.or(matches!(data, TrainData::Task(..)).then_some(32)),
            clip: positive(&s, "clip")?,
            checkpoints,
            every: count(&s, "every", 1, MOST_STEPS)?,
            precision: compute.choice("precision", Precision::F32, Precision::SAID)?,
            seed,
            directory: directory.join(output.text("directory")?.unwrap_or("training")),
            fingerprint: fingerprint(&table),
            model,
            data,
        })
    }

    /// Whether the weights after this many steps are kept.
    pub fn keeps(&self, step: usize) -> bool {
        step == self.steps || self.checkpoints.contains(&step) || self.every.is_some_and(|every| step % every == 0)
    }
}

/// A number of all that the weights depend on. How long the training is, what is kept of it and where are none of that.
fn fingerprint(table: &Table) -> u64 {
    let mut table = table.clone();
    table.remove("output");
    if let Some(training) = table.get_mut("training").and_then(|t| t.as_table_mut()) {
        ["steps", "checkpoints", "every"].into_iter().for_each(|key| drop(training.remove(key)));
    }
    xxh3_64(format!("{} {table}", env!("CARGO_PKG_VERSION")).as_bytes())
}

fn model(path: &Path, directory: &Path, table: &Table) -> Result<TrainModel> {
    let keys = ["kind", "hidden", "activation", "dt", "bias", "weights", "prefix", "readout"];
    let s = Section::new(path, "[model]", table, &keys)?;
    let kind = s.required_choice("kind", KINDS)?;
    let only = |key: &str, kinds: &[Kind]| match s.has(key) && !kinds.contains(&kind) {
        true => {
            let names: Vec<&str> = kinds.iter().map(|k| k.name()).collect();
            Err(s.error(format!("{key} is not for kind = \"{}\"; it is for {}", kind.name(), names.join(", "))))
        }
        false => Ok(()),
    };
    only("activation", &[Kind::Rnn, Kind::LeakyRnn])?;
    only("dt", &[Kind::LeakyRnn])?;
    let activation = s.has("activation").then(|| s.choice("activation", Activation::Tanh, ACTIVATIONS)).transpose()?;
    if kind == Kind::Rnn && activation == Some(Activation::Linear) {
        return Err(s.error("activation of an rnn is \"tanh\" or \"relu\", as PyTorch has it"));
    }
    let dt = s.number("dt")?;
    if kind == Kind::LeakyRnn && !dt.is_some_and(|dt| dt > 0.0 && dt <= 1.0) {
        return Err(s.error("dt of a leaky_rnn is required, above 0 and at most 1"));
    }
    let weights = s.text("weights")?.map(|w| directory.join(w));
    let hidden = count(&s, "hidden", 1, MOST)?;
    if hidden.is_none() && weights.is_none() {
        return Err(s.missing("hidden"));
    }
    Ok(TrainModel {
        kind,
        hidden,
        activation,
        dt,
        bias: s.boolean("bias")?.unwrap_or(true),
        weights,
        prefix: s.text("prefix")?.unwrap_or("rnn.").into(),
        readout: s.text("readout")?.unwrap_or("readout").into(),
    })
}

fn task(path: &Path, table: &Table, seed: u64) -> Result<TrainData> {
    // Which keys there are depends on the name, which is looked at first.
    let all: Vec<(&str, usize)> = tasks::ALL.iter().enumerate().map(|(i, d)| (d.name, i)).collect();
    let any: Vec<&str> = table.keys().map(String::as_str).chain(["name"]).collect();
    let name = Section::new(path, "[task]", table, &any)?;
    let description = match name.has("name") {
        true => tasks::ALL[name.choice("name", 0, &all)?],
        // A key near to "name" is named, if there is one.
        false => {
            Section::new(path, "[task]", table, &["name"])?;
            return Err(name.missing("name"));
        }
    };
    let keys: Vec<&str> = ["name"].into_iter().chain(description.parameters.iter().map(|p| p.key)).collect();
    let s = Section::new(path, "[task]", table, &keys)?;
    let value = |p: &tasks::Parameter| match p.whole {
        true => Ok(count(&s, p.key, p.least as usize, p.most as usize)?.map_or(p.default, |n| n as f64)),
        false => within(&s, p.key, p.default, p.least, p.most),
    };
    let values = description.parameters.iter().map(value).collect::<Result<Vec<f64>>>()?;
    let task = (description.make)(&values, seed).map_err(|e| s.error(e))?;
    Ok(TrainData::Task(description.name, task.into()))
}

fn files(path: &Path, directory: &Path, table: &Table) -> Result<TrainData> {
    let s = Section::new(path, "[data]", table, &["inputs", "targets", "mask", "lengths"])?;
    let source = |text: &str| Source::named(directory, text);
    Ok(TrainData::Files {
        inputs: source(s.required_text("inputs")?),
        targets: source(s.required_text("targets")?),
        mask: s.text("mask")?.map(source),
        lengths: s.text("lengths")?.map(source),
    })
}

fn optimizer(s: &Section<'_>) -> Result<Optimizer> {
    let default = Optimizer::Adam { betas: [0.9, 0.999], eps: 1e-8 };
    let all = [("adam", default), ("sgd", Optimizer::Sgd { momentum: 0.0 })];
    let chosen = s.choice("optimizer", default, &all)?;
    let (name, own, foreign): (_, _, &[&str]) = match chosen {
        Optimizer::Adam { .. } => ("adam", "sgd", &["momentum"]),
        Optimizer::Sgd { .. } => ("sgd", "adam", &["betas", "eps"]),
    };
    if let Some(key) = foreign.iter().find(|key| s.has(key)) {
        return Err(s.error(format!("{key} is not for optimizer = \"{name}\"; it is for {own}")));
    }
    Ok(match chosen {
        Optimizer::Adam { betas, .. } => {
            Optimizer::Adam { betas: self::betas(s)?.unwrap_or(betas), eps: within(s, "eps", 1e-8, 0.0, 1.0)? }
        }
        Optimizer::Sgd { .. } => Optimizer::Sgd { momentum: within(s, "momentum", 0.0, 0.0, 1.0)? },
    })
}

fn betas(s: &Section<'_>) -> Result<Option<[f64; 2]>> {
    let Some(value) = s.get("betas") else { return Ok(None) };
    let number = |v: &toml::Value| v.as_float().or(v.as_integer().map(|i| i as f64)).filter(|b| (0.0..1.0).contains(b));
    let both = value.as_array().and_then(|list| match &list[..] {
        [a, b] => Some([number(a)?, number(b)?]),
        _ => None,
    });
    both.map(Some).ok_or_else(|| s.error("betas are two numbers from 0 to below 1, such as [0.9, 0.999]"))
}

/// Fails with what is wrong with the model of a job file.
pub fn wrong_model(job: &TrainJob, message: impl std::fmt::Display) -> Error {
    Error::input(&job.path, format!("in [model]: {message}"))
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
