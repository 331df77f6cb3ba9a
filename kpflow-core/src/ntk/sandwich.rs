//! K and NTK: the Kronecker core between a sweep back and a sweep forward.

use super::coupling::{accumulate, accumulate_piece, inject, inject_piece, pieces, summed, Wave, PIECE};
use super::coupling::{gram_row, per_trajectory, per_trajectory_len, Coupling, Side};
use super::forms::{gram_block, has_gram, pull, push, uses};
use super::waves::{run_wave, wave_len, waves};
use crate::machine::{Gemm, Machine, MatMut, MatRef};
use crate::model::{Coupled, Linearization, Mode, Sweep};
use crate::operator::check;
use crate::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};

/// The most columns of G that are formed at a time on the Gram side of the coupling of all trajectories.
const GRAM_COLUMNS: usize = 256;

/// A (Σ_sites G ⊗ I) Aᵀ, where A is the immediate or the total map from site outputs to the state.
struct Sandwich<'a, T, M> {
    lin: &'a Linearization<'a, T>,
    machine: &'a M,
    mode: Mode,
    coupling: Coupling,
    side: Side,
    /// Trajectories of all processes together.
    total: usize,
    /// Whether there is no other process.
    alone: bool,
}

impl<T: Scalar, M: Machine<T>> Sandwich<'_, T, M> {
    fn work_len(&self, m: usize) -> usize {
        let graph = self.lin.graph();
        let sweep = Sweep::<T, M>::work_len(graph, self.mode.flow(), m, self.lin.tile());
        sweep.saturating_add(match (self.coupling, self.side) {
            (Coupling::PerTrajectory, _) => per_trajectory_len(graph, m),
            (Coupling::All, Side::Weight) => 0,
            (Coupling::All, Side::Gram) => {
                let positions = graph.coupled().map(|c| c.positions).max().unwrap_or(0);
                let columns = positions.saturating_mul(self.total).min(GRAM_COLUMNS);
                positions.saturating_mul(self.lin.tile()).saturating_mul(columns)
            }
        })
    }

    /// Numbers that all tiles share between the two sweeps.
    fn shared_len(&self, m: usize) -> usize {
        let graph = self.lin.graph();
        match (self.coupling, self.side) {
            (Coupling::PerTrajectory, _) => 0,
            (Coupling::All, Side::Weight) => m.saturating_mul(graph.coupled_len()),
            (Coupling::All, Side::Gram) => {
                let (local, total) = (self.lin.shape().trajectories, self.total);
                let copies = if self.alone { local } else { local.saturating_add(total) };
                let rows = |c: Coupled| copies.saturating_mul(gram_row(&c, m)).saturating_mul(c.positions);
                graph.coupled().map(rows).fold(self.small_weights(m), usize::saturating_add)
            }
        }
    }

    /// δW of the parts of θ that have no Gram side.
    fn small_weights(&self, m: usize) -> usize {
        let graph = self.lin.graph();
        let small = graph.parts().filter(|c| !has_gram(graph, c)).map(|c| c.len()).sum();
        m.saturating_mul(small)
    }

    fn scratch_len(&self, m: usize) -> usize {
        let waves = wave_len(self.lin, self.machine).saturating_mul(self.work_len(m));
        self.shared_len(m).saturating_add(waves)
    }

    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let m = x.vectors();
        check(self.lin.shape(), self.lin.shape(), self.scratch_len(m), &x, &y, scratch)?;
        self.lin.require_values()?;
        if m == 0 {
            return Ok(());
        }
        let (shared, scratch) = scratch.split_at_mut(self.shared_len(m));
        let work = &mut scratch[..wave_len(self.lin, self.machine) * self.work_len(m)];
        match (self.coupling, self.side) {
            (Coupling::PerTrajectory, _) => self.apply_per_trajectory(x, y, work),
            (Coupling::All, Side::Weight) => self.apply_weight_side(x, y, shared, work),
            (Coupling::All, Side::Gram) => self.apply_gram_side(x, y, shared, work)?,
        }
        Ok(())
    }

    fn per_trajectory(&self, m: usize) -> usize {
        m * self.lin.shape().per_trajectory()
    }

    /// One pass: nothing leaves a tile.
    fn apply_per_trajectory(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, work: &mut [T]) {
        let (m, flow) = (x.vectors(), self.mode.flow());
        let y = y.into_data();
        let sweep_len = Sweep::<T, M>::work_len(self.lin.graph(), flow, m, self.lin.tile());
        for wave in waves(self.lin, self.machine) {
            run_wave(self.lin, self.machine, &wave, work, self.work_len(m), y, self.per_trajectory(m), |i, work, y| {
                let tile = self.lin.view(i);
                let (work, scratch) = work.split_at_mut(sweep_len);
                let sweep = Sweep::new(tile, self.mode, m, self.machine);
                let x = x.tile(self.lin.tile_range(i)).data();
                sweep.cotangent(x, &mut [], work);
                per_trajectory(&tile, flow, m, work, scratch, self.machine);
                sweep.tangent(x, y, work);
            });
        }
    }

    /// Two passes with only δW between them: back, sum δW over tiles and processes, forward.
    ///
    /// Of several processes the sum begins piece by piece as the last tiles add to δW, and the first tiles of the way forward take what is there.
    fn apply_weight_side(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, dw: &mut [T], work: &mut [T]) {
        let (m, work_len, lin, machine) = (x.vectors(), self.work_len(x.vectors()), self.lin, self.machine);
        dw.fill(T::zero());
        if self.alone {
            pull_back(lin, machine, self.mode, x, dw, work, work_len);
            return push_forward(lin, machine, self.mode, m, dw, y, work, work_len, false);
        }
        let (graph, flow, tiles) = (lin.graph(), self.mode.flow(), lin.tiles());
        let lanes = wave_len(lin, machine);
        let (first, last) = (0..lanes.min(tiles), tiles.saturating_sub(1) / lanes * lanes..tiles);
        pull_back_to(lin, machine, self.mode, x, dw, work, work_len, last.start);
        run_wave(lin, machine, &last, work, work_len, &mut [], 0, |i, work, _| {
            let sweep = Sweep::new(lin.view(i), self.mode, m, machine);
            sweep.cotangent(x.tile(lin.tile_range(i)).data(), &mut [], work);
        });
        // A site that adds to another's output has to come after it.
        let early = !summed(graph);
        let piece = |i: usize| pieces(graph, m, PIECE).nth(i);
        // Both use the work memory, one after the other.
        let work = core::cell::RefCell::new(work);
        let make = |i: usize, dw: &mut [T]| {
            let (Some(piece), work) = (piece(i), work.borrow()) else { return };
            let wave = Wave { tiles: last.clone(), work: &work, work_len, flow, vectors: m };
            accumulate_piece(lin, machine, &wave, &piece, dw);
        };
        let take = |i: usize, dw: &[T]| {
            let Some(piece) = piece(i).filter(|_| early) else { return };
            run_wave(lin, machine, &first, &mut work.borrow_mut(), work_len, &mut [], 0, |i, work, _| {
                inject_piece(&lin.view(i), flow, m, &piece, dw, work, machine);
            });
        };
        let length = |i: usize| piece(i).map_or(0, |p| p.len());
        machine.sum_pieces(dw, pieces(graph, m, PIECE).count(), length, make, take);
        push_forward(lin, machine, self.mode, m, dw, y, work.into_inner(), work_len, early);
    }

    /// Two passes with all S between them; G is formed a few columns at a time.
    fn apply_gram_side(
        &self,
        x: BlockRef<'_, T>,
        y: BlockMut<'_, T>,
        shared: &mut [T],
        work: &mut [T],
    ) -> Result<(), Error> {
        let (m, flow, graph) = (x.vectors(), self.mode.flow(), self.lin.graph());
        let work_len = self.work_len(m);
        let local_len = graph.coupled().map(|c| self.lin.shape().trajectories * gram_row(&c, m) * c.positions).sum();
        let (local, rest) = shared.split_at_mut(local_len);
        let (all, small) = rest.split_at_mut(rest.len() - self.small_weights(m));
        for wave in waves(self.lin, self.machine) {
            run_wave(self.lin, self.machine, &wave, work, work_len, &mut [], 0, |i, work, _| {
                let sweep = Sweep::new(self.lin.view(i), self.mode, m, self.machine);
                sweep.cotangent(x.tile(self.lin.tile_range(i)).data(), &mut [], work);
            });
            for (k, i) in wave.clone().enumerate() {
                self.collect(i, m, &work[k * work_len..], local);
            }
        }
        // Site after site, so that all trajectories' rows of a site are one matrix.
        let (mut from, mut to) = (0, 0);
        for c in graph.coupled().filter(|_| !self.alone) {
            let row = gram_row(&c, m) * c.positions;
            let (local_len, all_len) = (row * self.lin.shape().trajectories, row * self.total);
            self.machine.gather(&local[from..from + local_len], &mut all[to..to + all_len])?;
            from += local_len;
            to += all_len;
        }
        let all = if self.alone { &*local } else { &*all };
        self.pull_small(m, all, small);
        let y = y.into_data();
        for wave in waves(self.lin, self.machine) {
            run_wave(self.lin, self.machine, &wave, work, work_len, y, self.per_trajectory(m), |i, work, y| {
                let tile = self.lin.view(i);
                let sweep_len = Sweep::<T, M>::work_len(graph, flow, m, self.lin.tile());
                let (work, gram) = work.split_at_mut(sweep_len);
                for c in graph.coupled() {
                    work[tile.span(c.output, flow, m)].fill(T::zero());
                }
                self.push_small(i, m, small, work);
                self.each_gathered(m, all, |from, u, old| {
                    if !has_gram(graph, from) {
                        return;
                    }
                    for first in (0..u.rows).step_by(GRAM_COLUMNS) {
                        let count = GRAM_COLUMNS.min(u.rows - first);
                        let v = MatRef::of(&u.data[first * u.ld..], count, u.cols, u.ld);
                        let old = MatRef::of(&old.data[first * old.ld..], count, old.cols, old.ld);
                        for to in uses(graph, from) {
                            let u = tile.reads(to.input);
                            let g = gram_block(&to, u, v, gram, self.machine);
                            let s = &mut work[tile.span(to.output, flow, m)];
                            let s = MatMut::of(s, u.rows, old.cols, old.cols);
                            self.machine.gemm(T::one(), Gemm::of(g, old, s), T::one());
                        }
                    }
                });
                Sweep::new(tile, self.mode, m, self.machine).tangent(&[], y, work);
            });
        }
        Ok(())
    }

    /// Calls `f(site, U, S)` for the rows of every site that have been gathered.
    fn each_gathered(&self, m: usize, all: &[T], mut f: impl FnMut(&Coupled, MatRef<'_, T>, MatRef<'_, T>)) {
        let mut at = 0;
        for c in self.lin.graph().coupled() {
            let (row, rows, n) = (gram_row(&c, m), c.positions * self.total, c.input.width);
            let block = &all[at..at + row * rows];
            if rows > 0 {
                f(&c, MatRef::of(block, rows, n, row), MatRef::of(&block[n..], rows, row - n, row));
            }
            at += row * rows;
        }
    }

    /// δW of the parts of θ that have no Gram side, from the rows of all trajectories.
    fn pull_small(&self, m: usize, all: &[T], small: &mut [T]) {
        let graph = self.lin.graph();
        small.fill(T::zero());
        self.each_gathered(m, all, |c, u, s| {
            let Some(place) = self.small_place(c, m) else { return };
            let dw = &mut small[place..][..m * c.len()];
            pull(c, &graph.weights()[c.weight], (0..m, 0..c.rows + 1), s, u, dw, self.machine);
        });
    }

    /// Writes S of the sites that have no Gram side, from their δW.
    fn push_small(&self, tile: usize, m: usize, small: &[T], work: &mut [T]) {
        let (graph, view) = (self.lin.graph(), self.lin.view(tile));
        for c in graph.coupled() {
            let Some(place) = self.small_place(&c, m) else { continue };
            let (u, columns) = (view.reads(c.input), m * c.width);
            let s = MatMut::of(&mut work[view.span(c.output, self.mode.flow(), m)], u.rows, columns, columns);
            push(&c, &graph.weights()[c.weight], 0..m, u, &small[place..][..m * c.len()], s, self.machine);
        }
    }

    /// Where δW of a part of θ that has no Gram side stands.
    fn small_place(&self, part: &Coupled, m: usize) -> Option<usize> {
        let graph = self.lin.graph();
        if has_gram(graph, part) {
            return None;
        }
        let before = graph.parts().filter(|c| c.place < part.place && !has_gram(graph, c));
        Some(before.map(|c| m * c.len()).sum())
    }

    /// Copies a tile's rows (u, s) of every site to where all trajectories' rows are collected.
    fn collect(&self, tile: usize, m: usize, work: &[T], local: &mut [T]) {
        let (view, range) = (self.lin.view(tile), self.lin.tile_range(tile));
        let mut at = 0;
        for c in self.lin.graph().coupled() {
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

/// Adds Aᵀ x to δW (layout as [`accumulate`]'s): sweeps back, wave after wave, and collects at the sites.
pub(super) fn pull_back<T: Scalar, M: Machine<T>>(
    lin: &Linearization<'_, T>,
    machine: &M,
    mode: Mode,
    x: BlockRef<'_, T>,
    dw: &mut [T],
    work: &mut [T],
    work_len: usize,
) {
    pull_back_to(lin, machine, mode, x, dw, work, work_len, lin.tiles());
}

/// The same of the waves that begin before a tile.
fn pull_back_to<T: Scalar, M: Machine<T>>(
    lin: &Linearization<'_, T>,
    machine: &M,
    mode: Mode,
    x: BlockRef<'_, T>,
    dw: &mut [T],
    work: &mut [T],
    work_len: usize,
    end: usize,
) {
    let m = x.vectors();
    for tiles in waves(lin, machine).filter(|w| w.start < end) {
        run_wave(lin, machine, &tiles, work, work_len, &mut [], 0, |i, work, _| {
            let sweep = Sweep::new(lin.view(i), mode, m, machine);
            sweep.cotangent(x.tile(lin.tile_range(i)).data(), &mut [], work);
        });
        accumulate(lin, machine, &Wave { tiles, work, work_len, flow: mode.flow(), vectors: m }, dw);
    }
}

/// Computes y = A δW: injects at the sites and sweeps forward. What the first wave injects may be there already.
pub(super) fn push_forward<T: Scalar, M: Machine<T>>(
    lin: &Linearization<'_, T>,
    machine: &M,
    mode: Mode,
    m: usize,
    dw: &[T],
    y: BlockMut<'_, T>,
    work: &mut [T],
    work_len: usize,
    injected: bool,
) {
    let y = y.into_data();
    for tiles in waves(lin, machine) {
        run_wave(lin, machine, &tiles, work, work_len, y, m * lin.shape().per_trajectory(), |i, work, y| {
            let tile = lin.view(i);
            if tiles.start > 0 || !injected {
                inject(&tile, mode.flow(), m, dw, work, machine);
            }
            Sweep::new(tile, mode, m, machine).tangent(&[], y, work);
        });
    }
}

macro_rules! sandwich {
    ($(#[$doc:meta])* $name:ident, $mode:expr, $symbol:literal) => {
        $(#[$doc])*
        pub struct $name<'a, T, M>(Sandwich<'a, T, M>);

        impl<'a, T: Scalar, M: Machine<T>> $name<'a, T, M> {
            /// Makes the operator on the [cheaper](Side::cheaper) side, all trajectories sharing their weights. Collective.
            pub fn new(lin: &'a Linearization<'a, T>, machine: &'a M) -> Self {
                let total = machine.sum_count(lin.shape().trajectories);
                Self::with(lin, machine, Coupling::All, Side::cheaper(lin.graph(), total))
            }
            /// Makes the operator, or its block diagonal over trajectories, on the side asked for. Collective.
            ///
            /// [`Coupling::PerTrajectory`] takes the cheaper side for each weight by itself, whatever `side` is.
            pub fn with(lin: &'a Linearization<'a, T>, machine: &'a M, coupling: Coupling, side: Side) -> Self {
                let total = machine.sum_count(lin.shape().trajectories);
                let alone = machine.sum_count(1) == 1;
                Self(Sandwich { lin, machine, mode: $mode, coupling, side, total, alone })
            }
        }

        impl<T, M> core::fmt::Display for $name<'_, T, M> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(match self.0.coupling {
                    Coupling::All => $symbol,
                    Coupling::PerTrajectory => concat!("⊕", $symbol),
                })
            }
        }

        impl<T: Scalar, M: Machine<T>> LinearOperator<T> for $name<'_, T, M> {
            fn domain(&self) -> Shape {
                self.0.lin.shape()
            }
            fn codomain(&self) -> Shape {
                self.0.lin.shape()
            }
            fn scratch_len(&self, vectors: usize) -> usize {
                self.0.scratch_len(vectors)
            }
            fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
                self.0.apply(x, y, scratch)
            }
            fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
                self.0.apply(x, y, scratch)
            }
        }
    };
}

sandwich! {
    /// The parameter operator `K = J Jᵀ = Σ_sites D (G ⊗ I) Dᵀ`: what the weights can move at once.
    ///
    /// **Shapes**: `[B, T, N]` to itself, symmetric, positive semidefinite.
    /// **Cost**: see [`Side`]; no state-to-state sweep. One sum of m·n_θ numbers over processes (weight side).
    ParameterOperator, Mode::Immediate, "K"
}

sandwich! {
    /// The global empirical neural tangent kernel `NTK = P K Pᵀ` on states.
    ///
    /// **Shapes**: `[B, T, N]` to itself, symmetric, positive semidefinite.
    /// **Cost**: one sweep back, the Kronecker core, one sweep forward; one sum of m·n_θ numbers over processes (weight side)
    /// or a gather of the site cotangents (Gram side); nothing for the block diagonal over trajectories.
    Ntk, Mode::Total, "NTK"
}
