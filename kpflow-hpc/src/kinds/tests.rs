#[path = "tests_whole.rs"]
mod whole;

use super::{build, Source, Tokens};
use crate::error::Result;
use crate::job::{Job, ModelSpec};
use crate::load::Checkpoint;
use crate::network::FromFiles;
use safetensors::tensor::TensorView;
use safetensors::Dtype;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

/// `[model]` with these lines.
fn spec(lines: &str) -> ModelSpec {
    let text = format!("[model]\nweights = \"w\"\n{lines}\n[data]\ninputs = \"x.npy\"\n[[analysis]]\nname = \"a\"\nquantity = \"trace\"");
    Job::parse(Path::new("job.toml"), text).unwrap().model
}

fn network(path: &Path, lines: &str, input: &[usize]) -> Result<FromFiles<f64>> {
    let spec = spec(lines);
    let checkpoint = Checkpoint::open(path, &spec.prefix)?;
    let source = Source {
        spec: &spec,
        checkpoint: &checkpoint,
        input: Some(input),
        input_file: Path::new("x"),
        tokens: Tokens::Named(&[0, 2]),
        masked: false,
    };
    build(&source)
}

/// The one line that `result` failed with, for the user.
fn line<T>(result: Result<T>) -> String {
    let e = result.err().expect("an error");
    assert_eq!(e.exit_code(), 2);
    let line = e.to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

/// Writes zeros of these names and shapes, but for `bad` as their last number.
fn checkpoint(path: &Path, tensors: &[(&str, &[usize])], bad: f32) {
    let data: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, shape)| {
            let mut numbers = vec![0.0f32; shape.iter().product()];
            *numbers.last_mut().unwrap() = bad;
            numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
        })
        .collect();
    let views = tensors
        .iter()
        .zip(&data)
        .map(|((name, shape), d)| (*name, TensorView::new(Dtype::F32, shape.to_vec(), d).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
}

#[test]
fn golden_nets_have_their_sizes() {
    for (name, lines, input, state, parameters) in [
        ("rnn_relu_h0", "kind = \"rnn\"\nactivation = \"relu\"", [5, 2], (5, 6), 60),
        ("leaky_rnn", "kind = \"leaky_rnn\"\ndt = 0.3", [6, 3], (6, 5), 40),
        ("gru", "kind = \"gru\"", [6, 3], (6, 5), 150),
        ("lstm", "kind = \"lstm\"", [6, 3], (6, 8), 144),
        ("memory_pro.step300", "kind = \"gru\"\nprefix = \"rnn.\"", [9, 3], (9, 64), 13248),
        ("mlp_tanh", "kind = \"mlp\"", [1, 5], (4, 6), 162),
        ("transformer", "kind = \"transformer\"\nheads = 2", [5, 8], (5, 32), 1744),
    ] {
        let network = network(&golden(&format!("{name}.safetensors")), lines, &input).unwrap();
        assert_eq!((network.state_shape(), network.parameters()), (state, parameters), "{name}");
    }
}

#[test]
fn state_and_parameters_are_chosen_by_name() {
    let gru = |lines: &str| network(&golden("gru.safetensors"), &format!("kind = \"gru\"\n{lines}"), &[6, 3]);
    assert_eq!(gru("state = [\"!weight_*\"]").unwrap().watched()[0].name, "h");
    assert_eq!(gru("state = \"sites\"").unwrap().state_shape(), (6, 30));
    assert_eq!(gru("parameters = [\"*.weight_hh*\"]").unwrap().parameters(), 75);
    assert_eq!(gru("parameters = [\"!*.bias*\"]").unwrap().parameters(), 120);
    let mlp = |lines: &str| network(&golden("mlp_tanh.safetensors"), &format!("kind = \"mlp\"\n{lines}"), &[1, 5]);
    // What comes after the state is none of θ.
    let first = mlp("state = [\"a_0\"]").unwrap();
    assert_eq!((first.state_shape(), first.parameters()), ((1, 6), 36));
    assert_eq!(mlp("readout = \"a_3\"").unwrap().state_shape(), (1, 6));
    assert_eq!(mlp("readout = \"a_3\"").unwrap().parameters(), 162);
    assert_eq!(mlp("readout = \"layers.3\"").unwrap().watched()[0].name, "layers.3");
    let both = "prefix = \"rnn.\"\nkind = \"gru\"\nreadout = ";
    let memory = |name: &str| network(&golden("memory_pro.init.safetensors"), &format!("{both}\"{name}\""), &[9, 3]);
    let fc = memory("readout").unwrap();
    assert_eq!(fc.state_shape(), (9, 3));
    for (found, right) in [
        (gru("parameters = [\"x*\"]"), "which matches none of weight_ih_l0, bias_ih_l0, weight_hh_l0, bias_hh_l0"),
        (
            gru("state = [\"z\"]"),
            "state names \"z\", which the model does not have; it has h, weight_ih_l0, weight_hh_l0",
        ),
        (mlp("state = [\"a_0\"]\nparameters = [\"layers.3*\"]"), "depends on none of the parameters chosen"),
        (gru("state = [\"h\", \"!z\"]"), "state names \"!z\", which the model does not have; it has h,"),
        (mlp("readout = \"fc\""), "readout = \"fc\" is neither a variable of the model nor a layer fc.weight"),
    ] {
        let found = line(found);
        assert!(found.contains(right), "{found}\nlacks {right}");
    }
}

#[test]
fn wrong_layers_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let load = |tensors: &[(&str, &[usize])], bad| {
        checkpoint(&path, tensors, bad);
        network(&path, "kind = \"gru\"", &[6, 2])
    };
    type Named<'a> = (&'a str, &'a [usize]);
    let (ih, hh): (Named<'_>, Named<'_>) = (("weight_ih", &[12, 2]), ("weight_hh", &[12, 4]));
    // A readout may be called what it likes, but it has to be named.
    let readout = [ih, hh, ("fc_l1.weight", &[3, 4][..])];
    assert!(line(load(&readout, 1.0)).contains("does not read: fc_l1.weight;"));
    assert!(network(&path, "kind = \"gru\"\nreadout = \"fc_l1\"", &[6, 2]).is_ok());
    for (tensors, right) in [
        (vec![ih], "has no tensor weight_hh_l0 or weight_hh; it has weight_ih"),
        (vec![hh], "has no tensor weight_ih_l0 or weight_ih; it has weight_hh"),
        (vec![ih, ("weight_hh", &[16, 4])], "tensor weight_hh has shape [16, 4]; kind = \"gru\" has [3·H, H]"),
        (vec![hh, ("weight_ih", &[11, 2])], "tensor weight_ih has shape [11, 2]; it should be [12, 2]"),
        (vec![hh, ("weight_ih", &[24])], "tensor weight_ih has shape [24]; it should be [12, 0]"),
        (vec![ih, hh, ("bias_ih", &[4])], "tensor bias_ih has shape [4]; it should be [12]"),
        (
            vec![("weight_ih_l0", &[12, 2]), ("weight_hh_l0", &[12, 4]), ("weight_hh_l1", &[12, 4])],
            "has no tensor weight_ih_l1",
        ),
        (
            vec![("weight_ih_l0", &[12, 2]), ("weight_hh_l0", &[12, 4]), ("weight_hr_l0", &[2, 4])],
            "projected LSTM layers",
        ),
        (vec![("weight_ih", &[12, 3]), hh], "x: has inputs of shape [B, 6, 2]; this model reads [B, T, 3]"),
    ] {
        let found = line(load(&tensors, 1.0));
        assert!(found.contains(right), "{found}\nlacks {right}");
    }
    let found = line(load(&[ih, hh], f32::NAN));
    assert!(found.contains("tensor weight_ih is NaN at index [11, 1]"), "{found}");
}

