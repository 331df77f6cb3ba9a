//! One tile's inference: what [`Linearization`](super::Linearization) keeps of it.

use super::graph::Graph;
use super::mixing::{Rows, RowsMut};
use super::node::{Form, Node, WeightId, MAX_INPUTS, MAX_OUTPUTS};
use super::rest::split;
use super::through::gains;
use super::variable::{At, Edge, Operand, Variable, VariableId};
use crate::machine::{Gemm, Kernel, MatMut, MatRef};
use crate::Scalar;
use core::ops::Range;

/// One tile's inference.
pub(super) struct Forward<'f, 'a, T, M> {
    pub graph: &'f Graph<'a, T>,
    pub inputs: &'f [&'f [T]],
    pub initial: Option<&'f [T]>,
    /// The steps of each of its trajectories; none where all have all of them.
    pub lengths: &'f [usize],
    pub first: usize,
    pub count: usize,
    pub machine: &'f M,
    pub values: &'f mut [T],
    pub coefficients: &'f mut [T],
}

impl<T: Scalar, M: Kernel<T>> Forward<'_, '_, T, M> {
    pub fn run(mut self) {
        self.initialize();
        let graph = *self.graph;
        graph.schedule(false, |n, at| self.node(&graph.nodes[n], at));
    }

    fn initialize(&mut self) {
        for v in self.graph.variables {
            for r in 0..if v.panel.ones { v.rows() * self.count } else { 0 } {
                self.values[v.row_place(0, self.count) + r * v.panel.ld + v.width] = T::one();
            }
            for b in 0..self.count {
                // What runs backward finds the initial row at its own end.
                let behind = self.lengths.get(b).map_or(0..0, |&length| length..v.positions);
                for p in behind {
                    self.fill(v, v.row(p, false), b, v.edge == Edge::Last);
                }
                if let Some(edge) = v.edge_row() {
                    self.fill(v, edge, b, true);
                }
            }
        }
    }

    /// Writes the initial row, or zeros, to a row of trajectory `b`.
    fn fill(&mut self, v: &Variable, row: usize, b: usize, initial: bool) {
        let start = v.row_place(row, self.count) + b * v.panel.ld;
        let row = &mut self.values[start..start + v.width];
        match (self.initial, v.initial) {
            (Some(values), Some(at)) if initial => {
                row.copy_from_slice(&values[(self.first + b) * self.graph.initial + at..][..v.width]);
            }
            _ => row.fill(T::zero()),
        }
    }

    fn place(&self, variable: VariableId, p: usize, delayed: bool) -> usize {
        self.graph.variables[variable].value_place(p, delayed, self.count)
    }

    fn node(&mut self, node: &Node<'_, T>, at: At) {
        let range = at.range.clone();
        let (vars, count, lengths) = (self.graph.variables, self.count, self.lengths);
        // There is nothing to read or to compute.
        let is_behind = |p: usize, b: usize| lengths.get(b).is_some_and(|&length| p >= length);
        match *node {
            Node::Input { slot, output } => {
                let v = &vars[output];
                for p in range {
                    for b in (0..count).filter(|&b| !is_behind(p, b)) {
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
                    let place = coefficients * count + (p * count + b) * ni * no * width;
                    if is_behind(p, b) {
                        self.coefficients[place..place + ni * no * width].fill(T::zero());
                        continue;
                    }
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
                        for (k, &dk) in d[..ni * no].iter().enumerate() {
                            self.coefficients[place + j + k * width] = dk;
                        }
                    }
                }
            }
        }
    }

    fn site(
        &mut self,
        (weight, row): (WeightId, usize),
        form: Form,
        input: &Operand,
        output: VariableId,
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
            Form::Gain => gains(self.machine, w.matrix, (u.data, ld), (out, out_ld), (rows, width), true),
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
