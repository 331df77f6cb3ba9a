//! `[[analysis]]`: what to find out.

use super::said::Said;
use super::section::Section;
use super::{Axis, Method, Operator, Quantity, Source};
use crate::analysis::{keys, Key};
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
    /// All that the job says by keys, of which the fields above are a part.
    pub said: Said,
}

impl Analysis {
    /// An analysis by what the job says of it.
    pub fn new(name: String, operator: Operator, quantity: Quantity, method: Method, said: Said) -> Self {
        let window = said.numbers(&keys::WINDOW).and_then(|w| Some(*w.first()?..*w.last()?));
        let units = said.numbers(&keys::UNITS).map(<[usize]>::to_vec);
        Self {
            name,
            operator,
            part: Part { window, units, average: said.truth(&keys::AVERAGE) },
            quantity,
            method,
            forward: said.word(&keys::SIDE) == Some("forward"),
            rtol: said.number(&keys::RTOL).unwrap_or(0.0),
            max_matvecs: said.whole(&keys::MAX_MATVECS).unwrap_or(1),
            count: said.whole(&keys::COUNT).unwrap_or(1),
            vectors: said.truth(&keys::VECTORS),
            axes: said.axes(&keys::AXES).unwrap_or_default().to_vec(),
            with: said.file(&keys::WITH).cloned(),
            with_stage: None,
            learning_rate: said.number(&keys::LEARNING_RATE).unwrap_or(1.0),
            noise: said.number(&keys::NOISE).unwrap_or(1.0),
            said,
        }
    }

    /// The keys that its numbers depend on, and what they say. Files count by what is in them,
    /// which is not here; a name is none.
    pub fn keys(&self) -> Vec<(&'static str, String)> {
        let Self { operator, quantity, method, .. } = self;
        let mut all = vec![
            ("operator", operator.name().to_string()),
            ("quantity", quantity.name().into()),
            ("method", method.name().into()),
        ];
        all.extend(self.said.words());
        all
    }

    /// Whether its error falls as the root of the products, as that of a mean does.
    pub fn sampled(&self) -> bool {
        self.quantity.described().sampled
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
    let mut known = vec!["name", "operator", "quantity", "method"];
    known.extend(keys::all().flat_map(Key::names));
    let s = Section::new(path, label, table, &known)?;
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
    let said = Said::read(&s, directory, quantity.described(), method.name())?;
    let analysis = Analysis::new(name.into(), operator, quantity, method, said);
    check_part(&s, &analysis)?;
    Ok(analysis)
}

/// Fails where a part of the state is asked for that there is none of.
fn check_part(s: &Section<'_>, analysis: &Analysis) -> Result<()> {
    let Analysis { operator, quantity, method, part, .. } = analysis;
    if part.is_all() {
        return Ok(());
    }
    if quantity.described().whole || !operator.symmetric() || *operator == Operator::Core {
        let what = format!("the {} of {}", quantity.name(), operator.name());
        return Err(s.error(format!("window, units and average are not for {what}")));
    }
    if matches!(method, Method::Exact | Method::OneSided) {
        return Err(s.error(format!(
            "method = \"{}\" is for all of the state, without window, units and average",
            method.name()
        )));
    }
    if part.average && matches!(method, Method::PerTrajectory | Method::PerTrajectoryXnystrace) {
        return Err(s.error("an average over trajectories has one trajectory; take hutchinson or xnystrace"));
    }
    Ok(())
}
