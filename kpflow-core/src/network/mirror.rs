//! Variables that lie transposed: a map's pixels of channels, which its user knows as channels of pixels.
//!
//! Convolutions and unit-wise functions take a map as it lies. Its mirror, in the order that the user knows, is a variable that is made only where somebody
//! reads or watches it.

use super::{Network, OwnedNode};
use crate::model::mixing::Transpose;
use crate::model::VariableId;
use crate::Scalar;
use alloc::sync::Arc;
use alloc::vec;

/// A variable and its transpose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mirror {
    pub of: VariableId,
    pub mirror: VariableId,
}

impl<T: Scalar> Network<T> {
    /// The transpose of a variable, of which nothing is made yet: it can have a name and be watched.
    pub fn mirror(&mut self, of: VariableId) -> VariableId {
        if let Some(mirror) = self.mirror_of(of) {
            return mirror;
        }
        let (positions, width) = self.size(of);
        let mirror = self.variable(width, positions);
        self.mirrors.push(Mirror { of, mirror });
        mirror
    }

    /// The transpose of a variable, if there is one.
    pub fn mirror_of(&self, of: VariableId) -> Option<VariableId> {
        self.mirrors.iter().find(|m| m.of == of).map(|m| m.mirror)
    }

    /// The same as a variable that others can read.
    pub fn transposed(&mut self, of: VariableId) -> VariableId {
        let mirror = self.mirror(of);
        if !self.is_written(mirror) {
            self.nodes.push(transpose(of, self.read(of).width, mirror));
        }
        mirror
    }

    fn is_written(&self, variable: VariableId) -> bool {
        self.nodes.iter().any(|n| n.writes().contains(&variable))
    }

    /// Has all that reads a variable read it through its mirror, which is watched: what is known of the state goes by the state.
    pub(super) fn read_by_mirrors(&mut self, watched: &[VariableId]) {
        for Mirror { of, mirror } in self.mirrors.clone().into_iter().filter(|m| watched.contains(&m.mirror)) {
            if let Some(n) = self.nodes.iter().position(|n| n.writes().contains(&mirror)) {
                self.nodes.remove(n);
                self.segments.iter_mut().filter(|(start, _)| *start > n).for_each(|(start, _)| *start -= 1);
            }
            let Some(n) = self.nodes.iter().rposition(|n| n.writes().contains(&of)) else { continue };
            let (positions, width) = self.size(of);
            let back = self.variable(positions, width);
            for node in &mut self.nodes[n + 1..] {
                node.reads_mut().iter_mut().filter(|o| o.variable == of).for_each(|o| o.variable = back);
            }
            let two = [transpose(of, width, mirror), transpose(mirror, positions, back)];
            self.nodes.splice(n + 1..n + 1, two);
            self.segments.iter_mut().filter(|(start, _)| *start > n).for_each(|(start, _)| *start += 2);
        }
    }
}

fn transpose<T: Scalar>(of: VariableId, width: usize, output: VariableId) -> OwnedNode<T> {
    let read = crate::model::Operand { variable: of, offset: 0, width, delayed: false };
    OwnedNode::Mixing { function: Arc::new(Transpose), reads: vec![read], output }
}
