//! What K and NTK are both: the Kronecker core between a sweep back and a sweep forward.

use super::coupling::{accumulate, inject, per_trajectory, per_trajectory_len, Wave};
use super::forms::{chunk_len, gram_block, uses};
use super::side::{gram_row, shares, Coupling, Side};
use super::waves::{each_portion, run_wave, waves, Lanes};
use crate::machine::{Gemm, Machine, MatMut, MatRef, Slab};
use crate::model::{Coupled, Linearization, Mode, Sweep, Tile, Weight};
use crate::operator::{check, Properties};
use crate::{BlockMut, BlockRef, Error, Scalar, Shape};
use core::cell::{Cell, RefCell};
use core::ops::Range;

/// The most columns of G that are formed at a time on the Gram side of the coupling of all trajectories.
const GRAM_COLUMNS: usize = 256;

/// A (Σ_sites G ⊗ I) Aᵀ, where A is the immediate or the total map from site outputs to the state.
pub(super) struct Sandwich<'a, T, M> {
    lin: &'a Linearization<'a, T>,
    machine: &'a M,
    mode: Mode,
    pub coupling: Coupling,
    side: Side,
    /// Trajectories of all processes together.
    total: usize,
    /// Whether there is no other process.
    alone: bool,
}

impl<'a, T: Scalar, M: Machine<T>> Sandwich<'a, T, M> {
    pub fn new(lin: &'a Linearization<'a, T>, machine: &'a M, mode: Mode, coupling: Coupling, side: Side) -> Self {
        let total = machine.sum_count(lin.shape().trajectories);
        let alone = machine.sum_count(1) == 1;
        Self { lin, machine, mode, coupling, side: side.resolved(lin.graph()), total, alone }
    }

    pub fn shape(&self) -> Shape {
        self.lin.shape()
    }

