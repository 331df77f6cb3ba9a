//! What the forms of a weight site make of G = U Uᵀ: from S to δW, from δW to S, and G itself.

use crate::machine::{Kernel, MatMut, MatRef};
use crate::model::{Form, Graph, Site, Weight};
use crate::Scalar;
use core::ops::Range;

/// The trained sites of a graph.
pub(super) fn sites<'g, T: Scalar>(graph: &'g Graph<'_, T>) -> impl Iterator<Item = Site> + 'g {
    graph.sites()
}

/// The trained sites of one weight.
pub(super) fn sites_of<'g, T: Scalar>(graph: &'g Graph<'_, T>, weight: usize) -> impl Iterator<Item = Site> + 'g {
    graph.sites().filter(move |s| s.weight == weight)
}

/// Columns of s.
pub(super) fn width<T: Scalar>(graph: &Graph<'_, T>, site: &Site) -> usize {
    graph.variables()[site.output].width
}

/// The place of weight `w` among δW of one vector: every weight's matrix and then its bias, as far as they are trained.
pub(super) fn weight_place<T: Scalar>(graph: &Graph<'_, T>, w: usize) -> usize {
    graph.weights()[..w].iter().map(|w| w.parameters()).sum()
}

/// Whether all that a weight does is of one form whose G is a small matrix times I, so that the Gram side exists.
pub(super) fn has_gram<T: Scalar>(graph: &Graph<'_, T>, w: usize) -> bool {
    let all = |form| sites_of(graph, w).all(|s| s.form == form);
    all(Form::Dense) || all(Form::Embedding)
}

/// A part of δW of a weight: some rows of `[vector · n_out][n_in]`, and the same rows of `[vector · n_out]` for the bias.
pub(super) struct Stripe<'w, T> {
    pub rows: Range<usize>,
    /// Empty where the matrix is frozen.
    pub matrix: &'w mut [T],
    /// Empty where there is no bias or it is frozen.
    pub bias: &'w mut [T],
}

/// Adds Sᵀ U of some positions to a stripe of δW: `s` has a row a position and m · width columns, `u` a row a position.
pub(super) fn pull<T: Scalar, K: Kernel<T>>(
    form: Form,
    weight: &Weight<'_, T>,
    m: usize,
    s: MatRef<'_, T>,
    u: MatRef<'_, T>,
    stripe: &mut Stripe<'_, T>,
    kernel: &K,
) {
    let (first, count) = (stripe.rows.start, stripe.rows.len());
    if form == Form::Embedding {
        for r in 0..s.rows {
            let Some(row) = weight.row(u.data[r * u.ld]) else { continue };
            for v in 0..m {
                let Some(k) = (v * weight.n_out + row).checked_sub(first).filter(|&k| k < count) else { continue };
                let from = &s.data[r * s.ld + v * weight.n_in..][..weight.n_in];
                add(from, &mut stripe.matrix[k * weight.n_in..][..weight.n_in]);
            }
        }
        return;
    }
    let s = MatRef::new(&s.data[first.min(s.data.len())..], s.rows, count, s.ld);
    if weight.train_matrix && form == Form::Dense {
        let dw = MatMut::new(stripe.matrix, count, weight.n_in, weight.n_in);
        kernel.gemm(T::one(), s.t(), u, T::one(), dw);
    } else if weight.train_matrix {
        for r in 0..s.rows {
            let (s, u) = (&s.data[r * s.ld..][..count], &u.data[r * u.ld..][..weight.n_out]);
            for (j, (dw, s)) in stripe.matrix.iter_mut().zip(s).enumerate() {
                *dw += *s * u[(first + j) % weight.n_out];
            }
        }
    }
    if !stripe.bias.is_empty() {
        for r in 0..s.rows {
            add(&s.data[r * s.ld..][..s.cols], stripe.bias);
        }
    }
}

/// Writes S = U δWᵀ (+ δb): the adjoint of [`pull`] for all of δW. `s` has a row a position and m · width columns.
pub(super) fn push<T: Scalar, K: Kernel<T>>(
    form: Form,
    weight: &Weight<'_, T>,
    m: usize,
    u: MatRef<'_, T>,
    (matrix, bias): (&[T], &[T]),
    s: MatMut<'_, T>,
    kernel: &K,
) {
    let (rows, cols, ld) = (s.rows, s.cols, s.ld);
    let s = s.data;
    for r in 0..rows {
        let s = &mut s[r * ld..][..cols];
        if form == Form::Embedding {
            let row = weight.row(u.data[r * u.ld]);
            for (v, s) in s.chunks_exact_mut(weight.n_in).take(m).enumerate() {
                match row {
                    Some(row) => s.copy_from_slice(&matrix[(v * weight.n_out + row) * weight.n_in..][..weight.n_in]),
                    None => s.fill(T::zero()),
                }
            }
            continue;
        }
        if bias.is_empty() {
            s.fill(T::zero());
        } else {
            s.copy_from_slice(bias);
        }
        if weight.train_matrix && form == Form::Gain {
            let u = &u.data[r * u.ld..][..weight.n_out];
            for (s, dw) in s.chunks_exact_mut(weight.n_out).zip(matrix.chunks_exact(weight.n_out)) {
                s.iter_mut().zip(dw).zip(u).for_each(|((s, dw), u)| *s += *dw * *u);
            }
        }
    }
    if weight.train_matrix && form == Form::Dense {
        let matrix = MatRef::new(matrix, cols, weight.n_in, weight.n_in);
        kernel.gemm(T::one(), u, matrix.t(), T::one(), MatMut::new(s, rows, cols, ld));
    }
}

/// G = U Vᵀ as far as the matrix is trained, plus one where a trained bias acts, formed in `memory`.
pub(super) fn gram_block<'m, T: Scalar, K: Kernel<T>>(
    form: Form,
    weight: &Weight<'_, T>,
    u: MatRef<'_, T>,
    v: MatRef<'_, T>,
    memory: &'m mut [T],
    kernel: &K,
) -> MatRef<'m, T> {
    let (rows, cols) = (u.rows, v.rows);
    let g = &mut memory[..rows * cols];
    g.fill(if weight.bias_parameters() > 0 { T::one() } else { T::zero() });
    if form == Form::Embedding {
        for (i, g) in g.iter_mut().enumerate() {
            let same = u.data[i / cols * u.ld] == v.data[i % cols * v.ld];
            *g = if same { T::one() } else { T::zero() };
        }
    } else if weight.train_matrix {
        kernel.gemm(T::one(), u, v.t(), T::one(), MatMut::new(g, rows, cols, cols));
    }
    MatRef::new(g, rows, cols, cols)
}

fn add<T: Scalar>(x: &[T], y: &mut [T]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += *x);
}
