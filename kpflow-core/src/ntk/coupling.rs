//! The Kronecker core between the sweeps: from the site outputs' cotangents S to G S, on the weight side or the Gram side.

use crate::machine::{Kernel, Machine, MatMut, MatRef};
use crate::model::{Flow, Graph, Linearization, Operand, Tile, Weight};
use crate::Scalar;
use core::ops::Range;

/// Which of the two equal ways the Kronecker core takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// S → δW = Sᵀ U → U δWᵀ: 4·n_in·n_out flops a position and vector, m·n_θ numbers to sum over trajectories.
    Weight,
    /// S → (U Uᵀ) S: 2·positions·n_out flops a position and vector, nothing of the size of θ.
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

/// One use of a weight, as the couplings see it.
#[derive(Clone, Copy)]
pub(super) struct Site {
    pub weight: usize,
    pub input: Operand,
    pub output: usize,
    pub positions: usize,
}

pub(super) fn sites<'g, T: Scalar>(graph: &'g Graph<'_, T>) -> impl Iterator<Item = Site> + 'g {
    graph.sites().map(|(weight, input, output)| Site {
        weight,
        input,
        output,
        positions: graph.variables()[output].positions,
    })
}

fn sites_of<'g, T: Scalar>(graph: &'g Graph<'_, T>, weight: usize) -> impl Iterator<Item = Site> + 'g {
    sites(graph).filter(move |s| s.weight == weight)
}

/// The place of weight `w` among δW of one vector: every weight's matrix and then its bias.
pub(super) fn weight_place<T: Scalar>(graph: &Graph<'_, T>, w: usize) -> usize {
    graph.weights()[..w].iter().map(|w| w.parameters()).sum()
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
    for (w, weight) in graph.weights().iter().enumerate() {
        let columns = m * weight.n_out;
        let start = m * weight_place(graph, w);
        let (matrix, bias) = dw[start..start + m * weight.parameters()].split_at_mut(columns * weight.n_in);
        let stripe = columns.div_ceil(machine.lanes()).max(1);
        machine.for_each(columns.div_ceil(stripe), matrix, stripe * weight.n_in, bias, stripe, |i, dw, db| {
            let rows = stripe.min(columns - i * stripe);
            for site in sites_of(graph, w) {
                for (k, tile) in wave.tiles.clone().enumerate() {
                    let view = lin.view(tile);
                    let s = &wave.work[k * wave.work_len..][view.span(site.output, wave.flow, m)];
                    let u = view.reads(site.input);
                    let s = MatRef::new(&s[i * stripe..], u.rows, rows, columns);
                    machine.gemm(T::one(), s.t(), u, T::one(), MatMut::new(dw, rows, weight.n_in, weight.n_in));
                    add_rows(s, db);
                }
            }
        });
    }
}

/// Adds the sum of the rows of `s` to `db`, if there is a bias to add it to.
fn add_rows<T: Scalar>(s: MatRef<'_, T>, db: &mut [T]) {
    if db.is_empty() {
        return;
    }
    for r in 0..s.rows {
        for (d, x) in db.iter_mut().zip(&s.data[r * s.ld..][..s.cols]) {
            *d += *x;
        }
    }
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
        let weight = &graph.weights()[site.weight];
        let columns = m * weight.n_out;
        let (matrix, bias) = dw[m * weight_place(graph, site.weight)..].split_at(columns * weight.n_in);
        let s = &mut work[tile.span(site.output, flow, m)];
        let u = tile.reads(site.input);
        let beta = if weight.bias.is_some() {
            s.chunks_exact_mut(columns).for_each(|row| row.copy_from_slice(&bias[..columns]));
            T::one()
        } else {
            T::zero()
        };
        let matrix = MatRef::new(matrix, columns, weight.n_in, weight.n_in);
        kernel.gemm(T::one(), u, matrix.t(), beta, MatMut::new(s, u.rows, columns, columns));
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
        let positions = sites_of(graph, w).map(|s| s.positions).sum::<usize>();
        let most = sites_of(graph, w).map(|s| s.positions).max().unwrap_or(0);
        match trajectory_side(graph, w) {
            Side::Weight => m * weight.parameters(),
            Side::Gram => positions * m * weight.n_out + most * most,
        }
    };
    graph.weights().iter().enumerate().map(need).max().unwrap_or(0)
}

