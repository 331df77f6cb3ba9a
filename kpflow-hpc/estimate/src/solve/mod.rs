//! Solves (A + σ²) X = B, their residuals, and the quadratic forms bᵀ (A + σ²)⁻¹ b.

mod conjugate_gradients;
mod preconditioner;
mod small_side;

pub use conjugate_gradients::{solve, solve_plainly};
pub use small_side::solve_by;

use crate::interval::Z;
use crate::space::{Block, Space};
use crate::{times_power, Estimate, Result, StopReason};

/// σ² of A + σ², and what is known of A.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// σ².
    pub variance: f64,
    /// k of an operator that stands for 2^-k A.
    pub exponent: i32,
    /// δ: what products may be off by, of their size, beyond what their precision rounds.
    pub delta: f64,
}

/// What solves (A + σ²) X = B.
#[derive(Clone, Debug)]
pub struct Solution<B> {
    /// X, a vector for each right-hand side.
    pub vectors: B,
    /// ‖b − (A + σ²) x‖ / ‖b‖ of each, by a product with the x that is returned; 0 where b is.
    pub residuals: Vec<f64>,
    /// ‖x − x*‖ ≤ ‖b − (A + σ²) x‖ / σ² of each, the rounding of the residual included.
    pub error_bounds: Vec<f64>,
    /// bᵀ (A + σ²)⁻¹ b of each.
    pub forms: Vec<f64>,
    /// Between which it is.
    pub form_intervals: Vec<[f64; 2]>,
    /// Operator products spent.
    pub matvecs: usize,
    /// Why it stopped.
    pub stop: StopReason,
    /// Products, the sum of the forms and the largest residual on the way.
    pub history: Vec<[f64; 3]>,
}

impl<B> Solution<B> {
    /// The sum of the quadratic forms over all right-hand sides: tr Bᵀ (A + σ²)⁻¹ B.
    pub fn form(&self) -> Estimate {
        let value: f64 = self.forms.iter().sum();
        let end = |i: usize| self.form_intervals.iter().map(|ends| ends[i]).sum::<f64>();
        let interval = [end(0).min(value), end(1).max(value)];
        let wider = (interval[1] - value).max(value - interval[0]);
        let history = self.history.clone();
        Estimate { value, interval, standard_error: wider / Z, matvecs: self.matvecs, stop: self.stop, history }
    }
}

/// A + σ² as it is solved with: u A + s, u a power of two that keeps both in range.
#[derive(Clone, Copy, Debug)]
struct Shifted {
    unit: f64,
    shift: f64,
    /// δ of [`Noise`].
    delta: f64,
}

impl Shifted {
    fn new(noise: Noise) -> Self {
        let shift = times_power(noise.variance, -noise.exponent).clamp(1e-300, 1e300);
        let unit = if shift > 1.0 { (-shift.log2().ceil()).exp2() } else { 1.0 };
        Self { unit, shift: shift * unit, delta: noise.delta }
    }

    /// (u A + s) x. Collective.
    fn apply<S: Space>(self, space: &S, x: &S::Block) -> Result<S::Block> {
        let y = space.apply(x)?;
        Ok(space.map(&[&y, x], |v| self.unit * v[0] + self.shift * v[1]))
    }

    /// b − (u A + s) x. Collective.
    fn residual<S: Space>(self, space: &S, b: &S::Block, x: &S::Block) -> Result<S::Block> {
        let y = space.apply(x)?;
        Ok(space.map(&[b, &y, x], |v| v[0] - self.unit * v[1] - self.shift * v[2]))
    }
}

/// Right-hand sides of norms near 1, and the powers of two that they were multiplied by.
struct Scaled<B> {
    b: B,
    /// Of the scaled ones.
    norms: Vec<f64>,
    factors: Vec<f64>,
}

