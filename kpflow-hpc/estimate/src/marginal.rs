//! Marginals: partial traces onto one or two axes of the state.

use crate::error::fits;
use crate::sampling::{jackknife, of, pooled, ValueError, MIN_SAMPLES};
use crate::small::eigen;
use crate::space::{Budget, Small, Space, Workers, TESTS};
use crate::{Error, Problem, Result, StopReason, Tall};
use kpflow_core::machine::{Gemm, MatMut, MatRef};
use kpflow_core::probe::{Probe, Running};
use kpflow_core::{BlockMut, Scalar, Shape};

/// The largest marginal.
pub const MARGINAL_LIMIT: usize = 1024;
/// Groups of samples that the jackknife leaves out one at a time.
const GROUPS: usize = 32;

/// Which axes of [trajectory, step, unit] are left; the others are traced out.
pub type Kept = [bool; 3];

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

/// The indices of a state split into those that are kept and those that are traced out.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// That of all processes.
    pub shape: Shape,
    /// Which axes are kept.
    pub kept: Kept,
}

impl Split {
    /// The indices of the kept axes, or of the others.
    pub fn count(&self, kept: bool) -> usize {
        let sizes = [self.shape.trajectories, self.shape.steps, self.shape.units];
        sizes.iter().zip(self.kept).filter(|(_, k)| *k == kept).map(|(s, _)| s).product()
    }
    /// The number among the kept, or among the others, of the state's number (b, t, j).
    fn index(&self, kept: bool, at: [usize; 3]) -> usize {
        let sizes = [self.shape.trajectories, self.shape.steps, self.shape.units];
        (0..3).filter(|&a| self.kept[a] == kept).fold(0, |i, a| i * sizes[a] + at[a])
    }
    /// The numbers of a trajectory's places among the kept and among the others.
    fn places(&self) -> Places {
        let units = self.shape.units;
        let at = |i: usize| [0, i / units, i % units];
        let pairs =
            (0..self.shape.per_trajectory()).map(|i| (self.index(true, at(i)), self.index(false, at(i)))).collect();
        Places { pairs, next: [true, false].map(|kept| self.index(kept, [1, 0, 0])) }
    }
}

/// Where a trajectory's numbers are among the kept and among the others.
struct Places {
    /// Of the first trajectory.
    pairs: Vec<(usize, usize)>,
    /// What another trajectory adds to both.
    next: [usize; 2],
}

impl Places {
    /// Calls `f(number, kept, other)` for each of trajectory b's first numbers.
    fn each<I: IntoIterator>(&self, b: usize, numbers: I, mut f: impl FnMut(I::Item, usize, usize)) {
        let [kept, other] = self.next.map(|n| b * n);
        numbers.into_iter().zip(&self.pairs).for_each(|(x, (k, r))| f(x, kept + k, other + r));
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
/// a U-statistic of pairs of samples, its error the jackknife's. `rtol` is on ‖errors‖_F/‖M‖_F. **Errors**: d beyond [`MARGINAL_LIMIT`].
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
            Ok(samples.trace.count() as usize >= MIN_SAMPLES && error <= budget.rtol * norm.sqrt())
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

/// With numbers.
impl Split {
    pub(crate) fn contract<T: Scalar, M: Workers<T>>(
        &self,
        problem: &Problem<'_, T, M>,
        first: usize,
        x: &Tall<T>,
        y: &Tall<T>,
    ) -> Vec<f64> {
        let (d, rest, places, m) = (self.count(true), self.count(false), self.places(), x.vectors);
        let (machine, trajectories, start) = (problem.machine, problem.trajectories, problem.first);
        let (extent, probe, shape) = (problem.extent(), problem.sign_probe(), self.shape);
        let mut all = vec![0.0f64; m * d * d];
        machine.for_each(m, &mut all, d * d, &mut [], 0, |v, sample, _: &mut [f64]| {
            let (mut signs, mut images) = (vec![0.0f64; rest * d], vec![0.0f64; rest * d]);
            // The signs of all trajectories, if those are what is kept: any part of a probe can be made anywhere.
            if self.kept[0] {
                let whole = whole_probe::<T>(&probe, shape, first + v);
                for b in 0..trajectories {
                    places.each(b, &whole.part(b, 0)[..extent.of(b)], |x, k, r| signs[r * d + k] = x.f64());
                }
            }
            for b in 0..x.shape.trajectories {
                if !self.kept[0] {
                    places.each(start + b, x.part(b, v), |x, k, r| signs[r * d + k] = x.f64());
                }
                places.each(start + b, y.part(b, v), |y, k, r| images[r * d + k] = y.f64());
            }
            let (s, y) = (fits(MatRef::new(&signs, rest, d, d)), fits(MatRef::new(&images, rest, d, d)));
            let product = Gemm::new(s.t(), y, fits(MatMut::new(sample, d, d, d)));
            machine.gemm(1.0, fits(product), 0.0);
        });
        problem.sum(&mut all);
        all
    }

    /// The sign of what is traced out is the one that the probe has at the first of the kept.
    pub(crate) fn signs<T: Scalar, M: Workers<T>>(&self, problem: &Problem<'_, T, M>, first: usize) -> Vec<f64> {
        let whole = if self.kept[0] {
            whole_probe(&problem.sign_probe(), self.shape, first)
        } else {
            problem.draw(TESTS, first, 1)
        };
        let start = if self.kept[0] { 0 } else { problem.first };
        let (places, mut signs) = (self.places(), vec![0.0f64; self.count(false)]);
        for b in 0..whole.shape.trajectories {
            places.each(start + b, whole.part(b, 0), |x, k, r| {
                if k == 0 {
                    signs[r] = x.f64();
                }
            });
        }
        signs
    }

    pub(crate) fn structured<T: Scalar, M: Workers<T>>(
        &self,
        problem: &Problem<'_, T, M>,
        signs: &[f64],
        kept: std::ops::Range<usize>,
    ) -> Tall<T> {
        let (places, mut x) = (self.places(), problem.zeros(kept.len()));
        for b in 0..x.shape.trajectories {
            places.each(problem.first + b, 0.., |i, k, r| {
                if kept.contains(&k) {
                    x.part_mut(b, k - kept.start)[i] = T::of(signs[r]);
                }
            });
        }
        x
    }

    pub(crate) fn contract_columns<T: Scalar, M: Workers<T>>(
        &self,
        problem: &Problem<'_, T, M>,
        signs: &[f64],
        y: &Tall<T>,
    ) -> Vec<f64> {
        let (d, places, first) = (self.count(true), self.places(), problem.first);
        let mut columns = vec![0.0f64; y.vectors * d];
        problem.machine.for_each(y.vectors, &mut columns, d, &mut [], 0, |v, column, _: &mut [f64]| {
            for b in 0..y.shape.trajectories {
                places.each(first + b, y.part(b, v), |y, k, r| column[k] += y.f64() * signs[r]);
            }
        });
        columns
    }
}

/// A probe in all trajectories of all processes.
fn whole_probe<T: Scalar>(probe: &Probe, shape: Shape, vector: usize) -> Tall<T> {
    let mut x = Tall::zeros(shape, 1);
    fits(BlockMut::new(shape, 1, &mut x.data).and_then(|block| probe.fill(0, vector, block)));
    x
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
