//! Large tensors: a file a rank, and in the result file one dataset that reads as all of them.

use super::{resolved, ResultFile};
use crate::error::{Error, Result};
use crate::replace::settle;
use hdf5::plist::DatasetCreateBuilder;
use hdf5::{Group, H5Type, Hyperslab, SliceOrIndex};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A tensor [k, B, T, N] whose trajectories are in several files.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts<T> {
    /// Its name.
    pub name: &'static str,
    /// Its shape.
    pub shape: [usize; 4],
    /// The trajectories of every file, in their order.
    pub trajectories: Vec<Range<usize>>,
    /// What is read where a file is missing.
    pub missing: T,
}

/// The directory of the parts of a result file.
pub fn directory_of(results: &Path) -> PathBuf {
    let mut name = resolved(results).into_os_string();
    name.push(".parts");
    name.into()
}

fn file_name(analysis: &str, tensor: &str, rank: usize) -> String {
    format!("{analysis}.{tensor}.{rank:06}.h5")
}

/// Writes one rank's part [k, b, T, N] of a tensor; it has its place in the result file once that says so.
pub fn write<T: H5Type>(
    results: &Path,
    (analysis, tensor): (&str, &str),
    rank: usize,
    shape: [usize; 4],
    data: Vec<T>,
) -> Result<()> {
    let directory = directory_of(results);
    let path = directory.join(file_name(analysis, tensor, rank));
    let copy = path.with_extension("tmp");
    let wrong = |e: &dyn std::fmt::Display| {
        let _ = std::fs::remove_file(&copy);
        let message = format!("cannot be written: {e}; its directory must exist, be writable and have room");
        Error { file: Some(path.clone()), ..Error::run(message) }
    };
    match std::fs::create_dir(&directory) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(wrong(&e)),
        _ => {}
    }
    std::fs::File::create(&copy).map_err(|e| wrong(&e))?;
    let file = hdf5::File::create(&copy).map_err(|e| wrong(&e))?;
    super::array(&file, tensor, &shape, data).and_then(|()| file.close()).map_err(|e| wrong(&e))?;
    settle(&copy, &path).map_err(|e| wrong(&e))
}

/// Removes the parts of what was in a result file's place.
pub(super) fn remove(results: &Path) {
    let directory = directory_of(results);
    for file in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
        let path = file.path();
        if path.extension().is_some_and(|e| e == "h5" || e == "tmp") {
            let _ = std::fs::remove_file(path);
        }
    }
    let _ = std::fs::remove_dir(directory);
}

/// Removes the parts of one analysis.
pub(super) fn remove_of(results: &Path, analysis: &str) {
    let directory = directory_of(results);
    for file in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        // Names may hold dots: "a" must not take what is of "a.b".
        let of = |tensor: &str| {
            let rank = name.strip_prefix(&format!("{analysis}.{tensor}.")).and_then(|n| n.strip_suffix(".h5"));
            rank.is_some_and(|r| r.bytes().all(|b| b.is_ascii_digit()))
        };
        if crate::analysis::tensors().iter().any(|o| of(o.name)) {
            let _ = std::fs::remove_file(file.path());
        }
    }
}

fn slab(range: Range<usize>) -> Hyperslab {
    let all = SliceOrIndex::from(..);
    Hyperslab::from(vec![all, SliceOrIndex::from(range), all, all])
}

/// Adds the dataset that reads as all parts. Their files are named as seen from the result file: both can be moved together.
pub(super) fn link<T: H5Type>(file: &ResultFile, group: &Group, analysis: &str, parts: Parts<T>) -> hdf5::Result<()> {
    let directory = directory_of(&file.path);
    let directory = directory.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let [k, _, t, n] = parts.shape;
    let mut map = DatasetCreateBuilder::default();
    for (rank, range) in parts.trajectories.iter().enumerate().filter(|(_, r)| !r.is_empty()) {
        let path = format!("{directory}/{}", file_name(analysis, parts.name, rank));
        let whole = slab(0..range.len());
        map.virtual_map(path, parts.name, [k, range.len(), t, n], whole, parts.shape, slab(range.clone()));
    }
    map.fill_value(parts.missing);
    group.new_dataset::<T>().set_create_plist(&map.finish()?).shape(parts.shape).create(parts.name).map(drop)
}
