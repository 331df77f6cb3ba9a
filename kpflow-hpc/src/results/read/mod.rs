//! Reading result files: every attribute and dataset that the program writes, checked, so that no reader after this one can stumble.
//!
//! A file whose run still goes on, or was killed, is read as far as it came. Large vectors stay in the file until
//! they are asked for.

mod given;
mod reader;

use super::fixed;
use crate::analysis::{self, outputs::Dimension};
use crate::error::{Error, Result};
use crate::hdf5_file::{self, Hdf5File};
use reader::{Reader, MOST};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The newest format that this program reads.
const VERSION: i64 = 1;

/// Numbers in C order and their shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Array {
    /// The shape.
    pub shape: Vec<usize>,
    /// The numbers.
    pub data: Vec<f64>,
}

/// One finished analysis.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    /// Its name.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// Its quantity.
    pub quantity: String,
    /// The method that was used.
    pub method: String,
    /// Why it stopped.
    pub status: String,
    /// Whether it is as good as was asked for.
    pub converged: bool,
    /// Products spent.
    pub matvecs: usize,
    /// Those that no analysis before had computed.
    pub computed: usize,
    /// How long it took.
    pub seconds: f64,
    /// Bytes that it held beyond what was there when it began, at the worst moment; older files have none.
    pub memory: Option<u64>,
    /// Bytes that a rank gave to collective calls meanwhile.
    pub bytes_sent: Option<u64>,
    /// The stage of the training that it is an alignment with.
    pub with_stage: Option<String>,
    /// Products, value and standard error on the way.
    pub history: Vec<[f64; 3]>,
    /// Large tensors that are there: name and shape.
    pub tensors: Vec<(&'static str, Vec<usize>)>,
    /// The keys of the job's `[[analysis]]`, as they are written there.
    pub options: toml::Table,
    arrays: BTreeMap<&'static str, Array>,
}

/// One variable of the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Offset, stride, positions, width.
    pub layout: [usize; 4],
}

/// A result file.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// Where it is.
    pub path: PathBuf,
    /// The version of the program that wrote it.
    pub kpflow_version: String,
    /// The job's text.
    pub job: String,
    /// The kind of model.
    pub model: String,
    /// n_θ.
    pub parameters: u64,
    /// [B, T, N].
    pub shape: [usize; 3],
    /// The seed.
    pub seed: u64,
    /// f32 or f64.
    pub precision: String,
    /// Ranks.
    pub ranks: u64,
    /// Trajectories × probes; older files have none.
    pub grid: Option<[usize; 2]>,
    /// Threads of a rank.
    pub threads: u64,
    /// When the run began.
    pub started: String,
    /// How long the run took; 0 while it runs.
    pub wall_seconds: f64,
    /// Whether the run has ended.
    pub complete: bool,
    /// Bytes of memory of the rank that needed most.
    pub peak_memory: Option<u64>,
    /// Bytes that a rank gave to collective calls, at most.
    pub bytes_sent: Option<u64>,
    /// Those calls.
    pub messages: Option<u64>,
    /// The stage of a training that its weights are of.
    pub stage: Option<String>,
    /// Which one in the order of the training.
    pub stage_index: Option<i64>,
    /// Where it is on the axis of the training: the number in its name, or its index; older files have none.
    pub stage_number: Option<i64>,
    /// What the user should know before trusting a number of the file.
    pub warnings: Vec<String>,
    /// The variables of the state.
    pub variables: Vec<Variable>,
    /// Whether the state itself is in the file.
    pub has_state: bool,
    /// What had finished, in the order of the job.
    pub analyses: Vec<Analysis>,
}

