//! How lanes share a product: the vectors of a block where there are enough of them, otherwise the tiles of a linearisation.

use super::forms::chunk_len;
use crate::machine::{Portions, Slab, Tasks};
use crate::model::Linearization;
use crate::Scalar;
use core::ops::Range;

/// Vectors that are worth a lane of their own: with fewer, products are too small.
const LEAST: usize = 4;

/// How lanes share some vectors of a block: `portions` of at most `per` vectors, the last `halved` of them in two halves, as many at the same time as there are
/// lanes, each by `within` lanes that share the tiles.
///
/// A lane that has vectors of its own goes through all tiles without waiting for the others, and what it adds to δW stays in its cache. Portions are whole
/// chunks of δW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lanes {
    pub portions: usize,
    pub per: usize,
    pub halved: usize,
    pub within: usize,
}

impl Lanes {
    /// How so many lanes share `m` vectors, of which a lane should not carry more than `most` at once.
    pub fn of(m: usize, lanes: usize, most: usize) -> Self {
        let (chunk, lanes) = (chunk_len(m), lanes.max(1));
        let chunks = m.div_ceil(chunk);
        // No more than each lane has to do in all, in portions that are the same but for the last.
        let whole = chunks.div_ceil(lanes);
        let per = whole.div_ceil(whole.div_ceil((most / chunk).max(1)).max(1)).saturating_mul(chunk).max(1);
        let (portions, rounds) = (m.div_ceil(per).max(1), m.div_ceil(per).div_ceil(lanes));
        // Not where a lane would wait for the last portion longer than for a wave of tiles.
        let even = rounds.saturating_mul(per).saturating_mul(lanes).saturating_mul(8) <= m.saturating_mul(9);
        if even && m / LEAST >= lanes {
            // Half of the last round, where halves are whole chunks and no less than a lane's worth.
            let last = portions - rounds.saturating_sub(1) * lanes;
            let halves = lanes > 1 && rounds > 1 && m % per == 0 && per % (2 * chunk) == 0 && per / 2 >= LEAST;
            let halved = if halves { last.div_ceil(2) } else { 0 };
            return Self { portions: portions + halved, per, halved, within: 1 };
        }
        Self { portions: 1, per: m.max(1), halved: 0, within: lanes }
    }
    /// The portions of some vectors of a block of `all`, of so many numbers a trajectory.
    pub fn portions_of(&self, vectors: Range<usize>, all: usize, numbers: usize) -> Portions {
        Portions { vectors, per: self.per, halved: self.halved, all, numbers }
    }
    /// The numbers that a lane, or lanes that share tiles, need where each tile needs `work_len(vectors)`.
    pub fn work_len<T: Scalar>(&self, lin: &Linearization<'_, T>, work_len: impl Fn(usize) -> usize) -> usize {
        wave_len(lin, self.within).saturating_mul(work_len(self.per))
    }
}

/// Calls `task(lanes that share its tiles, its vectors, its work, its part of y)` for every portion of the vectors `share` of the block y of `all` vectors.
pub(super) fn each_portion<T: Scalar, M: Tasks>(
    lin: &Linearization<'_, T>,
    machine: &M,
    (share, all): (Range<usize>, usize),
    (work, work_len): (&mut [T], usize),
    y: &mut [T],
    task: impl Fn(usize, Range<usize>, &mut [T], Slab<'_, '_, T>) + Sync,
) {
    let lanes = Lanes::of(share.len(), machine.lanes(), lin.at_once());
    let portions = lanes.portions_of(share, all, lin.shape().per_trajectory());
    match lanes.portions {
        1 => task(lanes.within, portions.portion(0), work, portions.slab(0, y)),
        _ => machine.for_each_portion(&portions, work, work_len, y, |k, work, y| task(1, portions.portion(k), work, y)),
    }
}

