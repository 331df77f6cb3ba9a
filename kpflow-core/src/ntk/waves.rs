//! Going through the tiles of a linearisation, as many at a time as the machine has lanes.

use crate::machine::Tasks;
use crate::model::Linearization;
use crate::Scalar;
use core::ops::Range;

/// The tiles of each wave.
pub(super) fn waves<T: Scalar, M: Tasks>(
    lin: &Linearization<'_, T>,
    machine: &M,
) -> impl Iterator<Item = Range<usize>> {
    let (tiles, lanes) = (lin.tiles(), wave_len(lin, machine));
    (0..tiles.div_ceil(lanes)).map(move |w| w * lanes..((w + 1) * lanes).min(tiles))
}

/// The most tiles that are worked on at a time.
pub(super) fn wave_len<T: Scalar, M: Tasks>(lin: &Linearization<'_, T>, machine: &M) -> usize {
    machine.lanes().min(lin.tiles()).max(1)
}

/// Calls `task(tile, its work, its part of y)` for the tiles of one wave. `per_trajectory` numbers of `y` belong to a trajectory.
pub(super) fn run_wave<T: Scalar, M: Tasks>(
    lin: &Linearization<'_, T>,
    machine: &M,
    wave: &Range<usize>,
    work: &mut [T],
    work_len: usize,
    y: &mut [T],
    per_trajectory: usize,
    task: impl Fn(usize, &mut [T], &mut [T]) + Sync,
) {
    if wave.is_empty() {
        return;
    }
    let first = lin.tile_range(wave.start).start * per_trajectory;
    let end = lin.tile_range(wave.end - 1).end * per_trajectory;
    let y = &mut y[first..end];
    machine.for_each(wave.len(), work, work_len, y, lin.tile() * per_trajectory, |i, w, y| task(wave.start + i, w, y));
}
