//! Every kind with a tensor too many, and with weights that are computed from others.

use super::{checkpoint, golden, line, network};
use crate::load::Checkpoint;
use std::path::{Path, PathBuf};

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/data").join(name)
}

/// A checkpoint of each kind, the job's lines and the shape of an input.
fn every_kind() -> Vec<(&'static str, PathBuf, &'static str, &'static [usize])> {
    let conv = "layers = [{ type = \"conv\", name = \"0\", padding = 1 }, { type = \"relu\" }, { type = \"maxpool\", size = 2 }, \
                { type = \"conv\", name = \"3\", stride = 2, padding = 1, groups = 2 }, { type = \"batchnorm\", name = \"4\" }, \
                { type = \"tanh\" }, { type = \"avgpool\", size = [1, 2] }, { type = \"flatten\" }, { type = \"linear\", name = \"8\" }]";
    vec![
        ("rnn", golden("rnn_tanh.safetensors"), "", &[4, 3]),
        ("leaky_rnn", golden("leaky_rnn.safetensors"), "dt = 0.3", &[6, 3]),
        ("gru", golden("gru.safetensors"), "", &[6, 3]),
        ("lstm", golden("lstm.safetensors"), "", &[6, 3]),
        ("mlp", golden("mlp_tanh.safetensors"), "", &[1, 5]),
        ("mlp", reference("mlp_layer_norm.safetensors"), "", &[1, 4]),
        ("conv", reference("conv_net.safetensors"), conv, &[2, 9, 8]),
        ("neural_ode", reference("neural_ode_euler.safetensors"), "dt = 0.2", &[5, 2]),
        ("transformer", golden("transformer.safetensors"), "heads = 2", &[5, 8]),
        ("gpt2", reference("gpt2_small.safetensors"), "heads = 3", &[5]),
        ("bert", reference("bert_small.safetensors"), "heads = 3", &[6]),
        ("bert", reference("roberta_small.safetensors"), "heads = 2\neps = 1e-12\nmodel_type = \"roberta\"", &[6]),
    ]
}

/// Writes zeros of a checkpoint's names and shapes, and of one tensor more. The last number of each is 1.
fn with_one_more(from: &Path, to: &Path, more: (&str, &[usize])) {
    let c = Checkpoint::open(from, "").unwrap();
    let shapes: Vec<Vec<usize>> = c.names().iter().map(|n| c.shape(n).unwrap()).collect();
    let mut tensors: Vec<(&str, &[usize])> = c.names().iter().zip(&shapes).map(|(n, s)| (n.as_str(), &s[..])).collect();
    tensors.push(more);
    checkpoint(to, &tensors, 1.0);
}

#[test]
fn one_tensor_too_many_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    for (kind, file, lines, input) in every_kind() {
        let job = |more: &str| format!("kind = \"{kind}\"\n{lines}\n{more}");
        network(&file, &job(""), input).unwrap_or_else(|e| panic!("{kind}: {e}"));
        for (name, shape) in [
            ("extra", &[3][..]),
            ("head.weight", &[2, 2, 2]),
            ("encoder.norm.weight", &[4]),
            ("scale", &[]),
            ("blocks.0.ln_9.bias", &[2]),
        ] {
            with_one_more(&file, &path, (name, shape));
            let said = line(network(&path, &job(""), input));
            assert!(said.contains(&format!("kind = \"{kind}\" does not read: {name};")), "{kind}: {said}");
            assert!(said.contains(&format!("ignore = [\"{name}\"]")), "{said}");
            network(&path, &job(&format!("ignore = [\"{name}\"]")), input).unwrap();
            // What the file does not have, or what is read, cannot be ignored.
            let said = line(network(&path, &job("ignore = [\"nothing.*\"]"), input));
            assert!(said.contains("has no tensor that ignore = \"nothing.*\" names; unread are"), "{said}");
            let said = line(network(&path, &job("ignore = [\"*\"]"), input));
            assert!(said.contains("reads"), "{said}");
        }
    }
}

#[test]
fn computed_weights_say_how_to_bake_them_in() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    for (kind, file, lines, input) in every_kind() {
        for (name, how) in [
            ("x.parametrizations.weight.original1", "remove_parametrizations(MODULE, \"weight\")"),
            ("x.weight_g", "remove_weight_norm(MODULE)"),
            ("x.weight_mask", "prune.remove(MODULE, \"weight\")"),
            ("x.lora_A.default.weight", "merge_and_unload()"),
        ] {
            with_one_more(&file, &path, (name, &[2, 2]));
            let said = line(network(&path, &format!("kind = \"{kind}\"\n{lines}"), input));
            assert!(said.contains(&format!("has {name}, of ")) && said.contains(how), "{kind}: {said}");
        }
    }
}

#[test]
fn what_is_no_weight_needs_no_word() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let all = every_kind();
    let kind = |name: &str| all.iter().find(|k| k.0 == name).unwrap();
    for (name, tensor, shape) in [
        ("gpt2", "h.0.attn.bias", &[1, 1, 9, 9][..]),
        ("gpt2", "h.1.attn.masked_bias", &[]),
        ("bert", "embeddings.position_ids", &[1, 9]),
        ("bert", "pooler.dense.weight", &[12, 12]),
        ("conv", "4.num_batches_tracked", &[]),
    ] {
        let (kind, file, lines, input) = kind(name);
        with_one_more(file, &path, (tensor, shape));
        network(&path, &format!("kind = \"{kind}\"\n{lines}"), input).unwrap();
    }
}

