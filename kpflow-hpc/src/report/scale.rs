//! Axes as plotters wants them: where a number is, where the ticks are and what they say.

use super::plot::{Axis, Layer, Scale};
use super::text::raised;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// An axis with its range known.
#[derive(Clone, Debug)]
pub struct Placed {
    scale: Scale,
    from: f64,
    to: f64,
    reversed: bool,
    /// Ticks at most.
    most: usize,
}

impl Placed {
    /// An axis long enough for these numbers; `most` ticks at most.
    pub fn new(axis: &Axis, numbers: impl Iterator<Item = f64>, most: usize) -> Self {
        let log = axis.scale == Scale::Log;
        let fit = |x: &f64| x.is_finite() && x.abs() < 1e200 && (!log || *x > 1e-200);
        let given = axis.range.map(|r| [r.0, r.1]).into_iter().flatten();
        let numbers = numbers.filter(|_| axis.range.is_none()).chain(given).filter(fit);
        let zero = (axis.zero && !log).then_some(0.0);
        let (mut from, mut to) =
            numbers.chain(zero).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
        if from > to {
            (from, to) = (0.1, 1.0);
        }
        if let Scale::Names(names) = &axis.scale {
            (from, to) = (-0.5, names.len().max(1) as f64 - 0.5);
        } else if log {
            // At least a third of a decade, and a little more than the data.
            let (a, b) = (from.log10(), to.log10());
            let pad = if axis.range.is_some() { 0.0 } else { (0.04 * (b - a)).max(0.17 - (b - a) / 2.0).max(0.0) };
            (from, to) = (10f64.powf(a - pad), 10f64.powf(b + pad));
        } else {
            let flat = to - from <= 1e-12 * from.abs().max(to.abs());
            let pad = match (flat, axis.range) {
                (true, _) => 0.05 * to.abs().max(1e-3),
                (_, None) => 0.05 * (to - from),
                _ => 0.0,
            };
            // A side that is exactly 0 because 0 is to be seen has nothing beyond.
            let [low, high] = [from, to].map(|x| if zero.is_some() && x == 0.0 { 0.0 } else { pad });
            (from, to) = (from - low, to + high);
        }
        Self { scale: axis.scale.clone(), from, to, reversed: axis.reversed, most }
    }

    /// Whether a number can be shown at all.
    pub fn shows(&self, x: f64) -> bool {
        x.is_finite() && (self.scale != Scale::Log || x > 0.0)
    }
    /// Whether a number is within the axis.
    pub fn holds(&self, x: f64) -> bool {
        self.shows(x) && x >= self.from && x <= self.to
    }
    /// The nearest number that is within the axis.
    pub fn clamp(&self, x: f64) -> f64 {
        x.clamp(self.from, self.to)
    }
    /// The lower end, where bars begin; 0 if that is within.
    pub fn floor(&self) -> f64 {
        if self.scale == Scale::Log {
            self.from
        } else {
            self.clamp(0.0)
        }
    }
    /// Whether there are names at the ticks.
    pub fn has_names(&self) -> bool {
        matches!(self.scale, Scale::Names(_))
    }

    /// How far along the axis a number is: 0 … 1.
    pub fn at(&self, x: f64) -> f64 {
        let f = |x: f64| if self.scale == Scale::Log { x.max(1e-300).log10() } else { x };
        let at = (f(x) - f(self.from)) / (f(self.to) - f(self.from));
        if self.reversed {
            1.0 - at
        } else {
            at
        }
    }

    /// Where the ticks are.
    pub fn ticks(&self) -> Vec<f64> {
        let ticks = match &self.scale {
            Scale::Names(names) => {
                let step = names.len().div_ceil(self.most.max(1)).max(1);
                (0..names.len()).step_by(step).map(|i| i as f64).collect()
            }
            Scale::Log => self.decades(),
            Scale::Linear => self.even(0.0),
            Scale::Whole => self.even(1.0),
        };
        ticks.into_iter().filter(|x| self.holds(*x)).collect()
    }

    fn even(&self, least: f64) -> Vec<f64> {
        let step = step((self.to - self.from) / self.most.max(1) as f64).max(least);
        let first = (self.from / step - 1e-9).ceil();
        let count = ((self.to / step + 1e-9).floor() - first).clamp(0.0, 50.0) as usize;
        (0..=count).map(|i| (first + i as f64) * step).collect()
    }

    fn decades(&self) -> Vec<f64> {
        let (a, b) = (self.from.log10(), self.to.log10());
        if b - a < 0.7 {
            return self.even(0.0);
        }
        if b - a < 2.2 {
            let mantissas: &[f64] = if b - a < 1.3 { &[1.0, 2.0, 5.0] } else { &[1.0, 3.0] };
            let decades = a.floor() as i32..=b.ceil() as i32;
            return decades.flat_map(|d| mantissas.iter().map(move |m| m * 10f64.powi(d))).collect();
        }
        let every = ((b - a) / self.most.max(1) as f64).ceil().max(1.0) as i32;
        let decades = a.floor() as i32..=b.ceil() as i32;
        decades.filter(|d| d.rem_euclid(every) == 0).map(|d| 10f64.powi(d)).collect()
    }

