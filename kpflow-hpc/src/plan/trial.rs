//! How fast whole products and closed forms are: on a few trajectories of zeros.

use super::clock::rate;
use super::product_flops;
use super::Setup;
use crate::closed::{exact_trace, exact_trace_flops, exact_trace_len, Closed};
use crate::comm::Comm;
use crate::engine::{Engine, Real};
use crate::error::{fits, Error, Result};
use kpflow_core::machine::Tasks;
use kpflow_core::model::{Flow, Linearization};
use kpflow_core::ntk::{Coupling, Features, Ntk, Side, PAIRS_TILE};
use kpflow_core::{BlockMut, BlockRef, LinearOperator};

/// Bytes that a measurement may take, weights included.
const ROOM: usize = 1 << 30;
/// Flops that are worth waiting for.
const PATIENCE: f64 = 1e11;

/// Flops a second of one rank; `None` where there is no such thing, or where it takes too much memory or time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trial {
    /// Of NTK.
    pub whole: Option<f64>,
    /// Of its block diagonal.
    pub blocks: Option<f64>,
    /// Of the trace by Gramians.
    pub gramians: Option<f64>,
    /// Of the Frobenius norm of K by pairs of positions.
    pub pairs: Option<f64>,
}

impl Trial {
    pub fn run<T: Real>(setup: &Setup<'_, T>, lanes: usize) -> Result<Self> {
        let (graph, alone) = (&setup.graph, Engine::new(Comm::alone(), lanes)?);
        let tiling = crate::tiling::tiling(graph, setup.block, setup.opened.trajectories, lanes, true);
        let tile = tiling.trajectories;
        let count = (2 * tile * lanes).min(setup.opened.trajectories);
        let (arena, running) =
            (Linearization::arena_len(graph, count), Linearization::scratch_len(graph, count, tile, &alone));
        // Inference itself takes a part of the flops of a product with one vector.
        let flops = product_flops(graph, Coupling::All, Side::Weight, count) * count as f64;
        let taken =
            bytes::<T>(arena.saturating_add(running)).saturating_add(setup.opened.sizes(setup.block, count).bytes);
        if graph.sweep_len(Flow::Total) == 0 || taken > ROOM || flops > PATIENCE {
            return Ok(Self::default());
        }
        let room = ROOM - taken;
        let inputs: Vec<Vec<T>> =
            setup.opened.network.slots().iter().map(|(p, w)| vec![T::zero(); count * p * w]).collect();
        let inputs: Vec<&[T]> = inputs.iter().map(Vec::as_slice).collect();
        let (mut arena, mut work) = (vec![T::zero(); arena], vec![T::zero(); running]);
        let lin =
            Linearization::new(graph, &inputs, None, count, tile, &mut arena, &mut work, &alone).map_err(Error::run)?;
        drop(work);
        let lin = lin.with_at_once(tiling.vectors);
        Ok(Self {
            whole: products(setup, &lin, &alone, room, Coupling::All),
            blocks: products(setup, &lin, &alone, room, Coupling::PerTrajectory),
            gramians: gramians(&lin, &alone, room)?,
            pairs: pairs(&lin, &alone, room)?,
        })
    }
}

fn bytes<T>(numbers: usize) -> usize {
    numbers.saturating_mul(std::mem::size_of::<T>())
}

fn products<T: Real>(
    setup: &Setup<'_, T>,
    lin: &Linearization<'_, T>,
    engine: &Engine,
    room: usize,
    coupling: Coupling,
) -> Option<f64> {
    let (block, n, count) = (setup.block, lin.shape().len(), lin.shape().trajectories);
    // These few trajectories alone, but on the side that all of them would take.
    let side = Side::cheaper(setup.opened.trajectories, 1);
    let op = Ntk::with(lin, engine, coupling, side);
    let flops = product_flops(&setup.graph, coupling, side, count) * (count * block) as f64;
    if bytes::<T>(op.scratch_len(block).saturating_add(2 * block * n)) > room || flops > PATIENCE || flops == 0.0 {
        return None;
    }
    let x = vec![T::one(); block * n];
    let (mut y, mut scratch) = (vec![T::zero(); block * n], vec![T::zero(); op.scratch_len(block)]);
    Some(rate(flops, || {
        let (x, y) = (fits(BlockRef::new(lin.shape(), block, &x)), fits(BlockMut::new(lin.shape(), block, &mut y)));
        fits(op.apply(x, y, &mut scratch));
    }))
}

/// Of NTK's trace; P Pᵀ's takes the same products, but fewer.
fn gramians<T: Real>(lin: &Linearization<'_, T>, engine: &Engine, room: usize) -> Result<Option<f64>> {
    let flops = exact_trace_flops(lin, lin.shape().trajectories, Closed::Ntk).unwrap_or(0.0);
    if bytes::<T>(exact_trace_len(lin, engine, Closed::Ntk)) > room || flops > PATIENCE || flops == 0.0 {
        return Ok(None);
    }
    let mut all = Ok(());
    let rate = rate(flops, || match exact_trace(lin, engine, Closed::Ntk) {
        Ok(trace) => drop(std::hint::black_box(trace)),
        Err(e) => all = Err(e),
    });
    all.map(|()| Some(rate))
}

fn pairs<T: Real>(lin: &Linearization<'_, T>, engine: &Engine, room: usize) -> Result<Option<f64>> {
    let Some(features) = Features::new(lin) else { return Ok(None) };
    let len = features.row_len();
    if bytes::<T>(features.rows() * len) > room {
        return Ok(None);
    }
    let mut rows = vec![T::zero(); features.rows() * len];
    features.write(&mut rows)?;
    let count = features.rows().min(PAIRS_TILE);
    let (rows, lanes, scratch_len) = (&rows[..count * len], engine.lanes(), features.frobenius_scratch_len());
    let (mut sums, mut scratch) = (vec![T::zero(); lanes], vec![T::zero(); scratch_len * lanes]);
    Ok(Some(rate((lanes * count * count) as f64 * features.frobenius_flops(), || {
        engine.for_each(lanes, &mut sums, 1, &mut scratch, scratch_len, |_, sum, scratch| {
            sum[0] = T::of(fits(features.frobenius_squared(rows, rows, engine, scratch)));
        });
        std::hint::black_box(&sums);
    })))
}
