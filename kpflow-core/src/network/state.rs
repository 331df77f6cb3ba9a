//! What is watched and trained: the state, its layout, and what it depends on.

use super::{Network, OwnedNode};
use crate::model::{Edge, Form, Operand, VariableId, Watch, WeightId};
use crate::Scalar;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// What is watched of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State<'s> {
    /// The kind's own state.
    #[default]
    Default,
    /// The outputs of all trained weight sites: the configuration space.
    Sites,
    /// What a readout reads.
    Output,
    /// These variables, in this order.
    Variables(&'s [VariableId]),
}

/// Why a state cannot be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchError {
    /// There is no variable in it.
    Nothing,
    /// It depends on no weight that is trained.
    Untrained,
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WatchError::Nothing => "there is nothing to watch: no weight is trained",
            WatchError::Untrained => "the state depends on none of the parameters chosen",
        })
    }
}

impl core::error::Error for WatchError {}

impl<T: Scalar> Network<T> {
    /// Watches a state, lays it out and leaves away whatever it does not depend on.
    ///
    /// The state is `[T, N]` where all its variables have T positions, one step otherwise, unless the kind of model says another way
    /// ([`default_state`](Self::default_state)). **Errors**: [`WatchError`] if that is no variable, or one without a trained weight before it.
    pub fn watch(&mut self, state: State<'_>) -> Result<(), WatchError> {
        let all: Vec<VariableId> = match state {
            State::Default => self.default_state.clone(),
            State::Sites => {
                let live = self.live(&self.default_state);
                let trained = |w: WeightId| self.weights[w].parameters() > 0;
                let site = |n: &OwnedNode<T>| match *n {
                    OwnedNode::Site { weight, output, .. } if live[output.0] && trained(weight) => Some(output),
                    OwnedNode::Input { .. }
                    | OwnedNode::Constant { .. }
                    | OwnedNode::Site { .. }
                    | OwnedNode::Sum { .. }
                    | OwnedNode::Cluster { .. }
                    | OwnedNode::Mixing { .. } => None,
                };
                self.nodes.iter().filter_map(site).collect()
            }
            State::Output => self.output.iter().map(|o| o.variable).collect(),
            State::Variables(variables) => variables.to_vec(),
        };
        if all.is_empty() {
            return Err(WatchError::Nothing);
        }
        self.read_by_mirrors(&all);
        self.turns = self.turns_of_default.filter(|_| state == State::Default);
        match self.turns {
            Some(turns) => self.lay_out_turns(&all, turns),
            None => self.lay_out(&all),
        }
        self.prune(&all);
        self.join_sums();
        if self.parameters() == 0 {
            return Err(WatchError::Untrained);
        }
        Ok(())
    }

    /// Keeps of θ the tensors whose names are chosen; the others are frozen.
    pub fn train(&mut self, chosen: impl Fn(&str) -> bool) {
        for w in &mut self.weights {
            w.train_matrix &= chosen(&w.name);
            w.train_bias &= chosen(&w.bias_name);
        }
    }

    /// The variables that can be chosen by name: those that have one and are no fixed data.
    pub fn named(&self) -> impl Iterator<Item = (VariableId, &str)> {
        let computed = self.computed();
        let all = self.variables.iter().map(|v| v.name.as_str()).enumerate();
        all.zip(computed).filter_map(|((v, name), computed)| computed.then_some((VariableId(v), name)))
    }

    /// The variable of a name, if a node that is not fixed data writes it.
    pub fn find(&self, name: &str) -> Option<VariableId> {
        let computed = self.computed();
        (0..self.variables.len()).map(VariableId).find(|&v| self.variables[v].name == name && computed[v.0])
    }

    /// What a readout reads.
    pub fn readout_input(&self) -> Option<Operand> {
        self.output
    }

    /// Which variables can be chosen: those that have a name and are no fixed data.
    fn computed(&self) -> Vec<bool> {
        let mut computed = vec![false; self.variables.len()];
        for node in self.nodes.iter().filter(|n| !matches!(n, OwnedNode::Input { .. } | OwnedNode::Constant { .. })) {
            node.writes().iter().for_each(|&v| computed[v.0] = !self.variables[v].name.is_empty());
        }
        self.mirrors.iter().for_each(|m| computed[m.mirror.0] = !self.variables[m.mirror].name.is_empty());
        computed
    }

