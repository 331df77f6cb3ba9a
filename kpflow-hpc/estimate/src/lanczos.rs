//! Sums over eigenvalues by stochastic Lanczos quadrature, deflated by a Nyström approximation.

use crate::error::unless_stopped;
use crate::interval::{Bar, ValueError};
use crate::nystrom::nystrom;
use crate::quadrature::{Quadrature, Recurrence, Rule, TOGETHER};
use crate::sampling::{jackknife, within};
use crate::space::{Block, Budget, Small, Space, SKETCHES, TESTS};
use crate::trace::{most_probes, Sketch};
use crate::{Estimate, Result, StopReason};

/// Steps of a recurrence, at most: probes are worth more.
const STEPS: usize = 30;
/// The first look, at about so many products.
const FIRST: usize = 100;
/// Below so many products there is no sketch.
const LEAST: usize = 24;
/// Probes beyond the rank that make a sketch know all there is.
const OVERSAMPLING: usize = 10;

/// How so many products are spent.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Probes of the sketch.
    sketch: usize,
    /// Steps of a recurrence.
    steps: usize,
}

impl Plan {
    /// The steps of a recurrence are `length` times what probes of as many steps would be.
    fn new(products: usize, n: usize, rank: usize, length: f64) -> Self {
        let most = most_probes(n, [32, 512]);
        let all = (rank + OVERSAMPLING).min(n);
        let sketch = match products {
            // What is left looks whether that is all.
            _ if 5 * all <= 3 * products && all <= most => all,
            0..LEAST => 0,
            _ => (products / 2).min(most).min(n),
        };
        let left = products - sketch;
        let steps = (length * (left as f64).sqrt()) as usize;
        Self { sketch, steps: steps.clamp(3, STEPS).min(left / 4).max(3).min(n).min(left).max(1) }
    }
}

/// An approximation Â = Σ λ u uᵀ of the operator, and what of it the probes see.
#[derive(Default)]
struct Approximation {
    /// λ.
    values: Vec<f64>,
    /// ‖u‖², 1 but for rounding.
    lengths: Vec<f64>,
    /// For each probe x the spectral measure of Â that it sees, and how much of it there is.
    seen: Vec<(Recurrence, f64)>,
}

impl Approximation {
    /// Takes in what probe x, of length 1, has along each u; its recurrence has `steps` steps.
    fn see(&mut self, along: impl Iterator<Item = f64>, steps: usize) {
        let mut measure: Rule = self.values.iter().zip(along).map(|(value, c)| (*value, c * c)).collect();
        let inside: f64 = measure.iter().map(|(_, w)| w).sum();
        measure.push((0.0, (1.0 - inside).max(0.0)));
        self.seen.push((Recurrence::of(&measure, steps), inside.max(1.0)));
    }
}

/// Σ f(θ) τ² of a recurrence, less the last steps where it did not end.
fn integral<const K: usize>(run: &Recurrence, back: usize, f: &impl Fn(f64) -> [f64; K]) -> [f64; K] {
    let k = run.alpha.len();
    let steps = if run.ended || k == 0 { k } else { k.saturating_sub(back).max(1) };
    let nodes = if steps == 0 { Rule::new() } else { run.gauss(steps) };
    nodes.into_iter().fold([0.0; K], |mut s, (x, w)| {
        s.iter_mut().zip(f(x)).for_each(|(s, y)| *s += w * y);
        s
    })
}

/// A statistic `of` the means over probes of xᵀ f(A) x, or of tr f(Â) and the means of xᵀ (f(A) − f(Â)) x, with the jackknife's error, to which what two steps
/// more have changed is added: the quadratures' own error, which falls by a factor a step.
fn statistic<const K: usize>(
    n: usize,
    probes: &[Recurrence],
    known: Option<&Approximation>,
    f: &impl Fn(f64) -> [f64; K],
    of: &impl Fn([f64; K]) -> f64,
) -> ValueError {
    let count = probes.len();
    let mut base = [0.0; K];
    if let Some(known) = known {
        for (x, length) in known.values.iter().zip(&known.lengths) {
            base.iter_mut().zip(f(*x)).for_each(|(s, y)| *s += y * length);
        }
    }
    let integrals = |back: usize| -> Vec<[f64; K]> {
        let one = |(i, run): (usize, &Recurrence)| {
            let mut sum = integral(run, back, f);
            if let Some((hat, total)) = known.and_then(|k| k.seen.get(i)) {
                let less = integral(hat, back, f);
                sum.iter_mut().zip(less).for_each(|(s, l)| *s -= total * l);
            }
            // A probe's length is √n, a recurrence's vector's 1.
            sum.map(|s| n as f64 * s)
        };
        probes.iter().enumerate().map(one).collect()
    };
    let average = |all: &[[f64; K]], without: Option<usize>| {
        let mut sums = [0.0; K];
        for (_, x) in all.iter().enumerate().filter(|(i, _)| Some(*i) != without) {
            sums.iter_mut().zip(x).for_each(|(s, x)| *s += x);
        }
        let left = (count - usize::from(without.is_some())) as f64;
        of(std::array::from_fn(|i| base[i] + sums[i] / left))
    };
    let (now, before) = (integrals(0), integrals(2));
    let (value, error) = jackknife(count, |without| average(&now, without));
    let short = probes.iter().any(|r| !r.ended && r.alpha.len() < 3);
    let moved = (average(&now, None) - average(&before, None)).abs();
    (value, if short { f64::INFINITY } else { error + moved })
}

