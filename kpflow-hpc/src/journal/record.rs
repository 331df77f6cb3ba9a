//! What a file of a journal is made of: records, each with a checksum, so that a kill at any instant loses the last one at most.

use crate::engine::Real;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// What a column is known by. 128 bits never agree by chance.
pub type Key = (u64, u64);

/// The first word of a record says what it is.
pub(super) const HEADER: u64 = u64::from_le_bytes(*b"kpflowj1");
pub(super) const PRODUCT: u64 = 1;
pub(super) const SUMS: u64 = 2;
pub(super) const APPLY: u64 = 3;

/// The bytes of numbers.
pub fn bytes<T: Real>(numbers: &[T]) -> &[u8] {
    // SAFETY: numbers have no padding, and any byte is a u8.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast::<u8>(), std::mem::size_of_val(numbers)) }
}

/// The bytes of numbers, to be written.
pub fn bytes_mut<T: Real>(numbers: &mut [T]) -> &mut [u8] {
    // SAFETY: as above, and any bytes are a number.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast::<u8>(), std::mem::size_of_val(numbers)) }
}

fn checksum(parts: [&[u8]; 3]) -> u64 {
    let mut hash = Xxh3::new();
    parts.iter().for_each(|p| hash.update(p));
    hash.digest()
}

/// Bytes of a record of so many words and so many bytes of data.
pub fn record_len(words: usize, data: usize) -> usize {
    8 * (words + 3) + data
}

/// Writes a record: the number of words, the bytes of data, both, and their checksum.
pub(super) fn append(to: &mut impl Write, words: &[u64], data: &[u8]) -> io::Result<()> {
    let sizes = [words.len() as u64, data.len() as u64];
    let [sizes, words] = [&sizes[..], words].map(|w| w.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
    let sum = checksum([&sizes, &words, data]).to_le_bytes();
    let mut parts = [&sizes[..], &words, data, &sum].into_iter();
    parts.try_for_each(|part| to.write_all(part))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(8).map(|c| u64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]))
}

/// The words of all whole records of a file, each after where its data begins and how many words it has. What cannot be read is not there.
pub(super) fn scan(path: &Path) -> Vec<u64> {
    let mut out = Vec::new();
    let Ok(file) = File::open(path) else { return out };
    let length = file.metadata().map_or(0, |m| m.len());
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (mut at, mut sizes, mut body) = (0, [0; 16], Vec::new());
    while reader.read_exact(&mut sizes).is_ok() {
        let size: Vec<u64> = words(&sizes).collect();
        let whole = size[0].checked_mul(8).and_then(|w| w.checked_add(size[1])?.checked_add(8));
        // A torn record may claim any size: what the file cannot hold is not allocated.
        let Some(whole) = whole.filter(|w| at + 16 + w <= length) else { break };
        body.resize(whole as usize, 0);
        if reader.read_exact(&mut body).is_err() {
            break;
        }
        let (said, sum) = body.split_at(body.len() - 8);
        let (head, data) = said.split_at(size[0] as usize * 8);
        if words(sum).next() != Some(checksum([&sizes, head, data])) {
            break;
        }
        out.extend([at + 16 + head.len() as u64, size[0]]);
        out.extend(words(head));
        at += 16 + whole;
    }
    out
}

/// Splits what [`scan`] gives into records: where the data begins, and the words.
pub(super) fn records(mut scanned: &[u64]) -> impl Iterator<Item = (u64, &[u64])> {
    std::iter::from_fn(move || {
        let (&offset, rest) = scanned.split_first()?;
        let (&count, rest) = rest.split_first()?;
        let (words, rest) = rest.split_at_checked(count as usize)?;
        scanned = rest;
        Some((offset, words))
    })
}

/// Numbers of words and their bytes, to be sent to other ranks.
pub(super) fn to_bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// What [`to_bytes`] made.
pub(super) fn from_bytes(bytes: &[u8]) -> Vec<u64> {
    words(bytes).collect()
}

/// Keys as words.
pub(super) fn key_words(keys: &[Key]) -> impl Iterator<Item = u64> + '_ {
    keys.iter().flat_map(|k| [k.0, k.1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cut_anywhere_has_the_records_before() {
        let (mut all, mut ends) = (Vec::new(), vec![0]);
        for i in 0..4u64 {
            append(&mut all, &vec![i; i as usize], &vec![i as u8; 3 * i as usize]).unwrap();
            ends.push(all.len());
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        for cut in 0..=all.len() {
            std::fs::write(&path, &all[..cut]).unwrap();
            let scanned = scan(&path);
            let whole = ends.iter().filter(|e| **e <= cut).count() - 1;
            let found: Vec<_> = records(&scanned).collect();
            assert_eq!(found.len(), whole, "cut at {cut}");
            assert!(found.iter().enumerate().all(|(i, r)| r.1 == vec![i as u64; i]));
        }
        // A byte that changed ends the file before its record.
        for flip in 0..all.len() {
            let mut bad = all.clone();
            bad[flip] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            let before = ends.iter().filter(|e| **e <= flip).count() - 1;
            assert_eq!(records(&scan(&path)).count(), before, "changed at {flip}");
        }
    }
}
