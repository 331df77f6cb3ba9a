//! What the forms of a weight site make of G = U Uᵀ: from S to δW, from δW to S, and G itself.
//!
//! δW lies in memory as `[chunk of vectors][part of θ][column of u (and bias)][vector][unit]`: both halves of K are then products whose long side is
//! contiguous, and chunks are what lanes share. The chunks depend on the block alone, not on the machine: processes sum δW as it lies.

use crate::machine::{Diagonals, Gemm, Kernel, MatMut, MatRef, Term};
use crate::model::{Coupled, Form, Graph, Weight};
use crate::Scalar;
use core::ops::Range;

/// Rows that a gain adds at a time.
const GAINS: usize = 5;

/// Chunks that a block is cut into, at most.
pub(super) const CHUNKS: usize = 8;

/// Vectors of a chunk.
pub(super) fn chunk_len(m: usize) -> usize {
    m.div_ceil(CHUNKS).max(1)
}

/// The vectors of each chunk of `chunk` of them.
pub(super) fn chunks(m: usize, chunk: usize) -> impl Iterator<Item = Range<usize>> {
    (0..m).step_by(chunk).map(move |first| first..(first + chunk).min(m))
}

/// The uses of the same part of θ.
pub(super) fn uses<'g, T: Scalar>(graph: &'g Graph<'_, T>, part: &Coupled) -> impl Iterator<Item = Coupled> + 'g {
    let (place, of) = (part.place, part.part);
    graph.coupled_from(of.head).filter(move |c| c.place == place).take(of.uses)
}

/// Adds Sᵀ U of some positions to some rows of δW of a chunk of vectors (all of them where the form is not dense): `s` has a row a position and m · width
/// columns, `u` a row a position. The bias is the last row.
pub(super) fn pull<T: Scalar, K: Kernel<T>>(
    c: &Coupled,
    weight: &Weight<'_, T>,
    (vectors, rows): (Range<usize>, Range<usize>),
    s: MatRef<'_, T>,
    u: MatRef<'_, T>,
    dw: &mut [T],
    kernel: &K,
) {
    let (count, columns) = (vectors.len(), vectors.len() * c.units);
    let from = (vectors.start * c.width).min(s.data.len());
    let s = MatRef::of(&s.data[from..], s.rows, count * c.width, s.ld);
    match c.form {
        Form::Dense if c.rows > rows.start => {
            let own = rows.end.min(c.rows) - rows.start;
            let u = MatRef::of(&u.data[rows.start.min(u.data.len())..], u.rows, own, u.ld);
            kernel.gemm(T::one(), Gemm::of(u.t(), s, MatMut::of(dw, own, columns, columns)), T::one());
        }
        Form::Dense => {}
        Form::Gain => {
            for (k, dw) in dw.chunks_mut(columns.max(1)).enumerate().take(c.rows) {
                for first in (0..s.rows).step_by(GAINS) {
                    let mut terms = [Term::EMPTY; GAINS];
                    let some = GAINS.min(s.rows - first);
                    for (r, term) in terms.iter_mut().enumerate().take(some) {
                        let u = &u.data[(first + r) * u.ld + k * c.width..][..c.width];
                        *term = Term { c: u, x: &s.data[(first + r) * s.ld..], stride: c.width };
                    }
                    kernel.combine(Diagonals::of(&terms[..some], dw, c.width, count, true));
                }
            }
        }
        Form::Embedding => {
            for r in 0..s.rows {
                let Some(row) = weight.row(u.data[r * u.ld]) else { continue };
                for (i, s) in s.data[r * s.ld..][..s.cols].iter().enumerate() {
                    dw[i % c.width * columns + i / c.width * c.units + row] += *s;
                }
            }
        }
    }
    if c.bias && rows.end > c.rows {
        let dw = &mut dw[(c.rows - rows.start) * columns..][..columns];
        for r in 0..s.rows {
            dw.iter_mut().zip(&s.data[r * s.ld..]).for_each(|(dw, s)| *dw += *s);
        }
    }
}

/// Writes (or adds) S = U δWᵀ (+ δb) of a chunk of vectors: the adjoint of [`pull`].
pub(super) fn push<T: Scalar, K: Kernel<T>>(
    c: &Coupled,
    weight: &Weight<'_, T>,
    vectors: Range<usize>,
    u: MatRef<'_, T>,
    dw: &[T],
    s: MatMut<'_, T>,
    kernel: &K,
) {
    let (rows, ld, columns) = (s.rows, s.ld, vectors.len() * c.width);
    if rows == 0 {
        return;
    }
    let s = &mut s.data[vectors.start * c.width..];
    let dense = c.form == Form::Dense && c.rows > 0;
    let per_row = vectors.len() * c.units;
    if c.bias || !(dense || c.adds) {
        for s in s.chunks_mut(ld).take(rows) {
            let s = &mut s[..columns];
            match c.bias {
                false => s.fill(T::zero()),
                true if c.adds => s.iter_mut().zip(&dw[c.rows * per_row..]).for_each(|(s, b)| *s += *b),
                true => s.copy_from_slice(&dw[c.rows * per_row..][..columns]),
            }
        }
    }
    match c.form {
        Form::Dense if dense => {
            let dw = MatRef::of(dw, c.rows, columns, columns);
            let beta = if c.bias || c.adds { T::one() } else { T::zero() };
            kernel.gemm(T::one(), Gemm::of(u, dw, MatMut::of(s, rows, columns, ld)), beta);
        }
        Form::Dense => {}
        Form::Gain => {
            for (r, s) in s.chunks_mut(ld).take(rows).enumerate() {
                for first in (0..c.rows).step_by(GAINS) {
                    let mut terms = [Term::EMPTY; GAINS];
                    let some = GAINS.min(c.rows - first);
                    for (k, term) in (first..first + some).zip(&mut terms) {
                        let u = &u.data[r * u.ld + k * c.width..][..c.width];
                        *term = Term { c: u, x: &dw[k * per_row..], stride: c.width };
                    }
                    kernel.combine(Diagonals::of(&terms[..some], s, c.width, vectors.len(), true));
                }
            }
        }
        Form::Embedding => {
            for (r, s) in s.chunks_mut(ld).take(rows).enumerate() {
                let Some(row) = weight.row(u.data[r * u.ld]) else { continue };
                for (i, s) in s[..columns].iter_mut().enumerate() {
                    *s += dw[i % c.width * per_row + i / c.width * c.units + row];
                }
            }
        }
    }
}

/// G = U Vᵀ as far as the matrix is trained, plus one where a trained bias acts, formed in `memory`.
pub(super) fn gram_block<'m, T: Scalar, K: Kernel<T>>(
    c: &Coupled,
    u: MatRef<'_, T>,
    v: MatRef<'_, T>,
    memory: &'m mut [T],
    kernel: &K,
) -> MatRef<'m, T> {
    let (rows, cols) = (u.rows, v.rows);
    let g = &mut memory[..rows * cols];
    let one = if c.bias { T::one() } else { T::zero() };
    if c.form == Form::Embedding {
        for (i, g) in g.iter_mut().enumerate() {
            let same = u.data[i / cols * u.ld] == v.data[i % cols * v.ld];
            *g = if same { T::one() } else { T::zero() };
        }
    } else {
        g.fill(one);
        kernel.gemm(T::one(), Gemm::of(u, v.t(), MatMut::of(g, rows, cols, cols)), T::one());
    }
    MatRef::of(g, rows, cols, cols)
}