/// Tells how many of `m` vectors a lane carries at once if it should not carry more than `most`, and how many lanes share the trajectories, on so many lanes
/// of one of several processes or of one alone: what a good size of tiles depends on.
///
/// ```
/// use kpflow_core::ntk::vectors_at_once;
/// assert_eq!(vectors_at_once(32, 2, true, usize::MAX), (16, 1));
/// assert_eq!(vectors_at_once(32, 2, true, 10), (8, 1));
/// assert_eq!(vectors_at_once(1, 2, true, usize::MAX), (1, 2));
/// ```
pub fn vectors_at_once(m: usize, lanes: usize, alone: bool, most: usize) -> (usize, usize) {
    let shares = if alone { 1 } else { super::side::shares(m) };
    let lanes = Lanes::of(m.div_ceil(shares), lanes, most);
    (lanes.per, lanes.within)
}

/// The tiles of each wave of `lanes` lanes.
pub(super) fn waves<T: Scalar>(lin: &Linearization<'_, T>, lanes: usize) -> impl Iterator<Item = Range<usize>> {
    let (tiles, lanes) = (lin.tiles(), wave_len(lin, lanes));
    (0..tiles.div_ceil(lanes)).map(move |w| w * lanes..((w + 1) * lanes).min(tiles))
}

/// The most tiles that so many lanes work on at a time.
pub(super) fn wave_len<T: Scalar>(lin: &Linearization<'_, T>, lanes: usize) -> usize {
    lanes.min(lin.tiles()).max(1)
}

/// Calls `task(tile, its work, its part of y)` for the tiles of one wave.
pub(super) fn run_wave<T: Scalar, M: Tasks>(
    lin: &Linearization<'_, T>,
    machine: &M,
    wave: &Range<usize>,
    work: &mut [T],
    work_len: usize,
    y: &mut Slab<'_, '_, T>,
    task: impl Fn(usize, &mut [T], Slab<'_, '_, T>) + Sync,
) {
    if wave.is_empty() {
        return;
    }
    match y {
        Slab::Strided { data, stride, start, len } if wave.len() > 1 => {
            let (stride, start, len) = (*stride, *start, *len);
            let trajectories = lin.tile_range(wave.start).start..lin.tile_range(wave.end - 1).end;
            let data = &mut data[trajectories.start * stride..trajectories.end * stride];
            machine.for_each(wave.len(), work, work_len, data, lin.tile() * stride, |i, work, data| {
                task(wave.start + i, work, Slab::Strided { data, stride, start, len });
            });
        }
        Slab::Strided { .. } | Slab::Runs(_) => {
            for (tile, work) in wave.clone().zip(work.chunks_mut(work_len.max(1))) {
                task(tile, work, y.trajectories(lin.tile_range(tile)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lanes;

    #[test]
    fn every_vector_has_its_lane() {
        let cases = [(32, 1), (32, 2), (32, 3), (32, 8), (32, 9), (16, 2), (1, 2), (7, 2), (13, 3), (0, 2)];
        for ((m, lanes), most) in cases.into_iter().flat_map(|case| [1, 4, 7, 8, usize::MAX].map(|most| (case, most))) {
            let all = Lanes::of(m, lanes, most);
            assert!(most < usize::MAX || all.portions * all.within <= lanes.max(1));
            let mut next = 5;
            let portions = all.portions_of(5..5 + m, 40, 3);
            assert_eq!(portions.count().max(1), all.portions);
            for k in 0..all.portions {
                let portion = portions.portion(k);
                assert_eq!(portion.start, next);
                assert!(portion.len() <= all.per && (m == 0 || !portion.is_empty()));
                next = portion.end;
            }
            assert_eq!(next, 5 + m);
        }
        assert_eq!(Lanes::of(32, 2, usize::MAX), Lanes { portions: 2, per: 16, halved: 0, within: 1 });
        assert_eq!(Lanes::of(32, 2, 8), Lanes { portions: 5, per: 8, halved: 1, within: 1 });
        assert_eq!(Lanes::of(32, 3, 4), Lanes { portions: 8, per: 4, halved: 0, within: 1 });
        assert_eq!(Lanes::of(4, 2, usize::MAX), Lanes { portions: 1, per: 4, halved: 0, within: 2 });
    }
}
