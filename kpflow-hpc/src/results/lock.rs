//! One run at a time writes a result file: ranks outlive an mpirun that is killed by a little, while the job may run again already.

use crate::error::{Error, Kind, Result};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait for another run to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Holds a result file until it is dropped, or the process ends, however.
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes a result file; waits ten seconds for another run to let go of it.
    pub fn take(results: &Path) -> Result<Self> {
        let mut name = results.to_path_buf().into_os_string();
        name.push(".lock");
        let path = PathBuf::from(name);
        let started = Instant::now();
        loop {
            // What another process has there is not cut.
            let open = File::options().write(true).create(true).truncate(false).open(&path);
            let file = open.map_err(|e| super::unwritable(results, &e.to_string(), Kind::Input))?;
            // SAFETY: the descriptor is that of an open file.
            let locked = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0;
            let held = !locked && std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock;
            // The name may have gone with the run that held it. Where files cannot be locked at all, nothing is.
            let same = || Some(std::fs::metadata(&path).ok()?.ino() == file.metadata().ok()?.ino());
            if !held && same() == Some(true) {
                return Ok(Self { path, _file: file });
            }
            if started.elapsed() > PATIENCE {
                return Err(Error::input(
                    results,
                    "is being written by another run; wait for it, or choose another --output",
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;
    use std::time::Duration;

    #[test]
    fn one_after_the_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.h5");
        let first = Lock::take(&path).unwrap();
        let second = std::thread::spawn({
            let path = path.clone();
            move || Lock::take(&path)
        });
        std::thread::sleep(Duration::from_millis(200));
        assert!(!second.is_finished());
        drop(first);
        drop(second.join().unwrap().unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
