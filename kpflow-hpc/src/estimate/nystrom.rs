//! Leading eigenpairs from one block of products.

use super::trace::{Factors, Sketch};
use super::{Problem, Tall};
use crate::engine::Real;
use crate::error::{Error, Result};

/// Computes the leading eigenpairs of the Nyström approximation Â = Y (ΩᵀY)⁺ Yᵀ, Y = AΩ, of a positive semidefinite operator (Tropp, Yurtsever, Udell and
/// Cevher 2017). Collective.
///
/// A is shifted by ν = ε‖Y‖_F/√n, and the shift undone; a rank-deficient ΩᵀY is seen, not inverted.
/// **Cost**: no product beyond Y; O(n m²) flops. **Accuracy**: the values are at most A's, and near them where the spectrum has decayed by the end of the sketch.
/// **Errors**: A is not positive semidefinite.
pub(super) fn nystrom<T: Real>(
    problem: &Problem<'_, T>,
    sketch: &mut Sketch<T>,
    count: usize,
) -> Result<(Vec<f64>, Tall<T>)> {
    let (m, epsilon) = (sketch.y.vectors, T::epsilon().f64());
    let factors = sketch.factors(problem)?.ok_or_else(|| Error::run("the products are not finite"))?;
    // Â = (Y Fᵀ)(Y Fᵀ)ᵀ: its eigenvalues are those of (Y Fᵀ)ᵀ(Y Fᵀ).
    let Factors { shift, root: f, inside, .. } = factors;
    let rank = inside.nrows();
    let flat: Vec<f64> = (0..rank * rank).map(|i| inside[(i / rank, i % rank)]).collect();
    let (values, vectors) = super::small::eigen(&flat, rank);
    let k = count.min(values.iter().take_while(|v| **v > shift.max(epsilon * values[0])).count());
    let mut c = vec![0.0; m * k];
    for (j, value) in values.iter().enumerate().take(k) {
        for i in 0..m {
            c[i * k + j] = (0..rank).map(|p| f[(p, i)] * vectors[j * rank + p]).sum::<f64>() / value.sqrt();
        }
    }
    Ok((values[..k].iter().map(|v| v - shift).collect(), sketch.shifted(shift).product(&c, k, problem.engine)))
}
