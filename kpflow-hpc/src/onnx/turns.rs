//! The states of a graph's loops, turn after turn.

use super::reader::{Op, Reader};
use super::value::{Origin, Value};
use super::Scope;
use kpflow_core::model::VariableId;
use kpflow_core::Scalar;
use std::collections::HashSet;

impl<T: Scalar> Reader<T> {
    /// The variable of a tensor that can be a state: floating-point numbers that are computed.
    pub fn state(&self, value: &Value) -> Option<VariableId> {
        let Value::Computed(c) = value else { return None };
        let variable = if c.flipped { self.network.mirror_of(c.variable)? } else { c.variable };
        (c.element.is_float() && !self.network.is_data(c.variable)).then_some(variable)
    }

    /// Remembers the states of a loop: those that are computed anew at every turn, each of one size, and changed by weights.
    pub fn keep(&mut self, history: &[Vec<Option<VariableId>>]) {
        let Some(last) = history.last() else { return };
        let numbers = |v: VariableId| self.network.size(v);
        let kept = |i: usize| {
            let all: Option<Vec<VariableId>> = history.iter().map(|turn| turn[i]).collect();
            all.filter(|all| {
                let anew = all.windows(2).all(|w| w[0] != w[1] && numbers(w[0]) == numbers(w[1]));
                anew && all.last().is_some_and(|&v| self.network.depends_on_weights(v))
            })
        };
        let columns: Vec<Vec<VariableId>> = (0..last.len()).filter_map(kept).collect();
        let turns = (0..history.len()).map(|t| columns.iter().map(|c| c[t]).collect()).collect();
        self.loops.push(turns);
    }

    /// Remembers the states of a loop that is unrolled in the graph.
    pub fn keep_unrolled(&mut self, turns: &[Vec<String>], scope: &Scope) {
        let state = |name: &String| scope.get(name).and_then(|value| self.state(value));
        let history: Vec<Vec<_>> = turns.iter().map(|names| names.iter().map(state).collect()).collect();
        self.keep(&history);
    }

    /// A state as a variable of its own, which may be watched: a copy where its numbers are known, as those of a first turn may be, or
    /// where it is one that was there before variable `next`.
    pub fn as_state(&mut self, value: Value, next: VariableId) -> Op<Value> {
        let own = match &value {
            Value::Known(a) => !a.element.is_float() || a.data.is_empty(),
            Value::Computed(c) => c.variable >= next || !c.element.is_float(),
            Value::Parameter(_) | Value::Sequence(_) => true,
        };
        if own {
            return Ok(value);
        }
        let from = self.variable(&value)?;
        let size = self.network.size(from);
        let all: Vec<Origin> = (0..size.0 * size.1).map(|i| Origin::of(0, i)).collect();
        let variable = self.sparse(&[from], &all, size);
        Ok(self.computed(value.shape().to_vec(), variable).typed(value.element()))
    }

    /// The states of the loops of the graph, turn after turn, and how many turns: where all have the same, and the weights act on them.
    pub fn states(&self) -> Option<(Vec<VariableId>, usize)> {
        let turns = self.loops.first()?.len();
        let moved =
            |l: &&Vec<Vec<VariableId>>| l.last().is_some_and(|s| s.iter().any(|&v| self.network.depends_on_weights(v)));
        let loops: Vec<&Vec<Vec<VariableId>>> = self.loops.iter().filter(moved).collect();
        if loops.is_empty() || loops.iter().any(|l| l.len() != turns) {
            return None;
        }
        let states: Vec<VariableId> =
            (0..turns).flat_map(|t| loops.iter().flat_map(move |l| l[t].iter().copied())).collect();
        let mut seen = HashSet::new();
        states.iter().all(|v| seen.insert(*v)).then_some((states, turns))
    }
}
