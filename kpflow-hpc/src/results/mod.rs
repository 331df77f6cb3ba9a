//! The result file: what the program writes.
//!
//! A run that is killed at any moment leaves a file that opens and holds every analysis that had finished: each change is made
//! on a copy beside the file, which then takes its place.

pub mod axes;
mod fixed;
mod header;
mod labels;
mod lock;
pub mod made_of;
pub mod parts;
mod past;
mod place;
pub mod read;
mod state;
pub mod table;

pub use header::{Header, StageOf};
pub use lock::Lock;
pub use made_of::MadeOf;
pub use parts::Parts;
pub use past::Past;
pub use place::{is_result, replaceable};

use crate::analysis::Part;
use crate::error::{Kind, Result};
use crate::job::Axis;
use crate::replace::settle;
use axes::Axes;
use hdf5::types::VarLenUnicode;
use hdf5::{Group, H5Type};
use ndarray::{ArrayD, IxDyn};
use place::{unwritable, writable};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One analysis.
#[derive(Clone, Debug, Default)]
pub struct Record<T> {
    /// Its operator.
    pub operator: String,
    /// Its quantity.
    pub quantity: String,
    /// The method that was used.
    pub method: String,
    /// Whether it is as good as was asked for.
    pub converged: bool,
    /// Products spent.
    pub matvecs: usize,
    /// How long it took.
    pub seconds: f64,
    /// Why it stopped.
    pub status: String,
    /// What it was made of.
    pub made_of: MadeOf,
    /// The part of the state that it is of.
    pub part: Part,
    /// The axes that a marginal is onto.
    pub axes: Vec<Axis>,
    /// The stage that this one is aligned with.
    pub with_stage: Option<String>,
    /// The value.
    pub value: Option<f64>,
    /// Its standard error.
    pub standard_error: Option<f64>,
    /// The ends of its 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// Products, value and standard error on the way.
    pub history: Vec<[f64; 3]>,
    /// Tensors in the precision of the run: name, shape, numbers.
    pub tensors: Vec<(&'static str, Vec<usize>, Vec<T>)>,
    /// Tensors that the ranks have written in parts.
    pub parts: Vec<Parts<T>>,
    /// Products that this analysis computed itself: the others were there already.
    pub computed: usize,
    /// Bytes that it held beyond what was there when it began, at the worst moment of the rank that needed most.
    pub memory: u64,
    /// Bytes that a rank gave to collective calls, at most.
    pub bytes_sent: u64,
    /// Arrays of numbers: name, shape, numbers.
    pub arrays: Vec<(&'static str, Vec<usize>, Vec<f64>)>,
}

impl<T> Record<T> {
    /// The numbers of an array; none if it is not there.
    pub fn list(&self, name: &str) -> &[f64] {
        self.arrays.iter().find(|a| a.0 == name).map_or(&[], |a| &a.2)
    }
}

/// What the rank that needed most of it has needed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Bytes of memory at the worst moment.
    pub peak_memory: u64,
    /// Bytes given to collective calls.
    pub bytes_sent: u64,
    /// Those calls.
    pub messages: u64,
    /// Seconds that a rank waited for sums within operators.
    pub waited_seconds: f64,
}

/// A result file being written.
pub struct ResultFile {
    path: PathBuf,
    shape: [usize; 3],
    variables: Vec<String>,
    stage: Option<i64>,
}

fn text(group: &Group, name: &str, value: &str) -> hdf5::Result<()> {
    // HDF5's strings end at a zero byte, which TOML cannot hold either.
    let value: VarLenUnicode = value.replace('\0', "").parse().unwrap_or_default();
    match group.attr(name) {
        Ok(attr) => attr.write_scalar(&value),
        Err(_) => group.new_attr::<VarLenUnicode>().create(name)?.write_scalar(&value),
    }
}

fn number<N: H5Type>(group: &Group, name: &str, value: N) -> hdf5::Result<()> {
    match group.attr(name) {
        Ok(attr) => attr.write_scalar(&value),
        Err(_) => group.new_attr::<N>().create(name)?.write_scalar(&value),
    }
}

/// Writes an array of this shape.
pub(crate) fn array<N: H5Type>(group: &Group, name: &str, shape: &[usize], data: Vec<N>) -> hdf5::Result<()> {
    let data = ArrayD::from_shape_vec(IxDyn(shape), data).map_err(|e| hdf5::Error::from(e.to_string()))?;
    group.new_dataset_builder().with_data(&data).create(name).map(drop)
}

fn scalar(group: &Group, name: &str, value: f64) -> hdf5::Result<()> {
    group.new_dataset::<f64>().create(name)?.write_scalar(&value)
}

impl ResultFile {
    fn of(path: &Path, header: &Header) -> Self {
        Self {
            path: resolved(path),
            shape: header.shape,
            variables: header.variables.iter().map(|v| v.name.clone()).collect(),
            stage: header.stage.as_ref().map(|s| s.number),
        }
    }

