//! The modules of an nn.Sequential, told by the numbers and shapes of its tensors.
//!
//! Linear layers and norms have tensors, activations have none: they stand at the numbers that are left out. Where that does not
//! tell the net, it is refused, and `[model] modules` says it.

use super::layers::layer_names;
use super::{number, Source};
use crate::error::{some_of, Result};
use crate::job::Module;
use kpflow_core::model::Activation;
use std::collections::BTreeMap;
use std::ops::Range;

/// What is said of a norm that its tensors alone tell.
pub fn warning(source: &Source<'_>, layers: &[Layer]) -> Option<String> {
    let all = layers.iter().flat_map(|l| l.before.iter().chain(&l.after));
    let said = |name: &String| source.spec.modules.iter().any(|(n, _)| is_named(source, n, name));
    let guessed = all.filter(|(name, module)| *module == Module::LayerNorm && !said(name));
    let names: Vec<String> = guessed.map(|(name, _)| format!("{}{name}", source.spec.prefix)).collect();
    let first = names.first()?;
    Some(format!(
        "{} of one axis with a bias: read as LayerNorm. A GroupNorm, or a BatchNorm without running statistics, has the same tensors \
         and is another net; modules = {{ \"{first}\" = \"layernorm\" }} in [model] says that it is one",
        some_of(&names)
    ))
}

/// Whether a name of the job's `modules`, whole or behind the prefix, is a module's.
fn is_named(source: &Source<'_>, said: &str, module: &str) -> bool {
    said == module || said.strip_prefix(source.spec.prefix.as_str()) == Some(module)
}

/// A layer: what comes before its matrix, the matrix, and what follows up to the next layer.
#[derive(Debug, PartialEq)]
pub struct Layer {
    /// Modules before the matrix: only the first layer has any.
    pub before: Vec<(String, Module)>,
    /// The matrix, without `.weight`.
    pub name: String,
    /// Modules behind it in their order; the layer's activation is what the last of φ or PReLU writes.
    pub after: Vec<(String, Module)>,
}

/// The layers of an mlp.
pub fn layers(source: &Source<'_>) -> Result<Vec<Layer>> {
    let names = layer_names(source)?;
    let spec = source.spec;
    let (hidden, last) = {
        let hidden = spec.activation.unwrap_or(Activation::Tanh);
        (hidden, spec.output_activation.unwrap_or(hidden))
    };
    let phi = |l: usize| if l + 1 == names.len() { last } else { hidden };
    let Some(places) = Places::of(source, &names)? else {
        let plain = |(l, name): (usize, &String)| {
            let after = vec![(String::new(), Module::Activation(phi(l)))];
            Layer { before: Vec::new(), name: name.clone(), after }
        };
        return Ok(names.iter().enumerate().map(plain).collect());
    };
    let at: Vec<usize> = names.iter().filter_map(|n| places.number(n)).collect();
    let mut layers = Vec::new();
    for (l, name) in names.iter().enumerate() {
        let before = if l == 0 { places.named(0..at[0]) } else { Vec::new() };
        let after = match at.get(l + 1) {
            Some(&next) => places.between(source, at[l] + 1..next, phi(l), false)?,
            None => places.between(source, at[l] + 1..places.end().max(at[l] + 1), phi(l), true)?,
        };
        layers.push(Layer { before, name: name.clone(), after });
    }
    Ok(layers)
}

/// What is known of the places of an nn.Sequential.
struct Places {
    /// What stands before the numbers in the names.
    stem: String,
    /// The modules that are known, by their numbers.
    known: BTreeMap<usize, Module>,
}

impl Places {
    /// The places of norms and of what the job names, if there are any: a net of linear layers alone needs none.
    fn of(source: &Source<'_>, linear: &[String]) -> Result<Option<Self>> {
        let checkpoint = source.checkpoint;
        let stem = linear[0].trim_end_matches(|c: char| c.is_ascii_digit()).to_string();
        // Names such as fc1 count, but not the places of an nn.Sequential.
        let listed = stem.is_empty() || stem.ends_with('.');
        let number = |name: &str| number_of(&stem, name).filter(|_| listed);
        let numbers: Option<Vec<usize>> = linear.iter().map(|n| number(n)).collect();
        let mut known = BTreeMap::new();
        for name in checkpoint.names() {
            let Some((module, tensor)) = name.rsplit_once('.') else { continue };
            let Some(place) = number(module).filter(|_| !linear.iter().any(|l| l == module)) else { continue };
            if tensor == "weight" || tensor == "running_mean" {
                known.insert(place, module_of(source, module)?);
            }
        }
        for (name, module) in &source.spec.modules {
            let behind = name.strip_prefix(&source.spec.prefix).unwrap_or(name);
            let Some(place) = number(behind).filter(|_| !linear.iter().any(|l| l == behind)) else {
                let what = format!("modules names \"{name}\", which is no place between {stem}NUMBER of an nn.Sequential; its linear layers are known");
                return Err(source.wrong(what));
            };
            known.insert(place, *module);
        }
        match numbers {
            Some(_) if !known.is_empty() => Ok(Some(Self { stem, known })),
            Some(numbers) => Self::plain(source, &numbers, &stem),
            None => Ok(None),
        }
    }

