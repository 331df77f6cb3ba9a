//! Unit-wise functions of one or two arguments, as networks use them.

use super::{Real, UnitWise};
use num_traits::{Float, One, Zero};

/// A function φ of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// tanh x.
    Tanh,
    /// max(x, 0).
    Relu,
    /// x.
    Linear,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// x Φ(x), by the error function. Source: Hendrycks, Gimpel 2016.
    Gelu,
    /// Its approximation by tanh.
    GeluTanh,
    /// x · sigmoid(x).
    Silu,
    /// ln(1 + eˣ).
    Softplus,
    /// x above zero, slope · x below.
    LeakyRelu(f64),
    /// x above zero, α (eˣ − 1) below.
    Elu(f64),
    /// eˣ.
    Exp,
    /// ln x.
    Ln,
    /// √x.
    Sqrt,
    /// sin x.
    Sin,
    /// cos x.
    Cos,
    /// The error function.
    Erf,
    /// |x|.
    Abs,
    /// xᵖ.
    Pow(f64),
    /// scale · x + shift.
    Affine(f64, f64),
    /// x within [low, high].
    Clip(f64, f64),
}

impl Activation {
    /// φ(x).
    #[inline]
    pub fn of<R: Real>(self, x: R) -> R {
        let c = R::constant;
        let positive = |x: R| x.value() > c(0.0).value();
        match self {
            Activation::Tanh => x.tanh(),
            Activation::Relu => x.relu(),
            Activation::Linear => x,
            Activation::Sigmoid => x.sigmoid(),
            Activation::Gelu => c(0.5) * x * (c(1.0) + (x * c(core::f64::consts::FRAC_1_SQRT_2)).erf()),
            Activation::GeluTanh => {
                // √(2/π)
                let inner = c(0.797_884_560_802_865_4) * (x + c(0.044715) * x * x * x);
                c(0.5) * x * (c(1.0) + inner.tanh())
            }
            Activation::Silu => x * x.sigmoid(),
            // Written so that eˣ never overflows.
            Activation::Softplus if positive(x) => x + (c(1.0) + (-x).exp()).ln(),
            Activation::Softplus => (c(1.0) + x.exp()).ln(),
            Activation::LeakyRelu(_) | Activation::Elu(_) if positive(x) => x,
            Activation::LeakyRelu(slope) => c(slope) * x,
            Activation::Elu(alpha) => c(alpha) * (x.exp() - c(1.0)),
            Activation::Exp => x.exp(),
            Activation::Ln => x.ln(),
            Activation::Sqrt => x.sqrt(),
            Activation::Sin => x.sin(),
            Activation::Cos => x.cos(),
            Activation::Erf => x.erf(),
            Activation::Abs => x.abs(),
            Activation::Pow(p) => x.pow(p),
            Activation::Affine(scale, shift) => c(scale) * x + c(shift),
            Activation::Clip(low, high) if x.value() < c(low).value() => c(low.min(high)),
            Activation::Clip(_, high) if x.value() > c(high).value() => c(high),
            Activation::Clip(..) => x,
        }
    }
}

/// φ(s): one activation by itself.
impl UnitWise<1, 1> for Activation {
    fn eval<R: Real>(&self, [s]: [R; 1]) -> [R; 1] {
        [self.of(s)]
    }
}

/// A function of two numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arithmetic {
    /// a + b: a residual sum.
    Add,
    /// a − b.
    Sub,
    /// a · b.
    Mul,
    /// a / b.
    Div,
    /// The larger.
    Max,
    /// The smaller.
    Min,
    /// aᵇ, with PyTorch's derivative 0 by b at a = 0 ≤ b.
    Pow,
    /// a + scale · b: a step of a solver.
    Step(f64),
}

impl UnitWise<2, 1> for Arithmetic {
    fn eval<R: Real>(&self, [a, b]: [R; 2]) -> [R; 1] {
        [match *self {
            Arithmetic::Add => a + b,
            Arithmetic::Sub => a - b,
            Arithmetic::Mul => a * b,
            Arithmetic::Div => a / b,
            Arithmetic::Max => a.max(b),
            Arithmetic::Min => -(-a).max(-b),
            Arithmetic::Pow => power(a, b),
            Arithmetic::Step(scale) => a + R::constant(scale) * b,
        }]
    }
}

/// aᵇ. By a it has b aᵇ⁻¹, 0 where b is 0; by b it has aᵇ ln a, 0 where a is.
fn power<R: Real>(a: R, b: R) -> R {
    let (x, p, zero) = (a.value(), b.value(), R::Value::zero());
    let y = Float::powf(x, p);
    let by_base = if p == zero { zero } else { p * Float::powf(x, p - R::Value::one()) };
    let by_exponent = if x == zero && p >= zero { zero } else { y * Float::ln(x) };
    a.chain(y, by_base) + b.chain(zero, by_exponent)
}

/// φ(Σ s_i), of I numbers: sites whose sum goes through one activation.
#[derive(Clone, Copy, Debug)]
pub struct SumThen(pub Activation);

impl<const I: usize> UnitWise<I, 1> for SumThen {
    fn eval<R: Real>(&self, s: [R; I]) -> [R; 1] {
        let mut sum = s[0];
        s[1..].iter().for_each(|x| sum = sum + *x);
        [self.0.of(sum)]
    }
}

/// The largest; of equal ones the first.
#[derive(Clone, Copy, Debug)]
pub struct MaxOf;

impl<const I: usize> UnitWise<I, 1> for MaxOf {
    fn eval<R: Real>(&self, x: [R; I]) -> [R; 1] {
        let mut most = x[0];
        x[1..].iter().for_each(|x| most = most.max(*x));
        [most]
    }
}

/// a · x + b, of three numbers x, a, b.
#[derive(Clone, Copy, Debug)]
pub struct MultiplyAdd;

impl UnitWise<3, 1> for MultiplyAdd {
    fn eval<R: Real>(&self, [x, a, b]: [R; 3]) -> [R; 1] {
        [a * x + b]
    }
}

/// a where c is not zero, b where it is.
#[derive(Clone, Copy, Debug)]
pub struct Select;

impl UnitWise<3, 1> for Select {
    fn eval<R: Real>(&self, [c, a, b]: [R; 3]) -> [R; 1] {
        [if c.value() == R::constant(0.0).value() { b } else { a }]
    }
}

/// x + dt (k₁ + 2 k₂ + 2 k₃ + k₄) / 6: the step of the classical Runge–Kutta method.
#[derive(Clone, Copy, Debug)]
pub struct RungeKutta4 {
    /// The step of time.
    pub dt: f64,
}

impl UnitWise<5, 1> for RungeKutta4 {
    fn eval<R: Real>(&self, [x, a, b, c, d]: [R; 5]) -> [R; 1] {
        let two = R::constant(2.0);
        [x + R::constant(self.dt / 6.0) * (a + two * b + two * c + d)]
    }
}
