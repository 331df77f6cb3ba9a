//! Orthogonalisation of tall blocks that are spread over ranks.

use crate::small::multiply;
use crate::space::{Block, Small, Space};
use crate::Result;
use faer::{Mat, Side};

/// An orthonormal basis Q of what is left of W beside an orthonormal basis, and how W is made of both.
pub(crate) struct Orthogonal<B> {
    /// Q, with as many columns as W has independent directions.
    pub q: B,
    /// R, row-major `[q.vectors, w.vectors]`: W = basis · C + Q R.
    pub r: Vec<f64>,
    /// C, row-major `[Σ basis vectors, w.vectors]`.
    pub c: Vec<f64>,
}

/// Orthogonalises W, whose largest column has norm `size`, against `basis` and within itself, dropping columns whose norm is below `floor`.
///
/// Two rounds of block Gram–Schmidt, and a third where the second still found something, each followed by a Cholesky QR from a Gram matrix that is summed
/// in double precision, the first one shifted: CholeskyQR3 (Fukaya, Kannan, Nakatsukasa, Yamamoto and Yanagisawa 2020). Where Cholesky breaks down,
/// or W is too near to a lower rank for it to tell, R comes from a tall-skinny QR (Demmel, Grigori, Hoemmen and Langou 2012) and its singular values
/// show the rank.
/// **Cost**: 2·n·m² flops a round and a sum of m² numbers, beside 4·n·m per basis vector a round. **Accuracy**: Q is orthonormal to rounding, W = basis·C + QR to
/// rounding of `size`.
pub(crate) fn orthogonalise<S: Space>(
    space: &S,
    basis: &[&S::Block],
    w: S::Block,
    size: f64,
    floor: f64,
) -> Result<Orthogonal<S::Block>> {
    let m = w.vectors();
    let rows: usize = basis.iter().map(|q| q.vectors()).sum();
    let _held = space.hold((rows + 2 * m) * m);
    let mut c = space.small(Small::default(), |_| Ok(vec![0.0; rows * m]))?;
    let mut r = space.small(Small::default(), |_| Ok(crate::small::identity(m)))?;
    // Gram matrices are squares: brought near 1 by a power of two, they neither overflow nor vanish in single precision.
    let scale = if size > 0.0 && size.is_finite() { size.log2().round().exp2() } else { 1.0 };
    let (mut w, floor) = (w, floor / scale);
    space.scale(&mut w, &[scale.recip()]);
    for round in 0..3 {
        let k = w.vectors();
        let mut at = 0;
        for q in basis {
            let part = space.gram(q, &w)?;
            space.add_product(&mut w, -1.0, q, &part);
            let flops = 2.0 * (q.vectors() * k) as f64 * m as f64;
            let part = space.small(Small { flops, numbers: q.vectors() * (k + m) }, |machine| {
                Ok(multiply(machine, &part, &r, [q.vectors(), k, m]))
            })?;
            c.iter_mut().skip(at * m).zip(&part).for_each(|(c, p)| *c += p);
            at += q.vectors();
        }
        let step = step(space, &w, if round == 0 { floor } else { 0.1 }, round)?;
        // Without numbers as many directions as there can be, and two rounds, which nearly always are enough.
        let rank = match &step {
            Some(step) => step.rank,
            None => space.unknown(k.min(space.len().saturating_sub(rows))),
        };
        let Step { down, up, last, .. } = step.unwrap_or(Step { last: round > 0, ..Step::default() });
        w = space.product(&w, &down, rank);
        r = space.small(Small { flops: 2.0 * (rank * k * m) as f64, numbers: 2 * rank * m }, |machine| {
            Ok(multiply(machine, &up, &r, [rank, k, m]))
        })?;
        if last {
            break;
        }
    }
    c.iter_mut().chain(&mut r).for_each(|x| *x *= scale);
    Ok(Orthogonal { q: w, r, c })
}

/// D `[k, rank]`, with W D nearer to orthonormal than W, and U `[rank, k]` with W ≈ (W D) U.
#[derive(Default)]
struct Step {
    down: Vec<f64>,
    up: Vec<f64>,
    rank: usize,
    /// W was so near to orthonormal that W D is, to rounding.
    last: bool,
}

