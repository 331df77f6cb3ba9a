//! What an earlier run left in a result file, against what a job would make now.

use super::made_of::MadeOf;
use super::{read, StageOf};
use crate::error::{some_of, Error, Result};
use crate::hdf5_file;
use std::path::Path;

/// What is in a result file that a job goes on with.
#[derive(Debug, Default)]
pub struct Past {
    /// Analyses that are what the job would make.
    pub finished: Vec<String>,
    /// Analyses that are not, and why.
    pub stale: Vec<(String, Vec<String>)>,
    /// Whether the model, its weights and its inputs are those of the job: what is not is of no
    /// use.
    pub same: bool,
    /// Whether its run has ended.
    pub complete: bool,
    /// The job's text.
    pub job: String,
    /// Its stage: name, number, and of how many.
    pub stage: Option<StageOf>,
}

/// What is said of a file, or an analysis, of an earlier version.
const UNKNOWN: &str = "made of unknown weights and inputs (an earlier kpflow did not note them)";

impl Past {
    /// Reads it: `made_of` is what all analyses of the job are made of, `wanted` are its analyses.
    ///
    /// **Errors**: it is not a result file, or of another format.
    pub fn read(path: &Path, made_of: &MadeOf, wanted: &[(String, MadeOf)]) -> Result<Self> {
        let wrong = |m: &str| Error::input(path, m);
        let file = hdf5_file::open(path, "--resume goes on with a result file")?;
        let attr = |name: &str| hdf5_file::text_attribute(&file, name).ok();
        if attr("format").as_deref() != Some("kpflow-results") {
            return Err(wrong("is not a result file of kpflow; choose another --output"));
        }
        read::require_format(&file, path)?;
        let number = |name: &str| file.attr(name).and_then(|a| a.read_scalar::<i64>()).ok();
        let stage = || {
            let (name, index, count) = (attr("stage")?, number("stage_index")?, number("stages")?);
            let number = number("stage_number").unwrap_or(index);
            Some(StageOf { name, index: index as usize, count: count as usize, number })
        };
        let mut past = Self {
            same: attr("made_of").and_then(|t| MadeOf::from_json(&t)).as_ref() == Some(made_of),
            complete: attr("status").as_deref() == Some("complete"),
            job: attr("job").unwrap_or_default(),
            stage: stage(),
            ..Self::default()
        };
        let group = file.group("analysis").map_err(|_| wrong("has no group /analysis; run without --resume"))?;
        for name in group.member_names().map_err(|e| Error::input(path, e))? {
            let there = group.group(&name).ok().and_then(|g| hdf5_file::text_attribute(&g, "made_of").ok());
            let now = wanted.iter().find(|w| w.0 == name).map(|w| &w.1);
            let changes = match (there.and_then(|t| MadeOf::from_json(&t)), now) {
                (None, _) => vec![UNKNOWN.to_string()],
                (Some(then), Some(now)) => then.changes(now),
                // What the job does not name any more stays, if it is of the same model.
                (Some(then), None) => then.shared_with(made_of).changes(made_of),
            };
            match changes.is_empty() {
                true => past.finished.push(name),
                false => past.stale.push((name, changes)),
            }
        }
        Ok(past)
    }

    /// Whether all of these analyses are there.
    pub fn has_all(&self, wanted: &[(String, MadeOf)]) -> bool {
        self.stale.is_empty() && wanted.iter().all(|w| self.finished.contains(&w.0))
    }

    /// Fails, naming what changed, if something there is not what the job would make.
    pub fn require_same(&self, path: &Path) -> Result<()> {
        if self.stale.is_empty() {
            return Ok(());
        }
        // Many analyses have one cause: each is told once.
        let mut causes: Vec<(&[String], Vec<&str>)> = Vec::new();
        for (name, why) in &self.stale {
            match causes.iter_mut().find(|c| c.0 == why.as_slice()) {
                Some(cause) => cause.1.push(name),
                None => causes.push((why, vec![name])),
            }
        }
        let told: Vec<String> = causes.iter().map(|(why, of)| format!("{} ({})", some_of(of), some_of(why))).collect();
        let what = format!(
            "holds the results of another job: {}; --redo makes them again, or choose another --output",
            told.join(", ")
        );
        Err(Error::input(path, what))
    }
}
