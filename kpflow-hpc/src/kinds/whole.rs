//! A checkpoint is read whole: what the kind leaves unread is an error, unless it is known to be no weight or the job says so.
//!
//! A model that has a tensor which nobody reads is another model than the one that would run, and its numbers would look as good.

use super::Source;
use crate::error::{some_of, Result};
use crate::job::Kind;
use wildmatch::WildMatch;

/// What files of a kind hold beside its weights: buffers, and heads that are no part of the model that runs. Patterns of names
/// behind the prefix.
fn no_weights(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Rnn | Kind::LeakyRnn | Kind::Gru | Kind::Lstm | Kind::Onnx => &[],
        Kind::Mlp | Kind::Conv | Kind::NeuralOde => &["*num_batches_tracked"],
        Kind::Transformer => &["*attn_mask", "*causal_mask"],
        Kind::Gpt2 => &[
            "h.*.attn.bias",
            "h.*.attn.masked_bias",
            "lm_head.weight",
            "score.*",
            "classifier.*",
            "qa_outputs.*",
            "multiple_choice_head.*",
        ],
        Kind::Bert => &[
            "embeddings.position_ids",
            "embeddings.token_type_ids",
            "pooler.*",
            "cls.*",
            "lm_head.*",
            "classifier.*",
            "qa_outputs.*",
            "discriminator_predictions.*",
            "generator_predictions.*",
            "generator_lm_head.*",
        ],
    }
}

/// How weights are stored that are computed from others: what their names have, what made them, and how the plain weight is saved.
const COMPUTED: [(&str, &str, &str); 15] = [
    (
        "parametrizations.*",
        "torch.nn.utils.parametrize (weight_norm, spectral_norm, orthogonal, …)",
        "torch.nn.utils.parametrize.remove_parametrizations(MODULE, \"weight\")",
    ),
    ("*weight*_g", "weight_norm", "torch.nn.utils.remove_weight_norm(MODULE)"),
    ("*weight*_v", "weight_norm", "torch.nn.utils.remove_weight_norm(MODULE)"),
    ("*weight*_u", "spectral_norm", "torch.nn.utils.remove_spectral_norm(MODULE)"),
    ("*weight*_mask", "pruning", "torch.nn.utils.prune.remove(MODULE, \"weight\")"),
    ("*bias*_mask", "pruning", "torch.nn.utils.prune.remove(MODULE, \"bias\")"),
    (
        "*weight*_orig",
        "pruning or spectral_norm",
        "torch.nn.utils.prune.remove(MODULE, \"weight\") or torch.nn.utils.remove_spectral_norm(MODULE)",
    ),
    ("*bias*_orig", "pruning", "torch.nn.utils.prune.remove(MODULE, \"bias\")"),
    ("*lora_*", "LoRA", "MODEL.merge_and_unload()"),
    ("*base_layer.*", "an adapter of peft", "MODEL.merge_and_unload()"),
    ("*hada_w*", "LoHa", "MODEL.merge_and_unload()"),
    ("*lokr_w*", "LoKr", "MODEL.merge_and_unload()"),
    ("*ia3_l*", "IA³", "MODEL.merge_and_unload()"),
    ("*qweight", "quantised weights", "MODEL.dequantize()"),
    ("*_packed_params*", "quantised weights", "the float model's state_dict()"),
];

/// Whether a pattern matches a name, or what follows a dot of it.
fn matches(pattern: &str, name: &str) -> bool {
    let wild = WildMatch::new(pattern);
    wild.matches(name) || name.char_indices().any(|(i, c)| c == '.' && wild.matches(&name[i + 1..]))
}

/// Fails where weights are stored in parts from which a module computes them, or in no plain tensor: before a kind looks for
/// the plain ones.
pub fn no_computed(source: &Source<'_>) -> Result<()> {
    let names = source.checkpoint.names().iter().filter(|n| !source.ignores(n));
    let found = names.filter_map(|n| Some((n, COMPUTED.iter().find(|c| matches(c.0, n))?))).next();
    if let Some((name, (_, what, how))) = found {
        let (name, save) = (format!("{}{name}", source.spec.prefix), "and save the state_dict() again");
        let what = format!("has {name}, of {what}: a weight that is computed from others; bake it in by {how}, {save}");
        return Err(source.wrong(what));
    }
    if let Some((name, class)) = source.checkpoint.others().find(|(name, _)| !source.ignores(name)) {
        let name = format!("{}{name}", source.spec.prefix);
        let what = "save a plain dense tensor in its place, or say ignore if it is no part of the model";
        return Err(source.wrong(format!("has {name} as a {class}, which is no plain tensor; {what}")));
    }
    Ok(())
}

