//! The state of a running analysis on disk, so that a run that ends at any instant can go on from there, on any number of ranks.
//!
//! An estimator is deterministic but for what it sees of the operator and of the other ranks: products, and sums. Both are written down as they come, and
//! an analysis that begins again is given what was written instead: it comes to the same bits, Krylov bases and all, without a product and without a sum,
//! and goes on where the record ends. No estimator knows of it.
//!
//! - A product is found by its key, the hash of the vector that it is of. A rank writes its own trajectories' part.
//! - Sums, and the keys that were asked for between them, are the same on all ranks; the root writes them, in their order.
//! - A replay goes as far as every product is there that was asked for. Where an estimator asks for another product than it did then (another
//!   machine rounds differently, say), what is written of its sums is not about its vectors: the analysis begins once more, without it.
//!
//! Files are appended to, never changed. Each run writes its own, a file a rank, and a record has a checksum: a kill loses what was not yet written, no more.

mod past;
mod record;

pub use record::{bytes, bytes_mut, record_len, Key};

use crate::comm::Grid;
use crate::error::Halt;
use crate::events;
use crate::signals::Signals;
use past::{files, name, Event, Past};
use record::{append, key_words, APPLY, HEADER, PRODUCT, SUMS};
use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes that wait to be written, at most.
pub const BUFFER: usize = 64 << 20;
/// Bytes that a rank writes, at most.
const MOST: u64 = 4 << 30;

/// Which rows of a vector a rank holds.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// The number of the first.
    pub first: usize,
    /// How many all ranks have.
    pub total: usize,
    /// Whether no other rank holds the same; of those that do, the root's count.
    pub own: bool,
}

/// A journal. All ranks call its methods in the same order; `look`, `reset` and what `hear` is given are collective.
pub struct Journal {
    grid: Grid,
    directory: PathBuf,
    fingerprint: u64,
    /// How often what waits is written; never, where there is none.
    interval: Option<Duration>,
    signals: Signals,
    state: RefCell<State>,
}

struct State {
    past: Past,
    run: u64,
    /// Products that are in a file, or wait to be.
    written: HashSet<Key>,
    analysis: u64,
    replay: VecDeque<Event>,
    /// Events of this analysis so far.
    events: u64,
    buffer: Vec<u8>,
    file: Option<File>,
    size: u64,
    flushed: Instant,
    /// Why writing failed here.
    failed: Option<String>,
    /// Nothing is written any more.
    off: bool,
}

