//! Datasets of HDF5 files: read a few trajectories at a time, once all that they need is there.

use super::element::{element, Element};
use super::{ragged, sources};
use crate::error::{some_of, Error, Result};
use crate::hdf5_file::{self, Watch};
use hdf5::{Hyperslab, LinkType, LocationType, SliceOrIndex};
use hdf5_sys::h5d::H5Dread;
use hdf5_sys::h5p::H5P_DEFAULT;
use kpflow_core::Scalar;
use std::ffi::CString;
use std::ops::Range;
use std::path::Path;

/// Bytes of numbers in double precision that are read at once, or a row of chunks.
const BLOCK: usize = 4 << 20;

/// A dataset that holds numbers.
pub(super) struct Dataset {
    set: hdf5::Dataset,
    element: Element,
    shape: Vec<usize>,
}

/// Opens the dataset of a name, or the only one of a file; gives its name too.
pub(super) fn open(path: &Path, name: Option<&str>) -> Result<(String, Dataset, Vec<String>)> {
    let wrong = |m: String| Error::input(path, m);
    let file = hdf5_file::open(path, "h5py.File writes one")?;
    let there: Vec<String> = hdf5_file::members(&file, LocationType::Dataset).iter().map(|n| format!("/{n}")).collect();
    let names: Vec<&str> = there.iter().map(|n| n.as_str()).collect();
    let name = match (name, &names[..]) {
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, []) => match dangling(&file, "") {
            Some(link) => return Err(wrong(link)),
            None => return Err(wrong("has no dataset at its root; name one as FILE:DATASET".into())),
        },
        (None, _) if ragged::is_of_trials(&file) => {
            return Err(wrong(ragged::group("its root", &file).unwrap_or_default()))
        }
        (None, _) => {
            return Err(wrong(format!("has several datasets; name one as FILE:DATASET of {}", some_of(&names))))
        }
    };
    let set = file.dataset(name).map_err(|_| wrong(missing(&file, name, &names)))?;
    let unreadable = |e: hdf5::Error| wrong(format!("dataset {name} cannot be read: {e}"));
    let element =
        element(&set.dtype().map_err(unreadable)?).map_err(|what| wrong(format!("dataset {name} is of {what}")))?;
    let warnings = sources::require(path, name, &set)?;
    let shape = set.shape();
    Ok((name.into(), Dataset { set, element, shape }, warnings))
}

impl Dataset {
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Reads rows of the first axis, or, `within` one of them, of the second. An error says why not.
    pub fn read<T: Scalar>(
        &self,
        path: &Path,
        within: Option<usize>,
        range: Range<usize>,
    ) -> std::result::Result<Vec<T>, String> {
        let axis = usize::from(within.is_some());
        let per: usize = self.shape[axis + 1..].iter().product();
        // A chunk is not decompressed for each of its rows.
        let chunk = self.set.chunk().and_then(|chunk| chunk.get(axis).copied()).unwrap_or(1).max(1);
        let step = (BLOCK / (8 * per.max(1))).max(1).next_multiple_of(chunk);
        let mut numbers = Vec::with_capacity(range.len() * per);
        let mut at = range.start;
        while at < range.end {
            // Where a row of chunks ends.
            let end = (at - at % chunk).saturating_add(step).min(range.end);
            let mut slices = vec![SliceOrIndex::from(..); self.shape.len()];
            slices[axis] = SliceOrIndex::from(at..end);
            if let Some(v) = within {
                slices[0] = SliceOrIndex::from(v..v + 1);
            }
            numbers.extend(self.read_at_once(path, slices, (end - at) * per)?.into_iter().map(T::of));
            at = end;
        }
        Ok(numbers)
    }

    fn read_at_once(
        &self,
        path: &Path,
        slices: Vec<SliceOrIndex>,
        count: usize,
    ) -> std::result::Result<Vec<f64>, String> {
        let _watch = Watch::over(path);
        let cannot = |e: hdf5::Error| format!("cannot be read: {e}{}", hint(&self.set));
        let slab = Hyperslab::from(slices);
        if self.element.bits {
            return self.bits(slab, count).map_err(cannot);
        }
        let read = self.set.read_slice::<f64, _, ndarray::IxDyn>(slab);
        read.map(|a| a.into_raw_vec_and_offset().0).map_err(cannot)
    }

