//! Running a model forward once, and what is kept of it.

use super::error::LinearizeError;
use super::graph::{At, Form, Graph, Node, Operand, Variable, MAX_INPUTS, MAX_OUTPUTS};
use super::mixing::{Rows, RowsMut};
use super::Flow;
use crate::machine::{Kernel, MatMut, MatRef, Tasks};
use crate::{BlockMut, Scalar, Shape};
use core::ops::Range;

/// A model run on fixed inputs: every value that its weights read, and the diagonal coefficients of its clusters.
///
/// **Memory**: [`arena_len`](Linearization::arena_len) numbers, B·T·(values + cluster inputs × outputs) for a unit; no Jacobian
/// of size `[B, T, N, N]`. Trajectories lie in tiles of `tile`; within a tile memory is `[variable][row][trajectory][column]`.
#[derive(Clone, Copy)]
pub struct Linearization<'a, T> {
    graph: Graph<'a, T>,
    trajectories: usize,
    tile: usize,
    values: &'a [T],
    coefficients: &'a [T],
}

impl<'a, T: Scalar> Linearization<'a, T> {
    /// The numbers of memory that [`new`](Linearization::new) needs.
    pub fn arena_len(graph: &Graph<'_, T>, trajectories: usize) -> usize {
        trajectories * (graph.sizes[0] + graph.coefficients)
    }

    /// Runs the model on `inputs` (each `[B, positions, width]`) from `initial` (`[B, N]`; zeros if `None`).
    ///
    /// **Cost**: one inference plus one evaluation of every cluster in dual numbers.
    /// **Errors**: [`LinearizeError`] if a length does not fit, or a token is no row of its embedding.
    pub fn new<M: Kernel<T> + Tasks>(
        graph: &Graph<'a, T>,
        inputs: &[&[T]],
        initial: Option<&[T]>,
        trajectories: usize,
        tile: usize,
        arena: &'a mut [T],
        machine: &M,
    ) -> Result<Self, LinearizeError> {
        let tile = tile.clamp(1, trajectories.max(1));
        let needed = Self::arena_len(graph, trajectories);
        if arena.len() < needed {
            return Err(LinearizeError::Arena { needed, given: arena.len() });
        }
        for node in graph.nodes {
            if let Node::Input { slot, output } = *node {
                let v = &graph.variables[output];
                if inputs.get(slot).is_none_or(|x| x.len() != trajectories * v.positions * v.width) {
                    return Err(LinearizeError::Input { slot });
                }
            }
        }
        if initial.is_some_and(|x| x.len() != trajectories * graph.initial) {
            return Err(LinearizeError::InitialState);
        }
        let (values, rest) = arena.split_at_mut(trajectories * graph.sizes[0]);
        let coefficients = &mut rest[..trajectories * graph.coefficients];
        let run = |i: usize, values: &mut [T], coefficients: &mut [T]| {
            let first = i * tile;
            let count = tile.min(trajectories - first);
            Forward { graph, inputs, initial, first, count, machine, values, coefficients }.run();
        };
        let (value_len, coefficient_len) = (tile * graph.sizes[0], tile * graph.coefficients);
        machine.for_each(trajectories.div_ceil(tile), values, value_len, coefficients, coefficient_len, run);
        let lin = Self { graph: *graph, trajectories, tile, values, coefficients };
        lin.require_tokens()?;
        Ok(lin)
    }

    /// Fails if an embedding was asked for a row that it does not have. Tokens may be computed, so this is known after the run alone.
    fn require_tokens(&self) -> Result<(), LinearizeError> {
        for node in self.graph.nodes {
            let Node::Site { weight, form: Form::Embedding, input, output } = *node else { continue };
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
    /// How many tiles there are.
    pub fn tiles(&self) -> usize {
        self.trajectories.div_ceil(self.tile)
    }
    /// The trajectories of a tile.
    pub fn tile_range(&self, tile: usize) -> Range<usize> {
        let first = tile * self.tile;
        first..(first + self.tile).min(self.trajectories)
    }
    /// A tile's part of the memory.
    pub fn view(&self, tile: usize) -> Tile<'a, T> {
        let range = self.tile_range(tile);
        let (v, c) = (self.graph.sizes[0], self.graph.coefficients);
        Tile {
            graph: self.graph,
            count: range.len(),
            values: &self.values[range.start * v..range.end * v],
            coefficients: &self.coefficients[range.start * c..range.end * c],
        }
    }

    /// Copies the state z out, as one vector `[B, T, N]`.
    pub fn state(&self, mut out: BlockMut<'_, T>) {
        assert!(out.shape() == self.shape() && out.vectors() == 1, "the state is one vector of the model's shape");
        for i in 0..self.tiles() {
            let tile = self.view(i);
            for (b, trajectory) in self.tile_range(i).enumerate() {
                for (k, v) in self.graph.variables.iter().enumerate() {
                    let Some(w) = v.watch else { continue };
                    for p in 0..v.positions {
                        let row = tile.row(Operand { variable: k, offset: 0, width: v.width, delayed: false }, p, b);
                        out.part(trajectory, 0)[w.offset + p * w.stride..][..v.width].copy_from_slice(row);
                    }
                }
            }
        }
    }
}

/// The values and coefficients of a few trajectories.
#[derive(Clone, Copy)]
pub struct Tile<'a, T> {
    pub(super) graph: Graph<'a, T>,
    pub(super) count: usize,
    pub(super) values: &'a [T],
    pub(super) coefficients: &'a [T],
}

