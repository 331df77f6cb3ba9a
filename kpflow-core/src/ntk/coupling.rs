//! The Kronecker core between the sweeps: from the site outputs' cotangents S to G S, on the weight side or the Gram side.

use super::forms::{gram_block, has_gram, pull, push, sites, sites_of, weight_place, width, Stripe};
use crate::machine::{Kernel, Machine, MatMut, MatRef};
use crate::model::{Flow, Graph, Linearization, Site, Tile, Weight};
use crate::Scalar;
use core::ops::Range;

/// Which of the two equal ways the Kronecker core takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// S → δW = Sᵀ U → U δWᵀ: 4·n_in·n_out flops a position and vector, m·n_θ numbers to sum over trajectories.
    Weight,
    /// S → (U Uᵀ) S: 2·positions·n_out flops a position and vector, nothing of the size of θ. Gains, whose G is not a matrix times I
    /// but diagonal in the unit, go through their few δw all the same.
    Gram,
}

/// Which trajectories share their weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coupling {
    /// All: the operator itself.
    All,
    /// Each only with itself: the block diagonal ⊕_b A_bb, of the same trace and diagonal, without any communication.
    PerTrajectory,
}

/// A wave of tiles after their sweeps back: the work memory of each stands one after the other.
pub(super) struct Wave<'w, T> {
    pub tiles: Range<usize>,
    pub work: &'w [T],
    pub work_len: usize,
    pub flow: Flow,
    pub vectors: usize,
}

/// Adds Sᵀ U of the tiles of a wave to δW, whose layout is, weight after weight, `[vector][n_out][n_in]` and then `[vector][n_out]`.
///
/// The rows of δW are divided among the lanes, so the order of the sum does not depend on how many there are.
pub(super) fn accumulate<T: Scalar, M: Machine<T>>(
    lin: &Linearization<'_, T>,
    machine: &M,
    wave: &Wave<'_, T>,
    dw: &mut [T],
) {
    let (graph, m) = (lin.graph(), wave.vectors);
    for (w, weight) in graph.weights().iter().enumerate().filter(|(_, w)| w.parameters() > 0) {
        let rows = m * weight.n_out;
        let start = m * weight_place(graph, w);
        let dw = &mut dw[start..start + m * weight.parameters()];
        let (matrix, bias) = dw.split_at_mut(m * weight.matrix_parameters());
        let stripe = rows.div_ceil(machine.lanes()).max(1);
        machine.for_each(rows.div_ceil(stripe), matrix, stripe * weight.n_in, bias, stripe, |i, matrix, bias| {
            let rows = i * stripe..(i * stripe + stripe).min(rows);
            let mut stripe = Stripe { rows, matrix, bias };
            for site in sites_of(graph, w) {
                let columns = m * width(graph, &site);
                for (k, tile) in wave.tiles.clone().enumerate() {
                    let view = lin.view(tile);
                    let s = &wave.work[k * wave.work_len..][view.span(site.output, wave.flow, m)];
                    let u = view.reads(site.input);
                    pull(site.form, weight, m, MatRef::new(s, u.rows, columns, columns), u, &mut stripe, machine);
                }
            }
        });
    }
}

/// The δW of weight `w`: its matrix and its bias.
fn pieces<'w, T: Scalar>(graph: &Graph<'_, T>, w: usize, m: usize, dw: &'w [T]) -> (&'w [T], &'w [T]) {
    let weight = &graph.weights()[w];
    let dw = &dw[m * weight_place(graph, w)..][..m * weight.parameters()];
    dw.split_at(m * weight.matrix_parameters())
}

/// Writes S = U δWᵀ (+ δb) of every site of a tile into its work memory.
pub(super) fn inject<T: Scalar, K: Kernel<T>>(
    tile: &Tile<'_, T>,
    flow: Flow,
    m: usize,
    dw: &[T],
    work: &mut [T],
    kernel: &K,
) {
    let graph = tile.graph();
    for site in sites(graph) {
        let columns = m * width(graph, &site);
        let s = &mut work[tile.span(site.output, flow, m)];
        let u = tile.reads(site.input);
        let s = MatMut::new(s, u.rows, columns, columns);
        push(site.form, &graph.weights()[site.weight], m, u, pieces(graph, site.weight, m, dw), s, kernel);
    }
}

/// The rows of a tile's S or U that belong to its trajectory `b`.
fn rows_of<'m, T>(all: MatRef<'m, T>, count: usize, b: usize) -> MatRef<'m, T> {
    let rows = all.rows / count;
    let from = if rows == 0 { 0 } else { b * all.ld };
    MatRef::new(&all.data[from..], rows, all.cols, all.ld * count)
}

