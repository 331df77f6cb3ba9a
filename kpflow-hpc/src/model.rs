//! From a job to a linearised model on this rank's trajectories.

mod content;
mod doubts;
mod reading;
mod sample;
mod with;

pub use content::Content;
pub(crate) use sample::{of_all, on_one};
pub(crate) use with::{with_other_inputs, with_weights};

use crate::comm::{shard, Grid};
use crate::engine::{require_memory, Engine, Real};
use crate::error::{fits, Error, Result};
use crate::job::{Job, Kind, Source};
use crate::kinds::Tokens;
use crate::load::{lengths, padding, Array};
use crate::network::{FromFiles, OwnedWeight};
use crate::sharing::Sharing;
use crate::tiling;
use kpflow_core::machine::Tasks;
use kpflow_core::model::{Linearization, Run};
use kpflow_core::{BlockMut, Shape};
use reading::{network, read_inputs, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;

/// Everything that was loaded.
pub struct Loaded<T> {
    /// The file of the weights.
    file: PathBuf,
    network: FromFiles<T>,
    inputs: Rc<Inputs<T>>,
    /// This rank's shape.
    pub shape: Shape,
    /// The number of this rank's first trajectory.
    pub first: usize,
    /// Trajectories of all ranks.
    pub trajectories: usize,
    /// Vectors carried through at once.
    pub block: usize,
    /// Groups that share the vectors of a block.
    groups: usize,
    /// Flops of one product of NTK with one vector, on all ranks.
    pub product_flops: f64,
    tiling: tiling::Tiling,
    /// Ranks of this node that hold the weights once between them.
    sharing: usize,
}

/// The sizes of a job that tell what a run needs of one rank.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Vectors carried through at once.
    pub block: usize,
    /// Trajectories of all ranks.
    pub trajectories: usize,
    /// Their steps, all together.
    pub steps: usize,
    /// Bytes of weights and inputs on the rank.
    pub bytes: usize,
    /// Numbers of the weights.
    pub weights: usize,
    /// Bytes that reading them takes beside them.
    pub reading: usize,
    /// Groups that share the vectors of a block.
    pub groups: usize,
}

/// The numbers of a network's weights.
fn held<T: Real>(network: &FromFiles<T>) -> usize {
    network.weights().iter().flat_map(OwnedWeight::arrays).map(|a| a.len()).sum()
}

/// The arrays that a job's `[data]` names, opened.
pub struct Given {
    arrays: Vec<Array>,
    initial: Option<Array>,
    mask: Option<Array>,
    /// The steps of every trajectory of all ranks, where they differ.
    lengths: Option<Vec<usize>>,
    /// The tokens, once they are read.
    tokens: Option<Read>,
    /// Trajectories of all ranks.
    trajectories: usize,
}

impl Given {
    /// Opens them, and checks that they are of the same trajectories.
    pub fn open(job: &Job) -> Result<Self> {
        let arrays = job.inputs.iter().map(|(_, source)| Array::open(source)).collect::<Result<Vec<_>>>()?;
        let initial = job.initial_state.as_ref().map(Array::open).transpose()?;
        let mut mask = job.mask.as_ref().map(Array::open).transpose()?;
        let Some(first) = arrays.first().or(initial.as_ref()) else {
            return Err(Error::input(&job.path, "in [data]: inputs is missing, and there is no initial_state either"));
        };
        let trajectories = first.shape().first().copied().unwrap_or(0);
        if let Some(empty) = arrays.iter().chain(&initial).find(|a| a.shape().is_empty() || a.shape().contains(&0)) {
            let what = "it should hold numbers, its first axis the trajectory";
            return Err(empty.error(format!("has shape {:?}; {what}", empty.shape())));
        }
        for other in arrays.iter().chain(&initial).chain(&mask) {
            if other.shape().first() != Some(&trajectories) {
                let what =
                    format!("has shape {:?}; its first axis should be {trajectories}, the trajectories", other.shape());
                return Err(other.error(what));
            }
        }
        // The mask of a recurrent model is its lengths, and nothing else.
        let ends = if job.model.kind.is_recurrent() { mask.take() } else { None };
        let lengths = lengths::of_inputs(first, job.lengths.as_ref(), ends)?;
        Ok(Self { arrays, initial, mask, lengths, tokens: None, trajectories })
    }

