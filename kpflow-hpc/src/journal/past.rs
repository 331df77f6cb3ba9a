//! What earlier runs left in a journal.

use super::record::{self, from_bytes, records, to_bytes, Key, APPLY, HEADER, PRODUCT, SUMS};
use crate::comm::Comm;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What an estimator has seen of the other ranks.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// Sums over ranks.
    Sums(Vec<f64>),
    /// It asked for the products of these columns.
    Apply(Vec<Key>),
}

/// Some trajectories of a product, as one rank wrote them: row (b, v) begins at `offset + (b·vectors + v)·row`.
#[derive(Clone, Copy, Debug)]
struct Piece {
    file: usize,
    offset: u64,
    first: u64,
    count: u64,
    vectors: u64,
    column: u64,
    row: u64,
}

/// The pieces of a product that one run wrote, and how many trajectories there are.
#[derive(Debug)]
struct Product {
    run: u64,
    total: u64,
    pieces: Vec<Piece>,
}

impl Product {
    fn is_whole(&self) -> bool {
        self.pieces.iter().map(|p| p.count).sum::<u64>() == self.total
    }
}

/// The products and events that are there.
#[derive(Debug, Default)]
pub(super) struct Past {
    files: Vec<PathBuf>,
    /// By key; of each the latest run that has all of it.
    products: HashMap<Key, Product>,
    /// By analysis, in their order.
    logs: HashMap<u64, Vec<Event>>,
    /// The number of the latest run.
    pub latest: u64,
}

/// The name of a file of a journal.
pub(super) fn name(run: u64, rank: usize) -> String {
    format!("{run:06}-{rank:06}")
}

/// The files of a journal, those of later runs later.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let is_ours =
        |n: &str| n.len() >= 13 && n.split('-').count() == 2 && n.bytes().all(|b| b == b'-' || b.is_ascii_digit());
    let there = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|e| e.path());
    let mut files: Vec<PathBuf> =
        there.filter(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(is_ours)).collect();
    files.sort();
    files
}

impl Past {
    /// Reads what is there of the same model and job. Collective: each rank reads some of the files and tells the others.
    pub fn read(directory: &Path, fingerprint: u64, comm: Comm) -> Self {
        let mut names = Vec::new();
        if comm.is_root() {
            let list: Vec<String> =
                files(directory).iter().filter_map(|f| Some(f.file_name()?.to_str()?.to_string())).collect();
            names = list.join("\n").into_bytes();
        }
        comm.broadcast(&mut names, 0);
        let names = String::from_utf8_lossy(&names).into_owned();
        let files: Vec<PathBuf> = names.lines().map(|n| directory.join(n)).collect();
        let mine = |i: usize| i % comm.size() == comm.rank();
        let mut scanned: Vec<Vec<u8>> = files
            .iter()
            .enumerate()
            .map(|(i, f)| if mine(i) { to_bytes(&record::scan(f)) } else { Vec::new() })
            .collect();
        let mut past = Self::default();
        let mut torn: HashMap<Key, Vec<Product>> = HashMap::new();
        for (i, bytes) in scanned.iter_mut().enumerate() {
            comm.broadcast(bytes, i % comm.size());
            past.take(i, &from_bytes(bytes), fingerprint, &mut torn);
        }
        for (key, candidates) in torn {
            if let Some(whole) = candidates.into_iter().rev().find(Product::is_whole) {
                past.products.insert(key, whole);
            }
        }
        past.files = files;
        past
    }

    fn take(&mut self, file: usize, scanned: &[u64], fingerprint: u64, products: &mut HashMap<Key, Vec<Product>>) {
        let mut run = None;
        for (offset, words) in records(scanned) {
            match (words, run) {
                (&[HEADER, run_, of], _) => {
                    // The numbers of runs go on whatever the others were about.
                    self.latest = self.latest.max(run_);
                    run = (of == fingerprint).then_some(run_);
                }
                (_, None) => return,
                (&[PRODUCT, first, count, total, row, ref keys @ ..], Some(run)) => {
                    let vectors = keys.len() as u64 / 2;
                    for (v, k) in keys.chunks_exact(2).enumerate() {
                        let of = products.entry((k[0], k[1])).or_default();
                        if of.last().is_none_or(|p| p.run != run) {
                            of.push(Product { run, total, pieces: Vec::new() });
                        }
                        let piece = Piece { file, offset, first, count, vectors, column: v as u64, row };
                        of.last_mut().into_iter().for_each(|p| p.pieces.push(piece));
                    }
                }
                (&[what @ (SUMS | APPLY), analysis, at, ref rest @ ..], Some(_)) => {
                    // A run that went on from an event has written over what came after it.
                    let log = self.logs.entry(analysis).or_default();
                    log.truncate(at as usize);
                    if log.len() as u64 == at {
                        log.push(match what {
                            SUMS => Event::Sums(rest.iter().map(|&x| f64::from_bits(x)).collect()),
                            _ => Event::Apply(rest.chunks_exact(2).map(|k| (k[0], k[1])).collect()),
                        });
                    }
                }
                _ => return,
            }
        }
    }

    /// The events of an analysis, up to where it needs a product that is not there.
    pub fn replay(&mut self, analysis: u64) -> VecDeque<Event> {
        let log = self.logs.remove(&analysis).unwrap_or_default();
        let there = |e: &Event| match e {
            Event::Sums(_) => true,
            Event::Apply(keys) => keys.iter().all(|k| self.has(k)),
        };
        let length = log.iter().take_while(|e| there(e)).count();
        log.into_iter().take(length).collect()
    }

    /// Whether a product is there; the same on every rank.
    pub fn has(&self, key: &Key) -> bool {
        self.products.contains_key(key)
    }

    /// Reads the rows `first ..` of a product, each of so many bytes.
    pub fn rows(&self, key: &Key, first: usize, row: usize, out: &mut [u8]) -> io::Result<()> {
        let other = || io::Error::from(io::ErrorKind::InvalidData);
        let product = self.products.get(key).ok_or_else(other)?;
        let mut open: HashMap<usize, File> = HashMap::new();
        for (b, out) in out.chunks_mut(row.max(1)).enumerate() {
            let b = (first + b) as u64;
            let holds = |p: &&Piece| (p.first..p.first + p.count).contains(&b) && p.row == row as u64;
            let p = product.pieces.iter().find(holds).ok_or_else(other)?;
            let file = match open.entry(p.file) {
                std::collections::hash_map::Entry::Occupied(e) => e.into_mut(),
                std::collections::hash_map::Entry::Vacant(e) => e.insert(File::open(&self.files[p.file])?),
            };
            file.read_exact_at(out, p.offset + ((b - p.first) * p.vectors + p.column) * p.row)?;
        }
        Ok(())
    }
}
