//! `[model]`: what the user says of the model.

use super::section::Section;
use super::stages::{self, Stage};
use super::Kind;
use crate::error::Result;
use crate::network::select::StateChoice;
use kpflow_core::model::Activation;
use std::path::{Path, PathBuf};

/// `[model]`. What is `None` was not said.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// What kind of model.
    pub kind: Kind,
    /// The checkpoint.
    pub weights: PathBuf,
    /// What the names of its tensors begin with.
    pub prefix: String,
    /// The variables that are the state.
    pub state: StateChoice,
    /// Which tensors are θ, by patterns; all if there is none.
    pub parameters: Vec<String>,
    /// The output whose NTK is asked for: a variable or a linear layer of the checkpoint.
    pub readout: Option<String>,
    /// φ.
    pub activation: Option<Activation>,
    /// φ of the last layer of an mlp.
    pub output_activation: Option<Activation>,
    /// The step of time.
    pub dt: Option<f64>,
    /// How many layers there should be.
    pub layers: Option<usize>,
    /// Whether there should be weights for both directions.
    pub bidirectional: Option<bool>,
    /// Heads of attention.
    pub heads: Option<usize>,
    /// What LayerNorm adds to the variance.
    pub eps: Option<f64>,
    /// The solver of a neural_ode.
    pub solver: Option<Solver>,
    /// T, where there is no input to tell it.
    pub steps: Option<usize>,
    /// Tensors behind the prefix that are no part of the model, by patterns.
    pub ignore: Vec<String>,
    /// The family of a Hugging Face checkpoint, where no config.json tells it.
    pub model_type: Option<String>,
    /// What modules of an mlp's nn.Sequential are, where their tensors do not tell.
    pub modules: Vec<(String, Module)>,
    /// The layers of a conv net.
    pub sequence: Vec<Layer>,
}

/// How a neural_ode goes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Solver {
    /// Euler's method.
    Euler,
    /// The midpoint rule.
    Midpoint,
    /// The classical Runge–Kutta method.
    Rk4,
}

/// A window that moves over a map: (height, width) of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its size.
    pub size: [usize; 2],
    /// How far it moves.
    pub stride: [usize; 2],
    /// Rows and columns added before the map.
    pub padding: [usize; 2],
    /// Rows and columns added after the map.
    pub padding_end: [usize; 2],
    /// The distance between its places.
    pub dilation: [usize; 2],
    /// Rows and columns beyond those, over which the last window may hang: no part of any mean.
    pub overhang: [usize; 2],
}

impl Default for Window {
    fn default() -> Self {
        Self { size: [1; 2], stride: [1; 2], padding: [0; 2], padding_end: [0; 2], dilation: [1; 2], overhang: [0; 2] }
    }
}

/// A module of an nn.Sequential other than a linear layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Module {
    /// (x − μ)/√(σ² + eps) over a row, with a gain and a bias.
    LayerNorm,
    /// x/√(mean x² + eps) over a row, with a gain.
    RmsNorm,
    /// BatchNorm in inference: by its running moments.
    BatchNorm,
    /// max(x, 0) + a min(x, 0), a trained.
    Prelu,
    /// A unit-wise function without parameters.
    Activation(Activation),
    /// Nothing in inference.
    Identity,
}

/// One layer of a conv net.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// A convolution; the window's size comes with the weights.
    Conv {
        /// Its tensors: `NAME.weight`, `NAME.bias`.
        name: String,
        /// How it moves.
        window: Window,
        /// Groups of channels.
        groups: usize,
    },
    /// The largest of a window.
    MaxPool {
        /// The window.
        window: Window,
    },
    /// The mean of a window, its padding counted as zeros.
    AvgPool {
        /// The window.
        window: Window,
    },
    /// The mean of the whole map.
    GlobalAvgPool,
    /// BatchNorm in inference.
    BatchNorm {
        /// Its tensors.
        name: String,
        /// What is added to the variance.
        eps: f64,
    },
    /// A map as one row.
    Flatten,
    /// A linear layer.
    Linear {
        /// Its tensors.
        name: String,
    },
    /// A unit-wise function.
    Activation(Activation),
    /// Adds the output of a layer before.
    Add {
        /// Which, counted from 0.
        from: usize,
    },
}