    /// No norm and no word of the job: every layer has its φ, unless the numbers of an nn.Sequential leave no place for one.
    fn plain(source: &Source<'_>, numbers: &[usize], stem: &str) -> Result<Option<Self>> {
        let steps: Vec<usize> = numbers.windows(2).map(|w| w[1] - w[0]).collect();
        // All next to each other: a list of layers, whose module calls φ itself.
        let (some, all) = (steps.contains(&1), steps.iter().all(|&s| s == 1));
        if some && !all {
            let place = steps.iter().position(|&s| s == 1).unwrap_or(0);
            let (a, b) = (numbers[place], numbers[place + 1]);
            let what = format!(
                "has linear layers {stem}{a} and {stem}{b} without a place for an activation between them, and others with one; \
                 export the module to ONNX (scripts/export_torch.py), or join the two layers"
            );
            return Err(source.wrong(what));
        }
        Ok(None)
    }

    fn number(&self, name: &str) -> Option<usize> {
        number_of(&self.stem, name)
    }

    /// One behind the last module that is known.
    fn end(&self) -> usize {
        self.known.keys().last().map_or(0, |last| last + 1)
    }

    fn named(&self, places: Range<usize>) -> Vec<(String, Module)> {
        self.known.range(places).map(|(place, module)| (format!("{}{place}", self.stem), *module)).collect()
    }

    /// The modules between two linear layers, or behind the last: those that are known, and φ at the place that is left out.
    fn between(
        &self,
        source: &Source<'_>,
        places: Range<usize>,
        phi: Activation,
        last: bool,
    ) -> Result<Vec<(String, Module)>> {
        let mut modules = self.named(places.clone());
        if modules.iter().any(|(_, m)| matches!(m, Module::Activation(_) | Module::Prelu)) {
            return Ok(modules);
        }
        // Two places left out with nothing but other such places between them are one: φ and a dropout in any order.
        let left = places.clone().filter(|p| !self.known.contains_key(p));
        let mut slots: Vec<usize> = left.map(|p| self.known.range(places.start..p).count()).collect();
        slots.dedup();
        let (stem, start, end) = (&self.stem, places.start, places.end);
        match (&slots[..], last) {
            (&[slot], _) => modules.insert(slot, (String::new(), Module::Activation(phi))),
            // Behind the last tensor nothing is left out that could be seen.
            (&[], true) => modules.push((String::new(), Module::Activation(phi))),
            (&[], false) => {
                let what = format!(
                    "has no place for an activation between {stem}{} and {stem}{end}; export the module to ONNX (scripts/export_torch.py)",
                    start - 1
                );
                return Err(source.wrong(what));
            }
            _ => {
                let free: Vec<String> =
                    places.filter(|p| !self.known.contains_key(p)).map(|p| format!("{stem}{p}")).collect();
                let (first, rest) = (&free[0], &free[free.len() - 1]);
                let what = format!(
                    "does not tell which of {} is the activation, and a norm stands between them; say modules = {{ \"{first}\" = \"dropout\" }} or \
                     {{ \"{rest}\" = \"dropout\" }} in [model]",
                    free.join(", ")
                );
                return Err(source.wrong(what));
            }
        }
        Ok(modules)
    }
}

/// The number of a module in a list of this stem.
fn number_of(stem: &str, name: &str) -> Option<usize> {
    let rest = name.strip_prefix(stem).filter(|r| !r.is_empty() && r.chars().all(|c| c.is_ascii_digit()))?;
    number(rest)
}

/// What a module with tensors of one axis is: as the job says, or as its tensors tell.
fn module_of(source: &Source<'_>, module: &str) -> Result<Module> {
    let has = |tensor: &str| source.checkpoint.shape(&format!("{module}.{tensor}"));
    let whole = format!("{}{module}", source.spec.prefix);
    let said = source.spec.modules.iter().find(|(name, _)| is_named(source, name, module));
    if let Some((_, module)) = said {
        return Ok(*module);
    }
    match (has("running_mean"), has("weight"), has("bias")) {
        (Some(_), ..) => Ok(Module::BatchNorm),
        (None, Some(weight), Some(_)) if weight.len() == 1 => Ok(Module::LayerNorm),
        // One slope for all units; a norm of one unit would be nothing.
        (None, Some(weight), None) if weight == [1] => Ok(Module::Prelu),
        (None, Some(weight), None) if weight.len() == 1 => {
            let what = format!("{whole}.weight {weight:?} without a bias is a PReLU, an RMSNorm or a LayerNorm");
            Err(source.wrong(format!("{what}; say which by modules = {{ \"{module}\" = \"prelu\" }}, \"rmsnorm\" or \"layernorm\" in [model]")))
        }
        (_, weight, _) => {
            let what =
                format!("{whole}.weight {:?} is no linear layer and no norm of rows", weight.unwrap_or_default());
            Err(source.wrong(format!("{what}; export the module to ONNX (scripts/export_torch.py)")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::number_of;

    #[test]
    fn numbers_of_a_list() {
        assert_eq!(number_of("net.", "net.12"), Some(12));
        assert_eq!(number_of("", "3"), Some(3));
        for other in ["net.1.fc", "net.", "3", "net.x"] {
            assert_eq!(number_of("net.", other), None, "{other}");
        }
    }
}
