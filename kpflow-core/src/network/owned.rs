//! A graph and a linearisation that own their memory, of which those of [`model`](crate::model) are views.

use crate::machine::{Kernel, Tasks};
use crate::model::{
    BuildError, Graph, GraphBuilder, Linearization, LinearizeError, Node, Run, Scan, Segment, Sizes, Variable,
    VariableId, Weight,
};
use crate::Scalar;
use alloc::vec;
use alloc::vec::Vec;

/// A graph that owns its nodes and borrows the numbers of its weights.
pub struct OwnedGraph<'a, T> {
    variables: Vec<Variable>,
    nodes: Vec<Node<'a, T>>,
    segments: Vec<Segment>,
    weights: Vec<Weight<'a, T>>,
    sizes: Sizes,
}

impl<'a, T: Scalar> OwnedGraph<'a, T> {
    /// Builds a graph of so many variables, nodes, segments and weights at most, whose state has `steps` × `units` numbers.
    ///
    /// **Errors**: [`BuildError`] if there are more, or something does not fit.
    pub fn new(
        [variables, nodes, segments, weights]: [usize; 4],
        write: impl FnOnce(&mut GraphBuilder<'_, 'a, T>),
        (steps, units): (usize, usize),
    ) -> Result<Self, BuildError> {
        let mut variables = vec![Variable::EMPTY; variables];
        let mut nodes = vec![Node::Input { slot: 0, output: VariableId(0) }; nodes];
        let mut segments = vec![Segment { nodes: 0..0, scan: Scan::Parallel }; segments];
        let mut weights = vec![Weight::new(&[], None, 0, 0); weights];
        let mut builder = GraphBuilder::new(&mut variables, &mut nodes, &mut segments, &mut weights);
        write(&mut builder);
        let sizes = builder.finish(steps, units)?.all_sizes();
        Ok(Self { variables, nodes, segments, weights, sizes })
    }

    /// The graph, borrowed.
    pub fn view(&self) -> Graph<'_, T> {
        Graph::of_parts(&self.variables, &self.nodes, &self.segments, &self.weights, &self.sizes)
    }

    /// Runs the model and keeps what its linearisation needs.
    ///
    /// **Cost**, **errors**: as [`Linearization::of`]'s. **Memory**: [`Linearization::arena_len`] numbers, and while it runs
    /// [`Linearization::scratch_len`] more.
    pub fn linearize<M: Kernel<T> + Tasks>(
        &self,
        run: &Run<'_, '_, T>,
        machine: &M,
    ) -> Result<OwnedLinearization<'_, T>, LinearizeError> {
        OwnedLinearization::new(self.view(), run, machine)
    }
}

/// A linearisation that owns its arena and borrows its graph.
pub struct OwnedLinearization<'g, T> {
    graph: Graph<'g, T>,
    arena: Vec<T>,
    lengths: Vec<usize>,
    trajectories: usize,
    tile: usize,
    at_once: usize,
}

impl<'g, T: Scalar> OwnedLinearization<'g, T> {
    /// Runs a model: see [`OwnedGraph::linearize`].
    pub fn new<M: Kernel<T> + Tasks>(
        graph: Graph<'g, T>,
        run: &Run<'_, '_, T>,
        machine: &M,
    ) -> Result<Self, LinearizeError> {
        let Run { trajectories, tile, .. } = *run;
        let mut arena = vec![T::zero(); Linearization::arena_len(&graph, trajectories)];
        let mut scratch = vec![T::zero(); Linearization::scratch_len(&graph, trajectories, tile, machine)];
        let at_once = Linearization::of(&graph, run, &mut arena, &mut scratch, machine)?.at_once();
        Ok(Self { graph, arena, lengths: run.lengths.to_vec(), trajectories, tile, at_once })
    }

    /// The same where operators carry at most so many vectors through at once.
    pub fn with_at_once(self, vectors: usize) -> Self {
        Self { at_once: vectors, ..self }
    }

    /// The linearisation, borrowed: what [operators](crate::ntk) are made of. **Cost**: none.
    pub fn view(&self) -> Linearization<'_, T> {
        let lin = Linearization::over(&self.graph, self.trajectories, self.tile, &self.arena);
        lin.with_lengths(&self.lengths).with_at_once(self.at_once)
    }
}
