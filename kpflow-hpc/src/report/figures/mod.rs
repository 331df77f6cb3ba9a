//! Which figures an analysis has: one file a kind of quantity.
//!
//! An analysis of the same name in several files is one figure with a curve a file, so that stages of a training can be compared; what is a
//! picture by itself, a matrix, has one figure a file.

mod alignment;
mod convergence;
mod density;
mod learnability;
mod lyapunov;
mod matrices;
mod spectra;
mod stages;

use super::figure::{Figure, Table};
use super::plot::{Axis, Layer, Plot, Scale};
use super::style::Ink;
use super::text;
use crate::analysis::shown::Picture;
use crate::analysis::{Output, Quantity};
use crate::results::read::{Analysis, Results};
use std::collections::BTreeMap;

/// A result file in the report.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What it is called.
    pub label: String,
    /// What is in it.
    pub results: Results,
}

/// An analysis in all files that have it.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its operator.
    pub operator: &'a str,
    /// Its quantity.
    pub quantity: &'a str,
    /// What is known of the quantity; nothing where another version wrote it.
    pub known: Option<&'static Quantity>,
    /// Cells on a side of a heat map, at most.
    pub cells: usize,
    /// How many files there are in all.
    pub stages: usize,
    /// The file's number, the file, the analysis.
    pub members: Vec<(usize, &'a Stage, &'a Analysis)>,
}

/// A part of the page.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// What a reader should know.
    pub lead: &'static str,
    /// Its figures.
    pub figures: Vec<Figure>,
}

/// Matrices of more files than this are not all shown: the first, the last and some between.
const MATRICES: usize = 6;
/// Cells on a side of a heat map; fewer where there are many of them, so that a page stays below 1 MB.
const CELLS: usize = 128;

/// The analyses of all files, by name, in the order of the first file that has each.
pub fn groups(stages: &[Stage]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (i, stage) in stages.iter().enumerate() {
        for a in &stage.results.analyses {
            let kind = (a.name.as_str(), a.operator.as_str(), a.quantity.as_str());
            let known = groups.iter().position(|g| (g.name, g.operator, g.quantity) == kind);
            let at = known.unwrap_or_else(|| {
                let (name, operator, quantity) = kind;
                groups.push(Group {
                    name,
                    operator,
                    quantity,
                    known: a.described(),
                    stages: stages.len(),
                    cells: CELLS,
                    members: Vec::new(),
                });
                groups.len() - 1
            });
            groups[at].members.push((i, stage, a));
        }
    }
    let large = |g: &&Group<'_>| g.pictures().iter().any(Picture::is_large);
    let pictures: usize = groups.iter().filter(large).map(|g| g.members.len().min(MATRICES)).sum();
    // As many cells in all as eight large pictures have.
    let side = (CELLS as f64 * (8.0 / pictures.max(8) as f64).sqrt()) as usize;
    groups.iter_mut().for_each(|g| g.cells = side.max(32));
    groups
}

/// The sections of the page, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Glance,
    Spectra,
    Densities,
    Marginals,
    Matrices,
    Alignment,
    Learnability,
    Lyapunov,
    Convergence,
}

impl Part {
    /// Its heading, and what a reader should know.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Glance => ("At a glance", ""),
            Self::Spectra => ("Spectra", ""),
            Self::Densities => ("Densities", "Of the eigenvalues that are not 0, smoothed; the integral is 1."),
            Self::Marginals => (
                "Over time, trajectories and units",
                "Marginals: partial traces of the operator. Their leading modes say where in the task learning moves the state together.",
            ),
            Self::Matrices => ("Blocks and whole matrices", ""),
            Self::Alignment => (
                "Alignment between stages",
                "⟨A, B⟩_F / (‖A‖_F ‖B‖_F) of the operators at two stages: 1 where they are the same up to a factor.",
            ),
            Self::Learnability => {
                ("Learnability", "What gradient descent can do about an error signal, mode by mode.")
            }
            Self::Lyapunov => ("Lyapunov exponents", ""),
            Self::Convergence => ("Convergence", "Estimates as products were spent."),
        }
    }
}