/// Fails where tensors behind the prefix have not been read.
pub fn read_whole(source: &Source<'_>) -> Result<()> {
    let (spec, checkpoint) = (source.spec, source.checkpoint);
    let whole = |name: &str| format!("{}{name}", spec.prefix);
    let unread = checkpoint.unread();
    for pattern in &spec.ignore {
        let ours = |n: &&String| matches_whole(pattern, &spec.prefix, n);
        let all: Vec<&String> = checkpoint.names().iter().filter(ours).collect();
        if all.is_empty() {
            let there = some_of(&unread.iter().map(|n| whole(n)).collect::<Vec<_>>());
            return Err(source.wrong(format!("has no tensor that ignore = \"{pattern}\" names; unread are {there}")));
        }
        if let Some(read) = all.iter().find(|n| !unread.contains(&n.as_str())) {
            let (name, kind) = (whole(read), spec.kind.name());
            return Err(
                source.wrong(format!("has {name}, which ignore = \"{pattern}\" names and kind = \"{kind}\" reads"))
            );
        }
    }
    let weight = |n: &&str| !source.ignores(n) && !no_weights(spec.kind).iter().any(|p| WildMatch::new(p).matches(n));
    let left: Vec<String> = unread.into_iter().filter(weight).map(whole).collect();
    if left.is_empty() {
        return Ok(());
    }
    let (kind, them) = (spec.kind.name(), if left.len() == 1 { "it" } else { "them" });
    let readout = match spec.kind {
        Kind::Rnn | Kind::LeakyRnn | Kind::Gru | Kind::Lstm => "readout = \"NAME\" reads a linear layer; ",
        Kind::Mlp => "modules = { … } says what a layer is (MODELS.md); ",
        Kind::Conv => "layers = [ … ] lists every layer; ",
        Kind::NeuralOde | Kind::Transformer | Kind::Gpt2 | Kind::Bert | Kind::Onnx => "",
    };
    let what = format!(
        "has tensors that kind = \"{kind}\" does not read: {}; {readout}if they are no part of the model, say ignore = [\"{}\"] in [model], \
         else export the module to ONNX (scripts/export_torch.py), which runs all of {them}",
        some_of(&left),
        left[0]
    );
    Err(source.wrong(what))
}

fn matches_whole(pattern: &str, prefix: &str, name: &str) -> bool {
    let wild = WildMatch::new(pattern);
    wild.matches(name) || wild.matches(&format!("{prefix}{name}"))
}

impl Source<'_> {
    /// Whether the job leaves a tensor out, by its name behind the prefix or its whole name.
    fn ignores(&self, name: &str) -> bool {
        self.spec.ignore.iter().any(|p| matches_whole(p, &self.spec.prefix, name))
    }
}

#[cfg(test)]
mod tests {
    use super::{matches, COMPUTED};

    #[test]
    fn computed_weights_are_known_by_their_names() {
        let of = |name: &str| COMPUTED.iter().find(|c| matches(c.0, name)).map(|c| c.1.split(' ').next().unwrap());
        for (name, what) in [
            ("2.parametrizations.weight.original0", "torch.nn.utils.parametrize"),
            ("parametrizations.weight_hh_l0.original1", "torch.nn.utils.parametrize"),
            ("parametrizations.weight.original", "torch.nn.utils.parametrize"),
            ("0.parametrizations.weight.0._u", "torch.nn.utils.parametrize"),
            ("0.weight_g", "weight_norm"),
            ("weight_hh_l0_g", "weight_norm"),
            ("0.weight_u", "spectral_norm"),
            ("0.weight_orig", "pruning"),
            ("0.weight_mask", "pruning"),
            ("0.bias_mask", "pruning"),
            ("q.lora_A.default.weight", "LoRA"),
            ("q.base_layer.weight", "an"),
        ] {
            assert_eq!(of(name), Some(what), "{name}");
        }
        for plain in
            ["weight_hh_l0", "weight_ih_l0_reverse", "0.weight", "attn.masked_bias", "bias_hh_l0", "ln_1.weight"]
        {
            assert_eq!(of(plain), None, "{plain}");
        }
    }
}
