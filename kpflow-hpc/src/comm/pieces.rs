//! Sums that go on while others are made.

use super::{count, world, Comm, Number, SUM_CHUNK, WAITED};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Bytes that may be under way at a time: what is sent is copied before.
pub const UNDER_WAY: usize = 256 << 20;

/// MPI calls that a piece of so many numbers takes.
pub fn calls_of_piece(numbers: usize) -> usize {
    numbers.div_ceil(SUM_CHUNK)
}

/// Lets sums that are under way go on. Only for the thread that talks to others.
pub fn progress() {
    world::progress();
}

impl Comm {
    /// Whether sums go on while something else is done. Collective when it is first asked.
    pub fn overlaps(&self) -> bool {
        self.size > 1 && self.shared().is_none()
    }

    /// Makes pieces of `values` and sums each over processes while the next are made; takes them in their order ([`kpflow_core::machine::Reduce::sum_pieces`]).
    ///
    /// Non-blocking sums, each of at most 2²⁰ numbers; beyond 256 MiB under way the oldest is waited for. On one node sums are copies by the cores that make
    /// the pieces, and there is nothing to go on beside: all are made, then summed in shared memory, then taken.
    pub fn sum_pieces<T: Number>(
        &self,
        values: &mut [T],
        pieces: usize,
        length: impl Fn(usize) -> usize,
        mut make: impl FnMut(usize, &mut [T]),
        mut take: impl FnMut(usize, &[T]),
    ) {
        let ends: Vec<usize> = (0..pieces).scan(0, |at, i| Some((*at += length(i), *at).1)).collect();
        assert!(ends.last().is_none_or(|&end| end <= values.len()), "pieces must fit");
        let piece_of = |i: usize| (if i > 0 { ends[i - 1] } else { 0 }, ends[i]);
        if let Some(shared) = self.shared() {
            for i in 0..pieces {
                let (from, to) = piece_of(i);
                count::<T>(to - from, calls_of_piece(to - from));
                make(i, &mut values[from..to]);
            }
            let clock = Instant::now();
            shared.sum(&mut values[..ends.last().copied().unwrap_or(0)]);
            WAITED.fetch_add(clock.elapsed().as_nanos() as u64, Ordering::Relaxed);
            return (0..pieces).for_each(|i| take(i, &values[piece_of(i).0..piece_of(i).1]));
        }
        let (base, mut under_way) = (values.as_mut_ptr(), VecDeque::new());
        let mut bytes = 0;
        for i in 0..pieces {
            let (from, to) = piece_of(i);
            // SAFETY: pieces lie in `values`, one behind the other, and sums are under way of others only.
            let piece = unsafe { std::slice::from_raw_parts_mut(base.add(from), to - from) };
            make(i, piece);
            count::<T>(piece.len(), calls_of_piece(piece.len()));
            for part in piece.chunks_mut(SUM_CHUNK) {
                let size = std::mem::size_of_val(part);
                while bytes + size > UNDER_WAY && !under_way.is_empty() {
                    bytes -= wait(&mut under_way);
                }
                bytes += size;
                // SAFETY: the part is not touched again before its sum is waited for.
                under_way.push_back((i, size, unsafe { world::start_sum(self.id, part) }));
            }
        }
        for i in 0..pieces {
            while under_way.front().is_some_and(|first| first.0 <= i) {
                wait(&mut under_way);
            }
            let (from, to) = piece_of(i);
            // SAFETY: as above; what is under way is behind this piece.
            take(i, unsafe { std::slice::from_raw_parts(base.add(from), to - from) });
        }
    }
}

/// Waits for the oldest sum, of a part of some piece; returns its bytes.
fn wait<S>(under_way: &mut VecDeque<(usize, usize, S)>) -> usize {
    let clock = Instant::now();
    let bytes = under_way.pop_front().map_or(0, |(_, bytes, sum)| {
        drop(sum);
        bytes
    });
    WAITED.fetch_add(clock.elapsed().as_nanos() as u64, Ordering::Relaxed);
    bytes
}
