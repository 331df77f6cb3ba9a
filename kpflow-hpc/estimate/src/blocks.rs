//! The block structure of an operator: how much of it lies between which parts of the state.

use crate::space::{Budget, Family, Space};
use crate::{DenseSpectrum, Result};
use kpflow_core::probe::{Distribution, Running};

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
    /// Products spent.
    pub matvecs: usize,
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
    Blocks { norms, norm_errors: vec![0.0; parts * parts], traces, trace_errors: vec![0.0; parts], matvecs }
}

/// Estimates the blocks of a symmetric operator from Rademacher probes that live on one part each: E‖A_ba x_a‖² = ‖A_ba‖_F² and
/// E x_aᵀ A x_a = tr A_aa. Collective.
///
/// **Cost**: `budget.max_matvecs` products, the same number for each part. **Accuracy**: the errors are those of the means; a norm is
/// averaged over its two transposes.
pub fn blocks<S: Space>(space: &S, budget: &Budget, part_of: &[usize], parts: usize) -> Result<Blocks> {
    let samples = (budget.max_matvecs / parts.max(1)).max(2);
    let mut energy = vec![Running::default(); parts * parts];
    let mut trace = vec![Running::default(); parts];
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
            space.tell(trace[a].mean(), trace[a].standard_error());
        }
    }
    let (mut norms, mut norm_errors) = (Vec::new(), Vec::new());
    for (a, b) in (0..parts).flat_map(|a| (0..parts).map(move |b| (a, b))) {
        let (there, back) = (&energy[a * parts + b], &energy[b * parts + a]);
        let square = 0.5 * (there.mean() + back.mean());
        let error = match a == b {
            true => there.standard_error(),
            false => 0.5 * there.standard_error().hypot(back.standard_error()),
        };
        norms.push(square.max(0.0).sqrt());
        norm_errors.push(if square > 0.0 { error / (2.0 * square.sqrt()) } else { error.sqrt() });
    }
    Ok(Blocks {
        norms,
        norm_errors,
        traces: trace.iter().map(Running::mean).collect(),
        trace_errors: trace.iter().map(Running::standard_error).collect(),
        matvecs: space.matvecs(),
    })
}
