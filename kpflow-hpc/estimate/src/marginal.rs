//! Marginals: partial traces onto one or two axes of the state.

use crate::interval::Z;
use crate::marginal_samples::{exact, Marginal, Samples, GROUPS};
use crate::sampling::{within, MIN_SAMPLES};
use crate::space::{Block, Budget, Small, Space, SKETCHES, TESTS};
use crate::split::{Kept, Split};
use crate::trace::{most_probes, Range, Sketch};
use crate::{Error, Result, StopReason};
use kpflow_core::Shape;

/// The largest marginal.
pub const MARGINAL_LIMIT: usize = 1024;
/// Samples of d products that show whether structure is all there is.
const TRIALS: usize = 3;

/// What of A is known by its products with an orthonormal Q: `QQᵀA + AQQᵀ − QQᵀAQQᵀ`; of the rest, `(I − QQᵀ)A(I − QQᵀ)`, there are samples.
enum Deflation<S: Space> {
    /// Q of all trajectories together.
    Whole(Box<Range<S>>),
    /// One in every trajectory, of an operator that does not couple them: as many products span as much in each.
    Parts { probes: usize, q: S::Block, aq: S::Block },
}

impl<S: Space> Deflation<S> {
    fn new(space: &S, parts: bool) -> Self {
        match parts {
            true => Self::Parts { probes: 0, q: space.zeros(0), aq: space.zeros(0) },
            false => Self::Whole(Box::new(Range::new(space))),
        }
    }

    /// Goes on to so many probes, two products each; says whether products are finite. Collective.
    fn extend(&mut self, space: &S, total: usize) -> Result<bool> {
        match self {
            Self::Whole(range) => range.extend(space, total),
            Self::Parts { probes, q, aq } => {
                if total > *probes {
                    let y = space.apply(&space.draw(SKETCHES, *probes, total - *probes))?;
                    if space.dots(&y, &y)?.iter().any(|s| !s.is_finite()) {
                        return Ok(false);
                    }
                    let new = space.orthonormal_parts(q, y);
                    let image = space.apply(&new)?;
                    space.append(q, new);
                    space.append(aq, image);
                    *probes = total;
                }
                Ok(true)
            }
        }
    }

    fn vectors(&self) -> usize {
        match self {
            Self::Whole(range) => range.q.vectors(),
            Self::Parts { q, .. } => q.vectors(),
        }
    }

    /// Makes y what the rest of A makes of x, where it is A x. Collective.
    fn rest(&self, space: &S, x: &S::Block, y: &mut S::Block) -> Result<()> {
        if self.vectors() == 0 {
            return Ok(());
        }
        match self {
            Self::Whole(range) => {
                let c = space.gram(&range.q, x)?;
                space.add_product(y, -1.0, &range.aq, &c);
                let c = space.gram(&range.q, y)?;
                space.add_product(y, -1.0, &range.q, &c);
            }
            Self::Parts { q, aq, .. } => {
                space.subtract_parts(y, aq, q, x);
                let before = space.copy(y);
                space.subtract_parts(y, q, q, &before);
            }
        }
        Ok(())
    }

    /// The partial trace of what is known: with W = 2AQ − Q(QᵀAQ) the symmetric part of that of QWᵀ. Collective.
    fn known(&self, space: &S, split: &Split) -> Result<Vec<f64>> {
        if self.vectors() == 0 {
            return Ok(Vec::new());
        }
        let (q, aq) = match self {
            Self::Whole(range) => (&range.q, &range.aq),
            Self::Parts { q, aq, .. } => (q, aq),
        };
        let mut w = space.copy(aq);
        space.scale(&mut w, &vec![2.0; aq.vectors()]);
        match self {
            Self::Whole(_) => {
                let h = space.gram(q, aq)?;
                space.add_product(&mut w, -1.0, q, &h);
            }
            Self::Parts { .. } => space.subtract_parts(&mut w, q, q, aq),
        }
        Ok(space.contract_pairs(split, q, &w))
    }
}

