//! What the user watches and trains: state, readout and parameters, chosen by name.

use super::{FromFiles, OwnedWeight};
use crate::error::some_of;
use kpflow_core::model::VariableId;
use kpflow_core::network::State;
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

impl<T: Scalar> FromFiles<T> {
    /// Restricts θ to the tensors chosen. An error says which names there are.
    pub fn train(&mut self, patterns: &[String]) -> Result<(), String> {
        if patterns.is_empty() {
            return Ok(());
        }
        for pattern in patterns {
            let alone = [pattern.trim_start_matches('!').to_string()];
            let matches = |w: &OwnedWeight<T>| chosen(&w.name, &alone) || chosen(&w.bias_name, &alone);
            if !self.weights().iter().any(matches) {
                return Err(format!(
                    "parameters names \"{pattern}\", which matches none of {}",
                    some_of(&self.tensor_names())
                ));
            }
        }
        self.network.train(|name| chosen(name, patterns));
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
        self.weights().iter().flat_map(there).flatten().collect()
    }

    /// Watches the variables chosen, lays the state out and leaves away whatever the state does not depend on.
    pub fn watch(&mut self, choice: &StateChoice) -> Result<(), String> {
        let named;
        let state = match choice {
            StateChoice::Default => State::Default,
            StateChoice::Sites => State::Sites,
            StateChoice::Output => State::Output,
            StateChoice::Names(patterns) => {
                named = self.by_name(patterns)?;
                State::Variables(&named)
            }
        };
        self.network.watch(state).map_err(|e| e.to_string())
    }

    fn by_name(&self, patterns: &[String]) -> Result<Vec<VariableId>, String> {
        let names: Vec<String> = self.named().map(|(_, name)| name.into()).collect();
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
        Ok(self.named().filter(|(_, name)| chosen(name, patterns)).map(|(v, _)| v).collect())
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
