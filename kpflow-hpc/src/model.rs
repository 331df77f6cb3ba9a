//! From a job to a linearised model on this rank's trajectories.

use crate::comm::shard;
use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::job::{Job, Kind};
use crate::load::{Array, Checkpoint, Recurrent};
use kpflow_core::machine::Tasks;
use kpflow_core::model::{Cell, GraphBuffer, Linearization};
use kpflow_core::{BlockMut, Shape};

/// Everything that was loaded.
pub struct Loaded<T> {
    cell: Cell,
    weights: Recurrent<T>,
    inputs: Vec<T>,
    initial: Option<Vec<T>>,
    /// This rank's shape.
    pub shape: Shape,
    /// The number of this rank's first trajectory.
    pub first: usize,
    /// Trajectories of all ranks.
    pub trajectories: usize,
    /// Vectors carried through at once.
    pub block: usize,
    tile: usize,
}

/// Rows of a product at a step that are worth a trip through the matrix kernel.
const TILE_ROWS: usize = 64;

impl<T: Real> Loaded<T> {
    /// Reads and checks all files of a job. Collective: all ranks fail if one does.
    pub fn load(job: &Job, engine: &Engine) -> Result<Self> {
        let comm = engine.comm();
        comm.agree(Self::load_here(job, engine))
    }

    fn load_here(job: &Job, engine: &Engine) -> Result<Self> {
        let comm = engine.comm();
        if let Some(ranks) = job.grid.filter(|&r| r != comm.size()) {
            let what = format!(
                "grid asks for {ranks} ranks and there are {}; run it on {ranks}, or take \"auto\"",
                comm.size()
            );
            return Err(Error::input(&job.path, what));
        }
        let cell = match job.model.kind {
            Kind::Rnn => Cell::rnn(job.model.activation),
            Kind::LeakyRnn => Cell::leaky(job.model.activation, job.model.dt),
            Kind::Lstm => Cell::lstm(),
            _ => Cell::gru(),
        };
        let checkpoint = Checkpoint::open(&job.model.weights, &job.model.prefix)?;
        let weights = Recurrent::<T>::load(&checkpoint, &cell)?;
        let (n_in, units) = (weights.view().n_in, weights.view().hidden * cell.states());
        let inputs = Array::open(&job.inputs)?;
        let &[trajectories, steps, width] = inputs.shape() else {
            return Err(inputs.error(format!("has shape {:?}; inputs are [B, T, n_in = {n_in}]", inputs.shape())));
        };
        if width != n_in || trajectories == 0 || steps == 0 {
            return Err(inputs.error(format!("has shape {:?}; this model reads [B, T, {n_in}]", inputs.shape())));
        }
        let range = shard(trajectories, comm.size(), comm.rank());
        let initial = match &job.initial_state {
            None => None,
            Some(source) => {
                let array = Array::open(source)?;
                if array.shape() != [trajectories, units] {
                    let what = format!("has shape {:?}; the initial state is [{trajectories}, {units}]", array.shape());
                    return Err(array.error(what));
                }
                Some(array.read_rows(range.clone())?)
            }
        };
        // Neither may depend on the number of ranks or threads: where an estimate stops depends on the block.
        let block = job.block.unwrap_or(if units <= 128 { 32 } else { 16 });
        let share = range.len().div_ceil(engine.lanes()).max(1);
        let tile = TILE_ROWS.div_ceil(block).clamp(1, share);
        let shape = Shape::new(range.len(), steps, units);
        let inputs = inputs.read_rows(range.clone())?;
        Ok(Self { cell, weights, inputs, initial, shape, first: range.start, trajectories, block, tile })
    }

    /// The model's weights.
    pub fn weights(&self) -> &Recurrent<T> {
        &self.weights
    }

    /// The model's cell.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// Flops of one product of NTK with one vector, on all ranks.
    pub fn product_flops(&self) -> f64 {
        let w = self.weights.view();
        let (gates, h) = (self.cell.gates() as f64, w.hidden as f64);
        let positions = (self.trajectories * self.shape.steps) as f64;
        positions * (4.0 * gates * h * h + 4.0 * gates * h * (h + w.n_in as f64))
    }

    /// Runs the model with these weights and calls `f` with its linearisation.
    pub fn linearized<R>(
        &self,
        weights: &Recurrent<T>,
        engine: &Engine,
        f: impl FnOnce(&Linearization<'_, T>) -> R,
    ) -> Result<R> {
        let mut buffer = GraphBuffer::default();
        let graph = self.cell.graph(weights.view(), self.shape.steps, &mut buffer).map_err(Error::run)?;
        let mut arena = vec![T::zero(); Linearization::arena_len(&graph, self.shape.trajectories)];
        let initial = self.initial.as_deref();
        let lin = Linearization::new(
            &graph,
            &[&self.inputs],
            initial,
            self.shape.trajectories,
            self.tile,
            &mut arena,
            engine,
        );
        Ok(f(&lin.map_err(Error::run)?))
    }

    /// The state of a linearised model.
    pub fn state(&self, lin: &Linearization<'_, T>) -> Vec<T> {
        let mut state = vec![T::zero(); self.shape.len()];
        lin.state(BlockMut::new(self.shape, 1, &mut state));
        state
    }

    /// The state with these weights.
    pub fn run(&self, weights: &Recurrent<T>, engine: &Engine) -> Result<Vec<T>> {
        self.linearized(weights, engine, |lin| self.state(lin))
    }
}
