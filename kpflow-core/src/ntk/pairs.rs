//! ‖K‖_F of unit-wise models from every pair of positions, as products of matrices.

use super::features::{bands, Band, Features};
use crate::error::enough;
use crate::machine::{Gemm, Kernel, MatMut, MatRef};
use crate::model::Graph;
use crate::probe::dot;
use crate::{Error, Scalar};

/// Positions of a tile of pairs, on both sides, of [`Features::frobenius_squared`]: blocks of as many positions leave no tile half empty.
pub const PAIRS_TILE: usize = 128;

/// One term of the square: two bands of a position, of which the entries are multiplied, and those of the other position that act on the same channels.
struct Term {
    here: [Band; 2],
    there: [Band; 2],
    /// How often it counts: with the two exchanged it is the same.
    times: f64,
}

impl Term {
    fn width(&self) -> usize {
        self.here.iter().chain(&self.there).map(|b| b.width).min().unwrap_or(0)
    }
}

/// The terms of two sites, the first of which is not the later.
fn terms<'g, T: Scalar>(graph: &'g Graph<'_, T>, sites: [usize; 2]) -> impl Iterator<Item = Term> + 'g {
    let of = move |site: usize| bands(graph).filter(move |b| b.site == site);
    of(sites[0]).flat_map(move |x| {
        let second = move |y: &Band| y.unit == x.unit && (y.site != x.site || y.place >= x.place);
        of(sites[1]).filter(second).flat_map(move |y| {
            let times = if y.place == x.place { 1.0 } else { 2.0 };
            of(sites[0]).filter(move |b| b.channel == x.channel).flat_map(move |a| {
                let same = move |b: &Band| b.channel == y.channel && b.unit == a.unit;
                of(sites[1]).filter(same).map(move |b| Term { here: [x, y], there: [a, b], times })
            })
        })
    })
}

impl<T: Scalar> Features<'_, T> {
    /// Flops of [`frobenius_squared`](Self::frobenius_squared) for one pair of positions.
    pub fn frobenius_flops(&self) -> f64 {
        let graph = self.linearization().graph();
        let sites = graph.coupled().count();
        let mut flops = 0.0;
        for s in 0..sites {
            for other in s..sites {
                let widths: usize = terms(graph, [s, other]).map(|t| t.width()).sum();
                let grams = self.inputs_at(other).len() + 2;
                flops += 2.0 * (widths + if widths > 0 || other == s { grams } else { 0 }) as f64;
            }
        }
        flops
    }

    /// The numbers of scratch that [`frobenius_squared`](Self::frobenius_squared) needs.
    pub fn frobenius_scratch_len(&self) -> usize {
        PAIRS_TILE * (3 * PAIRS_TILE + 2 * self.linearization().shape().units)
    }

    /// ‖K‖_F²'s part of the pairs in `rows` × `all`: `Σ_{p,q} ‖Σ_sites G[p,q] D_p D_qᵀ‖_F²`.
    ///
    /// D_p is bands c_x, each of a site s(x), and the square is `Σ_{x,y} G_s(x)[p,q] G_s(y)[p,q] Σ_i (c_x c_y)[p,i] (c_x c_y)[q,i]`: Gram matrices of the inputs, times
    /// products of matrices.
    ///
    /// **Cost**: [`frobenius_flops`](Self::frobenius_flops) a pair, as products of tiles of 128 × 128 pairs.
    /// **Accuracy**: products in T, sums over tiles in double precision.
    /// **Errors**: if the rows are not whole ones or the scratch is too short.
    pub fn frobenius_squared<K: Kernel<T>>(
        &self,
        rows: &[T],
        all: &[T],
        kernel: &K,
        scratch: &mut [T],
    ) -> Result<f64, Error> {
        let len = self.whole_rows(rows)?;
        self.whole_rows(all)?;
        enough(self.frobenius_scratch_len(), scratch.len())?;
        let mut sum = 0.0;
        for p in rows.chunks(PAIRS_TILE * len) {
            for q in all.chunks(PAIRS_TILE * len) {
                sum += self.pairs_of_tile(p, q, kernel, scratch);
            }
        }
        Ok(sum)
    }

    /// The part of up to 128 × 128 pairs.
    fn pairs_of_tile<K: Kernel<T>>(&self, p: &[T], q: &[T], kernel: &K, scratch: &mut [T]) -> f64 {
        let (graph, len) = (self.linearization().graph(), self.row_len().max(1));
        let (rows, cols) = (p.len() / len, q.len() / len);
        let (gram, rest) = scratch.split_at_mut(rows * cols);
        let (other_gram, rest) = rest.split_at_mut(rows * cols);
        let (sums, rest) = rest.split_at_mut(rows * cols);
        let (left, right) = rest.split_at_mut(rows * self.linearization().shape().units);
        let (sites, mut total) = (graph.coupled().count(), 0.0);
        for s in 0..sites {
            self.gram_of(s, p, q, kernel, gram);
            for other in s..sites {
                let mut beta = T::zero();
                for term in terms(graph, [s, other]) {
                    let width = term.width();
                    let a = multiply(p, len, term.here, width, left);
                    let b = multiply(q, len, term.there, width, right);
                    kernel.gemm(T::of(term.times), Gemm::of(a, b.t(), MatMut::of(sums, rows, cols, cols)), beta);
                    beta = T::one();
                }
                if beta == T::zero() {
                    continue;
                }
                if other != s {
                    self.gram_of(other, p, q, kernel, other_gram);
                }
                let second: &[T] = if other == s { gram } else { other_gram };
                sums.iter_mut().zip(second).for_each(|(x, g)| *x *= *g);
                total += dot(sums, gram);
            }
        }
        total
    }

    /// G of a site, of the rows p × q.
    fn gram_of<K: Kernel<T>>(&self, site: usize, p: &[T], q: &[T], kernel: &K, out: &mut [T]) {
        let (len, inputs) = (self.row_len(), self.inputs_at(site));
        let u = MatRef::of(&p[inputs.start..], p.len() / len, inputs.len(), len);
        let v = MatRef::of(&q[inputs.start..], q.len() / len, inputs.len(), len);
        let out = MatMut::of(out, u.rows(), v.rows(), v.rows());
        kernel.gemm(T::one(), Gemm::of(u, v.t(), out), T::zero());
    }
}

/// The products of two bands' entries, row by row.
fn multiply<'o, T: Scalar>(rows: &[T], len: usize, [x, y]: [Band; 2], width: usize, out: &'o mut [T]) -> MatRef<'o, T> {
    let count = rows.len() / len;
    for (row, out) in rows.chunks_exact(len).zip(out.chunks_exact_mut(width.max(1))) {
        let (x, y) = (&row[x.place..][..width], &row[y.place..][..width]);
        out.iter_mut().zip(x.iter().zip(y)).for_each(|(out, (x, y))| *out = *x * *y);
    }
    MatRef::of(out, count, width, width)
}