    /// Begins a new file, in place of any result file that was there.
    ///
    /// **Errors**: the place cannot be written, or holds a file that is not a result file.
    pub fn create(path: &Path, header: &Header) -> Result<Self> {
        hdf5::silence_errors(true);
        let file = Self::of(path, header);
        replaceable(path)?;
        file.change(false, |f| {
            header.write(f)?;
            state::write(f, header)?;
            f.create_group("analysis").map(drop)
        })?;
        parts::remove(path);
        Ok(file)
    }

    /// Fails where [`create`](ResultFile::create) would, and writes nothing.
    pub fn could_create(path: &Path) -> Result<()> {
        hdf5::silence_errors(true);
        replaceable(path)?;
        let path = resolved(path);
        let directory = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match writable(directory) {
            Ok(()) => Ok(()),
            Err(e) => Err(unwritable(&path, &e.to_string(), Kind::Input)),
        }
    }

    /// Goes on with a file: also returns the names of the analyses that are finished. `wanted` are
    /// those of the job; what is there and was made of
    /// something else is made again if `redo`.
    ///
    /// **Errors**: it is no result file, is of another format, or holds what was made of something
    /// else.
    pub fn resume(
        path: &Path,
        header: &Header,
        wanted: &[(String, MadeOf)],
        redo: bool,
    ) -> Result<(Self, Vec<String>)> {
        if !path.exists() {
            return Ok((Self::create(path, header)?, Vec::new()));
        }
        let past = Past::read(path, &header.made_of, wanted)?;
        if !redo {
            past.require_same(path)?;
        }
        if !past.same {
            // Nothing that is there is of use, the state neither.
            return Ok((Self::create(path, header)?, Vec::new()));
        }
        let result = Self::of(path, header);
        result.change(true, |f| {
            let group = f.group("analysis")?;
            past.stale.iter().try_for_each(|(name, _)| group.unlink(name))?;
            header.describe(f)?;
            text(f, "status", "running")
        })?;
        past.stale.iter().for_each(|(name, _)| parts::remove_of(path, name));
        Ok((result, past.finished))
    }

    /// Whether a file is whole: its run has ended, and it holds all that is wanted, made of the
    /// same. If it is, it says from now on what the job says
    /// and which of how many stages it is of.
    pub fn is_whole(path: &Path, header: &Header, wanted: &[(String, MadeOf)]) -> Result<bool> {
        // What is wrong with it is said when the run goes on with it.
        let Ok(past) = Past::read(path, &header.made_of, wanted) else { return Ok(false) };
        if !(past.same && past.complete && past.has_all(wanted)) {
            return Ok(false);
        }
        if past.job != header.job || past.stage != header.stage {
            let file = Self::of(path, header);
            file.change(true, |f| header.describe(f))?;
        }
        Ok(true)
    }