impl Layer {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Layer::Conv { .. } => "conv",
            Layer::MaxPool { .. } => "maxpool",
            Layer::AvgPool { .. } => "avgpool",
            Layer::GlobalAvgPool => "global_avgpool",
            Layer::BatchNorm { .. } => "batchnorm",
            Layer::Flatten => "flatten",
            Layer::Linear { .. } => "linear",
            Layer::Activation(_) => "activation",
            Layer::Add { .. } => "add",
        }
    }
}

const ACTIVATIONS: &[(&str, Activation)] = &[
    ("tanh", Activation::Tanh),
    ("relu", Activation::Relu),
    ("linear", Activation::Linear),
    ("sigmoid", Activation::Sigmoid),
    ("gelu", Activation::Gelu),
    ("gelu_tanh", Activation::GeluTanh),
    ("silu", Activation::Silu),
    ("softplus", Activation::Softplus),
];

/// The keys that each kind understands beyond those of all.
fn keys(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Rnn => &["activation", "layers", "bidirectional"],
        Kind::LeakyRnn => &["activation", "dt", "layers", "bidirectional"],
        Kind::Gru | Kind::Lstm => &["layers", "bidirectional"],
        Kind::Mlp => &["activation", "output_activation", "layers", "eps", "modules"],
        Kind::Conv => &["layers"],
        Kind::NeuralOde => &["activation", "dt", "solver", "steps", "layers"],
        Kind::Transformer | Kind::Gpt2 => &["layers", "heads", "eps"],
        Kind::Bert => &["layers", "heads", "eps", "model_type"],
        Kind::Onnx => &[],
    }
}

/// Fails if a table of this kind has a key that is for others alone; `common` are for all.
fn only(
    s: &Section<'_>,
    table: &toml::Table,
    common: &[&str],
    (key, kind): (&str, &str),
    kinds: &[(&str, &[&str])],
) -> Result<()> {
    let own = kinds.iter().find(|k| k.0 == kind).map_or(&[][..], |k| k.1);
    let Some(foreign) = table.keys().find(|k| !common.contains(&k.as_str()) && !own.contains(&k.as_str())) else {
        return Ok(());
    };
    let with: Vec<&str> = kinds.iter().filter(|k| k.1.contains(&foreign.as_str())).map(|k| k.0).collect();
    Err(s.error(format!("{foreign} is not for {key} = \"{kind}\"; it is for {}", with.join(", "))))
}

/// What is added to a variance: a number from 0.
fn eps(s: &Section<'_>) -> Result<Option<f64>> {
    match s.number("eps")? {
        Some(eps) if !(eps >= 0.0 && eps.is_finite()) => {
            Err(s.error(format!("eps = {eps} is outside of its range; it is a number from 0")))
        }
        other => Ok(other),
    }
}

