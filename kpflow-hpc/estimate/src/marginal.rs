//! Marginals: partial traces onto one or two axes of the state.

use crate::sampling::{jackknife, of, pooled, within, ValueError, MIN_SAMPLES};
use crate::small::eigen;
use crate::space::{Budget, Small, Space, TESTS};
use crate::split::{Kept, Split};
use crate::{Error, Result, StopReason};
use kpflow_core::probe::Running;
use kpflow_core::Shape;

/// The largest marginal.
pub const MARGINAL_LIMIT: usize = 1024;
/// Groups of samples that the jackknife leaves out one at a time.
const GROUPS: usize = 32;

/// A partial trace with its errors.
#[derive(Clone, Debug)]
pub struct Marginal {
    /// d.
    pub size: usize,
    /// `[d, d]`, symmetric.
    pub matrix: Vec<f64>,
    /// Standard errors, `[d, d]`.
    pub errors: Vec<f64>,
    /// Largest first.
    pub eigenvalues: Vec<f64>,
    /// Vector i in row i: the modes along the axis.
    pub eigenvectors: Vec<f64>,
    /// tr(M)² / ‖M‖_F² and its standard error.
    pub effective_rank: ValueError,
    /// tr M and its standard error.
    pub trace: ValueError,
    /// Products spent.
    pub matvecs: usize,
    /// Why it stopped.
    pub stop: StopReason,
    /// Products, tr M and its standard error on the way.
    pub history: Vec<[f64; 3]>,
}

impl Marginal {
    /// What is known without numbers.
    fn empty(size: usize, matvecs: usize, stop: StopReason) -> Self {
        Self {
            size,
            matrix: Vec::new(),
            errors: Vec::new(),
            eigenvalues: Vec::new(),
            eigenvectors: Vec::new(),
            effective_rank: (0.0, 0.0),
            trace: (0.0, 0.0),
            matvecs,
            stop,
            history: Vec::new(),
        }
    }
}

/// Samples of a matrix: their mean, scatter, and groups for the jackknife.
struct Samples {
    size: usize,
    entries: Vec<Running>,
    trace: Running,
    /// Sums of the samples of a group, and how many they are.
    groups: Vec<(Vec<f64>, f64)>,
}

impl Samples {
    fn push(&mut self, sample: &[f64]) {
        let d = self.size;
        let symmetric: Vec<f64> = (0..d * d).map(|i| 0.5 * (sample[i] + sample[i % d * d + i / d])).collect();
        self.entries.iter_mut().zip(&symmetric).for_each(|(e, &x)| e.push(x));
        self.trace.push((0..d).map(|i| symmetric[i * d + i]).sum());
        let group = (self.trace.count() as usize - 1) % GROUPS;
        match self.groups.get_mut(group) {
            Some((sum, count)) => {
                sum.iter_mut().zip(&symmetric).for_each(|(s, x)| *s += x);
                *count += 1.0;
            }
            None => self.groups.push((symmetric, 1.0)),
        }
    }

    /// tr²/‖M‖²: the square of a noisy matrix is too large, so it is taken from pairs of groups, which have no noise in common.
    fn effective_rank(&self) -> ValueError {
        let (d, n) = (self.size, self.groups.len());
        let means: Vec<Vec<f64>> = self.groups.iter().map(|(s, c)| s.iter().map(|x| x / c).collect()).collect();
        let traces: Vec<f64> = means.iter().map(|m| (0..d).map(|i| m[i * d + i]).sum()).collect();
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let whole: Vec<f64> = (0..d * d).map(|i| means.iter().map(|m| m[i]).sum()).collect();
        let (own, cross): (Vec<f64>, Vec<f64>) = means.iter().map(|m| (dot(m, m), dot(m, &whole))).unzip();
        let (all, owns, trace) = (dot(&whole, &whole), own.iter().sum::<f64>(), traces.iter().sum::<f64>());
        let statistic = |without: Option<usize>| {
            let (count, pairs, trace) = match without {
                None => (n as f64, all - owns, trace),
                Some(i) => (n as f64 - 1.0, all - 2.0 * cross[i] + own[i] - (owns - own[i]), trace - traces[i]),
            };
            let square = pairs / (count * (count - 1.0));
            if square > 0.0 {
                (trace / count).powi(2) / square
            } else {
                f64::INFINITY
            }
        };
        let plain = if all > 0.0 { trace * trace / all } else { 0.0 };
        if n < 3 || all == 0.0 {
            return (plain, if all == 0.0 { 0.0 } else { f64::INFINITY });
        }
        match jackknife(n, statistic) {
            (value, error) if value.is_finite() && error.is_finite() => (value, error),
            _ => (plain, f64::INFINITY),
        }
    }

    fn finish(self, matvecs: usize, stop: StopReason, history: Vec<[f64; 3]>) -> Marginal {
        let matrix: Vec<f64> = self.entries.iter().map(Running::mean).collect();
        let errors = self.entries.iter().map(|e| of(e).1).collect();
        let (eigenvalues, eigenvectors) = eigen(&matrix, self.size);
        let (effective_rank, trace) = (self.effective_rank(), of(&self.trace));
        Marginal {
            size: self.size,
            matrix,
            errors,
            eigenvalues,
            eigenvectors,
            effective_rank,
            trace,
            matvecs,
            stop,
            history,
        }
    }
}

