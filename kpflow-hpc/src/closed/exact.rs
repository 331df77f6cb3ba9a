//! Closed forms: what inference alone, or the Gramians of a recurrence, say exactly.

use crate::comm::shard;
use crate::engine::{is_single, Engine, Real};
use crate::error::{fits, Error, Result};
use crate::progress;
use kpflow_core::machine::{Machine, Reduce, Tasks};
use kpflow_core::model::Linearization;
use kpflow_core::ntk::{
    ntk_traces, ntk_traces_flops, ntk_traces_scratch_len, propagator_gram_traces, propagator_gram_traces_flops,
    propagator_gram_traces_scratch_len, Features, PAIRS_TILE,
};
use kpflow_estimate::{power_of, times_power, Estimate};
use std::ops::Range;

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

impl Closed {
    /// Fails unless there is a closed form for this model: its weights act unit by unit, for K and NTK, and for all but K it is one recurrence.
    ///
    /// Asked of the graph, which all ranks have, and not of trajectories, of which a rank may have none.
    fn require<T: Real>(self, lin: &Linearization<'_, T>) -> Result<()> {
        if self != Closed::PropagatorGram {
            by_units(lin)?;
        }
        if self != Closed::Parameter && !lin.graph().is_single_recurrence() {
            return Err(Error::usage("method = \"exact\" is for single recurrences; choose another method"));
        }
        Ok(())
    }

    /// Flops of a trajectory.
    fn flops<T: Real>(self, lin: &Linearization<'_, T>) -> f64 {
        match self {
            Closed::Ntk => ntk_traces_flops(lin),
            Closed::Parameter => (lin.shape().steps * lin.shape().units) as f64,
            Closed::PropagatorGram => propagator_gram_traces_flops(lin),
        }
    }

    fn scratch_len<T: Real, M: Machine<T>>(self, lin: &Linearization<'_, T>, machine: &M) -> usize {
        match self {
            Closed::Ntk => ntk_traces_scratch_len(lin, machine),
            Closed::Parameter => 0,
            Closed::PropagatorGram => propagator_gram_traces_scratch_len(lin, machine),
        }
    }
}

/// How many flops [`exact_trace`] takes on all ranks, if there is a closed form.
pub fn exact_trace_flops<T: Real>(lin: &Linearization<'_, T>, trajectories: usize, which: Closed) -> Option<f64> {
    which.require(lin).is_ok().then(|| trajectories as f64 * which.flops(lin))
}

/// The numbers that [`exact_trace`] holds: none if there is no closed form.
pub fn exact_trace_len<T: Real, M: Machine<T>>(lin: &Linearization<'_, T>, machine: &M, which: Closed) -> usize {
    let rows = match which {
        Closed::PropagatorGram => 0,
        Closed::Ntk | Closed::Parameter => Features::new(lin).map_or(0, |f| f.rows().saturating_mul(f.row_len())),
    };
    which.require(lin).map_or(0, |()| rows.saturating_add(which.scratch_len(lin, machine)))
}

/// Fails unless a model has the closed form: of a trace, or of ‖K‖_F.
pub fn require_closed<T: Real>(lin: &Linearization<'_, T>, of_trace: Option<Closed>) -> Result<()> {
    match of_trace {
        Some(which) => which.require(lin),
        None => by_units(lin).map(drop),
    }
}

fn by_units<'a, T: Real>(lin: &'a Linearization<'_, T>) -> Result<Features<'a, T>> {
    Features::new(lin).ok_or_else(|| {
        Error::usage("method = \"exact\" is for models whose weights act unit by unit; choose another method")
    })
}

fn features<'a, T: Real>(lin: &'a Linearization<'_, T>, engine: &Engine) -> Result<(Features<'a, T>, Vec<T>, i32)> {
    let features = by_units(lin)?;
    let mut rows = vec![T::zero(); features.rows() * features.row_len()];
    features.write(&mut rows)?;
    // K is of degree 2 in what sites read and in the coefficients behind them, its squared norm of
    // degree 4 in both: where that would leave the range, both
    // are brought near 1, and tr K after them.
    let most = |x: f64| f64::from_bits(engine.grid().world().most([x.max(0.0).to_bits()])[0]);
    let (len, inputs) = (features.row_len().max(1), features.inputs_len());
    let largest = |rows: &[T], read: bool| {
        let part = rows.chunks(len).flat_map(|row| if read { &row[..inputs] } else { &row[inputs..] });
        most(part.fold(0.0, |m: f64, x| m.max(x.f64().abs())))
    };
    let down = |rows: &mut [T], read: bool, k: i32| {
        let factor = T::of(times_power(1.0, -k));
        let parts = rows.chunks_mut(len).map(|row| if read { &mut row[..inputs] } else { &mut row[inputs..] });
        parts.filter(|_| k != 0).flatten().for_each(|x| *x *= factor);
    };
    let mut powers = 0;
    for read in [true, false] {
        let k = exponent::<T>(largest(&rows, read), 4);
        down(&mut rows, read, k);
        powers += k;
    }
    let k = exponent::<T>(most(features.trace(&rows)?), 2) / 2;
    down(&mut rows, false, k);
    Ok((features, rows, 2 * (powers + k)))
}

