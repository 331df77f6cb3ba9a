//! `[[analysis]]`: what to find out.

use super::section::Section;
use super::{source, Axis, Method, Operator, Quantity, Source};
use crate::error::{Error, Result};
use std::ops::Range;
use std::path::Path;

/// One `[[analysis]]`.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// Its name, and its group's in the result file.
    pub name: String,
    /// Which operator.
    pub operator: Operator,
    /// Of which part of the state.
    pub part: Part,
    /// What is asked of it.
    pub quantity: Quantity,
    /// How.
    pub method: Method,
    /// For one-sided estimates: forward through the model rather than back.
    pub forward: bool,
    /// The relative error to reach.
    pub rtol: f64,
    /// The products that may be spent.
    pub max_matvecs: usize,
    /// How many eigenpairs.
    pub count: usize,
    /// Whether to keep the eigenvectors.
    pub vectors: bool,
    /// Which axes are left of a marginal.
    pub axes: Vec<Axis>,
    /// The other weights of an alignment, the error signal of a learnability.
    pub with: Option<Source>,
    /// The stage whose weights those are, of an alignment between stages.
    pub with_stage: Option<String>,
    /// η.
    pub learning_rate: f64,
    /// σ² of log det(I + A/σ²).
    pub noise: f64,
}

impl Analysis {
    /// The keys that its numbers depend on, and what they say. Files count by what is in them,
    /// which is not here; a name is none.
    pub fn keys(&self) -> Vec<(&'static str, String)> {
        let Self {
            name: _,
            operator,
            part: Part { window, units, average },
            quantity,
            method,
            forward,
            rtol,
            max_matvecs,
            count,
            vectors,
            axes,
            with: _,
            with_stage: _,
            learning_rate,
            noise,
        } = self;
        let mut all = vec![
            ("operator", operator.name().to_string()),
            ("quantity", quantity.name().into()),
            ("method", method.name().into()),
            ("rtol", rtol.to_string()),
            ("max_matvecs", max_matvecs.to_string()),
            ("average", average.to_string()),
        ];
        all.extend(window.as_ref().map(|w| ("window", format!("[{}, {}]", w.start, w.end))));
        all.extend(units.as_ref().map(|u| ("units", format!("{u:?}"))));
        let only = [
            ("count", count.to_string()),
            ("vectors", vectors.to_string()),
            ("axes", format!("{axes:?}")),
            ("learning_rate", learning_rate.to_string()),
            ("noise", noise.to_string()),
            ("side", if *forward { "forward" } else { "reverse" }.into()),
        ];
        let means = |name: &str| KEYS.iter().any(|(key, of)| *key == name && of.contains(quantity));
        all.extend(only.into_iter().filter(|(name, _)| means(name)));
        all
    }

    /// Whether its error falls as the root of the products, as that of a mean does.
    pub fn sampled(&self) -> bool {
        use Quantity::{Alignment, Blocks, EffectiveRank, Frobenius, Marginal, StableRank, Trace};
        matches!(self.quantity, Alignment | Blocks | EffectiveRank | Frobenius | Marginal | StableRank | Trace)
    }
}

/// The part of the state that an operator is restricted to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// These steps only.
    pub window: Option<Range<usize>>,
    /// These units only, in this order.
    pub units: Option<Vec<usize>>,
    /// The mean over trajectories of the diagonal blocks.
    pub average: bool,
}