/// A sketch that grows, and what it knows of the operator.
struct Deflation<S: Space> {
    sketch: Sketch<S>,
    /// The vectors u.
    vectors: S::Block,
    known: Approximation,
    /// Probes that were looked at.
    looked: usize,
}

impl<S: Space> Deflation<S> {
    fn new(space: &S) -> Self {
        let (sketch, vectors) = (Sketch::new(space, SKETCHES), space.zeros(0));
        Self { sketch, vectors, known: Approximation::default(), looked: 0 }
    }

    /// Goes on to so many probes of the sketch; says whether products are finite. Where the operator is not positive semidefinite nothing is known. Collective.
    fn grow(&mut self, space: &S, probes: usize) -> Result<bool> {
        if probes <= self.sketch.y.vectors() {
            return Ok(true);
        }
        self.sketch.extend(space, probes)?;
        let squares = space.dots(&self.sketch.y, &self.sketch.y)?;
        if squares.iter().any(|s| !s.is_finite()) {
            return Ok(false);
        }
        (self.known, self.looked) = (Approximation::default(), 0);
        self.vectors = space.zeros(0);
        if let Some((values, vectors)) = unless_stopped(nystrom(space, &mut self.sketch, probes.min(space.rank())))? {
            let lengths = space.dots(&vectors, &vectors)?;
            self.vectors = vectors;
            self.known = Approximation { values, lengths, seen: Vec::new() };
        }
        Ok(true)
    }

    /// Looks at the probes of a quadrature that were not looked at yet. Collective.
    fn see(&mut self, space: &S, quadrature: &Quadrature) -> Result<()> {
        let k = self.vectors.vectors();
        if k == 0 {
            return Ok(());
        }
        while self.looked < quadrature.drawn {
            let first = self.looked;
            let m = TOGETHER.min(quadrature.drawn - first);
            let x = space.draw(TESTS, first, m);
            let along = space.gram(&self.vectors, &x)?;
            let scale = (quadrature.n as f64).sqrt().recip();
            for (v, run) in quadrature.probes.iter().skip(first).take(m).enumerate() {
                self.known.see((0..k).map(|i| along[i * m + v] * scale), run.alpha.len());
            }
            self.looked += m;
        }
        Ok(())
    }
}

/// Runs recurrences, and a sketch beside them, until a statistic is good enough or the budget is spent.
fn run<S: Space, const K: usize>(
    space: &S,
    budget: &Budget,
    f: impl Fn(f64) -> [f64; K],
    of: impl Fn([f64; K]) -> f64,
    (length, ends): (f64, [f64; 2]),
) -> Result<Estimate> {
    space.require_semidefinite()?;
    let (n, rank) = (space.len(), space.rank());
    let (mut quadrature, mut deflation) = (Quadrature::new(n), Deflation::new(space));
    let (mut history, mut stop) = (Vec::<[f64; 3]>::new(), StopReason::Budget);
    let mut stages = vec![budget.max_matvecs];
    while let Some(half) = stages.last().map(|last| last / 2).filter(|half| *half >= FIRST) {
        stages.push(half);
    }
    'stages: for products in stages.into_iter().rev() {
        let plan = Plan::new(products, n, rank, length);
        if !deflation.grow(space, plan.sketch)? {
            stop = StopReason::Overflow;
            break;
        }
        loop {
            let probes = (products.saturating_sub(space.matvecs()) / plan.steps).min(TOGETHER);
            if probes == 0 {
                break;
            }
            quadrature.extend(space, budget, probes, plan.steps)?;
            if !quadrature.is_finite() {
                stop = StopReason::Overflow;
                break 'stages;
            }
            deflation.see(space, &quadrature)?;
            let (value, error) = space.small(Small::default(), |_| {
                let plain = statistic(n, &quadrature.probes, None, &f, &of);
                let known = Some(&deflation.known).filter(|known| !known.values.is_empty());
                let deflated = known.map(|known| statistic(n, &quadrature.probes, Some(known), &f, &of));
                // Nearly always the second; where the spectrum is flat the first.
                let best = deflated.filter(|deflated| deflated.1 <= plain.1 || plain.1.is_nan()).unwrap_or(plain);
                let value = if best.0 > 0.0 { best.0.clamp(ends[0], ends[1]) } else { best.0.max(0.0) };
                // No error is below rounding.
                Ok((value, best.1.max(space.epsilon() * value)))
            })?;
            history.push([space.matvecs() as f64, value, error]);
            space.tell(value, error);
            let wide = Bar::positive(value, error).error;
            if space.may_stop(budget, within(budget.rtol.max(4.0 * space.epsilon()), wide, value)) {
                stop = StopReason::Tolerance;
                break 'stages;
            }
        }
    }
    if stop == StopReason::Overflow {
        return Ok(Estimate::overflow(space.matvecs(), history));
    }
    let (value, standard_error) = history.last().map_or((0.0, f64::INFINITY), |h| (h[1], h[2]));
    Ok(Estimate::positive(value, standard_error, space.matvecs(), stop, history).clamped(ends[0], ends[1]))
}

