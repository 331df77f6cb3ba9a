//! The variables that a state is made of.

use super::Watched;

/// Which watched variable each of so many numbers of a trajectory belongs to, and how many there are.
pub fn parts(watched: &[Watched], numbers: usize) -> (Vec<usize>, usize) {
    let mut part_of = vec![0; numbers];
    for (i, w) in watched.iter().enumerate() {
        for p in 0..w.positions {
            part_of[w.offset + p * w.stride..][..w.width].fill(i);
        }
    }
    (part_of, watched.len())
}
