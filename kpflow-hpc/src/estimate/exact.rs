//! Closed forms: what inference alone, or the Gramians of a recurrence, say exactly.

use super::Estimate;
use crate::comm::shard;
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
    let positions = (trajectories * lin.shape().steps) as f64;
    Some(0.5 * positions * (positions + BLOCK as f64) * Features::new(lin)?.frobenius_flops())
}

/// Positions of a block, of which pairs are what is done at a time: a tile of the core's.
const BLOCK: usize = 128;

/// Computes ‖K‖_F exactly, from every pair of positions, each of which is taken once. Collective.
///
/// **Errors**: there is no closed form for this model.
pub fn exact_frobenius<T: Real>(lin: &Linearization<'_, T>, engine: &Engine) -> Result<Estimate> {
    let (features, rows) = features(lin)?;
    let (grid, steps, len) = (engine.grid(), lin.shape().steps, features.row_len());
    let total: usize = Reduce::<T>::sum_count(engine, lin.shape().trajectories);
    let mut all = vec![T::zero(); total * steps * len];
    grid.gather(&rows, &mut all);
    // The blocks of every rank, which all know.
    let (mut blocks, mut own) = (Vec::new(), 0..0);
    for rank in 0..grid.size() {
        let (range, first) = (shard(total, grid.size(), rank), blocks.len());
        let (start, end) = (range.start * steps, range.end * steps);
        blocks.extend((start..end).step_by(BLOCK).map(|at| at * len..(at + BLOCK).min(end) * len));
        if rank == grid.rank() {
            own = first..blocks.len();
        }
    }
    let lane = features.frobenius_scratch_len();
    let (mut sums, mut scratch) = (vec![T::zero(); own.len()], vec![T::zero(); lane * engine.lanes()]);
    let _blocks = progress::work(own.len() as u64, "blocks of positions");
    engine.for_each_in_turn(own.len(), &mut sums, 1, &mut scratch, lane, |i, scratch, sum| {
        let b = own.start + i;
        let mut square = 0.0;
        for (other, there) in blocks.iter().enumerate().filter(|(other, _)| takes(b, *other)) {
            let here = &all[blocks[b].clone()];
            let part = fits(features.frobenius_squared(here, &all[there.clone()], engine, scratch));
            square += if other == b { part } else { 2.0 * part };
        }
        sum[0] = T::of(square);
        progress::did(1);
    });
    let local = sums.iter().map(|s| s.f64()).sum();
    Ok(Estimate::exact(grid.sum_one(local).sqrt(), 0))
}

/// Whether block `a` takes its pairs with `b`, or `b` those with `a`: each about half of the others.
fn takes(a: usize, b: usize) -> bool {
    a == b || (a < b) == ((a + b) % 2 == 0)
}

#[cfg(test)]
mod tests {
    use super::takes;

    #[test]
    fn every_pair_is_taken_once() {
        for n in [1, 2, 7, 30] {
            for a in 0..n {
                (0..n).for_each(|b| assert!(a == b || takes(a, b) != takes(b, a)));
                let count = (0..n).filter(|&b| takes(a, b)).count();
                assert!(count.abs_diff(n / 2) <= 1, "{a} takes {count} of {n}");
            }
        }
    }
}
