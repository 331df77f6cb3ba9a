//! How sweeps pass weight sites and unit-wise clusters. The first pass that writes a row overwrites it; the others add.

use super::node::{Form, Node, MAX_INPUTS, MAX_OUTPUTS};
use super::rest::split;
use super::through::gains;
use super::variable::{Operand, VariableId};
use super::Sweep;
use crate::machine::{Diagonals, Gemm, Kernel, MatMut, MatRef, Term};
use crate::Scalar;
use core::ops::Range;

impl<T: Scalar, K: Kernel<T>> Sweep<'_, '_, T, K> {
    pub(super) fn site_tangent(
        &self,
        node: usize,
        input: &Operand,
        output: VariableId,
        range: Range<usize>,
        work: &mut [T],
    ) {
        let graph = &self.tile.graph;
        let Node::Site { weight, row, form, link, .. } = &graph.nodes[node] else { return };
        if !self.active(output) {
            return;
        }
        let (w, width) = (&graph.weights[*weight], graph.variables[output].width);
        let rows = range.len() * self.rows();
        let start = self.place(output, range.start, false);
        let add = (self.injected() && link.sum_is_injected()) || !link.opens(self.flow());
        if self.through_tangent(&graph.nodes[node], add, work) {
            return;
        }
        if !self.carries(input) || (range.len() == 1 && self.initial(input, range.start)) {
            if !add {
                work[start..start + rows * width].fill(T::zero());
            }
            return;
        }
        let from = self.place(input.variable, range.start, input.delayed);
        let (rest, out) = split(work, start..start + rows * width);
        let ld = graph.variables[input.variable].width;
        let dx = &rest.from(from)[input.offset..];
        if *form == Form::Gain {
            return gains(self.kernel, w.matrix, (dx, ld), (out, width), (rows, width), add);
        }
        let matrix = self.right_factor(node, MatRef::of(&w.matrix[row * w.n_in..], width, w.n_in, w.n_in));
        let beta = if add { T::one() } else { T::zero() };
        let (dx, out) = (MatRef::of(dx, rows, w.n_in, ld), MatMut::of(out, rows, width, width));
        self.kernel.gemm(T::one(), Gemm::of(dx, matrix, out), beta);
    }

    pub(super) fn cluster_tangent(
        &self,
        inputs: &[Operand],
        output: VariableId,
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
            let (mut terms, mut count) = ([Term::EMPTY; MAX_INPUTS], 0);
            for (i, o) in inputs.iter().enumerate() {
                if !self.carries(o) || self.initial(o, p) {
                    continue;
                }
                let stride = graph.variables[o.variable].width;
                let x = &rest.from(self.place(o.variable, p, o.delayed) + b * m * stride)[o.offset..];
                terms[count] = Term { c: &c[(first + i) * width..][..width], x, stride };
                count += 1;
            }
            if count == 0 {
                out.fill(T::zero());
            }
            self.kernel.combine(Diagonals::of(&terms[..count], out, width, m, false));
        }
    }

    pub(super) fn site_cotangent(
        &self,
        node: &Node<'_, T>,
        input: &Operand,
        output: VariableId,
        range: Range<usize>,
        work: &mut [T],
    ) {
        let Node::Site { weight, row, form, link, .. } = node else { return };
        if !self.active(output) || self.through_cotangent(node, work) {
            return;
        }
        if !self.carries(input) || (range.len() == 1 && self.initial(input, range.start)) {
            return;
        }
        let graph = &self.tile.graph;
        let (w, width) = (&graph.weights[*weight], graph.variables[output].width);
        let rows = range.len() * self.rows();
        let ld = graph.variables[input.variable].width;
        let from = self.place(output, range.start, false);
        let start = self.place(input.variable, range.start, input.delayed);
        let (rest, q) = split(work, start..start + rows * ld);
        let (s, q, add) = (rest.from(from), &mut q[input.offset..], !link.first(self.flow()));
        if *form == Form::Gain {
            for (k, c) in w.matrix.chunks_exact(width.max(1)).enumerate() {
                let term = Term { c, x: s, stride: width };
                self.kernel.combine(Diagonals::of(&[term], &mut q[k * width..], ld, rows, add));
            }
            return;
        }
        let matrix = MatRef::of(&w.matrix[row * w.n_in..], width, w.n_in, w.n_in);
        let beta = if add { T::one() } else { T::zero() };
        self.kernel.gemm(
            T::one(),
            Gemm::of(MatRef::of(s, rows, width, width), matrix, MatMut::of(q, rows, w.n_in, ld)),
            beta,
        );
    }

    /// The cotangent of input number `i` of `ni`.
    pub(super) fn cluster_cotangent(
        &self,
        input: &Operand,
        outputs: &[VariableId],
        (i, ni): (usize, usize),
        first: bool,
        place: usize,
        range: Range<usize>,
        work: &mut [T],
    ) {
        if !self.carries(input) || !outputs.iter().any(|&o| self.active(o)) {
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
            let (mut terms, mut count) = ([Term::EMPTY; MAX_OUTPUTS], 0);
            for (k, &o) in outputs.iter().enumerate().filter(|(_, &o)| self.active(o)) {
                let x = rest.from(self.place(o, p, false) + b * m * width);
                terms[count] = Term { c: &c[(k * ni + i) * width..][..width], x, stride: width };
                count += 1;
            }
            self.kernel.combine(Diagonals::of(&terms[..count], &mut q[input.offset..], ld, m, !first));
        }
    }
}