/// The power of two of a number whose power of this degree needs to be brought near 1; 0 where it
/// need not.
fn exponent<T: Real>(x: f64, degree: i32) -> i32 {
    power_of(x, if is_single::<T>() { 40 } else { 300 } / degree)
}

/// Computes a trace exactly: of K from G's diagonal, of the others from the observability Gramians
/// ([`kpflow_core::ntk::ntk_traces`]). Collective.
///
/// **Errors**: there is no closed form for this model.
pub fn exact_trace<T: Real>(lin: &Linearization<'_, T>, engine: &Engine, which: Closed) -> Result<Estimate> {
    which.require(lin)?;
    // Every group has all trajectories: each takes some of this process's.
    let own = engine.grid().share(lin.shape().trajectories);
    let mut power = 0;
    let local = match which {
        Closed::Parameter => {
            let (features, rows, scaled) = features(lin, engine)?;
            power = scaled;
            let per = lin.shape().steps * features.row_len();
            features.trace(&rows[own.start * per..own.end * per])?
        }
        Closed::Ntk => {
            let (features, rows, scaled) = features(lin, engine)?;
            power = scaled;
            sum_of_traces((lin, engine, which), own, |these, out, scratch| {
                ntk_traces(&features, &rows, these, engine, out, scratch)
            })?
        }
        Closed::PropagatorGram => sum_of_traces((lin, engine, which), own, |these, out, scratch| {
            propagator_gram_traces(lin, these, engine, out, scratch)
        })?,
    };
    Ok(Estimate::exact(times_power(engine.grid().world().sum_one(local), power), 0))
}

/// Flops of trajectories of which progress is told together: a second or two.
const GROUP: f64 = 1e11;

/// The sum of the traces of some trajectories, which `write(some of them, their traces, scratch)` writes.
fn sum_of_traces<T: Real>(
    (lin, engine, which): (&Linearization<'_, T>, &Engine, Closed),
    own: Range<usize>,
    write: impl Fn(Range<usize>, &mut [T], &mut [T]) -> std::result::Result<bool, kpflow_core::Error>,
) -> Result<f64> {
    let (mut traces, mut scratch) = (vec![T::zero(); own.len()], vec![T::zero(); which.scratch_len(lin, engine)]);
    let _trajectories = progress::work(own.len() as u64, "trajectories");
    // A lane waits for others at the end of a group only, and progress is told there.
    let group = ((GROUP / which.flops(lin)) as usize).clamp(engine.lanes(), own.len().max(engine.lanes()));
    let firsts = own.step_by(group);
    for (first, out) in firsts.zip(traces.chunks_mut(group)) {
        write(first..first + out.len(), out, &mut scratch)?;
        progress::did(out.len() as u64);
    }
    Ok(traces.iter().map(|t| t.f64()).sum())
}

/// How many flops [`exact_frobenius`] takes on all ranks, if there is one.
pub fn exact_frobenius_flops<T: Real>(lin: &Linearization<'_, T>, trajectories: usize) -> Option<f64> {
    let positions = (trajectories * lin.shape().steps) as f64;
    Some(0.5 * positions * (positions + PAIRS_TILE as f64) * Features::new(lin)?.frobenius_flops())
}

/// The numbers that [`exact_frobenius`] holds, of so many trajectories on all ranks: none if there is no closed form.
pub fn exact_frobenius_len<T: Real, M: Machine<T>>(
    lin: &Linearization<'_, T>,
    machine: &M,
    trajectories: usize,
) -> usize {
    Features::new(lin).map_or(0, |f| {
        let positions = f.rows().saturating_add(trajectories.saturating_mul(lin.shape().steps));
        positions.saturating_mul(f.row_len()).saturating_add(machine.lanes() * f.frobenius_scratch_len())
    })
}

/// The blocks of so many positions of a process, which groups share: pairs of blocks are what is done at a time.
pub fn frobenius_blocks(positions: usize) -> usize {
    positions.div_ceil(PAIRS_TILE)
}

/// Computes ‖K‖_F exactly, from every pair of positions, each of which is taken once. Collective.
///
/// **Errors**: there is no closed form for this model.
pub fn exact_frobenius<T: Real>(lin: &Linearization<'_, T>, engine: &Engine) -> Result<Estimate> {
    let (features, rows, power) = features(lin, engine)?;
    let (grid, steps, len) = (engine.grid(), lin.shape().steps, features.row_len());
    let total: usize = Reduce::<T>::sum_count(engine, lin.shape().trajectories);
    let mut all = vec![T::zero(); total * steps * len];
    grid.gather(&rows, &mut all);
    // The blocks of every rank, which all know.
    let (mut blocks, mut own) = (Vec::new(), 0..0);
    for rank in 0..grid.size() {
        let (range, first) = (shard(total, grid.size(), rank), blocks.len());
        let (start, end) = (range.start * steps, range.end * steps);
        blocks.extend((start..end).step_by(PAIRS_TILE).map(|at| at * len..(at + PAIRS_TILE).min(end) * len));
        if rank == grid.rank() {
            // Every group has all of them: each takes some of this process's.
            let share = grid.share(blocks.len() - first);
            own = first + share.start..first + share.end;
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
    Ok(Estimate::exact(times_power(grid.world().sum_one(local).sqrt(), power), 0))
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
