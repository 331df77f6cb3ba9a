//! Products AΩ in the coordinates where the core of their Nyström approximation is 1.

use crate::space::Space;
use crate::whitener::Whitener;
use crate::workers::Workers;
use crate::{Problem, Result, Tall};
use faer::Mat;
use kpflow_core::{Scalar, Shape};

/// G = F YᵀY Fᵀ for Y + νΩ in the place of Y, made of the tall Y Fᵀ: F YᵀY Fᵀ itself would lose what is below the square root of rounding. Collective.
///
/// Rows are taken a chunk after the other, in double precision, so that Y Fᵀ is nowhere whole.
/// **Cost**: 4·n·m² flops, half of them where F is a triangle, one sum of m² numbers over ranks, and n·m/2 numbers of memory at most.
pub(crate) fn gram_whitened<T: Scalar, M: Workers<T>>(
    problem: &Problem<'_, T, M>,
    y: &Tall<T>,
    (shift, omega): (f64, &Tall<T>),
    whitener: &Whitener,
) -> Result<Mat<f64>> {
    let (m, r, n) = (y.vectors, whitener.rank, y.shape.per_trajectory());
    if r == 0 {
        return Ok(Mat::zeros(0, 0));
    }
    let sum = problem.recall(r * r, || {
        let chunks = n.div_ceil(CHUNK);
        let pieces = y.shape.trajectories * chunks;
        let shares = shares(y.shape, m);
        let mut sums = vec![0.0; shares * r * r];
        problem.machine.for_each(shares, &mut sums, r * r, &mut [], 0, |share, sum, _: &mut [f64]| {
            let (mut x, mut z) = (vec![0.0; m * CHUNK], vec![0.0; r * CHUNK]);
            for piece in (share..pieces).step_by(shares) {
                let (b, first) = (piece / chunks, piece % chunks * CHUNK);
                let len = CHUNK.min(n - first);
                for (v, x) in x.chunks_mut(len).take(m).enumerate() {
                    let (y, omega) = (&y.part(b, v)[first..], &omega.part(b, v)[first..]);
                    x.iter_mut().zip(y.iter().zip(omega)).for_each(|(x, (y, o))| *x = y.f64() + shift * o.f64());
                }
                // Memory that is new is written before it is read.
                let beta = f64::from(u8::from(piece != share));
                whitener.add_gram(problem.machine, &x[..m * len], &mut z[..r * len], sum, beta);
            }
        });
        let mut out = vec![0.0; r * r];
        sums.chunks(r * r).for_each(|sum| out.iter_mut().zip(sum).for_each(|(o, s)| *o += s));
        Space::sum(problem, &mut out);
        out
    })?;
    Ok(Mat::from_fn(r, r, |i, j| sum[i.max(j) * r + i.min(j)]))
}

/// Numbers of a vector that are whitened at a time.
pub(crate) const CHUNK: usize = 512;

/// How many sums of m² numbers are made side by side, the same on any number of threads.
pub(crate) fn shares(shape: Shape, m: usize) -> usize {
    const HEIGHT: usize = 2;
    const SHARES: usize = 64;
    let pieces = shape.trajectories * shape.per_trajectory().div_ceil(CHUNK);
    (shape.len() / (HEIGHT * m).max(1)).clamp(1, SHARES).min(pieces.max(1))
}
