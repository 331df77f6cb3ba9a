//! Leading singular triplets of an operator that is not symmetric.

use crate::space::{Budget, Space};
use crate::{block_krylov, Eigenpairs, Result, StopReason};

/// Singular triplets, largest first: A v = σ u, Aᵀu = σ v.
#[derive(Clone, Debug)]
pub struct Triplets<B> {
    /// σ.
    pub values: Vec<f64>,
    /// The larger of ‖A v − σ u‖ and ‖Aᵀu − σ v‖, over σ_1.
    pub residuals: Vec<f64>,
    /// u, this rank's trajectories.
    pub left: B,
    /// v, this rank's trajectories.
    pub right: B,
    /// Products with A Aᵀ spent; a pair of products with Aᵀ and with A counts as one.
    pub matvecs: usize,
    /// Why it stopped.
    pub stop: StopReason,
    /// Products, σ_1 and the largest residual on the way.
    pub history: Vec<[f64; 3]>,
}

/// Computes the `count` largest singular triplets of A from the eigenpairs of its Gram operator A Aᵀ, by [`block_krylov`]. Collective.
///
/// `gram`, `forward` and `adjoint` are the spaces of A Aᵀ, A and Aᵀ. u is an eigenvector, σ the root of its eigenvalue, v = Aᵀu/σ.
/// **Cost**: as the eigenpairs', and one more product of A Aᵀ a triplet. **Accuracy**: residuals are measured with the vectors returned; a singular
/// value far below σ_1 is known to √ε·σ_1 only, as it is squared on the way. Those of 0 have v = 0, and the residual says so.
pub fn singular_triplets<S: Space>(
    gram: &S,
    forward: &S,
    adjoint: &S,
    budget: &Budget,
    count: usize,
) -> Result<Triplets<S::Block>> {
    let reserve = count.min(budget.max_matvecs / 3);
    // σ = √λ: half of the relative error, and residuals of v are those of λ over σ.
    let inner = Budget { rtol: budget.rtol, max_matvecs: budget.max_matvecs - reserve };
    let Eigenpairs { values, residuals, vectors, matvecs, stop, history } = block_krylov(gram, &inner, count)?;
    let history = history.into_iter().map(|h| [h[0], h[1].max(0.0).sqrt(), h[2]]).collect();
    let sigma: Vec<f64> = values.iter().map(|l| l.max(0.0).sqrt()).collect();
    if reserve < sigma.len() || sigma.is_empty() {
        // Too few products to measure: what the eigenpairs' residuals say of σ.
        return Ok(Triplets {
            values: sigma,
            residuals,
            left: vectors,
            right: forward.zeros(0),
            matvecs,
            stop,
            history,
        });
    }
    let k = sigma.len();
    let back = adjoint.apply(&vectors)?;
    let inverse: Vec<f64> =
        (0..k * k).map(|i| if i / k == i % k && sigma[i / k] > 0.0 { 1.0 / sigma[i / k] } else { 0.0 }).collect();
    let right = forward.product(&back, &inverse, k);
    let diagonal: Vec<f64> = (0..k * k).map(|i| if i / k == i % k { sigma[i / k] } else { 0.0 }).collect();
    let mut there = forward.apply(&right)?;
    forward.add_product(&mut there, -1.0, &vectors, &diagonal);
    let mut here = back;
    forward.add_product(&mut here, -1.0, &right, &diagonal);
    let norms = [forward.dots(&there, &there)?, forward.dots(&here, &here)?];
    let scale = sigma[0];
    let over = |i: usize| norms[0][i].max(norms[1][i]).sqrt() / scale;
    let residuals: Vec<f64> = (0..k).map(|i| if scale > 0.0 { over(i) } else { 0.0 }).collect();
    let good = k == count.min(gram.len()) && residuals.iter().all(|&r| r <= budget.rtol);
    let stop = match stop {
        StopReason::Overflow => stop,
        _ if good => StopReason::Tolerance,
        StopReason::Exact | StopReason::Tolerance | StopReason::Budget | StopReason::Stagnated => StopReason::Budget,
    };
    Ok(Triplets { values: sigma, residuals, left: vectors, right, matvecs: matvecs + k, stop, history })
}
