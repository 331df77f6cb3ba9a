//! The first and the last turn of a loop, where they are not as the others are.

use super::{Block, Place, Repeats, Source};
use crate::onnx::element::Element;
use crate::onnx::file::{self, Array};
use rten_onnx::onnx::{AttributeProto, NodeProto};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

impl Repeats<'_> {
    /// The first turn's beginning, where it is another one's (`if h is None`): what the loop begins from, if its weights made it.
    pub(super) fn before(&self, block: Block, carried: &[Place]) -> Option<Vec<String>> {
        let mut own = HashSet::new();
        for node in &self.nodes[block.end() - block.period..block.end()] {
            own.extend(node.input.iter().map(String::as_str).filter(|n| self.weights.contains(n)));
        }
        let names: Vec<String> = carried.iter().map(|&c| self.begun_from(block, c)).collect::<Option<_>>()?;
        names.iter().all(|name| self.is_made_by(name, block.start, &own)).then_some(names)
    }

    /// What the first turn reads in place of what a turn before would hand on.
    fn begun_from(&self, block: Block, carried: Place) -> Option<String> {
        let last = block.end() - block.period;
        (0..block.period).find_map(|place| {
            let names = self.nodes[last + place].input.iter().enumerate();
            let mut of_it = names.filter(|(_, name)| {
                let source = self.source(block, last + place, name);
                source == Source::Turn { before: 1, place: carried.0, output: carried.1 }
            });
            of_it.next().and_then(|(k, _)| self.nodes[block.start + place].input.get(k).cloned())
        })
    }

    /// Whether inputs decide a tensor through one of these weights, by nodes before `end`.
    fn is_made_by(&self, name: &str, end: usize, weights: &HashSet<&str>) -> bool {
        if self.weights.contains(name) {
            return false;
        }
        let (mut next, mut seen) = (vec![name], HashSet::new());
        while let Some(name) = next.pop() {
            let Some(&(maker, _)) = self.makers.get(name).filter(|(maker, _)| *maker < end) else { continue };
            if seen.insert(maker) {
                let reads = self.nodes[maker].input.iter().map(String::as_str);
                if reads.clone().any(|n| weights.contains(n)) {
                    return true;
                }
                next.extend(reads);
            }
        }
        false
    }

    /// A last turn, some of whose nodes are not there since the output does not depend on them: what it hands on, with the nodes that make
    /// it as those of the turn before did. None where there is no such turn, or where what it would read cannot be known.
    pub(super) fn behind(&self, block: Block, carried: &[Place]) -> Option<(Vec<String>, Vec<NodeProto>)> {
        let mut here = self.begun(block);
        if !carried.iter().any(|(place, _)| here.contains_key(place)) {
            return None;
        }
        let last = block.end() - block.period;
        let mut needed: BTreeSet<usize> = carried.iter().map(|c| c.0).filter(|p| !here.contains_key(p)).collect();
        for place in (0..block.period).rev().filter(|place| !here.contains_key(place)) {
            if needed.contains(&place) {
                let sources = self.nodes[last + place].input.iter().map(|n| self.source(block, last + place, n));
                needed.extend(sources.filter_map(|source| match source {
                    Source::Turn { before: 0, place, .. } => (!here.contains_key(&place)).then_some(place),
                    Source::Turn { .. } | Source::Outside => None,
                }));
            }
        }
        let mut made = Vec::new();
        for place in needed {
            let mut node = self.nodes[last + place].clone();
            for (k, name) in node.input.iter_mut().enumerate() {
                let before = &self.nodes[last - block.period + place].input[k];
                *name = match self.source(block, last + place, name) {
                    Source::Outside if name == before => continue,
                    Source::Outside => self.next(name, before, &mut made)?,
                    source => self.of_turn(block, &here, source)?,
                };
            }
            node.output.iter_mut().filter(|name| !name.is_empty()).for_each(|name| *name += ".after");
            here.insert(place, node.output.clone());
            made.push(node);
        }
        Some((carried.iter().map(|(place, k)| here[place][*k].clone()).collect(), made))
    }

    /// Which nodes of a turn behind the last one are there: their outputs, by places.
    fn begun(&self, block: Block) -> BTreeMap<usize, Vec<String>> {
        let last = block.end() - block.period;
        let (mut here, mut taken) = (BTreeMap::new(), HashSet::new());
        for place in 0..block.period {
            let reads_alike = |node: usize| {
                let mut reads = self.nodes[last + place].input.iter().zip(&self.nodes[node].input);
                reads.all(|(name, other)| match self.source(block, last + place, name) {
                    Source::Outside => {
                        let before = self.makers.get(other.as_str()).is_none_or(|(maker, _)| *maker < block.start);
                        before && (name == other || !self.weights.contains(name.as_str()))
                    }
                    source => self.of_turn(block, &here, source).is_some_and(|name| name == *other),
                })
            };
            let mut near = block.end()..(block.end() + block.period).min(self.nodes.len());
            let alike = |node: &usize| self.kinds[*node] == self.kinds[last + place] && !taken.contains(node);
            let found = near.find(|node| alike(node) && reads_alike(*node));
            if let Some(node) = found {
                taken.insert(node);
                here.insert(place, self.nodes[node].output.clone());
            }
        }
        here
    }

    /// What a turn behind the last one reads, where what is there of it is `here`.
    fn of_turn(&self, block: Block, here: &BTreeMap<usize, Vec<String>>, source: Source) -> Option<String> {
        match source {
            Source::Turn { before: 0, place, output } => here.get(&place)?.get(output).cloned(),
            Source::Turn { before, place, output } => {
                Some(self.name(block, block.turns.checked_sub(before)?, (place, output)))
            }
            Source::Outside => None,
        }
    }

    /// What a turn would read of outside where the one before read `name`, and the one before that `before`: the same number, the next of
    /// whole numbers, or the next output of the same node.
    fn next(&self, name: &str, before: &str, made: &mut Vec<NodeProto>) -> Option<String> {
        if let (Some(&(maker, k)), Some(&(other, j))) = (self.makers.get(name), self.makers.get(before)) {
            let output = self.nodes[maker].output.get((2 * k).checked_sub(j)?)?;
            return (maker == other && !output.is_empty()).then(|| output.clone());
        }
        let constant = |name: &str| {
            let attribute = self.constants.get(name)?.attribute.first()?;
            match &attribute.t {
                Some(t) => file::tensor(Path::new(""), t).ok(),
                None => Some(Array {
                    shape: vec![attribute.ints.len()],
                    ..Array::row(attribute.ints.iter().map(|&i| i as f64).collect())
                }),
            }
        };
        let (now, then) = (constant(name)?, constant(before)?);
        if now == then {
            return Some(name.into());
        }
        if now.shape != then.shape || now.element != Element::LONG || then.element != Element::LONG {
            return None;
        }
        let next = |(now, then): (i64, i64)| now.checked_mul(2)?.checked_sub(then);
        let ints: Vec<i64> = now.integers().into_iter().zip(then.integers()).map(next).collect::<Option<_>>()?;
        let value = match now.shape[..] {
            [] => {
                AttributeProto { name: Some("value_int".into()), i: ints.first().copied(), ..AttributeProto::default() }
            }
            [_] => AttributeProto { name: Some("value_ints".into()), ints, ..AttributeProto::default() },
            _ => return None,
        };
        let output = format!("{name}.after");
        made.push(NodeProto {
            op_type: Some("Constant".into()),
            attribute: vec![value],
            output: vec![output.clone()],
            ..NodeProto::default()
        });
        Some(output)
    }
}
