//! Numbers that carry their own derivatives.

use crate::Scalar;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// What a unit-wise function may do with its arguments: run with plain numbers it gives values, with
/// [`Dual`] numbers exact derivatives as well.
pub trait Real:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// The plain number underneath.
    type Value: Scalar;

    /// A number that does not depend on anything.
    fn constant(x: f64) -> Self;

    /// The value alone.
    fn value(self) -> Self::Value;

    /// f(x), from f's value and its derivative at x.
    fn chain(self, f: Self::Value, df: Self::Value) -> Self;

    /// tanh x.
    #[inline]
    fn tanh(self) -> Self {
        let y = num_traits::Float::tanh(self.value());
        self.chain(y, Self::Value::one() - y * y)
    }

    /// The logistic function 1 / (1 + e⁻ˣ).
    #[inline]
    fn sigmoid(self) -> Self {
        let one = Self::Value::one();
        let y = one / (one + num_traits::Float::exp(-self.value()));
        self.chain(y, y * (one - y))
    }

    /// eˣ.
    #[inline]
    fn exp(self) -> Self {
        let y = num_traits::Float::exp(self.value());
        self.chain(y, y)
    }

    /// ln x.
    #[inline]
    fn ln(self) -> Self {
        let x = self.value();
        self.chain(num_traits::Float::ln(x), num_traits::Float::recip(x))
    }

    /// √x.
    #[inline]
    fn sqrt(self) -> Self {
        let y = num_traits::Float::sqrt(self.value());
        self.chain(y, Self::Value::of(0.5) / y)
    }

    /// sin x.
    #[inline]
    fn sin(self) -> Self {
        let (s, c) = num_traits::Float::sin_cos(self.value());
        self.chain(s, c)
    }

    /// cos x.
    #[inline]
    fn cos(self) -> Self {
        let (s, c) = num_traits::Float::sin_cos(self.value());
        self.chain(c, -s)
    }

    /// The error function.
    #[inline]
    fn erf(self) -> Self {
        let x = self.value();
        let y = Self::Value::of(libm::erf(x.f64()));
        self.chain(y, Self::Value::of(core::f64::consts::FRAC_2_SQRT_PI) * num_traits::Float::exp(-x * x))
    }

    /// |x|, with derivative 0 at 0.
    #[inline]
    fn abs(self) -> Self {
        let x = self.value();
        let sign = if x == Self::Value::zero() { x } else { num_traits::Float::signum(x) };
        self.chain(num_traits::Float::abs(x), sign)
    }

    /// xᵖ for a fixed p.
    #[inline]
    fn pow(self, p: f64) -> Self {
        let x = self.value();
        // Whole powers are exact for negative x too.
        let power = |p: f64| match p as i32 {
            whole if f64::from(whole) == p => num_traits::Float::powi(x, whole),
            _ => num_traits::Float::powf(x, Self::Value::of(p)),
        };
        let slope = if p == 0.0 { Self::Value::zero() } else { Self::Value::of(p) * power(p - 1.0) };
        self.chain(power(p), slope)
    }

    /// The larger of the two; where they are equal, the first.
    #[inline]
    fn max(self, other: Self) -> Self {
        if other.value() > self.value() {
            other
        } else {
            self
        }
    }

    /// max(x, 0), with derivative 0 at 0 as PyTorch has it.
    #[inline]
    fn relu(self) -> Self {
        let (zero, one) = (Self::Value::zero(), Self::Value::one());
        if self.value() > zero {
            self.chain(self.value(), one)
        } else {
            self.chain(zero, zero)
        }
    }
}

use num_traits::{One, Zero};

impl<T: Scalar> Real for T {
    type Value = T;
    #[inline(always)]
    fn constant(x: f64) -> Self {
        T::of(x)
    }
    #[inline(always)]
    fn value(self) -> T {
        self
    }
    #[inline(always)]
    fn chain(self, f: T, _df: T) -> Self {
        f
    }
}

/// A number with its derivatives with respect to `I` arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dual<T, const I: usize> {
    /// The value.
    pub value: T,
    /// ∂value/∂(argument i).
    pub partials: [T; I],
}

impl<T: Scalar, const I: usize> Dual<T, I> {
    /// The i-th argument itself, at value `x`; a constant if there is none of that number.
    #[inline]
    pub fn argument(x: T, i: usize) -> Self {
        let mut partials = [T::zero(); I];
        if let Some(partial) = partials.get_mut(i) {
            *partial = T::one();
        }
        Self { value: x, partials }
    }

    #[inline]
    fn zip(self, other: Self, value: T, f: impl Fn(T, T) -> T) -> Self {
        Self { value, partials: core::array::from_fn(|i| f(self.partials[i], other.partials[i])) }
    }
}

impl<T: Scalar, const I: usize> Add for Dual<T, I> {
    type Output = Self;
    #[inline]
    fn add(self, o: Self) -> Self {
        self.zip(o, self.value + o.value, |a, b| a + b)
    }
}

impl<T: Scalar, const I: usize> Sub for Dual<T, I> {
    type Output = Self;
    #[inline]
    fn sub(self, o: Self) -> Self {
        self.zip(o, self.value - o.value, |a, b| a - b)
    }
}

#[allow(clippy::suspicious_arithmetic_impl)] // the product rule
impl<T: Scalar, const I: usize> Mul for Dual<T, I> {
    type Output = Self;
    #[inline]
    fn mul(self, o: Self) -> Self {
        self.zip(o, self.value * o.value, |a, b| a * o.value + self.value * b)
    }
}

#[allow(clippy::suspicious_arithmetic_impl)] // the quotient rule
impl<T: Scalar, const I: usize> Div for Dual<T, I> {
    type Output = Self;
    #[inline]
    fn div(self, o: Self) -> Self {
        let y = self.value / o.value;
        self.zip(o, y, |a, b| (a - y * b) / o.value)
    }
}

impl<T: Scalar, const I: usize> Neg for Dual<T, I> {
    type Output = Self;
    #[inline]
    fn neg(self) -> Self {
        Self { value: -self.value, partials: self.partials.map(|a| -a) }
    }
}

impl<T: Scalar, const I: usize> Real for Dual<T, I> {
    type Value = T;
    #[inline]
    fn constant(x: f64) -> Self {
        Self { value: T::of(x), partials: [T::zero(); I] }
    }
    #[inline]
    fn value(self) -> T {
        self.value
    }
    #[inline]
    fn chain(self, f: T, df: T) -> Self {
        Self { value: f, partials: self.partials.map(|a| df * a) }
    }
}