    /// Adds the state itself, [B, T, N].
    pub fn add_state<T: H5Type>(&self, state: Vec<T>) -> Result<()> {
        self.change(true, |f| {
            let group = f.group("state")?;
            if group.link_exists("values") {
                return Ok(());
            }
            array(&group, "values", &self.shape, state)?;
            labels::state(&group)
        })
    }

    /// Adds a finished analysis.
    pub fn add<T: H5Type>(&self, name: &str, r: Record<T>) -> Result<()> {
        self.change(true, |f| {
            let g = f.group("analysis")?.create_group(name)?;
            text(&g, "operator", &r.operator)?;
            text(&g, "quantity", &r.quantity)?;
            text(&g, "method", &r.method)?;
            number(&g, "converged", i64::from(r.converged))?;
            number(&g, "matvecs", r.matvecs as i64)?;
            number(&g, "matvecs_computed", r.computed as i64)?;
            number(&g, "seconds", r.seconds)?;
            number(&g, "memory", r.memory as i64)?;
            number(&g, "bytes_sent", r.bytes_sent as i64)?;
            text(&g, "status", &r.status)?;
            text(&g, "made_of", &r.made_of.to_json())?;
            r.with_stage.as_ref().map_or(Ok(()), |s| text(&g, "with_stage", s))?;
            if let Some(value) = r.value {
                scalar(&g, "value", value)?;
            }
            if let Some(error) = r.standard_error {
                scalar(&g, "standard_error", error)?;
            }
            if let Some(ends) = r.interval {
                array(&g, "interval", &[2], ends.to_vec())?;
            }
            if !r.history.is_empty() {
                array(&g, "history", &[r.history.len(), 3], r.history.concat())?;
            }
            for (name, shape, data) in r.tensors {
                array(&g, name, &shape, data)?;
            }
            for tensor in r.parts {
                parts::link::<T>(self, &g, name, tensor)?;
            }
            for (name, shape, data) in r.arrays {
                array(&g, name, &shape, data)?;
            }
            let Self { shape, stage, ref variables, .. } = *self;
            let axes = Axes { quantity: &r.quantity, part: &r.part, onto: &r.axes, shape, variables };
            labels::analysis(&g, &axes, stage)
        })
    }

    /// Ends the file.
    pub fn finish(&self, wall: Duration, spent: Spent) -> Result<()> {
        self.change(true, |f| {
            number(f, "wall_seconds", wall.as_secs_f64())?;
            number(f, "peak_memory", spent.peak_memory as i64)?;
            number(f, "bytes_sent", spent.bytes_sent as i64)?;
            number(f, "messages", spent.messages as i64)?;
            number(f, "waited_seconds", spent.waited_seconds)?;
            text(f, "status", "complete")
        })
    }

    /// Makes a change on a copy, or from nothing, and puts it in the file's place.
    fn change(&self, keep: bool, edit: impl FnOnce(&hdf5::File) -> hdf5::Result<()>) -> Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(".tmp");
        let copy = PathBuf::from(name);
        let wrong = |e: &dyn std::fmt::Display| {
            let _ = std::fs::remove_file(&copy);
            // A place that cannot be written to is the user's; a disk that fills up later is not.
            unwritable(&self.path, &e.to_string(), if keep { Kind::Run } else { Kind::Input })
        };
        if keep {
            std::fs::copy(&self.path, &copy).map_err(|e| wrong(&e))?;
        } else {
            // HDF5's own words for a missing directory are long: ask the system first.
            std::fs::File::create(&copy).map_err(|e| wrong(&e))?;
        }
        let file = if keep { hdf5::File::open_rw(&copy) } else { hdf5::File::create(&copy) }.map_err(|e| wrong(&e))?;
        edit(&file).and_then(|()| file.close()).map_err(|e| wrong(&e))?;
        settle(&copy, &self.path).map_err(|e| wrong(&e))
    }
}

/// Where a path leads: a link to a result file stays a link when the file is replaced.
fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.into())
}

#[cfg(test)]
mod tests;