/// Scratch of [`per_trajectory`] for a tile.
pub(super) fn per_trajectory_len<T: Scalar>(graph: &Graph<'_, T>, m: usize) -> usize {
    let need = |(w, weight): (usize, &Weight<'_, T>)| {
        let most = sites_of(graph, w).map(|s| s.positions).max().unwrap_or(0);
        match trajectory_side(graph, w) {
            Side::Weight => m * weight.parameters(),
            Side::Gram => sites_of(graph, w).map(|s| s.positions * m * width(graph, &s)).sum::<usize>() + most * most,
        }
    };
    graph.weights().iter().enumerate().map(need).max().unwrap_or(0)
}

/// The cheaper side for one trajectory of weight `w`.
fn trajectory_side<T: Scalar>(graph: &Graph<'_, T>, w: usize) -> Side {
    let positions = sites_of(graph, w).map(|s| s.positions).sum::<usize>();
    let embedding = sites_of(graph, w).all(|s| s.form == crate::model::Form::Embedding);
    if has_gram(graph, w) && (embedding || positions < 2 * graph.weights()[w].n_in) {
        Side::Gram
    } else {
        Side::Weight
    }
}

/// Replaces S by G S within every trajectory of a tile, in its work memory.
pub(super) fn per_trajectory<T: Scalar, K: Kernel<T>>(
    tile: &Tile<'_, T>,
    flow: Flow,
    m: usize,
    work: &mut [T],
    scratch: &mut [T],
    kernel: &K,
) {
    let graph = tile.graph();
    for (w, weight) in graph.weights().iter().enumerate().filter(|(_, w)| w.parameters() > 0) {
        for b in 0..tile.count() {
            let own = Own { tile, flow, m, w, weight, b };
            match trajectory_side(graph, w) {
                Side::Weight => own.weight_side(work, scratch, kernel),
                Side::Gram => own.gram_side(work, scratch, kernel),
            }
        }
    }
}

/// What one weight does in one trajectory of a tile, for m vectors.
struct Own<'t, 'a, T> {
    tile: &'t Tile<'a, T>,
    flow: Flow,
    m: usize,
    w: usize,
    weight: &'t Weight<'a, T>,
    b: usize,
}

impl<T: Scalar> Own<'_, '_, T> {
    /// The trajectory's rows of U.
    fn reads(&self, site: &Site) -> MatRef<'_, T> {
        rows_of(self.tile.reads(site.input), self.tile.count(), self.b)
    }

    /// Both halves by δW.
    fn weight_side<K: Kernel<T>>(&self, work: &mut [T], scratch: &mut [T], kernel: &K) {
        let Self { tile, flow, m, w, weight, b } = *self;
        let (graph, count) = (tile.graph(), tile.count());
        let dw = &mut scratch[..m * weight.parameters()];
        dw.fill(T::zero());
        let (matrix, bias) = dw.split_at_mut(m * weight.matrix_parameters());
        let mut stripe = Stripe { rows: 0..m * weight.n_out, matrix, bias };
        for site in sites_of(graph, w) {
            let (columns, u) = (m * width(graph, &site), self.reads(&site));
            let s = &work[tile.span(site.output, flow, m)];
            let s = rows_of(MatRef::new(s, u.rows * count, columns, columns), count, b);
            pull(site.form, weight, m, s, u, &mut stripe, kernel);
        }
        for site in sites_of(graph, w) {
            let (columns, u) = (m * width(graph, &site), self.reads(&site));
            let s = &mut work[tile.span(site.output, flow, m)][b * columns..];
            let s = MatMut::new(s, u.rows, columns, count * columns);
            push(site.form, weight, m, u, (stripe.matrix, stripe.bias), s, kernel);
        }
    }

    /// G, formed, times S.
    fn gram_side<K: Kernel<T>>(&self, work: &mut [T], scratch: &mut [T], kernel: &K) {
        let Self { tile, flow, m, w, weight, b } = *self;
        let (graph, count) = (tile.graph(), tile.count());
        let total: usize = sites_of(graph, w).map(|s| s.positions * m * width(graph, &s)).sum();
        let (old, gram) = scratch.split_at_mut(total);
        let mut at = 0;
        for site in sites_of(graph, w) {
            let columns = m * width(graph, &site);
            let s = &work[tile.span(site.output, flow, m)];
            for p in 0..site.positions {
                old[at..at + columns].copy_from_slice(&s[(p * count + b) * columns..][..columns]);
                at += columns;
            }
        }
        for to in sites_of(graph, w) {
            let columns = m * width(graph, &to);
            let mut at = 0;
            for from in sites_of(graph, w) {
                let (u, v) = (self.reads(&to), self.reads(&from));
                let g = gram_block(to.form, weight, u, v, gram, kernel);
                let old = MatRef::new(&old[at..], v.rows, columns, columns);
                let s = &mut work[tile.span(to.output, flow, m)][b * columns..];
                let beta = if at == 0 { T::zero() } else { T::one() };
                kernel.gemm(T::one(), g, old, beta, MatMut::new(s, u.rows, columns, count * columns));
                at += v.rows * columns;
            }
        }
    }
}
