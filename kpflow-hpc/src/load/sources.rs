//! What a dataset needs besides its file: filters, the sources of a virtual dataset, raw files.
//! What is missing of them libhdf5 reads as zeros, or
//! fails at with words of its own.

use crate::error::{Error, Result};
use crate::hdf5_file::{self, Hdf5File};
use hdf5::dataset::Layout;
use hdf5_sys::h5d::{H5D_space_status_t, H5Dget_space_status};
use hdf5_sys::h5p::{H5Pget_filter2, H5Pget_nfilters};
use hdf5_sys::h5z::{H5Z_filter_t, H5Zfilter_avail};
use std::ffi::{c_uint, CStr};
use std::path::{Path, PathBuf};

/// What to do with a filter that is not there.
pub(super) const REPACK: &str = "write it again with h5py's compression=\"gzip\" or h5repack -f GZIP=4";

/// Filters by their registered numbers.
const FILTERS: [(H5Z_filter_t, &str); 20] = [
    (1, "gzip (deflate)"),
    (2, "shuffle"),
    (3, "fletcher32"),
    (4, "szip"),
    (5, "nbit"),
    (6, "scaleoffset"),
    (305, "lzo"),
    (307, "bzip2"),
    (32000, "lzf"),
    (32001, "blosc"),
    (32004, "lz4"),
    (32008, "bitshuffle"),
    (32013, "zfp"),
    (32015, "zstd"),
    (32017, "sz"),
    (32018, "fcidecomp"),
    (32019, "jpeg"),
    (32024, "sz3"),
    (32026, "blosc2"),
    (32028, "sperr"),
];

/// Virtual datasets of virtual datasets: how deep.
const DEPTH: usize = 8;

/// The filters of a dataset: number, and the name that the file has of it.
pub(super) fn filters(set: &hdf5::Dataset) -> Vec<(i32, String)> {
    let Ok(plist) = set.dcpl() else { return Vec::new() };
    // SAFETY: the list lives as long as the calls; the name's buffer is as long as they are told.
    hdf5::sync::sync(|| unsafe {
        let count = H5Pget_nfilters(plist.id()).max(0);
        let one = |i: i32| {
            let (mut flags, mut values, mut config): (c_uint, usize, c_uint) = (0, 0, 0);
            let mut name = [0u8; 128];
            let (none, at) = (std::ptr::null_mut(), name.as_mut_ptr().cast());
            let id =
                H5Pget_filter2(plist.id(), i as c_uint, &mut flags, &mut values, none, name.len() - 1, at, &mut config);
            let name = CStr::from_bytes_until_nul(&name).map_or(String::new(), |n| n.to_string_lossy().into_owned());
            (id, name)
        };
        (0..count).map(one).collect()
    })
}

/// Fails unless all is there that a dataset's numbers are made of; gives what the user should know
/// of the rest.
pub(super) fn require(path: &Path, name: &str, set: &hdf5::Dataset) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    inspect(path, name, set, DEPTH, &mut warnings).map_err(|e| Error::input(path, format!("dataset {name} {e}")))?;
    Ok(warnings)
}

fn inspect(path: &Path, name: &str, set: &hdf5::Dataset, depth: usize, warnings: &mut Vec<String>) -> Found {
    readable(set)?;
    let plist = set.dcpl().map_err(|e| format!("cannot be read: {e}"))?;
    let layout =
        plist.get_layout().map_err(|e| format!("is laid out in a way that libhdf5 does not know here: {e}"))?;
    if layout == Layout::Virtual {
        return virtual_sources(path, set, depth, warnings);
    }
    let external = plist.get_external().map_err(|e| format!("cannot be read: {e}"))?;
    if !external.is_empty() {
        return raw_files(set, &external);
    }
    if set.size() > 0 {
        let what = match allocated(set) {
            Some(H5D_space_status_t::H5D_SPACE_STATUS_NOT_ALLOCATED) => "no numbers were ever written to",
            Some(H5D_space_status_t::H5D_SPACE_STATUS_PART_ALLOCATED) => "some chunks were never written of",
            _ => return Ok(()),
        };
        let file = path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
        warnings.push(format!("{what} dataset {name} of {file}; they are read as its fill value, {}", fill(&plist)));
    }
    Ok(())
}

type Found = std::result::Result<(), String>;

