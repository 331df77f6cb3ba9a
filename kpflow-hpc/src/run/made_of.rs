//! What the analyses of a job are made of, before any of them is made.

use crate::analysis::{With, MATRIX};
use crate::comm::Grid;
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::job::{Analysis, Job, Kind, Source};
use crate::journal::bytes;
use crate::load::config_beside;
use crate::model::Loaded;
use crate::results::MadeOf;
use serde_json::json;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::{xxh3_64, Xxh3};

/// What all analyses of a run have in common, and what each is made of.
pub(super) struct Making {
    /// The model, its weights, its inputs.
    pub common: MadeOf,
    /// By name, in the order of the job.
    pub analyses: Vec<(String, MadeOf)>,
}

/// Hashes of weights by their file: the stages of a training are aligned with each other, and read
/// once each.
#[derive(Default)]
pub(super) struct Weights(RefCell<HashMap<PathBuf, u64>>);

impl Making {
    /// Finds out what the analyses of a job are made of. Collective: the root looks at the files.
    ///
    /// **Errors**: a file that an analysis names cannot be read.
    pub fn of<T: Real>(job: &Job, loaded: &Loaded<T>, weights: &Weights, grid: Grid) -> Result<Self> {
        let content = loaded.content(grid);
        let find = || -> Result<Vec<String>> {
            if !grid.is_root() {
                return Ok(Vec::new());
            }
            if job.model.kind != Kind::Onnx {
                weights.0.borrow_mut().insert(job.model.weights.clone(), content.weights);
            }
            let mut common = MadeOf::default().and(job.model.keys());
            common.hold("weights", content.weights);
            common.hold("inputs", content.inputs);
            let others = [("initial_state", content.initial_state), ("mask", content.mask)];
            others.into_iter().filter(|o| o.1 != 0).for_each(|(name, hash)| common.hold(name, hash));
            for (name, hash) in beside(job)? {
                common.hold(name, hash);
            }
            common.say("precision", job.precision.name());
            common.say("seed", job.seed.to_string());
            let mut lines = vec![common.to_json()];
            for analysis in &job.analyses {
                let mut made = common.and(analysis.keys());
                if let Some(with) = &analysis.with {
                    let hash = other(job, analysis, with, loaded, weights);
                    made.hold("with", hash.map_err(|e| e.in_analysis(&job.path, &analysis.name))?);
                }
                if !job.other_inputs.is_empty() && *analysis.quantity == MATRIX {
                    made.hold("other_inputs", of_other_inputs(job)?);
                }
                lines.push(made.to_json());
            }
            Ok(lines)
        };
        let mut lines = grid.agree(find())?.join("\n").into_bytes();
        grid.broadcast(&mut lines);
        let text = String::from_utf8_lossy(&lines).into_owned();
        let mut all = text.lines().map(|line| MadeOf::from_json(line).unwrap_or_default());
        let common = all.next().unwrap_or_default();
        Ok(Self { common, analyses: job.analyses.iter().map(|a| a.name.clone()).zip(all).collect() })
    }

    /// The files that a run reads, as JSON: what each is, where, and the hash of its numbers, in the precision of the run.
    pub fn files(&self, job: &Job) -> String {
        let model = Source { path: job.model.weights.clone(), dataset: None };
        let all = [("weights", &model)].into_iter().chain(job.inputs.iter().map(|(_, source)| ("inputs", source)));
        let all = all.chain(job.other_inputs.iter().map(|(_, source)| ("other_inputs", source)));
        let all = all.chain(job.initial_state.iter().map(|source| ("initial_state", source)));
        let all = all.chain([&job.mask, &job.lengths].into_iter().flatten().map(|source| ("mask", source)));
        let one = |(what, source): (&str, &Source)| {
            let path = source.path.canonicalize().unwrap_or_else(|_| source.path.clone());
            let path = path.to_string_lossy();
            json!({ "what": what, "path": path, "dataset": source.dataset, "hash": self.common.get(what) })
        };
        serde_json::Value::Array(all.map(one).collect()).to_string()
    }

    /// What an analysis is made of.
    pub fn one(&self, name: &str) -> MadeOf {
        self.analyses.iter().find(|a| a.0 == name).map(|a| a.1.clone()).unwrap_or_default()
    }
}

/// Files beside the weights that say what the model does.
fn beside(job: &Job) -> Result<Vec<(&'static str, u64)>> {
    match job.model.kind {
        Kind::Onnx => Ok(vec![("graph", of_file(&job.model.weights)?)]),
        Kind::Transformer | Kind::Gpt2 | Kind::Bert => {
            // Its formatting is nothing; the order of its keys neither.
            let read = Some(config_beside(&job.model.weights)?).filter(|config| !config.is_null());
            Ok(read.map(|v| ("config.json", xxh3_64(v.to_string().as_bytes()))).into_iter().collect())
        }
        Kind::Rnn | Kind::LeakyRnn | Kind::Gru | Kind::Lstm | Kind::Mlp | Kind::Conv | Kind::NeuralOde => {
            Ok(Vec::new())
        }
    }
}

/// The hash of the other inputs: of their files, and of which arrays in them they are.
fn of_other_inputs(job: &Job) -> Result<u64> {
    let one = |hash: u64, (name, source): &(Option<String>, Source)| {
        let words = format!("{hash:x} {:x} {name:?} {:?}", of_file(&source.path)?, source.dataset);
        Ok(xxh3_64(words.as_bytes()))
    };
    job.other_inputs.iter().try_fold(0, one)
}

fn of_file(path: &Path) -> Result<u64> {
    use std::io::Read;
    let mut hash = Xxh3::new();
    let mut file = crate::spelling::open(path)?;
    let mut part = vec![0; 1 << 20];
    loop {
        match file.read(&mut part).map_err(|e| Error::input(path, format!("cannot be read: {e}")))? {
            0 => return Ok(hash.digest()),
            n => hash.update(&part[..n]),
        }
    }
}

/// The hash of what an analysis is made with: other weights, or an error signal.
fn other<T: Real>(job: &Job, a: &Analysis, with: &Source, loaded: &Loaded<T>, weights: &Weights) -> Result<u64> {
    let many = match a.quantity.with {
        Some(With::State) => Some(false),
        Some(With::Vectors) => Some(true),
        Some(With::Weights) | None => None,
    };
    if let Some(many) = many {
        let array = loaded.open_state(with, many)?;
        let mut hash = Xxh3::new();
        array.in_parts::<T>(|part| hash.update(bytes(part)))?;
        return Ok(hash.digest());
    }
    if let Some(known) = weights.0.borrow().get(&with.path) {
        return Ok(*known);
    }
    let mut model = job.model.clone();
    model.weights.clone_from(&with.path);
    let graph = if job.model.kind == Kind::Onnx { of_file(&with.path)? } else { 0 };
    let hash = loaded.inputs().weights_of(&Job { model, ..job.clone() })? ^ graph;
    weights.0.borrow_mut().insert(with.path.clone(), hash);
    Ok(hash)
}