/// The step that the Gram matrix of W calls for; `None` where there are no numbers.
fn step<S: Space>(space: &S, w: &S::Block, floor: f64, round: usize) -> Result<Option<Step>> {
    let (k, epsilon) = (w.vectors(), space.epsilon());
    let g = space.symmetric_gram(w, w, 0)?;
    space.perhaps(|| space.triangle(&space.product(w, &[], k)).map(drop))?;
    // Of columns of norm 1: what is small against the others is as good a direction.
    let scaled = space.small(Small::of(k, 1.0, 6), |_| {
        let norm: Vec<f64> = (0..k).map(|i| g[i * k + i].max(0.0).sqrt()).collect();
        let live: Vec<usize> = (0..k).filter(|&i| norm[i] > floor && norm[i] > 0.0 && norm[i].is_finite()).collect();
        let of = |i: usize, j: usize| g[live[i] * k + live[j]] / (norm[live[i]] * norm[live[j]]);
        let scaled = Mat::from_fn(live.len(), live.len(), of);
        let found = if live.is_empty() { None } else { cholesky(&scaled, epsilon, round) };
        Ok(Some((norm, live, found)))
    })?;
    let Some((norm, live, found)) = scaled else { return Ok(None) };
    let n = live.len();
    if n == 0 {
        return Ok(Some(Step { last: true, ..Step::default() }));
    }
    let (down, up) = match found {
        Some(found) => found,
        None => {
            let unit: Vec<f64> =
                (0..k * n).map(|i| if live[i % n] == i / n { 1.0 / norm[i / n] } else { 0.0 }).collect();
            singular(&space.triangle(&space.product(w, &unit, n))?, epsilon)
        }
    };
    let rank = down.ncols();
    // ‖WᵀW − 1‖_F < 1/2: nothing that the round before left was lost to the basis or to other columns, and twice is enough.
    let off = |(i, x): (usize, &f64)| (x - f64::from(u8::from(i / k == i % k))).powi(2);
    let last = round > 0 && g.iter().enumerate().map(off).sum::<f64>() < 0.25;
    let mut out = Step { down: vec![0.0; k * rank], up: vec![0.0; rank * k], rank, last };
    for (a, &i) in live.iter().enumerate() {
        for p in 0..rank {
            out.down[i * rank + p] = down[(a, p)] / norm[i];
            out.up[p * k + i] = up[(p, a)] * norm[i];
        }
    }
    Ok(Some(out))
}

/// R⁻¹ and R of G + s = RᵀR, s = 0 but in the first round; `None` where the triangle is too near to singular to be trusted.
fn cholesky(g: &Mat<f64>, epsilon: f64, round: usize) -> Option<(Mat<f64>, Mat<f64>)> {
    let n = g.nrows();
    let shift = if round == 0 { 11.0 * n as f64 * f64::EPSILON } else { 0.0 };
    let shifted = Mat::from_fn(n, n, |i, j| 0.5 * (g[(i, j)] + g[(j, i)]) + if i == j { shift } else { 0.0 });
    let l = shifted.llt(Side::Lower).ok()?.L().to_owned();
    // The Gram matrix is right to the precision of the products that it is made of; below the root of that it is rounding.
    let least = (0..n).fold(f64::INFINITY, |m: f64, i| m.min(l[(i, i)]));
    if least.is_nan() || least * least <= 1e3 * (n as f64) * epsilon {
        return None;
    }
    let mut inverse = Mat::<f64>::identity(n, n);
    let lower = Mat::from_fn(n, n, |i, j| if i >= j { l[(i, j)] } else { 0.0 });
    faer::linalg::triangular_solve::solve_lower_triangular_in_place(lower.as_ref(), inverse.as_mut(), faer::Par::Seq);
    Some((inverse.transpose().to_owned(), lower.transpose().to_owned()))
}

/// V Σ⁻¹ and Σ Vᵀ of a triangle R = U Σ Vᵀ, without what is rounding.
fn singular(r: &Mat<f64>, epsilon: f64) -> (Mat<f64>, Mat<f64>) {
    let n = r.ncols();
    let Ok(svd) = r.thin_svd() else { return (Mat::zeros(n, 0), Mat::zeros(0, n)) };
    let (s, v) = (svd.S().column_vector(), svd.V());
    let cut = 64.0 * (n as f64) * epsilon * s[0];
    let rank = (0..s.nrows()).take_while(|&i| s[i] > cut).count();
    (Mat::from_fn(n, rank, |i, p| v[(i, p)] / s[p]), Mat::from_fn(rank, n, |p, i| v[(i, p)] * s[p]))
}