impl Journal {
    /// Begins a journal: with what earlier runs left, to `resume`, or without it.
    pub fn open(
        directory: PathBuf,
        fingerprint: u64,
        interval: Option<Duration>,
        resume: bool,
        signals: Signals,
        grid: Grid,
    ) -> Self {
        if !resume && grid.is_root() {
            remove(&directory);
        }
        let past = if resume { Past::read(&directory, fingerprint, grid.world()) } else { Past::default() };
        let state = State {
            run: past.latest + 1,
            past,
            written: HashSet::new(),
            analysis: 0,
            replay: VecDeque::new(),
            events: 0,
            // Never grown: what is not written to is not there.
            buffer: Vec::with_capacity(if interval.is_some() { BUFFER } else { 0 }),
            file: None,
            size: 0,
            flushed: Instant::now(),
            failed: None,
            off: interval.is_none(),
        };
        Self { grid, directory, fingerprint, interval, signals, state: RefCell::new(state) }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Begins an analysis, or begins it again: then what was written of it is not used.
    pub fn begin(&self, analysis: &str, again: bool) {
        let mut s = self.state.borrow_mut();
        s.analysis = xxh3_64(analysis.as_bytes());
        s.events = 0;
        let analysis = s.analysis;
        let replay = s.past.replay(analysis);
        s.replay = if again { VecDeque::new() } else { replay };
    }

    /// What this rank has to tell all when keys are summed: signals, whether to write what waits, whether writing failed.
    pub fn news(&self) -> [u64; 4] {
        let s = self.state.borrow();
        let [a, b] = self.signals.received();
        let due = self.grid.is_root() && !s.off && self.interval.is_some_and(|i| s.flushed.elapsed() >= i);
        [a, b, u64::from(due), u64::from(s.failed.is_some() && !s.off)]
    }

    /// Does what the news of all ranks ask for.
    pub fn hear(&self, news: &[u64]) -> Result<(), Halt> {
        let signal = Signals::name(&news[..2]);
        if news[3] > 0 {
            self.give_up();
        }
        if signal.is_some() || news[2] > 0 {
            self.state.borrow_mut().flush(self, true);
        }
        signal.map_or(Ok(()), |signal| Err(Halt::Signal(signal)))
    }

    /// Looks for signals, where no keys are summed.
    pub fn look(&self) -> Result<(), Halt> {
        let mut news = self.news();
        self.grid.world().sum(&mut news);
        self.hear(&news)
    }

    /// Takes note that the products of these columns are asked for.
    pub fn asked(&self, keys: &[Key]) -> Result<(), Halt> {
        let mut s = self.state.borrow_mut();
        match s.replay.pop_front() {
            Some(Event::Apply(before)) if before == keys => {}
            Some(_) => return Err(Halt::Diverged),
            None => {
                let words: Vec<u64> = [APPLY, s.analysis, s.events].into_iter().chain(key_words(keys)).collect();
                s.append(self, self.grid.is_root(), &words, &[]);
            }
        }
        s.events += 1;
        Ok(())
    }

    /// Sums over ranks, so many numbers: as they were, or as they are made.
    pub fn sums(&self, length: usize, make: impl FnOnce() -> Vec<f64>) -> Result<Vec<f64>, Halt> {
        let before = self.state.borrow_mut().replay.pop_front();
        let sums = match before {
            Some(Event::Sums(sums)) if sums.len() == length => sums,
            Some(_) => return Err(Halt::Diverged),
            None => {
                let sums = make();
                let mut s = self.state.borrow_mut();
                let numbers = sums.iter().map(|x| x.to_bits());
                let words: Vec<u64> = [SUMS, s.analysis, s.events].into_iter().chain(numbers).collect();
                s.append(self, self.grid.is_root(), &words, &[]);
                sums
            }
        };
        self.state.borrow_mut().events += 1;
        Ok(sums)
    }

    /// Whether an earlier run left this product; the same on every rank.
    pub fn has(&self, key: &Key) -> bool {
        self.state.borrow().past.has(key)
    }

    /// Reads this rank's rows of a product, each of so many bytes.
    pub fn rows(&self, key: &Key, rows: Rows, row: usize, out: &mut [u8]) -> io::Result<()> {
        self.state.borrow().past.rows(key, rows.first, row, out)
    }

    /// Which of these products are not written yet; they count as written from now on.
    pub fn unwritten(&self, keys: &[Key]) -> Vec<usize> {
        let mut s = self.state.borrow_mut();
        if s.off {
            return Vec::new();
        }
        (0..keys.len()).filter(|&v| s.written.insert(keys[v])).collect()
    }

    /// Writes down this rank's rows of some products, `[row][product]`, each of so many bytes.
    pub fn keep(&self, keys: &[Key], rows: Rows, row: usize, data: &[u8]) {
        let count = data.len() / (row * keys.len()).max(1);
        let head = [PRODUCT, rows.first as u64, count as u64, rows.total as u64, row as u64];
        let words: Vec<u64> = head.into_iter().chain(key_words(keys)).collect();
        self.state.borrow_mut().append(self, rows.own && count > 0, &words, data);
    }

    /// Forgets all, as nothing that was written can be of use any more.
    pub fn reset(&self) {
        let mut s = self.state.borrow_mut();
        (s.past, s.written, s.replay) = Default::default();
        s.buffer.clear();
        (s.file, s.size) = (None, 0);
        (s.run, s.flushed) = (s.run + 1, Instant::now());
        drop(s);
        // Nobody writes anew before the root has removed what was there.
        if self.grid.is_root() {
            remove(&self.directory);
        }
        self.grid.world().sum_one(0.0);
    }

    /// Writes nothing any more, and makes room: a disk that is full may still have to take the results.
    fn give_up(&self) {
        let mut s = self.state.borrow_mut();
        let why = s.failed.take();
        (s.buffer, s.file, s.off) = (Vec::new(), None, true);
        if self.grid.is_root() {
            remove(&self.directory);
            let why = why.unwrap_or_else(|| "another rank could not write".into());
            let directory = self.directory.display();
            events::warning(&format!("{directory}: the state of running analyses is not kept any more: {why}"));
        }
    }
}

impl State {
    fn append(&mut self, journal: &Journal, mine: bool, words: &[u64], data: &[u8]) {
        let size = record_len(words.len(), data.len());
        if !mine || self.off || self.failed.is_some() || self.size + (self.buffer.len() + size) as u64 > MOST {
            return;
        }
        if self.buffer.len() + size > BUFFER {
            self.flush(journal, false);
        }
        if self.failed.is_some() {
            return;
        }
        // What is larger than the buffer goes to the file as it stands.
        let done = match size > BUFFER {
            true => self.file_of(journal).and_then(|file| append(file, words, data)).map(|()| self.size += size as u64),
            false => append(&mut self.buffer, words, data),
        };
        if let Err(e) = done {
            self.failed = Some(e.to_string());
        }
    }

    /// Writes what waits.
    fn flush(&mut self, journal: &Journal, sync: bool) {
        self.flushed = Instant::now();
        if self.off || self.failed.is_some() {
            return;
        }
        if let Err(e) = self.write(journal, sync) {
            self.failed = Some(e.to_string());
        }
    }

    fn write(&mut self, journal: &Journal, sync: bool) -> io::Result<()> {
        if !self.buffer.is_empty() {
            let buffer = std::mem::take(&mut self.buffer);
            let written = self.file_of(journal).and_then(|file| file.write_all(&buffer));
            self.buffer = buffer;
            written?;
            self.size += self.buffer.len() as u64;
            self.buffer.clear();
        }
        match &self.file {
            Some(file) if sync => file.sync_data(),
            Some(_) | None => Ok(()),
        }
    }

    /// The file of this run and rank, which is made where it is asked for first.
    fn file_of(&mut self, journal: &Journal) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                match std::fs::create_dir(&journal.directory) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                    _ => {}
                }
                let path = journal.directory.join(name(self.run, journal.grid.world().rank()));
                let mut file = File::create(path)?;
                append(&mut file, &[HEADER, self.run, journal.fingerprint], &[])?;
                file
            }
        };
        Ok(self.file.insert(file))
    }
}

/// Removes what journals have written in a directory, and the directory if nothing else is in it.
fn remove(directory: &Path) {
    for file in files(directory) {
        let _ = std::fs::remove_file(file);
    }
    let _ = std::fs::remove_dir(directory);
}

/// Where the journal of a result file is.
pub fn directory_of(results: &Path) -> PathBuf {
    let mut name = results.to_path_buf().into_os_string();
    name.push(".partial");
    name.into()
}