/// Estimates log det(I + A/σ²) of a positive semidefinite operator by stochastic Lanczos quadrature, deflated (Persson and Kressner, arXiv 2502.01888): of a Nyström
/// approximation Â exactly, of what it misses by the difference of two quadratures of as many steps. Collective.
///
/// `noise` is σ² and the k of an operator that stands for 2^-k A.
/// **Cost**: products as the tolerance asks: half of them, at most 512, for the sketch, or r + 10 where the operator's rank is at most r and that is less; the others
/// for recurrences of up to 30 steps, more probes and longer ones as the budget grows. Three blocks of the sketch's size and 30·8 vectors. **Accuracy**: standard error by the
/// jackknife over probes, and what the last two steps of the recurrences have changed added to it. Where the plain quadrature of the same probes has the smaller
/// error, it is that. **Errors**: the operator says that it is not positive semidefinite.
pub fn log_det<S: Space>(space: &S, budget: &Budget, noise: (f64, i32)) -> Result<Estimate> {
    run(space, budget, |x| [log_one_plus(x, noise)], |[s]| s, (1.0, [0.0, f64::INFINITY]))
}

/// Estimates the entropy rank exp(−Σ p log p), p = λ/tr A, of a positive semidefinite operator by stochastic Lanczos quadrature. Collective.
///
/// **Cost** and **accuracy** as [`log_det`]'s; trace and Σ λ log λ share their probes. Between 1 and the bound of the rank; 0 for the zero operator.
pub fn entropy_rank<S: Space>(space: &S, budget: &Budget) -> Result<Estimate> {
    let parts = |x: f64| if x > 0.0 { [x, x * x.ln()] } else { [0.0, 0.0] };
    let of = |[t, s]: [f64; 2]| if t > 0.0 { t * (-s / t).exp() } else { 0.0 };
    // x log x has no derivative at 0: recurrences are longer than those of a smooth function.
    run(space, budget, parts, of, (1.5, [1.0, (space.rank() as f64).max(1.0)]))
}

/// log det(I + A/σ²) from all eigenvalues.
pub fn log_det_of(values: &[f64], noise: (f64, i32)) -> f64 {
    values.iter().map(|x| log_one_plus(*x, noise)).sum()
}

/// log(1 + 2^k x/σ²), 0 for what is not above 0; also where the ratio is beyond all numbers.
fn log_one_plus(x: f64, (noise, k): (f64, i32)) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let power = f64::from(k) * std::f64::consts::LN_2;
    let log = x.ln() + power - noise.ln();
    match k {
        0 if (x / noise).is_finite() => (x / noise).ln_1p(),
        // Beyond the digits of 1 + r it is r's own logarithm, or r.
        _ if log > 40.0 => log,
        _ => log.exp().ln_1p(),
    }
}

/// The entropy rank from all eigenvalues.
pub fn entropy_rank_of(values: &[f64]) -> f64 {
    let trace: f64 = values.iter().filter(|x| **x > 0.0).sum();
    let sum: f64 = values.iter().filter(|x| **x > 0.0).map(|x| x / trace * (x / trace).ln()).sum();
    if trace > 0.0 {
        (-sum).exp()
    } else {
        0.0
    }
}
