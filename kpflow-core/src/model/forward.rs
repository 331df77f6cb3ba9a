//! Running a model forward once, and what is kept of it.

use super::error::LinearizeError;
use super::graph::{At, Form, Graph, Node, Operand, MAX_INPUTS, MAX_OUTPUTS};
use super::mixing::{Rows, RowsMut};
use super::rest::{split, Rest};
use super::tile::Tile;
use crate::error::{length, same};
use crate::machine::{Diagonals, Gemm, Kernel, MatMut, MatRef, Tasks, Term};
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
    /// Of every tile: its values, then its coefficients.
    memory: &'a [T],
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
                Forward { graph, inputs, initial, first, count, machine, values: &mut *values, coefficients }.run();
                out.copy_from_slice(&values[..out.len()]);
            };
            let arena = &mut arena[start * per..end * per];
            machine.for_each((end - start).div_ceil(tile), arena, tile * per, scratch, tile * graph.running, run);
        }
        let lin = Self { memory: &arena[..trajectories * per], ..Self::outline(graph, trajectories, tile) };
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
        Ok(Self { memory, ..Self::outline(graph, trajectories, tile) })
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
                        return Err(LinearizeError::Token { weight, trajectory, token: token.f64(), rows: w.n_out });
                    }
                }
            }
        }
        Ok(())
    }

    /// What a linearisation of so many trajectories would be, without its values: operators of it know all their sizes, and applying one
    /// is an error. For those who plan a run.
    pub fn outline(graph: &Graph<'a, T>, trajectories: usize, tile: usize) -> Self {
        Self { graph: *graph, trajectories, tile: tile.clamp(1, trajectories.max(1)), at_once: usize::MAX, memory: &[] }
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
        Tile { graph: self.graph, count: range.len(), values, coefficients }
    }

    /// Copies the state z out, as one vector `[B, T, N]`.
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
                        let row = tile.row(Operand { variable: k, offset: 0, width: v.width, delayed: false }, p, b);
                        out.at(trajectory, 0)[w.offset + p * w.stride..][..v.width].copy_from_slice(row);
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

/// One tile's inference.
struct Forward<'f, 'a, T, M> {
    graph: &'f Graph<'a, T>,
    inputs: &'f [&'f [T]],
    initial: Option<&'f [T]>,
    first: usize,
    count: usize,
    machine: &'f M,
    values: &'f mut [T],
    coefficients: &'f mut [T],
}

impl<T: Scalar, M: Kernel<T>> Forward<'_, '_, T, M> {
    fn run(mut self) {
        self.initialize();
        let graph = *self.graph;
        graph.schedule(false, |n, at| self.node(&graph.nodes[n], at));
    }

    fn initialize(&mut self) {
        for v in self.graph.variables {
            for r in 0..if v.panel.ones { v.rows() * self.count } else { 0 } {
                self.values[v.row_place(0, self.count) + r * v.panel.ld + v.width] = T::one();
            }
            let Some(edge) = v.edge_row() else { continue };
            for b in 0..self.count {
                let start = v.row_place(edge, self.count) + b * v.panel.ld;
                let row = &mut self.values[start..start + v.width];
                match (self.initial, v.initial) {
                    (Some(initial), Some(at)) => {
                        row.copy_from_slice(&initial[(self.first + b) * self.graph.initial + at..][..v.width]);
                    }
                    _ => row.fill(T::zero()),
                }
            }
        }
    }

    fn place(&self, variable: usize, p: usize, delayed: bool) -> usize {
        self.graph.variables[variable].value_place(p, delayed, self.count)
    }

