//! What a turn hands on and reads itself, as two tensors.

use super::{Block, Loop, Place, Repeats, Source};
use rten_onnx::onnx::{GraphProto, NodeProto};
use std::collections::HashMap;

impl Repeats<'_> {
    /// Which of the tensors that turns hand on decide others of them in the same turn.
    pub(super) fn read_within(&self, block: Block, carried: &[Place]) -> Vec<usize> {
        let last = block.end() - block.period;
        let decides = |at: &Place| {
            let mut reached = vec![false; block.period];
            for place in 0..block.period {
                reached[place] =
                    self.nodes[last + place].input.iter().any(|name| match self.source(block, last + place, name) {
                        Source::Turn { before: 0, place, output } => reached[place] || (place, output) == *at,
                        Source::Turn { .. } | Source::Outside => false,
                    });
            }
            carried.iter().any(|(place, _)| reached[*place])
        };
        (0..carried.len()).filter(|&i| decides(&carried[i])).collect()
    }

    /// The nodes of the graph, with a copy of whatever has to be one, which nodes of later turns read; loops hand on the copies.
    pub(super) fn with_copies(&self, graph: &GraphProto, loops: &mut [Loop]) -> Vec<NodeProto> {
        let mut nodes = graph.node.clone();
        let mut copies: HashMap<usize, Vec<NodeProto>> = HashMap::new();
        for one in loops {
            for (name, end) in std::mem::take(&mut one.copied) {
                let copy = format!("{name}.handed_on");
                let rename = |names: &mut Vec<String>| {
                    names.iter_mut().filter(|n| **n == name).for_each(|n| n.clone_from(&copy));
                };
                for &reader in self.readers.get(name.as_str()).into_iter().flatten().filter(|r| **r >= end) {
                    rename(&mut nodes[self.numbers[reader]].input);
                }
                // A turn that is not there reads what the one before hands on.
                if !one.turns.last().is_some_and(|last| last.contains(&name)) {
                    one.missing.iter_mut().for_each(|n| rename(&mut n.input));
                }
                one.turns.iter_mut().for_each(rename);
                let node = NodeProto {
                    op_type: Some("Identity".into()),
                    input: vec![name.clone()],
                    output: vec![copy],
                    ..NodeProto::default()
                };
                match self.makers.get(name.as_str()) {
                    Some((maker, _)) => copies.entry(self.numbers[*maker]).or_default().push(node),
                    None => one.missing.push(node),
                }
            }
        }
        let with = |(i, node)| std::iter::once(node).chain(copies.remove(&i).unwrap_or_default());
        nodes.into_iter().enumerate().flat_map(with).collect()
    }
}
