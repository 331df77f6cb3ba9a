//! Running a model forward once, and what is kept of it.

use super::error::LinearizeError;
use super::graph::Graph;
use super::inference::Forward;
use super::mixing::Rows;
use super::node::{Form, Node};
use super::rest::Rest;
use super::tile::Tile;
use super::variable::{At, Operand, VariableId};
use crate::error::{length, same};
use crate::machine::{Kernel, Tasks};
use crate::{BlockMut, Error, Scalar, Shape};
use core::ops::Range;

/// A model run on fixed inputs: every value that its weights read, and the diagonal coefficients of its clusters.
///
/// **Memory**: [`arena_len`](Linearization::arena_len) numbers: what weights and mixing blocks read, the state, and one number for every
/// input and output of a unit-wise cluster (a GRU: 6 N·B·T and its input); no Jacobian of size `[B, T, N, N]`. Trajectories lie in tiles of `tile`; within a tile memory is `[variable][row][trajectory][column]`.
#[derive(Clone, Copy)]
pub struct Linearization<'a, T> {
    graph: Graph<'a, T>,
    trajectories: usize,
    tile: usize,
    /// The vectors that operators carry through at once, at most.
    at_once: usize,
    /// The steps of each trajectory; none where all have all of them.
    lengths: &'a [usize],
    /// Of every tile: its values, then its coefficients.
    memory: &'a [T],
}

/// What a model is run on.
#[derive(Clone, Copy, Debug)]
pub struct Run<'i, 'a, T> {
    /// The inputs by slot, each `[B, positions, width]`.
    pub inputs: &'i [&'i [T]],
    /// The initial state `[B, N]`, or what [`initial_width`](Graph::initial_width) tells; zeros if `None`.
    pub initial: Option<&'i [T]>,
    /// The steps of each trajectory; none where all have all of them.
    pub lengths: &'a [usize],
    /// B.
    pub trajectories: usize,
    /// Trajectories whose numbers stand together and are carried at the same time: few enough that they fit a cache.
    pub tile: usize,
}

impl<'i, T> Run<'i, '_, T> {
    /// So many trajectories of all steps, from zeros, one by one.
    pub const fn new(inputs: &'i [&'i [T]], trajectories: usize) -> Self {
        Self { inputs, initial: None, lengths: &[], trajectories, tile: 1 }
    }
}

impl<'a, T: Scalar> Linearization<'a, T> {
    /// The numbers of memory that [`new`](Linearization::new) needs.
    pub fn arena_len(graph: &Graph<'_, T>, trajectories: usize) -> usize {
        trajectories.saturating_mul(graph.sizes[0].saturating_add(graph.coefficients))
    }

    /// The numbers of scratch that [`new`](Linearization::new) needs: all values of the tiles that run at the same time.
    pub fn scratch_len<M: Tasks>(graph: &Graph<'_, T>, trajectories: usize, tile: usize, machine: &M) -> usize {
        let tile = tile.clamp(1, trajectories.max(1));
        machine.lanes().max(1).saturating_mul(tile).min(trajectories).saturating_mul(graph.running)
    }

    /// Runs the model on `inputs` (each `[B, positions, width]`) from `initial` (`[B, N]`; zeros if `None`).
    ///
    /// `arena` is what the linearisation keeps, `scratch` is free again afterwards.
    /// **Cost**: one inference plus one evaluation of every cluster in dual numbers.
    /// **Errors**: [`LinearizeError`] if a length does not fit, or a token is no row of its embedding.
    #[allow(clippy::too_many_arguments)] // a builder would only give them names
    pub fn new<M: Kernel<T> + Tasks>(
        graph: &Graph<'a, T>,
        inputs: &[&[T]],
        initial: Option<&[T]>,
        trajectories: usize,
        tile: usize,
        arena: &'a mut [T],
        scratch: &mut [T],
        machine: &M,
    ) -> Result<Self, LinearizeError> {
        let run = Run { inputs, initial, lengths: &[], trajectories, tile };
        Self::of(graph, &run, arena, scratch, machine)
    }

