//! The spectral density by stochastic Lanczos quadrature, with the atom at 0 of an operator of low rank.

use crate::interval::Z;
use crate::quadrature::{Quadrature, Recurrence, Rule, TOGETHER};
use crate::sampling::mean;
use crate::space::{Budget, Small, Space};
use crate::{Estimate, Result, StopReason};

/// Steps of a recurrence, at most.
const STEPS: usize = 60;

/// A spectral density.
#[derive(Clone, Debug, Default)]
pub struct Density {
    /// Eigenvalues.
    pub grid: Vec<f64>,
    /// The density of those eigenvalues that are not 0, smoothed, of integral 1.
    pub density: Vec<f64>,
    /// Its standard error.
    pub error: Vec<f64>,
    /// The standard deviation of the Gaussian that each eigenvalue is smoothed to.
    pub width: f64,
    /// log₁₀ of eigenvalues.
    pub log_grid: Vec<f64>,
    /// The density over log₁₀ λ, of integral 1.
    pub log_density: Vec<f64>,
    /// The share of eigenvalues that are 0, an atom, which no density can show: what the rank's bound says, or what was found at rounding, whichever is more.
    pub zero_mass: f64,
    /// Its standard error: as much as `zero_mass_interval` is open to the side of more.
    pub zero_mass_error: f64,
    /// Between these the share is, with 95 %: 1 − rank/n, which holds for sure, or what was found, and `zero_mass_bound`.
    pub zero_mass_interval: [f64; 2],
    /// No more than this share of eigenvalues can be 0, as far as the recurrences can tell, their sampling error included.
    pub zero_mass_bound: f64,
}

/// The share of eigenvalues that are 0: a value, and the ends of its interval.
struct Atom {
    value: f64,
    ends: [f64; 2],
}

impl Atom {
    /// From what each probe's rules of Gauss and Radau have at 0, where a share `known` is 0 for sure.
    ///
    /// A weight of Gauss's at rounding is of eigenvalues at rounding; Radau's node at 0 has no less weight than the atom that its probe sees, and that is the
    /// share in the mean over probes. Both means have sampling errors.
    fn new(gauss: &[f64], radau: &[f64], known: f64) -> Self {
        let ((found, error), (most, above)) = (mean(gauss), mean(radau));
        let end = |x: f64| x.clamp(known, 1.0);
        // Nothing was found where not one probe has anything there.
        let least = if found > 0.0 && error.is_finite() { end(found - Z * error) } else { known };
        let most = if above.is_finite() { end(most + Z * above) } else { 1.0 };
        // Samples may be more than the bound says by chance.
        let beyond = error.is_finite() && found - Z * error > known;
        let value = if known > 0.0 && !beyond { known } else { end(found) };
        Self { value: value.min(most), ends: [least, most] }
    }

    fn error(&self) -> f64 {
        (self.ends[1] - self.value).max(self.value - self.ends[0]) / Z
    }
}

/// What of a recurrence's measure is not 0, where a share of its weight at 0 is known to be there: the measure less that atom has the moments that are left,
/// and is a rule again.
fn live(run: &Recurrence, share: f64, is_zero: impl Fn(f64) -> bool) -> Rule {
    let gauss = run.gauss(run.alpha.len());
    if run.ended || share == 0.0 || gauss.iter().any(|(x, _)| is_zero(*x)) {
        return gauss.into_iter().filter(|(x, _)| !is_zero(*x)).collect();
    }
    let (mut rest, mut atom) = (Rule::new(), 0.0);
    for (x, w) in run.radau() {
        if is_zero(x) {
            atom += w;
        } else {
            rest.push((x, w));
        }
    }
    let left = atom * (1.0 - share);
    let total = left + rest.iter().map(|(_, w)| w).sum::<f64>();
    if left <= 1e-9 * total {
        return rest;
    }
    let steps = rest.len();
    rest.push((0.0, left));
    let less = Recurrence::of(&rest, steps);
    less.gauss(less.alpha.len()).into_iter().filter(|(x, _)| !is_zero(*x)).map(|(x, w)| (x, w * total)).collect()
}