impl<'a, T: Scalar> Tile<'a, T> {
    /// The model.
    pub fn graph(&self) -> &Graph<'a, T> {
        &self.graph
    }
    /// The number of trajectories.
    pub fn count(&self) -> usize {
        self.count
    }
    fn variable(&self, operand: Operand) -> &'a Variable {
        &self.graph.variables[operand.variable]
    }
    /// A row's place among the tangents of a flow, in columns of one trajectory and one vector.
    #[inline]
    pub(super) fn place(&self, variable: usize, flow: Flow, p: usize, delayed: bool) -> usize {
        let v = &self.graph.variables[variable];
        v.place[1 + flow as usize] + v.row(p, delayed) * v.width
    }
    /// Where a variable's tangents of all positions lie in the work memory of a sweep of `vectors` vectors,
    /// without the initial row: a matrix of `positions · trajectories` rows of `vectors · width` columns.
    pub fn span(&self, variable: usize, flow: Flow, vectors: usize) -> Range<usize> {
        let v = &self.graph.variables[variable];
        let rows = self.count * vectors;
        let start = self.place(variable, flow, 0, false) * rows;
        start..start + v.positions * v.width * rows
    }
    /// What an operand reads at position `p` of trajectory `b` of the tile.
    pub fn row(&self, operand: Operand, p: usize, b: usize) -> &'a [T] {
        let v = self.variable(operand);
        let row = v.row(p, operand.delayed) * self.count + b;
        &self.values[v.place[0] * self.count + row * v.width + operand.offset..][..operand.width]
    }
    /// What a mixing block reads there.
    pub(super) fn rows(&self, o: &Operand, at: &At, b: usize) -> Rows<'a, T> {
        let rest = Rest { left: self.values, right: &[], end: self.values.len() };
        self.graph.rows(o, at, self.count, b, &rest)
    }
    /// All that an operand reads in this tile: the matrix U, a row a position (p, b), p slowest.
    pub fn reads(&self, operand: Operand) -> MatRef<'a, T> {
        let v = self.variable(operand);
        let start = v.place[0] * self.count + v.row(0, operand.delayed) * self.count * v.width + operand.offset;
        MatRef::new(&self.values[start..], v.positions * self.count, operand.width, v.width)
    }
    /// Cluster coefficients at (p, b): `[output][input][unit]`, for a cluster of `arity` = inputs × outputs and `width` units.
    #[inline]
    pub fn coefficients(&self, place: usize, arity: usize, width: usize, p: usize, b: usize) -> &'a [T] {
        let n = arity * width;
        &self.coefficients[place * self.count + (p * self.count + b) * n..][..n]
    }
}

