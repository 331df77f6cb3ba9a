//! Training runs: `weights` that are several checkpoints, each a stage of which every analysis is made.

use super::section::Section;
use super::{Analysis, Job, Said, Source, Value};
use crate::analysis::{self, keys, Method, Operator};
use crate::error::{some_of, Error, Result};
use crate::load::shards;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use wildmatch::WildMatch;

/// A stage of a training run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its name: the stem of the checkpoint's file.
    pub name: String,
    /// The checkpoint.
    pub weights: PathBuf,
}

/// The relative error to which stages are aligned.
const ALIGNMENT_RTOL: f64 = 0.01;

/// What the names of alignments between stages begin with.
const ALIGNMENT: &str = "alignment.";

/// Which stages a stage is aligned with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alignments {
    /// The one before and the first.
    #[default]
    Neighbours,
    /// All that came before.
    All,
    /// None.
    None,
}

impl Alignments {
    /// Every word and its meaning.
    pub const ALL: &'static [(&'static str, Alignments)] =
        &[("neighbours", Alignments::Neighbours), ("all", Alignments::All), ("none", Alignments::None)];
}

/// `weights`: one file, or the stages of a training run, by pattern or list.
pub(super) fn weights(s: &Section<'_>, directory: &Path) -> Result<(PathBuf, Vec<Stage>)> {
    let texts = match s.get("weights") {
        Some(toml::Value::Array(_)) => s.strings("weights")?,
        _ => {
            let text = s.required_text("weights")?;
            if !is_pattern(directory, text) {
                return Ok((directory.join(text), Vec::new()));
            }
            vec![text.to_string()]
        }
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for text in &texts {
        if !is_pattern(directory, text) {
            let file = directory.join(text);
            if files.contains(&file) {
                return Err(s.error(format!("weights has \"{text}\" twice; a checkpoint is one stage")));
            }
            files.push(file);
            continue;
        }
        let found = expand(directory, text).map_err(|why| s.error(format!("weights = \"{text}\" {why}")))?;
        // A pattern after a list of names is for the others: ["init.safetensors", "*.safetensors"].
        files.extend(found.into_iter().filter(|f| !files.contains(f)).collect::<Vec<_>>());
    }
    shards::one_a_set(&mut files);
    let Some(first) = files.first().cloned() else {
        return Err(s.error("weights is an empty list; it names a checkpoint, or several"));
    };
    // A pattern that means the files of one checkpoint is no training run.
    let one = files.len() == 1 && shards::set_of(&first)?.is_some();
    Ok((first, if one { Vec::new() } else { of(files) }))
}

/// The stages of these checkpoints.
pub fn of(files: Vec<PathBuf>) -> Vec<Stage> {
    names(&files).into_iter().zip(files).map(|(name, weights)| Stage { name, weights }).collect()
}

/// Whether a text is a pattern: a file that is there is itself.
fn is_pattern(directory: &Path, text: &str) -> bool {
    text.contains(['*', '?']) && !directory.join(text).exists()
}

/// The files that a pattern matches, in natural order; or what there is instead.
fn expand(directory: &Path, pattern: &str) -> std::result::Result<Vec<PathBuf>, String> {
    let mut found = vec![directory.to_path_buf()];
    for part in Path::new(pattern).components() {
        let word = part.as_os_str().to_string_lossy().into_owned();
        if !matches!(part, Component::Normal(_)) || !word.contains(['*', '?']) {
            found.iter_mut().for_each(|d| d.push(part));
            continue;
        }
        let wild = WildMatch::new(&word);
        let there: Vec<(PathBuf, Vec<String>)> = found.into_iter().map(|d| (d.clone(), entries(&d))).collect();
        let matching = |(d, names): &(PathBuf, Vec<String>)| {
            let visible = |n: &&String| wild.matches(n) && (word.starts_with('.') || !n.starts_with('.'));
            names.iter().filter(visible).map(|n| d.join(n)).collect::<Vec<_>>()
        };
        found = there.iter().flat_map(matching).collect();
        if found.is_empty() {
            return Err(nothing(&there));
        }
    }
    let places: Vec<(PathBuf, Vec<String>)> =
        found.iter().filter_map(|f| Some((f.parent()?.to_path_buf(), entries(f.parent()?)))).collect();
    found.retain(|f| f.is_file());
    if found.is_empty() {
        return Err(nothing(&places));
    }
    found.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
    Ok(found)
}

/// The names in a directory, in natural order; none where it cannot be read.
fn entries(directory: &Path) -> Vec<String> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let there = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = there.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort_by(|a, b| natural(a, b));
    names
}