    /// The same, where trajectory b may have [`lengths[b]`](Run::lengths) steps only.
    ///
    /// What is behind a trajectory's end is not read, and is no part of the state: the state is zero there, and every operator is that of the shorter trajectories,
    /// embedded, with rows and columns of zeros behind the ends. What runs backward in time begins at the trajectory's own end, with the initial state.
    /// **Errors**: also [`LinearizeError::Lengths`] unless there is a length from 1 to T for every trajectory, and all variables have T positions. A mixing block of the graph
    /// must keep positions apart, which is not checked.
    pub fn of<M: Kernel<T> + Tasks>(
        graph: &Graph<'a, T>,
        run: &Run<'_, 'a, T>,
        arena: &'a mut [T],
        scratch: &mut [T],
        machine: &M,
    ) -> Result<Self, LinearizeError> {
        let Run { inputs, initial, lengths, trajectories, tile } = *run;
        require_lengths(graph, lengths, trajectories)?;
        let tile = tile.clamp(1, trajectories.max(1));
        let needed = Self::arena_len(graph, trajectories);
        if arena.len() < needed {
            return Err(LinearizeError::Arena { needed, given: arena.len() });
        }
        let needed = Self::scratch_len(graph, trajectories, tile, machine);
        if scratch.len() < needed {
            return Err(LinearizeError::Scratch { needed, given: scratch.len() });
        }
        for node in graph.nodes {
            if let Node::Input { slot, output } = *node {
                let v = &graph.variables[output];
                let expected = trajectories.saturating_mul(v.positions.saturating_mul(v.width));
                let found = inputs.get(slot).map_or(0, |x| x.len());
                if slot >= inputs.len() || found != expected {
                    return Err(LinearizeError::Input { slot, expected, found });
                }
            }
        }
        let expected = trajectories.saturating_mul(graph.initial);
        if let Some(found) = initial.map(<[T]>::len).filter(|found| *found != expected) {
            return Err(LinearizeError::InitialState { expected, found });
        }
        let per = Self::arena_len(graph, 1);
        let together = machine.lanes().max(1).saturating_mul(tile);
        // A model without a number needs no run.
        let run_for = if per == 0 { 0 } else { trajectories };
        for start in (0..run_for).step_by(together) {
            let end = trajectories.min(start.saturating_add(together));
            let run = |i: usize, kept: &mut [T], values: &mut [T]| {
                let first = start + i * tile;
                let count = tile.min(end - first);
                let (out, coefficients) = kept.split_at_mut(count * graph.sizes[0]);
                let lengths = lengths.get(first..first + count).unwrap_or(&[]);
                Forward { graph, inputs, initial, lengths, first, count, machine, values: &mut *values, coefficients }
                    .run();
                out.copy_from_slice(&values[..out.len()]);
            };
            let arena = &mut arena[start * per..end * per];
            machine.for_each((end - start).div_ceil(tile), arena, tile * per, scratch, tile * graph.running, run);
        }
        let lin = Self { memory: &arena[..trajectories * per], lengths, ..Self::outline(graph, trajectories, tile) };
        lin.require_tokens()?;
        Ok(lin)
    }

    /// Views an arena that [`new`](Linearization::new) has filled for the same graph, trajectories and tile.
    ///
    /// So a linearisation outlives the call that made it without being kept: what calls from another language need.
    /// **Errors**: [`LinearizeError::Arena`] if the arena is too short. What it holds is not checked.
    pub fn from_arena(
        graph: &Graph<'a, T>,
        trajectories: usize,
        tile: usize,
        arena: &'a [T],
    ) -> Result<Self, LinearizeError> {
        let needed = Self::arena_len(graph, trajectories);
        let memory = arena.get(..needed).ok_or(LinearizeError::Arena { needed, given: arena.len() })?;
        Ok(Self::over(graph, trajectories, tile, memory))
    }

    /// The same where the arena has its length.
    pub(crate) fn over(graph: &Graph<'a, T>, trajectories: usize, tile: usize, memory: &'a [T]) -> Self {
        Self { memory, ..Self::outline(graph, trajectories, tile) }
    }

    /// The same with the steps of each trajectory, which the values of the arena were made with.
    #[cfg(feature = "alloc")]
    pub(crate) fn with_lengths(self, lengths: &'a [usize]) -> Self {
        Self { lengths, ..self }
    }

