//! HDF5 files that are read: one so damaged that libhdf5 itself crashes on it is refused like any other.
//!
//! libhdf5 does not check all that a file claims (1.10.8: `H5HG_read` follows a damaged heap out of its memory), and nothing can be caught of a
//! segmentation fault but the chance to say whose it is. Nor does it end every loop that a damaged file sends it on: the work that an open file may cost is limited.

use crate::error::{Error, Result};
use hdf5::types::VarLenUnicode;
use hdf5::LocationType;
use std::ffi::CString;
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicPtr, Ordering};

/// An open file, and the watch over what reads it.
pub struct Hdf5File {
    // Dropped in this order: closing a damaged file can go wrong too.
    file: hdf5::File,
    _limit: Option<Limit>,
    _watch: Watch,
}

impl Deref for Hdf5File {
    type Target = hdf5::File;
    fn deref(&self) -> &hdf5::File {
        &self.file
    }
}

/// Opens a file to read it; `right` says what is right in the place of a file that is not HDF5.
///
/// **Errors**: one line that says why it cannot be read: it is none, is damaged, or is open in another process.
pub fn open(path: &Path, right: &str) -> Result<Hdf5File> {
    hdf5::silence_errors(true);
    let watch = Watch::over(path);
    let limit = Limit::of(BUSY + std::fs::metadata(path).map_or(0, |m| m.len() / BYTES));
    let file = hdf5::File::open(path).map_err(|e| refused(path, right, &e))?;
    Ok(Hdf5File { file, _limit: limit, _watch: watch })
}

/// Why a file was not opened.
fn refused(path: &Path, right: &str, e: &hdf5::Error) -> Error {
    let frames: Vec<String> = e.stack().map(|s| s.iter().map(|f| f.desc().to_string()).collect()).unwrap_or_default();
    let said = |what: &str| frames.iter().find(|d| d.contains(what));
    if let Some(why) = said("unable to lock") {
        let held = [libc::EAGAIN, libc::EACCES].iter().any(|n| why.contains(&format!("errno = {n},")));
        return Error::input(path, if held || !why.contains("errno") { HELD } else { UNLOCKABLE });
    }
    if said("file is already open for").is_some() {
        return Error::input(path, MARKED);
    }
    match is_hdf5(path) {
        true => Error::input(path, "is HDF5, but damaged or cut short; copy it again, or write it again"),
        false => Error::input(path, format!("is not an HDF5 file; {right}")),
    }
}

const HELD: &str = "is open in another process that may write to it, such as h5py.File(…, \"a\") in a notebook; \
                    close it there, or open it there with mode \"r\"";
const UNLOCKABLE: &str =
    "is on a file system that has no locks, which libhdf5 asks for; set HDF5_USE_FILE_LOCKING=FALSE";
const MARKED: &str =
    "is open in another process that writes to it, or was not closed by one that ended; close it there, \
                      or say that nobody writes to it: h5clear -s FILE";

/// Whether a file begins as HDF5 does, perhaps behind a block of the user's.
pub fn is_hdf5(path: &Path) -> bool {
    use std::io::{Read, Seek, SeekFrom};
    let Ok(mut file) = std::fs::File::open(path) else { return false };
    let mut starts_at = |place: u64| {
        let mut start = [0; 8];
        let read = file.seek(SeekFrom::Start(place)).and_then(|_| file.read_exact(&mut start));
        read.is_ok() && start == *b"\x89HDF\r\n\x1a\n"
    };
    // libhdf5 looks at every doubling; nobody has a block of more than these.
    [0, 512, 1024, 2048, 4096].into_iter().any(&mut starts_at)
}

/// The names of a group's members of a type. They are asked for by name: of objects opened in another way libhdf5 looks their names up in all of
/// the file, one by one.
pub fn members(group: &hdf5::Group, of: LocationType) -> Vec<String> {
    let names = group.member_names().unwrap_or_default();
    names.into_iter().filter(|n| group.loc_type_by_name(n).is_ok_and(|t| t == of)).collect()
}

