//! The Kronecker core between the sweeps: from the site outputs' cotangents S to G S, on the weight side or the Gram side.

use super::forms::{chunks, gram_block, pull, push, uses};
use super::side::Side;
use crate::machine::{Gemm, Kernel, Machine, MatMut, MatRef};
use crate::model::{Coupled, Flow, Form, Graph, Linearization, Tile};
use crate::Scalar;
use core::ops::Range;

/// A wave of tiles after their sweeps back: the work memory of each stands one after the other.
pub(super) struct Wave<'w, T> {
    pub tiles: Range<usize>,
    pub work: &'w [T],
    pub work_len: usize,
    pub flow: Flow,
    /// Vectors, and of them those of a chunk of δW.
    pub vectors: (usize, usize),
    /// Lanes that share what is to be added.
    pub lanes: usize,
}

/// Adds Sᵀ U of the tiles of a wave to δW.
///
/// Lanes share the chunks of vectors or, where there are more lanes, the rows of each part of θ.
pub(super) fn accumulate<T: Scalar, M: Machine<T>>(
    lin: &Linearization<'_, T>,
    machine: &M,
    side: Side,
    wave: &Wave<'_, T>,
    dw: &mut [T],
) {
    let (graph, (m, chunk)) = (lin.graph(), wave.vectors);
    let (chunks, chunk_numbers) = (m.div_ceil(chunk), chunk * side.weights(graph, 1));
    if chunk_numbers == 0 {
        return;
    }
    let parts = || graph.parts().filter(|part| part.len() > 0 && !side.gram(part));
    let vectors = |i: usize| i * chunk..((i + 1) * chunk).min(m);
    let all = |i: usize, dw: &mut [T]| {
        let mut rest = dw;
        for part in parts() {
            let (dw, next) = rest.split_at_mut(vectors(i).len() * part.len());
            accumulate_part(lin, machine, wave, &part, (vectors(i), 0..part.len() / part.units.max(1)), dw);
            rest = next;
        }
    };
    if wave.lanes == 1 {
        return dw.chunks_mut(chunk_numbers).enumerate().for_each(|(i, dw)| all(i, dw));
    }
    if chunks >= wave.lanes {
        return machine.for_each(chunks, dw, chunk_numbers, &mut [], 0, |i, dw, _: &mut [T]| all(i, dw));
    }
    for (i, dw) in dw.chunks_mut(chunk_numbers).enumerate() {
        let mut rest = dw;
        for part in parts() {
            let (dw, next) = rest.split_at_mut(vectors(i).len() * part.len());
            let rows = part.len() / part.units.max(1);
            let divisible = uses(graph, &part).all(|c| c.form == Form::Dense);
            let per = if divisible { rows.div_ceil(wave.lanes) } else { rows };
            let len = per * vectors(i).len() * part.units;
            machine.for_each(rows.div_ceil(per), dw, len, &mut [], 0, |r, dw, _: &mut [T]| {
                accumulate_part(lin, machine, wave, &part, (vectors(i), r * per..((r + 1) * per).min(rows)), dw);
            });
            rest = next;
        }
    }
}

/// Adds Sᵀ U of the tiles of a wave to some rows of δW of a part of θ, for some vectors.
fn accumulate_part<T: Scalar, K: Kernel<T>>(
    lin: &Linearization<'_, T>,
    kernel: &K,
    wave: &Wave<'_, T>,
    part: &Coupled,
    (vectors, rows): (Range<usize>, Range<usize>),
    dw: &mut [T],
) {
    let (graph, m) = (lin.graph(), wave.vectors.0);
    for c in uses(graph, part) {
        let columns = m * c.width;
        for (k, tile) in wave.tiles.clone().enumerate() {
            let view = lin.view(tile);
            let s = &wave.work[k * wave.work_len..][view.span(c.output, wave.flow, m)];
            let u = view.reads(c.input);
            let s = MatRef::of(s, u.rows, columns, columns);
            pull(&c, &graph.weights()[c.weight], (vectors.clone(), rows.clone()), s, u, dw, kernel);
        }
    }
}

/// Writes S = U δWᵀ (+ δb) of every site of a tile that is on the weight side into its work memory.
pub(super) fn inject<T: Scalar, K: Kernel<T>>(
    tile: &Tile<'_, T>,
    flow: Flow,
    side: Side,
    (m, chunk): (usize, usize),
    dw: &[T],
    work: &mut [T],
    kernel: &K,
) {
    let graph = tile.graph();
    let all = side.weights(graph, 1);
    for (c, place) in side.placed(graph) {
        for vectors in chunks(m, chunk) {
            let dw = &dw[vectors.start * all + vectors.len() * place..][..vectors.len() * c.len()];
            let (columns, u) = (m * c.width, tile.reads(c.input));
            let s = MatMut::of(&mut work[tile.span(c.output, flow, m)], u.rows, columns, columns);
            push(&c, &graph.weights()[c.weight], vectors, u, dw, s, kernel);
        }
    }
}

/// The rows of a tile's S or U that belong to its trajectory `b`.
fn rows_of<'m, T>(all: MatRef<'m, T>, count: usize, b: usize) -> MatRef<'m, T> {
    let rows = all.rows / count;
    let from = if rows == 0 { 0 } else { b * all.ld };
    MatRef::of(&all.data[from..], rows, all.cols, all.ld * count)
}

