//! What is kept of a few trajectories.

use super::graph::Graph;
use super::mixing::Rows;
use super::rest::Rest;
use super::variable::{At, Operand, Variable, VariableId};
use super::Flow;
use crate::machine::MatRef;
use crate::Scalar;
use core::ops::Range;

/// The values and coefficients of a few trajectories.
#[derive(Clone, Copy)]
pub struct Tile<'a, T> {
    pub(super) graph: Graph<'a, T>,
    pub(super) count: usize,
    /// The steps of each trajectory; none where all have all of them.
    pub(super) lengths: &'a [usize],
    pub(super) values: &'a [T],
    pub(super) coefficients: &'a [T],
}

impl<'a, T: Scalar> Tile<'a, T> {
    /// The model.
    pub(crate) fn graph(&self) -> &Graph<'a, T> {
        &self.graph
    }
    /// The number of trajectories.
    pub(crate) fn count(&self) -> usize {
        self.count
    }
    /// Whether a position is behind the end of trajectory `b` of the tile.
    #[inline]
    pub(crate) fn is_behind(&self, p: usize, b: usize) -> bool {
        self.lengths.get(b).is_some_and(|&length| p >= length)
    }
    fn variable(&self, operand: Operand) -> &'a Variable {
        &self.graph.variables[operand.variable]
    }
    /// A row's place among the tangents of a flow, in columns of one trajectory and one vector.
    #[inline]
    pub(super) fn place(&self, variable: VariableId, flow: Flow, p: usize, delayed: bool) -> usize {
        let v = &self.graph.variables[variable];
        v.place[1 + flow as usize] + v.row(p, delayed) * v.width
    }
    /// Where a variable's tangents of all positions lie in the work memory of a sweep of `vectors` vectors,
    /// without the initial row: a matrix of `positions · trajectories` rows of `vectors · width` columns.
    pub(crate) fn span(&self, variable: VariableId, flow: Flow, vectors: usize) -> Range<usize> {
        let v = &self.graph.variables[variable];
        let rows = self.count * vectors;
        let start = self.place(variable, flow, 0, false) * rows;
        start..start + v.positions * v.width * rows
    }
    /// What an operand reads at position `p` of trajectory `b` of the tile.
    pub(crate) fn row(&self, operand: Operand, p: usize, b: usize) -> &'a [T] {
        let v = self.variable(operand);
        let place = v.value_place(p, operand.delayed, self.count) + b * v.panel.ld;
        &self.values[place + operand.offset..][..operand.width]
    }
    /// What a mixing block reads there.
    pub(super) fn rows(&self, o: &Operand, at: &At, b: usize) -> Rows<'a, T> {
        let rest = Rest { left: self.values, right: &[], end: self.values.len() };
        self.graph.rows(o, at, self.count, b, &rest)
    }
    /// All that an operand reads in this tile: the matrix U, a row a position (p, b), p slowest.
    pub(crate) fn reads(&self, operand: Operand) -> MatRef<'a, T> {
        let v = self.variable(operand);
        let start = v.value_place(0, operand.delayed, self.count) + operand.offset;
        // A variable without numbers may begin at the end.
        let values = self.values.get(start..).unwrap_or(&[]);
        MatRef::of(values, v.positions * self.count, operand.width, v.panel.ld)
    }
    /// Cluster coefficients at (p, b): `[output][input][unit]`, for a cluster of `arity` = inputs × outputs and `width` units.
    #[inline]
    pub(crate) fn coefficients(&self, place: usize, arity: usize, width: usize, p: usize, b: usize) -> &'a [T] {
        let n = arity * width;
        &self.coefficients[place * self.count + (p * self.count + b) * n..][..n]
    }
}