/// A matrix that no number places is not taken for a last layer; as a readout it comes after the net.
#[test]
fn an_mlp_is_its_numbered_layers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let load = |tensors: &[(&str, &[usize])], lines: &str| {
        checkpoint(&path, tensors, 1.0);
        network(&path, &format!("kind = \"mlp\"\n{lines}"), &[2])
    };
    let net: [(&str, &[usize]); 3] = [("0.weight", &[3, 2]), ("2.weight", &[3, 3]), ("head.weight", &[3, 3])];
    let found = line(load(&net, ""));
    assert!(found.contains("has layers 2.weight and head.weight; their numbers do not say which"), "{found}");
    assert_eq!(load(&net, "readout = \"head\"").unwrap().parameters(), 6 + 9 + 9);
    assert_eq!(load(&net[..2], "").unwrap().state_shape(), (2, 3));
    assert_eq!(load(&[("fc.weight", &[3, 2])], "").unwrap().state_shape(), (1, 3));
    let found = line(load(&[("0.weight", &[3, 2]), ("2.weight", &[3, 4])], ""));
    assert!(found.contains("tensor 2.weight has shape [3, 4]; it should be [3, 3]"), "{found}");
}

/// What lacks a tensor of a layer is not run as a model of fewer layers or directions.
#[test]
fn layers_beyond_a_gap_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let refused = |tensors: &[(&str, &[usize])], lines: &str, input: &[usize], right: &str| {
        checkpoint(&path, tensors, 1.0);
        let found = line(network(&path, lines, input));
        assert!(found.contains(right), "{found}\nlacks {right}");
    };
    let stacked: Vec<(String, [usize; 2])> = (0..3)
        .flat_map(|l| ["", "_reverse"].map(|d| format!("_l{l}{d}")))
        .flat_map(|s| {
            [(format!("weight_ih{s}"), [12, if s.contains("l0") { 2 } else { 8 }]), (format!("weight_hh{s}"), [12, 4])]
        })
        .collect();
    let all: Vec<(&str, &[usize])> = stacked.iter().map(|(n, s)| (n.as_str(), &s[..])).collect();
    checkpoint(&path, &all, 1.0);
    assert_eq!(network(&path, "kind = \"gru\"", &[6, 2]).unwrap().state_shape(), (6, 24));
    for missing in
        ["weight_hh_l0", "weight_hh_l1", "weight_ih_l1", "weight_hh_l2", "weight_hh_l0_reverse", "weight_hh_l2_reverse"]
    {
        let rest: Vec<_> = all.iter().copied().filter(|(n, _)| *n != missing).collect();
        refused(&rest, "kind = \"gru\"", &[6, 2], &format!("has no tensor {missing}"));
    }
    // The golden net, its second block without the tensor by which blocks are counted.
    let bytes = std::fs::read(golden("transformer.safetensors")).unwrap();
    let golden = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let rest = golden.tensors().into_iter().filter(|(n, _)| n != "blocks.1.ln_1.weight");
    safetensors::serialize_to_file(rest, None, &path).unwrap();
    let found = line(network(&path, "kind = \"transformer\"\nheads = 2", &[5, 8]));
    assert!(found.contains("has no tensor blocks.1.ln_1.weight, but blocks.1."), "{found}");
}