    fn node(&mut self, node: &Node<'_, T>, at: At) {
        let range = at.range.clone();
        let (vars, count) = (self.graph.variables, self.count);
        match *node {
            Node::Input { slot, output } => {
                let v = &vars[output];
                for p in range {
                    for b in 0..count {
                        let x = &self.inputs[slot][((self.first + b) * v.positions + p) * v.width..][..v.width];
                        let at = self.place(output, p, false) + b * v.panel.ld;
                        self.values[at..at + v.width].copy_from_slice(x);
                    }
                }
            }
            Node::Constant { data, output } => {
                let v = &vars[output];
                for (p, b) in range.flat_map(|p| (0..count).map(move |b| (p, b))) {
                    let at = self.place(output, p, false) + b * v.panel.ld;
                    self.values[at..at + v.width].copy_from_slice(&data[p * v.width..][..v.width]);
                }
            }
            Node::Site { weight, row, form, input, output, ref link } => {
                self.site((weight, row), form, &input, output, range, link.opens_values());
            }
            Node::Mixing { function, ref inputs, output } => {
                let (v, rows) = (&vars[output], range.len());
                let start = self.place(output, range.start, false);
                let ld = v.panel.ld;
                let len = if v.width == 0 || rows == 0 { 0 } else { (rows * count - 1) * ld + v.width };
                let (rest, out) = split(self.values, start..start + len);
                for b in 0..count {
                    let mut x = [Rows::new(&[][..], 0, 0, 1, (0, 0)); MAX_INPUTS];
                    for (x, o) in x.iter_mut().zip(&inputs[..function.inputs()]) {
                        *x = self.graph.rows(o, &at, count, b, &rest);
                    }
                    let y = RowsMut::new(&mut out[b * ld..], rows, v.width, 1, (count * ld, ld));
                    function.forward(&x[..function.inputs()], y, self.machine);
                }
            }
            Node::Cluster { function, ref inputs, ref outputs, coefficients, .. } => {
                let (ni, no) = (function.inputs(), function.outputs());
                let width = vars[outputs[0]].width;
                let mut x = [T::zero(); MAX_INPUTS];
                let mut y = [T::zero(); MAX_OUTPUTS];
                let mut d = [T::zero(); MAX_INPUTS * MAX_OUTPUTS];
                for (p, b) in range.flat_map(|p| (0..count).map(move |b| (p, b))) {
                    for j in 0..width {
                        for (xi, o) in x.iter_mut().zip(&inputs[..ni]) {
                            let ld = vars[o.variable].panel.ld;
                            *xi = self.values[self.place(o.variable, p, o.delayed) + b * ld + o.offset + j];
                        }
                        if function.linearize(&x[..ni], &mut y[..no], &mut d[..ni * no]).is_err() {
                            y.fill(T::nan());
                        }
                        for (yo, &o) in y.iter().zip(&outputs[..no]) {
                            let at = self.place(o, p, false) + b * vars[o].panel.ld + j;
                            self.values[at] = *yo;
                        }
                        let at = coefficients * count + (p * count + b) * ni * no * width + j;
                        for (k, &dk) in d[..ni * no].iter().enumerate() {
                            self.coefficients[at + k * width] = dk;
                        }
                    }
                }
            }
        }
    }

    fn site(
        &mut self,
        (weight, row): (usize, usize),
        form: Form,
        input: &Operand,
        output: usize,
        range: Range<usize>,
        opens: bool,
    ) {
        let (w, v) = (&self.graph.weights[weight], &self.graph.variables[output]);
        let (width, out_ld) = (v.width, v.panel.ld);
        let (rows, ld) = (range.len() * self.count, self.graph.variables[input.variable].panel.ld);
        let start = self.place(output, range.start, false);
        let from = self.place(input.variable, range.start, input.delayed);
        if rows == 0 || width == 0 {
            return;
        }
        let (rest, out) = split(self.values, start..start + (rows - 1) * out_ld + width);
        for out in out.chunks_mut(out_ld) {
            let out = &mut out[..width];
            match w.bias {
                Some(bias) if opens => out.copy_from_slice(&bias[row..row + width]),
                Some(bias) => out.iter_mut().zip(&bias[row..row + width]).for_each(|(s, b)| *s += *b),
                None if opens => out.fill(T::zero()),
                None => {}
            }
        }
        let u = MatRef::of(&rest.from(from)[input.offset..], rows, input.width, ld);
        match form {
            Form::Dense => {
                let m = MatRef::of(&w.matrix[row * w.n_in..], width, w.n_in, w.n_in);
                self.machine.gemm(T::one(), Gemm::of(u, m.t(), MatMut::of(out, rows, width, out_ld)), T::one());
            }
            Form::Gain => self.machine.combine(Diagonals::of(
                &[Term { c: w.matrix, x: u.data, stride: ld }],
                out,
                out_ld,
                rows,
                true,
            )),
            Form::Embedding => {
                for (r, row) in out.chunks_mut(out_ld).enumerate() {
                    match w.row(u.data[r * ld]) {
                        Some(k) => row[..width].copy_from_slice(&w.matrix[k * width..][..width]),
                        // Refused when all has run.
                        None => row[..width].fill(T::nan()),
                    }
                }
            }
        }
    }
}
