//! Sites that read a map through windows: how sweeps pass convolutions without making the patches of tangents.
//!
//! The values of the patches are there, as what the Kronecker core reads. Tangents and cotangents go between the map and the site's output some positions
//! at a time: of a dense site as a product with patches that stay in the cache, of a gain place by place.

use super::mixing::Windows;
use super::node::{Form, Node};
use super::rest::split;
use super::variable::Operand;
use super::{Flow, Graph, Sweep};
use crate::machine::{Diagonals, Gemm, Kernel, MatMut, MatRef, Term};
use crate::Scalar;

/// Rows of patches that are worked on at a time, at least: enough for a product to be at the machine's rate.
const STRIP: usize = 256;

/// The window of a site, and the columns of the map that it reads.
struct Through<'a> {
    windows: Windows<'a>,
    source: Operand,
}

impl<'a, T: Scalar> Graph<'a, T> {
    /// The window through which a site reads.
    fn through(&self, node: &Node<'a, T>) -> Option<Through<'a>> {
        let Node::Site { input, link, .. } = node else { return None };
        let Node::Mixing { function, ref inputs, .. } = self.nodes[link.through?] else { return None };
        let windows = function.windows()?;
        let width = inputs[0].width / windows.groups;
        let group = input.offset / (width * windows.places).max(1);
        Some(Through { windows, source: Operand { offset: inputs[0].offset + group * width, width, ..inputs[0] } })
    }

    /// Numbers of patches that a sweep holds at a time, for `rows` = trajectories × vectors.
    pub(super) fn strip_len(&self, flow: Flow, rows: usize) -> usize {
        let of = |node: &Node<'a, T>| {
            let Node::Site { form: Form::Dense, input, output, .. } = node else { return 0 };
            match self.through(node).filter(|t| flow.carries(&self.variables[t.source.variable])) {
                Some(_) if self.variables[*output].active & flow.bit() != 0 => {
                    let positions = self.variables[*output].positions;
                    positions.saturating_mul(rows).min(rows.saturating_add(STRIP)).saturating_mul(input.width)
                }
                _ => 0,
            }
        };
        self.nodes.iter().map(of).max().unwrap_or(0)
    }
}

impl<T: Scalar, K: Kernel<T>> Sweep<'_, '_, T, K> {
    /// Passes a site that reads through windows forward, if it is one; its output's perturbations are added to or overwritten.
    pub(super) fn through_tangent(&self, node: &Node<'_, T>, add: bool, work: &mut [T]) -> bool {
        let graph = &self.tile.graph;
        let (Some(Through { windows, source }), Node::Site { weight, row, form, output, .. }) =
            (graph.through(node), node)
        else {
            return false;
        };
        let (w, width, rows) = (&graph.weights[*weight], graph.variables[*output].width, self.rows());
        let (positions, ld) = (windows.positions(), graph.variables[source.variable].width);
        let start = self.place(*output, 0, false);
        let (work, strip) = work.split_at_mut(graph.sweep_len(self.flow()) * rows);
        let (rest, out) = split(work, start..start + positions * rows * width);
        if !self.carries(&source) {
            if !add {
                out.fill(T::zero());
            }
            return true;
        }
        let x = &rest.from(self.place(source.variable, 0, false))[source.offset..];
        let columns = windows.places * source.width;
        let matrix = MatRef::of(&w.matrix[row * w.n_in..], width, w.n_in, w.n_in);
        if *form == Form::Gain {
            for (p, out) in out.chunks_exact_mut((rows * width).max(1)).enumerate() {
                let mut add = add;
                let (mut terms, mut count) = ([Term::EMPTY; 5], 0);
                for (k, from) in windows.at(p) {
                    let Some(from) = from else { continue };
                    terms[count] = Term { c: &w.matrix[k * width..][..width], x: &x[from * rows * ld..], stride: ld };
                    count += 1;
                    if count == terms.len() {
                        self.kernel.combine(Diagonals::of(&terms, out, width, rows, add));
                        (add, count) = (true, 0);
                    }
                }
                if count > 0 {
                    self.kernel.combine(Diagonals::of(&terms[..count], out, width, rows, add));
                } else if !add {
                    out.fill(T::zero());
                }
            }
            return true;
        }
        let beta = if add { T::one() } else { T::zero() };
        for (first, count) in strips(positions, rows) {
            let strip = &mut strip[..count * rows * columns];
            for (p, to) in strip.chunks_exact_mut((rows * columns).max(1)).enumerate() {
                for (k, from) in windows.at(first + p) {
                    for (r, to) in to.chunks_exact_mut(columns).enumerate() {
                        let to = &mut to[k * source.width..][..source.width];
                        match from {
                            Some(from) => to.copy_from_slice(&x[(from * rows + r) * ld..][..source.width]),
                            None => to.fill(T::zero()),
                        }
                    }
                }
            }
            let patches = MatRef::of(strip, count * rows, columns, columns);
            let out = MatMut::of(&mut out[first * rows * width..], count * rows, width, width);
            self.kernel.gemm(T::one(), Gemm::of(patches, matrix.t(), out), beta);
        }
        true
    }

