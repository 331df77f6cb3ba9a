//! Tangents forward and cotangents back through a tile of trajectories, for a whole block of vectors at once.

use super::forward::{split, Tile};
use super::graph::{Form, Graph, Node, Operand, Variable};
use crate::machine::{Kernel, MatMut, MatRef};
use crate::Scalar;
use core::ops::Range;

/// Where perturbations enter and how far they go: the variables that a sweep has to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They enter at the state.
    State,
    /// They enter at the site outputs and stop at the state.
    Immediate,
    /// They enter at the site outputs and go on through the state.
    Total,
}

impl Flow {
    pub(super) const ALL: [Flow; 3] = [Flow::State, Flow::Immediate, Flow::Total];

    pub(super) fn bit(self) -> u8 {
        1 << self as u8
    }
    /// Whether this flow passes through what reads `v`.
    #[inline]
    pub(super) fn carries(self, v: &Variable) -> bool {
        v.active & self.bit() != 0 && !(self == Flow::Immediate && v.watch.is_some())
    }
}

/// Which linear map a sweep applies; the adjoint of it when swept back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// P = (I − ∂F/∂z)⁻¹: state to state.
    Propagator,
    /// P⁻¹ = I − ∂F/∂z: state to state, local in time.
    Constraint,
    /// D = ∂F/∂s: site outputs to state, through no other state.
    Immediate,
    /// P D: site outputs to state.
    Total,
}

impl Mode {
    /// The flow of this map.
    pub fn flow(self) -> Flow {
        match self {
            Mode::Propagator | Mode::Constraint => Flow::State,
            Mode::Immediate => Flow::Immediate,
            Mode::Total => Flow::Total,
        }
    }
    fn enters_at_sites(self) -> bool {
        self.flow() != Flow::State
    }
}

/// One map on one tile, for `vectors` vectors.
///
/// Work memory is `[variable][row][trajectory][vector][column]`: at a site, the rows of all positions form one matrix of
/// `vectors · n_out` columns, which is what makes each half of K one product.
pub struct Sweep<'t, 'a, T, K> {
    pub(super) tile: Tile<'a, T>,
    mode: Mode,
    pub(super) vectors: usize,
    pub(super) kernel: &'t K,
}

impl<'t, 'a, T: Scalar, K: Kernel<T>> Sweep<'t, 'a, T, K> {
    /// Prepares a sweep.
    pub fn new(tile: Tile<'a, T>, mode: Mode, vectors: usize, kernel: &'t K) -> Self {
        Self { tile, mode, vectors, kernel }
    }

    /// The numbers of work memory for `trajectories` trajectories.
    pub fn work_len(graph: &Graph<'_, T>, flow: Flow, vectors: usize, trajectories: usize) -> usize {
        graph.sizes[1 + flow as usize] * vectors * trajectories
    }

    /// Rows of work memory at one position: trajectories × vectors.
    pub(super) fn rows(&self) -> usize {
        self.tile.count * self.vectors
    }

    pub(super) fn place(&self, variable: usize, p: usize, delayed: bool) -> usize {
        self.tile.place(variable, self.mode.flow(), p, delayed) * self.rows()
    }

    /// Whether a delayed read at `p` finds the initial row, which nothing perturbs.
    pub(super) fn initial(&self, o: &Operand, p: usize) -> bool {
        let v = &self.tile.graph.variables[o.variable];
        o.delayed && v.edge_row() == Some(v.row(p, true))
    }

    pub(super) fn carries(&self, o: &Operand) -> bool {
        self.mode.flow().carries(&self.tile.graph.variables[o.variable])
    }

    /// Sweeps forward.
    ///
    /// From the state: `x` in, `y` out, both `[trajectory][vector][step][unit]`. From the sites: the site outputs'
    /// perturbations stand in `work` at their [`span`](Tile::span)s beforehand, and `x` is not used.
    pub fn tangent(&self, x: &[T], y: &mut [T], work: &mut [T]) {
        for (i, v) in self.tile.graph.variables.iter().enumerate() {
            if !self.active(i) {
                continue;
            }
            if let Some(edge) = v.edge_row() {
                let at =
                    self.place(i, 0, false) - v.row(0, false) * v.width * self.rows() + edge * v.width * self.rows();
                work[at..at + v.width * self.rows()].fill(T::zero());
            }
        }
        let graph = self.tile.graph;
        graph.schedule(false, |n, at| match graph.nodes[n] {
            Node::Input { .. } | Node::Constant { .. } => {}
            Node::Site { weight, form, input, output } => {
                self.site_tangent(weight, form, &input, output, at.range.clone(), work);
                self.watch_tangent(output, at.range, x, y, work);
            }
            Node::Cluster { function, ref inputs, ref outputs, coefficients } => {
                let (ni, no) = (function.inputs(), function.outputs());
                for (k, &o) in outputs[..no].iter().enumerate() {
                    if self.active(o) {
                        self.cluster_tangent(&inputs[..ni], o, k * ni, ni * no, coefficients, at.range.clone(), work);
                    }
                }
                // Only now: a cluster's outputs are functions of its inputs, not of each other's recorded values.
                outputs[..no].iter().for_each(|&o| self.watch_tangent(o, at.range.clone(), x, y, work));
            }
            Node::Mixing { function, ref inputs, output } => {
                self.mixing_tangent(function, &inputs[..function.inputs()], output, &at, work);
                self.watch_tangent(output, at.range, x, y, work);
            }
        });
    }

