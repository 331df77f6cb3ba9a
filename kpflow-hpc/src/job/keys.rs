//! What a model's numbers depend on, by the keys that say it.

use super::ModelSpec;
use crate::network::select::StateChoice;

impl ModelSpec {
    /// The keys that the model's numbers depend on, and what they say, where they say something.
    /// Files count by what is in them, which is not here.
    pub fn keys(&self) -> Vec<(&'static str, String)> {
        fn said(name: &'static str, value: &Option<impl std::fmt::Debug>) -> Option<(&'static str, String)> {
            value.as_ref().map(|v| (name, format!("{v:?}")))
        }
        let Self {
            kind,
            weights: _,
            prefix: _,
            state,
            parameters,
            readout,
            activation,
            output_activation,
            dt,
            layers,
            bidirectional,
            heads,
            eps,
            solver,
            steps,
            // What it leaves out is no part of the model.
            ignore: _,
            model_type,
            modules,
            sequence,
        } = self;
        let mut all = vec![("kind", kind.name().to_string())];
        let list = |list: Vec<String>| Some(list).filter(|l| !l.is_empty());
        let state = Some(state).filter(|s| **s != StateChoice::Default);
        let sequence = sequence.iter().map(|layer| format!("{layer:?}")).collect();
        let modules: Vec<String> = modules.iter().map(|module| format!("{module:?}")).collect();
        let some = [
            said("state", &state),
            said("parameters", &list(parameters.clone())),
            said("readout", readout),
            said("activation", activation),
            said("output_activation", output_activation),
            said("dt", dt),
            said("layers", layers),
            said("bidirectional", bidirectional),
            said("heads", heads),
            said("eps", eps),
            said("solver", solver),
            said("steps", steps),
            said("model_type", model_type),
            said("modules", &list(modules)),
            said("sequence", &list(sequence)),
        ];
        all.extend(some.into_iter().flatten());
        all
    }
}