    /// Passes a site that reads through windows back, if it is one: adds to the map's cotangents.
    pub(super) fn through_cotangent(&self, node: &Node<'_, T>, work: &mut [T]) -> bool {
        let graph = &self.tile.graph;
        let (Some(Through { windows, source }), Node::Site { weight, row, form, output, .. }) =
            (graph.through(node), node)
        else {
            return false;
        };
        if !self.carries(&source) {
            return true;
        }
        let (w, width, rows) = (&graph.weights[*weight], graph.variables[*output].width, self.rows());
        let (positions, map) = (windows.positions(), &graph.variables[source.variable]);
        let (from, start, ld) = (self.place(*output, 0, false), self.place(source.variable, 0, false), map.width);
        let (work, strip) = work.split_at_mut(graph.sweep_len(self.flow()) * rows);
        let (rest, q) = split(work, start..start + map.positions * rows * ld);
        let (s, q) = (rest.from(from), &mut q[source.offset.min(map.positions * rows * ld)..]);
        if *form == Form::Gain {
            for p in 0..positions {
                for (k, to) in windows.at(p) {
                    let Some(to) = to else { continue };
                    let c = &w.matrix[k * width..][..width];
                    let term = Term { c, x: &s[p * rows * width..], stride: width };
                    self.kernel.combine(Diagonals::of(&[term], &mut q[to * rows * ld..], ld, rows, true));
                }
            }
            return true;
        }
        let columns = windows.places * source.width;
        let matrix = MatRef::of(&w.matrix[row * w.n_in..], width, w.n_in, w.n_in);
        for (first, count) in strips(positions, rows) {
            let s = MatRef::of(&s[first * rows * width..], count * rows, width, width);
            let patches = MatMut::of(&mut *strip, count * rows, columns, columns);
            self.kernel.gemm(T::one(), Gemm::of(s, matrix, patches), T::zero());
            for (p, patch) in strip.chunks_exact((rows * columns).max(1)).take(count).enumerate() {
                for (k, to) in windows.at(first + p) {
                    let Some(to) = to else { continue };
                    for (r, patch) in patch.chunks_exact(columns).enumerate() {
                        let q = &mut q[(to * rows + r) * ld..][..source.width];
                        q.iter_mut().zip(&patch[k * source.width..]).for_each(|(q, s)| *q += *s);
                    }
                }
            }
        }
        true
    }
}

/// The positions that are worked on at a time: the first and their number.
fn strips(positions: usize, rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let per = STRIP.div_ceil(rows.max(1));
    (0..positions).step_by(per).map(move |first| (first, per.min(positions - first)))
}

/// Writes (or adds) `y = Σ_k w_k ⊙ x_k` of a gain of several rows, the x_k side by side.
pub(super) fn gains<T: Scalar, K: Kernel<T> + ?Sized>(
    kernel: &K,
    matrix: &[T],
    (x, stride): (&[T], usize),
    (y, y_stride): (&mut [T], usize),
    (rows, width): (usize, usize),
    mut add: bool,
) {
    for (i, some) in matrix.chunks(5 * width.max(1)).enumerate() {
        let mut terms = [Term::EMPTY; 5];
        let parts = some.chunks_exact(width.max(1));
        let count = parts.len();
        for (k, (term, c)) in terms.iter_mut().zip(parts).enumerate() {
            *term = Term { c, x: &x[(5 * i + k) * width..], stride };
        }
        kernel.combine(Diagonals::of(&terms[..count], y, y_stride, rows, add));
        add = true;
    }
}