fn fill(plist: &hdf5::plist::DatasetCreate) -> String {
    plist.get_fill_value_as::<f64>().ok().flatten().unwrap_or(0.0).to_string()
}

/// How much of a dataset was ever written.
fn allocated(set: &hdf5::Dataset) -> Option<H5D_space_status_t> {
    // libhdf5 takes chunks that a filter has made smaller for missing ones: they are counted.
    if let (Some(chunk), Some(found)) = (set.chunk(), set.num_chunks()) {
        let all: usize = set.shape().iter().zip(&chunk).map(|(d, c)| d.div_ceil((*c).max(1))).product();
        return Some(match found {
            0 => H5D_space_status_t::H5D_SPACE_STATUS_NOT_ALLOCATED,
            n if n < all => H5D_space_status_t::H5D_SPACE_STATUS_PART_ALLOCATED,
            _ => H5D_space_status_t::H5D_SPACE_STATUS_ALLOCATED,
        });
    }
    let mut status = H5D_space_status_t::H5D_SPACE_STATUS_ERROR;
    // SAFETY: the dataset is open, and the pointer is to a value of this function.
    let done = hdf5::sync::sync(|| unsafe { H5Dget_space_status(set.id(), &mut status) });
    (done >= 0).then_some(status)
}

/// Fails unless libhdf5 can undo what a dataset's chunks have gone through.
fn readable(set: &hdf5::Dataset) -> Found {
    for (id, given) in filters(set) {
        // SAFETY: any number may be asked for. libhdf5 also looks for a plugin of it.
        if hdf5::sync::sync(|| unsafe { H5Zfilter_avail(id) }) > 0 {
            continue;
        }
        let known = FILTERS.iter().find(|f| f.0 == id).map(|f| f.1.to_string());
        let word = known.or(Some(given).filter(|g| !g.is_empty()));
        let filter = word.map_or(format!("filter {id}"), |w| format!("{w} (filter {id})"));
        return Err(format!(
            "is compressed by {filter}, which libhdf5 does not have here; {REPACK}, or name the directory of its plugin in HDF5_PLUGIN_PATH"
        ));
    }
    Ok(())
}

/// One mapping of a virtual dataset: the source's file and dataset, and how many numbers it gives;
/// none if as many as there are.
struct Mapping {
    file: String,
    inside: String,
    count: Option<u64>,
}

fn mappings(set: &hdf5::Dataset) -> hdf5::Result<Vec<Mapping>> {
    use hdf5_sys::h5p::{
        H5Pget_virtual_count, H5Pget_virtual_dsetname, H5Pget_virtual_filename, H5Pget_virtual_vspace,
    };
    use hdf5_sys::h5s::{H5Sclose, H5Sget_select_npoints};
    let plist = set.dcpl()?;
    let id = plist.id();
    // SAFETY: the list lives as long as the calls; each name's buffer is as long as it is said to
    // be.
    hdf5::sync::sync(|| unsafe {
        let mut count = 0;
        if H5Pget_virtual_count(id, &mut count) < 0 {
            return Err("its sources cannot be listed".into());
        }
        let text = |get: &dyn Fn(*mut std::ffi::c_char, usize) -> isize| {
            let len = usize::try_from(get(std::ptr::null_mut(), 0)).unwrap_or(0);
            let mut name = vec![0u8; len + 1];
            get(name.as_mut_ptr().cast(), len + 1);
            name.truncate(len);
            String::from_utf8_lossy(&name).into_owned()
        };
        let one = |i: usize| {
            let space = H5Pget_virtual_vspace(id, i);
            let count = u64::try_from(H5Sget_select_npoints(space)).ok();
            H5Sclose(space);
            let file = text(&|at, len| H5Pget_virtual_filename(id, i, at, len));
            let inside = text(&|at, len| H5Pget_virtual_dsetname(id, i, at, len));
            // Names with a block's number in them stand for as many as there are.
            let count = count.filter(|_| !file.contains("%b") && !inside.contains("%b"));
            Mapping { file, inside, count }
        };
        Ok((0..count).map(one).collect())
    })
}

