//! The Kronecker core between the sweeps: from the site outputs' cotangents S to G S, on the weight side or the Gram side.

use crate::machine::{Machine, MatMut, MatRef};
use crate::model::{Graph, Linearization, Operand, Sweep, Tile};
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
    graph.sites().map(|(weight, input, output)| {
        Site { weight, input, output, positions: graph.variables()[output].positions }
    })
}

fn sites_of<'g, T: Scalar>(graph: &'g Graph<'_, T>, weight: usize) -> impl Iterator<Item = Site> + 'g {
    sites(graph).filter(move |s| s.weight == weight)
}

/// The place of weight `w` among δW of one vector: every weight's matrix and then its bias.
pub(super) fn weight_place<T: Scalar>(graph: &Graph<'_, T>, w: usize) -> usize {
    graph.weights()[..w].iter().map(|w| w.parameters()).sum()
}

/// The rows of U that belong to one trajectory of a tile, or to all.
fn u_rows<'a, T: Scalar>(tile: &Tile<'a, T>, site: &Site, b: Option<usize>) -> MatRef<'a, T> {
    let u = tile.reads(site.input);
    match b {
        None => u,
        Some(b) if site.positions > 0 => {
            MatRef::new(&u.data[b * u.ld..], site.positions, u.cols, u.ld * tile.count())
        }
        Some(_) => MatRef::new(&u.data[..0], 0, u.cols, u.ld),
    }
}

/// Adds Sᵀ U of the tiles of a wave to δW, whose layout is, weight after weight, `[vector][n_out][n_in]` and then `[vector][n_out]`.
///
/// The rows of δW are divided among the lanes, so the order of the sum does not depend on how many there are.
pub(super) fn accumulate<T: Scalar, M: Machine<T>>(
    lin: &Linearization<'_, T>,
    machine: &M,
    sweep: impl Fn(usize) -> Range<usize> + Sync,
    wave: &Range<usize>,
    work: &[T],
    work_len: usize,
    m: usize,
    dw: &mut [T],
) {
    let _ = &sweep;
    let graph = lin.graph();
    for (w, weight) in graph.weights().iter().enumerate() {
        let columns = m * weight.n_out;
        let start = m * weight_place(graph, w);
        let (matrix, bias) = dw[start..start + m * weight.parameters()].split_at_mut(columns * weight.n_in);
        let stripe = columns.div_ceil(machine.lanes()).max(1);
        machine.for_each(columns.div_ceil(stripe), matrix, stripe * weight.n_in, bias, stripe, |i, dw, db| {
            let rows = stripe.min(columns - i * stripe);
            for site in sites_of(graph, w) {
                for (k, tile) in wave.clone().enumerate() {
                    let view = lin.view(tile);
                    let span = span(lin, tile, &site, m);
                    let s = &work[k * work_len..][span];
                    let u = view.reads(site.input);
                    if u.rows == 0 {
                        continue;
                    }
                    let s = MatRef::new(&s[i * stripe..], u.rows, rows, columns);
                    machine.gemm(T::one(), s.t(), u, T::one(), MatMut::new(dw, rows, weight.n_in, weight.n_in));
                    add_rows(s, db);
                }
            }
        });
    }
}

/// Where a site's cotangents lie in a tile's work memory.
fn span<T: Scalar>(lin: &Linearization<'_, T>, tile: usize, site: &Site, m: usize) -> Range<usize> {
    lin.view(tile).span(site.output, m)
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