impl<B: Block> Scaled<B> {
    /// Scales what there is. Collective.
    fn new<S: Space<Block = B>>(space: &S, b: &B) -> Result<Self> {
        /// The exponent of a factor that brings what has vanished, or left the range, when it was squared back to where
        /// squares are.
        const FAR: f64 = 600.0;
        let mut squares = space.dots(b, b)?;
        let mut b = space.copy(b);
        let mut powers = vec![0.0; squares.len()];
        let far = |s: &f64| !(1e-200..1e200).contains(s);
        if space.unknown(1) == 0 && space.epsilon() < 1e-10 && squares.iter().any(far) {
            let power = |s: &f64| {
                if !far(s) {
                    0.0
                } else if *s < 1.0 {
                    FAR
                } else {
                    -FAR
                }
            };
            powers = squares.iter().map(power).collect();
            space.scale(&mut b, &powers.iter().map(|p| p.exp2()).collect::<Vec<_>>());
            squares = space.dots(&b, &b)?;
        }
        // Factors that the precision holds.
        let most = if space.epsilon() < 1e-10 { 900.0 } else { 120.0 };
        let near = |s: &f64| if *s > 0.0 && s.is_finite() { (-0.5 * s.log2()).round().clamp(-most, most) } else { 0.0 };
        let more: Vec<f64> = squares.iter().map(|s| near(s).exp2()).collect();
        let norms = squares.iter().zip(&more).map(|(s, f)| s.sqrt() * f).collect();
        space.scale(&mut b, &more);
        let factors = powers.iter().zip(&more).map(|(p, f)| p.exp2() * f).collect();
        Ok(Self { b, norms, factors })
    }
}

/// What is known of one solution.
struct One {
    relative: f64,
    /// Whether its residual is as small as rounding leaves it.
    least: bool,
    bound: f64,
    form: f64,
    ends: [f64; 2],
}

/// What the residuals `r` say of solutions `x` of (u A + s) x = b, where ‖A‖ is about `norm`; all is brought back to A
/// and the b that was given. Collective.
fn finish<S: Space>(
    space: &S,
    (operator, scaled, norm): (Shifted, &Scaled<S::Block>, f64),
    mut x: S::Block,
    r: &S::Block,
    (rtol, stop, history): (f64, StopReason, Vec<[f64; 3]>),
) -> Result<Solution<S::Block>> {
    let Shifted { unit, shift, delta } = operator;
    let b = &scaled.b;
    let [rr, xr, bx, xx] = [space.dots(r, r)?, space.dots(&x, r)?, space.dots(b, &x)?, space.dots(&x, &x)?];
    let m = x.vectors();
    let one = |i: usize| {
        let (b, x, r) = (scaled.norms[i], xx[i].sqrt(), rr[i].sqrt());
        // What rounding may have hidden of r, in it and in the product: A x is as long as b and r at most.
        let own = 8.0 * space.epsilon() * ((unit * norm + shift) * x + b);
        let rounding = own + delta * (b + r);
        let back = unit / (scaled.factors[i] * scaled.factors[i]);
        // q = bᵀx + xᵀr + rᵀ(A + σ²)⁻¹r, of which the last is at least 0 and at most ‖r‖²/σ².
        let form = bx[i] + xr[i];
        let ends = [form - x * rounding, form + x * rounding + (r + rounding).powi(2) / shift];
        let relative = if b > 0.0 { r / b } else { 0.0 };
        let bound = unit * (r + rounding) / shift / scaled.factors[i];
        let least = r <= 8.0 * own;
        One { relative, least, bound, form: back * form, ends: ends.map(|e| back * e) }
    };
    let all: Vec<One> = (0..m).map(one).collect();
    let finite = all.iter().all(|a| a.relative.is_finite() && a.form.is_finite());
    let residuals: Vec<f64> = all.iter().map(|a| a.relative).collect();
    let within = residuals.iter().all(|r| *r <= rtol);
    let stop = match stop {
        _ if !finite => StopReason::Overflow,
        StopReason::Exact if all.iter().all(|a| a.least) => StopReason::Exact,
        StopReason::Exact | StopReason::Tolerance if !within => StopReason::Stagnated,
        StopReason::Budget | StopReason::Stagnated if within => StopReason::Tolerance,
        StopReason::Exact
        | StopReason::Tolerance
        | StopReason::Budget
        | StopReason::Stagnated
        | StopReason::Overflow => stop,
    };
    // In two steps: each is a power of two that the precision holds.
    space.scale(&mut x, &[unit]);
    space.scale(&mut x, &scaled.factors.iter().map(|f| f.recip()).collect::<Vec<_>>());
    Ok(Solution {
        vectors: x,
        residuals,
        error_bounds: all.iter().map(|a| a.bound).collect(),
        forms: all.iter().map(|a| a.form).collect(),
        form_intervals: all.iter().map(|a| a.ends).collect(),
        matvecs: space.matvecs(),
        stop,
        history,
    })
}
