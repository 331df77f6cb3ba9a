//! Operators whose squares leave the range of the floating-point numbers: they are scaled by a
//! power of two, and what is found of them is scaled back.
//!
//! ‖·‖_F², λ², tr² leave the range long before the numbers themselves do. Every estimator is
//! homogeneous in its operator: of 2^-k A it finds the same digits as
//! of A (a power of two is exact in binary floating point), and a value of degree d times 2^-dk. So
//! estimators know nothing of it: products are scaled as they
//! come ([`Problem::with_exponent`]), k from one product
//! with a random vector, and what is found is scaled back here.

use crate::engine::{is_single, Engine, Real};
use crate::error::Result;
use kpflow_estimate::{Problem, Space, SKETCHES};

/// Exponents up to here need no scaling: fourth powers of the numbers, and sums of many, are within
/// the range.
fn mild<T: Real>() -> i32 {
    if is_single::<T>() {
        12
    } else {
        120
    }
}

/// The least exponent at which products still have all their digits.
pub(super) fn least<T: Real>() -> i32 {
    if is_single::<T>() {
        -126 + 24
    } else {
        -1022 + 53
    }
}

/// The power of two by which an operator is scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Exponent {
    /// It is taken for 2^-k A; even, so that A's factor is scaled too.
    pub k: i32,
    /// Whether its products are so small that digits are lost already.
    pub lost: bool,
}

impl Exponent {
    /// Finds it from one product with a random vector, which is neither counted nor written down.
    /// Collective.
    pub fn of<T: Real>(problem: &Problem<'_, T, Engine>, engine: &Engine) -> Result<Self> {
        Ok(Self::from_size::<T>(size(problem, engine)?))
    }

    /// That of an operator whose products with random vectors have numbers of this size.
    pub fn from_size<T: Real>(size: f64) -> Self {
        if size == 0.0 || !size.is_finite() {
            return Self::default();
        }
        let exponent = size.log2().round() as i32;
        let k = if exponent.abs() <= mild::<T>() { 0 } else { exponent / 2 * 2 };
        Self { k, lost: exponent < least::<T>() }
    }
}

/// What to do where numbers of this precision leave their range.
pub(super) fn beyond<T: Real>() -> &'static str {
    kpflow_estimate::beyond(T::epsilon().f64())
}

/// The largest number of all ranks' of a product with a random vector. Collective.
pub(super) fn size<T: Real>(problem: &Problem<'_, T, Engine>, engine: &Engine) -> Result<f64> {
    Ok(largest(&problem.apply(&problem.draw(SKETCHES, 0, 1))?.data, engine))
}

/// The largest magnitude of some numbers, on all ranks. Collective.
pub(super) fn largest<T: Real>(numbers: &[T], engine: &Engine) -> f64 {
    let largest = numbers.iter().fold(0.0, |m: f64, y| m.max(y.f64().abs()));
    // Numbers that are not negative are in the order of their bits.
    f64::from_bits(engine.grid().world().most([largest.to_bits()])[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_need_none_get_none() {
        assert_eq!(Exponent::from_size::<f64>(1e30), Exponent::default());
        assert_eq!(Exponent::from_size::<f64>(0.0), Exponent::default());
        let far = Exponent::from_size::<f64>(1e180);
        assert!(far.k == 598 && !far.lost);
        let near = Exponent::from_size::<f64>(1e-300);
        assert!(near.k < 0 && near.k % 2 == 0 && near.lost);
        assert!(Exponent::from_size::<f32>(1e20).k == 66 && Exponent::from_size::<f32>(1e-33).lost);
    }
}
