//! The job file: what the user writes.

mod analysis;
mod keys;
mod model;
mod names;
mod readers;
mod said;
mod section;
pub mod stages;
pub mod train;

pub use crate::load::Source;
pub use analysis::Analysis;
pub use model::{Layer, ModelSpec, Module, Solver, Window, FAMILIES};
pub use names::{Axis, Kind, Precision};
pub use said::{Said, Value};
pub use stages::{Alignments, Stage};

use crate::analysis::{DENSE, MATRIX};
use crate::comm::MOST_RANKS;
use crate::error::{Error, Result};
use crate::spelling::unreadable;
use section::{article, Section};
use std::path::{Path, PathBuf};

/// A whole job.
#[derive(Clone, Debug)]
pub struct Job {
    /// The job file.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// The model; of a training run, with the weights of the first stage.
    pub model: ModelSpec,
    /// The stages of a training run; none where there is one checkpoint.
    pub stages: Vec<Stage>,
    /// Which stage this is the job of ([`Job::at`]).
    pub stage: Option<usize>,
    /// Which stages are aligned with each other.
    pub alignments: Alignments,
    /// The inputs, with their names where the job names them; their first axis is the trajectory. Only a neural_ode may have none.
    pub inputs: Vec<(Option<String>, Source)>,
    /// Which positions may be read `[B, T]`, 1 or 0; of a recurrent model 1 up to a trajectory's end.
    pub mask: Option<Source>,
    /// The steps of each trajectory `[B]`, of a recurrent model.
    pub lengths: Option<Source>,
    /// Other inputs y, as the inputs are, for matrices between both.
    pub other_inputs: Vec<(Option<String>, Source)>,
    /// The initial state `[B, N]`.
    pub initial_state: Option<Source>,
    /// What the program that made the weights computed of the inputs `[B, …]`, for `kpflow check`.
    pub outputs: Option<Source>,
    /// f32 or f64.
    pub precision: Precision,
    /// The key of all random numbers.
    pub seed: u64,
    /// Vectors carried through at once; `None` for "auto".
    pub block: Option<usize>,
    /// The process grid asked for, trajectories × probes; `None` for "auto".
    pub grid: Option<[usize; 2]>,
    /// The result file.
    pub output: PathBuf,
    /// Whether the state itself is written too.
    pub keep_state: bool,
    /// MiB of a tensor beyond which it is written in parts, a file a rank.
    pub parts: f64,
    /// Seconds between two times that the state of the running analysis is written; `None` for never.
    pub checkpoint: Option<f64>,
    /// What to find out.
    pub analyses: Vec<Analysis>,
}

impl Job {
    /// Reads and checks a job file.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(path, read(path)?)
    }

    /// Checks the text of a job file; paths in it are relative to `path`.
    pub fn parse(path: &Path, text: String) -> Result<Self> {
        let directory = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let table = table(path, &text)?;
        let root = Section::new(path, "the job", &table, &["model", "data", "compute", "output", "analysis"])?;
        let empty = toml::Table::new();
        let model = root.table("model")?.ok_or_else(|| root.missing("[model]"))?;
        let data = root.table("data")?.ok_or_else(|| root.missing("[data]"))?;
        let compute = root.table("compute")?.unwrap_or(&empty);
        let output = root.table("output")?.unwrap_or(&empty);

        let keys = ["inputs", "other_inputs", "initial_state", "mask", "lengths", "outputs"];
        let data = Section::new(path, "[data]", data, &keys)?;
        let compute = Section::new(path, "[compute]", compute, &["precision", "seed", "block", "grid", "alignments"])?;
        let output = Section::new(path, "[output]", output, &["file", "state", "checkpoint", "parts"])?;
        let source = |text: &str| Source::named(&directory, text);
        let (model, stages) = model::model_spec(path, &directory, model)?;
        if compute.has("alignments") && stages.is_empty() {
            return Err(compute.error("alignments is for a training run, whose weights are a pattern or a list"));
        }
        let analyses = analysis::analyses(path, &directory, &root)?;
        stages::check(&root, &stages, &analyses)?;
        let (mask, lengths) = ends(&data, model.kind)?;
        Ok(Self {
            path: path.into(),
            inputs: inputs(&data, &directory, model.kind, "inputs")?,
            other_inputs: other_inputs(&data, &directory, model.kind, &analyses)?,
            model,
            stages,
            stage: None,
            alignments: compute.choice("alignments", Alignments::default(), Alignments::ALL)?,
            mask: mask.map(source),
            lengths: lengths.map(source),
            initial_state: data.text("initial_state")?.map(source),
            outputs: data.text("outputs")?.map(source),
            precision: compute.choice("precision", Precision::F64, Precision::SAID)?,
            seed: compute.integer("seed", 0)?.unwrap_or(0) as u64,
            block: compute.integer_or_auto("block")?,
            grid: grid(&compute)?,
            output: directory.join(output.text("file")?.unwrap_or("results.h5")),
            checkpoint: checkpoint(&output)?,
            parts: parts(&output)?,
            keep_state: output.boolean("state")?.unwrap_or(false),
            analyses,
            text,
        })
    }
}

