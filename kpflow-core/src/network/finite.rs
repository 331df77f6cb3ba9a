//! Where a model leaves the numbers: the first variable that is not finite, or has no finite derivative, though all that it reads is.

use super::{Network, OwnedNode};
use crate::model::{Edge, Operand, VariableId, Watch};
use crate::Scalar;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

impl<T: Scalar> Network<T> {
    /// The same model with every computed variable watched, one behind the other in a single step: for a look at all values.
    pub fn all_watched(&self) -> Self {
        let mut all = self.clone();
        all.variables.iter_mut().for_each(|v| v.watch = None);
        let data = |n: &&OwnedNode<T>| !matches!(n, OwnedNode::Input { .. } | OwnedNode::Constant { .. });
        let mut offset = 0;
        for node in self.nodes.iter().filter(data) {
            for &v in node.writes() {
                let v = &mut all.variables[v];
                if v.watch.is_none() {
                    v.watch = Some(Watch { offset, stride: v.width });
                    offset += v.positions * v.width;
                }
            }
        }
        // Sums that sites write themselves may not be watched: nobody writes them twice here.
        (all.steps, all.units, all.turns) = (1, offset, None);
        all
    }

    /// Says which node leaves the numbers, of a trajectory whose values `state` are those of [`all_watched`](Network::all_watched) and
    /// whose inputs are `slots`.
    pub fn leaves_numbers(&self, state: &[T], slots: &[&[T]]) -> Option<String> {
        let values = self.values(state, slots);
        for node in &self.nodes {
            let reads_finite = node.reads().iter().all(|o| values[o.variable.0].iter().all(|x| x.is_finite()));
            let Some(&output) = node.writes().first().filter(|_| reads_finite) else { continue };
            if let Some(x) = values[output.0].iter().find(|x| !x.is_finite()) {
                return match node {
                    OwnedNode::Input { .. } | OwnedNode::Constant { .. } => None,
                    OwnedNode::Site { .. }
                    | OwnedNode::Sum { .. }
                    | OwnedNode::Cluster { .. }
                    | OwnedNode::Mixing { .. } => Some(format!("{} gives {x}", self.made_by(output))),
                };
            }
            let OwnedNode::Cluster { function, reads, writes } = node else { continue };
            let (positions, width) = (self.variables[output].positions, self.variables[output].width);
            let (mut y, mut d) = (vec![T::zero(); writes.len()], vec![T::zero(); writes.len() * reads.len()]);
            for (p, j) in (0..positions).flat_map(|p| (0..width).map(move |j| (p, j))) {
                let x: Vec<T> = reads.iter().map(|o| self.read_at(&values, *o, p, j)).collect();
                if function.linearize(&x, &mut y, &mut d).is_ok() && d.iter().any(|d| !d.is_finite()) {
                    let at = x.iter().map(|x| x.to_string()).collect::<Vec<_>>().join(", ");
                    return Some(format!("{} has no finite derivative at {at}", self.made_by(output)));
                }
            }
        }
        None
    }

    /// The values of all variables.
    fn values<'a>(&'a self, state: &'a [T], slots: &[&'a [T]]) -> Vec<&'a [T]> {
        let mut values: Vec<&[T]> = vec![&[]; self.variables.len()];
        for (value, v) in values.iter_mut().zip(&self.variables) {
            if let Some(w) = v.watch {
                *value = &state[w.offset..w.offset + v.positions * v.width];
            }
        }
        for node in &self.nodes {
            match node {
                OwnedNode::Input { slot, output } => values[output.0] = slots.get(*slot).copied().unwrap_or(&[]),
                OwnedNode::Constant { data, output } => values[output.0] = data,
                OwnedNode::Site { .. }
                | OwnedNode::Sum { .. }
                | OwnedNode::Cluster { .. }
                | OwnedNode::Mixing { .. } => {}
            }
        }
        values
    }

    /// The number that an operand reads at a position and unit; 0 before a state's beginning.
    fn read_at(&self, values: &[&[T]], o: Operand, p: usize, j: usize) -> T {
        let v = &self.variables[o.variable];
        let row = match (o.delayed, v.edge) {
            (false, _) => Some(p),
            (true, Edge::Last) => Some(p + 1).filter(|p| *p < v.positions),
            (true, _) => p.checked_sub(1),
        };
        let at = row.map(|row| row * v.width + o.offset + j);
        at.and_then(|at| values[o.variable.0].get(at).copied()).unwrap_or(T::zero())
    }

    /// Says that the variables from `first` on are a node's.
    pub fn label(&mut self, first: VariableId, node: String) {
        if first.0 < self.variables.len() {
            self.labels.push((first, node));
        }
    }

    /// What made a variable, for people.
    fn made_by(&self, variable: VariableId) -> String {
        let label = self.labels.iter().filter(|(first, _)| *first <= variable).max_by_key(|(first, _)| *first);
        label.map_or_else(|| format!("variable {}", self.called(variable)), |(_, node)| node.clone())
    }
}