impl Part {
    /// Whether it is all of the state.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

/// Keys that mean something for some quantities only.
const KEYS: [(&str, &[Quantity]); 8] = [
    ("count", &[Quantity::Eigenpairs, Quantity::SingularTriplets, Quantity::Learnability]),
    ("vectors", &[Quantity::Eigenpairs, Quantity::SingularTriplets, Quantity::Marginal]),
    ("axis", &[Quantity::Marginal]),
    ("axes", &[Quantity::Marginal]),
    ("with", &[Quantity::Alignment, Quantity::Learnability]),
    ("learning_rate", &[Quantity::Learnability]),
    ("noise", &[Quantity::LogDet]),
    ("side", &[Quantity::Trace]),
];

pub(super) fn analyses(path: &Path, directory: &Path, root: &Section<'_>) -> Result<Vec<Analysis>> {
    let wrong = || root.error("analysis is a list of [[analysis]] tables");
    let list = match root.get("analysis") {
        None => return Err(root.error("there is no [[analysis]]; a job has at least one")),
        Some(toml::Value::Array(list)) => list,
        Some(_) => return Err(wrong()),
    };
    let mut out: Vec<Analysis> = Vec::new();
    for (i, value) in list.iter().enumerate() {
        let table = value.as_table().ok_or_else(wrong)?;
        let label = match table.get("name").and_then(|n| n.as_str()) {
            Some(name) if !name.trim().is_empty() => format!("[[analysis]] {name}"),
            _ => format!("[[analysis]] number {}", i + 1),
        };
        let one = analysis(path, directory, &label, table)?;
        if out.iter().any(|a| a.name == one.name) {
            return Err(Error::input(path, format!("two analyses are named \"{}\"; names are unique", one.name)));
        }
        out.push(one);
    }
    if out.is_empty() {
        return Err(root.error("there is no [[analysis]]; a job has at least one"));
    }
    Ok(out)
}

fn analysis(path: &Path, directory: &Path, label: &str, table: &toml::Table) -> Result<Analysis> {
    let mut keys = vec!["name", "operator", "quantity", "method", "rtol", "max_matvecs", "window", "units", "average"];
    keys.extend(KEYS.iter().map(|k| k.0));
    let s = Section::new(path, label, table, &keys)?;
    let name = s.required_text("name")?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if name.is_empty() || !name.chars().all(legal) || name.chars().all(|c| c == '.') {
        return Err(s.error(format!("the name \"{name}\" is not legal; a name is letters, digits, _, - and .")));
    }
    let operator = s.choice("operator", Operator::Ntk, Operator::ALL)?;
    let quantity = s.required_choice("quantity", Quantity::ALL)?;
    let method = s.choice("method", Method::Auto, Method::ALL)?;
    let methods = quantity.methods(operator).map_err(|why| {
        s.error(format!("quantity = \"{}\" {why} (the operator is {})", quantity.name(), operator.name()))
    })?;
    if !methods.contains(&method) {
        let list: Vec<&str> = methods.iter().map(|m| m.name()).collect();
        let what = format!("method = \"{}\" is not for the {} of {}", method.name(), quantity.name(), operator.name());
        return Err(s.error(format!("{what}; it is one of {}", list.join(", "))));
    }
    if let Some((key, of)) = KEYS.iter().find(|(key, of)| s.has(key) && !of.contains(&quantity)) {
        let of = of.iter().map(|q| q.name()).collect::<Vec<_>>().join(", ");
        return Err(s.error(format!("{key} means nothing for quantity = \"{}\"; it is for {of}", quantity.name())));
    }
    let with = s.text("with")?.map(|text| source(directory, text));
    if with.is_none() && matches!(quantity, Quantity::Alignment | Quantity::Learnability) {
        return Err(s.missing("with"));
    }
    let forward = s.choice("side", false, &[("reverse", false), ("forward", true)])?;
    if s.has("side") && method != Method::OneSided {
        return Err(s.error("side is for method = \"one_sided\""));
    }
    let rtol = s.number("rtol")?.unwrap_or(1e-3);
    if !(0.0..1.0).contains(&rtol) {
        return Err(s.error(format!("rtol = {rtol} is not a tolerance; it is 0 or more, and less than 1: 0.05 is 5 %")));
    }
    Ok(Analysis {
        name: name.into(),
        operator,
        part: part(&s, operator, quantity, method)?,
        quantity,
        method,
        forward,
        rtol,
        max_matvecs: s.integer("max_matvecs", 1)?.unwrap_or(1000),
        count: s.integer("count", 1)?.unwrap_or(20),
        vectors: s.boolean("vectors")?.unwrap_or(false),
        axes: axes(&s, quantity)?,
        with,
        with_stage: None,
        learning_rate: positive(&s, "learning_rate")?,
        noise: positive(&s, "noise")?,
    })
}

/// A number above 0; 1 if there is none.
fn positive(s: &Section<'_>, key: &str) -> Result<f64> {
    match s.number(key)?.unwrap_or(1.0) {
        x if x > 0.0 && x.is_finite() => Ok(x),
        x => Err(s.error(format!("{key} = {x} is not a positive number"))),
    }
}

fn axes(s: &Section<'_>, quantity: Quantity) -> Result<Vec<Axis>> {
    if quantity != Quantity::Marginal {
        return Ok(Vec::new());
    }
    let words = match (s.text("axis")?, s.strings("axes")?) {
        (Some(_), list) if !list.is_empty() => return Err(s.error("axis and axes are two ways to say one thing")),
        (Some(one), _) => vec![one.to_string()],
        (None, list) if list.is_empty() => return Err(s.missing("axis")),
        (None, list) => list,
    };
    let mut axes = Vec::new();
    for word in &words {
        let axis = s.word("axis", word, Axis::ALL)?;
        if axes.contains(&axis) || words.len() > 2 {
            return Err(s.error("axes are one or two different ones of trajectory, time and unit"));
        }
        axes.push(axis);
    }
    Ok(axes)
}

/// `window`, `units` and `average`.
fn part(s: &Section<'_>, operator: Operator, quantity: Quantity, method: Method) -> Result<Part> {
    let window = match s.integers("window")?.as_deref() {
        None => None,
        Some(&[first, end]) if first < end => Some(first..end),
        Some(_) => return Err(s.error("window is [first, end], the steps from first to before end")),
    };
    let units = s.integers("units")?;
    if let Some(list) = &units {
        let mut sorted = list.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if list.is_empty() || sorted.len() < list.len() {
            return Err(s.error("units is a list of different units, at least one"));
        }
    }
    let part = Part { window, units, average: s.boolean("average")?.unwrap_or(false) };
    let whole =
        matches!(quantity, Quantity::Blocks | Quantity::Lyapunov | Quantity::Learnability | Quantity::Alignment);
    if !part.is_all() && (whole || !operator.symmetric() || operator == Operator::Core) {
        let what = format!("the {} of {}", quantity.name(), operator.name());
        return Err(s.error(format!("window, units and average are not for {what}")));
    }
    if !part.is_all() && matches!(method, Method::Exact | Method::OneSided) {
        return Err(s.error(format!(
            "method = \"{}\" is for all of the state, without window, units and average",
            method.name()
        )));
    }
    if part.average && matches!(method, Method::PerTrajectory | Method::PerTrajectoryXnystrace) {
        return Err(s.error("an average over trajectories has one trajectory; take hutchinson or xnystrace"));
    }
    Ok(part)
}