/// A text of an object's.
pub fn text_attribute(of: &hdf5::Location, name: &str) -> hdf5::Result<String> {
    of.attr(name).and_then(|a| a.read_scalar()).map(|t| text(&t))
}

/// What a text of a file says: one of a damaged file need not be UTF-8, as which the hdf5 crate takes it unseen.
pub fn text(text: &VarLenUnicode) -> String {
    String::from_utf8_lossy(text.as_bytes()).into_owned()
}

/// Seconds that the thread may work on a file that it has open, and one more for so many bytes of it. A good one of 30,000
/// datasets takes 0.6 s; large inputs are read when it has been closed.
const BUSY: u64 = 10;
const BYTES: u64 = 10 << 20;

/// How libhdf5 crashes: wild reads, reads beyond a mapped file's end, a division by a size of zero, an allocator that finds its notes overwritten.
/// Last, the end of a [`Limit`].
const SIGNALS: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGABRT, LIMIT];
const LIMIT: i32 = libc::SIGVTALRM;

/// What is said of the file.
struct Lines {
    crash: CString,
    busy: CString,
}

static LINES: AtomicPtr<Lines> = AtomicPtr::new(std::ptr::null_mut());

/// While it lives, a crash ends the program with one line about a file, and the status of bad input.
pub struct Watch {
    outer: *mut Lines,
    before: [Option<libc::sigaction>; SIGNALS.len()],
}

impl Watch {
    /// Begins to watch over what reads this file.
    pub fn over(path: &Path) -> Self {
        let line = |what: &str| {
            let e =
                Error::input(path, format!("is so damaged that libhdf5 {what} it; copy it again, or write it again"));
            CString::new(format!("error: {e}\n")).unwrap_or_default()
        };
        let lines = Lines { crash: line("crashes on"), busy: line("does not come to an end with") };
        let outer = LINES.swap(Box::into_raw(Box::new(lines)), Ordering::SeqCst);
        let before = SIGNALS.map(|signal| {
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
        for (signal, before) in SIGNALS.into_iter().zip(&self.before) {
            if let Some(before) = before {
                // SAFETY: what was there before.
                unsafe { libc::sigaction(signal, before, std::ptr::null_mut()) };
            }
        }
        let ours = LINES.swap(self.outer, Ordering::SeqCst);
        if !ours.is_null() {
            // SAFETY: `over` made it, and its handlers are gone.
            drop(unsafe { Box::from_raw(ours) });
        }
    }
}

/// A clock of this thread's work, which ends the program as a crash would; it stands while a slow disk is waited for.
#[cfg(target_os = "linux")]
struct Limit(libc::timer_t);

#[cfg(target_os = "linux")]
impl Limit {
    fn of(seconds: u64) -> Option<Self> {
        // SAFETY: zeroes are a valid sigevent and itimerspec, and both pointers are to values of this function.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_SIGNAL;
            event.sigev_signo = LIMIT;
            let mut timer = std::ptr::null_mut();
            if libc::timer_create(libc::CLOCK_THREAD_CPUTIME_ID, &mut event, &mut timer) != 0 {
                return None;
            }
            let mut once: libc::itimerspec = std::mem::zeroed();
            once.it_value.tv_sec = seconds as libc::time_t;
            libc::timer_settime(timer, 0, &once, std::ptr::null_mut());
            Some(Self(timer))
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Limit {
    fn drop(&mut self) {
        // SAFETY: `of` made it.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// Other systems have no such clock.
#[cfg(not(target_os = "linux"))]
struct Limit;

#[cfg(not(target_os = "linux"))]
impl Limit {
    fn of(_: u64) -> Option<Self> {
        None
    }
}

/// Says whose fault a crash is, and ends the process.
extern "C" fn end(signal: i32) {
    // SAFETY: write, _exit and signal are what a signal handler may use; the lines live as long as their watch.
    unsafe {
        let Some(lines) = LINES.load(Ordering::SeqCst).as_ref() else {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
            return;
        };
        let line = if signal == LIMIT { &lines.busy } else { &lines.crash }.as_bytes();
        libc::write(2, line.as_ptr().cast(), line.len());
        libc::_exit(2);
    }
}