    /// Reads the tokens of a rank's `own` trajectories, if the model reads tokens: which rows of an embedding are held
    /// depends on those of all of them. Collective.
    fn read_tokens(&mut self, kind: Kind, own: Range<usize>, grid: Grid) -> Result<()> {
        let array = self.arrays.first().filter(|_| matches!(kind, Kind::Gpt2 | Kind::Bert));
        self.tokens = array.map(|array| Read::of(array, own, grid)).transpose()?;
        Ok(())
    }

    /// What is known of the tokens: before they are read, how many there are.
    fn tokens(&self) -> Tokens<'_> {
        match &self.tokens {
            Some(read) => Tokens::Named(&read.named),
            None => Tokens::AtMost(self.arrays.first().map_or(0, |array| array.shape().iter().product())),
        }
    }

    /// The steps of all trajectories together.
    fn steps<T: Real>(&self, network: &FromFiles<T>) -> usize {
        let all = self.trajectories * network.state_shape().0;
        self.lengths.as_ref().map_or(all, |lengths| lengths.iter().sum())
    }

    /// The network of a job that reads these; of an `outline` the weights have sizes and no numbers.
    pub fn network<T: Real>(&self, job: &Job, outline: bool) -> Result<FromFiles<T>> {
        let Self { arrays, initial, mask, trajectories, .. } = self;
        let network = network::<T>(job, arrays, self.tokens(), mask.is_some(), outline)?;
        for (slot, (positions, width)) in network.slots().into_iter().enumerate() {
            // Positions are made of the tokens: no array has them.
            let given = network.counted.is_none_or(|c| c.slot != slot);
            let Some(array) = arrays.get(slot).or(mask.as_ref()).filter(|_| given) else { continue };
            if array.shape()[1..].iter().product::<usize>() != positions * width {
                let what =
                    format!("has shape {:?}; a trajectory's part should be [{positions}, {width}]", array.shape());
                return Err(array.error(what));
            }
        }
        if let Some(array) = initial {
            let width = network.initial_width();
            if array.shape() != [*trajectories, width] {
                let what = format!("has shape {:?}; the initial state is [{trajectories}, {width}]", array.shape());
                return Err(array.error(what));
            }
        }
        Ok(network)
    }

    /// Reads these trajectories for a network, and lets go of what was held of the others.
    fn read<T: Real>(mut self, network: &FromFiles<T>, range: Range<usize>) -> Result<Inputs<T>> {
        let slots = read_inputs(network, &self, range.clone())?;
        let initial = self.initial.as_ref().map(|array| array.read_rows(range)).transpose()?;
        let all = self.arrays.iter().chain(&self.initial).chain(&self.mask);
        let warnings = all.flat_map(|a| a.warnings().to_vec()).collect();
        self.arrays.iter_mut().chain(&mut self.initial).chain(&mut self.mask).for_each(Array::forget);
        if let Some(read) = &mut self.tokens {
            read.own = Vec::new();
        }
        Ok(Inputs { given: self, slots, initial, layout: network.slots(), warnings })
    }
}

/// The inputs of this rank's trajectories: the same for all weights of a model.
pub struct Inputs<T> {
    given: Given,
    slots: Vec<Vec<T>>,
    initial: Option<Vec<T>>,
    layout: Vec<(usize, usize)>,
    warnings: Vec<String>,
}

/// The files of a job, opened and checked: all that is known before inputs are read.
pub struct Opened<T> {
    given: Given,
    /// The model.
    pub network: FromFiles<T>,
    /// Trajectories of all ranks.
    pub trajectories: usize,
}

impl<T: Real> Opened<T> {
    /// Opens and checks all files of a job; of an `outline` the weights have sizes and no numbers.
    pub fn open(job: &Job, outline: bool) -> Result<Self> {
        Self::of(Given::open(job)?, job, outline)
    }

    fn of(given: Given, job: &Job, outline: bool) -> Result<Self> {
        let network = given.network(job, outline)?;
        Ok(Self { trajectories: given.trajectories, given, network })
    }

    /// The steps of all trajectories together.
    pub fn steps(&self) -> usize {
        self.given.steps(&self.network)
    }

    /// The steps of every trajectory, where they differ.
    pub fn lengths(&self) -> Option<&[usize]> {
        self.given.lengths.as_deref()
    }

    /// Fails where what an analysis is made with does not fit the model: by its header alone.
    pub fn require_with(&self, job: &Job) -> Result<()> {
        self.given.require_all(job, &self.network)
    }

