//! What a file of inputs is, by its first bytes and by the ending of its name; and what to do with
//! those that are not read.

use crate::error::{Error, Result};
use crate::hdf5_file::is_hdf5;
use crate::held;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Files that arrays are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// HDF5, whatever its name ends with.
    Hdf5,
    /// NumPy's own.
    Npy,
    /// A checkpoint's format, of any tensors.
    Safetensors,
}

/// The format of a file of inputs.
///
/// **Errors**: it is of another one: what it is, and how to save its numbers so that they are read.
pub fn format_of(path: &Path) -> Result<Format> {
    // What is in memory alone has no ending, and is of one kind.
    if held::is_held(path) {
        return Ok(Format::Safetensors);
    }
    let wrong = |m: String| Err(Error::input(path, m));
    let mut start = [0; 512];
    let read = File::open(path).and_then(|f| f.take(512).read(&mut start)).unwrap_or(0);
    let start = &start[..read];
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    if let Some(what) = other(start, &ending) {
        return wrong(what);
    }
    let (npy, hdf5) = (start.starts_with(b"\x93NUMPY"), is_hdf5(path));
    match ending.as_str() {
        "npy" if hdf5 => wrong("is an HDF5 file by its content; give it a name that ends with .h5".into()),
        "h5" | "hdf5" | "safetensors" if npy => {
            wrong("is a .npy file by its content; give it a name that ends with .npy".into())
        }
        "safetensors" if hdf5 => wrong("is an HDF5 file by its content; give it a name that ends with .h5".into()),
        "npy" => Ok(Format::Npy),
        "safetensors" => Ok(Format::Safetensors),
        // NetCDF-4, NWB, Keras and others are HDF5.
        "h5" | "hdf5" => Ok(Format::Hdf5),
        _ if hdf5 => Ok(Format::Hdf5),
        _ if npy => wrong("is a .npy file by its content; give it a name that ends with .npy".into()),
        "" => wrong("has no ending; inputs are .h5, .hdf5, .npy or .safetensors".into()),
        other => wrong(format!("ends with \".{other}\"; inputs are .h5, .hdf5, .npy or .safetensors")),
    }
}

/// What a file of another tool is, and how to save its numbers for kpflow.
pub fn other(start: &[u8], ending: &str) -> Option<String> {
    let zip = start.starts_with(b"PK\x03\x04");
    // The first name in a zip archive comes after thirty bytes.
    let first = |what: &[u8]| start.get(30..).is_some_and(|n| n.windows(what.len()).take(100).any(|w| w == what));
    let (what, how) = match ending {
        _ if start.starts_with(b"MATLAB 5.0") => (MATLAB, "scipy.io.loadmat(FILE)[NAME]"),
        // It is HDF5, but the axes are the other way round.
        _ if start.starts_with(b"MATLAB 7.3") => {
            ("a MATLAB file (version 7.3, whose axes are in reverse order)", "h5py.File(FILE)[NAME][()].T")
        }
        _ if zip && (ending == "npz" || first(b".npy")) => ("a .npz archive", "numpy.load(FILE)[NAME]"),
        _ if zip && first(b"data.pkl") => (TORCH, "torch.load(FILE).numpy()"),
        "npz" => ("a .npz archive", "numpy.load(FILE)[NAME]"),
        "mat" => (MATLAB, "scipy.io.loadmat(FILE)[NAME]"),
        "pt" | "pth" | "ckpt" | "bin" => (TORCH, "torch.load(FILE).numpy()"),
        "csv" | "tsv" => ("a table of text", "numpy.loadtxt(FILE, delimiter=\",\").reshape(B, T, n_in)"),
        "pkl" | "pickle" | "joblib" => ("a pickle, which kpflow does not run", "pickle.load(open(FILE, \"rb\"))"),
        "parquet" | "feather" | "arrow" => {
            ("a table of columns", "pandas.read_parquet(FILE).to_numpy().reshape(B, T, n_in)")
        }
        "zarr" => ("a Zarr store", "zarr.open(FILE)[NAME][:]"),
        _ if zip => ("a zip archive", "the array in it"),
        _ => return None,
    };
    Some(format!("is {what}, which is not read as inputs; save one array: numpy.save(\"inputs.npy\", {how})"))
}

const MATLAB: &str = "a MATLAB file";
const TORCH: &str = "a file of torch.save";
