//! What can be asked of an operator: one file a quantity, which says all that is known of it.
//!
//! Plain data. The job's keys and their checks, the reader of result files, `compare`, the report,
//! what a run prints, and the tables of JOB.md and RESULTS.md are made of it.

mod asked;
mod check;
mod context;
mod facts;
mod found;
pub mod json;
pub mod keys;
mod offers;
mod operators;
pub mod outputs;
mod part;
mod rows;
pub mod shown;
pub mod tables;

pub use asked::{Asked, Readers, Reads, Side};
pub use check::check;
pub use context::{Context, Form, View, Way, SMALL};
pub use facts::Facts;
pub use found::{Chosen, Found, Named, Tensor};
pub use keys::Key;
pub use offers::{methods, offers, Method, Offer, DENSE};
pub use operators::{About, Boxed, Factor, Operator};
pub use outputs::Output;
pub use part::{of_part, Part};

use crate::error::{Error, Result};
use facts::of_closed;
use kpflow_estimate::{Estimate, StopReason};
use shown::{Line, Picture, Row};

/// Everything that is known of a quantity.
pub struct Quantity {
    /// What the job file calls it.
    pub name: &'static str,
    /// What a reader calls it.
    pub title: &'static str,
    /// What it is, of the operator A.
    pub formula: &'static str,
    /// What it tells, in a sentence or two.
    pub about: &'static str,
    /// The job's keys that mean something for it, beside [`keys::COMMON`].
    pub keys: &'static [&'static Key],
    /// Whether it is of all of the state only, never of a part.
    pub whole: bool,
    /// What the file is that its key `with` names.
    pub with: Option<With>,
    /// Fails where this model does not have it.
    pub require: fn(&Asked, &Facts<'_>) -> Result<()>,
    /// What the result file has of it.
    pub outputs: &'static [Output],
    /// What its history holds.
    pub history: History,
    /// Whether its error falls as the root of the products, as that of a mean does.
    pub sampled: bool,
    /// What a run prints of it.
    pub line: Line,
    /// Its rows in the report's table of numbers.
    pub rows: &'static [Row],
    /// Its figures in the report.
    pub figures: &'static [Picture],
}

/// Every quantity: a file of this name, and what it calls itself.
macro_rules! quantities {
    ($($file:ident: $name:ident,)*) => {
        $(pub mod $file;)*
        $(pub use $file::$name;)*

        /// Every quantity.
        pub const ALL: &[&Quantity] = &[$(&$name),*];

        /// The methods of a quantity, each with the function that finds it.
        pub fn ways<C: Context>(quantity: &Quantity) -> Vec<Way<C>> {
            $(if quantity.name == $name.name {
                return $file::ways();
            })*
            Vec::new()
        }
    };
}

quantities! {
    trace: TRACE,
    frobenius: FROBENIUS,
    effective_rank: EFFECTIVE_RANK,
    stable_rank: STABLE_RANK,
    entropy_rank: ENTROPY_RANK,
    log_det: LOG_DET,
    norm: NORM,
    eigenpairs: EIGENPAIRS,
    singular_triplets: SINGULAR_TRIPLETS,
    density: DENSITY,
    marginal: MARGINAL,
    matrix: MATRIX,
    blocks: BLOCKS,
    alignment: ALIGNMENT,
    learnability: LEARNABILITY,
    lyapunov: LYAPUNOV,
    diagonal: DIAGONAL,
    apply: APPLY,
    solve: SOLVE,
}

/// Makes an analysis by one of its methods. Collective.
pub fn run<C: Context>(quantity: &Quantity, method: Method, context: &C) -> Result<Found<C::Block>> {
    let way = ways::<C>(quantity).into_iter().find(|way| way.name == method.name);
    let way = way.ok_or_else(|| Error::usage(format!("{} has no method {}", quantity.name, method.name)))?;
    (way.run)(context)
}