    /// The sizes for a rank of so many trajectories.
    pub fn sizes(&self, block: usize, local: usize) -> Sizes {
        let inputs: usize = self.network.slots().iter().map(|(positions, width)| positions * width).sum();
        let initial = if self.given.initial.is_some() { self.network.initial_width() } else { 0 };
        let weights = held(&self.network);
        let bytes = (weights + (inputs + initial) * local) * std::mem::size_of::<T>();
        let reading = self.network.reading;
        Sizes { block, trajectories: self.trajectories, steps: self.steps(), bytes, weights, reading, groups: 1 }
    }
}

/// How many trajectories the inputs of a job have, from the file's header.
pub fn trajectories(job: &Job) -> Result<usize> {
    let source = job.inputs.first().map(|(_, source)| source).or(job.initial_state.as_ref());
    let array = source.map(Array::open).transpose()?;
    Ok(array.and_then(|a| a.shape().first().copied()).unwrap_or(0))
}

impl<T: Real> Loaded<T> {
    /// Reads and checks all files of a job. Collective: all ranks fail if one does.
    ///
    /// Large weights are read by the first rank of a node, and held there once for all of them.
    pub fn load(job: &Job, engine: &Engine) -> Result<Self> {
        let (grid, sharing) = (engine.grid(), Sharing::of(job, engine));
        let mut given = grid.agree(Given::open(job))?;
        let own = shard(given.trajectories, grid.size(), grid.rank());
        given.read_tokens(job.model.kind, own, grid)?;
        let opened = grid.agree(Opened::<T>::of(given, job, sharing.outline()))?;
        // What does not fit is not read.
        let local = opened.trajectories.div_ceil(grid.size());
        grid.agree(require_memory(opened.sizes(1, local).bytes as f64))?;
        let Opened { given, network, trajectories } = opened;
        let network = sharing.share(network);
        let mut inputs = grid.agree(given.read(&network, shard(trajectories, grid.size(), grid.rank())))?;
        if job.model.kind.is_recurrent() && inputs.given.lengths.is_none() {
            let (own, steps) = (shard(trajectories, grid.size(), grid.rank()), network.state_shape().0);
            let ends = padding::ends(&inputs.slots[0], trajectories, own, steps);
            inputs.warnings.extend(padding::sentence(&ends.summed(|sum| grid.sum(sum)), steps));
        }
        grid.agree(Self::of(job, network, Rc::new(inputs), engine, sharing))
    }

    /// The same model on the same inputs with the weights of another file, which the job names. Collective.
    pub fn load_on(inputs: Rc<Inputs<T>>, job: &Job, engine: &Engine) -> Result<Self> {
        let (grid, sharing) = (engine.grid(), Sharing::of(job, engine));
        let open = || {
            let network = inputs.given.network::<T>(job, sharing.outline())?;
            with::require_same(&job.model.weights, &network, &inputs.layout)?;
            Ok(network)
        };
        let network = sharing.share(grid.agree(open())?);
        grid.agree(Self::of(job, network, inputs, engine, sharing))
    }

    fn of(job: &Job, network: FromFiles<T>, inputs: Rc<Inputs<T>>, engine: &Engine, sharing: Sharing) -> Result<Self> {
        let (grid, trajectories) = (engine.grid(), inputs.given.trajectories);
        let range = shard(trajectories, grid.size(), grid.rank());
        let (steps, units) = network.state_shape();
        let shape = Shape::new(range.len(), steps, units);
        let graph = network.graph(network.weights()).map_err(Error::run)?;
        let graph = graph.view();
        let block = job.block.unwrap_or(tiling::block(&graph));
        let groups = grid.probes();
        let tiling = tiling::tiling(&graph, block.div_ceil(groups), range.len(), engine.lanes(), grid.size() == 1);
        let product_flops = graph.product_flops() * trajectories as f64;
        let (file, first, sharing) = (job.model.weights.clone(), range.start, sharing.ranks());
        Ok(Self { file, network, inputs, shape, first, trajectories, block, groups, product_flops, tiling, sharing })
    }

    /// Fails where what an analysis is made with does not fit the model: by its header alone.
    pub fn require_with(&self, job: &Job) -> Result<()> {
        self.inputs.given.require_all(job, &self.network)
    }