/// Estimates the partial trace of a symmetric operator onto the kept axes: for the time axis `M[t, t'] = Σ_{b,j} A[(b,t,j), (b,t',j)]`. Collective.
///
/// What products with a sketch's range tell is exact, the rest is sampled (Chen et al., arXiv 2310.12364): a product with a probe x of signs is a sample of the whole
/// matrix, Σ_rest x[i, rest] (R x)[i', rest] of the rest R. Q is a basis of all trajectories, or one in each where the operator says that it is block diagonal:
/// for axes without the trajectory pass the block diagonal ⊕_b A_bb, which has the same marginals, and no noise between trajectories.
///
/// Where a trajectory's numbers are as many as the marginal's, and products for all of them are within the budget, unit vectors in all trajectories at once find it
/// exactly; those of fewer axes too, as soon as that is cheaper than the samples that the tolerance still asks for. Where twelve times d products are within the
/// budget three samples of d products each are tried before, e_i ⊗ s with random signs s along the axes that are traced out: they have no noise where A is
/// G ⊗ I, or is diagonal along those axes, and are all that is needed then.
/// **Cost**: the budget or less: a third of it for AΩ, at most 128 products, as many for AQ, the others for samples; four blocks of 128 vectors, GROUPS·d² numbers.
/// **Accuracy**: entrywise standard errors over samples, given Q; ‖M‖_F² in the effective rank is a U-statistic of pairs of samples, its error the jackknife's.
/// `rtol` is on ‖errors‖_F/‖M‖_F. **Errors**: d beyond [`MARGINAL_LIMIT`]; the operator says that it is not symmetric.
pub fn marginal<S: Space>(space: &S, budget: &Budget, kept: Kept) -> Result<Marginal> {
    space.require_symmetric()?;
    let split = Split { shape: space.shape().with_trajectories(space.trajectories()), kept };
    let d = split.count(true);
    require_marginal(d)?;
    let (parts, own) = (!kept[0] && space.properties().block_diagonal, space.shape().per_trajectory());
    if parts && d == own && own <= budget.max_matvecs {
        return by_units(space, &split);
    }
    if is_structured(budget.max_matvecs, d) {
        if let Some(found) = by_structure(space, budget, &split, TRIALS)? {
            return Ok(found);
        }
    }
    let most = most_probes(space.len(), [16, 128]).min(if parts { own } else { space.rank() });
    let left = budget.max_matvecs.saturating_sub(space.matvecs());
    // Of so many samples as the sketch leaves.
    let groups = GROUPS.min(left - 2 * (left / 3).min(most));
    let _held = space.hold((4 + groups) * d * d);
    let (mut deflation, mut tests) = (Deflation::new(space, parts), Sketch::new(space, TESTS));
    let mut samples = Samples::new(d, Vec::new(), space.epsilon());
    let (mut history, mut stop) = (Vec::new(), StopReason::Budget);
    if parts && own <= left {
        space.perhaps(|| by_units(space, &split))?;
    }
    // A larger sketch makes all samples anew; once it is as large as it gets samples come and go.
    let mut looks = space.looks(left.min(3 * most)).into_iter();
    let mut taken = 0;
    loop {
        let finite = match looks.next() {
            Some(total) => {
                let k = (total / 3).min(most);
                let finite = deflation.extend(space, k)?;
                let known = deflation.known(space, &split)?;
                samples = Samples::new(d, known, space.epsilon());
                tests.extend(space, total - 2 * k)?;
                let finite = finite && space.dots(&tests.y, &tests.y)?.iter().all(|s| s.is_finite());
                taken = total - 2 * k;
                for first in (0..if finite { taken } else { 0 }).step_by(space.block()) {
                    let range = first..(first + space.block()).min(taken);
                    let x = space.columns(&tests.omega, range.clone());
                    let y = space.columns(&tests.y, range);
                    sample(space, &split, &deflation, (first, &x, y), &mut samples)?;
                }
                finite
            }
            None => {
                if tests.omega.vectors() > 0 {
                    tests = Sketch::new(space, TESTS);
                }
                let m = space.next_block(budget, usize::MAX);
                if m == 0 {
                    break;
                }
                let x = space.draw(TESTS, taken, m);
                let y = space.apply(&x)?;
                let finite = sample(space, &split, &deflation, (taken, &x, y), &mut samples)?;
                taken += m;
                finite
            }
        };
        if !finite {
            stop = StopReason::Overflow;
            break;
        }
        let (done, needed) = space.small(Small { flops: 0.0, numbers: 2 * d * d }, |_| {
            let (value, error) = samples.trace();
            history.push([space.matvecs() as f64, value, error]);
            space.tell(value, error);
            let (error, norm) = samples.error_and_norm();
            let enough = samples.count() >= MIN_SAMPLES.min(space.len());
            let tolerance = budget.rtol.max(4.0 * space.epsilon());
            let more = samples.count() as f64 * ((Z * error / (tolerance * norm)).powi(2) - 1.0);
            Ok((enough && within(tolerance, error, norm), more))
        })?;
        if space.may_stop(budget, done) {
            stop = StopReason::Tolerance;
            break;
        }
        if parts && needed >= own as f64 && own <= budget.max_matvecs.saturating_sub(space.matvecs()) {
            let before = history;
            let mut found = by_units(space, &split)?;
            found.history.splice(0..0, before);
            return Ok(found);
        }
    }
    let matvecs = space.matvecs();
    let found = space.small(Small::of(d, 10.0, 6 + groups), |_| Ok(Some(samples.finish(matvecs, stop, history))))?;
    Ok(found.unwrap_or_else(|| Marginal::empty(d, matvecs, stop)))
}