/// A number that was sampled by this method.
fn sampled<B>(method: &'static str, estimate: kpflow_estimate::Result<Estimate>) -> Result<Found<B>> {
    Ok(Found::of((estimate?, method)))
}

/// A rank of an operator that is positive semidefinite: where it is not 0 it is at least 1, whatever samples and rounding say.
fn at_least_one<B>((found, method): Chosen) -> Result<Found<B>> {
    let least = if found.value > 0.0 { 1.0 } else { 0.0 };
    let found = Estimate { value: found.value.max(least), ..found };
    Ok(Found::of((found.clamped(least, f64::INFINITY), method)))
}

/// What is found of A, as of 2^k A: a number of degree 1.
fn scaled(e: Estimate, k: i32) -> Estimate {
    if k == 0 {
        return e;
    }
    let up = |x: f64| kpflow_estimate::times_power(x, k);
    let history = e.history.iter().map(|h| [h[0], up(h[1]), up(h[2])]).collect();
    let value = up(e.value);
    let left = e.value.is_finite() && (value.is_infinite() || (e.value != 0.0 && !value.is_normal()));
    let stop = if left { StopReason::Overflow } else { e.stop };
    let (interval, standard_error) = (e.interval.map(up), up(e.standard_error));
    Estimate { value, interval, standard_error, matvecs: e.matvecs, stop, history }
}

/// Vectors of `n` numbers that are kept of the products of an operator, at most.
pub fn capacity<T>(n: usize) -> usize {
    /// Bytes of products that a rank keeps for later analyses.
    const KEPT_BYTES: usize = 1 << 30;
    KEPT_BYTES / (n.max(1) * std::mem::size_of::<T>()).max(1)
}

/// What an analysis is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// The model with other weights.
    Weights,
    /// A tensor that is as the state.
    State,
    /// One such tensor or several.
    Vectors,
}

/// What an estimate tells on its way, and leaves in the history: products, a value, an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// A value and its standard error.
    Estimate {
        /// How often they have the operator as a factor.
        degree: i32,
        /// The same where the method is Hutchinson's or one-sided.
        sampled: i32,
    },
    /// The largest eigenvalue, and the largest residual by its value.
    Residuals,
    /// The largest eigenvalue, and the bound of its error by its residual.
    Bound,
    /// A form of the inverse, and the largest residual by its right-hand side.
    Solve,
}

impl History {
    /// What its columns are.
    pub fn columns(self) -> [&'static str; 3] {
        match self {
            Self::Estimate { .. } => ["matvecs", "value", "standard_error"],
            Self::Residuals | Self::Solve => ["matvecs", "value", "residual"],
            Self::Bound => ["matvecs", "value", "bound"],
        }
    }

    /// An estimate of this degree by every method.
    const fn of_degree(degree: i32) -> Self {
        Self::Estimate { degree, sampled: degree }
    }
}

impl Quantity {
    /// What the result file has of it by this name.
    pub fn output(&self, name: &str) -> Option<&'static Output> {
        self.outputs.iter().find(|o| o.name == name)
    }

    /// Whether its closed form is that of a trace.
    pub fn is_trace(&self) -> bool {
        self.name == TRACE.name
    }

    /// Whether a key of the job means something for it.
    pub fn has(&self, key: &Key) -> bool {
        self.keys.iter().any(|k| k.name == key.name)
    }

    /// How often the value and the error that are told on the way have the operator as a factor;
    /// `sampled`: by Hutchinson's method or a one-sided one.
    pub fn told_degrees(&self, sampled: bool) -> [i32; 2] {
        match self.history {
            History::Estimate { sampled: degree, .. } if sampled => [degree; 2],
            History::Estimate { degree, .. } => [degree; 2],
            // The error is a ratio.
            History::Residuals | History::Bound => [1, 0],
            History::Solve => [-1, 0],
        }
    }

    /// How often the numbers of its history have the operator as a factor, by this method.
    pub fn history_degrees(&self, method: &str) -> [i32; 2] {
        match self.history {
            // The bound is the residual times the value.
            History::Bound => [1, 1],
            History::Estimate { .. } | History::Residuals | History::Solve => {
                self.told_degrees(Method::named(method).is_some_and(Method::is_sampled))
            }
        }
    }

    /// The list whose first number stands for it, where it has no value.
    pub fn leading(&self) -> Option<&'static Output> {
        match self.line {
            Line::Leading(list) => self.output(list),
            Line::Value | Line::Words(_) | Line::Matrix(_) => None,
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Quantity {}

impl std::fmt::Debug for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The quantity of a name; none where another version wrote the name.
pub fn named(name: &str) -> Option<&'static Quantity> {
    ALL.iter().copied().find(|q| q.name == name)
}

