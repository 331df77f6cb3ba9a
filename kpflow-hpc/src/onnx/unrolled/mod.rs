//! Loops that an exporter unrolled: the block of nodes that a graph repeats, and what its turns hand on.
//!
//! A block is repeated where nodes of the same operators, attributes and parameters follow each other with a period, and read what
//! stands at the same places: of their own turn, of a turn before, or of outside. What is read of a turn before is the loop's state. Where
//! a turn begins is open (`h = tanh(a)` may end a turn or begin one): it begins where the fewest tensors are handed on, then where most
//! of them are read by weights, then where nothing is handed on over more than one turn, then where most are read outside, then where the
//! repetition does. Nothing is taken for a loop that no parameter is read in.
//!
//! What a turn hands on may be read in it as well (an LSTM's c, of which h is made): what is handed on is a copy then, so that P is how one
//! whole turn moves the next.

mod copies;
mod ends;

use rten_onnx::onnx::{GraphProto, NodeProto};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Periods that are tried: those that occur most often between nodes alike.
const PERIODS: usize = 64;
/// The longest period, in nodes.
const LONGEST: usize = 2048;
/// The most runs of nodes that are looked at for a loop, and the most loops of a graph.
const RUNS: usize = 256;
const LOOPS: usize = 64;
/// Nodes alike between which a period is looked for.
const NEIGHBOURS: usize = 16;

/// A loop.
pub struct Loop {
    /// For each turn the names of the tensors that it hands on.
    pub turns: Vec<Vec<String>>,
    /// Nodes that the graph does not have, since its outputs do not depend on them: what the last turn hands on, too, is read of them.
    pub missing: Vec<NodeProto>,
    /// Which of them are read in their own turn, and from which node on the turn is over.
    copied: Vec<(String, usize)>,
    start: usize,
}

/// Where a tensor that a node of a loop reads comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Output `output` of the node at this place of a turn, so many turns before.
    Turn { before: usize, place: usize, output: usize },
    /// Outside.
    Outside,
}

/// An output of a node: its place in a turn, and which of its outputs.
type Place = (usize, usize);

/// That a node reads what another one makes.
struct Link {
    made: Place,
    read: usize,
    /// So many periods before, counted from the run's start.
    apart: usize,
}

impl Link {
    /// Over how many turns it is if turns begin at this place.
    fn turns(&self, shift: usize) -> usize {
        (self.apart + usize::from(self.made.0 < shift)).saturating_sub(usize::from(self.read < shift))
    }
}

/// Nodes that repeat with a period: `start .. start + length`.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: usize,
    period: usize,
    length: usize,
}

/// Turns of a loop: nodes `start .. start + turns · period`.
#[derive(Clone, Copy, Debug)]
struct Block {
    start: usize,
    period: usize,
    turns: usize,
}

impl Block {
    fn end(&self) -> usize {
        self.start + self.turns * self.period
    }
}

/// A graph, as what repeats is looked for in it.
struct Repeats<'a> {
    /// The nodes that compute.
    nodes: Vec<&'a NodeProto>,
    /// Which of the graph's each is.
    numbers: Vec<usize>,
    /// What each node is, whatever it reads but parameters.
    kinds: Vec<usize>,
    /// Which node makes a tensor, as which of its outputs.
    makers: HashMap<&'a str, (usize, usize)>,
    /// The nodes that read a tensor.
    readers: HashMap<&'a str, Vec<usize>>,
    /// Tensors that parameters decide and inputs do not.
    weights: HashSet<&'a str>,
    /// What the graph gives.
    outputs: HashSet<&'a str>,
    /// The nodes that are constants.
    constants: HashMap<&'a str, &'a NodeProto>,
}

/// The loops of a graph whose parameters are those of which `trained` is true, in their order; none of one that has loops as they are.
/// The graph's nodes are changed where what is handed on has to be a copy.
pub fn loops(graph: &mut GraphProto, trained: impl Fn(&str) -> bool) -> Vec<Loop> {
    let control = |n: &NodeProto| matches!(n.op_type.as_deref(), Some("Loop" | "Scan"));
    if graph.node.iter().any(control) {
        return Vec::new();
    }
    let repeats = Repeats::of(graph, trained);
    let mut found = Vec::new();
    repeats.search(0, repeats.nodes.len(), &mut found);
    found.sort_by_key(|one| one.start);
    // Nodes may hold large constants: they are not copied for nothing.
    if found.iter().any(|one| !one.copied.is_empty()) {
        graph.node = repeats.with_copies(graph, &mut found);
    }
    found
}

fn outputs(node: &NodeProto) -> impl Iterator<Item = (usize, &str)> {
    node.output.iter().map(String::as_str).enumerate().filter(|(_, name)| !name.is_empty())
}