fn density_of_probes(quadrature: &Quadrature, points: usize, epsilon: f64, known: f64) -> Density {
    let gauss: Vec<Rule> = quadrature.probes.iter().map(|r| r.gauss(r.alpha.len())).collect();
    let largest = gauss.iter().flatten().fold(0.0, |m: f64, (x, _)| m.max(x.abs()));
    let is_zero = |x: f64| x.abs() <= rounding(largest, epsilon);
    let mass = |r: &Rule| r.iter().filter(|(x, _)| is_zero(*x)).map(|(_, w)| w).sum::<f64>();
    let radau: Vec<f64> = quadrature.probes.iter().map(|r| mass(&r.radau())).collect();
    let atom = Atom::new(&gauss.iter().map(mass).collect::<Vec<_>>(), &radau, known);
    // As much of every probe's weight at 0 as makes the known share in the mean.
    let average = mean(&radau).0;
    let share = if average > 0.0 { (known / average).min(1.0) } else { 0.0 };
    let rules: Vec<Rule> = quadrature.probes.iter().map(|r| live(r, share, is_zero)).collect();
    density_of_rules(&rules, points, &atom)
}

/// What an eigenvalue that is 0 may come out as.
fn rounding(largest: f64, epsilon: f64) -> f64 {
    64.0 * epsilon * largest
}

/// The density of the mean of some rules, without their atoms.
///
/// Each node is smoothed to a Gaussian whose width is a fortieth of the spectrum's (Lin, Saad and Yang 2016); over log₁₀ λ, of a tenth of a decade.
fn density_of_rules(rules: &[Rule], points: usize, atom: &Atom) -> Density {
    let mut out = Density {
        zero_mass: atom.value,
        zero_mass_error: atom.error(),
        zero_mass_interval: atom.ends,
        zero_mass_bound: atom.ends[1],
        ..Density::default()
    };
    let live = || rules.iter().flatten();
    let (least, most) = live().fold((f64::INFINITY, f64::NEG_INFINITY), |e, (x, _)| (e.0.min(*x), e.1.max(*x)));
    if least > most {
        return out;
    }
    out.width = (most.max(0.0) - least.min(0.0)) / 40.0;
    out.grid = line(least.min(0.0) - 4.0 * out.width, most.max(0.0) + 4.0 * out.width, points);
    let each: Vec<Vec<f64>> = rules.iter().map(|r| smooth(r.iter().copied(), &out.grid, out.width)).collect();
    let sums: Vec<f64> = (0..points).map(|i| each.iter().map(|d| d[i]).sum()).collect();
    let scale = rules.len() as f64 / integral(&out.grid, &sums).max(f64::MIN_POSITIVE);
    for i in 0..points {
        let (value, error) = mean(&each.iter().map(|d| d[i] * scale).collect::<Vec<_>>());
        out.density.push(value);
        out.error.push(error);
    }
    let positive: Rule = live().filter(|(x, _)| *x > 0.0).map(|(x, w)| (x.log10(), *w)).collect();
    let ends = positive.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |e, (x, _)| (e.0.min(*x), e.1.max(*x)));
    if ends.0 <= ends.1 {
        out.log_grid = line(ends.0 - 0.4, ends.1 + 0.4, points);
        let density = smooth(positive.iter().copied(), &out.log_grid, 0.1);
        let total = integral(&out.log_grid, &density).max(f64::MIN_POSITIVE);
        out.log_density = density.iter().map(|d| d / total).collect();
    }
    out
}

fn line(from: f64, to: f64, points: usize) -> Vec<f64> {
    (0..points).map(|i| from + (to - from) * i as f64 / (points - 1) as f64).collect()
}

fn smooth(rule: impl Iterator<Item = (f64, f64)> + Clone, grid: &[f64], width: f64) -> Vec<f64> {
    let bell = |x: f64, y: f64| (-0.5 * ((x - y) / width).powi(2)).exp() / (width * std::f64::consts::TAU.sqrt());
    grid.iter().map(|&x| rule.clone().map(|(y, w)| w * bell(x, y)).sum()).collect()
}

