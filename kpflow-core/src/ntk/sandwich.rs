//! K and NTK: the Kronecker core between a sweep back and a sweep forward.

use super::coupling::{accumulate, inject, per_trajectory, per_trajectory_len, Wave};
use super::forms::{gram_block, uses};
use super::side::{gram_row, shares, Coupling, Side};
use super::waves::{run_wave, wave_len, waves};
use crate::machine::{Gemm, Machine, MatMut, MatRef};
use crate::model::{Coupled, Linearization, Mode, Sweep, Tile};
use crate::operator::check;
use crate::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};
use core::cell::{Cell, RefCell};
use core::ops::Range;

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
    /// The sites on the Gram side.
    fn grams(&self) -> impl Iterator<Item = Coupled> + '_ {
        let graph = self.lin.graph();
        graph.coupled().filter(|c| self.side.gram(graph, c))
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

    /// The vectors of the largest share.
    fn largest(&self, m: usize) -> usize {
        self.shares(m).map(|share| share.len()).max().unwrap_or(0)
    }

    /// Numbers that all tiles share between the two sweeps: δW of the parts on the weight side, rows of the others.
    fn shared_len(&self, m: usize) -> usize {
        if self.coupling == Coupling::PerTrajectory {
            return 0;
        }
        let rows = self.shares(m).map(|share| self.rows_of_share(share.len())).fold(0, usize::saturating_add);
        self.side.weights(self.lin.graph(), m).saturating_add(rows)
    }

    /// Rows of this process's trajectories, and where there are others, of all.
    fn rows_of_share(&self, m: usize) -> usize {
        let others = if self.alone { 0 } else { self.rows_len(m, self.total) };
        self.rows_len(m, self.lin.shape().trajectories).saturating_add(others)
    }

    /// Rows (u, s) of so many trajectories at the sites on the Gram side.
    fn rows_len(&self, m: usize, trajectories: usize) -> usize {
        let rows = |c: Coupled| trajectories.saturating_mul(gram_row(&c, m)).saturating_mul(c.positions);
        self.grams().map(rows).fold(0, usize::saturating_add)
    }

    fn scratch_len(&self, m: usize) -> usize {
        let waves = wave_len(self.lin, self.machine).saturating_mul(self.work_len(self.largest(m)));
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
        let work = &mut scratch[..wave_len(self.lin, self.machine) * self.work_len(self.largest(m))];
        match self.coupling {
            Coupling::PerTrajectory => self.apply_per_trajectory(x, y, work),
            Coupling::All => self.apply_all(x, y, shared, work)?,
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

    /// Two passes: back, then forward. Between them stand δW of the parts on the weight side, summed over tiles and processes, and the rows of all
    /// trajectories of the others, whose G is formed a few columns at a time.
    ///
    /// Of several processes the vectors go through in shares: the sum of one goes on while the next is swept back, or the one before forward.
    fn apply_all(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, shared: &mut [T], work: &mut [T]) -> Result<(), Error> {
        let m = x.vectors();
        let (dw, rows) = shared.split_at_mut(self.side.weights(self.lin.graph(), m));
        let share = |i: usize| self.shares(m).nth(i).unwrap_or(0..0);
        let place = |i: usize| self.shares(m).take(i).map(|share| self.rows_of_share(share.len())).sum::<usize>();
        // Both ways use all of them, one after the other.
        let (rows, work, y) = (RefCell::new(rows), RefCell::new(work), RefCell::new(y.into_data()));
        let failed = Cell::new(Ok(()));
        let back = |i: usize, dw: &mut [T]| {
            let (share, rows, mut work) = (share(i), &mut *rows.borrow_mut(), work.borrow_mut());
            let rows = &mut rows[place(i)..][..self.rows_of_share(share.len())];
            if let Err(e) = self.sweep_back(x, share, dw, rows, &mut work) {
                failed.set(Err(e));
            }
        };
        let forward = |i: usize, dw: &[T]| {
            let (share, rows) = (share(i), rows.borrow());
            let rows = &rows[place(i)..][..self.rows_of_share(share.len())];
            self.sweep_forward(&mut y.borrow_mut(), (m, share), dw, rows, &mut work.borrow_mut());
        };
        let length = |i: usize| self.side.weights(self.lin.graph(), share(i).len());
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
    fn sweep_back(
        &self,
        x: BlockRef<'_, T>,
        share: Range<usize>,
        dw: &mut [T],
        rows: &mut [T],
        work: &mut [T],
    ) -> Result<(), Error> {
        let (m, flow, lin, machine) = (share.len(), self.mode.flow(), self.lin, self.machine);
        let work_len = self.work_len(m);
        let (local, all) = rows.split_at_mut(self.rows_len(m, lin.shape().trajectories));
        dw.fill(T::zero());
        for wave in waves(lin, machine) {
            run_wave(lin, machine, &wave, work, work_len, &mut [], 0, |i, work, _| {
                let sweep = Sweep::new(lin.view(i), self.mode, m, machine).within(share.start, x.vectors());
                sweep.cotangent(x.tile(lin.tile_range(i)).data(), &mut [], work);
            });
            wave.clone().enumerate().for_each(|(k, i)| self.collect(i, m, &work[k * work_len..], local));
            accumulate(lin, machine, self.side, &Wave { tiles: wave, work, work_len, flow, vectors: m }, dw);
        }
        // Site after site, so that all trajectories' rows of a site are one matrix.
        let (mut from, mut to) = (0, 0);
        for c in self.grams().filter(|_| !self.alone) {
            let row = gram_row(&c, m) * c.positions;
            let (local_len, all_len) = (row * lin.shape().trajectories, row * self.total);
            machine.gather(&local[from..from + local_len], &mut all[to..to + all_len])?;
            from += local_len;
            to += all_len;
        }
        Ok(())
    }

    /// Writes a share of the m vectors of the product.
    fn sweep_forward(
        &self,
        y: &mut [T],
        (all_vectors, share): (usize, Range<usize>),
        dw: &[T],
        rows: &[T],
        work: &mut [T],
    ) {
        let (m, flow, lin, machine) = (share.len(), self.mode.flow(), self.lin, self.machine);
        let (work_len, per_trajectory) = (self.work_len(m), self.per_trajectory(all_vectors));
        let (local, all) = rows.split_at(self.rows_len(m, lin.shape().trajectories));
        let all = if self.alone { local } else { all };
        for wave in waves(lin, machine) {
            run_wave(lin, machine, &wave, work, work_len, y, per_trajectory, |i, work, y| {
                let tile = lin.view(i);
                let (work, gram) = work.split_at_mut(Sweep::<T, M>::work_len(lin.graph(), flow, m, lin.tile()));
                self.grams().for_each(|c| work[tile.span(c.output, flow, m)].fill(T::zero()));
                inject(&tile, flow, self.side, m, dw, work, machine);
                self.inject_gram_side(&tile, m, all, work, gram);
                Sweep::new(tile, self.mode, m, machine).within(share.start, all_vectors).tangent(&[], y, work);
            });
        }
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

macro_rules! sandwich {
    ($(#[$doc:meta])* $name:ident, $mode:expr, $symbol:literal) => {
        $(#[$doc])*
        pub struct $name<'a, T, M>(Sandwich<'a, T, M>);

        impl<'a, T: Scalar, M: Machine<T>> $name<'a, T, M> {
            /// Makes the operator on the [cheaper](Side::cheaper) side of each weight, all trajectories sharing their weights. Collective.
            pub fn new(lin: &'a Linearization<'a, T>, machine: &'a M) -> Self {
                let total = machine.sum_count(lin.shape().trajectories);
                Self::with(lin, machine, Coupling::All, Side::cheaper(total, machine.sum_count(1)))
            }
            /// Makes the operator, or its block diagonal over trajectories, on the side asked for. Collective.
            ///
            /// [`Coupling::PerTrajectory`] takes the cheaper side for each weight by itself, whatever `side` is.
            pub fn with(lin: &'a Linearization<'a, T>, machine: &'a M, coupling: Coupling, side: Side) -> Self {
                let total = machine.sum_count(lin.shape().trajectories);
                let alone = machine.sum_count(1) == 1;
                let side = side.resolved(lin.graph());
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
