//! Tangents forward and cotangents back through a tile of trajectories, for a whole block of vectors at once.

use super::flow::{Flow, Mode};
use super::graph::Graph;
use super::node::Node;
use super::tile::Tile;
use super::variable::{Edge, Operand, VariableId};
use crate::machine::{Kernel, Slab};
use crate::Scalar;
use core::ops::Range;

/// One map on one tile, for `vectors` vectors.
///
/// Work memory is `[variable][row][trajectory][vector][column]`: at a site, the rows of all positions form one matrix of
/// `vectors · n_out` columns, which is what makes each half of K one product.
pub struct Sweep<'t, 'a, T, K> {
    pub(super) tile: Tile<'a, T>,
    mode: Mode,
    pub(super) vectors: usize,
    /// Which vector of the block x is the first, and how many it has.
    within: (usize, usize),
    /// Weights, transposed: all that [`Graph::transposed_len`] counts, or none.
    pub(super) transposed: &'t [T],
    pub(super) kernel: &'t K,
}

/// Where a watched row lies: in x, and in y's run of a trajectory; and whether it is behind the trajectory's end, where the state has no numbers.
#[derive(Clone, Copy)]
struct Watched {
    x: usize,
    trajectory: usize,
    y: usize,
    behind: bool,
}

impl Watched {
    #[inline]
    fn of<'y, T>(self, y: &'y mut Slab<'_, '_, T>, width: usize) -> &'y mut [T] {
        &mut y.run(self.trajectory)[self.y..self.y + width]
    }
}

impl<'t, 'a, T: Scalar, K: Kernel<T>> Sweep<'t, 'a, T, K> {
    /// Prepares a sweep.
    pub fn new(tile: Tile<'a, T>, mode: Mode, vectors: usize, kernel: &'t K) -> Self {
        Self { tile, mode, vectors, within: (0, vectors), transposed: &[], kernel }
    }

    /// The same where x is a block of `all` vectors, of which `first` is the first one.
    pub(crate) fn within(self, first: usize, all: usize) -> Self {
        Self { within: (first, all), ..self }
    }

    /// The same with what [`Graph::transpose`] has written.
    pub(crate) fn with_transposed(self, transposed: &'t [T]) -> Self {
        Self { transposed, ..self }
    }

    /// The numbers of work memory for `trajectories` trajectories.
    pub fn work_len(graph: &Graph<'_, T>, flow: Flow, vectors: usize, trajectories: usize) -> usize {
        let rows = vectors.saturating_mul(trajectories);
        graph.sweep_len(flow).saturating_mul(rows).saturating_add(graph.strip_len(flow, rows))
    }

    /// Rows of work memory at one position: trajectories × vectors.
    pub(super) fn rows(&self) -> usize {
        self.tile.count * self.vectors
    }