/// Says what there is where nothing matches.
fn nothing(places: &[(PathBuf, Vec<String>)]) -> String {
    let Some((directory, names)) = places.first() else { return "matches no file".into() };
    let shown = if directory.as_os_str().is_empty() { ".".into() } else { directory.display().to_string() };
    match (directory.as_os_str().is_empty() || directory.is_dir(), names.is_empty()) {
        (false, _) => format!("matches no file; there is no directory {shown}"),
        (true, true) => format!("matches no file; {shown} is empty"),
        (true, false) => format!("matches no file; {shown} has {}", some_of(names)),
    }
}

/// Compares two texts, their numbers as numbers: step2 is before step10.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    while let (Some(&p), Some(&q)) = (x.first(), y.first()) {
        if p.is_ascii_digit() && q.is_ascii_digit() {
            let (m, n) = (number(&mut x), number(&mut y));
            // Without zeros before them, longer numbers are larger.
            let order = m.len().cmp(&n.len()).then(m.cmp(n));
            if order != Ordering::Equal {
                return order;
            }
        } else if p != q {
            return p.cmp(&q);
        } else {
            (x, y) = (&x[1..], &y[1..]);
        }
    }
    x.len().cmp(&y.len()).then(a.cmp(b))
}

/// The one number of each name that is not the same in all; none where names differ by more.
fn numbers(names: &[&str]) -> Option<Vec<i64>> {
    let parts = |name: &&str| {
        let mut parts = vec![String::new()];
        for c in name.chars() {
            let digits = |part: &String| part.ends_with(|c: char| c.is_ascii_digit());
            match parts.last_mut() {
                Some(part) if part.is_empty() || digits(part) == c.is_ascii_digit() => part.push(c),
                _ => parts.push(c.into()),
            }
        }
        parts
    };
    let all: Vec<Vec<String>> = names.iter().map(parts).collect();
    let first = all.first()?;
    if all.iter().any(|parts| parts.len() != first.len()) {
        return None;
    }
    let differs = |&i: &usize| all.iter().any(|parts| parts[i] != first[i]);
    let differing: Vec<usize> = (0..first.len()).filter(differs).collect();
    let [one] = differing[..] else { return None };
    all.iter().map(|parts| parts[one].parse().ok()).collect()
}

/// Takes a number from the front of a text, without the zeros before it.
fn number<'t>(text: &mut &'t [u8]) -> &'t [u8] {
    let digits = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    *text = rest;
    &number[number.iter().take_while(|&&c| c == b'0').count()..]
}

/// Names of checkpoints that differ: their stems; where those repeat, with the directories before them; at worst numbered.
fn names(files: &[PathBuf]) -> Vec<String> {
    let legal = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' };
    let name = |file: &PathBuf, depth: usize| {
        let stem = file.with_extension("");
        let parts: Vec<String> = stem
            .components()
            .filter(|c| matches!(c, Component::Normal(_)))
            .map(|c| c.as_os_str().to_string_lossy().chars().map(legal).collect())
            .collect();
        parts[parts.len().saturating_sub(depth)..].join(".")
    };
    let deepest = files.iter().map(|f| f.components().count()).max().unwrap_or(1);
    for depth in 1..=deepest {
        let names: Vec<String> = files.iter().map(|f| name(f, depth)).collect();
        if names.iter().collect::<HashSet<_>>().len() == names.len() {
            return names;
        }
    }
    files.iter().enumerate().map(|(i, f)| format!("{}.{i}", name(f, 1))).collect()
}

/// Fails if an analysis has a name that alignments between stages may have.
pub(super) fn check(s: &Section<'_>, stages: &[Stage], analyses: &[Analysis]) -> Result<()> {
    let taken = |a: &&Analysis| {
        let rest = a.name.strip_prefix(ALIGNMENT).unwrap_or_default();
        !stages.is_empty()
            && Operator::ALL.iter().any(|(word, _)| rest.strip_prefix(word).is_some_and(|r| r.starts_with('.')))
    };
    match analyses.iter().find(taken) {
        Some(a) => Err(s.error(format!(
            "the name \"{}\" is for an alignment between stages, which kpflow adds itself; choose another",
            a.name
        ))),
        None => Ok(()),
    }
}

impl Job {
    /// How many runs this job is: its stages, or one.
    pub fn runs(&self) -> usize {
        self.stages.len().max(1)
    }

    /// Where each stage is on the axis of the training: the one number by which all names differ, or else its index.
    pub fn stage_numbers(&self) -> Vec<i64> {
        let names: Vec<&str> = self.stages.iter().map(|s| s.name.as_str()).collect();
        numbers(&names).unwrap_or_else(|| (0..names.len() as i64).collect())
    }

