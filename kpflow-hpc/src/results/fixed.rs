//! Texts of fixed length: Octave and MATLAB read no others, and dimension scales are told by them.

use hdf5::types::VarLenUnicode;
use hdf5::{Dataset, Group, Location};
use hdf5_sys::h5a::{H5Aclose, H5Acreate2, H5Awrite};
use hdf5_sys::h5d::{H5Dclose, H5Dcreate2, H5Dread, H5Dwrite};
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5p::H5P_DEFAULT;
use hdf5_sys::h5s::{H5S_class_t, H5Sclose, H5Screate, H5Screate_simple, H5S_ALL};
use hdf5_sys::h5t::{H5T_cset_t, H5T_str_t, H5Tclose, H5Tcopy, H5Tset_cset, H5Tset_size, H5Tset_strpad, H5T_C_S1};
use std::ffi::CString;

/// Bytes of all texts that are read of one dataset, at most.
const MOST: usize = 1 << 26;

/// What of libhdf5 is closed in the end.
struct Handle(hid_t, unsafe extern "C" fn(hid_t) -> i32);

impl Handle {
    fn new(id: hid_t, close: unsafe extern "C" fn(hid_t) -> i32, what: &str) -> hdf5::Result<Self> {
        match id {
            0.. => Ok(Self(id, close)),
            _ => Err(format!("{what} failed").into()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the identifier is open, and this is what closes it.
        unsafe { self.1(self.0) };
    }
}

/// The type of texts of so many bytes, of which the last is 0.
///
/// They are called ASCII, UTF-8 or not: libhdf5 turns no text into one of another character set, and C programs ask for ASCII.
fn kind(bytes: usize, unicode: bool) -> hdf5::Result<Handle> {
    // SAFETY: the type is a copy of one that libhdf5 has.
    unsafe {
        let kind = Handle::new(H5Tcopy(*H5T_C_S1), H5Tclose, "H5Tcopy")?;
        let set = if unicode { H5T_cset_t::H5T_CSET_UTF8 } else { H5T_cset_t::H5T_CSET_ASCII };
        let done = H5Tset_size(kind.0, bytes) >= 0
            && H5Tset_strpad(kind.0, H5T_str_t::H5T_STR_NULLTERM) >= 0
            && H5Tset_cset(kind.0, set) >= 0;
        if done {
            Ok(kind)
        } else {
            Err("H5Tset_size failed".into())
        }
    }
}

fn name_of(name: &str) -> hdf5::Result<CString> {
    CString::new(name).map_err(|e| e.to_string().into())
}

/// Writes a text as an attribute.
pub(super) fn attribute(of: &Location, name: &str, text: &str) -> hdf5::Result<()> {
    let (name, text) = (name_of(name)?, name_of(text)?);
    let bytes = text.as_bytes_with_nul();
    hdf5::sync::sync(|| {
        let kind = kind(bytes.len(), !text.to_bytes().is_ascii())?;
        // SAFETY: the handles are open, the name ends with a zero, and the text is as long as its type.
        unsafe {
            let space = Handle::new(H5Screate(H5S_class_t::H5S_SCALAR), H5Sclose, "H5Screate")?;
            let made = H5Acreate2(of.id(), name.as_ptr(), kind.0, space.0, H5P_DEFAULT, H5P_DEFAULT);
            let made = Handle::new(made, H5Aclose, "H5Acreate2")?;
            if H5Awrite(made.0, kind.0, bytes.as_ptr().cast()) < 0 {
                return Err("H5Awrite failed".into());
            }
        }
        Ok(())
    })
}

/// Writes texts as a dataset.
pub(super) fn dataset(group: &Group, name: &str, texts: &[String]) -> hdf5::Result<()> {
    // xarray takes texts of one byte for the letters of one.
    let longest = texts.iter().map(String::len).max().unwrap_or(0).max(1) + 1;
    let mut bytes = vec![0u8; texts.len() * longest];
    for (place, text) in bytes.chunks_exact_mut(longest).zip(texts) {
        place[..text.len()].copy_from_slice(text.as_bytes());
    }
    let name = name_of(name)?;
    hdf5::sync::sync(|| {
        let (kind, length) = (kind(longest, false)?, texts.len() as u64);
        // SAFETY: the handles are open, the name ends with a zero, and there are `longest` bytes for each text.
        unsafe {
            let space = Handle::new(H5Screate_simple(1, &length, std::ptr::null()), H5Sclose, "H5Screate_simple")?;
            let made = H5Dcreate2(group.id(), name.as_ptr(), kind.0, space.0, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
            let made = Handle::new(made, H5Dclose, "H5Dcreate2")?;
            if H5Dwrite(made.0, kind.0, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.as_ptr().cast()) < 0 {
                return Err("H5Dwrite of texts failed".into());
            }
        }
        Ok(())
    })
}

/// Reads the texts of a dataset, of fixed length or, as earlier versions wrote them, of any.
pub(super) fn read(set: &Dataset) -> hdf5::Result<Vec<String>> {
    let kind = set.dtype()?;
    let fixed = matches!(
        kind.to_descriptor()?,
        hdf5::types::TypeDescriptor::FixedAscii(_) | hdf5::types::TypeDescriptor::FixedUnicode(_)
    );
    if !fixed {
        let texts = set.read_raw::<VarLenUnicode>()?;
        return Ok(texts.iter().map(crate::hdf5_file::text).collect());
    }
    let each = kind.size();
    let total = set.size().checked_mul(each).filter(|&total| total <= MOST).ok_or("texts that are too long")?;
    let mut bytes = vec![0u8; total];
    // SAFETY: the buffer has the bytes of every element, of the file's own type.
    let status = hdf5::sync::sync(|| unsafe {
        H5Dread(set.id(), kind.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.as_mut_ptr().cast())
    });
    if status < 0 {
        return Err("H5Dread of texts failed".into());
    }
    let one = |text: &[u8]| String::from_utf8_lossy(text.split(|&b| b == 0).next().unwrap_or_default()).into_owned();
    Ok(bytes.chunks_exact(each.max(1)).map(one).collect())
}
