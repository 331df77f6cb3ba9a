//! Leading eigenpairs from one block of products.

use crate::space::{Block, Small, Space};
use crate::trace::{Factors, Sketch};
use crate::{Error, Result};

/// Computes the leading eigenpairs of the Nyström approximation Â = Y (ΩᵀY)⁺ Yᵀ, Y = AΩ, of a positive semidefinite operator (Tropp, Yurtsever, Udell and
/// Cevher 2017). Collective.
///
/// A is shifted by ν = ε‖Y‖_F/√n, and the shift undone; a rank-deficient ΩᵀY is seen, not inverted.
/// **Cost**: no product beyond Y; O(n m²) flops. **Accuracy**: the values are at most A's, and near them where the spectrum has decayed by the end of the sketch.
/// **Errors**: A is not positive semidefinite.
pub(crate) fn nystrom<S: Space>(space: &S, sketch: &mut Sketch<S>, count: usize) -> Result<(Vec<f64>, S::Block)> {
    let (m, epsilon) = (sketch.y.vectors(), space.epsilon());
    let factors = sketch.factors(space)?;
    // The coefficients, once more as they go into a product, and YᵀY where it is good enough.
    let _held = space.hold(3 * m * m);
    // Â = (Y Fᵀ)(Y Fᵀ)ᵀ: its eigenvalues are those of (Y Fᵀ)ᵀ(Y Fᵀ).
    let (values, c, shift) = space.small(Small::of(m, 10.0, 4), |_| {
        let Factors { shift, root: f, inside, .. } = factors.ok_or(Error::NotFinite)?;
        let rank = inside.nrows();
        let flat: Vec<f64> = (0..rank * rank).map(|i| inside[(i / rank, i % rank)]).collect();
        let (values, vectors) = crate::small::eigen(&flat, rank);
        let k = count.min(values.iter().take_while(|v| **v > shift.max(epsilon * values[0])).count());
        let mut c = vec![0.0; m * k];
        for (j, value) in values.iter().enumerate().take(k) {
            for i in 0..m {
                c[i * k + j] = (0..rank).map(|p| f[(p, i)] * vectors[j * rank + p]).sum::<f64>() / value.sqrt();
            }
        }
        Ok((values[..k].iter().map(|v| v - shift).collect::<Vec<f64>>(), c, shift))
    })?;
    // As many as are asked for, where numbers do not say.
    let k = if c.is_empty() { space.unknown(count.min(m)) } else { values.len() };
    Ok((values, space.product(&sketch.shifted(space, shift), &c, k)))
}