/// The cheaper side for one trajectory of weight `w`.
fn trajectory_side<T: Scalar>(graph: &Graph<'_, T>, w: usize) -> Side {
    let positions = sites_of(graph, w).map(|s| s.positions).sum::<usize>();
    if positions < 2 * graph.weights()[w].n_in {
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
    let (graph, count) = (tile.graph(), tile.count());
    for (w, weight) in graph.weights().iter().enumerate() {
        let columns = m * weight.n_out;
        for b in 0..count {
            match trajectory_side(graph, w) {
                Side::Weight => {
                    let dw = &mut scratch[..m * weight.parameters()];
                    dw.fill(T::zero());
                    let (matrix, bias) = dw.split_at_mut(columns * weight.n_in);
                    for site in sites_of(graph, w) {
                        let u = rows_of(tile.reads(site.input), count, b);
                        let s = &work[tile.span(site.output, flow, m)];
                        let s = rows_of(MatRef::new(s, u.rows * count, columns, columns), count, b);
                        let matrix = MatMut::new(matrix, columns, weight.n_in, weight.n_in);
                        kernel.gemm(T::one(), s.t(), u, T::one(), matrix);
                        add_rows(s, bias);
                    }
                    for site in sites_of(graph, w) {
                        let u = rows_of(tile.reads(site.input), count, b);
                        let s = &mut work[tile.span(site.output, flow, m)];
                        for p in 0..u.rows {
                            let row = &mut s[(p * count + b) * columns..][..columns];
                            if bias.is_empty() {
                                row.fill(T::zero());
                            } else {
                                row.copy_from_slice(bias);
                            }
                        }
                        let matrix = MatRef::new(matrix, columns, weight.n_in, weight.n_in);
                        let s = MatMut::new(&mut s[b * columns..], u.rows, columns, count * columns);
                        kernel.gemm(T::one(), u, matrix.t(), T::one(), s);
                    }
                }
                Side::Gram => {
                    let total = sites_of(graph, w).map(|s| s.positions).sum::<usize>();
                    let (old, gram) = scratch.split_at_mut(total * columns);
                    let mut at = 0;
                    for site in sites_of(graph, w) {
                        let s = &work[tile.span(site.output, flow, m)];
                        for p in 0..site.positions {
                            old[at..at + columns].copy_from_slice(&s[(p * count + b) * columns..][..columns]);
                            at += columns;
                        }
                    }
                    for to in sites_of(graph, w) {
                        let mut at = 0;
                        for from in sites_of(graph, w) {
                            let (u, v) =
                                (rows_of(tile.reads(to.input), count, b), rows_of(tile.reads(from.input), count, b));
                            let g = gram_block(u, v, weight.bias.is_some(), gram, kernel);
                            let old = MatRef::new(&old[at..], v.rows, columns, columns);
                            let s = &mut work[tile.span(to.output, flow, m)][b * columns..];
                            let beta = if at == 0 { T::zero() } else { T::one() };
                            kernel.gemm(T::one(), g, old, beta, MatMut::new(s, u.rows, columns, count * columns));
                            at += v.rows * columns;
                        }
                    }
                }
            }
        }
    }
}

/// G = U Vᵀ, plus one where a bias acts, formed in `memory`.
pub(super) fn gram_block<'m, T: Scalar, K: Kernel<T>>(
    u: MatRef<'_, T>,
    v: MatRef<'_, T>,
    bias: bool,
    memory: &'m mut [T],
    kernel: &K,
) -> MatRef<'m, T> {
    let (rows, cols) = (u.rows, v.rows);
    let g = &mut memory[..rows * cols];
    let beta = if bias {
        g.fill(T::one());
        T::one()
    } else {
        T::zero()
    };
    kernel.gemm(T::one(), u, v.t(), beta, MatMut::new(g, rows, cols, cols));
    MatRef::new(g, rows, cols, cols)
}
