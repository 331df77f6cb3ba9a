//! Result files.

use hdf5::types::VarLenUnicode;
use hdf5::{File, FileBuilder, Group};
use std::path::Path;

/// Files here are opened without locks: a program that another test starts holds, until it runs, the locks of all that is open in this process,
/// and whoever reads the file meanwhile would be told that it is being written.
fn unlocked() -> FileBuilder {
    let mut builder = File::with_options();
    builder.with_fapl(|access| access.file_locking(false));
    builder
}

#[track_caller]
fn here(file: hdf5::Result<File>, path: &Path) -> File {
    file.unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Makes an HDF5 file.
#[track_caller]
pub fn create(path: impl AsRef<Path>) -> File {
    here(unlocked().create(&path), path.as_ref())
}

/// Opens an HDF5 file to read it.
#[track_caller]
pub fn open(path: impl AsRef<Path>) -> File {
    here(unlocked().open(&path), path.as_ref())
}

/// Opens an HDF5 file to change it.
#[track_caller]
pub fn open_rw(path: impl AsRef<Path>) -> File {
    here(unlocked().open_rw(&path), path.as_ref())
}

/// Opens an HDF5 file to add to it, or makes it.
#[track_caller]
pub fn append(path: impl AsRef<Path>) -> File {
    here(unlocked().append(&path), path.as_ref())
}

/// An open result file.
pub struct Results(File);

/// The analyses that a result file has finished; none where there is no file yet.
#[track_caller]
pub fn finished(path: &Path) -> Vec<String> {
    match path.exists() {
        true => Results::open(path).names(),
        false => Vec::new(),
    }
}

impl Results {
    /// Opens a result file.
    #[track_caller]
    pub fn open(path: &Path) -> Self {
        Self(open(path))
    }

    /// An attribute of the file.
    pub fn text(&self, attribute: &str) -> String {
        self.0.attr(attribute).unwrap().read_scalar::<VarLenUnicode>().unwrap().to_string()
    }

    /// An attribute of the file.
    pub fn integer(&self, attribute: &str) -> i64 {
        self.0.attr(attribute).unwrap().read_scalar().unwrap()
    }

    /// [B, T, N].
    pub fn shape(&self) -> Vec<i64> {
        self.0.attr("shape").unwrap().read_raw().unwrap()
    }

    /// The state of a run that kept it.
    #[track_caller]
    pub fn state(&self) -> Vec<f64> {
        self.0.dataset("state/values").unwrap().read_raw().unwrap()
    }

    /// The analyses that are there.
    pub fn names(&self) -> Vec<String> {
        self.0.group("analysis").unwrap().member_names().unwrap()
    }

    /// The group of an analysis.
    #[track_caller]
    pub fn group(&self, analysis: &str) -> Group {
        self.0.group("analysis").unwrap().group(analysis).unwrap_or_else(|e| panic!("{analysis}: {e}"))
    }

    /// A dataset of an analysis.
    #[track_caller]
    pub fn read(&self, analysis: &str, dataset: &str) -> Vec<f64> {
        let data = self.group(analysis).dataset(dataset).unwrap_or_else(|e| panic!("{analysis}/{dataset}: {e}"));
        data.read_raw().unwrap()
    }

    /// The value of an analysis.
    #[track_caller]
    pub fn value(&self, analysis: &str) -> f64 {
        self.read(analysis, "value")[0]
    }

    /// The standard error of an analysis.
    #[track_caller]
    pub fn standard_error(&self, analysis: &str) -> f64 {
        self.read(analysis, "standard_error")[0]
    }

    /// The eigenvalues of an analysis.
    #[track_caller]
    pub fn eigenvalues(&self, analysis: &str) -> Vec<f64> {
        self.read(analysis, "eigenvalues")
    }

    /// Whether an analysis says that it converged.
    #[track_caller]
    pub fn converged(&self, analysis: &str) -> bool {
        self.group(analysis).attr("converged").unwrap().read_scalar::<i64>().unwrap() == 1
    }

    /// The method that an analysis was done by.
    #[track_caller]
    pub fn method(&self, analysis: &str) -> String {
        self.group(analysis).attr("method").unwrap().read_scalar::<VarLenUnicode>().unwrap().to_string()
    }

    /// Why an analysis ended.
    #[track_caller]
    pub fn status(&self, analysis: &str) -> String {
        self.group(analysis).attr("status").unwrap().read_scalar::<VarLenUnicode>().unwrap().to_string()
    }

    /// An attribute of an analysis.
    #[track_caller]
    pub fn count(&self, analysis: &str, attribute: &str) -> i64 {
        self.group(analysis).attr(attribute).unwrap().read_scalar().unwrap()
    }

    /// The seconds that an analysis took.
    #[track_caller]
    pub fn seconds(&self, analysis: &str) -> f64 {
        self.group(analysis).attr("seconds").unwrap().read_scalar().unwrap()
    }
}
