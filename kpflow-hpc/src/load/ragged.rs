//! Trials of different length in what is no array: said by name, with what to do.

use crate::hdf5_file::members;
use hdf5::LocationType;

/// What makes an array of trials of different length.
const PADDED: &str = "pad the trials with zeros to one array [B, T, n_in] and give each one's steps as [data] lengths";

/// What is said of a type of lists.
pub(super) fn rows() -> String {
    format!("rows of different length (ragged); {PADDED}")
}

/// What is said of a type of objects: trials of different length are saved so.
pub(super) fn objects() -> String {
    format!("objects, such as trials of different length (ragged); {PADDED}")
}

/// What is said of a group in the place of a dataset; `None` unless its datasets look like trials of different length, one each.
pub(super) fn group(what: &str, group: &hdf5::Group) -> Option<String> {
    let shapes = shapes(group);
    (shapes.len() > 1 && are_trials(&shapes)).then(|| {
        format!("{what} is a group of {} datasets of different length, as one a trial is saved; {PADDED}", shapes.len())
    })
}

/// Whether the datasets of a group look like trials of different length, one each.
pub(super) fn is_of_trials(group: &hdf5::Group) -> bool {
    let shapes = shapes(group);
    shapes.iter().all(|s| s.len() == 2) && are_trials(&shapes)
}

fn shapes(group: &hdf5::Group) -> Vec<Vec<usize>> {
    let sets = members(group, LocationType::Dataset);
    sets.iter().filter_map(|name| Some(group.dataset(name).ok()?.shape())).collect()
}

/// `[T, n_in]` or `[T]` each, T not the same in all.
fn are_trials(shapes: &[Vec<usize>]) -> bool {
    let alike = |f: &dyn Fn(&[usize]) -> Option<usize>| shapes.iter().all(|s| f(s) == f(&shapes[0]));
    let form = |s: &[usize]| Some(s.len()).filter(|axes| (1..=2).contains(axes));
    shapes.iter().all(|s| form(s).is_some())
        && alike(&form)
        && alike(&|s| s.get(1).copied())
        && !alike(&|s| s.first().copied())
}