    /// Bytes, of which libhdf5 makes no numbers, so many of this slab.
    fn bits(&self, slab: Hyperslab, count: usize) -> hdf5::Result<Vec<f64>> {
        let kind = self.set.dtype()?;
        let (from, to) = (self.set.space()?.select(slab)?, hdf5::Dataspace::try_new(count)?);
        if from.selection_size() != count {
            return Err("rows that the dataset does not have".into());
        }
        let mut bytes = vec![0u8; count];
        // SAFETY: the buffer has a byte for each element of the slab, whose type of one byte is the file's own.
        let status = hdf5::sync::sync(|| unsafe {
            H5Dread(self.set.id(), kind.id(), to.id(), from.id(), H5P_DEFAULT, bytes.as_mut_ptr().cast())
        });
        if status < 0 {
            return Err("H5Dread of bits".into());
        }
        Ok(bytes.into_iter().map(f64::from).collect())
    }
}

/// What else there is to do where compressed numbers cannot be read.
fn hint(set: &hdf5::Dataset) -> String {
    let names: Vec<String> = sources::filters(set).into_iter().map(|(_, name)| name).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(" (filters: {}); {}", names.join(", "), sources::REPACK),
    }
}

/// What is said of a dataset that a file does not have.
fn missing(file: &hdf5::File, name: &str, names: &[&str]) -> String {
    // The first part of the path that leads nowhere.
    let mut place = String::new();
    for part in name.split('/').filter(|p| !p.is_empty()) {
        let next = format!("{place}/{part}");
        if file.loc_type_by_name(&next).is_err() {
            let group = file.group(if place.is_empty() { "/" } else { &place });
            if let Some(link) = group.ok().and_then(|g| dangling_link(&g, part, &next)) {
                return link;
            }
            break;
        }
        place = next;
    }
    if let Ok(group) = file.group(name) {
        if let Some(trials) = ragged::group(name, &group) {
            return trials;
        }
        let inside: Vec<String> =
            hdf5_file::members(&group, LocationType::Dataset).iter().map(|n| format!("{place}/{n}")).collect();
        let inside: Vec<&str> = inside.iter().map(String::as_str).collect();
        return match inside.is_empty() {
            true => format!("has no dataset {name}: it is a group, and has none; name a dataset"),
            false => format!("has no dataset {name}: it is a group; name one of its datasets {}", some_of(&inside)),
        };
    }
    format!("has no dataset {name}; at its root are {}", some_of(names))
}

/// The first link of a group that leads nowhere, in words.
fn dangling(group: &hdf5::Group, place: &str) -> Option<String> {
    let lost = |n: &String| group.loc_type_by_name(n).is_err();
    let name = group.member_names().ok()?.into_iter().find(lost)?;
    dangling_link(group, &name, &format!("{place}/{name}"))
}

// Another library's names, of which there may be more.
#[allow(clippy::wildcard_enum_match_arm)]
fn dangling_link(group: &hdf5::Group, name: &str, place: &str) -> Option<String> {
    let (by, order) = (hdf5::IndexType::Name, hdf5::IterationOrder::Native);
    let kind = group.find_link(by, order, |n, info| Ok((n == name).then_some(info.link_type))).ok()??;
    let mut value = vec![0u8; 1 << 16];
    let text = CString::new(name).ok()?;
    // SAFETY: the buffer is as long as it is said to be.
    let status = hdf5::sync::sync(|| unsafe {
        hdf5_sys::h5l::H5Lget_val(group.id(), text.as_ptr(), value.as_mut_ptr().cast(), value.len(), H5P_DEFAULT)
    });
    let words: Vec<&[u8]> = value.split(|b| *b == 0).collect();
    let word = |i: usize| words.get(i).map_or("".into(), |w| String::from_utf8_lossy(w));
    match kind {
        LinkType::Soft if status >= 0 => {
            Some(format!("{place} is a link to {}, which is not there; name the dataset itself", word(0)))
        }
        // One byte of flags, which are 0, comes before the file's name.
        LinkType::External if status >= 0 => {
            let (to, at) = (word(1), word(2));
            Some(format!(
                "{place} is a link to {at} in the file {to}, which cannot be read there; put it beside this one"
            ))
        }
        _ => None,
    }
}