    /// Opens a tensor that is as the state, or `many` of them.
    pub fn open_state(&self, with: &Source, many: bool) -> Result<Array> {
        self.inputs.given.open_state(with, self.network.state_shape(), many)
    }

    /// The inputs, for other weights.
    pub fn inputs(&self) -> Rc<Inputs<T>> {
        self.inputs.clone()
    }

    /// What the user should know before trusting a number: of the model, then of the inputs.
    pub fn warnings(&self) -> Vec<String> {
        self.network.warnings().iter().chain(&self.inputs.warnings).cloned().collect()
    }

    /// [B, T, N], of all ranks.
    pub fn state_shape(&self) -> [usize; 3] {
        [self.trajectories, self.shape.steps, self.shape.units]
    }

    /// The steps of every trajectory of all ranks, where they differ.
    pub fn lengths(&self) -> Option<&[usize]> {
        self.inputs.given.lengths.as_deref()
    }

    /// The steps of all trajectories together, of all ranks.
    pub fn steps(&self) -> usize {
        self.inputs.given.steps(&self.network)
    }

    /// The numbers of the state on all ranks: none behind a trajectory's end.
    pub fn numbers(&self) -> usize {
        self.steps() * self.shape.units
    }

    /// The model.
    pub fn network(&self) -> &FromFiles<T> {
        &self.network
    }

    /// How many ranks of this node hold the weights once between them, and the bytes.
    pub fn shared(&self) -> Option<(usize, usize)> {
        (self.sharing > 1).then(|| (self.sharing, held(&self.network) * std::mem::size_of::<T>()))
    }

    /// The sizes that tell what a run needs.
    pub fn sizes(&self) -> Sizes {
        let inputs: usize = self.inputs.slots.iter().chain(&self.inputs.initial).map(Vec::len).sum();
        let (weights, reading, groups) = (held(&self.network), self.network.reading, self.groups);
        let bytes = (weights + inputs) * std::mem::size_of::<T>();
        Sizes {
            block: self.block,
            trajectories: self.trajectories,
            steps: self.steps(),
            bytes,
            weights,
            reading,
            groups,
        }
    }

    /// The model's weights.
    pub fn weights(&self) -> &[OwnedWeight<T>] {
        self.network.weights()
    }

    /// Runs the model with these weights and calls `f` with its linearisation.
    pub fn linearized<R>(
        &self,
        weights: &[OwnedWeight<T>],
        engine: &Engine,
        f: impl FnOnce(&Linearization<'_, T>) -> R,
    ) -> Result<R> {
        let graph = self.network.graph(weights).map_err(Error::run)?;
        let graph = graph.view();
        let len = Linearization::arena_len(&graph, self.shape.trajectories);
        // The same answer on every rank: by the largest part that any of them has.
        let most = Linearization::arena_len(&graph, self.trajectories.div_ceil(engine.grid().size()));
        require_memory(most as f64 * std::mem::size_of::<T>() as f64)?;
        let mut arena = vec![T::zero(); len];
        let inputs: Vec<&[T]> = self.inputs.slots.iter().map(Vec::as_slice).collect();
        let (initial, count, tile) =
            (self.inputs.initial.as_deref(), self.shape.trajectories, self.tiling.trajectories);
        let mut scratch = vec![T::zero(); Linearization::scratch_len(&graph, count, tile, engine)];
        let lengths = self.lengths().map_or(&[][..], |lengths| &lengths[self.first..self.first + count]);
        let (arena, scratch_of) = (&mut arena, &mut scratch);
        let run = Run { inputs: &inputs, initial, lengths, trajectories: count, tile };
        let lin = Linearization::of(&graph, &run, arena, scratch_of, engine);
        drop(scratch);
        // A token is refused by the rank that reads it: the others must not wait for it.
        let lin = engine.grid().agree(lin.map_err(|e| self.refused(e)))?;
        Ok(f(&lin.with_at_once(self.tiling.vectors)))
    }

    /// The state of a linearised model.
    pub fn state(&self, lin: &Linearization<'_, T>) -> Vec<T> {
        let mut state = vec![T::zero(); self.shape.len()];
        fits(BlockMut::new(self.shape, 1, &mut state).and_then(|block| lin.state(block)));
        state
    }

    /// The state with these weights.
    pub fn run(&self, weights: &[OwnedWeight<T>], engine: &Engine) -> Result<Vec<T>> {
        self.linearized(weights, engine, |lin| self.state(lin))
    }
}
