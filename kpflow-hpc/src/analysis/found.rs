//! What an analysis has found.

use super::outputs::Degree;
use super::Quantity;
use kpflow_estimate::{normal_interval, times_power, Estimate, StopReason};

/// An estimate of 2^-k A, and the method that made it.
pub type Chosen = (Estimate, &'static str);

/// An array of a result: its name, shape and numbers.
pub type Named = (&'static str, Vec<usize>, Vec<f64>);

/// A tensor of the state's size.
#[derive(Debug)]
pub struct Tensor<B> {
    /// Its name.
    pub name: &'static str,
    /// Its vectors.
    pub block: B,
    /// Whether it is one tensor [B, T, N], not a list of them.
    pub single: bool,
}

/// What an analysis has found of 2^-k A; blocks are tensors of which every rank has a part.
#[derive(Debug)]
pub struct Found<B> {
    /// The method that was used.
    pub method: &'static str,
    /// Why it stopped.
    pub stop: StopReason,
    /// Said instead of the reason.
    pub status: Option<&'static str>,
    /// Products spent.
    pub matvecs: usize,
    /// The value.
    pub value: Option<f64>,
    /// Its standard error.
    pub standard_error: Option<f64>,
    /// The ends of its 95 % interval; where it is not said that of a normal number.
    pub interval: Option<[f64; 2]>,
    /// Products, value and standard error on the way.
    pub history: Vec<[f64; 3]>,
    /// Arrays of numbers.
    pub arrays: Vec<Named>,
    /// Tensors of the state's size.
    pub tensors: Vec<Tensor<B>>,
    /// Whether it is of A itself already.
    pub plain: bool,
}

impl<B> Found<B> {
    /// Of a method without randomness.
    pub fn exact(method: &'static str, matvecs: usize) -> Self {
        Self {
            method,
            stop: StopReason::Exact,
            status: None,
            matvecs,
            value: None,
            standard_error: Some(0.0),
            interval: None,
            history: Vec::new(),
            arrays: Vec::new(),
            tensors: Vec::new(),
            plain: false,
        }
    }

    /// A number.
    pub fn of((estimate, method): Chosen) -> Self {
        let Estimate { value, interval, standard_error, matvecs, stop, history } = estimate;
        let (value, standard_error, interval) = (Some(value), Some(standard_error), Some(interval));
        Self { stop, value, standard_error, interval, history, ..Self::exact(method, matvecs) }
    }

    /// The ends of the value's 95 % interval, where it has a value and an error.
    pub fn ends(&self) -> Option<[f64; 2]> {
        self.interval.or_else(|| Some(normal_interval(self.value?, self.standard_error?)))
    }

    /// With these arrays.
    pub fn with(self, arrays: Vec<Named>) -> Self {
        Self { arrays, ..self }
    }

    /// Says that it is of A itself.
    pub fn plain(self) -> Self {
        Self { plain: true, ..self }
    }

    /// Whether something has left the range of numbers.
    pub fn overflows(&self) -> bool {
        self.stop == StopReason::Overflow || self.value.is_some_and(f64::is_nan)
    }

    /// Makes what was found of 2^-k A that of A: every number by its degree. Says whether some number that was finite is not any more, or has lost its digits.
    pub fn restore(&mut self, quantity: &Quantity, k: i32) -> bool {
        if self.plain || k == 0 {
            return false;
        }
        let degree = |name: &str| quantity.output(name).map_or(Degree::Power(0), |o| o.degree);
        let mut left = false;
        let mut up = |x: &mut f64, degree: i32| {
            let before = *x;
            *x = times_power(*x, degree * k);
            left |= before.is_finite() && (x.is_infinite() || before != 0.0 && degree == 1 && !x.is_normal());
        };
        if let (Some(x), Degree::Power(d)) = (&mut self.value, degree("value")) {
            up(x, d);
        }
        if let (Some(ends), Degree::Power(d)) = (&mut self.interval, degree("value")) {
            *ends = ends.map(|x| times_power(x, d * k));
        }
        for (name, _, numbers) in &mut self.arrays {
            match degree(name) {
                Degree::Power(1) => {
                    let largest = numbers.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                    let mut most = largest;
                    up(&mut most, 1);
                    numbers.iter_mut().for_each(|x| *x = times_power(*x, k));
                }
                Degree::Power(d) => numbers.iter_mut().for_each(|x| *x = times_power(*x, d * k)),
                Degree::Log10 => {
                    numbers.iter_mut().for_each(|x| *x += f64::from(k) * std::f64::consts::LOG10_2);
                }
            }
        }
        if let (Some(x), Degree::Power(d)) = (&mut self.standard_error, degree("standard_error")) {
            *x = times_power(*x, d * k);
        }
        let [value, error] = quantity.history_degrees(self.method);
        for h in &mut self.history {
            (h[1], h[2]) = (times_power(h[1], value * k), times_power(h[2], error * k));
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{at_least_one, FROBENIUS, TRACE};

    #[test]
    fn an_interval_scales_with_its_value() {
        let estimate = Estimate { interval: [3.0, 6.0], ..Estimate::new(4.0, 0.5, 8, StopReason::Budget, Vec::new()) };
        for (quantity, degree) in [(&TRACE, 1), (&FROBENIUS, 1)] {
            let mut found: Found<()> = Found::of((estimate.clone(), "hutchinson"));
            assert!(!found.restore(quantity, 10));
            let by = f64::from(10 * degree).exp2();
            assert_eq!((found.value, found.ends()), (Some(4.0 * by), Some([3.0 * by, 6.0 * by])));
        }
        // What says no interval has that of a normal number, and what is exact its value.
        let plain: Found<()> = Found { value: Some(2.0), ..Found::exact("dense", 1) };
        assert_eq!(plain.ends(), Some([2.0, 2.0]));
        assert_eq!(Found::<()>::exact("block_krylov", 1).ends(), None);
    }

    #[test]
    fn a_rank_is_one_at_least() {
        let of = |value, error| {
            let estimate = Estimate::new(value, error, 8, StopReason::Budget, Vec::new());
            let found: Found<()> = at_least_one((estimate, "hutchinson")).unwrap();
            (found.value, found.interval.map(|i| i[0]))
        };
        assert_eq!(of(0.7, 0.5), (Some(1.0), Some(1.0)));
        assert_eq!(of(1.2, 0.5), (Some(1.2), Some(1.0)));
        assert_eq!(of(0.0, 0.0), (Some(0.0), Some(0.0)));
    }
}