    /// The state is `[T, N]` where all variables have T positions; a step for each where the kind says so; one step otherwise.
    fn lay_out(&mut self, all: &[VariableId]) {
        self.variables.iter_mut().for_each(|v| v.watch = None);
        let size = |v: VariableId| (self.variables[v].positions, self.variables[v].width);
        let (first, alike) = (size(all[0]), |f: &dyn Fn(VariableId) -> bool| all.iter().all(|&v| f(v)));
        let layers = self.layers_are_steps && first.0 == 1 && alike(&|v| size(v) == first);
        let steps = alike(&|v| size(v).0 == first.0);
        let total: usize = all.iter().map(|&v| size(v).0 * size(v).1).sum();
        (self.steps, self.units) = match (layers, steps) {
            (true, _) => (all.len(), first.1),
            (false, true) => (first.0, total / first.0.max(1)),
            (false, false) => (1, total),
        };
        let (mut offset, units) = (0, self.units);
        for &v in all {
            let v = &mut self.variables[v];
            let stride = if steps && !layers { units } else { v.width };
            v.watch = Some(Watch { offset, stride });
            offset += if steps && !layers { v.width } else { v.positions * v.width };
        }
    }

    /// The state is `[T, N]`, a step for each turn of a loop: as many variables each.
    fn lay_out_turns(&mut self, all: &[VariableId], turns: usize) {
        self.variables.iter_mut().for_each(|v| v.watch = None);
        let mut offset = 0;
        for &v in all {
            let v = &mut self.variables[v];
            v.watch = Some(Watch { offset, stride: v.width });
            offset += v.positions * v.width;
        }
        (self.steps, self.units) = (turns, offset / turns.max(1));
    }

    /// Which variables the given ones depend on, themselves included.
    fn live(&self, from: &[VariableId]) -> Vec<bool> {
        let mut live = vec![false; self.variables.len()];
        from.iter().for_each(|&v| live[v.0] = true);
        loop {
            let mut changed = false;
            for m in self.mirrors.iter().filter(|m| live[m.mirror.0]).map(|m| m.of).collect::<Vec<_>>() {
                changed |= !core::mem::replace(&mut live[m.0], true);
            }
            for node in self.nodes.iter().rev() {
                if node.writes().iter().any(|&o| live[o.0]) {
                    let reads = node.reads().iter().map(|o| o.variable);
                    for v in reads.chain(node.writes().iter().copied()) {
                        changed |= !core::mem::replace(&mut live[v.0], true);
                    }
                }
            }
            if !changed {
                return live;
            }
        }
    }

    /// Whether a variable depends on a weight that is trained.
    pub fn depends_on_weights(&self, variable: VariableId) -> bool {
        let live = self.live(&[variable]);
        let trained = |w: WeightId| self.weights[w].parameters() > 0;
        self.nodes
            .iter()
            .any(|n| matches!(*n, OwnedNode::Site { weight, output, .. } if live[output.0] && trained(weight)))
    }

    /// Whether a trained weight that reads something writes a variable from this one on.
    pub fn has_weights_from(&self, first: VariableId) -> bool {
        let trained = |w: WeightId| self.weights[w].parameters() > 0 && self.weights[w].n_in > 0;
        self.nodes
            .iter()
            .any(|n| matches!(*n, OwnedNode::Site { weight, output, .. } if output >= first && trained(weight)))
    }

    /// Whether a variable is an input or fixed data itself.
    pub fn is_data(&self, variable: VariableId) -> bool {
        let data = |n: &OwnedNode<T>| matches!(n, OwnedNode::Input { .. } | OwnedNode::Constant { .. });
        self.nodes.iter().any(|n| data(n) && n.writes().contains(&variable))
    }

