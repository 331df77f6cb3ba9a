//! Whether a kind reads a checkpoint whole: the kind itself is asked, on the sizes alone.

use super::guess::Guess;
use crate::job::{Job, Kind};
use crate::kinds;
use crate::load::Checkpoint;
use std::path::Path;

/// Has a kind read a checkpoint: the parameters of the model that would run, where the file alone tells it.
///
/// **Errors**: why it does not run.
pub fn parameters(checkpoint: &Checkpoint, kind: &str, guess: &Guess) -> Result<Option<usize>, String> {
    // Which layers a conv net has is said by the job alone.
    if kind == "conv" {
        return Ok(None);
    }
    // What the job has to say and changes no tensor.
    let lines = match kind {
        "transformer" | "gpt2" | "bert" => "heads = 1\neps = 1e-5",
        "leaky_rnn" => "dt = 1.0",
        "neural_ode" => "dt = 1.0\nsteps = 1",
        _ => "",
    };
    let text = format!(
        "[model]\nkind = \"{kind}\"\nweights = \"w\"\n{lines}\n[data]\ninputs = \"x.npy\"\n[[analysis]]\nname = \"a\"\nquantity = \"trace\""
    );
    let mut job = Job::parse(Path::new("job.toml"), text).map_err(|e| e.message)?;
    job.model.prefix.clone_from(&guess.prefix);
    let built = Checkpoint::open(checkpoint.path(), &guess.prefix).and_then(|behind| {
        let behind = behind.outline();
        let input = input(checkpoint, job.model.kind, guess);
        let source = kinds::Source {
            spec: &job.model,
            checkpoint: &behind,
            input: input.as_deref(),
            input_file: checkpoint.path(),
            tokens: kinds::Tokens::Named(&[0]),
            masked: false,
        };
        kinds::build::<f32>(&source)
    });
    built.map(|network| Some(network.parameters())).map_err(|e| e.message)
}

/// The input of one trajectory: a vector field's has no state in it.
fn input(checkpoint: &Checkpoint, kind: Kind, guess: &Guess) -> Option<Vec<usize>> {
    let input = guess.input.clone();
    if kind != Kind::NeuralOde {
        return input;
    }
    let weights = guess.tensors.iter().filter(|n| n.ends_with(".weight")).filter_map(|n| checkpoint.shape(n));
    let units = weights.map(|s| s[0]).next_back()?;
    let driven = input?.last()?.checked_sub(units)?;
    (driven > 0).then(|| vec![1, driven])
}

#[cfg(test)]
mod tests {
    use crate::info;
    use std::path::Path;

    /// Recommends what reads the file whole, and nothing else: with one tensor more no kind is left.
    #[test]
    fn no_kind_that_leaves_a_tensor_unread() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests");
        let dir = tempfile::tempdir().unwrap();
        for (file, kind) in [
            ("golden/gru.safetensors", "gru"),
            ("golden/lstm.safetensors", "lstm"),
            ("golden/rnn_tanh.safetensors", "rnn"),
            ("golden/mlp_tanh.safetensors", "mlp"),
            ("golden/transformer.safetensors", "transformer"),
            ("reference/data/mlp_layer_norm.safetensors", "mlp"),
            ("reference/data/neural_ode_euler.safetensors", "neural_ode"),
            ("reference/data/conv_net.safetensors", "conv"),
            ("reference/data/gpt2_small.safetensors", "gpt2"),
            ("reference/data/bert_small.safetensors", "bert"),
            ("reference/checkpoints/nested.pt", "gru"),
        ] {
            let path = root.join(file);
            let told = info::of(&path).unwrap();
            let kinds = told.json["guesses"].to_string();
            assert!(kinds.contains(&format!("\"{kind}\"")), "{file}: {}", told.text);
            let Ok(bytes) = std::fs::read(&path).and_then(|b| {
                if file.ends_with("pt") {
                    Err(std::io::ErrorKind::Other.into())
                } else {
                    Ok(b)
                }
            }) else {
                continue;
            };
            let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let more = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![3], &[0; 12]).unwrap();
            let all = tensors.tensors().into_iter().chain([("more.scale".to_string(), more)]);
            let changed = dir.path().join("w.safetensors");
            safetensors::serialize_to_file(all, None, &changed).unwrap();
            let told = info::of(&changed).unwrap();
            assert_eq!(told.json["guesses"].as_array().unwrap().len(), 0, "{file}: {}", told.text);
        }
    }
}
