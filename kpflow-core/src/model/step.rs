//! One step of a recurrence as a small dense matrix.

use super::forward::Linearization;
use super::graph::Graph;
use super::node::{Form, Node};
use super::rest::split;
use super::variable::{Edge, Operand, Scan, VariableId};
use super::Flow;
use crate::error::{below, enough, length};
use crate::machine::{Diagonals, Gemm, Kernel, MatMut, MatRef, Term};
use crate::{Error, Scalar};

impl<T: Scalar> Graph<'_, T> {
    /// Whether the model is one recurrence forward in time whose state is read only at the step before.
    pub fn is_single_recurrence(&self) -> bool {
        let reads_state = |n: &Node<'_, T>| n.operands().iter().any(|o| self.variables()[o.variable].watch.is_some());
        let delayed_only = |n: &Node<'_, T>| {
            n.operands().iter().all(|o| {
                let v = &self.variables()[o.variable];
                o.delayed == (v.edge == Edge::First) && o.delayed == v.watch.is_some()
            })
        };
        let plain =
            |n: &Node<'_, T>| !matches!(n, Node::Mixing { .. } | Node::Site { form: Form::Gain | Form::Embedding, .. });
        let scans = self.segments().iter().filter(|s| s.scan != Scan::Parallel);
        let right = self
            .variables()
            .iter()
            .filter(|v| v.watch.is_some())
            .all(|v| v.positions == self.steps() && v.watch.is_some_and(|w| w.stride == self.units()));
        right
            && scans.clone().count() == 1
            && scans.clone().all(|s| s.scan == Scan::Forward)
            && self.nodes().iter().all(|n| plain(n) && delayed_only(n))
            && self
                .segments()
                .iter()
                .filter(|s| s.scan == Scan::Parallel)
                .all(|s| s.nodes.clone().all(|n| !reads_state(&self.nodes()[n])))
    }

    /// Columns of a step's tangents: every variable that the state's flow reaches, now and, where delayed, before.
    fn step_columns(&self, until: usize) -> usize {
        let active = self.variables()[..until].iter().filter(|v| v.active & Flow::State.bit() != 0);
        active.map(|v| v.width * if v.edge == Edge::None { 1 } else { 2 }).sum()
    }

    /// Work memory of [`Linearization::step_jacobian`].
    pub fn step_len(&self) -> usize {
        self.step_columns(self.variables().len()).saturating_mul(self.units())
    }

    /// Where a variable's tangents of this step (or of the one before) begin in the work memory.
    fn step_place(&self, variable: VariableId, delayed: bool) -> usize {
        let v = &self.variables()[variable];
        (self.step_columns(variable.0) + if delayed { v.width } else { 0 }) * self.units()
    }
}

impl<T: Scalar> Linearization<'_, T> {
    /// Writes A_t = ∂z_t/∂z_{t−1} of trajectory `b`, row-major `[N, N]`: N unit tangents through one step.
    ///
    /// For a [single recurrence](Graph::is_single_recurrence) and t ≥ 1. **Cost**: 2·N·(site outputs)·H flops.
    ///
    /// **Errors**: if there is no such trajectory or step, `a` is not N·N long or `work` shorter than [`step_len`](Graph::step_len).
    /// Returns `false`, having done nothing, if the model is no single recurrence.
    pub fn step_jacobian<K: Kernel<T>>(
        &self,
        b: usize,
        t: usize,
        a: &mut [T],
        work: &mut [T],
        kernel: &K,
    ) -> Result<bool, Error> {
        let (shape, n) = (self.shape(), self.graph().units());
        self.require_values()?;
        below(shape.trajectories, b)?;
        below(shape.steps, t)?;
        length(n.saturating_mul(n), a.len())?;
        enough(self.graph().step_len(), work.len())?;
        let single = self.graph().is_single_recurrence();
        if single {
            self.write_step_jacobian(b, t, a, work, kernel);
        }
        Ok(single)
    }

    /// The same where all of this is known.
    pub(crate) fn write_step_jacobian<K: Kernel<T>>(
        &self,
        b: usize,
        t: usize,
        a: &mut [T],
        work: &mut [T],
        kernel: &K,
    ) {
        let graph = self.graph();
        let n = graph.units();
        let work = &mut work[..graph.step_len()];
        work.fill(T::zero());
        for (i, v) in graph.variables().iter().enumerate() {
            let Some(w) = v.watch else { continue };
            let place = graph.step_place(VariableId(i), true);
            (0..v.width).for_each(|j| work[place + (w.offset + j) * v.width + j] = T::one());
        }
        let tile = self.view(b / self.tile());
        let active = |v: VariableId| graph.variables()[v].active & Flow::State.bit() != 0;
        for segment in graph.segments().iter().filter(|s| s.scan == Scan::Forward) {
            for node in &graph.nodes()[segment.nodes.clone()] {
                match *node {
                    Node::Input { .. } | Node::Constant { .. } | Node::Mixing { .. } => {}
                    Node::Site { weight, row, input, output, ref link, .. } if active(input.variable) => {
                        let (w, width) = (&graph.weights()[weight], graph.variables()[output].width);
                        let start = graph.step_place(output, false);
                        let (rest, out) = split(work, start..start + n * width);
                        let ld = graph.variables()[input.variable].width;
                        let from = graph.step_place(input.variable, input.delayed);
                        let dx = MatRef::of(&rest.from(from)[input.offset..], n, w.n_in, ld);
                        let matrix = MatRef::of(&w.matrix[row * w.n_in..], width, w.n_in, w.n_in);
                        let beta = if link.opens(Flow::State) { T::zero() } else { T::one() };
                        kernel.gemm(T::one(), Gemm::of(dx, matrix.t(), MatMut::of(out, n, width, width)), beta);
                    }
                    Node::Site { .. } => {}
                    Node::Cluster { function, ref inputs, ref outputs, coefficients, .. } => {
                        let (ni, no) = (function.inputs(), function.outputs());
                        for (k, &o) in outputs[..no].iter().enumerate().filter(|(_, &o)| active(o)) {
                            let width = graph.variables()[o].width;
                            let c = tile.coefficients(coefficients, ni * no, width, t, b % self.tile());
                            let start = graph.step_place(o, false);
                            let (rest, out) = split(work, start..start + n * width);
                            let live = |o: &&Operand| active(o.variable);
                            for (i, x) in inputs[..ni].iter().enumerate().filter(|(_, o)| live(o)) {
                                let ld = graph.variables()[x.variable].width;
                                let dx = &rest.from(graph.step_place(x.variable, x.delayed))[x.offset..];
                                let term = Term { c: &c[(k * ni + i) * width..][..width], x: dx, stride: ld };
                                kernel.combine(Diagonals::of(&[term], out, width, n, true));
                            }
                        }
                    }
                }
            }
        }
        // The tangents lie a row an input unit: A is their transpose.
        for (i, v) in graph.variables().iter().enumerate() {
            let Some(w) = v.watch else { continue };
            let place = graph.step_place(VariableId(i), false);
            for column in 0..n {
                for j in 0..v.width {
                    a[(w.offset + j) * n + column] = work[place + column * v.width + j];
                }
            }
        }
    }
}