impl Job {
    /// Fails if the result file is one of the files that the job reads.
    pub fn require_output_apart(&self) -> Result<()> {
        let given = self.inputs.iter().map(|(_, source)| source);
        let given = given.chain(self.other_inputs.iter().map(|(_, source)| source));
        let given = given.chain(&self.mask).chain(&self.initial_state);
        let given = given.chain(self.analyses.iter().filter_map(|a| a.with.as_ref())).map(|s| &s.path);
        let weights = self.stages.iter().map(|s| &s.weights).chain([&self.model.weights, &self.path]);
        let Ok(output) = self.output.canonicalize() else { return Ok(()) };
        match given.chain(weights).any(|path| path.canonicalize().is_ok_and(|p| p == output)) {
            true => Err(Error::input(&self.output, "is read by this job; choose another --output")),
            false => Ok(()),
        }
    }
}

/// A file's text.
// Another library's names, of which there may be more.
#[allow(clippy::wildcard_enum_match_arm)]
fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::InvalidData => Error::input(path, "is not text; a job is a TOML file"),
        _ => unreadable(path, &e),
    })
}

/// The table that a text is.
fn table(path: &Path, text: &str) -> Result<toml::Table> {
    text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(0, |s| text[..s.start.min(text.len())].matches('\n').count() + 1);
        Error::input(path, format!("line {line} is not TOML: {}", e.message()))
    })
}

/// `inputs`, or others that are as they are: one array, or a table of them by name.
fn inputs(data: &Section<'_>, directory: &Path, kind: Kind, key: &str) -> Result<Vec<(Option<String>, Source)>> {
    match data.get(key) {
        None if kind == Kind::NeuralOde => Ok(Vec::new()),
        Some(toml::Value::Table(table)) if kind == Kind::Onnx => {
            let one = |(name, value): (&String, &toml::Value)| match value.as_str() {
                Some(text) => Ok((Some(name.clone()), Source::named(directory, text))),
                None => Err(data.error(format!("{key}.{name} is {}; it is a string", article(value.type_str())))),
            };
            table.iter().map(one).collect()
        }
        Some(toml::Value::Table(_)) => {
            let what = "by name are for kind = \"onnx\"; for others it is a string, FILE[:DATASET]";
            Err(data.error(format!("{key} {what}")))
        }
        _ => Ok(vec![(None, Source::named(directory, data.required_text(key)?))]),
    }
}

/// `other_inputs`: for the matrices of NTK and K of models that are given nothing beside.
fn other_inputs(
    data: &Section<'_>,
    directory: &Path,
    kind: Kind,
    analyses: &[Analysis],
) -> Result<Vec<(Option<String>, Source)>> {
    if !data.has("other_inputs") {
        return Ok(Vec::new());
    }
    if let Some(key) = ["initial_state", "mask", "lengths"].into_iter().find(|key| data.has(key)) {
        return Err(
            data.error(format!("other_inputs and {key} cannot both be given: it would be that of the inputs alone"))
        );
    }
    match kind {
        Kind::Gpt2 | Kind::Bert => {
            let what =
                "other_inputs is not for kind = \"gpt2\" and \"bert\", which hold the rows of the tokens of inputs";
            return Err(data.error(format!("{what}; take inputs of both, and the blocks of their matrix")));
        }
        Kind::Rnn
        | Kind::LeakyRnn
        | Kind::Gru
        | Kind::Lstm
        | Kind::Mlp
        | Kind::Conv
        | Kind::NeuralOde
        | Kind::Transformer
        | Kind::Onnx => {}
    }
    let uses = |a: &&Analysis| *a.quantity == MATRIX && a.operator.from_weights();
    if analyses.iter().find(uses).is_none() {
        return Err(data.error("other_inputs is for quantity = \"matrix\" of ntk or parameter, and there is none"));
    }
    let other = |a: &&Analysis| *a.quantity == MATRIX && (!uses(a) || a.part.average || a.method.name == DENSE);
    if let Some(a) = analyses.iter().find(other) {
        let what = "a matrix between two sets of inputs is of ntk or parameter, by method = \"exact\" or \"auto\", without average";
        return Err(data.error(format!("other_inputs is not for the matrix {}: {what}", a.name)));
    }
    inputs(data, directory, kind, "other_inputs")
}

