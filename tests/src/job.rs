//! Job files.

use crate::program::{kpflow, Done};
use crate::results::Results;
use std::path::PathBuf;
use tempfile::TempDir;

/// A job file being written, in a directory of its own.
pub struct Job {
    directory: TempDir,
    text: String,
    flags: Vec<String>,
}

impl Job {
    /// A job that begins with this text: `[model]` and `[data]`.
    pub fn new(text: impl Into<String>) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), text: text.into(), flags: Vec::new() }
    }

    /// Adds lines.
    pub fn line(mut self, line: &str) -> Self {
        self.text.push_str(line);
        self.text.push('\n');
        self
    }

    /// Adds an analysis; `rest` are further keys.
    pub fn analysis(self, name: &str, operator: &str, quantity: &str, rest: &str) -> Self {
        self.line(&format!(
            "[[analysis]]\nname = \"{name}\"\noperator = \"{operator}\"\nquantity = \"{quantity}\"\n{rest}"
        ))
    }

    /// Adds a flag to the command line of `kpflow run`.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// Where a file of this job lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the job file.
    pub fn write(&self) -> PathBuf {
        let path = self.path("job.toml");
        std::fs::write(&path, &self.text).unwrap();
        path
    }

    /// The command line of `kpflow run`; results go to `results.h5` beside the job.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["run".into(), self.write().display().to_string()];
        arguments.extend(self.flags.iter().cloned());
        arguments
    }

    /// Runs the job on this many ranks, whatever becomes of it.
    pub fn attempt(&self, ranks: usize) -> Done {
        kpflow(ranks, &self.arguments())
    }

    /// Opens the results.
    pub fn results(&self) -> Results {
        Results::open(&self.path("results.h5"))
    }

    /// Runs the job on this many ranks and opens its results.
    #[track_caller]
    pub fn run(&self, ranks: usize) -> Results {
        self.attempt(ranks).success();
        let results = self.results();
        assert_eq!(results.text("status"), "complete");
        assert_eq!(results.integer("ranks"), ranks as i64);
        results
    }

    /// Asserts that the job is refused on each of these numbers of ranks with one line that has all of `words`, and leaves no result.
    #[track_caller]
    pub fn refused_on(&self, ranks: &[usize], words: &[&str]) {
        for &ranks in ranks {
            let done = self.attempt(ranks);
            let all = format!("on {ranks} ranks, {}:\n{}{}", done.status, done.stdout, done.stderr);
            assert!(!done.status.success(), "{all}");
            if ranks == 1 {
                assert_eq!(done.status.code(), Some(2), "{all}");
            }
            assert_eq!(done.errors().len(), 1, "{all}");
            assert!(!all.contains("panicked") && !all.contains("internal"), "{all}");
            for word in words {
                assert!(done.errors()[0].contains(word), "lacks {word:?}: {all}");
            }
            assert!(!self.path("results.h5").exists(), "a result file was left: {all}");
        }
    }
}