    pub(super) fn active(&self, variable: usize) -> bool {
        self.tile.graph.variables[variable].active & self.mode.flow().bit() != 0
    }

    /// Whether a sweep from the sites finds perturbations of this weight at its sites.
    fn injected(&self, weight: usize) -> bool {
        self.mode.enters_at_sites() && self.tile.graph.weights[weight].parameters() > 0
    }

    fn site_tangent(
        &self,
        weight: usize,
        form: Form,
        input: &Operand,
        output: usize,
        range: Range<usize>,
        work: &mut [T],
    ) {
        if !self.active(output) {
            return;
        }
        let graph = &self.tile.graph;
        let (w, width) = (&graph.weights[weight], graph.variables[output].width);
        let rows = range.len() * self.rows();
        let start = self.place(output, range.start, false);
        if !self.carries(input) || (range.len() == 1 && self.initial(input, range.start)) {
            if !self.injected(weight) {
                work[start..start + rows * width].fill(T::zero());
            }
            return;
        }
        let from = self.place(input.variable, range.start, input.delayed);
        let (rest, out) = split(work, start..start + rows * width);
        let ld = graph.variables[input.variable].width;
        let dx = &rest.from(from)[input.offset..];
        if form == Form::Gain {
            if !self.injected(weight) {
                out.fill(T::zero());
            }
            return self.kernel.diagonal(w.matrix, dx, ld, out, width, rows);
        }
        let matrix = MatRef::new(w.matrix, w.n_out, w.n_in, w.n_in);
        let beta = if self.injected(weight) { T::one() } else { T::zero() };
        let (dx, out) = (MatRef::new(dx, rows, w.n_in, ld), MatMut::new(out, rows, width, width));
        self.kernel.gemm(T::one(), dx, matrix.t(), beta, out);
    }

    fn cluster_tangent(
        &self,
        inputs: &[Operand],
        output: usize,
        first: usize,
        arity: usize,
        place: usize,
        range: Range<usize>,
        work: &mut [T],
    ) {
        let graph = &self.tile.graph;
        let (width, m) = (graph.variables[output].width, self.vectors);
        for (p, b) in range.flat_map(|p| (0..self.tile.count).map(move |b| (p, b))) {
            let c = self.tile.coefficients(place, arity, width, p, b);
            let start = self.place(output, p, false) + b * m * width;
            let (rest, out) = split(work, start..start + m * width);
            out.fill(T::zero());
            for (i, o) in inputs.iter().enumerate() {
                if !self.carries(o) || self.initial(o, p) {
                    continue;
                }
                let ld = graph.variables[o.variable].width;
                let dx = &rest.from(self.place(o.variable, p, o.delayed) + b * m * ld)[o.offset..];
                self.kernel.diagonal(&c[(first + i) * width..][..width], dx, ld, out, width, m);
            }
        }
    }

    /// What happens to the tangent of a watched variable: see [`Mode`].
    fn watch_tangent(&self, variable: usize, range: Range<usize>, x: &[T], y: &mut [T], work: &mut [T]) {
        if !self.active(variable) {
            // No trained weight is before it.
            return self.watch(variable, range, |at, _, width| y[at..at + width].fill(T::zero()));
        }
        self.watch(variable, range, |at, place, width| {
            let d = &mut work[place..place + width];
            let out = &mut y[at..at + width];
            match self.mode {
                Mode::Propagator => {
                    for ((d, y), x) in d.iter_mut().zip(out).zip(&x[at..at + width]) {
                        *d += *x;
                        *y = *d;
                    }
                }
                Mode::Constraint => {
                    for ((d, y), x) in d.iter_mut().zip(out).zip(&x[at..at + width]) {
                        *y = *x - *d;
                        *d = *x;
                    }
                }
                Mode::Immediate | Mode::Total => out.copy_from_slice(d),
            }
        });
    }

    /// Calls `f(place in the state block, place in work, width)` for every watched row of `variable`.
    fn watch(&self, variable: usize, range: Range<usize>, mut f: impl FnMut(usize, usize, usize)) {
        let graph = &self.tile.graph;
        let v = &graph.variables[variable];
        let Some(w) = v.watch else { return };
        let n = graph.steps * graph.units;
        for p in range {
            let place = self.place(variable, p, false);
            for r in 0..self.rows() {
                f(r * n + w.offset + p * w.stride, place + r * v.width, v.width);
            }
        }
    }