impl<T: Scalar> Graph<'_, T> {
    /// The values that a mixing block reads in trajectory `b` of a tile.
    fn rows<'r>(&self, o: &Operand, at: &At, count: usize, b: usize, values: &Rest<'r, T>) -> Rows<'r, T> {
        let v = &self.variables[o.variable];
        let (p, positions) = v.window(at);
        let at = (v.place[0] + v.row(p, o.delayed) * v.width) * count + b * v.width + o.offset;
        Rows::new(values.from(at), positions, o.width, 1, (count * v.width, v.width))
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
            let Some(edge) = v.edge_row() else { continue };
            for b in 0..self.count {
                let start = v.place[0] * self.count + (edge * self.count + b) * v.width;
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
        let v = &self.graph.variables[variable];
        (v.place[0] + v.row(p, delayed) * v.width) * self.count
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
                        let at = self.place(output, p, false) + b * v.width;
                        self.values[at..at + v.width].copy_from_slice(x);
                    }
                }
            }
            Node::Constant { data, output } => {
                let v = &vars[output];
                for (p, b) in range.flat_map(|p| (0..count).map(move |b| (p, b))) {
                    let at = self.place(output, p, false) + b * v.width;
                    self.values[at..at + v.width].copy_from_slice(&data[p * v.width..][..v.width]);
                }
            }
            Node::Site { weight, form, input, output } => self.site(weight, form, &input, output, range),
            Node::Mixing { function, ref inputs, output } => {
                let (v, rows) = (&vars[output], range.len());
                let start = self.place(output, range.start, false);
                let (rest, out) = split(self.values, start..start + rows * count * v.width);
                for b in 0..count {
                    let mut x = [Rows::new(&[][..], 0, 0, 1, (0, 0)); MAX_INPUTS];
                    for (x, o) in x.iter_mut().zip(&inputs[..function.inputs()]) {
                        *x = self.graph.rows(o, &at, count, b, &rest);
                    }
                    let y = RowsMut::new(&mut out[b * v.width..], rows, v.width, 1, (count * v.width, v.width));
                    function.forward(&x[..function.inputs()], y, self.machine);
                }
            }
            Node::Cluster { function, ref inputs, ref outputs, coefficients } => {
                let (ni, no) = (function.inputs(), function.outputs());
                let width = vars[outputs[0]].width;
                let mut x = [T::zero(); MAX_INPUTS];
                let mut y = [T::zero(); MAX_OUTPUTS];
                let mut d = [T::zero(); MAX_INPUTS * MAX_OUTPUTS];
                for (p, b) in range.flat_map(|p| (0..count).map(move |b| (p, b))) {
                    for j in 0..width {
                        for (xi, o) in x.iter_mut().zip(&inputs[..ni]) {
                            let w = vars[o.variable].width;
                            *xi = self.values[self.graph_place(o, p) + b * w + o.offset + j];
                        }
                        function.linearize(&x[..ni], &mut y[..no], &mut d[..ni * no]);
                        for (yo, &o) in y.iter().zip(&outputs[..no]) {
                            let at = self.place(o, p, false) + b * width + j;
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

    fn site(&mut self, weight: usize, form: Form, input: &Operand, output: usize, range: Range<usize>) {
        let (w, width) = (&self.graph.weights[weight], self.graph.variables[output].width);
        let (rows, ld) = (range.len() * self.count, self.graph.variables[input.variable].width);
        let start = self.place(output, range.start, false);
        let from = self.place(input.variable, range.start, input.delayed);
        let (rest, out) = split(self.values, start..start + rows * width);
        let u = MatRef::new(&rest.from(from)[input.offset..], rows, input.width, ld);
        match w.bias {
            Some(bias) => out.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(bias)),
            None => out.fill(T::zero()),
        }
        match form {
            Form::Dense => {
                let m = MatRef::new(w.matrix, w.n_out, w.n_in, w.n_in);
                self.machine.gemm(T::one(), u, m.t(), T::one(), MatMut::new(out, rows, width, width));
            }
            Form::Gain => self.machine.diagonal(w.matrix, u.data, ld, out, width, rows),
            Form::Embedding => {
                for (r, row) in out.chunks_exact_mut(width).enumerate() {
                    match w.row(u.data[r * ld]) {
                        Some(k) => row.copy_from_slice(&w.matrix[k * width..][..width]),
                        // Refused when all has run.
                        None => row.fill(T::nan()),
                    }
                }
            }
        }
    }

    #[inline]
    fn graph_place(&self, o: &Operand, p: usize) -> usize {
        self.place(o.variable, p, o.delayed)
    }
}

/// What is left of a slice when a piece of it is borrowed to be written.
pub(super) struct Rest<'a, T> {
    left: &'a [T],
    right: &'a [T],
    end: usize,
}

impl<'a, T> Rest<'a, T> {
    /// The numbers from `start` to the end of the side that it lies on; none where only a variable without numbers can begin.
    #[inline]
    pub(super) fn from(&self, start: usize) -> &'a [T] {
        if start < self.left.len() {
            &self.left[start..]
        } else {
            self.right.get(start.saturating_sub(self.end)..).unwrap_or(&[])
        }
    }
}

/// Borrows a piece of `data` to be written and the rest to be read, at once.
#[inline]
pub(super) fn split<T>(data: &mut [T], piece: Range<usize>) -> (Rest<'_, T>, &mut [T]) {
    let (left, rest) = data.split_at_mut(piece.start);
    let (out, right) = rest.split_at_mut(piece.len());
    (Rest { left, right, end: piece.end }, out)
}