/// Estimates the partial trace of a symmetric operator onto the kept axes: for the time axis `M[t, t'] = Σ_{b,j} A[(b,t,j), (b,t',j)]`. Collective.
///
/// Where ten samples of d products each are within the budget, the probes have structure, e_i ⊗ s with random signs s along the axes that are traced
/// out: what A couples between different i makes no noise, and A = G ⊗ I is found exactly. Otherwise all signs are random, and one product is a sample of the
/// whole matrix, Σ_rest x[i, rest] (A x)[i', rest]. A product says as much in the mean either way.
/// For axes without the trajectory pass the block diagonal ⊕_b A_bb: it has the same marginals, and no noise between trajectories.
/// **Cost**: the budget or less; GROUPS·d² numbers. **Accuracy**: entrywise standard errors over samples; ‖M‖_F² in the effective rank is
/// a U-statistic of pairs of samples, its error the jackknife's. `rtol` is on 1.96 ‖errors‖_F/‖M‖_F. **Errors**: d beyond [`MARGINAL_LIMIT`].
pub fn marginal<S: Space>(space: &S, budget: &Budget, kept: Kept) -> Result<Marginal> {
    let split = Split { shape: space.shape().with_trajectories(space.trajectories()), kept };
    let d = split.count(true);
    require_marginal(d)?;
    let structured = is_structured(budget.max_matvecs, d);
    let mut samples =
        Samples { size: d, entries: vec![Running::default(); d * d], trace: Running::default(), groups: Vec::new() };
    // Means and scatters of the entries, and the groups of the jackknife.
    let groups = GROUPS.min(budget.max_matvecs / if structured { d } else { 1 });
    let _held = space.hold((3 + groups) * d * d);
    let (mut history, mut stop, mut first) = (Vec::new(), StopReason::Budget, 0);
    loop {
        let each = if structured { d } else { 1 };
        let left = budget.max_matvecs.saturating_sub(space.matvecs()) / each;
        let m = if structured { left.min(1) } else { left.min(space.block()) };
        if m == 0 {
            break;
        }
        let new = if structured { by_columns(space, &split, first)? } else { by_signs(space, &split, first, m)? };
        first += m;
        if new.iter().any(|x| !x.is_finite()) {
            stop = StopReason::Overflow;
            break;
        }
        let done = space.small(Small { flops: 0.0, numbers: 2 * d * d }, |_| {
            new.chunks((d * d).max(1)).for_each(|s| samples.push(s));
            let (value, error) = of(&samples.trace);
            history.push([space.matvecs() as f64, value, error]);
            space.tell(value, error);
            let norm: f64 = samples.entries.iter().map(|e| e.mean().powi(2)).sum();
            let squares: Vec<f64> = samples.entries.iter().map(|e| e.standard_error().powi(2)).collect();
            let error = pooled(squares.iter().sum(), 0.0, samples.trace.count() as f64 - 1.0);
            Ok(samples.trace.count() as usize >= MIN_SAMPLES && within(budget.rtol, error, norm.sqrt()))
        })?;
        if space.may_stop(done) {
            stop = StopReason::Tolerance;
            break;
        }
    }
    let matvecs = space.matvecs();
    let found = space.small(Small::of(d, 10.0, 6 + groups), |_| Ok(Some(samples.finish(matvecs, stop, history))))?;
    Ok(found.unwrap_or_else(|| Marginal::empty(d, matvecs, stop)))
}

/// Fails where a marginal of d indices is beyond [`MARGINAL_LIMIT`].
pub fn require_marginal(d: usize) -> Result<()> {
    match d > MARGINAL_LIMIT {
        true => {
            let what = "the marginal; indices, choose fewer axes, a window or units";
            Err(Error::TooLarge { rows: d, most: MARGINAL_LIMIT, what })
        }
        false => Ok(()),
    }
}

/// Whether probes have structure: there are enough samples, of d products each, within the budget.
pub fn is_structured(max_matvecs: usize, d: usize) -> bool {
    max_matvecs >= MIN_SAMPLES * d
}

/// One sample a product: random signs everywhere.
fn by_signs<S: Space>(space: &S, split: &Split, first: usize, m: usize) -> Result<Vec<f64>> {
    let x = space.draw(TESTS, first, m);
    let y = space.apply(&x)?;
    Ok(space.contract(split, first, &x, &y))
}

/// One sample of d products: the same signs along what is traced out, one kept index a product.
fn by_columns<S: Space>(space: &S, split: &Split, first: usize) -> Result<Vec<f64>> {
    let d = split.count(true);
    let signs = space.signs(split, first);
    let _held = space.hold(split.count(false) + 2 * d * d);
    // A row a product.
    let mut columns = Vec::new();
    for from in (0..d).step_by(space.block()) {
        let x = space.structured(split, &signs, from..(from + space.block()).min(d));
        let y = space.apply(&x)?;
        columns.extend(space.contract_columns(split, &signs, &y));
    }
    let mut sample: Vec<f64> = (0..d * d).map(|i| columns[i % d * d + i / d]).collect();
    space.sum(&mut sample);
    Ok(sample)
}

/// The partial trace of a matrix of the numbers at these `places` of the state `shape`, row-major: `[d, d]`, and d.
pub fn marginal_of(matrix: &[f64], at: &[usize], shape: Shape, kept: Kept) -> (Vec<f64>, usize) {
    let split = Split { shape, kept };
    let (d, n, per) = (split.count(true), at.len(), shape.per_trajectory());
    let (mut places, all) = (vec![Vec::new(); split.count(false)], split.places());
    for (row, place) in at.iter().enumerate() {
        let (b, (k, r)) = (place / per, all.pairs[place % per]);
        places[b * all.next[1] + r].push((b * all.next[0] + k, row));
    }
    let mut out = vec![0.0; d * d];
    for group in &places {
        for &(i, row) in group {
            group.iter().for_each(|&(j, column)| out[i * d + j] += matrix[row * n + column]);
        }
    }
    (out, d)
}