/// How a picture is drawn.
enum Draw {
    /// One analysis by itself.
    Each(fn(&Group<'_>, &Picture) -> Vec<Figure>),
    /// All analyses that have the picture together; it has a section of its own.
    Together(fn(&[Stage], &[Group<'_>]) -> Vec<Figure>),
}

/// Where a picture stands, and what draws it.
fn drawn(picture: &Picture) -> (Part, Draw) {
    match picture {
        Picture::OverStages { .. } => (Part::Glance, Draw::Together(stages::glance)),
        Picture::Spectrum { .. } => (Part::Spectra, Draw::Each(spectra::spectrum)),
        Picture::Energy { .. } => (Part::Spectra, Draw::Each(spectra::energy)),
        Picture::Residuals => (Part::Spectra, Draw::Each(spectra::residuals)),
        Picture::Density => (Part::Densities, Draw::Each(density::figures)),
        Picture::Modes => (Part::Marginals, Draw::Each(matrices::marginals)),
        Picture::Cells => (Part::Matrices, Draw::Each(matrices::whole)),
        Picture::Blocks => (Part::Matrices, Draw::Each(matrices::blocks)),
        Picture::BetweenStages => (Part::Alignment, Draw::Together(alignment::alignments)),
        Picture::ErrorSignal => (Part::Learnability, Draw::Each(learnability::figures)),
        Picture::Exponents => (Part::Lyapunov, Draw::Each(lyapunov::figures)),
        Picture::Convergence => (Part::Convergence, Draw::Each(convergence::figures)),
    }
}

/// All figures, by sections; sections without figures are left out.
pub fn sections(stages: &[Stage]) -> Vec<Section> {
    let section = |(part, figures): (Part, Vec<Figure>)| {
        let (title, lead) = part.words();
        Section { title, lead, figures }
    };
    parts(stages).into_iter().filter(|p| !p.1.is_empty()).map(section).collect()
}

/// All figures in the order in which one who has asked for a single analysis looks at them: what only this quantity
/// has, its spectrum, how its value came about.
pub fn of_one(stages: &[Stage]) -> Vec<Figure> {
    let mut parts: Vec<_> = parts(stages).into_iter().collect();
    parts.sort_by_key(|(part, _)| match part {
        Part::Glance
        | Part::Densities
        | Part::Marginals
        | Part::Matrices
        | Part::Alignment
        | Part::Learnability
        | Part::Lyapunov => 0,
        Part::Spectra => 1,
        Part::Convergence => 2,
    });
    parts.into_iter().flat_map(|p| p.1).collect()
}

fn parts(stages: &[Stage]) -> BTreeMap<Part, Vec<Figure>> {
    let groups = groups(stages);
    let mut parts: BTreeMap<Part, Vec<Figure>> = BTreeMap::new();
    for (group, picture) in groups.iter().flat_map(|g| g.pictures().iter().map(move |p| (g, p))) {
        let (part, draw) = drawn(picture);
        match draw {
            Draw::Each(draw) => parts.entry(part).or_default().extend(draw(group, picture)),
            Draw::Together(draw) => {
                parts.entry(part).or_insert_with(|| draw(stages, &groups));
            }
        }
    }
    parts
}

impl<'a> Group<'a> {
    /// The figures of its quantity.
    pub fn pictures(&self) -> &'static [Picture] {
        self.known.map_or(&[Picture::Convergence], |q| q.figures)
    }

    /// What its quantity is called.
    pub fn title_of_quantity(&self) -> String {
        self.known.map_or_else(|| self.quantity.replace('_', " "), |q| q.title.into())
    }

    /// What is known of one of its datasets.
    pub fn output(&self, name: &str) -> Option<&'static Output> {
        self.known?.output(name)
    }

    /// The colour of a file.
    pub fn ink(&self, stage: usize) -> Ink {
        Ink::of(stage, self.stages)
    }

    /// The files and their colours; none where there is only one.
    pub fn legend(&self) -> Vec<(String, Ink)> {
        if self.stages == 1 {
            return Vec::new();
        }
        let all: Vec<_> = self.members.iter().map(|(i, s, _)| (s.label.clone(), self.ink(*i))).collect();
        // Many curves in an order: the ends and the middle.
        let n = all.len();
        if n <= super::style::SERIES {
            return all;
        }
        [0, n / 4, n / 2, 3 * n / 4, n - 1].map(|i| all[i].clone()).to_vec()
    }

    /// What a number of it is of: "trace of NTK".
    pub fn what(&self, number: &str) -> String {
        format!("{number} of {}", text::operator(self.operator))
    }

    /// Operator and what is drawn.
    pub fn title(&self, what: &str) -> String {
        format!("{} of {} ({})", what, text::operator(self.operator), self.name)
    }

    /// The name of a figure of all files.
    pub fn file(&self, what: &str) -> Vec<String> {
        let stage = if self.stages == 1 { self.members[0].1.label.clone() } else { String::new() };
        vec![stage, self.name.into(), what.into()]
    }

    /// The files whose matrices are shown, and what to say of the others.
    pub fn shown(&self) -> (Vec<(usize, &'a Stage, &'a Analysis)>, String) {
        let n = self.members.len();
        if n <= MATRICES {
            return (self.members.clone(), String::new());
        }
        let shown = (0..MATRICES).map(|i| self.members[i * (n - 1) / (MATRICES - 1)]).collect();
        (shown, format!(" {MATRICES} of {n} files are shown."))
    }

    /// A layer a file.
    pub fn each(&self, mut layers: impl FnMut(Ink, &'a Stage, &'a Analysis) -> Vec<Layer>) -> Vec<Layer> {
        self.members.iter().flat_map(|(i, s, a)| layers(self.ink(*i), s, a)).collect()
    }

    /// A table with a row a number of the list and a column a file.
    pub fn table(&self, head: &str, name: &str) -> Option<Table> {
        let lists: Vec<&[f64]> = self.members.iter().map(|m| m.2.list(name)).collect();
        let rows = lists.iter().map(|l| l.len()).max()?;
        let cell = |l: &[f64], i: usize| l.get(i).map_or(String::new(), |x| text::digits(*x, 6));
        let row =
            |i: usize| std::iter::once((i + 1).to_string()).chain(lists.iter().map(|l| cell(l, i))).collect::<Vec<_>>();
        let heads = std::iter::once(head.to_string()).chain(self.members.iter().map(|m| m.1.label.clone()));
        Some(Table { heads: heads.collect(), rows: (0..rows).map(row).collect() })
    }
}

impl Stage {
    /// The value of the analysis of this operator and quantity of the whole state, if there is one.
    pub fn value_of(&self, operator: &str, quantity: &Quantity) -> Option<f64> {
        self.whole(operator, quantity)?.value().filter(|v| v.is_finite())
    }
    /// Half of its interval of 95 %, by its value; 0 if there is none.
    pub fn error_of(&self, operator: &str, quantity: &Quantity) -> f64 {
        let relative = |a: &Analysis| {
            let (value, [low, high]) = (a.value()?, ends(a)?);
            Some((high - value).max(value - low) / value.abs())
        };
        self.whole(operator, quantity).and_then(relative).filter(|e| e.is_finite()).unwrap_or(0.0)
    }
    fn whole(&self, operator: &str, quantity: &Quantity) -> Option<&Analysis> {
        let fits = |a: &&Analysis| a.operator == operator && a.quantity == quantity.name && !is_part(a);
        self.results.analyses.iter().find(fits)
    }
}

/// The ends of the value's interval of 95 %: in files of earlier versions by its standard error.
fn ends(a: &Analysis) -> Option<[f64; 2]> {
    a.interval().or_else(|| Some(kpflow_estimate::normal_interval(a.value()?, a.standard_error()?)))
}

/// Whether an analysis is of a part of the state only.
pub fn is_part(a: &Analysis) -> bool {
    ["window", "units", "average"].iter().any(|k| a.options.contains_key(*k))
}

/// Whether the eigenvalues of an analysis are the largest.
pub fn is_leading(a: &Analysis) -> bool {
    let smallest = a.options.get("which").and_then(toml::Value::as_str) == Some("smallest");
    !smallest && !a.options.contains_key("near")
}

/// The numbers of a list against 1, 2, 3, …
pub fn counted(list: &[f64]) -> Vec<(f64, f64)> {
    list.iter().enumerate().map(|(i, x)| ((i + 1) as f64, *x)).collect()
}

/// A plot of curves.
pub fn curves(group: &Group<'_>, x: Axis, y: Axis, layers: Vec<Layer>) -> Plot {
    Plot { x, y, layers, legend: group.legend(), ..Plot::default() }
}

/// An axis that counts from 1.
pub fn index(title: &str) -> Axis {
    Axis::new(title, Scale::Whole)
}