/// Fails unless every source of a virtual dataset is there: libhdf5 reads zeros in the place of
/// those that are not.
fn virtual_sources(path: &Path, set: &hdf5::Dataset, depth: usize, warnings: &mut Vec<String>) -> Found {
    let cannot = |e: hdf5::Error| format!("cannot be read: {e}");
    if depth == 0 {
        return Err("is a virtual dataset of virtual ones without end; copy its numbers to a plain one".into());
    }
    let maps = mappings(set).map_err(cannot)?;
    let mut seen = Vec::new();
    for map in maps.iter().filter(|m| m.count.is_some()) {
        let (name, inside) = (&map.file, &map.inside);
        if seen.contains(&(name, inside)) {
            continue;
        }
        seen.push((name, inside));
        let there = match name.as_str() {
            "." => set.file().map(|f| (path.to_path_buf(), Opened::Same(f))).map_err(cannot),
            _ => find(path, name),
        };
        let (at, file) = there.map_err(|why| format!("is virtual, and its source {name} {why}"))?;
        let source = file.get().dataset(inside);
        let source = source.map_err(|_| format!("is virtual, and its source {name} has no dataset {inside}"))?;
        inspect(&at, inside, &source, depth - 1, warnings)
            .map_err(|e| format!("is virtual, and its source {name}:{inside} {e}"))?;
    }
    let covered = maps.iter().try_fold(0u64, |sum, m| sum.checked_add(m.count?));
    match covered.map_or(0, |c| (set.size() as u64).saturating_sub(c)) {
        0 => Ok(()),
        holes => Err(format!(
            "is virtual, and {holes} of its {} numbers have no source; map all of them, or copy it to a plain dataset",
            set.size()
        )),
    }
}

enum Opened {
    Same(hdf5::File),
    Other(Box<Hdf5File>),
}

impl Opened {
    fn get(&self) -> &hdf5::File {
        match self {
            Opened::Same(file) => file,
            Opened::Other(file) => file,
        }
    }
}

/// The file of a source, where libhdf5 looks for it: HDF5_VDS_PREFIX, beside the virtual dataset,
/// the working directory.
fn find(path: &Path, name: &str) -> std::result::Result<(PathBuf, Opened), String> {
    let mut places = Vec::new();
    let mut relative = Path::new(name);
    if relative.is_absolute() {
        places.push(relative.to_path_buf());
        relative = relative.file_name().map_or(relative, Path::new);
    }
    let beside = |p: &Path| p.parent().map(|d| d.join(relative));
    let prefixes = std::env::var("HDF5_VDS_PREFIX").unwrap_or_default();
    let origin = path.parent().unwrap_or(Path::new("")).to_string_lossy().into_owned();
    let prefixes = prefixes.split(':').filter(|p| !p.is_empty()).map(|p| p.replace("${ORIGIN}", &origin));
    places.extend(prefixes.map(|p| Path::new(&p).join(relative)));
    places.extend(beside(path));
    places.push(relative.to_path_buf());
    places.extend(path.canonicalize().ok().as_deref().and_then(beside));
    let mut first = None;
    for place in places.into_iter().filter(|p| p.is_file()) {
        match hdf5_file::open(&place, "h5py.File writes one") {
            Ok(file) => return Ok((place, Opened::Other(Box::new(file)))),
            Err(e) => first = first.or(Some(e.message)),
        }
    }
    Err(first.unwrap_or("is not there; put it beside this file, or copy the numbers to a plain dataset".into()))
}

/// Fails unless the raw files of a dataset are there and as long as they are said to be: libhdf5
/// reads zeros behind their ends.
fn raw_files(set: &hdf5::Dataset, files: &[hdf5::dataset::ExternalFile]) -> Found {
    let width = set.dtype().map_or(0, |t| t.size());
    let mut left = (set.size() * width) as u64;
    let prefix = std::env::var("HDF5_EXTFILE_PREFIX").unwrap_or_default();
    for file in files {
        // 0 stands for whatever is left.
        let part = if file.size == 0 { left } else { left.min(file.size as u64) };
        left -= part;
        let place = Path::new(&prefix).join(&file.name);
        let Ok(length) = std::fs::metadata(&place).map(|m| m.len()) else {
            return Err(format!(
                "has its numbers in the file {}, which is not there (it is looked for in the working directory, or HDF5_EXTFILE_PREFIX)",
                file.name
            ));
        };
        if length < part.saturating_add(file.offset as u64) {
            return Err(format!("has its numbers in the file {}, which is cut short; copy it again", file.name));
        }
    }
    match left {
        0 => Ok(()),
        _ => Err("has fewer numbers in its files than its shape says; write it again".into()),
    }
}
