//! What a result file says of its run: the attributes of its root.

use super::{labels, number, text, MadeOf};
use crate::network::Watched;
use crate::versions;
use crate::words::utc;
use hdf5::types::VarLenUnicode;
use std::time::SystemTime;

/// What the root's attributes say.
#[derive(Clone, Debug)]
pub struct Header {
    /// The job's text.
    pub job: String,
    /// The kind of model.
    pub model: String,
    /// n_θ.
    pub parameters: usize,
    /// [B, T, N].
    pub shape: [usize; 3],
    /// The seed.
    pub seed: u64,
    /// f32 or f64.
    pub precision: String,
    /// Ranks.
    pub ranks: usize,
    /// How they were divided: trajectories × probes.
    pub grid: [usize; 2],
    /// Threads a rank.
    pub threads: usize,
    /// When the run began.
    pub started: SystemTime,
    /// The steps of each trajectory, where they differ.
    pub lengths: Option<Vec<usize>>,
    /// The variables that are the state, in their order.
    pub variables: Vec<Watched>,
    /// The stage, of a training run.
    pub stage: Option<StageOf>,
    /// What all its analyses are made of: the model, its weights, its inputs.
    pub made_of: MadeOf,
    /// Which files those are, as JSON: what each is, where, and the hash of its numbers.
    pub files: String,
    /// What the user should know before trusting a number of the file.
    pub warnings: Vec<String>,
}

impl Header {
    /// Writes what a new file begins with.
    pub(super) fn write(&self, f: &hdf5::File) -> hdf5::Result<()> {
        text(f, "format", "kpflow-results")?;
        number(f, "format_version", 1i64)?;
        self.describe(f)?;
        text(f, "made_of", &self.made_of.to_json())?;
        text(f, "model", &self.model)?;
        number(f, "parameters", self.parameters as i64)?;
        f.new_attr_builder().with_data(&self.shape.map(|d| d as i64)).create("shape")?;
        number(f, "seed", self.seed)?;
        text(f, "precision", &self.precision)?;
        number(f, "ranks", self.ranks as i64)?;
        f.new_attr_builder().with_data(&self.grid.map(|d| d as i64)).create("grid")?;
        number(f, "threads", self.threads as i64)?;
        text(f, "started", &utc(self.started))?;
        number(f, "wall_seconds", 0.0)?;
        text(f, "status", "running")
    }

    /// Writes what may be other in a job that goes on with a file.
    pub(super) fn describe(&self, f: &hdf5::File) -> hdf5::Result<()> {
        text(f, "job", &self.job)?;
        text(f, "files", &self.files)?;
        for (name, version) in versions::all() {
            text(f, name, &version)?;
        }
        self.write_warnings(f)?;
        self.stage.as_ref().map_or(Ok(()), |s| s.write(f))
    }

    /// Writes the warnings as they are today: a file of an earlier version has none.
    fn write_warnings(&self, f: &hdf5::File) -> hdf5::Result<()> {
        if f.attr("warnings").is_ok() {
            f.delete_attr("warnings")?;
        }
        if self.warnings.is_empty() {
            return Ok(());
        }
        let sentences = self.warnings.iter().map(|w| w.replace('\0', "").parse::<VarLenUnicode>().unwrap_or_default());
        f.new_attr_builder().with_data(&sentences.collect::<Vec<_>>()).create("warnings").map(drop)
    }
}

/// Which stage of a training run a file is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageOf {
    /// Its name.
    pub name: String,
    /// Its number, from 0.
    pub index: usize,
    /// How many there are.
    pub count: usize,
    /// Where it is on the axis of the training: the number in its name, or its index.
    pub number: i64,
}

impl StageOf {
    fn write(&self, f: &hdf5::File) -> hdf5::Result<()> {
        text(f, "stage", &self.name)?;
        number(f, "stage_index", self.index as i64)?;
        number(f, "stages", self.count as i64)?;
        number(f, "stage_number", self.number)?;
        match f.link_exists("analysis") {
            true => labels::stage(&f.group("analysis")?, self.number),
            false => Ok(()),
        }
    }
}