    /// The job of one stage, with its alignments to others; a job of one checkpoint is its own.
    pub fn at(&self, stage: usize) -> Job {
        let mut job = self.clone();
        let Some(this) = self.stages.get(stage) else { return job };
        job.stage = Some(stage);
        job.model.weights.clone_from(&this.weights);
        job.output = beside(&self.output, &this.name);
        let others: Vec<usize> = match self.alignments {
            _ if stage == 0 => Vec::new(),
            Alignments::Neighbours if stage == 1 => vec![0],
            Alignments::Neighbours => vec![stage - 1, 0],
            Alignments::All => (0..stage).rev().collect(),
            Alignments::None => Vec::new(),
        };
        for operator in self.aligned_operators() {
            job.analyses.extend(others.iter().map(|&other| self.alignment(operator, &self.stages[other])));
        }
        job
    }

    /// The job of the stage that has most to do: the last, as it has most alignments.
    pub fn heaviest(&self) -> Job {
        self.at(self.runs() - 1)
    }

    /// The operators whose stages are aligned: all symmetric ones that the job names.
    pub fn aligned_operators(&self) -> impl Iterator<Item = Operator> + '_ {
        let used = |operator: &Operator| self.analyses.iter().any(|a| a.operator == *operator);
        Operator::ALL.iter().map(|o| o.1).filter(move |o| o.symmetric() && used(o))
    }

    /// The name of the alignment with a stage.
    pub fn alignment_name(operator: Operator, stage: &Stage) -> String {
        format!("{ALIGNMENT}{}.{}", operator.name(), stage.name)
    }

    fn alignment(&self, operator: Operator, stage: &Stage) -> Analysis {
        let mut said = Said::nothing(&analysis::ALIGNMENT);
        let of = self.analyses.iter().filter(|a| a.operator == operator);
        said.set(&keys::RTOL, Value::Number(ALIGNMENT_RTOL));
        if let Some(most) = of.map(|a| a.max_matvecs).max() {
            said.set(&keys::MAX_MATVECS, Value::Whole(most));
        }
        said.set(&keys::WITH, Value::File(Source { path: stage.weights.clone(), dataset: None }));
        let name = Self::alignment_name(operator, stage);
        let one = Analysis::new(name, operator, &analysis::ALIGNMENT, Method::AUTO, said);
        Analysis { with_stage: Some(stage.name.clone()), ..one }
    }

    /// What an error of one stage says: which it is.
    pub fn in_stage(&self, e: Error) -> Error {
        let Some(stage) = self.stage.and_then(|i| self.stages.get(i)) else { return e };
        if e.file.as_ref() == Some(&stage.weights) {
            return e;
        }
        Error { message: format!("at stage {} ({}): {}", stage.name, stage.weights.display(), e.message), ..e }
    }
}

/// The result file of a stage: `results.h5` becomes `results.STAGE.h5`.
fn beside(output: &Path, stage: &str) -> PathBuf {
    let mut name = output.file_stem().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(stage);
    if let Some(ending) = output.extension() {
        name.push(".");
        name.push(ending);
    }
    output.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_their_order() {
        let mut names = vec!["step10", "step2", "step", "step02", "a/9", "a/b", "step100b", "step100", "10", "9"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["9", "10", "a/9", "a/b", "step", "step02", "step2", "step10", "step100", "step100b"]);
    }

    #[test]
    fn names_differ() {
        let of = |files: &[&str]| names(&files.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(of(&["a/x.init.safetensors", "a/step 2.safetensors"]), ["x.init", "step_2"]);
        assert_eq!(of(&["run/c-5/model.st", "run/c-10/model.st"]), ["c-5.model", "c-10.model"]);
        assert_eq!(of(&["a b.st", "a_b.st"]), ["a_b.0", "a_b.1"]);
    }

    #[test]
    fn numbers_of_stages() {
        assert_eq!(numbers(&["step_0005", "step_10", "step_100"]), Some(vec![5, 10, 100]));
        assert_eq!(numbers(&["5.model_2", "10.model_2"]), Some(vec![5, 10]));
        for none in [&["init", "step_1"][..], &["e1_b2", "e2_b3"], &["a", "b"], &["step_1"], &[]] {
            assert_eq!(numbers(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_result_file_a_stage() {
        assert_eq!(beside(Path::new("d/results.h5"), "step2"), Path::new("d/results.step2.h5"));
        assert_eq!(beside(Path::new("a.b/results"), "x"), Path::new("a.b/results.x"));
    }
}