/// `mask` and `lengths`: where trajectories end, and what a bert may read.
fn ends<'t>(data: &Section<'t>, kind: Kind) -> Result<(Option<&'t str>, Option<&'t str>)> {
    let (mask, lengths) = (data.text("mask")?, data.text("lengths")?);
    let instead = match kind {
        Kind::Bert => "; a bert has mask, which says what may be read",
        Kind::Onnx => "; let the graph read a mask as an input, and multiply its state by it",
        Kind::Rnn
        | Kind::LeakyRnn
        | Kind::Gru
        | Kind::Lstm
        | Kind::Mlp
        | Kind::Conv
        | Kind::NeuralOde
        | Kind::Transformer
        | Kind::Gpt2 => "; run trials of each length by themselves",
    };
    let wrong = |key: &str, of: &str, instead: &str| {
        data.error(format!("{key} is not for kind = \"{}\"; it is for {of}{instead}", kind.name()))
    };
    match (mask, lengths) {
        (None, None) => Ok((None, None)),
        (Some(_), None) if kind == Kind::Bert => Ok((mask, None)),
        (Some(_), Some(_)) if kind.is_recurrent() => {
            Err(data.error("mask and lengths both say where trajectories end; one of them"))
        }
        _ if kind.is_recurrent() => Ok((mask, lengths)),
        (_, Some(_)) => Err(wrong("lengths", "rnn, leaky_rnn, gru and lstm", instead)),
        (_, None) => Err(wrong("mask", "bert, and rnn, leaky_rnn, gru and lstm", "")),
    }
}

/// `parts`: 256 MiB unless the job says something else.
fn parts(s: &Section<'_>) -> Result<f64> {
    match s.number("parts")? {
        Some(x) if x.is_nan() || x < 0.0 => Err(s.error(format!("parts = {x} is negative; it is MiB, at least 0"))),
        other => Ok(other.unwrap_or(256.0)),
    }
}

/// `checkpoint`: a minute unless the job says something else.
fn checkpoint(s: &Section<'_>) -> Result<Option<f64>> {
    match s.get("checkpoint") {
        Some(toml::Value::String(never)) if never == "never" => Ok(None),
        Some(toml::Value::String(other)) => {
            Err(s.error(format!("checkpoint = \"{other}\" is not a number; it is seconds, or \"never\"")))
        }
        _ => match s.number("checkpoint")? {
            Some(x) if !(0.0..1e9).contains(&x) => {
                Err(s.error(format!("checkpoint = {x} is out of range; it is seconds, at least 0, or \"never\"")))
            }
            other => Ok(Some(other.unwrap_or(60.0))),
        },
    }
}

fn grid(s: &Section<'_>) -> Result<Option<[usize; 2]>> {
    match s.get("grid") {
        None => Ok(None),
        Some(toml::Value::String(a)) if a == "auto" => Ok(None),
        Some(toml::Value::Table(t)) => {
            let g = Section::new(s.path, "grid", t, &["trajectories", "probes"])?;
            let sides = [g.integer("trajectories", 1)?.unwrap_or(1), g.integer("probes", 1)?.unwrap_or(1)];
            if sides.iter().any(|&n| n > MOST_RANKS) {
                return Err(g.error(format!("{} × {} is more ranks than there can be", sides[0], sides[1])));
            }
            Ok(Some(sides))
        }
        Some(_) => Err(s.error("grid is \"auto\" or { trajectories = R, probes = S }")),
    }
}

#[cfg(test)]
mod tests;