    /// Whether a variable is given from outside: inputs and constants, moved about at most.
    pub fn is_given(&self, variable: VariableId) -> bool {
        let live = self.live(&[variable]);
        let made = |n: &OwnedNode<T>| {
            !matches!(n, OwnedNode::Input { .. } | OwnedNode::Constant { .. } | OwnedNode::Mixing { .. })
        };
        !self.nodes.iter().any(|n| made(n) && n.writes().iter().any(|&v| live[v.0]))
    }

    /// Removes the nodes that the state does not depend on; their weights are none of θ.
    fn prune(&mut self, state: &[VariableId]) {
        let live = self.live(state);
        let (mut kept, mut segments, mut used) = (Vec::new(), Vec::new(), vec![false; self.weights.len()]);
        let mut starts = core::mem::take(&mut self.segments).into_iter().peekable();
        for (n, node) in core::mem::take(&mut self.nodes).into_iter().enumerate() {
            while let Some((_, scan)) = starts.next_if(|(start, _)| *start <= n) {
                segments.push((kept.len(), scan));
            }
            // Inputs stay: their slots are numbered.
            if live[node.writes()[0].0] || matches!(node, OwnedNode::Input { .. }) {
                if let OwnedNode::Site { weight, .. } = node {
                    used[weight.0] = true;
                }
                kept.push(node);
            }
        }
        (self.nodes, self.segments) = (kept, segments);
        for (w, used) in self.weights.iter_mut().zip(used) {
            w.train_matrix &= used;
            w.train_bias &= used;
        }
        self.empty_unwritten();
    }

    /// Takes the numbers from the variables that no node writes any more.
    fn empty_unwritten(&mut self) {
        let mut written = vec![false; self.variables.len()];
        self.nodes.iter().flat_map(|n| n.writes()).for_each(|&v| written[v.0] = true);
        for (v, _) in self.variables.iter_mut().zip(written).filter(|(_, written)| !written) {
            (v.positions, v.width, v.edge) = (0, 0, Edge::None);
        }
    }

    /// Lets two dense sites write their sum themselves where nothing else looks at either: one variable to sweep instead of three.
    fn join_sums(&mut self) {
        let mut readers = vec![0; self.variables.len()];
        self.nodes.iter().flat_map(|n| n.reads()).for_each(|o| readers[o.variable.0] += 1);
        let mut joined = vec![None; self.variables.len()];
        let mut inputs = vec![None; self.variables.len()];
        for node in &self.nodes {
            match *node {
                OwnedNode::Site { form: Form::Dense, input, output, .. } => inputs[output.0] = Some(input),
                OwnedNode::Sum { reads, output } if self.variables[output].watch.is_none() => {
                    let alone = |o: &Operand| {
                        let v = &self.variables[o.variable];
                        let whole = o.width == v.width && !o.delayed && v.watch.is_none();
                        inputs[o.variable.0].filter(|_| whole && readers[o.variable.0] == 1)
                    };
                    if let (Some(a), Some(b)) = (alone(&reads[0]), alone(&reads[1])) {
                        reads.iter().for_each(|o| joined[o.variable.0] = Some(output));
                        self.beside.push([a, b]);
                    }
                }
                OwnedNode::Input { .. }
                | OwnedNode::Constant { .. }
                | OwnedNode::Site { .. }
                | OwnedNode::Sum { .. }
                | OwnedNode::Cluster { .. }
                | OwnedNode::Mixing { .. } => {}
            }
        }
        let (mut kept, mut starts) = (Vec::new(), self.segments.iter_mut().peekable());
        for (n, mut node) in core::mem::take(&mut self.nodes).into_iter().enumerate() {
            while let Some((start, _)) = starts.next_if(|(start, _)| *start == n) {
                *start = kept.len();
            }
            match &mut node {
                OwnedNode::Sum { reads, .. } if joined[reads[0].variable.0].is_some() => continue,
                OwnedNode::Site { output, .. } => *output = joined[output.0].unwrap_or(*output),
                OwnedNode::Input { .. }
                | OwnedNode::Constant { .. }
                | OwnedNode::Sum { .. }
                | OwnedNode::Cluster { .. }
                | OwnedNode::Mixing { .. } => {}
            }
            kept.push(node);
        }
        starts.for_each(|(start, _)| *start = kept.len());
        self.nodes = kept;
        self.empty_unwritten();
    }
}
