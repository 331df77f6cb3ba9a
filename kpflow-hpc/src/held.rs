//! Files that are in memory alone: what a program that is no command line has of weights and inputs, under
//! paths that no file can have.
//!
//! Whoever opens a file opens its [`place`]: everything else (checks, errors, doubts) is as of a file on a disk.

use crate::error::{Error, Result};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where they seem to be: the system puts no file there, and lets nobody else put one.
const ROOT: &str = "/proc/self/kpflow";

static FILES: Mutex<BTreeMap<PathBuf, File>> = Mutex::new(BTreeMap::new());
static DIRECTORIES: AtomicUsize = AtomicUsize::new(0);

fn files() -> MutexGuard<'static, BTreeMap<PathBuf, File>> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A directory that nobody else has.
pub fn directory() -> PathBuf {
    Path::new(ROOT).join(DIRECTORIES.fetch_add(1, Ordering::Relaxed).to_string())
}

/// A file in memory, gone when this is dropped.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
}

impl Held {
    /// Makes one in a [`directory`], of what is written to it. **Cost**: its bytes, until it is dropped.
    ///
    /// **Errors**: the system has no such files, or no memory for it.
    pub fn new(directory: &Path, name: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<Self> {
        let make = || {
            let mut writer = BufWriter::new(anonymous()?);
            write(&mut writer)?;
            writer.into_inner().map_err(io::IntoInnerError::into_error)
        };
        let file = make().map_err(|e| Error::run(format!("{name} cannot be held in memory: {e}")))?;
        let path = directory.join(name);
        files().insert(path.clone(), file);
        Ok(Self { path })
    }

    /// What the path of it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        files().remove(&self.path);
    }
}

/// A file without a name.
#[cfg(target_os = "linux")]
fn anonymous() -> io::Result<File> {
    use std::os::fd::{FromRawFd, OwnedFd};
    // SAFETY: memfd_create(2) takes a text that ends with 0; what it returns is a descriptor that nobody else has.
    let file = unsafe {
        let descriptor = libc::memfd_create(c"kpflow".as_ptr(), libc::MFD_CLOEXEC);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(descriptor)
    };
    Ok(file.into())
}

#[cfg(not(target_os = "linux"))]
fn anonymous() -> io::Result<File> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "files without a name are there on Linux alone"))
}

/// Whether a file is in memory alone.
pub fn is_held(path: &Path) -> bool {
    path.starts_with(ROOT) && files().contains_key(path)
}

/// What a file that is in memory alone, or would be, is called there; `None` for others.
pub fn name_of(path: &Path) -> Option<String> {
    path.starts_with(ROOT).then(|| path.file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned()))
}

/// Where a file is to be opened: those on a disk where they are. Each time it is opened it is read from its beginning.
pub fn place(path: &Path) -> Cow<'_, Path> {
    if !path.starts_with(ROOT) {
        return path.into();
    }
    match files().get(path) {
        Some(file) => descriptor(file).into(),
        None => path.into(),
    }
}

#[cfg(unix)]
fn descriptor(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

#[cfg(not(unix))]
fn descriptor(_: &File) -> PathBuf {
    PathBuf::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_held_file_is_read_by_its_path_until_it_is_dropped() {
        let (a, b) = (directory(), directory());
        assert_ne!(a, b);
        let held = Held::new(&a, "inputs", |w| w.write_all(b"numbers")).unwrap();
        let read = |path: &Path| {
            let mut text = String::new();
            File::open(place(path)).and_then(|mut f| f.read_to_string(&mut text)).map(|_| text)
        };
        // From the beginning, also while another reads.
        let mut other = File::open(place(held.path())).unwrap();
        other.read_exact(&mut [0; 3]).unwrap();
        assert_eq!(read(held.path()).unwrap(), "numbers");
        assert!(is_held(held.path()) && !is_held(&b.join("inputs")) && !is_held(Path::new("inputs")));
        assert_eq!(name_of(held.path()).as_deref(), Some("inputs"));
        assert_eq!((name_of(Path::new("a/inputs")), place(Path::new("a"))), (None, Path::new("a").into()));
        let path = held.path().to_path_buf();
        drop(held);
        assert!(!is_held(&path) && read(&path).is_err());
    }
}
