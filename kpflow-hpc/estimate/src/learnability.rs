//! What gradient descent makes of an error signal, and in which order.

use crate::space::{Block, Small, Space};
use crate::{Eigenpairs, Error, Result};

/// How learnable an error signal is.
#[derive(Clone, Debug, Default)]
pub struct Learnability {
    /// eᵀAe / (‖e‖² λ_1): 1 where e is the leading mode, 0 where gradient descent cannot move it.
    pub value: f64,
    /// Its error, from the residual of λ_1.
    pub standard_error: f64,
    /// Where it is for every λ_1 that the residual allows.
    pub interval: [f64; 2],
    /// η eᵀAe: what one step of gradient descent takes off the loss, to first order.
    pub predicted_decrease: f64,
    /// (v_k·e)² / ‖e‖² of each mode.
    pub energies: Vec<f64>,
    /// 1/(η λ_k): steps in which a mode's error falls by a factor e; infinite for a mode of eigenvalue 0.
    pub time_constants: Vec<f64>,
}

/// Computes the learnability of an error signal e (∂L/∂z at the state) under A, mode by mode.
/// Collective.
///
/// e is one vector; or one for each unit, where A acts on positions and stands for A ⊗ 1: sums over
/// units then take the place of products.
///
/// With δz = −η A e, mode k of the error decays as exp(−η λ_k s) in step s, and the loss falls at first by η eᵀAe = η Σ_k λ_k (v_k·e)².
/// **Cost**: one product a vector. **Accuracy**: exact but for λ_1, within residual·λ_1 of an
/// eigenvalue. **Errors**: e is zero; there is no eigenpair.
pub fn learnability<S: Space>(
    space: &S,
    e: &S::Block,
    pairs: &Eigenpairs<S::Block>,
    learning_rate: f64,
) -> Result<Learnability> {
    let square: f64 = space.dots(e, e)?.iter().sum();
    let ae = space.apply(e)?;
    let form: f64 = space.dots(e, &ae)?.iter().sum();
    let along = space.gram(&pairs.vectors, e)?;
    space.small(Small::default(), |_| {
        if square == 0.0 || !square.is_finite() {
            return Err(Error::NoDirection(square));
        }
        let (Some(&leading), Some(&residual)) = (pairs.values.first(), pairs.residuals.first()) else {
            return Err(Error::NoPairs);
        };
        let value = if leading > 0.0 { form / (square * leading) } else { 0.0 };
        let energy = |c: &[f64]| c.iter().map(|c| c * c).sum::<f64>() / square;
        Ok(Learnability {
            value,
            standard_error: value.abs() * residual,
            interval: bounds(value, residual),
            predicted_decrease: learning_rate * form,
            energies: along.chunks(e.vectors()).map(energy).collect(),
            time_constants: pairs.values.iter().map(|l| 1.0 / (learning_rate * l.max(0.0))).collect(),
        })
    })
}

/// The ends of v/(1 ± r): of a positive semidefinite operator no learnability is beyond 1 but by rounding.
fn bounds(value: f64, residual: f64) -> [f64; 2] {
    let high = if residual < 1.0 { value / (1.0 - residual) } else { f64::INFINITY };
    crate::interval::clamped([value / (1.0 + residual), high], value, [0.0, 1.0])
}

impl crate::space::Blank for Learnability {
    fn blank() -> Self {
        Self::default()
    }
}