impl Analysis {
    /// What is known of its quantity; nothing where another version wrote it.
    pub fn described(&self) -> Option<&'static analysis::Quantity> {
        analysis::named(&self.quantity)
    }
    /// A scalar, or nothing.
    pub fn scalar(&self, name: &str) -> Option<f64> {
        self.arrays.get(name)?.data.first().copied().filter(|_| self.arrays[name].shape.is_empty())
    }
    /// The value.
    pub fn value(&self) -> Option<f64> {
        self.scalar("value")
    }
    /// Its standard error.
    pub fn standard_error(&self) -> Option<f64> {
        self.scalar("standard_error")
    }
    /// The ends of its 95 % interval; files of earlier versions have none.
    pub fn interval(&self) -> Option<[f64; 2]> {
        self.list("interval").try_into().ok()
    }
    /// The numbers of an array; none if it is not there.
    pub fn list(&self, name: &str) -> &[f64] {
        self.arrays.get(name).map_or(&[], |a| &a.data)
    }
    /// An array with its shape.
    pub fn array(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }
    /// How far each of the `eigenvalues` or `singular_values` may be from the truth, by its residual; empty where there are none.
    ///
    /// A symmetric operator has an eigenvalue within ‖A v − λ v‖ of λ; a triplet is an eigenpair of [0 A; Aᵀ 0].
    pub fn bounds(&self, list: &str) -> Vec<f64> {
        let largest = self.list(list).first().copied().unwrap_or(0.0).abs();
        self.list("residuals").iter().map(|r| r * largest).collect()
    }
    /// Every array that is there, by name.
    pub fn arrays(&self) -> impl Iterator<Item = (&'static str, &Array)> {
        self.arrays.iter().map(|(name, a)| (*name, a))
    }
    /// A matrix: rows, columns, numbers.
    pub fn matrix(&self, name: &str) -> Option<(usize, usize, &[f64])> {
        let a = self.arrays.get(name)?;
        Some((*a.shape.first()?, *a.shape.get(1)?, &a.data))
    }
    /// The axes that a marginal is onto, as the job names them.
    pub fn axes(&self) -> Vec<String> {
        let one = self.options.get("axis").and_then(toml::Value::as_str).map(|a| vec![a.to_string()]);
        let many = self.options.get("axes").and_then(toml::Value::as_array);
        let many = many.map(|l| l.iter().filter_map(|a| a.as_str().map(str::to_string)).collect());
        one.or(many).unwrap_or_default()
    }
}

impl Results {
    /// Opens a result file and reads all of it but large tensors.
    ///
    /// **Errors**: the file cannot be opened, is not a result file, is of a newer format, or is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let file = open(path)?;
        let wrong = |what: String| Error::input(path, what);
        let root = Reader { group: &file, place: "/", path };
        if root.text("format").ok().as_deref() != Some("kpflow-results") {
            return Err(wrong("is HDF5, but not a result file of kpflow; kpflow run writes one".into()));
        }
        require_format(&file, path)?;
        let job = root.text("job")?;
        let shape = root.numbers("shape")?;
        let shape = <[usize; 3]>::try_from(shape)
            .map_err(|s| wrong(format!("has a shape of {} numbers; it should be [B, T, N]", s.len())))?;
        let mut results = Self {
            path: path.into(),
            kpflow_version: root.text("kpflow_version")?,
            model: root.text("model")?,
            parameters: root.number("parameters")?,
            shape,
            seed: root.number("seed")?,
            precision: root.text("precision")?,
            ranks: root.number("ranks")?,
            grid: root.numbers("grid").ok().and_then(|g| g.try_into().ok()),
            threads: root.number("threads")?,
            started: root.text("started")?,
            wall_seconds: root.number("wall_seconds")?,
            complete: root.text("status")? == "complete",
            peak_memory: root.number("peak_memory").ok(),
            bytes_sent: root.number("bytes_sent").ok(),
            messages: root.number("messages").ok(),
            stage: root.text("stage").ok(),
            stage_index: root.number("stage_index").ok(),
            stage_number: root.number("stage_number").ok(),
            warnings: root.texts("warnings"),
            variables: variables(&file).unwrap_or_default(),
            has_state: file.link_exists("state/values"),
            analyses: Vec::new(),
            job,
        };
        let damaged = |what: &str| wrong(format!("is damaged: {what} cannot be read; run the job again"));
        let group = file.group("analysis").map_err(|_| damaged("/analysis"))?;
        let options = options(&results.job);
        for name in group.member_names().map_err(|_| damaged("/analysis"))? {
            let place = format!("/analysis/{name}");
            let member = group.group(&name).map_err(|_| damaged(&place))?;
            let mut analysis = Reader { group: &member, place: &place, path }.analysis(&name)?;
            analysis.options = options.iter().find(|o| o.0 == name).map(|o| o.1.clone()).unwrap_or_default();
            results.analyses.push(analysis);
        }
        // Names that the job does not have come last, by themselves.
        let place = |a: &Analysis| options.iter().position(|o| o.0 == a.name).unwrap_or(usize::MAX);
        results.analyses.sort_by(|a, b| place(a).cmp(&place(b)).then(a.name.cmp(&b.name)));
        Ok(results)
    }

    /// The analysis of a name.
    pub fn analysis(&self, name: &str) -> Option<&Analysis> {
        self.analyses.iter().find(|a| a.name == name)
    }

    /// Reads one of the large tensors, [k, B, T, N]; what is in parts that are missing is NaN.
    ///
    /// **Errors**: it is not there, or cannot be read.
    pub fn tensor(&self, analysis: &str, name: &str) -> Result<Array> {
        let file = open(&self.path)?;
        let place = format!("/analysis/{analysis}");
        let wrong = || Error::input(&self.path, format!("has no {place}/{name}; ask for it with vectors = true"));
        let group = file.group(&place).map_err(|_| wrong())?;
        let dimensions = analysis::tensors().iter().find(|o| o.name == name).ok_or_else(wrong)?.dimensions;
        // Of one vector that was given there is one, of its shape.
        let single = dimensions[0] == Dimension::Vector && group.dataset(name).is_ok_and(|d| d.ndim() == 3);
        let axes = dimensions.len() - usize::from(single);
        Reader { group: &group, place: &place, path: &self.path }.array(name, axes)?.ok_or_else(wrong)
    }

    /// What the file is called in tables and legends: its stage, or its name.
    pub fn label(&self) -> String {
        let stem = || self.path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        self.stage.clone().filter(|s| !s.trim().is_empty()).unwrap_or_else(stem)
    }
}