    /// The sites on the Gram side.
    fn grams(&self) -> impl Iterator<Item = Coupled> + '_ {
        let graph = self.lin.graph();
        graph.coupled().filter(|c| self.side.gram(c))
    }

    fn work_len(&self, m: usize) -> usize {
        let graph = self.lin.graph();
        let sweep = Sweep::<T, M>::work_len(graph, self.mode.flow(), m, self.lin.tile());
        sweep.saturating_add(match self.coupling {
            Coupling::PerTrajectory => per_trajectory_len(graph, m),
            Coupling::All => {
                let positions = self.grams().map(|c| c.positions).max().unwrap_or(0);
                let columns = positions.saturating_mul(self.total).min(GRAM_COLUMNS);
                positions.saturating_mul(self.lin.tile()).saturating_mul(columns)
            }
        })
    }

    /// The shares of m vectors that go through one after the other.
    fn shares(&self, m: usize) -> impl Iterator<Item = Range<usize>> {
        let most = if self.alone || self.coupling == Coupling::PerTrajectory { 1 } else { shares(m) };
        let per = m.div_ceil(most).max(1);
        (0..m).step_by(per).map(move |first| first..(first + per).min(m))
    }

    /// How lanes share some vectors.
    fn lanes(&self, m: usize) -> Lanes {
        Lanes::of(m, self.machine.lanes(), self.lin.at_once())
    }

    /// Numbers that a lane needs, or the lanes that share tiles: for its tiles, and from the sweep back to the sweep forward for rows on the Gram side.
    fn lane_len(&self, m: usize) -> usize {
        self.rows_place(m, self.shares(m).count()).saturating_add(self.tiles_len(m))
    }

    /// The first part of them: for transposed weights and tiles.
    fn tiles_len(&self, m: usize) -> usize {
        let of_share = |share: Range<usize>| self.lanes(share.len()).work_len(self.lin, |m| self.work_len(m));
        self.shares(m).map(of_share).max().unwrap_or(0).saturating_add(self.transposed_len())
    }

    fn transposed_len(&self) -> usize {
        self.lin.graph().transposed_len(self.mode.flow(), self.machine)
    }

    /// Transposes weights for the sweeps forward, and gives them and the rest of the work memory.
    fn transposed<'w>(&self, work: &'w mut [T]) -> (&'w [T], &'w mut [T]) {
        let (transposed, work) = work.split_at_mut(self.transposed_len());
        self.lin.graph().transpose(self.mode.flow(), self.machine, transposed);
        (transposed, work)
    }

    /// Where in the second part a portion's rows of a share begin.
    fn rows_place(&self, m: usize, share: usize) -> usize {
        let rows = |share: Range<usize>| self.rows_of_portion(self.lanes(share.len()).per);
        self.shares(m).take(share).map(rows).fold(0, usize::saturating_add)
    }

    /// Rows of this process's trajectories, and where there are others, of all.
    fn rows_of_portion(&self, m: usize) -> usize {
        if self.coupling == Coupling::PerTrajectory {
            return 0;
        }
        let others = if self.alone { 0 } else { self.rows_len(m, self.total) };
        self.rows_len(m, self.lin.shape().trajectories).saturating_add(others)
    }

    /// Rows (u, s) of so many trajectories at the sites on the Gram side.
    fn rows_len(&self, m: usize, trajectories: usize) -> usize {
        let rows = |c: Coupled| trajectories.saturating_mul(gram_row(&c, m)).saturating_mul(c.positions);
        self.grams().map(rows).fold(0, usize::saturating_add)
    }

    /// Numbers of δW of the parts on the weight side.
    fn dw_len(&self, m: usize) -> usize {
        match self.coupling {
            Coupling::PerTrajectory => 0,
            Coupling::All => self.side.weights(self.lin.graph(), m),
        }
    }

    pub fn scratch_len(&self, m: usize) -> usize {
        let portions = self.shares(m).map(|share| self.lanes(share.len()).portions).max().unwrap_or(0);
        self.dw_len(m).saturating_add(portions.saturating_mul(self.lane_len(m)))
    }

    /// What the weights can move where they have sites in so many trajectories: of each weight no more than it has numbers, and no more than its sites have
    /// outputs.
    fn rank_of_weights(&self, trajectories: usize) -> usize {
        let graph = self.lin.graph();
        let of = |(w, weight): (usize, &Weight<'_, T>)| {
            let outputs = graph.sites().filter(|site| site.weight.0 == w);
            let outputs = outputs.map(|site| site.positions.saturating_mul(graph.variables()[site.output].width));
            let outputs = outputs.fold(0, usize::saturating_add).saturating_mul(trajectories);
            weight.parameters().min(outputs)
        };
        graph.weights().iter().enumerate().map(of).fold(0, usize::saturating_add)
    }

    /// It is a Gram operator, of a Jacobian of n_θ columns, or of one a trajectory.
    pub fn properties(&self) -> Properties {
        let (block_diagonal, columns) = match self.coupling {
            Coupling::All => (false, self.rank_of_weights(self.total)),
            Coupling::PerTrajectory => (true, self.rank_of_weights(1).saturating_mul(self.total)),
        };
        let states = self.lin.shape().per_trajectory().saturating_mul(self.total);
        Properties { block_diagonal, rank_bound: columns.min(states), ..Properties::UNKNOWN }.semidefinite()
    }

    pub fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let m = x.vectors();
        check(self.lin.shape(), self.lin.shape(), self.scratch_len(m), &x, &y, scratch)?;
        self.lin.require_values()?;
        if m == 0 {
            return Ok(());
        }
        let (dw, work) = scratch.split_at_mut(self.dw_len(m));
        match self.coupling {
            Coupling::PerTrajectory => self.apply_per_trajectory(x, y, work),
            Coupling::All => self.apply_all(x, y, dw, work)?,
        }
        Ok(())
    }

    /// One pass: nothing leaves a tile.
    fn apply_per_trajectory(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, work: &mut [T]) {
        let (all, flow, lin, machine) = (x.vectors(), self.mode.flow(), self.lin, self.machine);
        let work = (work, self.lane_len(all));
        each_portion(lin, machine, (0..all, all), work, y.into_data(), |lanes, vectors, work, mut y| {
            let m = vectors.len();
            let sweep_len = Sweep::<T, M>::work_len(lin.graph(), flow, m, lin.tile());
            let (transposed, work) = self.transposed(work);
            for wave in waves(lin, lanes) {
                run_wave(lin, machine, &wave, work, self.work_len(m), &mut y, |i, work, y| {
                    let tile = lin.view(i);
                    let (work, scratch) = work.split_at_mut(sweep_len);
                    let sweep = Sweep::new(tile, self.mode, m, machine).within(vectors.start, all);
                    sweep.cotangent(x.tile(lin.tile_range(i)).data(), Slab::nothing(), work);
                    per_trajectory(&tile, flow, m, work, scratch, machine);
                    sweep.with_transposed(transposed).tangent(&[], y, work);
                });
            }
        });
    }

    /// Two passes: back, then forward. Between them stand δW of the parts on the weight side, summed over tiles and processes, and the rows of all
    /// trajectories of the others, whose G is formed a few columns at a time.
    ///
    /// Of several processes the vectors go through in shares: the sum of one goes on while the next is swept back, or the one before forward.
    fn apply_all(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, dw: &mut [T], work: &mut [T]) -> Result<(), Error> {
        let m = x.vectors();
        let share = |i: usize| self.shares(m).nth(i).unwrap_or(0..0);
        // Both ways use all of them, one after the other.
        let (work, y) = (RefCell::new(work), RefCell::new(y.into_data()));
        let failed = Cell::new(Ok(()));
        let back = |i: usize, dw: &mut [T]| {
            if let Err(e) = self.share_back(x, (i, share(i)), dw, &mut work.borrow_mut()) {
                failed.set(Err(e));
            }
        };
        let forward = |i: usize, dw: &[T]| {
            self.share_forward((m, i, share(i)), dw, &mut work.borrow_mut(), &mut y.borrow_mut());
        };
        let length = |i: usize| self.dw_len(share(i).len());
        match self.alone {
            true => {
                back(0, dw);
                forward(0, dw);
            }
            false => self.machine.sum_pieces(dw, self.shares(m).count(), length, back, forward),
        }
        failed.into_inner()
    }

    /// Makes δW of a share of the vectors, and the rows of all trajectories on the Gram side.
    fn share_back(
        &self,
        x: BlockRef<'_, T>,
        (i, share): (usize, Range<usize>),
        dw: &mut [T],
        work: &mut [T],
    ) -> Result<(), Error> {
        let (m, lanes, trajectories) = (x.vectors(), self.lanes(share.len()), self.lin.shape().trajectories);
        let (lane_len, rows_at) = (self.lane_len(m), self.tiles_len(m) + self.rows_place(m, i));
        let chunk = chunk_len(share.len());
        let count = share.len();
        let portions = lanes.portions_of(share, m, self.lin.shape().per_trajectory());
        let task = |k: usize, work: &mut [T], dw: &mut [T]| {
            let (work, rows) = work.split_at_mut(rows_at);
            let local = &mut rows[..self.rows_len(portions.portion(k).len(), trajectories)];
            self.sweep_back(x, portions.portion(k), (chunk, lanes.within), dw, local, work);
        };
        match lanes.portions {
            1 => task(0, work, dw),
            _ => {
                // δW of a portion's vectors is one run of all that there is.
                let runs = lanes.portions_of(0..count, count, self.dw_len(1));
                self.machine.for_each_portion(&runs, work, lane_len, dw, |k, work, mut dw| task(k, work, dw.run(0)));
            }
        }
        if self.alone || self.grams().next().is_none() {
            return Ok(());
        }
        for (k, work) in work.chunks_mut(lane_len.max(1)).take(lanes.portions).enumerate() {
            let count = portions.portion(k).len();
            let (local, all) = work[rows_at..].split_at_mut(self.rows_len(count, trajectories));
            // Site after site, so that all trajectories' rows of a site are one matrix.
            let (mut from, mut to) = (0, 0);
            for c in self.grams() {
                let row = gram_row(&c, count) * c.positions;
                let (local_len, all_len) = (row * trajectories, row * self.total);
                self.machine.gather(&local[from..from + local_len], &mut all[to..to + all_len])?;
                from += local_len;
                to += all_len;
            }
        }
        Ok(())
    }

    /// Makes δW of some vectors in chunks of `chunk`, and this process's rows on the Gram side, on so many lanes.
    fn sweep_back(
        &self,
        x: BlockRef<'_, T>,
        vectors: Range<usize>,
        (chunk, lanes): (usize, usize),
        dw: &mut [T],
        local: &mut [T],
        work: &mut [T],
    ) {
        let (m, flow, lin, machine) = (vectors.len(), self.mode.flow(), self.lin, self.machine);
        let work_len = self.work_len(m);
        dw.fill(T::zero());
        for tiles in waves(lin, lanes) {
            run_wave(lin, machine, &tiles, work, work_len, &mut Slab::nothing(), |i, work, y| {
                let sweep = Sweep::new(lin.view(i), self.mode, m, machine).within(vectors.start, x.vectors());
                sweep.cotangent(x.tile(lin.tile_range(i)).data(), y, work);
            });
            tiles.clone().enumerate().for_each(|(k, i)| self.collect(i, m, &work[k * work_len..], local));
            let wave = Wave { tiles, work, work_len, flow, vectors: (m, chunk), lanes };
            accumulate(lin, machine, self.side, &wave, dw);
        }
    }

    /// Writes a share of the vectors of the product.
    fn share_forward(&self, (all, i, share): (usize, usize, Range<usize>), dw: &[T], work: &mut [T], y: &mut [T]) {
        let (flow, lin, machine) = (self.mode.flow(), self.lin, self.machine);
        let rows_at = self.tiles_len(all) + self.rows_place(all, i);
        let (first, chunk) = (share.start, chunk_len(share.len()));
        let work = (work, self.lane_len(all));
        each_portion(lin, machine, (share, all), work, y, |lanes, vectors, work, mut y| {
            let m = vectors.len();
            let work_len = self.work_len(m);
            let (work, rows) = work.split_at_mut(rows_at);
            let (local, gathered) = rows.split_at(self.rows_len(m, lin.shape().trajectories));
            let rows = if self.alone { local } else { gathered };
            let (transposed, work) = self.transposed(work);
            let dw = &dw[self.dw_len(vectors.start - first)..][..self.dw_len(m)];
            for wave in waves(lin, lanes) {
                run_wave(lin, machine, &wave, work, work_len, &mut y, |i, work, y| {
                    let tile = lin.view(i);
                    let (work, gram) = work.split_at_mut(Sweep::<T, M>::work_len(lin.graph(), flow, m, lin.tile()));
                    self.grams().for_each(|c| work[tile.span(c.output, flow, m)].fill(T::zero()));
                    inject(&tile, flow, self.side, (m, chunk), dw, work, machine);
                    self.inject_gram_side(&tile, m, rows, work, gram);
                    Sweep::new(tile, self.mode, m, machine).with_transposed(transposed).tangent(&[], y, work);
                });
            }
        });
    }

    /// Adds G S of the sites on the Gram side of a tile, from the rows of all trajectories.
    fn inject_gram_side(&self, tile: &Tile<'_, T>, m: usize, all: &[T], work: &mut [T], gram: &mut [T]) {
        let graph = self.lin.graph();
        self.each_gathered(m, all, |from, u, old| {
            for first in (0..u.rows).step_by(GRAM_COLUMNS) {
                let count = GRAM_COLUMNS.min(u.rows - first);
                let v = MatRef::of(&u.data[first * u.ld..], count, u.cols, u.ld);
                let old = MatRef::of(&old.data[first * old.ld..], count, old.cols, old.ld);
                for to in uses(graph, from) {
                    let u = tile.reads(to.input);
                    let g = gram_block(&to, u, v, gram, self.machine);
                    let s = &mut work[tile.span(to.output, self.mode.flow(), m)];
                    let s = MatMut::of(s, u.rows, old.cols, old.cols);
                    self.machine.gemm(T::one(), Gemm::of(g, old, s), T::one());
                }
            }
        });
    }

    /// Calls `f(site, U, S)` for the rows of every site that were gathered.
    fn each_gathered(&self, m: usize, all: &[T], mut f: impl FnMut(&Coupled, MatRef<'_, T>, MatRef<'_, T>)) {
        let mut at = 0;
        for c in self.grams() {
            let (row, rows, n) = (gram_row(&c, m), c.positions * self.total, c.input.width);
            let block = &all[at..at + row * rows];
            if rows > 0 {
                f(&c, MatRef::of(block, rows, n, row), MatRef::of(&block[n..], rows, row - n, row));
            }
            at += row * rows;
        }
    }

    /// Copies a tile's rows (u, s) of every site on the Gram side to where all trajectories' rows are collected.
    fn collect(&self, tile: usize, m: usize, work: &[T], local: &mut [T]) {
        let (view, range) = (self.lin.view(tile), self.lin.tile_range(tile));
        let mut at = 0;
        for c in self.grams() {
            let (row, columns) = (gram_row(&c, m), m * c.width);
            let s = &work[view.span(c.output, self.mode.flow(), m)];
            for p in 0..c.positions {
                for b in 0..view.count() {
                    let r = p * view.count() + b;
                    let out = &mut local[at + (range.start * c.positions + r) * row..][..row];
                    let u = view.row(c.input, p, b);
                    out[..u.len()].copy_from_slice(u);
                    out[u.len()..].copy_from_slice(&s[r * columns..][..columns]);
                }
            }
            at += self.lin.shape().trajectories * c.positions * row;
        }
    }
}
