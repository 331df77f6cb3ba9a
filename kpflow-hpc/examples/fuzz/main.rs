//! Feeds damaged files to the readers: `fuzz (job|safetensors|npy|onnx|results) SECONDS SEED DIRECTORY…`, with valid files of that kind,
//! and those that once broke something, in the directories. All of them are read as they are, then damaged ones until the time is up.
//!
//! Every file has to be read or refused with one line, without a panic, without a single allocation beyond [`MOST`] bytes, and within
//! [`SLOW`]. What is read is also run. A file that breaks this, or ends the process that reads it, is kept as `fuzz-N.ENDING` in the
//! current directory, and the exit status is 1.
//! Result files are cut short or changed by HDF5's own functions, not byte by byte: see `damaged`. Where libhdf5 itself crashes the program says so and ends
//! ([`kpflow_hpc::hdf5_file`]): that is a refusal too.

mod damage;
mod targets;

use damage::Random;
use rten_onnx::onnx::ModelProto;
use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long one file may take.
const SLOW: Duration = Duration::from_secs(20);
/// Names the file of the process that reads; the one that watches it has none.
const WORKER: &str = "KPFLOW_FUZZ_FILE";
/// Tells a process that the files as they are have been read.
const AGAIN: &str = "KPFLOW_FUZZ_AGAIN";

/// The largest single allocation that a small damaged file may cause.
const MOST: usize = 1 << 31;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

struct Watching;

// SAFETY: every call is the system allocator's; the largest size is an atomic number.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        unsafe { System.dealloc(p, layout) }
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        LARGEST.fetch_max(new, Ordering::Relaxed);
        unsafe { System.realloc(p, layout, new) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// What the names of a kind's files end with.
fn ending(kind: &str) -> &str {
    match kind {
        "job" => "toml",
        "results" => "h5",
        other => other,
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let known = |k: &str| ["job", "safetensors", "npy", "onnx", "results"].contains(&k);
    match &arguments[..] {
        [kind, seconds, seed, directories @ ..] if known(kind) => {
            let limit = Duration::from_secs(seconds.parse().expect("seconds are a number"));
            let seed = seed.parse().expect("a seed is a number");
            match std::env::var_os(WORKER) {
                Some(path) => work(kind, limit, seed, directories, Path::new(&path)),
                None => watch(kind, limit, seed, directories),
            }
        }
        _ => {
            eprintln!("usage: fuzz (job|safetensors|npy|onnx|results) SECONDS SEED DIRECTORY…");
            ExitCode::from(2)
        }
    }
}

/// Keeps a file that broke something.
fn keep(path: &Path, kind: &str, why: &str) {
    let free = (1..).map(|i| PathBuf::from(format!("fuzz-{i}.{}", ending(kind)))).find(|p| !p.exists());
    let name = free.unwrap_or_default();
    let _ = std::fs::copy(path, &name);
    eprintln!("{}: {why}", name.display());
}

/// Starts processes that read, until the time is up: one that ends or hangs tells which file did it.
fn watch(kind: &str, limit: Duration, mut seed: u64, directories: &[String]) -> ExitCode {
    let path = std::env::temp_dir().join(format!("kpflow-fuzz-{}.{}", std::process::id(), ending(kind)));
    let (begun, mut broken) = (Instant::now(), false);
    let mut again = false;
    loop {
        let left = limit.saturating_sub(begun.elapsed()).as_secs().to_string();
        let mut worker = Command::new(std::env::current_exe().expect("a program"));
        worker.args([kind, &left, &seed.to_string()]).args(directories).env(WORKER, &path);
        if std::mem::replace(&mut again, true) {
            worker.env(AGAIN, "");
        }
        let mut worker = worker.spawn().expect("a process");
        let ended = loop {
            if let Some(status) = worker.try_wait().expect("a status") {
                break Some(status);
            }
            let age = std::fs::metadata(&path).and_then(|m| m.modified()).ok().and_then(|m| m.elapsed().ok());
            if age.is_some_and(|age| age > 3 * SLOW) {
                break None;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        match ended.and_then(|s| s.code()) {
            // libhdf5 crashed, and was said to.
            Some(2) if begun.elapsed() < limit => seed = seed.wrapping_add(1_000_003),
            Some(code) => {
                broken |= code != 0 && code != 2;
                let _ = std::fs::remove_file(&path);
                return ExitCode::from(u8::from(broken));
            }
            None => {
                let _ = worker.kill();
                let _ = worker.wait();
                keep(&path, kind, &ended.map_or("hangs".into(), |s| format!("ends the process: {s}")));
                // What the next process has not written yet is not its fault.
                let _ = std::fs::remove_file(&path);
                (broken, seed) = (true, seed.wrapping_add(1_000_003));
            }
        }
    }
}

/// One file, damaged.
fn damaged(kind: &str, seed: &[u8], path: &Path, random: &mut Random) {
    let mut bytes = seed.to_vec();
    let meaning = random.below(4) > 0;
    match kind {
        "onnx" if meaning => {
            if let Ok(mut model) = ModelProto::parse_buf(&bytes) {
                damage::model(&mut model, random);
                bytes = model.write_buf().unwrap_or(bytes);
            }
        }
        "job" if meaning => bytes = damage::job(&String::from_utf8_lossy(&bytes), random).into_bytes(),
        _ => {}
    }
    match kind {
        // libhdf5 itself follows damaged bytes wherever they lead (1.10.8), to a crash, which is refused, or for a minute: a file is cut short, or its
        // meaning is damaged.
        "results" if !meaning => bytes.truncate(random.below(seed.len())),
        "onnx" | "job" | "results" if meaning => {}
        _ => damage::bytes(&mut bytes, random),
    }
    std::fs::write(path, &bytes).expect("room for a file");
    if kind == "results" && meaning {
        let _ = damage::results(path, random);
    }
}

fn work(kind: &str, limit: Duration, seed: u64, directories: &[String], path: &Path) -> ExitCode {
    let all =
        directories.iter().flat_map(|d| std::fs::read_dir(d).expect("a directory")).map(|f| f.expect("a file").path());
    let mut files: Vec<PathBuf> = all.filter(|f| f.extension().is_some_and(|e| e == ending(kind))).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|f| std::fs::read(f).expect("a file")).collect();
    assert!(!seeds.is_empty(), "no file to begin with");
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    let mut random = Random(seed);
    let mut tried = if std::env::var_os(AGAIN).is_some() { seeds.len() } else { 0 };
    let (begun, mut refused, mut broken) = (Instant::now(), 0usize, 0usize);
    while tried < seeds.len() || begun.elapsed() < limit {
        match seeds.get(tried) {
            Some(bytes) => std::fs::write(path, bytes).expect("room for a file"),
            None => damaged(kind, random.pick::<Vec<u8>>(&seeds), path, &mut random),
        }
        LARGEST.store(0, Ordering::Relaxed);
        let now = Instant::now();
        let panic = catch_unwind(AssertUnwindSafe(|| targets::read(kind, path, &mut refused))).is_err();
        let (largest, slow) = (LARGEST.load(Ordering::Relaxed), now.elapsed() > SLOW);
        if panic || largest > MOST || slow {
            broken += 1;
            let seconds = now.elapsed().as_secs_f64();
            keep(path, kind, &format!("panic {panic}, largest allocation {largest}, {seconds:.1} s"));
        }
        tried += 1;
    }
    println!("{kind}: {tried} files, {refused} refusals, {broken} that broke something");
    ExitCode::from(u8::from(broken > 0))
}
