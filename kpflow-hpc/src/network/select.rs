//! What the user watches and trains: state, readout and parameters, chosen by name.

use super::{Network, OwnedNode, OwnedWeight};
use crate::error::some_of;
use kpflow_core::model::{Edge, Form, Operand, Watch};
use kpflow_core::Scalar;
use wildmatch::WildMatch;

/// `[model] state`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StateChoice {
    /// What the kind watches.
    #[default]
    Default,
    /// The outputs of all trained weight sites: the configuration space.
    Sites,
    /// The output of the model, which a readout reads.
    Output,
    /// Variables by name, with `*` and `?`.
    Names(Vec<String>),
}

/// Whether a name is chosen by patterns in their order: `pattern` takes, `!pattern` leaves; if the first leaves, the others are taken.
///
/// A pattern may also match what follows a dot: `*.weight_hh*` matches `weight_hh_l0`.
pub fn chosen(name: &str, patterns: &[String]) -> bool {
    let mut taken = patterns.first().is_none_or(|p| p.starts_with('!'));
    for pattern in patterns {
        let (take, pattern) = match pattern.strip_prefix('!') {
            Some(rest) => (false, rest),
            None => (true, pattern.as_str()),
        };
        let wild = WildMatch::new(pattern);
        if wild.matches(name) || wild.matches(&format!(".{name}")) {
            taken = take;
        }
    }
    taken
}

impl<T: Scalar> Network<T> {
    /// Restricts θ to the tensors chosen. An error says which names there are.
    pub fn train(&mut self, patterns: &[String]) -> Result<(), String> {
        if patterns.is_empty() {
            return Ok(());
        }
        for pattern in patterns {
            let alone = [pattern.trim_start_matches('!').to_string()];
            let matches = |w: &OwnedWeight<T>| chosen(&w.name, &alone) || chosen(&w.bias_name, &alone);
            if !self.weights.iter().any(matches) {
                return Err(format!(
                    "parameters names \"{pattern}\", which matches none of {}",
                    some_of(&self.tensor_names())
                ));
            }
        }
        for w in &mut self.weights {
            w.train_matrix &= chosen(&w.name, patterns);
            w.train_bias &= chosen(&w.bias_name, patterns);
        }
        if self.parameters() == 0 {
            let names = self.tensor_names();
            return Err(format!("parameters = {patterns:?} chooses none of {}", some_of(&names)));
        }
        Ok(())
    }

    fn tensor_names(&self) -> Vec<String> {
        let there = |w: &OwnedWeight<T>| {
            let bias = Some(w.bias_name.clone()).filter(|_| w.bias.is_some());
            [Some(w.name.clone()).filter(|_| !w.matrix.is_empty()), bias]
        };
        self.weights.iter().flat_map(there).flatten().collect()
    }

    /// Watches the variables chosen, lays the state out and leaves away whatever the state does not depend on.
    pub fn watch(&mut self, choice: &StateChoice) -> Result<(), String> {
        let all: Vec<usize> = match choice {
            StateChoice::Default => self.default_state.clone(),
            StateChoice::Sites => {
                let live = self.live(&self.default_state);
                let trained = |w: usize| self.weights[w].parameters() > 0;
                let site = |n: &OwnedNode<T>| match *n {
                    OwnedNode::Site { weight, output, .. } if live[output] && trained(weight) => Some(output),
                    _ => None,
                };
                self.nodes.iter().filter_map(site).collect()
            }
            StateChoice::Output => self.output.iter().map(|o| o.variable).collect(),
            StateChoice::Names(patterns) => self.by_name(patterns)?,
        };
        if all.is_empty() {
            return Err("there is nothing to watch: no weight is trained".into());
        }
        self.turns = self.turns_of_default.filter(|_| *choice == StateChoice::Default);
        match self.turns {
            Some(turns) => self.lay_out_turns(&all, turns),
            None => self.lay_out(&all),
        }
        self.prune(&all);
        self.join_sums();
        if self.parameters() == 0 {
            return Err("the state depends on none of the parameters chosen".into());
        }
        Ok(())
    }

