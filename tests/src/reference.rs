//! Reference values of every kind, made by torch.func: `tests/reference/make_kinds.py`.

use crate::Job;
use hdf5::types::VarLenUnicode;
use std::path::PathBuf;

/// The cases of `make_kinds.py`.
pub const KINDS: [&str; 24] = [
    "rnn_stacked",
    "gru_stacked",
    "lstm_stacked",
    "gru_bidirectional",
    "lstm_stacked_bidirectional",
    "leaky_rnn_stacked",
    "rnn_lengths",
    "leaky_rnn_lengths",
    "gru_lengths",
    "gru_stacked_lengths",
    "lstm_lengths",
    "gru_bidirectional_lengths",
    "lstm_stacked_bidirectional_lengths",
    "mlp_widths",
    "mlp_layer_norm",
    "mlp_batch_norm",
    "mlp_prelu",
    "conv_net",
    "neural_ode_euler",
    "neural_ode_midpoint",
    "neural_ode_rk4",
    "gpt2_small",
    "bert_small",
    "roberta_small",
];

/// The cases of `make_onnx.py` and `make_control.py` with values of torch.
pub const GRAPHS: [&str; 8] = ["mlp", "cnn", "gru", "lstm", "transformer", "tokens", "scan", "loop"];

/// A file of `tests/reference`.
pub fn reference(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("reference").join(name)
}

/// A value of the options as TOML.
fn toml(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Array(list) => format!("[{}]", list.iter().map(toml).collect::<Vec<_>>().join(", ")),
        serde_json::Value::Object(table) => {
            let pairs: Vec<String> = table.iter().map(|(k, v)| format!("{k} = {}", toml(v))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

/// A job for one of [`KINDS`], without analyses.
pub fn kind_job(name: &str) -> Job {
    let path = reference(&format!("data/{name}.h5"));
    let file = crate::open(&path);
    let text = |name: &str| file.attr(name).unwrap().read_scalar::<VarLenUnicode>().unwrap().to_string();
    let weights = reference(&format!("data/{name}.safetensors"));
    let mut lines = format!("[model]\nkind = \"{}\"\nweights = \"{}\"\n", text("kind"), weights.display());
    let options: serde_json::Value = serde_json::from_str(&text("options")).unwrap();
    for (key, value) in options.as_object().unwrap() {
        lines += &format!("{key} = {}\n", toml(value));
    }
    lines += "[data]\n";
    for dataset in ["inputs", "initial_state", "mask", "lengths"] {
        if file.link_exists(dataset) {
            lines += &format!("{dataset} = \"{}:/{dataset}\"\n", path.display());
        }
    }
    Job::new(lines)
}

/// A job for an ONNX graph of `make_onnx.py`; `model` are further lines of `[model]`.
pub fn graph_job(name: &str, model: &str, precision: &str) -> Job {
    let (graph, inputs) = (reference(&format!("onnx/{name}.onnx")), reference(&format!("onnx/{name}.h5")));
    Job::new(format!(
        "[model]\nkind = \"onnx\"\nweights = \"{}\"\n{model}\n[data]\ninputs = \"{}:/inputs\"\n[compute]\nprecision = \"{precision}\"\n",
        graph.display(),
        inputs.display()
    ))
}
