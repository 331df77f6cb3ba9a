//! Whether the parameters act on the watched variables at once, or through others that are not watched.

use super::{Network, OwnedNode};
use crate::model::VariableId;
use crate::Scalar;
use alloc::string::String;
use alloc::vec;

impl<T: Scalar> Network<T> {
    /// The first variable that is not watched and through which a weight acts on another weight's input or on a later step: then K and P
    /// are of the watched variables alone. `None` where K is what the weights can move at once.
    pub fn acts_through(&self) -> Option<String> {
        // Per variable: whether a trained weight reaches it without passing a watched one.
        let mut reached = vec![false; self.variables.len()];
        loop {
            let mut changed = false;
            for node in &self.nodes {
                let through = node.reads().iter().find(|o| reached[o.variable.0]);
                let site = matches!(node, OwnedNode::Site { weight, .. } if self.weights[*weight].parameters() > 0);
                if let Some(o) = through.filter(|o| site || o.delayed) {
                    return Some(self.called(o.variable));
                }
                if site || through.is_some() {
                    for &v in node.writes().iter().filter(|&&v| self.variables[v].watch.is_none()) {
                        changed |= !core::mem::replace(&mut reached[v.0], true);
                    }
                }
            }
            if !changed {
                return None;
            }
        }
    }

    /// The name of a variable, or of the nearest before it that has one.
    pub(super) fn called(&self, variable: VariableId) -> String {
        let mut at = variable;
        loop {
            if !self.variables[at].name.is_empty() {
                return self.variables[at].name.clone();
            }
            let writer = self.nodes.iter().find(|n| n.writes().contains(&at));
            match writer.and_then(|n| n.reads().first()) {
                Some(o) if o.variable != at => at = o.variable,
                _ => return "one without a name".into(),
            }
        }
    }
}