    /// Fails if an embedding was asked for a row that it does not have. Tokens may be computed, so this is known after the run alone.
    fn require_tokens(&self) -> Result<(), LinearizeError> {
        for node in self.graph.nodes {
            let Node::Site { weight, form: Form::Embedding, input, output, .. } = *node else { continue };
            let (w, positions) = (&self.graph.weights[weight], self.graph.variables[output].positions);
            for i in 0..self.tiles() {
                let tile = self.view(i);
                for (b, trajectory) in self.tile_range(i).enumerate() {
                    let token = |p: usize| tile.row(input, p, b)[0];
                    if let Some(token) = (0..positions).map(token).find(|&x| w.row(x).is_none()) {
                        return Err(LinearizeError::Token {
                            weight: weight.0,
                            trajectory,
                            token: token.f64(),
                            rows: w.n_out,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// What a linearisation of so many trajectories would be, without its values: operators of it know all their sizes, and applying one
    /// is an error. For those who plan a run.
    pub fn outline(graph: &Graph<'a, T>, trajectories: usize, tile: usize) -> Self {
        let tile = tile.clamp(1, trajectories.max(1));
        Self { graph: *graph, trajectories, tile, at_once: usize::MAX, lengths: &[], memory: &[] }
    }

    /// The same where operators carry at most so many vectors through at once: few where all that a tile needs for them should stay near the
    /// processor. Without it as many as there are.
    pub fn with_at_once(self, vectors: usize) -> Self {
        Self { at_once: vectors.max(1), ..self }
    }

    /// Fails for an [`outline`](Linearization::outline), which has no values.
    pub(crate) fn require_values(&self) -> Result<(), Error> {
        length(Self::arena_len(&self.graph, self.trajectories), self.memory.len())
    }

    /// The model.
    pub fn graph(&self) -> &Graph<'a, T> {
        &self.graph
    }
    /// The shape `[B, T, N]` of the state.
    pub fn shape(&self) -> Shape {
        Shape::new(self.trajectories, self.graph.steps, self.graph.units)
    }
    /// How many steps a trajectory has: T, unless the trajectories' own [lengths](Run::lengths) were given.
    pub fn steps_of(&self, trajectory: usize) -> usize {
        self.lengths.get(trajectory).copied().unwrap_or(self.graph.steps)
    }
    /// How many trajectories a tile has.
    pub fn tile(&self) -> usize {
        self.tile
    }
    /// How many vectors operators carry through at once, at most.
    pub fn at_once(&self) -> usize {
        self.at_once
    }
    /// How many tiles there are.
    pub(crate) fn tiles(&self) -> usize {
        let trajectories = if Self::arena_len(&self.graph, 1) == 0 { 0 } else { self.trajectories };
        trajectories.div_ceil(self.tile)
    }
    /// The trajectories of a tile.
    pub(crate) fn tile_range(&self, tile: usize) -> Range<usize> {
        let first = tile * self.tile;
        first..(first + self.tile).min(self.trajectories)
    }
    /// A tile's part of the memory.
    pub(crate) fn view(&self, tile: usize) -> Tile<'a, T> {
        let range = self.tile_range(tile);
        let per = Self::arena_len(&self.graph, 1);
        let memory = &self.memory[range.start * per..range.end * per];
        let (values, coefficients) = memory.split_at(range.len() * self.graph.sizes[0]);
        let lengths = self.lengths.get(range.clone()).unwrap_or(&[]);
        Tile { graph: self.graph, count: range.len(), lengths, values, coefficients }
    }

    /// Copies the state z out, as one vector `[B, T, N]`, zero behind a trajectory's end.
    ///
    /// **Errors**: unless `out` is one vector of the state's shape; an outline.
    pub fn state(&self, mut out: BlockMut<'_, T>) -> Result<(), Error> {
        self.require_values()?;
        same(self.shape(), out.shape())?;
        if out.vectors() != 1 {
            return Err(Error::Vectors { expected: 1, found: out.vectors() });
        }
        for i in 0..self.tiles() {
            let tile = self.view(i);
            for (b, trajectory) in self.tile_range(i).enumerate() {
                for (k, v) in self.graph.variables.iter().enumerate() {
                    let Some(w) = v.watch else { continue };
                    for p in 0..v.positions {
                        let variable = VariableId(k);
                        let row = tile.row(Operand { variable, offset: 0, width: v.width, delayed: false }, p, b);
                        let to = &mut out.at(trajectory, 0)[w.offset + p * w.stride..][..v.width];
                        match tile.is_behind(p, b) {
                            true => to.fill(T::zero()),
                            false => to.copy_from_slice(row),
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl<T: Scalar> Graph<'_, T> {
    /// The values that a mixing block reads in trajectory `b` of a tile.
    pub(super) fn rows<'r>(&self, o: &Operand, at: &At, count: usize, b: usize, values: &Rest<'r, T>) -> Rows<'r, T> {
        let v = &self.variables[o.variable];
        let (p, positions) = v.window(at);
        let at = v.value_place(p, o.delayed, count) + b * v.panel.ld + o.offset;
        Rows::new(values.from(at), positions, o.width, 1, (count * v.panel.ld, v.panel.ld))
    }
}

/// Fails unless lengths, if there are any, fit the trajectories and the graph.
fn require_lengths<T: Scalar>(
    graph: &Graph<'_, T>,
    lengths: &[usize],
    trajectories: usize,
) -> Result<(), LinearizeError> {
    if lengths.is_empty() {
        return Ok(());
    }
    let (expected, found) = (trajectories, lengths.len());
    let wrong = |trajectory: usize| LinearizeError::Lengths { expected, found, trajectory, steps: graph.steps };
    let bad = lengths.iter().position(|length| !(1..=graph.steps).contains(length));
    let other = |v: &super::Variable| v.positions != graph.steps && v.positions > 0;
    match (found == expected, bad, graph.variables.iter().any(other)) {
        (true, None, false) => Ok(()),
        (_, bad, _) => Err(wrong(bad.unwrap_or(found))),
    }
}
