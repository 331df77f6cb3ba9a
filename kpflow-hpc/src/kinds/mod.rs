//! The kinds of models: from a checkpoint and the shape of the inputs to a network.

pub mod conv;
mod hugging_face;
mod layers;
mod mlp;
mod neural_ode;
pub mod recurrent;
mod sequential;
mod transformer;
mod whole;

use crate::error::{Error, Result};
use crate::job::{Kind, ModelSpec};
use crate::load::{Checkpoint, Tensor};
use crate::network::select::StateChoice;
use crate::network::{FromFiles, Network, OwnedWeight};
use kpflow_core::model::{Operand, VariableId};
use kpflow_core::Scalar;

/// What a network is built from: a checkpoint and the inputs.
pub struct Source<'a> {
    /// What the job says of the model.
    pub spec: &'a ModelSpec,
    /// The weights.
    pub checkpoint: &'a Checkpoint,
    /// The shape of one trajectory's input; `None` if there is no input.
    pub input: Option<&'a [usize]>,
    /// The file of the inputs, which errors about their shape name.
    pub input_file: &'a std::path::Path,
    /// The tokens of all inputs: for the kinds that read tokens.
    pub tokens: Tokens<'a>,
    /// Whether there is a mask.
    pub masked: bool,
}

/// The tokens that inputs name.
#[derive(Clone, Copy, Debug)]
pub enum Tokens<'a> {
    /// The distinct ones, sorted.
    Named(&'a [usize]),
    /// So many at most: the inputs were not read.
    AtMost(usize),
}

impl Tokens<'_> {
    /// The rows of an embedding of so many that are held: those that are named, or as many as may be.
    fn rows(&self, all: usize) -> Vec<usize> {
        match *self {
            Tokens::Named(tokens) => tokens.to_vec(),
            Tokens::AtMost(most) => (0..most.min(all)).collect(),
        }
    }
}

/// Builds the network of a job's model, with the state, the readout and the parameters that the user chose.
pub fn build<T: Scalar>(source: &Source<'_>) -> Result<FromFiles<T>> {
    let spec = source.spec;
    whole::no_computed(source)?;
    let mut network = match spec.kind {
        Kind::Rnn | Kind::LeakyRnn | Kind::Gru | Kind::Lstm => recurrent::build(source)?.into(),
        Kind::Mlp => mlp::build(source)?,
        Kind::Conv => conv::build(source)?.into(),
        Kind::NeuralOde => neural_ode::build(source)?.into(),
        Kind::Transformer => transformer::plain(source)?,
        Kind::Gpt2 => transformer::gpt2(source)?,
        Kind::Bert => transformer::bert(source)?,
        Kind::Onnx => return Err(source.wrong("is a checkpoint; kind = \"onnx\" reads a graph")),
    };
    if let Some(name) = spec.readout.as_ref().filter(|name| network.find(name).is_none()) {
        linear_readout(&mut network, source, name)?;
    }
    whole::read_whole(source)?;
    choose(&mut network, spec)?;
    Ok(network)
}

/// Applies `state`, `readout` and `parameters`.
pub fn choose<T: Scalar>(network: &mut FromFiles<T>, spec: &ModelSpec) -> Result<()> {
    let wrong = |e: String| Error::input(&spec.weights, e);
    let choice = match &spec.readout {
        Some(name) => StateChoice::Names(vec![name.clone()]),
        None => spec.state.clone(),
    };
    network.train(&spec.parameters).map_err(wrong)?;
    network.watch(&choice).map_err(wrong)
}

/// A linear layer of the checkpoint, by its whole name, that reads the model's output.
fn linear_readout<T: Scalar>(network: &mut Network<T>, source: &Source<'_>, name: &str) -> Result<()> {
    let whole = source.checkpoint.whole();
    let none = || {
        let what =
            format!("readout = \"{name}\" is neither a variable of the model nor a layer {name}.weight of the file");
        source.wrong(what)
    };
    let input = network.readout_input().ok_or_else(none)?;
    let weight = whole.tensor::<T>(&[&format!("{name}.weight")])?.ok_or_else(none)?;
    let (&[n_out, n_in], bias) = (&weight.shape[..], whole.tensor::<T>(&[&format!("{name}.bias")])?) else {
        return Err(
            source.wrong(format!("tensor {} has shape {:?}; a readout is [n_out, n_in]", weight.name, weight.shape))
        );
    };
    if n_in != input.width || bias.as_ref().is_some_and(|b| b.shape != [n_out]) {
        let what = format!("the readout {name} has shape [{n_out}, {n_in}]; it should read {} units", input.width);
        return Err(source.wrong(what));
    }
    if network.weights().iter().any(|w| w.name.ends_with(&weight.name)) {
        return Err(
            source.wrong(format!("readout = \"{name}\" is a layer of the model itself; name its variable (MODELS.md)"))
        );
    }
    let weight = OwnedWeight::new(weight.name, weight.data, n_out, n_in);
    let weight = network.weight(weight.with_bias(format!("{name}.bias"), bias.map(|b| b.data)));
    network.segment(kpflow_core::model::Scan::Parallel);
    let y = network.dense(weight, input);
    network.name(y, name);
    Ok(())
}

