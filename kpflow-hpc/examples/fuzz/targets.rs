//! What reads a damaged file.

use kpflow_core::machine::Portable;
use kpflow_core::model::Linearization;
use kpflow_hpc::error::Result;
use kpflow_hpc::info;
use kpflow_hpc::job::{self, Job, ModelSpec};
use kpflow_hpc::kinds::{self, Source};
use kpflow_hpc::load::{Array, Checkpoint};
use kpflow_hpc::network::FromFiles;
use kpflow_hpc::onnx;
use kpflow_hpc::results::read::Results;
use std::path::Path;

/// The shapes of a graph's inputs without their first axis, as far as they are written down.
fn shapes(path: &Path) -> Vec<Vec<usize>> {
    let inputs = onnx::inputs(path).unwrap_or_default();
    inputs.iter().map(|(_, shape)| shape.iter().skip(1).map(|d| d.unwrap_or(3).clamp(1, 64)).collect()).collect()
}

/// Runs what was read, if it is small enough to be run many times a second.
fn run(network: Result<FromFiles<f32>>, refused: &mut usize) {
    let network = match network {
        Ok(network) => network,
        Err(e) => return one_line(Err(e), refused),
    };
    let Ok(graph) = network.graph(network.weights()) else { return };
    let graph = graph.view();
    let len = Linearization::arena_len(&graph, 1);
    if len.max(Linearization::scratch_len(&graph, 1, 1, &Portable)) > 1 << 20 {
        return;
    }
    let inputs: Vec<Vec<f32>> = network.slots().iter().map(|(p, w)| vec![1.0; p * w]).collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let (mut arena, mut scratch) = (vec![0.0; len], vec![0.0; Linearization::scratch_len(&graph, 1, 1, &Portable)]);
    let _ = Linearization::new(&graph, &inputs, None, 1, 1, &mut arena, &mut scratch, &Portable);
}

fn spec(kind: &str) -> ModelSpec {
    let more = match kind {
        "leaky_rnn" => "dt = 0.1",
        "neural_ode" => "dt = 0.1\nsolver = 'rk4'",
        "transformer" | "gpt2" | "bert" => "heads = 3",
        "conv" => "layers = [{ type = 'conv', name = '0', padding = 1 }, { type = 'relu' }, { type = 'maxpool', size = 2 }, { type = 'conv', name = '3', stride = 2, padding = 1, groups = 2 }, { type = 'batchnorm', name = '4' }, { type = 'flatten' }]",
        _ => "",
    };
    let text = format!("[model]\nkind = '{kind}'\nweights = 'w'\n{more}\n[data]\ninputs = 'x.npy'\n[[analysis]]\nname = 'a'\nquantity = 'trace'");
    Job::parse(Path::new("job.toml"), text).expect("a job").model
}

/// Reads a checkpoint as every kind.
fn every_kind(path: &Path, refused: &mut usize) {
    let shapes: [(&str, &[usize]); 10] = [
        ("rnn", &[5, 2]),
        ("leaky_rnn", &[6, 3]),
        ("gru", &[6, 3]),
        ("lstm", &[5, 4]),
        ("mlp", &[4]),
        ("conv", &[2, 9, 8]),
        ("neural_ode", &[5, 2]),
        ("transformer", &[5, 8]),
        ("gpt2", &[5]),
        ("bert", &[6]),
    ];
    for (kind, shape) in shapes {
        let spec = spec(kind);
        let network = Checkpoint::open(path, "").and_then(|checkpoint| {
            let (input, input_file) = (Some(shape), Path::new("x.npy"));
            kinds::build(&Source {
                spec: &spec,
                checkpoint: &checkpoint,
                input,
                input_file,
                tokens: kinds::Tokens::Named(&[0, 1, 3]),
                masked: false,
            })
        });
        run(network, refused);
    }
}

/// Reads a file as what it is; counts what is refused.
pub fn read(kind: &str, path: &Path, refused: &mut usize) {
    match kind {
        "onnx" => {
            let shapes = shapes(path);
            let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
            let mut network = onnx::build::<f32>(path, &vec![None; shapes.len()], &shapes, &[]);
            if let Ok(network) = &mut network {
                let _ = kinds::choose(network, &spec("onnx"));
            }
            run(network, refused);
        }
        "safetensors" => every_kind(path, refused),
        "job" => one_line(Job::read(path).map(drop), refused),
        "npy" => one_line(array(path), refused),
        _ => {
            let tensors = kpflow_hpc::analysis::tensors();
            let every = |r: Results| {
                let all = r.analyses.iter().flat_map(|a| tensors.iter().map(|t| (a.name.clone(), t.name)));
                all.for_each(|(a, t)| one_line(r.tensor(&a, t).map(drop), &mut 0));
            };
            one_line(Results::open(path).map(every), refused);
            one_line(array(path), &mut 0);
        }
    }
    // A job and what is of another kind are told so.
    one_line(info::of(path).map(drop), &mut 0);
}

fn array(path: &Path) -> Result<()> {
    let array = Array::open(&job::Source { path: path.into(), dataset: None })?;
    match array.shape().first() {
        Some(&rows) if array.shape().iter().product::<usize>() < 1 << 20 => array.read_rows::<f32>(0..rows).map(drop),
        _ => Ok(()),
    }
}

fn one_line(read: Result<()>, refused: &mut usize) {
    if let Err(e) = read {
        assert!(!e.to_string().contains('\n'), "not one line: {e}");
        *refused += 1;
    }
}
