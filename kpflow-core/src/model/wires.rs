//! What a cell is wired with: the verbs that every builder of graphs has.

use super::{Cluster, Edge, GraphBuilder, Operand, Scan, VariableId, WeightId};
use crate::Scalar;
#[cfg(feature = "alloc")]
use alloc::sync::Arc;

/// A function of a cell, which a graph borrows or shares.
pub trait Function<T: Scalar> {
    /// The function, borrowed.
    fn cluster(&self) -> &dyn Cluster<T>;
    /// The function, owned.
    #[cfg(feature = "alloc")]
    fn shared(&self) -> Arc<dyn Cluster<T> + Send>;
}

impl<T: Scalar, F: Cluster<T> + Clone + Send + 'static> Function<T> for F {
    fn cluster(&self) -> &dyn Cluster<T> {
        self
    }
    #[cfg(feature = "alloc")]
    fn shared(&self) -> Arc<dyn Cluster<T> + Send> {
        Arc::new(self.clone())
    }
}

/// A builder of graphs, as far as a [cell](super::Cell::wire) needs one. `'a` is how long the graph borrows a cell's functions.
pub trait Wires<'a, T: Scalar> {
    /// Begins a run of nodes that go through the positions in this way.
    fn begin(&mut self, scan: Scan);
    /// Adds `s = W read (+ b)` of the `width` rows of the weight from `row` on; returns s.
    fn project(&mut self, weight: WeightId, row: usize, read: Operand, width: usize) -> VariableId;
    /// Adds `s + W read (+ b)`, the rows from `row` on; returns the sum. `partial` is s and what its site has read.
    fn project_onto(
        &mut self,
        weight: WeightId,
        row: usize,
        read: Operand,
        partial: (VariableId, Operand),
    ) -> VariableId;
    /// Adds a unit-wise function between variables that are there.
    fn unit(&mut self, function: &'a dyn Function<T>, reads: &[Operand], writes: &[VariableId]);
    /// Adds a function of one argument and its variable; returns all of it.
    fn applied(&mut self, function: &'a dyn Function<T>, read: Operand) -> Operand;
}

impl<'a, T: Scalar> Wires<'a, T> for GraphBuilder<'_, 'a, T> {
    fn begin(&mut self, scan: Scan) {
        self.segment(scan);
    }
    fn project(&mut self, weight: WeightId, row: usize, read: Operand, width: usize) -> VariableId {
        let s = self.variable(self.positions(read.variable), width, Edge::None, None);
        self.site_rows(weight, row, read, s);
        s
    }
    /// Both sites write the same variable, and what they read stands side by side.
    fn project_onto(
        &mut self,
        weight: WeightId,
        row: usize,
        read: Operand,
        (s, other): (VariableId, Operand),
    ) -> VariableId {
        self.beside(read, other);
        self.site_rows(weight, row, read, s);
        s
    }
    fn unit(&mut self, function: &'a dyn Function<T>, reads: &[Operand], writes: &[VariableId]) {
        self.cluster(function.cluster(), reads, writes);
    }
    fn applied(&mut self, function: &'a dyn Function<T>, read: Operand) -> Operand {
        let y = self.variable(self.positions(read.variable), read.width, Edge::None, None);
        self.cluster(function.cluster(), &[read], &[y]);
        self.read(y)
    }
}
