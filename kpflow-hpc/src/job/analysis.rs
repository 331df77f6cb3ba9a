//! `[[analysis]]`: what to find out.

use super::said::Said;
use super::section::Section;
use super::{Axis, Source};
use crate::analysis::{keys, offers, Asked, Key, Method, Operator, Part, Quantity, Readers, ALL};
use crate::error::{Error, Result};
use kpflow_estimate::{Budget, Which};
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
    pub quantity: &'static Quantity,
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
    /// σ² of log det(I + A/σ²) and (A + σ²)⁻¹ b.
    pub noise: f64,
    /// All that the job says by keys, of which the fields above are a part.
    pub said: Said,
}

impl Analysis {
    /// An analysis by what the job says of it.
    pub fn new(name: String, operator: Operator, quantity: &'static Quantity, method: Method, said: Said) -> Self {
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
            ("quantity", quantity.name.into()),
            ("method", method.name.into()),
        ];
        all.extend(self.said.words());
        all
    }

    /// What it asks of its operator.
    pub fn asked(&self) -> Asked {
        Asked {
            operator: self.operator,
            whole: self.part.is_all(),
            average: self.part.average,
            exact_trace: self.quantity.is_trace(),
            budget: Budget { rtol: self.rtol, max_matvecs: self.max_matvecs },
            count: self.count,
            which: match (self.said.number(&keys::NEAR), self.said.word(&keys::WHICH)) {
                (Some(x), _) => Which::Near(x),
                (None, Some("smallest")) => Which::Smallest,
                (None, _) => Which::Largest,
            },
            vectors: self.vectors,
            axes: [Axis::Trajectory, Axis::Time, Axis::Unit].map(|axis| self.axes.contains(&axis)),
            forward: self.forward,
            learning_rate: self.learning_rate,
            noise: self.noise,
            truths: self.said.truths(),
            readers: Readers::default(),
        }
    }

    /// Whether its error falls as the root of the products, as that of a mean does.
    pub fn sampled(&self) -> bool {
        self.quantity.sampled
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
    let s = Section::unchecked(path, label, table);
    let names: Vec<(&str, &'static Quantity)> = ALL.iter().map(|q| (q.name, *q)).collect();
    // What would be right depends on the quantity; where there is none, that is said before any other mistake but a key's.
    let quantity = s.required_choice("quantity", &names);
    let with = |keys: &mut dyn Iterator<Item = &'static Key>| {
        let own = ["name", "operator", "quantity", "method"];
        own.into_iter().chain(keys.flat_map(Key::names)).collect::<Vec<_>>()
    };
    let all = with(&mut keys::all());
    let own = quantity.as_ref().map_or_else(|_| all.clone(), |q| with(&mut keys::of(q)));
    s.require_known(&all, &own)?;
    let name = s.required_text("name")?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if name.is_empty() || !name.chars().all(legal) || name.chars().all(|c| c == '.') {
        return Err(s.error(format!("the name \"{name}\" is not legal; a name is letters, digits, _, - and .")));
    }
    let operator = s.choice("operator", Operator::Ntk, Operator::ALL)?;
    let quantity = quantity?;
    let words: Vec<(&str, Method)> = crate::analysis::methods().into_iter().map(|m| (m.name, m)).collect();
    let method = s.choice("method", Method::AUTO, &words)?;
    check_method(&s, operator, quantity, method)?;
    let said = Said::read(&s, directory, quantity, method.name)?;
    let analysis = Analysis::new(name.into(), operator, quantity, method, said);
    check_part(&s, &analysis)?;
    if s.has(keys::NEAR.name) && s.has(keys::WHICH.name) {
        return Err(s.error("which and near are two ways to say which eigenvalues; take one"));
    }
    Ok(analysis)
}

/// Fails where a quantity is not for an operator, or a method not for both.
fn check_method(s: &Section<'_>, operator: Operator, quantity: &Quantity, method: Method) -> Result<()> {
    let fitting = |operator: Operator| {
        offers(quantity).into_iter().filter(|o| (o.fits)(operator)).map(|o| o.name).collect::<Vec<_>>()
    };
    let (list, name, of) = (fitting(operator), quantity.name, operator.name());
    if list.is_empty() {
        let all = Operator::ALL.iter().filter(|o| !fitting(o.1).is_empty()).map(|o| o.0);
        let all = all.collect::<Vec<_>>().join(", ");
        return Err(s.error(format!("quantity = \"{name}\" is for operator = {all}; here it is {of}")));
    }
    if !list.contains(&method.name) {
        let what = format!("method = \"{}\" is not for the {name} of {of}", method.name);
        return Err(s.error(format!("{what}; it is one of {}", list.join(", "))));
    }
    Ok(())
}

/// Fails where a part of the state is asked for that there is none of.
fn check_part(s: &Section<'_>, analysis: &Analysis) -> Result<()> {
    let Analysis { operator, quantity, method, part, .. } = analysis;
    if part.is_all() {
        return Ok(());
    }
    if quantity.whole || !operator.symmetric() || !operator.about().on_state {
        let what = format!("the {} of {}", quantity.name, operator.name());
        return Err(s.error(format!("window, units and average are not for {what}")));
    }
    let Some(offer) = offers(quantity).into_iter().find(|o| o.name == method.name) else { return Ok(()) };
    if offer.whole {
        let what = format!("method = \"{}\" is for all of the state", method.name);
        return Err(s.error(format!("{what}, without window, units and average")));
    }
    if part.average && offer.by_trajectory {
        return Err(s.error("an average over trajectories has one trajectory; take hutchinson or xnystrace"));
    }
    Ok(())
}
