//! Weights of a scan, transposed once for all of its steps, where the machine's products with them are faster so.

use super::graph::Graph;
use super::node::{Form, Node};
use super::variable::Scan;
use super::{Flow, Sweep};
use crate::machine::{Kernel, MatRef};
use crate::Scalar;

/// Steps from which on a weight is worth being transposed.
const STEPS: usize = 4;
/// Rows that are transposed at the same time: a line of the cache of doubles.
const ROWS: usize = 8;

impl<T: Scalar> Graph<'_, T> {
    /// The matrix of the weight of a node, `[width, n_in]`, if a sweep of this flow forward takes it transposed.
    fn transposable<K: Kernel<T>>(&self, node: &Node<'_, T>, flow: Flow, kernel: &K) -> Option<MatRef<'_, T>> {
        let Node::Site { weight, row, form: Form::Dense, input, output, .. } = *node else { return None };
        let (w, output) = (&self.weights[weight], &self.variables[output]);
        let taken = output.positions >= STEPS
            && output.active & flow.bit() != 0
            && flow.carries(&self.variables[input.variable])
            && kernel.prefers_plain(w.n_in, output.width);
        taken.then(|| MatRef::of(&w.matrix[row * w.n_in..], output.width, w.n_in, w.n_in))
    }

    /// Calls `f(node, its matrix, where that lies transposed)` for every weight of a scan that a sweep of this flow takes transposed.
    fn each_transposed<K: Kernel<T>>(&self, flow: Flow, kernel: &K, mut f: impl FnMut(usize, MatRef<'_, T>, usize)) {
        let mut at = 0;
        for segment in self.segments.iter().filter(|s| s.scan != Scan::Parallel) {
            for n in segment.nodes.clone() {
                if let Some(matrix) = self.transposable(&self.nodes[n], flow, kernel) {
                    f(n, matrix, at);
                    at += matrix.rows * matrix.cols;
                }
            }
        }
    }

    /// Numbers of all of them.
    pub(crate) fn transposed_len<K: Kernel<T>>(&self, flow: Flow, kernel: &K) -> usize {
        let mut len = 0;
        self.each_transposed(flow, kernel, |_, matrix, at| len = at + matrix.rows * matrix.cols);
        len
    }

    /// Writes all of them.
    pub(crate) fn transpose<K: Kernel<T>>(&self, flow: Flow, kernel: &K, out: &mut [T]) {
        self.each_transposed(flow, kernel, |_, matrix, at| {
            let (rows, cols) = (matrix.rows, matrix.cols);
            let out = &mut out[at..][..rows * cols];
            for first in (0..rows).step_by(ROWS) {
                let count = ROWS.min(rows - first);
                for k in 0..cols {
                    let to = &mut out[k * rows + first..][..count];
                    to.iter_mut().enumerate().for_each(|(i, to)| *to = matrix.data[(first + i) * matrix.ld + k]);
                }
            }
        });
    }
}

impl<T: Scalar, K: Kernel<T>> Sweep<'_, '_, T, K> {
    /// The matrix that a dense site's tangents are multiplied by, `[n_in, width]`: transposed in memory, if it lies there.
    pub(super) fn right_factor<'m>(&'m self, node: usize, matrix: MatRef<'m, T>) -> MatRef<'m, T> {
        let (graph, mut found) = (&self.tile.graph, None);
        if !self.transposed.is_empty() && graph.transposable(&graph.nodes[node], self.flow(), self.kernel).is_some() {
            graph.each_transposed(self.flow(), self.kernel, |n, m, at| {
                if n == node {
                    found = Some(MatRef::of(&self.transposed[at..], m.cols, m.rows, m.rows));
                }
            });
        }
        found.unwrap_or(matrix.t())
    }
}