    /// What a tick says.
    pub fn say(&self, x: f64) -> String {
        match &self.scale {
            Scale::Names(names) => names.get(x.round() as usize).cloned().unwrap_or_default(),
            Scale::Log if self.to / self.from >= 10f64.powf(2.2) => power(x),
            // Far apart, each has digits of its own.
            Scale::Log if self.to / self.from >= 10f64.powf(0.7) => super::text::short(x),
            Scale::Linear | Scale::Whole | Scale::Log => {
                let ticks = self.ticks();
                let step = ticks.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
                plain(x, if step.is_finite() { step } else { x.abs() })
            }
        }
    }
}

/// The number 1, 2 or 5 times a power of ten that is just not below this one.
fn step(rough: f64) -> f64 {
    let decade = 10f64.powf(rough.max(1e-300).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|m| m * decade).into_iter().find(|s| *s >= rough * (1.0 - 1e-9)).unwrap_or(rough)
}

/// A power of ten with its exponent raised.
pub fn power(x: f64) -> String {
    let exponent = x.log10().round() as i32;
    let mantissa = x / 10f64.powi(exponent);
    match exponent {
        -1..=3 => plain(x, x),
        _ if (mantissa - 1.0).abs() < 1e-6 => format!("10{}", raised(exponent)),
        _ => format!("{}·10{}", plain(mantissa, 0.1), raised(exponent)),
    }
}

/// A number as fine as a step asks for.
fn plain(x: f64, step: f64) -> String {
    if x == 0.0 || x.abs() < 1e-9 * step {
        return "0".into();
    }
    if x.abs() >= 1e6 || (x.abs() < 1e-3 && step < 1e-3) {
        let exponent = x.abs().log10().floor() as i32;
        let mantissa = x / 10f64.powi(exponent);
        let fine = step / 10f64.powi(exponent);
        return format!("{}·10{}", plain(mantissa, fine.max(1e-3)), raised(exponent)).replace('-', "−");
    }
    let decimals = (-(step * (1.0 + 1e-9)).log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{x:.decimals$}").replace('-', "−")
}

/// The axes of a plot, long enough for all its layers.
pub fn axes(x: &Axis, y: &Axis, layers: &[Layer], most: (usize, usize)) -> (Placed, Placed) {
    let all: Vec<_> = layers.iter().flat_map(Layer::extent).collect();
    (Placed::new(x, all.iter().filter_map(|p| p.0), most.0), Placed::new(y, all.iter().filter_map(|p| p.1), most.1))
}

impl Ranged for Placed {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        (f64::from(first) + f64::from(last - first) * self.at(*value)).round() as i32
    }
    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // plotters asks for labels with 1 point at least, for fine lines between them with another weight.
        if hint.bold_points() == 0 {
            Vec::new()
        } else {
            self.ticks()
        }
    }
    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Placed {
    fn format_ext(&self, value: &f64) -> String {
        self.say(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(scale: Scale, numbers: &[f64]) -> Vec<String> {
        let placed = Placed::new(&Axis::new("", scale), numbers.iter().copied(), 6);
        placed.ticks().into_iter().map(|t| placed.say(t)).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(said(Scale::Linear, &[0.0, 84.6]), ["0", "20", "40", "60", "80"]);
        assert_eq!(said(Scale::Linear, &[-0.013, 0.01]), ["−0.010", "−0.005", "0", "0.005", "0.010"]);
        assert_eq!(said(Scale::Whole, &[1.0, 3.0]), ["1", "2", "3"]);
        assert_eq!(said(Scale::Log, &[2.0, 400.0]), ["10", "100"].map(String::from));
        assert_eq!(said(Scale::Log, &[20.0, 90.0]), ["20", "50"]);
        assert_eq!(said(Scale::Log, &[20.0, 50.0]), ["20", "30", "40", "50"]);
        assert_eq!(said(Scale::Log, &[1e-9, 1e3]), ["10⁻⁹", "10⁻⁶", "10⁻³", "1", "1000"]);
        assert_eq!(said(Scale::Names(vec!["a".into(), "b".into()]), &[]), ["a", "b"]);
        assert_eq!(said(Scale::Linear, &[2e7, 9e7]), ["2·10⁷", "4·10⁷", "6·10⁷", "8·10⁷"]);
    }

    #[test]
    fn nothing_finite_still_makes_an_axis() {
        for scale in [Scale::Linear, Scale::Log, Scale::Whole, Scale::Names(Vec::new())] {
            for numbers in [&[][..], &[f64::NAN, f64::INFINITY], &[0.0, -1.0], &[5.0], &[0.0], &[1e-300, 1e300]] {
                let placed = Placed::new(&Axis::new("", scale.clone()), numbers.iter().copied(), 6);
                assert!(placed.from < placed.to, "{scale:?} {numbers:?}");
                assert!(placed.ticks().len() < 60);
                assert!(placed.at(placed.from).is_finite() && placed.at(1.0).is_finite());
            }
        }
    }
}