/// A config.json beside the weights is believed: what it says and the kind does otherwise is refused.
#[test]
fn what_config_json_says_is_compared() {
    let dir = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/data");
    for (kind, right, wrong) in [
        ("gpt2", r#"{"n_layer": 2, "activation_function": "gelu_new", "n_head": 3}"#, r#"{"n_layer": 3}"#),
        ("gpt2", r#"{"scale_attn_weights": true, "n_head": 2}"#, r#"{"activation_function": "relu"}"#),
        (
            "bert",
            r#"{"num_hidden_layers": 2, "hidden_act": "gelu", "num_attention_heads": 4}"#,
            r#"{"hidden_act": "relu"}"#,
        ),
        ("bert", r#"{"position_embedding_type": "absolute", "num_attention_heads": 1}"#, r#"{"num_hidden_layers": 1}"#),
    ] {
        let path = dir.path().join("model.safetensors");
        std::fs::copy(data.join(format!("{kind}_small.safetensors")), &path).unwrap();
        let with = |config: &str| {
            std::fs::write(dir.path().join("config.json"), config).unwrap();
            network(&path, &format!("kind = \"{kind}\""), &[3])
        };
        assert_eq!(with(right).unwrap().state_shape(), (3, 60));
        let key = wrong.split('"').nth(1).unwrap();
        let found = line(with(wrong));
        assert!(found.contains(&format!("config.json says: {key} = ")), "{found}");
    }
}

/// A head of its own is found outside of the prefix, where Hugging Face's files have it; without one the head is the embedding.
#[test]
fn the_head_of_gpt2() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let block = [
        ("t.wte.weight", vec![5, 4]),
        ("t.wpe.weight", vec![3, 4]),
        ("t.h.0.ln_1.weight", vec![4]),
        ("t.h.0.ln_2.weight", vec![4]),
        ("t.h.0.attn.c_attn.weight", vec![4, 12]),
        ("t.h.0.attn.c_proj.weight", vec![4, 4]),
        ("t.h.0.mlp.c_fc.weight", vec![4, 8]),
        ("t.h.0.mlp.c_proj.weight", vec![8, 4]),
    ];
    for head in [false, true] {
        let mut tensors: Vec<(&str, &[usize])> = block.iter().map(|(n, s)| (*n, &s[..])).collect();
        if head {
            tensors.push(("lm_head.weight", &[5, 4]));
        }
        checkpoint(&path, &tensors, 1.0);
        let lines = "kind = \"gpt2\"\nprefix = \"t.\"\nheads = 2\nreadout = \"logits\"";
        let network = network(&path, lines, &[3]).unwrap();
        let weights: usize = block.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert_eq!(network.parameters(), weights + if head { 20 } else { 0 });
        assert_eq!(network.weights().iter().any(|w| w.name == "lm_head.weight" && w.train_matrix), head);
        assert_eq!(network.state_shape(), (3, 5));
    }
}