/// Reads the section: the model, and the stages if `weights` are those of a training run.
pub(super) fn model_spec(path: &Path, directory: &Path, table: &toml::Table) -> Result<(ModelSpec, Vec<Stage>)> {
    let common = ["kind", "weights", "prefix", "state", "parameters", "readout", "ignore"];
    let mut all: Vec<&str> = common.to_vec();
    for (_, kind) in Kind::ALL {
        all.extend(keys(*kind).iter().filter(|k| !all.contains(k)).copied().collect::<Vec<_>>());
    }
    let s = Section::new(path, "[model]", table, &all)?;
    let kind = s.required_choice("kind", Kind::ALL)?;
    let kinds: Vec<(&str, &[&str])> = Kind::ALL.iter().map(|(name, k)| (*name, keys(*k))).collect();
    only(&s, table, &common, ("kind", kind.name()), &kinds)?;
    let activation = |key: &str| match s.has(key) {
        true => s.choice(key, Activation::Tanh, ACTIVATIONS).map(Some),
        false => Ok(None),
    };
    let (phi, output_activation) = (activation("activation")?, activation("output_activation")?);
    if kind == Kind::Rnn && !matches!(phi, None | Some(Activation::Tanh | Activation::Relu)) {
        return Err(s.error("activation of an rnn is \"tanh\" or \"relu\", as PyTorch has it"));
    }
    let dt = s.number("dt")?;
    match (kind, dt) {
        (Kind::LeakyRnn | Kind::NeuralOde, None) => return Err(s.missing("dt")),
        (Kind::LeakyRnn, Some(dt)) if !(dt > 0.0 && dt <= 1.0) => {
            return Err(s.error(format!("dt = {dt} is outside of its range; it is above 0 and at most 1")));
        }
        (Kind::NeuralOde, Some(dt)) if !(dt > 0.0 && dt.is_finite()) => {
            return Err(s.error(format!("dt = {dt} is outside of its range; it is above 0")));
        }
        _ => {}
    }
    let state = match s.get("state") {
        Some(toml::Value::String(word)) if word == "sites" => StateChoice::Sites,
        Some(toml::Value::String(word)) => StateChoice::Names(vec![word.clone()]),
        Some(_) => StateChoice::Names(s.strings("state")?),
        None => StateChoice::Default,
    };
    if state == StateChoice::Names(Vec::new()) {
        return Err(s.error("state is an empty list; it names variables, or is \"sites\""));
    }
    if s.has("readout") && s.has("state") {
        return Err(s.error("readout and state both say what is watched; only one of them may be there"));
    }
    if s.integer("steps", 1)?.is_some_and(|t| t > 1 << 24) {
        return Err(s.error("steps is too large; it is at most 2^24"));
    }
    let solvers = [("euler", Solver::Euler), ("midpoint", Solver::Midpoint), ("rk4", Solver::Rk4)];
    let conv = kind == Kind::Conv;
    let (weights, stages) = stages::weights(&s, directory)?;
    let spec = ModelSpec {
        kind,
        weights,
        prefix: s.text("prefix")?.unwrap_or_default().into(),
        state,
        parameters: s.strings("parameters")?,
        readout: s.text("readout")?.map(String::from),
        activation: phi,
        output_activation,
        dt,
        layers: if conv { None } else { s.integer("layers", 1)? },
        bidirectional: s.boolean("bidirectional")?,
        heads: s.integer("heads", 1)?,
        eps: eps(&s)?,
        solver: if s.has("solver") { Some(s.choice("solver", Solver::Euler, &solvers)?) } else { None },
        steps: s.integer("steps", 1)?,
        ignore: s.strings("ignore")?,
        model_type: model_type(&s)?,
        modules: modules(&s)?,
        sequence: if conv { sequence(path, &s)? } else { Vec::new() },
    };
    Ok((spec, stages))
}

/// The models of BERT's shape that run.
pub const FAMILIES: [&str; 7] = ["bert", "electra", "ernie", "roberta", "xlm-roberta", "camembert", "data2vec-text"];

/// The family of a Hugging Face checkpoint.
fn model_type(s: &Section<'_>) -> Result<Option<String>> {
    let words: Vec<(&str, &str)> = FAMILIES.map(|f| (f, f)).to_vec();
    let said = s.text("model_type")?.map(|word| s.word("model_type", word, &words));
    said.transpose().map(|family| family.map(String::from))
}

/// What the modules of an nn.Sequential are, by their names.
fn modules(s: &Section<'_>) -> Result<Vec<(String, Module)>> {
    let mut words = vec![
        ("layernorm", Module::LayerNorm),
        ("rmsnorm", Module::RmsNorm),
        ("batchnorm", Module::BatchNorm),
        ("prelu", Module::Prelu),
        ("identity", Module::Identity),
        ("dropout", Module::Identity),
        ("flatten", Module::Identity),
    ];
    words.extend(ACTIVATIONS.iter().map(|(word, phi)| (*word, Module::Activation(*phi))));
    let one = |(name, value): (&String, &toml::Value)| {
        let wrong =
            || s.error("modules is a table of names and words, such as { \"1\" = \"layernorm\", \"2\" = \"relu\" }");
        Ok((name.clone(), s.word("module", value.as_str().ok_or_else(wrong)?, &words)?))
    };
    s.table("modules")?.into_iter().flatten().map(one).collect()
}

