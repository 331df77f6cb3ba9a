//! Closed forms: what inference alone, or the Gramians of a recurrence, say exactly.

use super::Estimate;
use crate::engine::{Engine, Real};
use crate::error::{fits, Error, Result};
use crate::progress;
use kpflow_core::machine::{Reduce, Tasks};
use kpflow_core::model::Linearization;
use kpflow_core::ntk::{gramian_flops, gramian_scratch_len, gramian_traces, Features};

/// An operator that has closed forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// P K Pᵀ.
    Ntk,
    /// K.
    Parameter,
    /// P Pᵀ.
    PropagatorGram,
}

/// How many flops [`exact_trace`] takes on all ranks, and whether there is one at all: the model's weights act unit by unit and,
/// for all but K, it is one recurrence.
pub fn exact_trace_flops<T: Real>(lin: &Linearization<'_, T>, trajectories: usize, which: Closed) -> Option<f64> {
    Features::new(lin)?;
    let (steps, n) = (lin.shape().steps as f64, lin.shape().units as f64);
    match which {
        Closed::Parameter => Some(trajectories as f64 * steps * n),
        _ => lin.graph().is_single_recurrence().then(|| trajectories as f64 * gramian_flops(lin)),
    }
}

/// Flops of trajectories of which progress is told together: a second or two.
const GROUP: f64 = 1e11;

fn features<'a, T: Real>(lin: &'a Linearization<'_, T>) -> Result<(Features<'a, T>, Vec<T>)> {
    let features = Features::new(lin).ok_or_else(|| {
        Error::usage("method = \"exact\" is for models whose weights act unit by unit; choose another method")
    })?;
    let mut rows = vec![T::zero(); features.rows() * features.row_len()];
    features.write(&mut rows)?;
    Ok((features, rows))
}

/// Computes a trace exactly: of K from G's diagonal, of the others from the observability Gramians
/// ([`kpflow_core::ntk::gramian_traces`]). Collective.
///
/// **Errors**: there is no closed form for this model.
pub fn exact_trace<T: Real>(lin: &Linearization<'_, T>, engine: &Engine, which: Closed) -> Result<Estimate> {
    let (features, rows) = features(lin)?;
    // Asked of the graph, which all ranks have, and not of trajectories, of which a rank may have none.
    if which != Closed::Parameter && !lin.graph().is_single_recurrence() {
        return Err(Error::usage("method = \"exact\" is for single recurrences; choose another method"));
    }
    let local = match which {
        Closed::Parameter => features.trace(&rows)?,
        _ => {
            let all = lin.shape().trajectories;
            let mut traces = vec![T::zero(); 2 * all];
            let mut scratch = vec![T::zero(); gramian_scratch_len(lin, engine)];
            let _trajectories = progress::work(all as u64, "trajectories");
            // A lane waits for others at the end of a group only, and progress is told there.
            let group = ((GROUP / gramian_flops(lin)) as usize).clamp(engine.lanes(), all.max(engine.lanes()));
            for (i, out) in traces.chunks_mut(2 * group).enumerate() {
                let these = i * group..i * group + out.len() / 2;
                let count = these.len() as u64;
                gramian_traces(&features, &rows, these, engine, out, &mut scratch)?;
                progress::did(count);
            }
            let place = usize::from(which == Closed::PropagatorGram);
            traces.iter().skip(place).step_by(2).map(|t| t.f64()).sum()
        }
    };
    Ok(Estimate::exact(engine.grid().sum_one(local), 0))
}

/// How many flops [`exact_frobenius`] takes on all ranks, if there is one.
pub fn exact_frobenius_flops<T: Real>(lin: &Linearization<'_, T>, trajectories: usize) -> Option<f64> {
    Some(pair_flops(trajectories * lin.shape().steps, Features::new(lin)?.row_len()))
}

/// How many flops all pairs of so many positions take, of rows of features of so many numbers.
pub fn pair_flops(positions: usize, row_len: usize) -> f64 {
    8.0 * (positions as f64).powi(2) * row_len as f64
}

/// Computes ‖K‖_F exactly, from every pair of positions. Collective.
///
/// **Errors**: there is no closed form for this model.
pub fn exact_frobenius<T: Real>(lin: &Linearization<'_, T>, engine: &Engine) -> Result<Estimate> {
    let (features, rows) = features(lin)?;
    let total: usize = Reduce::<T>::sum_count(engine, features.rows());
    let mut all = vec![T::zero(); total * features.row_len()];
    engine.grid().gather(&rows, &mut all);
    // A row at a time to a task: every pair of positions counts, and rows are independent.
    let (lanes, len) = (engine.lanes(), features.row_len());
    let per = features.rows().div_ceil(8 * lanes).max(1);
    let pieces = features.rows().div_ceil(per);
    let (mut sums, units) = (vec![0.0f64; pieces], lin.shape().units);
    engine.for_each(pieces, &mut sums, 1, &mut [], 0, |i, sum, _: &mut [f64]| {
        let part = &rows[i * per * len..((i + 1) * per * len).min(rows.len())];
        sum[0] = fits(features.frobenius_squared(part, &all, &mut vec![T::zero(); units]));
    });
    Ok(Estimate::exact(engine.grid().sum_one(sums.iter().sum()).sqrt(), 0))
}
