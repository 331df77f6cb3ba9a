//! HDF5 files that are read: one so damaged that libhdf5 itself crashes on it is refused like any other.
//!
//! libhdf5 does not check all that a file claims (1.10.8: `H5HG_read` follows a damaged heap out of its memory), and nothing can be caught of a
//! segmentation fault but the chance to say whose it is.

use crate::error::Error;
use std::ffi::CString;
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicPtr, Ordering};

/// An open file, and the watch over what reads it.
pub struct Hdf5File {
    file: hdf5::File,
    _watch: Watch,
}

impl Deref for Hdf5File {
    type Target = hdf5::File;
    fn deref(&self) -> &hdf5::File {
        &self.file
    }
}

/// Opens a file to read it; errors come as values only, none of them on the terminal.
pub fn open(path: &Path) -> hdf5::Result<Hdf5File> {
    hdf5::silence_errors(true);
    let watch = Watch::over(path);
    Ok(Hdf5File { file: hdf5::File::open(path)?, _watch: watch })
}

/// How libhdf5 crashes: wild reads, reads beyond a mapped file's end, a division by a size of zero, an allocator that finds its notes overwritten.
const CRASHES: [i32; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGABRT];

/// What a crash is said to be.
static LINE: AtomicPtr<libc::c_char> = AtomicPtr::new(std::ptr::null_mut());

/// While it lives, a crash ends the program with one line about a file, and the status of bad input.
pub struct Watch {
    outer: *mut libc::c_char,
    before: [Option<libc::sigaction>; 4],
}

impl Watch {
    /// Begins to watch over what reads this file.
    pub fn over(path: &Path) -> Self {
        let e = Error::input(path, "is so damaged that libhdf5 crashes on it; copy it again, or write it again");
        let line = CString::new(format!("error: {e}\n")).unwrap_or_default();
        let outer = LINE.swap(line.into_raw(), Ordering::SeqCst);
        let before = CRASHES.map(|signal| {
            // SAFETY: zeroes are a valid sigaction; the handler is async-signal-safe.
            unsafe {
                let (mut ours, mut theirs): (libc::sigaction, libc::sigaction) = std::mem::zeroed();
                ours.sa_sigaction = end as extern "C" fn(i32) as usize;
                ours.sa_flags = libc::SA_ONSTACK;
                (libc::sigaction(signal, &ours, &mut theirs) == 0).then_some(theirs)
            }
        });
        Self { outer, before }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for (signal, before) in CRASHES.into_iter().zip(&self.before) {
            if let Some(before) = before {
                // SAFETY: what was there before.
                unsafe { libc::sigaction(signal, before, std::ptr::null_mut()) };
            }
        }
        let ours = LINE.swap(self.outer, Ordering::SeqCst);
        if !ours.is_null() {
            // SAFETY: `over` made it, and its handlers are gone.
            drop(unsafe { CString::from_raw(ours) });
        }
    }
}

/// Says whose fault a crash is, and ends the process.
extern "C" fn end(signal: i32) {
    let line = LINE.load(Ordering::SeqCst);
    // SAFETY: write, strlen, _exit and signal are what a signal handler may use; the line lives as long as its watch.
    unsafe {
        if line.is_null() {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        } else {
            libc::write(2, line.cast(), libc::strlen(line));
            libc::_exit(2);
        }
    }
}