/// Everything that a result file may have of any quantity, a name as often as quantities have it.
pub fn outputs() -> impl Iterator<Item = &'static Output> {
    ALL.iter().flat_map(|q| q.outputs)
}

/// What a result file may have of a quantity of this name: its own, or, where the name is another
/// version's, each name that any has.
pub fn outputs_of(quantity: &str) -> Vec<&'static Output> {
    named(quantity).map_or_else(|| distinct(outputs()), |q| q.outputs.iter().collect())
}

/// Every output of the state's size, each name once.
pub fn tensors() -> Vec<&'static Output> {
    distinct(outputs().filter(|o| o.is_tensor()))
}

/// The first of each name.
fn distinct(outputs: impl Iterator<Item = &'static Output>) -> Vec<&'static Output> {
    let mut all: Vec<&Output> = Vec::new();
    for output in outputs {
        if all.iter().all(|o| o.name != output.name) {
            all.push(output);
        }
    }
    all
}

/// The names of the quantities that a key means something for.
pub fn with_key(key: &Key) -> Vec<&'static str> {
    ALL.iter().filter(|q| q.has(key)).map(|q| q.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::path::{Path, PathBuf};

    #[test]
    fn what_a_quantity_names_it_has() {
        assert_eq!(ALL.iter().map(|q| q.name).collect::<HashSet<_>>().len(), ALL.len());
        for q in ALL {
            let name = q.name;
            assert!(!q.outputs.is_empty() && !q.title.is_empty() && q.about.ends_with('.'), "{name}");
            let drawn = |p: &Picture| if let Picture::Spectrum { values, .. } = *p { Some(values) } else { None };
            let named = q.outputs.iter().flat_map(|o| [o.error, o.interval, o.like]).flatten();
            let named = named.chain(q.rows.iter().map(|r| r.of)).chain(q.figures.iter().filter_map(drawn));
            let line = match q.line {
                Line::Value | Line::Words(_) => "value",
                Line::Leading(list) | Line::Matrix(list) => list,
            };
            named.chain([line]).for_each(|other| assert!(q.output(other).is_some(), "{name} has no {other}"));
            let names: HashSet<_> = q.outputs.iter().map(|o| o.name).collect();
            assert_eq!(names.len(), q.outputs.len(), "{name}");
        }
    }

    /// The Rust files of a directory.
    fn files(directory: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path());
        let all = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
        all.filter(|path| path.extension().is_some_and(|e| e == "rs")).collect()
    }

    #[test]
    fn who_shows_a_quantity_does_not_know_its_name() {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for path in files(&src.join("report")).into_iter().chain([src.join("compare.rs")]) {
            let text = std::fs::read_to_string(&path).unwrap();
            let found = ALL.iter().find(|q| text.contains(&format!("\"{}\"", q.name)));
            assert_eq!(found, None, "{}: ask the quantity for what it has, not for its name", path.display());
        }
    }

    #[test]
    fn an_array_of_one_name_has_one_number_of_axes() {
        for a in outputs() {
            for b in outputs().filter(|b| b.name == a.name) {
                assert_eq!(a.dimensions.len(), b.dimensions.len(), "{}", a.name);
            }
        }
    }
}
