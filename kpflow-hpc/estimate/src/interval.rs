//! 95 % intervals, which need not be symmetric.

use crate::space::Blank;
use crate::{Estimate, StopReason};

/// A value and its standard error.
pub(crate) type ValueError = (f64, f64);

/// Half the width of a normal number's interval of 95 %, in standard errors.
pub const Z: f64 = 1.959963984540054;

/// A value, its standard error and its interval of 95 %, as an estimator makes them.
///
/// Standard errors have Student's factor in them already: 1.96 of them are the wider half of the interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    pub value: f64,
    pub error: f64,
    pub interval: [f64; 2],
}

impl Bar {
    /// What overflowed.
    pub const NAN: Self = Self { value: f64::NAN, error: f64::NAN, interval: [f64::NAN; 2] };

    /// A value and its interval. The value is inside, whatever corrections have made of it.
    pub fn within(value: f64, [low, high]: [f64; 2]) -> Self {
        let interval = [low.min(value), high.max(value)];
        let wider = (interval[1] - value).max(value - interval[0]);
        let error = if value.is_nan() || low.is_nan() || high.is_nan() { f64::NAN } else { wider / Z };
        Self { value, error, interval }
    }

    /// As a normal number has it.
    pub fn normal(value: f64, error: f64) -> Self {
        Self { value, error, interval: around(value, error) }
    }

    /// Of a positive number, a sum of squares: the standard error is that of the mean, with Student's factor.
    ///
    /// Where few squares come out small both their mean and its error are too small. The mean is a χ², nearly, whose cube root is normal (Wilson and Hilferty
    /// 1931), of a third of the relative error r. The interval is v (1 + z r/3)⁻³ … v (1 − z r/3)⁻³; where 1 − z r/3 is not above 0 the samples allow no upper end.
    pub fn positive(value: f64, error: f64) -> Self {
        if value <= 0.0 || error.is_nan() {
            let bar = Self::normal(value, error);
            return Self { interval: [bar.interval[0].max(value.min(0.0)), bar.interval[1]], ..bar };
        }
        let third = Z * error / value / 3.0;
        let low = value * (1.0 + third).powi(-3);
        let high = if third < 1.0 { value * (1.0 - third).powi(-3) } else { f64::INFINITY };
        Self::within(value, [low, high])
    }

    /// As an estimate.
    pub fn estimate(self, matvecs: usize, stop: StopReason, history: Vec<[f64; 3]>) -> Estimate {
        let Self { value, error, interval } = self;
        Estimate { value, interval, standard_error: error, matvecs, stop, history }
    }

    /// With a number added that has no error.
    pub fn plus(self, known: f64) -> Self {
        let Self { value, error, interval } = self;
        Self { value: value + known, error, interval: interval.map(|x| x + known) }
    }

    /// With an interval of at least so large a standard error.
    pub fn at_least(self, error: f64) -> Self {
        if error.is_nan() || self.error.is_nan() {
            return Self { error: f64::NAN, ..self };
        }
        let [low, high] = around(self.value, error);
        let interval = [self.interval[0].min(low), self.interval[1].max(high)];
        Self { error: self.error.max(error), interval, ..self }
    }

    /// The ends of the interval moved into what is possible. The value and the error are left.
    pub fn clamped(self, low: f64, high: f64) -> Self {
        Self { interval: clamped(self.interval, self.value, [low, high]), ..self }
    }
}

/// The ends of the 95 % interval of a normal number: value ± 1.96 errors; the value itself where there is no error.
pub fn around(value: f64, error: f64) -> [f64; 2] {
    if error == 0.0 {
        [value; 2]
    } else {
        [value - Z * error, value + Z * error]
    }
}

/// The ends of an interval moved into [low, high], but not beyond the value.
pub(crate) fn clamped(interval: [f64; 2], value: f64, [low, high]: [f64; 2]) -> [f64; 2] {
    [interval[0].max(low).min(value), interval[1].min(high).max(value)]
}

impl From<ValueError> for Bar {
    fn from((value, error): ValueError) -> Self {
        Self::normal(value, error)
    }
}

impl Blank for Bar {
    fn blank() -> Self {
        Self::normal(0.0, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_positive_number_has_a_positive_interval() {
        // χ² of 50 degrees of freedom, a relative error of 0.2: 32.36 … 71.42 of 50.
        let bar = Bar::positive(50.0, 10.0);
        assert!((bar.interval[0] - 34.6).abs() < 0.1 && (bar.interval[1] - 76.2).abs() < 0.1, "{bar:?}");
        assert!((Z * bar.error - (bar.interval[1] - 50.0)).abs() < 1e-12);
        let wide = Bar::positive(1.0, 2.0);
        assert!(wide.interval[0] > 0.0 && wide.interval[1].is_infinite() && wide.error.is_infinite());
        assert_eq!(Bar::positive(0.0, 0.0).interval, [0.0; 2]);
        assert_eq!(Bar::positive(2.0, 0.0).interval, [2.0; 2]);
    }

    #[test]
    fn ends_are_moved_and_the_value_is_not() {
        let bar = Bar::normal(1.2, 0.5).clamped(1.0, 3.0);
        assert_eq!((bar.value, bar.error, bar.interval[0]), (1.2, 0.5, 1.0));
        // A value beyond what is possible stays in its interval.
        assert_eq!(Bar::normal(0.5, 0.1).clamped(1.0, 3.0).interval, [0.5, 1.0f64.min(0.5 + Z * 0.1)]);
        assert!(Bar::normal(1.0, 0.0).at_least(0.1).interval == around(1.0, 0.1));
    }
}