/// By the trapezoidal rule.
fn integral(grid: &[f64], values: &[f64]) -> f64 {
    (1..grid.len()).map(|i| 0.5 * (grid[i] - grid[i - 1]) * (values[i] + values[i - 1])).sum()
}

/// Estimates the spectral density of a symmetric operator by stochastic Lanczos quadrature (Golub and Meurant 1994; Ubaru, Chen and Saad 2017).
/// Collective. The estimate beside it is of tr A.
///
/// At least 1 − r/n of the eigenvalues are 0, r the bound of the rank that the operator tells ([`Space::rank`]): that share is taken out of every probe's
/// measure, by its moments, before it is shown, and what a rule of Gauss and Radau has at 0 bounds the share from above.
/// **Cost**: all products of the budget M, recurrences of 2√M steps each, at most 60; as many vectors for each of 8 probes. **Accuracy**: a recurrence of k
/// steps knows the first 2k moments of its probe's measure; eigenvalues closer than that are one. **Errors**: the operator says that it is not symmetric.
pub fn density<S: Space>(space: &S, budget: &Budget, points: usize) -> Result<(Density, Estimate)> {
    space.require_symmetric()?;
    let n = space.len();
    let (mut history, mut stop) = (Vec::<[f64; 3]>::new(), StopReason::Budget);
    // More probes, and not only more steps, as the budget grows.
    let wanted = (2.0 * (budget.max_matvecs as f64).sqrt()) as usize;
    let steps = wanted.clamp(3, STEPS).min((budget.max_matvecs / 4).max(3)).min(n).min(budget.max_matvecs).max(1);
    let mut quadrature = Quadrature::new(n);
    loop {
        let probes = (budget.max_matvecs.saturating_sub(space.matvecs()) / steps).min(TOGETHER);
        if probes == 0 {
            break;
        }
        quadrature.extend(space, budget, probes, steps)?;
        if !quadrature.is_finite() {
            stop = StopReason::Overflow;
            break;
        }
        let (value, error) = space.small(Small::default(), |_| {
            let trace = |r: &Recurrence| n as f64 * r.alpha.first().copied().unwrap_or(0.0);
            Ok(mean(&quadrature.probes.iter().map(trace).collect::<Vec<_>>()))
        })?;
        history.push([space.matvecs() as f64, value, error]);
        space.tell(value, error);
        // All of the budget goes into a density, but where there is nothing left to be known.
        if space.may_stop(budget, error <= 4.0 * space.epsilon() * value.abs()) {
            stop = StopReason::Tolerance;
            break;
        }
    }
    let known = 1.0 - space.rank() as f64 / n.max(1) as f64;
    quadrature.retain_finite();
    let density =
        space.small(Small::default(), |_| Ok(density_of_probes(&quadrature, points, space.epsilon(), known)))?;
    if stop == StopReason::Overflow {
        return Ok((density, Estimate::overflow(space.matvecs(), history)));
    }
    let (value, standard_error) = history.last().map_or((0.0, f64::INFINITY), |h| (h[1], h[2]));
    Ok((density, Estimate::new(value, standard_error, space.matvecs(), stop, history)))
}

/// The density of all eigenvalues of an operator of at most this rank.
pub fn density_of(values: &[f64], points: usize, epsilon: f64, rank: usize) -> Density {
    let n = values.len();
    let mut sizes: Vec<f64> = values.iter().map(|x| x.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    // Those beyond the rank are 0, whatever rounding makes of them.
    let beyond = n.saturating_sub(rank).checked_sub(1).and_then(|i| sizes.get(i)).copied().unwrap_or(0.0);
    let zero = rounding(sizes.last().copied().unwrap_or(0.0), epsilon).max(beyond);
    let weight = 1.0 / n.max(1) as f64;
    let rule: Rule = values.iter().filter(|x| x.abs() > zero).map(|&x| (x, weight)).collect();
    let value = (n - rule.len()) as f64 * weight;
    let exact = density_of_rules(&[rule], points, &Atom { value, ends: [value; 2] });
    Density { error: vec![0.0; exact.density.len()], ..exact }
}

impl crate::space::Blank for Density {
    fn blank() -> Self {
        Self::default()
    }
}
