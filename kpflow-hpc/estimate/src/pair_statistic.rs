//! Second moments from reverse products alone: every pair of back-propagated probes is a sample.

use crate::interval::{Bar, ValueError};
use crate::sampling::{jackknife, jackknife_error, sample, widened};
use crate::space::{Budget, Small, Space, TESTS};
use crate::trace::in_products;
use crate::{Estimate, Result};

/// Vectors whose pairs are counted together: beyond it the sums stand one beside the other.
const GROUP: usize = 256;

/// Back-propagated probes `s_i = Fᵀx_i` of A = FFᵀ, and the inner products of all pairs in a group: `s_iᵀs_j = x_iᵀAx_j`.
struct Pairs<S: Space> {
    group: Option<S::Block>,
    samples: usize,
    /// Inner products so far.
    count: usize,
    held: Vec<S::Held>,
    /// The inner products, a row a probe: with the probes of its own group before it, and with itself last.
    rows: Vec<Vec<f64>>,
}

impl<S: Space> Pairs<S> {
    fn new() -> Self {
        Self { group: None, samples: 0, count: 0, held: Vec::new(), rows: Vec::new() }
    }

    fn extend(&mut self, space: &S, first: usize, m: usize) -> Result<()> {
        let s = space.apply(&space.draw(TESTS, first, m))?;
        let mut done = 0;
        while done < m {
            let there = self.samples % GROUP;
            let more = (GROUP - there).min(m - done);
            let new = space.columns(&s, done..done + more);
            let group = match self.group.take().filter(|_| there > 0) {
                Some(mut group) => {
                    space.append(&mut group, space.copy(&new));
                    group
                }
                None => space.copy(&new),
            };
            let g = space.image_gram(&group, &new)?;
            self.group = Some(group);
            // Of a group of 256 each pair is a number.
            let rows: Vec<Vec<f64>> = space.small(Small { flops: 0.0, numbers: g.len() }, |_| {
                Ok((0..more).map(|j| (0..=there + j).map(|i| g[i * more + j]).collect()).collect())
            })?;
            self.rows.extend(rows);
            let new: usize = (0..more).map(|j| there + j + 1).sum();
            self.count += new;
            self.held.push(space.hold(new));
            self.samples += more;
            done += more;
        }
        Ok(())
    }

    /// Calls `f(i, j, ⟨s_i, s_j⟩)` for all pairs i > j that were counted.
    fn each(&self, mut f: impl FnMut(usize, usize, f64)) {
        for (i, row) in self.rows.iter().enumerate() {
            let first = i / GROUP * GROUP;
            row[..row.len() - 1].iter().enumerate().for_each(|(j, &g)| f(i, first + j, g));
        }
    }

    fn traces(&self) -> Vec<f64> {
        self.rows.iter().map(|r| r.last().copied().unwrap_or(0.0)).collect()
    }
}

/// What is left out of a mean of pairs.
#[derive(Clone, Copy)]
enum Without {
    Nothing,
    /// All pairs of a sample.
    Sample(usize),
    /// The pair that was counted so many pairs after the first.
    Pair(usize),
}

/// Sums over pairs i ≠ j, whole and without each of the samples.
struct PairMean {
    values: Vec<f64>,
    total: f64,
    rows: Vec<f64>,
    counts: Vec<f64>,
}

impl PairMean {
    fn new(samples: usize) -> Self {
        Self { values: Vec::new(), total: 0.0, rows: vec![0.0; samples], counts: vec![0.0; samples] }
    }
    fn push(&mut self, i: usize, j: usize, value: f64) {
        self.total += value;
        self.values.push(value);
        for k in [i, j] {
            self.rows[k] += value;
            self.counts[k] += 1.0;
        }
    }
    /// The mean of all pairs that are not left out; 0 where there are none.
    fn mean(&self, without: Without) -> f64 {
        let (less, fewer) = match without {
            Without::Nothing => (0.0, 0.0),
            Without::Sample(i) => (self.rows[i], self.counts[i]),
            Without::Pair(p) => (self.values[p], 1.0),
        };
        let count = self.values.len() as f64 - fewer;
        if count > 0.5 {
            (self.total - less) / count
        } else {
            0.0
        }
    }
}

/// What is asked of the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondMoment {
    /// ‖A‖_F.
    Frobenius,
    /// tr(A)² / ‖A‖_F².
    EffectiveRank,
}