/// Takes samples of products y with the probes `first ..`; says whether they are finite. Collective.
fn sample<S: Space>(
    space: &S,
    split: &Split,
    deflation: &Deflation<S>,
    (first, x, mut y): (usize, &S::Block, S::Block),
    samples: &mut Samples,
) -> Result<bool> {
    let d = split.count(true);
    deflation.rest(space, x, &mut y)?;
    let new = space.contract(split, first, x, &y);
    let finite = new.iter().all(|x| x.is_finite());
    if finite {
        new.chunks((d * d).max(1)).for_each(|s| samples.push(s));
    }
    Ok(finite)
}

/// The marginal of a block diagonal operator by a unit vector for each number of a trajectory, in all of them at once. Collective.
fn by_units<S: Space>(space: &S, split: &Split) -> Result<Marginal> {
    let (d, own) = (split.count(true), space.shape().per_trajectory());
    // Every number of a trajectory is kept, and those of all are summed.
    let all = Split { kept: [false, true, true], ..*split };
    let (signs, places) = (vec![1.0; all.count(false)], split.places());
    let mut matrix = vec![0.0; d * d];
    let _held = space.hold(d * d + own);
    for from in (0..own).step_by(space.block()) {
        let x = space.structured(&all, &signs, from..(from + space.block()).min(own));
        let y = space.apply(&x)?;
        let mut columns = space.contract_columns(&all, &signs, &y);
        space.sum(&mut columns);
        space.small(Small::default(), |_| {
            for (column, (k, r)) in columns.chunks(own).zip(&places.pairs[from..]) {
                let same = column.iter().zip(&places.pairs).filter(|(_, (_, other))| other == r);
                same.for_each(|(x, (i, _))| matrix[i * d + k] += x);
            }
            Ok(())
        })?;
        space.tell(f64::NAN, f64::NAN);
    }
    let (matvecs, epsilon) = (space.matvecs(), space.epsilon());
    let found = space.small(Small::of(d, 10.0, 6), |_| {
        let finite = matrix.iter().all(|x| x.is_finite());
        let overflow = || Marginal::empty(d, matvecs, StopReason::Overflow);
        Ok(Some(if finite { exact(d, matrix, matvecs, epsilon) } else { overflow() }))
    })?;
    Ok(found.unwrap_or_else(|| Marginal::empty(d, matvecs, StopReason::Exact)))
}

/// The mean of so many samples of d products each, if they are the same to rounding, or to a tenth of the tolerance. Collective.
fn by_structure<S: Space>(space: &S, budget: &Budget, split: &Split, count: usize) -> Result<Option<Marginal>> {
    let d = split.count(true);
    let _held = space.hold((3 + count) * d * d);
    let (mut samples, mut history) = (Samples::new(d, Vec::new(), space.epsilon()), Vec::new());
    for first in 0..count {
        let new = by_columns(space, split, first)?;
        space.small(Small { flops: 0.0, numbers: 2 * d * d }, |_| {
            if new.iter().all(|x| x.is_finite()) {
                samples.push(&new);
                let (value, error) = samples.trace();
                history.push([space.matvecs() as f64, value, error]);
                space.tell(value, error);
            }
            Ok(())
        })?;
    }
    let done = samples.count() == count && {
        let (error, norm) = samples.error_and_norm();
        error <= (0.1 * budget.rtol).max(16.0 * space.epsilon()) * norm
    };
    match space.may_stop(budget, done) {
        true => Ok(Some(samples.finish(space.matvecs(), StopReason::Tolerance, history))),
        false => Ok(None),
    }
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

/// Whether probes that have structure are tried: a quarter of the budget is enough for it.
fn is_structured(max_matvecs: usize, d: usize) -> bool {
    max_matvecs >= 4 * TRIALS * d
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