impl Source<'_> {
    /// An error about the checkpoint.
    pub fn wrong(&self, message: impl std::fmt::Display) -> Error {
        Error::input(self.checkpoint.path(), message)
    }

    /// An error about the inputs, whose trajectories should be of this form.
    fn wrong_input(&self, form: &str) -> Error {
        let given: String = self.input.unwrap_or(&[]).iter().map(|d| format!(", {d}")).collect();
        Error::input(self.input_file, format!("has inputs of shape [B{given}]; this model reads {form}"))
    }

    /// The shape of a trajectory's input, which must be of this form.
    fn input_shape<const D: usize>(&self, form: &str) -> Result<[usize; D]> {
        let shape = self.input.unwrap_or(&[]);
        let fits = <[usize; D]>::try_from(shape).ok().filter(|s| s.iter().all(|&d| d > 0));
        fits.ok_or_else(|| self.wrong_input(form))
    }

    /// A required tensor.
    fn tensor<T: Scalar>(&self, name: &str, shape: &[usize]) -> Result<Tensor<T>> {
        self.checkpoint.required(&[name], shape)
    }

    /// A tensor of this shape, if it is there.
    fn optional<T: Scalar>(&self, name: &str, shape: &[usize]) -> Result<Option<Tensor<T>>> {
        match self.checkpoint.shape(name) {
            None => Ok(None),
            Some(_) => self.tensor(name, shape).map(Some),
        }
    }

    /// The weight `NAME.weight` `[n_out, n_in]` with `NAME.bias`, if there is one.
    fn linear<T: Scalar>(&self, name: &str, n_out: usize, n_in: usize) -> Result<OwnedWeight<T>> {
        let weight = self.tensor(&format!("{name}.weight"), &[n_out, n_in])?;
        self.with_bias(OwnedWeight::new(weight.name, weight.data, n_out, n_in), &format!("{name}.bias"))
    }

    /// The weight with the tensor `bias`, if there is one.
    fn with_bias<T: Scalar>(&self, weight: OwnedWeight<T>, bias: &str) -> Result<OwnedWeight<T>> {
        let bias = self.optional(bias, &[weight.n_out])?;
        let bias_name = bias.as_ref().map(|b| b.name.clone()).unwrap_or_default();
        Ok(weight.with_bias(bias_name, bias.map(|b| b.data)))
    }

    /// A gain with its bias: `NAME.weight`, `NAME.bias`.
    fn gain<T: Scalar>(&self, name: &str, n: usize) -> Result<OwnedWeight<T>> {
        let weight = self.tensor(&format!("{name}.weight"), &[n])?;
        self.with_bias(OwnedWeight::new(weight.name, weight.data, n, 1), &format!("{name}.bias"))
    }

    /// The length of an axis of a tensor that must be there.
    fn axis(&self, name: &str, axis: usize) -> Result<usize> {
        match self.checkpoint.shape(name) {
            Some(shape) if shape.get(axis).is_some_and(|&d| d > 0) => Ok(shape[axis]),
            Some(shape) => Err(self.wrong(format!("tensor {name} has shape {shape:?}; it should have an axis {axis}"))),
            None => self.checkpoint.required::<f32>(&[name], &[]).map(|_| 0),
        }
    }

    /// How many numbered layers there are, such as `h.0.`, `h.1.`, each with the tensor `PREFIX l SUFFIX`; the job must agree, and no layer
    /// may lie beyond a gap: without this, what lacks a tensor would run as a smaller model.
    fn layers(&self, prefix: &str, suffix: &str) -> Result<usize> {
        let name = |l: usize| format!("{prefix}{l}{suffix}");
        let found = (0..).take_while(|&l| self.checkpoint.shape(&name(l)).is_some()).count();
        self.no_gap(found, &name(found), |n| number(n.strip_prefix(prefix)?))?;
        match self.spec.layers {
            Some(asked) if asked != found => Err(self.wrong(other_layers(found, asked))),
            _ if found == 0 => self.checkpoint.required::<f32>(&[&name(0)], &[]).map(|_| 0),
            _ => Ok(found),
        }
    }

    /// Fails if a tensor has the number of a layer beyond those found: then `missing` is.
    fn no_gap(&self, found: usize, missing: &str, layer: impl Fn(&str) -> Option<usize>) -> Result<()> {
        let beyond = self.checkpoint.names().iter().find(|n| layer(n).is_some_and(|l| l >= found));
        match beyond {
            Some(there) => {
                let prefix = &self.spec.prefix;
                Err(self.wrong(format!("has no tensor {prefix}{missing}, but {prefix}{there} of a layer like it")))
            }
            None => Ok(()),
        }
    }
}

/// The number that a text begins with.
fn number(text: &str) -> Option<usize> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// The weight that an operand's site has.
fn dense<T: Scalar>(network: &mut Network<T>, weight: OwnedWeight<T>, input: Operand) -> VariableId {
    let weight = network.weight(weight);
    network.dense(weight, input)
}

/// What is said where the job names another number of layers than the file has.
fn other_layers(found: usize, asked: usize) -> String {
    let plural = if found == 1 { "layer" } else { "layers" };
    format!("has {found} {plural} and the job says layers = {asked}; leave it out, or take the file that has them")
}

fn joined(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