fn sequence(path: &Path, s: &Section<'_>) -> Result<Vec<Layer>> {
    let form = "layers is a list of tables, such as { type = \"conv\", name = \"0\", stride = 1, padding = 1 }";
    let Some(toml::Value::Array(list)) = s.get("layers") else { return Err(s.error(form)) };
    if list.is_empty() {
        return Err(s.error(form));
    }
    list.iter().enumerate().map(|(i, value)| layer(path, i, value.as_table().ok_or_else(|| s.error(form))?)).collect()
}

fn layer(path: &Path, i: usize, table: &toml::Table) -> Result<Layer> {
    let label = format!("[model] layers, number {i}");
    let pool: &[&str] = &["size", "stride", "padding", "dilation"];
    let mut kinds: Vec<(&str, &[&str])> = vec![
        ("conv", &["name", "stride", "padding", "dilation", "groups"]),
        ("maxpool", pool),
        ("avgpool", pool),
        ("global_avgpool", &[]),
        ("batchnorm", &["name", "eps"]),
        ("flatten", &[]),
        ("linear", &["name"]),
        ("add", &["from"]),
    ];
    kinds.extend(ACTIVATIONS.iter().map(|a| (a.0, &[][..])));
    let all: Vec<&str> = ["type"].into_iter().chain(kinds.iter().flat_map(|k| k.1.iter().copied())).collect();
    let s = Section::new(path, &label, table, &all)?;
    let words: Vec<(&str, &str)> = kinds.iter().map(|k| (k.0, k.0)).collect();
    let kind = s.required_choice("type", &words)?;
    only(&s, table, &["type"], ("type", kind), &kinds)?;
    let pair = |key: &str, default: usize, least: usize| -> Result<[usize; 2]> {
        let wrong = || s.error(format!("{key} is a whole number from {least}, or two of them (height, width)"));
        let one = |v: &toml::Value| v.as_integer().and_then(|i| usize::try_from(i).ok()).filter(|&i| i >= least);
        match s.get(key) {
            None => Ok([default; 2]),
            Some(toml::Value::Array(two)) => match two.iter().map(one).collect::<Option<Vec<_>>>().as_deref() {
                Some(&[a, b]) => Ok([a, b]),
                _ => Err(wrong()),
            },
            Some(v) => one(v).map(|i| [i; 2]).ok_or_else(wrong),
        }
    };
    // A layer's tensors are named by its place, as in an nn.Sequential.
    let name = || -> Result<String> { Ok(s.text("name")?.map_or(i.to_string(), String::from)) };
    let window = |pool: bool| -> Result<Window> {
        let size = pair("size", 1, 1)?;
        if pool && !s.has("size") {
            return Err(s.missing("size"));
        }
        let stride = if pool && !s.has("stride") { size } else { pair("stride", 1, 1)? };
        let padding = pair("padding", 0, 0)?;
        Ok(Window { size, stride, padding, padding_end: padding, dilation: pair("dilation", 1, 1)?, overhang: [0; 2] })
    };
    Ok(match kind {
        "conv" => Layer::Conv { name: name()?, window: window(false)?, groups: s.integer("groups", 1)?.unwrap_or(1) },
        "maxpool" => Layer::MaxPool { window: window(true)? },
        "avgpool" => Layer::AvgPool { window: window(true)? },
        "global_avgpool" => Layer::GlobalAvgPool,
        "batchnorm" => Layer::BatchNorm { name: name()?, eps: eps(&s)?.unwrap_or(1e-5) },
        "flatten" => Layer::Flatten,
        "linear" => Layer::Linear { name: name()? },
        "add" => Layer::Add { from: s.integer("from", 0)?.ok_or_else(|| s.missing("from"))? },
        _ => Layer::Activation(s.choice("type", Activation::Tanh, ACTIVATIONS)?),
    })
}