/// Whether some site adds to what another has written: then S must not be replaced before all parts have read it.
fn summed<T: Scalar>(graph: &Graph<'_, T>) -> bool {
    graph.coupled().any(|c| c.adds)
}

/// Scratch of [`per_trajectory`] for a tile.
pub(super) fn per_trajectory_len<T: Scalar>(graph: &Graph<'_, T>, m: usize) -> usize {
    if summed(graph) {
        return m.saturating_mul(graph.coupled_len());
    }
    let need = |part: Coupled| {
        let most = uses(graph, &part).map(|c| c.positions).max().unwrap_or(0);
        match gram_within_trajectory(&part) {
            false => m.saturating_mul(part.len()),
            true => {
                let rows: usize = uses(graph, &part).map(|c| c.positions * c.width).sum();
                m.saturating_mul(rows).saturating_add(most.saturating_mul(most))
            }
        }
    };
    graph.parts().map(need).max().unwrap_or(0)
}

/// Whether a part of θ takes the Gram side within one trajectory.
fn gram_within_trajectory(part: &Coupled) -> bool {
    let embedding = part.form == Form::Embedding;
    part.part.has_gram && (embedding || part.part.positions < 2 * part.rows)
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
    let own = |part, b| Own { tile, flow, m, part, b };
    for b in 0..tile.count() {
        if summed(graph) {
            for part in graph.parts() {
                own(part, b).pull(work, &mut scratch[m * part.place..], kernel);
            }
            for c in graph.coupled() {
                own(c, b).push(&c, work, &scratch[m * c.place..], kernel);
            }
            continue;
        }
        for part in graph.parts() {
            let own = own(part, b);
            match gram_within_trajectory(&part) {
                false => {
                    own.pull(work, scratch, kernel);
                    uses(graph, &part).for_each(|c| own.push(&c, work, scratch, kernel));
                }
                true => own.gram_side(work, scratch, kernel),
            }
        }
    }
}

/// What one part of θ does in one trajectory of a tile, for m vectors.
struct Own<'t, 'a, T> {
    tile: &'t Tile<'a, T>,
    flow: Flow,
    m: usize,
    part: Coupled,
    b: usize,
}

impl<T: Scalar> Own<'_, '_, T> {
    /// The trajectory's rows of U.
    fn reads(&self, c: &Coupled) -> MatRef<'_, T> {
        rows_of(self.tile.reads(c.input), self.tile.count(), self.b)
    }

    /// Writes δW = Sᵀ U.
    fn pull<K: Kernel<T>>(&self, work: &[T], dw: &mut [T], kernel: &K) {
        let Self { tile, flow, m, part, b } = *self;
        let (graph, count) = (tile.graph(), tile.count());
        let dw = &mut dw[..m * part.len()];
        dw.fill(T::zero());
        for c in uses(graph, &part) {
            let (columns, u) = (m * c.width, self.reads(&c));
            let s = &work[tile.span(c.output, flow, m)];
            let s = rows_of(MatRef::of(s, u.rows * count, columns, columns), count, b);
            pull(&c, &graph.weights()[c.weight], (0..m, 0..c.rows + 1), s, u, dw, kernel);
        }
    }

    /// Writes S = U δWᵀ of one use.
    fn push<K: Kernel<T>>(&self, c: &Coupled, work: &mut [T], dw: &[T], kernel: &K) {
        let Self { tile, flow, m, b, .. } = *self;
        let (columns, u) = (m * c.width, self.reads(c));
        if u.rows == 0 {
            return;
        }
        let s = &mut work[tile.span(c.output, flow, m)][b * columns..];
        let s = MatMut::of(s, u.rows, columns, tile.count() * columns);
        push(c, &tile.graph().weights()[c.weight], 0..m, u, &dw[..m * c.len()], s, kernel);
    }

    /// G, formed, times S.
    fn gram_side<K: Kernel<T>>(&self, work: &mut [T], scratch: &mut [T], kernel: &K) {
        let Self { tile, flow, m, part, b } = *self;
        let (graph, count) = (tile.graph(), tile.count());
        let total: usize = uses(graph, &part).map(|c| c.positions * m * c.width).sum();
        let (old, gram) = scratch.split_at_mut(total);
        let mut at = 0;
        for c in uses(graph, &part) {
            let columns = m * c.width;
            let s = &work[tile.span(c.output, flow, m)];
            for p in 0..c.positions {
                old[at..at + columns].copy_from_slice(&s[(p * count + b) * columns..][..columns]);
                at += columns;
            }
        }
        for to in uses(graph, &part).filter(|to| to.positions > 0) {
            let columns = m * to.width;
            let mut at = 0;
            for from in uses(graph, &part) {
                let (u, v) = (self.reads(&to), self.reads(&from));
                let g = gram_block(&to, u, v, gram, kernel);
                let old = MatRef::of(&old[at..], v.rows, columns, columns);
                let s = &mut work[tile.span(to.output, flow, m)][b * columns..];
                let beta = if at == 0 { T::zero() } else { T::one() };
                kernel.gemm(T::one(), Gemm::of(g, old, MatMut::of(s, u.rows, columns, count * columns)), beta);
                at += v.rows * columns;
            }
        }
    }
}
