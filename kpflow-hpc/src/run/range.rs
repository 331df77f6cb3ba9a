//! Operators whose squares leave the range of the floating-point numbers: they are scaled by a
//! power of two, and what is found of them is scaled back.
//!
//! ‖·‖_F², λ², tr² leave the range long before the numbers themselves do. Every estimator is
//! homogeneous in its operator: of 2^-k A it finds the same digits as
//! of A (a power of two is exact in binary floating point), and a value of degree d times 2^-dk. So
//! estimators know nothing of it: products are scaled as they
//! come ([`Problem::with_exponent`](crate::estimate::Problem::with_exponent)), k from one product
//! with a random vector, and what is found is scaled back here.

use super::analyse::Setting;
use crate::analysis::outputs::Degree;
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::estimate::{beyond, times_power, Estimate, Problem, StopReason, SKETCHES};
use crate::results::Record;

/// Exponents up to here need no scaling: fourth powers of the numbers, and sums of many, are within
/// the range.
fn mild<T: Real>() -> i32 {
    if T::epsilon().f64() > 1e-10 {
        12
    } else {
        120
    }
}

/// The least exponent at which products still have all their digits.
fn least<T: Real>() -> i32 {
    if T::epsilon().f64() > 1e-10 {
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
    pub fn of<T: Real>(problem: &Problem<'_, T>) -> Self {
        Self::from_size::<T>(size(problem))
    }

    /// That of an operator whose products with random vectors have numbers of this size.
    fn from_size<T: Real>(size: f64) -> Self {
        if size == 0.0 || !size.is_finite() {
            return Self::default();
        }
        let exponent = size.log2().round() as i32;
        let k = if exponent.abs() <= mild::<T>() { 0 } else { exponent / 2 * 2 };
        Self { k, lost: exponent < least::<T>() }
    }
}

/// The largest number of all ranks' of a product with a random vector. Collective.
pub(super) fn size<T: Real>(problem: &Problem<'_, T>) -> f64 {
    largest(problem, &problem.apply(&problem.draw(SKETCHES, 0, 1)).data)
}

/// The largest magnitude of some numbers, on all ranks. Collective.
pub(super) fn largest<T: Real>(problem: &Problem<'_, T>, numbers: &[T]) -> f64 {
    let largest = numbers.iter().fold(0.0, |m: f64, y| m.max(y.f64().abs()));
    // Numbers that are not negative are in the order of their bits.
    f64::from_bits(problem.grid().world().most([largest.to_bits()])[0])
}

/// What is found of 2^-k A, as of A: a number of degree 1.
pub(super) fn restored(e: Estimate, k: i32) -> Estimate {
    if k == 0 {
        return e;
    }
    let up = |x: f64| times_power(x, k);
    let history = e.history.iter().map(|h| [h[0], up(h[1]), up(h[2])]).collect();
    let value = up(e.value);
    let left = e.value.is_finite() && (value.is_infinite() || (e.value != 0.0 && !value.is_normal()));
    let stop = if left { StopReason::Overflow } else { e.stop };
    Estimate { value, standard_error: up(e.standard_error), matvecs: e.matvecs, stop, history }
}

impl<T: Real> Setting<'_, '_, T> {
    /// k of the operator 2^-k A that problems are of. Collective.
    pub fn exponent(&self) -> i32 {
        let find = || {
            // The diagonal blocks are of the operator's size, and need no sum over ranks.
            let size = size(&self.plain(&self.diagonal));
            // A product that is 0 where its factor's is not has vanished.
            let vanished = size == 0.0 && self.factor_size() > 0.0;
            let found = Exponent::from_size::<T>(size);
            Exponent { lost: found.lost || vanished, ..found }
        };
        let found = match self.shared {
            Some(shared) => *shared.exponent.get_or_init(find),
            None => find(),
        };
        self.lost.set(self.lost.get() || found.lost);
        self.scale.set(found.k);
        found.k
    }

    /// An exact number of degree 1, if its digits are within the range.
    pub fn in_range(&self, e: Estimate) -> Estimate {
        match e.value.abs() {
            0.0 => drop(self.exponent()),
            x => self.lost.set(self.lost.get() || x < f64::from(least::<T>()).exp2()),
        }
        e
    }

    /// Fails where an estimate was of products that have lost their digits.
    pub fn require_digits(&self) -> Result<()> {
        match self.lost.get() {
            true => Err(Error::run(format!("the operator's products vanish: {}", beyond::<T>()))),
            false => Ok(()),
        }
    }

    /// A number of degree 1 that was found of the scaled operator.
    pub fn up(&self, e: Estimate) -> Estimate {
        restored(e, self.exponent())
    }

    /// What was found of the scaled operator: the value and its history if it is of degree 1, all
    /// arrays by their own.
    pub fn up_record(&self, mut r: Record<T>, value: bool) -> Result<Record<T>> {
        let k = self.exponent();
        if k == 0 {
            return Ok(r);
        }
        let up = |x: &mut f64| *x = times_power(*x, k);
        if value {
            r.value.iter_mut().chain(&mut r.standard_error).for_each(up);
            r.history.iter_mut().for_each(|h| h[1..].iter_mut().for_each(up));
        }
        r.eigenvalues.iter_mut().flatten().for_each(up);
        let quantity = self.analysis.quantity.described();
        let degree = |name: &str| quantity.output(name).map_or(Degree::Power(0), |o| o.degree);
        for (name, _, numbers) in &mut r.arrays {
            match degree(name) {
                Degree::Power(degree) => numbers.iter_mut().for_each(|x| *x = times_power(*x, degree * k)),
                Degree::Log10 => {
                    numbers.iter_mut().for_each(|x| *x += f64::from(k) * std::f64::consts::LOG10_2);
                }
            }
        }
        let numbers = r.value.iter().chain(r.eigenvalues.iter().flatten());
        let mut numbers = numbers.chain(r.arrays.iter().filter(|a| degree(a.0) == Degree::Power(1)).flat_map(|a| &a.2));
        match numbers.any(|x| x.is_infinite()) {
            true => Err(Error::run(format!("a number of the result is out of range: {}", beyond::<T>()))),
            false => Ok(r),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_exact() {
        assert_eq!(times_power(1.5, 1023), 1.5 * 2f64.powi(1023));
        assert_eq!(times_power(times_power(1.1e-200, 1500), -1500), 1.1e-200);
        assert_eq!(times_power(1.0, 3000), f64::INFINITY);
        assert_eq!(times_power(1.0, -3000), 0.0);
        assert!(times_power(f64::NAN, 7).is_nan());
        assert_eq!(times_power(f64::INFINITY, -7), f64::INFINITY);
    }

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

    #[test]
    fn a_value_that_no_number_holds_is_no_value() {
        let e = |value| Estimate { standard_error: 0.1, ..Estimate::exact(value, 3) };
        assert_eq!(restored(e(1.0), 1100).stop, StopReason::Overflow);
        assert_eq!(restored(e(1.0), -1060).stop, StopReason::Overflow);
        assert_eq!(restored(e(0.0), -1060).stop, StopReason::Exact);
        let up = restored(e(1.5), 600);
        assert_eq!(
            (up.value, up.standard_error, up.stop),
            (1.5 * 2f64.powi(600), 0.1 * 2f64.powi(600), StopReason::Exact)
        );
    }
}
