//! How many vectors are carried through at once, and how many trajectories a lane works on at a time.

use crate::blas;
use crate::engine::Real;
use kpflow_core::model::{Flow, Graph, Scan};
use kpflow_core::ntk::vectors_at_once;
use std::ops::RangeInclusive;

/// Rows of a product at a step that are worth a trip through the matrix kernel: few where all that a step touches should stay in the
/// second cache, more where the weights are so large that they have to be packed anew for every product.
const ROWS: [(usize, usize); 2] = [(128, 64), (usize::MAX, 160)];
/// Rows of a product at a step, and vectors carried through at once, where products read their factors in place: with few of them all that a lane touches stays
/// in its second cache.
const IN_PLACE: (usize, usize) = (16, 8);
/// Bytes of changes of the weights, of the vectors that are carried through at once, that stay in the second cache; and positions of a tile that are worth
/// a way through all of them where they do not.
const CHANGES: (usize, usize) = (2 << 20, 180);
/// Positions of a product over all positions that are worth one.
const POSITIONS: usize = 128;
/// Bytes of work memory that one trajectory may take for a whole block of vectors, and a tile for one lane.
const WORK_BYTES: usize = 1 << 30;

/// Bytes of work memory of one vector in one trajectory.
fn work<T: Real>(graph: &Graph<'_, T>) -> usize {
    graph.sweep_len(Flow::Total).max(1) * std::mem::size_of::<T>()
}

/// The vectors of a block, where the job leaves it open. It may not depend on the number of ranks or threads: where an estimate stops
/// depends on the block.
pub fn block<T: Real>(graph: &Graph<'_, T>) -> usize {
    let auto = if graph.units() <= 128 { 32 } else { 16 };
    auto.min(WORK_BYTES / work(graph)).max(1)
}

/// How a product is cut: trajectories of a tile, and vectors that a lane carries through all of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// As many as give a product rows enough.
    pub trajectories: usize,
    /// At most; no limit where products are only fast if they are large.
    pub vectors: usize,
}

/// How `block` vectors go through `lanes` lanes of one process, which is `alone` or not: enough rows for the matrix kernel, no more work memory than a lane may
/// have, and no lane idle while another has a tile left.
pub fn tiling<T: Real>(graph: &Graph<'_, T>, block: usize, trajectories: usize, lanes: usize, alone: bool) -> Tiling {
    let longest = graph.variables().iter().map(|v| v.positions).max().unwrap_or(1).max(1);
    let scans = graph.segments().iter().any(|s| s.scan != Scan::Parallel && !s.nodes.is_empty());
    let in_place = scans && graph.weights().iter().all(|w| blas::prefers_plain(w.n_in, w.n_out));
    let most = if in_place { IN_PLACE.1 } else { usize::MAX };
    let (vectors, lanes) = vectors_at_once(block, lanes, alone, most);
    let rows = if in_place && vectors > 1 {
        IN_PLACE.0
    } else {
        ROWS.iter().find(|(units, _)| graph.units() <= *units).map_or(1, |r| r.1)
    };
    let changes = graph.parameters().saturating_mul(vectors * std::mem::size_of::<T>());
    let wanted = match scans {
        false => POSITIONS.div_ceil(longest),
        true if in_place && changes > CHANGES.0 => rows.div_ceil(vectors).max(CHANGES.1.div_ceil(longest)),
        true => rows.div_ceil(vectors),
    };
    let fit = (WORK_BYTES / (work(graph) * vectors).max(1)).clamp(1, trajectories.div_ceil(lanes).max(1));
    let wanted = wanted.min(fit);
    let trajectories = match lanes {
        1 => wanted,
        _ => balanced(wanted.div_ceil(2)..=(2 * wanted).min(fit), wanted, trajectories, lanes),
    };
    Tiling { trajectories, vectors: most }
}

/// The size next to `wanted` with which the lane that works longest works hardly longer than it must.
fn balanced(sizes: RangeInclusive<usize>, wanted: usize, trajectories: usize, lanes: usize) -> usize {
    let longest = |tile: usize| trajectories.div_ceil(tile).div_ceil(lanes) * tile;
    let least = sizes.clone().map(longest).min().unwrap_or(0);
    let good = sizes.filter(|&tile| longest(tile) * 20 <= least * 21);
    good.min_by_key(|tile| tile.abs_diff(wanted)).unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::balanced;

    #[test]
    fn no_lane_waits() {
        assert_eq!(balanced(2..=8, 4, 20, 2), 5);
        assert_eq!(balanced(1..=4, 2, 50, 2), 2);
        assert_eq!(balanced(1..=1, 1, 1, 8), 1);
        assert_eq!(balanced(4..=10, 5, 8, 2), 4);
        assert_eq!(balanced(1..=2, 1, 0, 2), 1);
    }
}