impl<'a> Repeats<'a> {
    fn of(graph: &'a GraphProto, trained: impl Fn(&str) -> bool) -> Self {
        let computing = graph.node.iter().enumerate().filter(|(_, n)| n.op_type.as_deref() != Some("Constant"));
        let (numbers, nodes): (Vec<usize>, Vec<&NodeProto>) = computing.unzip();
        let mut known: HashMap<String, usize> = HashMap::new();
        let (mut kinds, mut makers, mut readers) = (Vec::new(), HashMap::new(), HashMap::<&str, Vec<usize>>::new());
        let initialisers = graph.initializer.iter().filter_map(|t| t.name.as_deref());
        let mut weights: HashSet<&str> = initialisers.filter(|n| trained(n)).collect();
        let mut given: HashSet<&str> = graph.input.iter().filter_map(|i| i.name.as_deref()).collect();
        given.retain(|name| !weights.contains(name));
        for (i, node) in nodes.iter().enumerate() {
            let reads = |set: &HashSet<&str>| node.input.iter().any(|name| set.contains(name.as_str()));
            let named: Vec<&str> = node.input.iter().map(|n| if trained(n) { n } else { "" }).collect();
            let given_out: Vec<bool> = node.output.iter().map(|name| name.is_empty()).collect();
            let what = format!("{:?} {:?} {:?} {named:?} {given_out:?}", node.op_type, node.domain, node.attribute);
            let next = known.len();
            kinds.push(*known.entry(what).or_insert(next));
            let (of_weights, of_inputs) = (reads(&weights), reads(&given));
            for (k, name) in outputs(node) {
                makers.insert(name, (i, k));
                match (of_inputs, of_weights) {
                    (true, _) => given.insert(name),
                    (false, true) => weights.insert(name),
                    (false, false) => false,
                };
            }
            node.input.iter().for_each(|name| readers.entry(name).or_default().push(i));
        }
        let outputs = graph.output.iter().filter_map(|o| o.name.as_deref()).collect();
        let constants = graph.node.iter().filter(|n| n.op_type.as_deref() == Some("Constant"));
        let constants = constants.filter_map(|n| Some((n.output.first()?.as_str(), n))).collect();
        Self { nodes, numbers, kinds, makers, readers, weights, outputs, constants }
    }

    /// The loops among some nodes: the one that most of them are in, then those before and behind it.
    fn search(&self, first: usize, last: usize, found: &mut Vec<Loop>) {
        // What nobody writes by hand is not looked for: it takes the square of a period, of every run.
        if found.len() >= LOOPS {
            return;
        }
        let mut runs: Vec<Run> = self.periods(first, last).flat_map(|p| self.runs(first, last, p)).collect();
        runs.sort_by_key(|r| (Reverse(r.length - r.length % r.period), r.period, r.start));
        let Some((block, one)) =
            runs.into_iter().filter(|r| r.period <= LONGEST).take(RUNS).find_map(|r| self.turned(r))
        else {
            return;
        };
        found.push(one);
        self.search(first, block.start, found);
        self.search(block.end(), last, found);
    }

    /// Periods that nodes alike have.
    fn periods(&self, first: usize, last: usize) -> impl Iterator<Item = usize> {
        let (mut places, mut counts) = (HashMap::<usize, Vec<usize>>::new(), BTreeMap::<usize, usize>::new());
        (first..last).for_each(|i| places.entry(self.kinds[i]).or_default().push(i));
        for places in places.values() {
            for (i, at) in places.iter().enumerate() {
                for next in places[i + 1..].iter().take(NEIGHBOURS) {
                    *counts.entry(next - at).or_default() += 1;
                }
            }
        }
        let mut periods: Vec<(usize, usize)> = counts.into_iter().collect();
        periods.sort_by_key(|&(period, count)| (Reverse(count), period));
        periods.into_iter().take(PERIODS).map(|(period, _)| period)
    }

    /// Where nodes repeat with a period, for as long as they do.
    fn runs(&self, first: usize, last: usize, period: usize) -> Vec<Run> {
        let (mut found, mut start) = (Vec::new(), first);
        for i in first..(last + 1).saturating_sub(period) {
            let same = i + period < last && self.kinds[i] == self.kinds[i + period];
            if !same {
                if i >= start + period {
                    found.push(Run { start, period, length: i - start + period });
                }
                start = i + 1;
            }
        }
        found
    }