/// Estimates ‖A‖_F, or the effective rank, of A = FFᵀ from products with Fᵀ alone by a U-statistic: the mean of ⟨Fᵀx_i, Fᵀx_j⟩² over all
/// pairs i ≠ j is unbiased for ‖A‖_F² (Hoeffding 1948), and the mean of ‖Fᵀx_i‖² for tr A. Collective.
///
/// `adjoint` is the space of Fᵀ. **Cost**: half a product a sample, and so it is
/// counted; 2·256 numbers of Fᵀx's size are kept, pairs are taken within groups of 256 samples. **Accuracy**: m samples make m(m − 1)/2 pairs;
/// bias corrected and standard error by the jackknife over samples.
pub fn pair_statistic<S: Space>(adjoint: &S, budget: &Budget, what: SecondMoment) -> Result<Estimate> {
    let mut pairs = Pairs::new();
    let sweeps = Budget { max_matvecs: budget.max_matvecs.saturating_mul(2), ..*budget };
    let found = sample(adjoint, &sweeps, 1, |first, m| {
        pairs.extend(adjoint, first, m)?;
        adjoint.small(Small { flops: 0.0, numbers: 2 * pairs.count }, |_| {
            let traces = pairs.traces();
            let n = traces.len();
            let mut squares = PairMean::new(n);
            pairs.each(|i, j, g| squares.push(i, j, g * g));
            let sum: f64 = traces.iter().sum();
            let (value, error) = statistic(n, squares.values.len(), |without| {
                let square = squares.mean(without);
                let sample = if let Without::Sample(i) = without { Some(i) } else { None };
                match what {
                    SecondMoment::Frobenius => square.max(0.0).sqrt(),
                    SecondMoment::EffectiveRank => ratio(trace_mean(sum, &traces, sample).powi(2), square),
                }
            });
            Ok(Bar::positive(value.max(0.0), error))
        })
    });
    found.map(in_products)
}

/// Estimates ⟨A, B⟩/(‖A‖_F‖B‖_F) of A = FFᵀ and B = GGᵀ from the pairs of both, back-propagated from the same probes. Collective.
///
/// **Cost** and **accuracy** as [`pair_statistic`]'s, for each operator. The spaces must have the same seed.
pub fn pair_alignment<S: Space>(a: &S, b: &S, budget: &Budget) -> Result<Estimate> {
    let (mut of_a, mut of_b) = (Pairs::new(), Pairs::new());
    let sweeps = Budget { max_matvecs: budget.max_matvecs.saturating_mul(2), ..*budget };
    let found = sample(a, &sweeps, 1, |first, m| {
        of_a.extend(a, first, m)?;
        of_b.extend(b, first, m)?;
        a.small(Small { flops: 0.0, numbers: 5 * of_a.count }, |_| {
            let n = of_a.rows.len();
            let mut means = [PairMean::new(n), PairMean::new(n), PairMean::new(n)];
            of_a.each(|i, j, g| means[0].push(i, j, g * g));
            of_b.each(|i, j, g| means[1].push(i, j, g * g));
            let mut other = Vec::new();
            of_b.each(|_, _, g| other.push(g));
            let mut k = 0;
            of_a.each(|i, j, g| {
                means[2].push(i, j, g * other[k]);
                k += 1;
            });
            Ok(below_one(statistic(n, k, |without| {
                let [aa, bb, ab] = [0, 1, 2].map(|k| means[k].mean(without));
                ratio(ab, (aa * bb).max(0.0).sqrt())
            })))
        })
    });
    found.map(in_products)
}

/// An alignment: what is missing to 1, or to −1, is a positive number. Neither the value nor its interval is beyond them.
pub(crate) fn below_one((value, error): ValueError) -> Bar {
    let sign = if value < 0.0 { -1.0 } else { 1.0 };
    let value = value.clamp(-1.0, 1.0);
    let Bar { interval: [near, far], error, .. } = Bar::positive(1.0 - value.abs(), error);
    let mut ends = [1.0 - far, 1.0 - near].map(|x| sign * x.clamp(-1.0, 1.0));
    ends.sort_by(f64::total_cmp);
    // The ends are clamped, the error is what it is.
    Bar { value, error, interval: Bar::within(value, ends).interval }
}

/// A statistic of pairs by the jackknife over samples; below three of them there is no pair without one.
///
/// Its error is at least the jackknife's over pairs, as if all were independent: of operators near a multiple of the identity every sample has the same
/// expected square with others, the leading part of the variance is zero, and what the other part is cannot be told from samples (Hoeffding 1948, degenerate).
fn statistic(n: usize, pairs: usize, f: impl Fn(Without) -> f64) -> ValueError {
    if n <= 2 {
        return (f(Without::Nothing), f64::INFINITY);
    }
    let (value, error) = jackknife(n, |i| f(i.map_or(Without::Nothing, Without::Sample)));
    let without: Vec<f64> = (0..pairs).map(|p| f(Without::Pair(p))).collect();
    (value, error.max(widened(jackknife_error(&without), n as f64 - 1.0)))
}

/// The mean of all numbers, or of those without one.
pub(crate) fn trace_mean(sum: f64, all: &[f64], without: Option<usize>) -> f64 {
    match without {
        Some(i) => (sum - all[i]) / (all.len() - 1) as f64,
        None => sum / all.len() as f64,
    }
}

/// a / b, and 0 for the zero operator.
pub(crate) fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 {
        0.0
    } else {
        a / b
    }
}
