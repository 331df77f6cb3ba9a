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
    /// The columns of a variable one behind the other, in rows of `width`, of which nothing is made yet: it can have a name and be watched. Where there is
    /// one already, that one.
    pub fn mirror(&mut self, of: VariableId, width: usize) -> VariableId {
        if let Some(mirror) = self.mirror_of(of) {
            return mirror;
        }
        let (positions, columns) = self.size(of);
        let numbers = positions * columns;
        let width = if width > 0 && numbers % width == 0 { width } else { positions };
        let mirror = self.variable(numbers / width.max(1), width);
        self.mirrors.push(Mirror { of, mirror });
        mirror
    }

    /// The mirror of a variable, if there is one.
    pub fn mirror_of(&self, of: VariableId) -> Option<VariableId> {
        self.mirrors.iter().find(|m| m.of == of).map(|m| m.mirror)
    }

    /// The same as a variable that others can read.
    pub fn mirrored(&mut self, of: VariableId, width: usize) -> VariableId {
        let mirror = self.mirror(of, width);
        if !self.is_written(mirror) {
            let node = self.transpose(of, self.size(of).0, mirror);
            self.nodes.push(node);
        }
        mirror
    }

    /// The node that transposes a variable, taken for `rows` rows.
    fn transpose(&self, of: VariableId, rows: usize, output: VariableId) -> OwnedNode<T> {
        let function = Arc::new(Transpose { rows, width: self.size(output).1 });
        OwnedNode::Mixing { function, reads: vec![self.read(of)], output }
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
            let two = [self.transpose(of, positions, mirror), self.transpose(mirror, width, back)];
            self.nodes.splice(n + 1..n + 1, two);
            self.segments.iter_mut().filter(|(start, _)| *start > n).for_each(|(start, _)| *start += 2);
        }
    }
}
