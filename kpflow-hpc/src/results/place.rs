//! Whether a result file can be written where it should be.

use crate::error::{Error, Kind, Result};
use crate::hdf5_file;
use crate::replace::{self, Own};
use std::path::Path;

/// The error of a file that cannot be written.
pub(super) fn unwritable(path: &Path, e: &str, kind: Kind) -> Error {
    // Of HDF5's many words those of the system, without its number.
    let e = e.split("error message = '").nth(1).and_then(|m| m.split('\'').next()).unwrap_or(e);
    let e = e.split(" (os error").next().unwrap_or_default();
    let message = format!("cannot be written: {e}; its directory must exist, be writable and have room");
    Error { kind, file: Some(path.into()), message }
}

/// Whether this process may write into a directory.
pub(super) fn writable(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    std::fs::metadata(directory)?;
    let path = std::ffi::CString::new(directory.as_os_str().as_bytes())?;
    // SAFETY: access(2) reads a string that ends with a zero, and nothing else.
    match unsafe { libc::access(path.as_ptr(), libc::W_OK) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// A result file: a link to one stays a link when the file is replaced.
const OWN: Own =
    Own { what: "a result file of kpflow", instead: "choose another --output", is: is_result, links: true };

/// Fails unless a new result file may take this place: a wrong `--output` must not cost anyone
/// their inputs or weights.
pub fn replaceable(path: &Path) -> Result<()> {
    replace::replaceable(path, &OWN)
}

/// Whether a file says of itself that it is a result file; an error if it is HDF5 and cannot be
/// opened.
pub fn is_result(path: &Path) -> Result<bool> {
    // A pipe would be waited for.
    if !path.is_file() || !hdf5_file::is_hdf5(path) {
        return Ok(false);
    }
    let file = hdf5_file::open(path, "")?;
    Ok(hdf5_file::text_attribute(&file, "format").is_ok_and(|f| f == "kpflow-results"))
}
