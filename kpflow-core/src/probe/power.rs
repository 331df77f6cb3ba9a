//! The norm of a symmetric operator by power iteration.

use super::gram::dot;
use super::Probe;
use crate::error::same;
use crate::{BlockMut, BlockRef, Error, LinearOperator, Scalar};

/// Why an iteration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The residual is small enough.
    Converged,
    /// The budget of products is spent.
    Budget,
    /// The operator gave a number that is not finite.
    NotFinite,
}

/// What [`power_iteration`] found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Power {
    /// λ = xᵀAx, the Ritz value of the unit vector x: never above the largest eigenvalue.
    pub ritz_value: f64,
    /// ‖A x − λ x‖: some eigenvalue of A is as near to λ.
    pub residual: f64,
    /// Products that were computed.
    pub num_matvecs: usize,
    /// Why it ended.
    pub reason: StopReason,
}

/// Estimates the largest eigenvalue, which is the norm, of a symmetric positive semidefinite A by `x ← A x / ‖A x‖`.
///
/// It starts from the probe's vector 0 and ends when `residual ≤ rtol · λ`. For an operator whose trajectories are all here.
/// **Shapes**: `x` and `y` hold one vector each, `scratch` is of `scratch_len(1)`; x is left as the Ritz vector. **Cost**: at most `max_matvecs` products.
/// **Accuracy**: the error of λ falls by (λ₂/λ₁)² a product and is at most residual² over the gap (Parlett 1998, §4.5); where the gap is small λ comes out
/// low, and a start orthogonal to the leading eigenvector, which a Gaussian probe almost surely is not, would miss it.
///
/// ```
/// use kpflow_core::operator::Dense;
/// use kpflow_core::probe::{power_iteration, Distribution, Probe, StopReason};
/// use kpflow_core::Shape;
/// let shape = Shape::new(1, 1, 2);
/// let op = Dense::new(&[2.0, 1.0, 1.0, 2.0], shape, shape)?;
/// let probe = Probe { seed: 0, stream: 0, distribution: Distribution::Gaussian };
/// let power = power_iteration(&op, &probe, 100, 1e-10, &mut [0.0; 2], &mut [0.0; 2], &mut [])?;
/// assert_eq!(power.reason, StopReason::Converged);
/// assert!((power.ritz_value - 3.0).abs() < 1e-9);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
///
/// **Errors**: if A is not square, `x` or `y` is not one vector long, or the scratch is too short.
pub fn power_iteration<T: Scalar>(
    op: &dyn LinearOperator<T>,
    probe: &Probe,
    max_matvecs: usize,
    rtol: f64,
    x: &mut [T],
    y: &mut [T],
    scratch: &mut [T],
) -> Result<Power, Error> {
    let shape = op.domain();
    same(shape, op.codomain())?;
    probe.fill(0, 0, BlockMut::new(shape, 1, x)?)?;
    let size = norm(x);
    if size > 0.0 {
        x.iter_mut().for_each(|x| *x = T::of(x.f64() / size));
    }
    let mut power = Power { ritz_value: 0.0, residual: f64::INFINITY, num_matvecs: 0, reason: StopReason::Budget };
    while power.num_matvecs < max_matvecs {
        op.apply(BlockRef::new(shape, 1, x)?, BlockMut::new(shape, 1, y)?, scratch)?;
        power.num_matvecs += 1;
        let (lambda, size) = (dot(x, y), norm(y));
        power.ritz_value = lambda;
        // From the difference itself: ‖y‖² − λ² would lose half of the digits.
        let square =
            x.iter().zip(&*y).map(|(x, y)| num_traits::Float::powi(y.f64() - lambda * x.f64(), 2)).sum::<f64>();
        power.residual = num_traits::Float::sqrt(square);
        if !size.is_finite() {
            power.reason = StopReason::NotFinite;
            break;
        }
        if power.residual <= rtol * num_traits::Float::abs(lambda) {
            power.reason = StopReason::Converged;
            break;
        }
        if power.num_matvecs < max_matvecs {
            x.iter_mut().zip(&*y).for_each(|(x, y)| *x = T::of(y.f64() / size));
        }
    }
    Ok(power)
}

fn norm<T: Scalar>(x: &[T]) -> f64 {
    num_traits::Float::sqrt(dot(x, x))
}
