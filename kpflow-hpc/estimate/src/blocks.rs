//! The block structure of an operator: how much of it lies between which parts of the state.

use crate::interval::Bar;
use crate::sampling::{pooled, positive_if, Forms};
use crate::space::{Budget, Family, Space};
use crate::{DenseSpectrum, Estimate, Result, StopReason};
use kpflow_core::probe::Distribution;

/// ‖A_ab‖_F for all pairs of parts and tr A_aa for all parts, with standard errors.
#[derive(Clone, Debug)]
pub struct Blocks {
    /// ‖A_ab‖_F, `[V, V]`, row-major.
    pub norms: Vec<f64>,
    /// Their errors, `[V, V]`.
    pub norm_errors: Vec<f64>,
    /// tr A_aa, `[V]`.
    pub traces: Vec<f64>,
    /// Their errors, `[V]`.
    pub trace_errors: Vec<f64>,
    /// tr A.
    pub trace: Estimate,
}

/// From the whole matrix: `part_of` says of each number of a trajectory which of `parts` parts it belongs to.
pub fn dense_blocks(spectrum: &DenseSpectrum, part_of: &[usize], parts: usize, matvecs: usize) -> Blocks {
    let a = &spectrum.matrix;
    let n = spectrum.places.len();
    let (mut norms, mut traces) = (vec![0.0; parts * parts], vec![0.0; parts]);
    let part = |i: usize| part_of[spectrum.places[i] % part_of.len()];
    for i in 0..n {
        (0..n).for_each(|j| norms[part(i) * parts + part(j)] += a[i * n + j] * a[i * n + j]);
        traces[part(i)] += a[i * n + i];
    }
    norms.iter_mut().for_each(|x| *x = x.sqrt());
    let whole: f64 = traces.iter().sum();
    Blocks {
        norms,
        norm_errors: vec![0.0; parts * parts],
        trace_errors: vec![0.0; parts],
        trace: Estimate { history: Vec::new(), ..Estimate::exact(whole, matvecs) },
        traces,
    }
}

/// Estimates the blocks of a symmetric operator from Rademacher probes that live on one part each: E‖A_ba x_a‖² = ‖A_ba‖_F² and
/// E x_aᵀ A x_a = tr A_aa. Collective.
///
/// **Cost**: at most `budget.max_matvecs` products, the same number for each part, but one for each; of one nothing is known of the error. **Accuracy**: 1.96 of the errors are the wider halves of 95 %
/// intervals, those of sums of squares, with Student's factor; a norm is averaged over its two transposes.
pub fn blocks<S: Space>(space: &S, budget: &Budget, part_of: &[usize], parts: usize) -> Result<Blocks> {
    let samples = (budget.max_matvecs / parts.max(1)).max(1);
    let mut energy = vec![Forms::default(); parts * parts];
    let mut trace = vec![Forms::default(); parts];
    for a in 0..parts {
        let mut done = 0;
        while done < samples {
            let m = space.block().min(samples - done);
            let family = Family { stream: 1 + a as u32, distribution: Distribution::Rademacher };
            let x = space.draw_part(family, done..done + m, part_of, a);
            let y = space.apply(&x)?;
            let sums = space.energies(&x, &y, part_of, parts);
            for sums in sums.chunks(parts + 1) {
                sums[..parts].iter().enumerate().for_each(|(b, &s)| energy[a * parts + b].push(s));
                trace[a].push(sums[parts]);
            }
            done += m;
            let told = trace[a].bar();
            space.tell(told.value, told.error);
        }
    }
    let (mut norms, mut norm_errors) = (Vec::new(), Vec::new());
    for (a, b) in (0..parts).flat_map(|a| (0..parts).map(move |b| (a, b))) {
        let (there, back) = (&energy[a * parts + b], &energy[b * parts + a]);
        let square = match a == b {
            true => there.bar(),
            false => {
                let (value, error) = sum_of([there, back]);
                Bar::positive(0.5 * value, 0.5 * error)
            }
        };
        let root = Bar::within(square.value.max(0.0).sqrt(), square.interval.map(|x| x.max(0.0).sqrt()));
        norms.push(root.value);
        norm_errors.push(root.error);
    }
    let traces: Vec<Bar> = trace.iter().map(Forms::bar).collect();
    let (value, error) = sum_of(&trace);
    let whole = positive_if(trace.iter().all(Forms::is_positive), value, error);
    Ok(Blocks {
        norms,
        norm_errors,
        traces: traces.iter().map(|t| t.value).collect(),
        trace_errors: traces.iter().map(|t| t.error).collect(),
        trace: whole.estimate(space.matvecs(), StopReason::Budget, Vec::new()),
    })
}

/// The sum of independent means of as many samples, and its error.
fn sum_of<'a>(means: impl IntoIterator<Item = &'a Forms>) -> (f64, f64) {
    let (mut value, mut squares, mut fourths, mut freedom) = (0.0, 0.0, 0.0, 0.0);
    for mean in means {
        let running = mean.running();
        let square = running.standard_error().powi(2);
        value += running.mean();
        squares += square;
        fourths += square * square;
        freedom = running.count() as f64 - 1.0;
    }
    (value, pooled(squares, fourths, freedom))
}