    /// Sweeps back: the adjoint of [`tangent`](Sweep::tangent).
    ///
    /// From the state: `x` in, `y` out. From the sites: `x` in; the site outputs' cotangents are left in `work` at
    /// their [`span`](Tile::span)s, and `y` is not used.
    pub fn cotangent(&self, x: &[T], y: &mut [T], work: &mut [T]) {
        let graph = self.tile.graph;
        work[..Self::work_len(&graph, self.mode.flow(), self.vectors, self.tile.count)].fill(T::zero());
        graph.schedule(true, |n, at| match graph.nodes[n] {
            Node::Input { .. } | Node::Constant { .. } => {}
            Node::Site { weight, form, input, output } => {
                self.watch_cotangent(output, at.range.clone(), x, y, work);
                self.site_cotangent(weight, form, &input, output, at.range, work);
            }
            Node::Cluster { function, ref inputs, ref outputs, coefficients } => {
                let (ni, no) = (function.inputs(), function.outputs());
                outputs[..no].iter().for_each(|&o| self.watch_cotangent(o, at.range.clone(), x, y, work));
                for (i, input) in inputs[..ni].iter().enumerate() {
                    self.cluster_cotangent(input, &outputs[..no], i, ni, coefficients, at.range.clone(), work);
                }
            }
            Node::Mixing { function, ref inputs, output } => {
                self.watch_cotangent(output, at.range.clone(), x, y, work);
                self.mixing_cotangent(function, &inputs[..function.inputs()], output, &at, work);
            }
        });
    }

    fn site_cotangent(
        &self,
        weight: usize,
        form: Form,
        input: &Operand,
        output: usize,
        range: Range<usize>,
        work: &mut [T],
    ) {
        if !self.active(output) || !self.carries(input) || (range.len() == 1 && self.initial(input, range.start)) {
            return;
        }
        let graph = &self.tile.graph;
        let (w, width) = (&graph.weights[weight], graph.variables[output].width);
        let rows = range.len() * self.rows();
        let ld = graph.variables[input.variable].width;
        let from = self.place(output, range.start, false);
        let start = self.place(input.variable, range.start, input.delayed);
        let (rest, q) = split(work, start..start + rows * ld);
        if form == Form::Gain {
            return self.kernel.diagonal(w.matrix, rest.from(from), width, &mut q[input.offset..], ld, rows);
        }
        let s = MatRef::new(rest.from(from), rows, width, width);
        let matrix = MatRef::new(w.matrix, w.n_out, w.n_in, w.n_in);
        let q = MatMut::new(&mut q[input.offset..], rows, w.n_in, ld);
        self.kernel.gemm(T::one(), s, matrix, T::one(), q);
    }

    fn cluster_cotangent(
        &self,
        input: &Operand,
        outputs: &[usize],
        i: usize,
        ni: usize,
        place: usize,
        range: Range<usize>,
        work: &mut [T],
    ) {
        if !self.carries(input) {
            return;
        }
        let graph = &self.tile.graph;
        let (width, m) = (input.width, self.vectors);
        let ld = graph.variables[input.variable].width;
        for (p, b) in range.flat_map(|p| (0..self.tile.count).map(move |b| (p, b))) {
            if self.initial(input, p) {
                continue;
            }
            let c = self.tile.coefficients(place, ni * outputs.len(), width, p, b);
            let start = self.place(input.variable, p, input.delayed) + b * m * ld;
            let (rest, q) = split(work, start..start + m * ld);
            for (k, &o) in outputs.iter().enumerate() {
                if !self.active(o) {
                    continue;
                }
                let out = rest.from(self.place(o, p, false) + b * m * width);
                self.kernel.diagonal(&c[(k * ni + i) * width..][..width], out, width, &mut q[input.offset..], ld, m);
            }
        }
    }

    /// What happens to the cotangent of a watched variable: see [`Mode`].
    fn watch_cotangent(&self, variable: usize, range: Range<usize>, x: &[T], y: &mut [T], work: &mut [T]) {
        if !self.active(variable) {
            return;
        }
        self.watch(variable, range, |at, place, width| {
            let q = &mut work[place..place + width];
            let x = &x[at..at + width];
            match self.mode {
                Mode::Propagator => {
                    for ((q, y), x) in q.iter_mut().zip(&mut y[at..at + width]).zip(x) {
                        *q += *x;
                        *y = *q;
                    }
                }
                Mode::Constraint => {
                    for ((q, y), x) in q.iter_mut().zip(&mut y[at..at + width]).zip(x) {
                        *y = *x - *q;
                        *q = *x;
                    }
                }
                Mode::Immediate => q.copy_from_slice(x),
                Mode::Total => q.iter_mut().zip(x).for_each(|(q, x)| *q += *x),
            }
        });
    }
}