/// Fails unless a result file is of a format that this program reads.
pub(super) fn require_format(file: &hdf5::File, path: &Path) -> Result<()> {
    let version: i64 = Reader { group: file, place: "/", path }.number("format_version")?;
    let what = match version {
        1..=VERSION => return Ok(()),
        0.. => format!("has format_version {version}; this kpflow reads up to {VERSION}: install a newer one"),
        _ => format!("has format_version {version}, which there never was; run the job again"),
    };
    Err(Error::input(path, what))
}

/// Opens an HDF5 file, and says in one line what is in its place if it is none.
fn open(path: &Path) -> Result<Hdf5File> {
    let wrong = |what: &str| Error::input(path, what);
    if path.is_dir() {
        return Err(wrong("is a directory; a result file (.h5) is needed"));
    }
    let length = std::fs::metadata(path).and_then(|m| std::fs::File::open(path).map(|_| m.len()));
    let length =
        length.map_err(|e| Error::input(path, format!("cannot be read: {e}; a result file (.h5) is needed")))?;
    if length == 0 {
        return Err(wrong("is empty; a result file (.h5) is needed"));
    }
    hdf5_file::open(path, "a result file that kpflow run wrote is needed")
}

/// The tables of the job's analyses by name; a job that does not parse has none.
fn options(job: &str) -> Vec<(String, toml::Table)> {
    let Ok(job) = job.parse::<toml::Table>() else { return Vec::new() };
    let all = job.get("analysis").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let named = |v: &toml::Value| Some((v.get("name")?.as_str()?.to_string(), v.as_table()?.clone()));
    all.iter().filter_map(named).collect()
}

fn variables(file: &hdf5::File) -> Option<Vec<Variable>> {
    let names = file.dataset("state/variables").ok()?;
    let layout = file.dataset("state/layout").ok()?;
    if names.size() > MOST || layout.size() != 4 * names.size() {
        return None;
    }
    let (names, layout) = (fixed::read(&names).ok()?, layout.read_raw::<u64>().ok()?);
    let one = |(name, l): (String, &[u64])| Variable { name, layout: [l[0], l[1], l[2], l[3]].map(|x| x as usize) };
    Some(names.into_iter().zip(layout.chunks_exact(4)).map(one).collect())
}