    /// The variable of a name, if a node that is not fixed data writes it.
    pub fn find(&self, name: &str) -> Option<usize> {
        let computed = self.computed();
        (0..self.variables.len()).find(|&v| self.variables[v].name == name && computed[v])
    }

    /// What a readout reads.
    pub fn readout_input(&self) -> Option<Operand> {
        self.output
    }

    /// Which variables can be chosen: those that have a name and are no fixed data.
    fn computed(&self) -> Vec<bool> {
        let mut computed = vec![false; self.variables.len()];
        for node in self.nodes.iter().filter(|n| !matches!(n, OwnedNode::Input { .. } | OwnedNode::Constant { .. })) {
            node.writes().iter().for_each(|&v| computed[v] = !self.variables[v].name.is_empty());
        }
        computed
    }

    fn by_name(&self, patterns: &[String]) -> Result<Vec<usize>, String> {
        let computed = self.computed();
        let there: Vec<usize> = (0..self.variables.len()).filter(|&v| computed[v]).collect();
        let names: Vec<String> = there.iter().map(|&v| self.variables[v].name.clone()).collect();
        for pattern in patterns {
            let alone = [pattern.trim_start_matches('!').to_string()];
            if !names.iter().any(|n| chosen(n, &alone)) {
                let mut names = names;
                names.dedup();
                return Err(format!(
                    "state names \"{pattern}\", which the model does not have; it has {}",
                    some_of(&names)
                ));
            }
        }
        Ok(there.into_iter().filter(|&v| chosen(&self.variables[v].name, patterns)).collect())
    }