/// Which models of Hugging Face run, by config.json or by their tensors; all others are refused by name.
#[test]
fn families_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (path, config) = (dir.path().join("w.safetensors"), dir.path().join("config.json"));
    let bert = reference("bert_small.safetensors");
    let run = |lines: &str| network(&path, &format!("kind = \"bert\"\nheads = 3\n{lines}"), &[6]);
    std::fs::copy(&bert, &path).unwrap();
    for (family, slots) in
        [("bert", 1), ("electra", 1), ("ernie", 1), ("roberta", 2), ("xlm-roberta", 2), ("camembert", 2)]
    {
        std::fs::write(&config, format!("{{\"model_type\": \"{family}\", \"pad_token_id\": 1}}")).unwrap();
        assert_eq!(run("").unwrap().slots().len(), slots, "{family}");
    }
    for other in ["distilbert", "albert", "mpnet", "deberta-v2", "xlm-roberta-xl", "roberta-prelayernorm"] {
        std::fs::write(&config, format!("{{\"model_type\": \"{other}\"}}")).unwrap();
        let said = line(run(""));
        assert!(said.contains(&format!("is a model of type {other}, says its config.json")), "{said}");
    }
    std::fs::write(&config, "{\"model_type\": \"roberta\",").unwrap();
    assert!(line(run("")).contains("config.json: is not JSON (EOF while parsing"));
    std::fs::write(&config, "{\"model_type\": \"gpt_bigcode\"}").unwrap();
    std::fs::copy(reference("gpt2_small.safetensors"), &path).unwrap();
    let said = line(network(&path, "kind = \"gpt2\"\nheads = 3", &[5]));
    assert!(said.contains("kind = \"gpt2\" runs gpt2"), "{said}");
    std::fs::remove_file(&config).unwrap();
    for (mark, model) in [
        ("encoder.relative_attention_bias.weight", "an MPNet"),
        ("embeddings.task_type_embeddings.weight", "an ERNIE with task types"),
        ("encoder.layer.0.attention.LayerNorm.weight", "a pre-LayerNorm RoBERTa"),
    ] {
        with_one_more(&bert, &path, (mark, &[12]));
        let said = line(run(""));
        assert!(said.contains(&format!("is {model}, by its tensors")), "{said}");
    }
    // One token type, but a position of the padding that is not 0: neither.
    std::fs::copy(reference("roberta_small.tangent.safetensors"), &path).unwrap();
    let two = |lines: &str| network(&path, &format!("kind = \"bert\"\nheads = 2\neps = 1e-5\n{lines}"), &[6]);
    assert!(line(two("")).contains("say model_type = \"bert\" or \"roberta\""));
    assert_eq!(two("model_type = \"camembert\"").unwrap().slots().len(), 2);
    assert_eq!(two("model_type = \"bert\"").unwrap().slots().len(), 1);
}

/// An nn.Sequential whose tensors do not tell its modules is refused, and `modules` says them.
#[test]
fn modules_of_a_sequential() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let linear = |place: usize| [format!("{place}.weight"), format!("{place}.bias")];
    let file = |places: &[usize], more: &[(&str, &[usize])]| {
        let names: Vec<String> = places.iter().flat_map(|p| linear(*p)).collect();
        let shape = |n: &String| -> &[usize] {
            if n.ends_with("weight") {
                &[4, 4]
            } else {
                &[4]
            }
        };
        let mut all: Vec<(&str, &[usize])> = names.iter().map(|n| (n.as_str(), shape(n))).collect();
        all.extend(more);
        checkpoint(&path, &all, 1.0);
    };
    let run = |lines: &str| network(&path, &format!("kind = \"mlp\"\n{lines}"), &[4]);
    let norm = |place: &'static str| -> [(&'static str, &'static [usize]); 2] {
        match place {
            "1" => [("1.weight", &[4]), ("1.bias", &[4])],
            _ => [("2.weight", &[4]), ("2.bias", &[4])],
        }
    };
    file(&[0, 3], &norm("1"));
    assert_eq!(run("").unwrap().parameters(), 2 * 20 + 8);
    // A GroupNorm has the same tensors: the user is told, until the job says what it is.
    assert!(run("").unwrap().warnings()[0].starts_with("1 of one axis with a bias: read as LayerNorm. A GroupNorm"));
    assert!(run("modules = { \"1\" = \"layernorm\" }").unwrap().warnings().is_empty());
    file(&[0, 4], &norm("2"));
    let said = line(run(""));
    assert!(
        said.contains("does not tell which of 1, 3 is the activation") && said.contains("{ \"1\" = \"dropout\" }"),
        "{said}"
    );
    assert!(run("modules = { \"1\" = \"dropout\" }").is_ok() && run("modules = { \"3\" = \"relu\" }").is_ok());
    file(&[0, 2], &norm("1"));
    assert!(line(run("")).contains("has no place for an activation between 0 and 2"));
    file(&[0, 1, 3], &[]);
    assert!(line(run("")).contains("has linear layers 0 and 1 without a place for an activation between them"));
    file(&[0, 2], &[("1.weight", &[4])]);
    assert!(line(run("")).contains("1.weight [4] without a bias is a PReLU, an RMSNorm or a LayerNorm"));
    assert_eq!(run("modules = { \"1\" = \"prelu\" }").unwrap().parameters(), 44);
    // A convolution in the middle, or an embedding before, is no net of rows.
    file(&[0, 2], &[("1.weight", &[4, 4, 3])]);
    assert!(line(run("")).contains("1.weight [4, 4, 3] is no linear layer and no norm of rows"));
    file(&[0, 2], &[]);
    assert!(line(run("modules = { \"0\" = \"relu\" }")).contains("its linear layers are known"));
    // All next to each other: a list of layers.
    file(&[0, 1, 2], &[]);
    assert_eq!(run("").unwrap().state_shape(), (3, 4));
}