    /// The turns of a run, begun where they hand on the least; none where it is no loop.
    fn turned(&self, run: Run) -> Option<(Block, Loop)> {
        let Run { start, period, length } = run;
        let links = self.links(run);
        let mut ways: Vec<(Block, Vec<Place>)> = Vec::new();
        for shift in (0..period).take_while(|shift| length - shift >= 2 * period) {
            let carried: BTreeSet<Place> = links.iter().filter(|l| l.turns(shift) > 0).map(|l| l.made).collect();
            let block = Block { start: start + shift, period, turns: (length - shift) / period };
            let turned = |(place, output): &Place| ((place + period - shift) % period, *output);
            let carried: Vec<Place> = carried.iter().map(turned).collect();
            let least = ways.first().map_or(usize::MAX, |(_, least)| least.len());
            if carried.is_empty() || carried.len() > least {
                continue;
            }
            if carried.len() < least {
                ways.clear();
            }
            ways.push((block, carried));
        }
        let count = |carried: &[Place], which: &dyn Fn(Place) -> bool| carried.iter().filter(|c| which(**c)).count();
        ways.sort_by_cached_key(|(block, carried)| {
            let by_weights = count(carried, &|c| self.is_read_by_weights(*block, c));
            let far = links.iter().filter(|l| l.turns(block.start - start) > 1).count();
            let outside = count(carried, &|c| self.is_read_outside(run, *block, c));
            (Reverse(by_weights), far, Reverse(outside), block.start)
        });
        let (block, mut carried) = ways.into_iter().find(|(block, _)| self.is_loop(*block))?;
        carried.sort_unstable();
        let turns = (0..block.turns).map(|t| carried.iter().map(|&c| self.name(block, t, c)).collect());
        let before = self.before(block, &carried);
        let (behind, missing) = self.behind(block, &carried).map_or((None, Vec::new()), |(b, m)| (Some(b), m));
        let first = block.start + if before.is_none() { block.period } else { 0 };
        let turns: Vec<Vec<String>> = before.into_iter().chain(turns).chain(behind).collect();
        let within = self.read_within(block, &carried);
        let ends = (0..).map(|turn| first + turn * block.period);
        let copied =
            turns.iter().zip(ends).flat_map(|(names, end)| within.iter().map(move |&i| (names[i].clone(), end)));
        Some((block, Loop { copied: copied.collect(), turns, missing, start: block.start }))
    }

    fn name(&self, block: Block, turn: usize, (place, output): Place) -> String {
        self.nodes[block.start + turn * block.period + place].output[output].clone()
    }

    /// Who reads what in the last period of a run.
    fn links(&self, run: Run) -> Vec<Link> {
        let Run { start, period, length } = run;
        let mut links = Vec::new();
        for node in start + length - period..start + length {
            for name in &self.nodes[node].input {
                // What is made later, in a damaged file, is of no turn.
                let made = self.makers.get(name.as_str()).filter(|(maker, _)| *maker >= start && *maker < node);
                if let Some(&(maker, output)) = made {
                    let (at, from) = (node - start, maker - start);
                    links.push(Link {
                        made: (from % period, output),
                        read: at % period,
                        apart: at / period - from / period,
                    });
                }
            }
        }
        links
    }

    fn source(&self, block: Block, node: usize, name: &str) -> Source {
        match self.makers.get(name) {
            Some(&(maker, output)) if maker >= block.start && maker < block.end().min(node) => {
                let turn = |node: usize| (node - block.start) / block.period;
                let place = (maker - block.start) % block.period;
                Source::Turn { before: turn(node) - turn(maker), place, output }
            }
            _ => Source::Outside,
        }
    }

    /// Whether a node that reads weights reads it.
    fn is_read_by_weights(&self, block: Block, carried: Place) -> bool {
        let name = self.name(block, block.turns - 2, carried);
        let mut readers = self.readers.get(name.as_str()).into_iter().flatten();
        readers
            .any(|&i| self.nodes[i].input.iter().any(|other| *other != name && self.weights.contains(other.as_str())))
    }

    fn is_read_outside(&self, run: Run, block: Block, carried: Place) -> bool {
        (0..block.turns).any(|turn| {
            let name = self.name(block, turn, carried);
            let name = name.as_str();
            let readers = self.readers.get(name).into_iter().flatten();
            self.outputs.contains(name) || readers.copied().any(|i| i < run.start || i >= run.start + run.length)
        })
    }

    /// Whether all turns read as the last one does, and weights among it.
    fn is_loop(&self, block: Block) -> bool {
        let mut weighted = false;
        for place in 0..block.period {
            let last = block.end() - block.period + place;
            for (k, name) in self.nodes[last].input.iter().enumerate() {
                let source = self.source(block, last, name);
                let outside = source == Source::Outside && self.weights.contains(name.as_str());
                weighted |= outside;
                for turn in 0..block.turns - 1 {
                    let node = block.start + turn * block.period + place;
                    let Some(other) = self.nodes[node].input.get(k) else { return false };
                    let first = matches!(source, Source::Turn { before, .. } if before > turn);
                    let here = self.source(block, node, other);
                    let begins = first && here == Source::Outside;
                    let fits = begins || (here == source && (!outside || other == name));
                    if !fits {
                        return false;
                    }
                }
            }
        }
        weighted
    }
}