    /// The state is `[T, N]` where all variables have T positions; a step for each where the kind says so; one step otherwise.
    fn lay_out(&mut self, all: &[usize]) {
        self.variables.iter_mut().for_each(|v| v.watch = None);
        let size = |v: usize| (self.variables[v].positions, self.variables[v].width);
        let (first, alike) = (size(all[0]), |f: &dyn Fn(usize) -> bool| all.iter().all(|&v| f(v)));
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
    fn lay_out_turns(&mut self, all: &[usize], turns: usize) {
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
    fn live(&self, from: &[usize]) -> Vec<bool> {
        let mut live = vec![false; self.variables.len()];
        from.iter().for_each(|&v| live[v] = true);
        loop {
            let mut changed = false;
            for node in self.nodes.iter().rev() {
                if node.writes().iter().any(|&o| live[o]) {
                    let reads = node.reads().iter().map(|o| o.variable);
                    for v in reads.chain(node.writes().iter().copied()) {
                        changed |= !std::mem::replace(&mut live[v], true);
                    }
                }
            }
            if !changed {
                return live;
            }
        }
    }

    /// Whether a variable depends on a weight that is trained.
    pub fn depends_on_weights(&self, variable: usize) -> bool {
        let live = self.live(&[variable]);
        let trained = |w: usize| self.weights[w].parameters() > 0;
        self.nodes
            .iter()
            .any(|n| matches!(*n, OwnedNode::Site { weight, output, .. } if live[output] && trained(weight)))
    }

    /// Whether a trained weight that reads something writes a variable from this one on.
    pub fn has_weights_from(&self, first: usize) -> bool {
        let trained = |w: usize| self.weights[w].parameters() > 0 && self.weights[w].n_in > 0;
        self.nodes
            .iter()
            .any(|n| matches!(*n, OwnedNode::Site { weight, output, .. } if output >= first && trained(weight)))
    }

    /// Whether a variable is an input or fixed data itself.
    pub fn is_data(&self, variable: usize) -> bool {
        let data = |n: &OwnedNode<T>| matches!(n, OwnedNode::Input { .. } | OwnedNode::Constant { .. });
        self.nodes.iter().any(|n| data(n) && n.writes().contains(&variable))
    }

    /// Whether a variable is given from outside: inputs and constants, moved about at most.
    pub fn is_given(&self, variable: usize) -> bool {
        let live = self.live(&[variable]);
        let made = |n: &OwnedNode<T>| {
            !matches!(n, OwnedNode::Input { .. } | OwnedNode::Constant { .. } | OwnedNode::Mixing { .. })
        };
        !self.nodes.iter().any(|n| made(n) && n.writes().iter().any(|&v| live[v]))
    }

    /// Removes the nodes that the state does not depend on; their weights are none of θ.
    fn prune(&mut self, state: &[usize]) {
        let live = self.live(state);
        let (mut kept, mut segments, mut used) = (Vec::new(), Vec::new(), vec![false; self.weights.len()]);
        let mut starts = std::mem::take(&mut self.segments).into_iter().peekable();
        for (n, node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            while let Some((_, scan)) = starts.next_if(|(start, _)| *start <= n) {
                segments.push((kept.len(), scan));
            }
            // Inputs stay: their slots are numbered.
            if live[node.writes()[0]] || matches!(node, OwnedNode::Input { .. }) {
                if let OwnedNode::Site { weight, .. } = node {
                    used[weight] = true;
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
        self.nodes.iter().flat_map(|n| n.writes()).for_each(|&v| written[v] = true);
        for (v, _) in self.variables.iter_mut().zip(written).filter(|(_, written)| !written) {
            (v.positions, v.width, v.edge) = (0, 0, Edge::None);
        }
    }

    /// Lets two dense sites write their sum themselves where nothing else looks at either: one variable to sweep instead of three.
    fn join_sums(&mut self) {
        let mut readers = vec![0; self.variables.len()];
        self.nodes.iter().flat_map(|n| n.reads()).for_each(|o| readers[o.variable] += 1);
        let mut joined = vec![None; self.variables.len()];
        let mut inputs = vec![None; self.variables.len()];
        for node in &self.nodes {
            match *node {
                OwnedNode::Site { form: Form::Dense, input, output, .. } => inputs[output] = Some(input),
                OwnedNode::Sum { reads, output } if self.variables[output].watch.is_none() => {
                    let alone = |o: &Operand| {
                        let v = &self.variables[o.variable];
                        let whole = o.width == v.width && !o.delayed && v.watch.is_none();
                        inputs[o.variable].filter(|_| whole && readers[o.variable] == 1)
                    };
                    if let (Some(a), Some(b)) = (alone(&reads[0]), alone(&reads[1])) {
                        reads.iter().for_each(|o| joined[o.variable] = Some(output));
                        self.beside.push([a, b]);
                    }
                }
                _ => {}
            }
        }
        let (mut kept, mut starts) = (Vec::new(), self.segments.iter_mut().peekable());
        for (n, mut node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            while let Some((start, _)) = starts.next_if(|(start, _)| *start == n) {
                *start = kept.len();
            }
            match &mut node {
                OwnedNode::Sum { reads, .. } if joined[reads[0].variable].is_some() => continue,
                OwnedNode::Site { output, .. } => *output = joined[*output].unwrap_or(*output),
                _ => {}
            }
            kept.push(node);
        }
        starts.for_each(|(start, _)| *start = kept.len());
        self.nodes = kept;
        self.empty_unwritten();
    }
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn patterns_are_taken_in_order() {
        let list = |p: &[&str]| p.iter().map(|p| p.to_string()).collect::<Vec<_>>();
        assert!(chosen("rnn.weight_hh_l0", &list(&["*.weight_hh*"])));
        assert!(chosen("weight_hh_l0", &list(&["*.weight_hh*"])));
        assert!(!chosen("weight_ih_l0", &list(&["*.weight_hh*"])));
        assert!(chosen("weight_ih_l0", &list(&["!*.bias*"])));
        assert!(!chosen("bias_ih_l0", &list(&["!*.bias*"])));
        assert!(!chosen("h.0.bias", &list(&["h.*", "!*.bias"])));
        assert!(chosen("h.0.weight", &list(&["h.*", "!*.bias"])));
    }
}
