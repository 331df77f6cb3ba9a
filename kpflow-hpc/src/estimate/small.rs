//! Small dense problems, and the orthogonalisation that is made of them.

use super::{Problem, Tall};
use crate::engine::Real;

/// Eigenvalues, largest first, and eigenvectors (vector i in row i) of a symmetric row-major n × n matrix.
pub fn eigen(a: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    if n == 0 {
        return (Vec::new(), Vec::new());
    }
    let matrix = faer::Mat::from_fn(n, n, |i, j| 0.5 * (a[i * n + j] + a[j * n + i]));
    let eigen = matrix.self_adjoint_eigen(faer::Side::Lower).expect("the eigenvalues of a finite symmetric matrix");
    let (s, u) = (eigen.S().column_vector(), eigen.U());
    let values = (0..n).rev().map(|i| s[i]).collect();
    let vectors = (0..n).rev().flat_map(|i| (0..n).map(move |j| u[(j, i)])).collect();
    (values, vectors)
}

/// a b for row-major matrices `[m, k]` and `[k, n]`.
pub(super) fn multiply(a: &[f64], b: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for p in 0..k {
            let f = a[i * k + p];
            c[i * n..][..n].iter_mut().zip(&b[p * n..][..n]).for_each(|(c, b)| *c += f * b);
        }
    }
    c
}

/// An orthonormal basis Q of what is left of W beside an orthonormal basis, and how W is made of both.
pub(super) struct Orthogonal<T> {
    /// Q, with as many columns as W has independent directions.
    pub q: Tall<T>,
    /// R, row-major `[q.vectors, w.vectors]`: W = basis · C + Q R.
    pub r: Vec<f64>,
    /// C, row-major `[Σ basis vectors, w.vectors]`.
    pub c: Vec<f64>,
}

/// Orthogonalises W, whose largest column has norm `size`, against `basis` and within itself, dropping columns whose norm is below `floor`.
///
/// Three rounds of block Gram–Schmidt, each followed by an orthogonalisation by the eigenvectors of the scaled Gram matrix (SVQB: Stathopoulos
/// and Wu 2002), which shows the rank where Cholesky would break down. The first round's smallest directions may be all rounding, the second
/// makes them orthogonal roughly, the third to rounding.
pub(super) fn orthogonalise<T: Real>(
    problem: &Problem<'_, T>,
    basis: &[&Tall<T>],
    w: Tall<T>,
    size: f64,
    floor: f64,
) -> Orthogonal<T> {
    let m = w.vectors;
    let rows: usize = basis.iter().map(|q| q.vectors).sum();
    let mut c = vec![0.0; rows * m];
    let mut r: Vec<f64> = (0..m * m).map(|i| f64::from(u8::from(i / m == i % m))).collect();
    // Gram matrices are squares: brought near 1 by a power of two, they neither overflow nor vanish in single precision.
    let scale = if size > 0.0 && size.is_finite() { size.log2().round().exp2() } else { 1.0 };
    let (mut w, floor) = (w, floor / scale);
    let shrink = T::of(scale.recip());
    w.data.iter_mut().for_each(|x| *x *= shrink);
    for round in 0..3 {
        let k = w.vectors;
        let mut at = 0;
        for q in basis {
            let part = problem.gram(q, &w);
            w.add_product(-1.0, q, &part, problem.engine);
            let part = multiply(&part, &r, q.vectors, k, m);
            c[at * m..][..part.len()].iter_mut().zip(&part).for_each(|(c, p)| *c += p);
            at += q.vectors;
        }
        let floor = if round == 0 { floor } else { 0.1 };
        let (down, up, rank) = svqb(&problem.gram(&w, &w), k, floor, T::epsilon().f64());
        w = w.product(&down, rank, problem.engine);
        r = multiply(&up, &r, rank, k, m);
    }
    c.iter_mut().chain(&mut r).for_each(|x| *x *= scale);
    Orthogonal { q: w, r, c }
}

/// From a Gram matrix G = WᵀW: D `[k, rank]` with W D orthonormal, and U `[rank, k]` with W ≈ (W D) U.
fn svqb(g: &[f64], k: usize, floor: f64, epsilon: f64) -> (Vec<f64>, Vec<f64>, usize) {
    let norm: Vec<f64> = (0..k).map(|i| g[i * k + i].max(0.0).sqrt()).collect();
    let live: Vec<usize> = (0..k).filter(|&i| norm[i] > floor && norm[i] > 0.0 && norm[i].is_finite()).collect();
    let n = live.len();
    let scaled: Vec<f64> = live
        .iter()
        .flat_map(|&i| live.iter().map(|&j| g[i * k + j] / (norm[i] * norm[j])).collect::<Vec<_>>())
        .collect();
    let (values, vectors) = eigen(&scaled, n);
    // Below this the Gram matrix is rounding; what is lost with these directions is below rounding of W itself.
    let cut = (n as f64) * epsilon.max(1e-16) * values.first().copied().unwrap_or(0.0);
    let rank = values.iter().take_while(|&&v| v > cut).count();
    let (mut down, mut up) = (vec![0.0; k * rank], vec![0.0; rank * k]);
    for p in 0..rank {
        let root = values[p].sqrt();
        for (a, &i) in live.iter().enumerate() {
            down[i * rank + p] = vectors[p * n + a] / (root * norm[i]);
            up[p * k + i] = vectors[p * n + a] * root * norm[i];
        }
    }
    (down, up, rank)
}