    pub(super) fn place(&self, variable: VariableId, p: usize, delayed: bool) -> usize {
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
    pub fn tangent(&self, x: &[T], mut y: Slab<'_, '_, T>, work: &mut [T]) {
        let y = &mut y;
        for (i, v) in self.tile.graph.variables.iter().enumerate() {
            let i = VariableId(i);
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
            Node::Site { ref input, output, .. } => {
                self.site_tangent(n, input, output, at.range.clone(), work);
                self.watch_tangent(output, at.range, x, y, work);
            }
            Node::Cluster { function, ref inputs, ref outputs, coefficients, .. } => {
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

    pub(super) fn active(&self, variable: VariableId) -> bool {
        self.tile.graph.variables[variable].active & self.mode.flow().bit() != 0
    }

    pub(super) fn flow(&self) -> Flow {
        self.mode.flow()
    }
    /// Whether a sweep finds perturbations at the trained sites.
    pub(super) fn injected(&self) -> bool {
        self.mode.flow() != Flow::State
    }

    /// What happens to the tangent of a watched variable: see [`Mode`].
    fn watch_tangent(
        &self,
        variable: VariableId,
        range: Range<usize>,
        x: &[T],
        y: &mut Slab<'_, '_, T>,
        work: &mut [T],
    ) {
        if !self.active(variable) {
            // No trained weight is before it.
            return self.watch(variable, range, |at, _, width| at.of(y, width).fill(T::zero()));
        }
        self.watch(variable, range, |at, place, width| {
            let d = &mut work[place..place + width];
            let out = at.of(y, width);
            match self.mode {
                _ if at.behind => {
                    d.fill(T::zero());
                    out.fill(T::zero());
                }
                Mode::Propagator => {
                    for ((d, y), x) in d.iter_mut().zip(out).zip(&x[at.x..at.x + width]) {
                        *d += *x;
                        *y = *d;
                    }
                }
                Mode::Constraint => {
                    for ((d, y), x) in d.iter_mut().zip(out).zip(&x[at.x..at.x + width]) {
                        *y = *x - *d;
                        *d = *x;
                    }
                }
                Mode::Immediate | Mode::Total => out.copy_from_slice(d),
            }
        });
    }

    /// Calls `f(place in the state blocks, place in work, width)` for every watched row of `variable`.
    fn watch(&self, variable: VariableId, range: Range<usize>, mut f: impl FnMut(Watched, usize, usize)) {
        let graph = &self.tile.graph;
        let v = &graph.variables[variable];
        let Some(w) = v.watch else { return };
        let n = graph.steps * graph.units;
        for p in range {
            let place = self.place(variable, p, false);
            let (first, all) = self.within;
            let at = w.offset + p * w.stride;
            for trajectory in 0..self.tile.count {
                let behind = self.tile.is_behind(p, trajectory);
                for vector in 0..self.vectors {
                    let x = (trajectory * all + first + vector) * n + at;
                    let place = place + (trajectory * self.vectors + vector) * v.width;
                    f(Watched { x, trajectory, y: vector * n + at, behind }, place, v.width);
                }
            }
        }
    }

    /// Sweeps back: the adjoint of [`tangent`](Sweep::tangent).
    ///
    /// From the state: `x` in, `y` out. From the sites: `x` in; the site outputs' cotangents are left in `work` at
    /// their [`span`](Tile::span)s, and `y` is not used.
    pub fn cotangent(&self, x: &[T], mut y: Slab<'_, '_, T>, work: &mut [T]) {
        let y = &mut y;
        let graph = self.tile.graph;
        self.clear(work);
        graph.schedule(true, |n, at| match graph.nodes[n] {
            Node::Input { .. } | Node::Constant { .. } => {}
            Node::Site { ref input, output, .. } => {
                self.watch_cotangent(output, at.range.clone(), x, y, work);
                self.site_cotangent(&graph.nodes[n], input, output, at.range, work);
            }
            Node::Cluster { function, ref inputs, ref outputs, coefficients, ref first } => {
                let (ni, no) = (function.inputs(), function.outputs());
                outputs[..no].iter().for_each(|&o| self.watch_cotangent(o, at.range.clone(), x, y, work));
                for (i, input) in inputs[..ni].iter().enumerate() {
                    let first = first[i] & self.flow().bit() != 0;
                    self.cluster_cotangent(input, &outputs[..no], (i, ni), first, coefficients, at.range.clone(), work);
                }
            }
            Node::Mixing { function, ref inputs, output } => {
                self.watch_cotangent(output, at.range.clone(), x, y, work);
                self.mixing_cotangent(function, &inputs[..function.inputs()], output, &at, work);
            }
        });
    }

    /// Clears what no pass is the first to write: all of some variables, and the last row in time, which nothing later reads.
    fn clear(&self, work: &mut [T]) {
        let flow = self.flow();
        for v in self.tile.graph.variables.iter().filter(|v| v.active & flow.bit() != 0) {
            let (start, row) = (v.place[1 + flow as usize] * self.rows(), v.width * self.rows());
            let rows = match v.edge {
                _ if v.cleared & flow.bit() != 0 => 0..v.rows(),
                Edge::First if v.positions > 0 => v.positions..v.positions + 1,
                Edge::Last if v.positions > 0 => 0..1,
                Edge::None | Edge::First | Edge::Last => continue,
            };
            work[start + rows.start * row..start + rows.end * row].fill(T::zero());
        }
    }

    /// What happens to the cotangent of a watched variable: see [`Mode`].
    fn watch_cotangent(
        &self,
        variable: VariableId,
        range: Range<usize>,
        x: &[T],
        y: &mut Slab<'_, '_, T>,
        work: &mut [T],
    ) {
        if !self.active(variable) {
            return;
        }
        self.watch(variable, range, |at, place, width| {
            let q = &mut work[place..place + width];
            let x = &x[at.x..at.x + width];
            match self.mode {
                _ if at.behind => {
                    q.fill(T::zero());
                    if self.mode.flow() == Flow::State {
                        at.of(y, width).fill(T::zero());
                    }
                }
                Mode::Propagator => {
                    for ((q, y), x) in q.iter_mut().zip(at.of(y, width)).zip(x) {
                        *q += *x;
                        *y = *q;
                    }
                }
                Mode::Constraint => {
                    for ((q, y), x) in q.iter_mut().zip(at.of(y, width)).zip(x) {
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
