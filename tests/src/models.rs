//! Small models of five kinds, of any number of trajectories: what a loop over everything runs on.

use crate::{golden, reference};
use safetensors::tensor::{Dtype, TensorView};
use std::path::Path;

/// The kinds.
pub const FIVE: [&str; 5] = ["gru", "two_layers", "mlp", "transformer", "conv"];

/// Numbers between −a and a that repeat nowhere soon, the same ones always.
pub fn numbers(count: usize, a: f64) -> impl Iterator<Item = f64> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ count as u64;
    (0..count).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        a * ((state >> 33) as f64 / f64::from(1u32 << 30) - 1.0)
    })
}

/// Writes a dataset of numbers.
pub fn dataset(path: &Path, name: &str, shape: &[usize], a: f64) {
    let numbers: Vec<f64> = numbers(shape.iter().product(), a).collect();
    let file = crate::create(path);
    file.new_dataset::<f64>().shape(shape).create(name).unwrap().write_raw(&numbers).unwrap();
}

/// Writes a checkpoint of tensors by name and shape.
fn checkpoint(path: &Path, tensors: &[(String, Vec<usize>)], a: f64) {
    let bytes =
        |shape: &[usize]| -> Vec<u8> { numbers(shape.iter().product(), a).flat_map(|x| x.to_le_bytes()).collect() };
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, shape)| bytes(shape)).collect();
    let views = tensors
        .iter()
        .zip(&data)
        .map(|((name, shape), data)| (name.clone(), TensorView::new(Dtype::F64, shape.clone(), data).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn gru(layers: usize, inputs: usize, units: usize) -> Vec<(String, Vec<usize>)> {
    let layer = |l: usize| {
        let reads = if l == 0 { inputs } else { units };
        [
            (format!("weight_ih_l{l}"), vec![3 * units, reads]),
            (format!("weight_hh_l{l}"), vec![3 * units, units]),
            (format!("bias_ih_l{l}"), vec![3 * units]),
            (format!("bias_hh_l{l}"), vec![3 * units]),
        ]
    };
    (0..layers).flat_map(layer).collect()
}

fn mlp(widths: &[usize]) -> Vec<(String, Vec<usize>)> {
    let layer = |(l, w): (usize, &[usize])| {
        [(format!("layers.{l}.weight"), vec![w[1], w[0]]), (format!("layers.{l}.bias"), vec![w[1]])]
    };
    widths.windows(2).enumerate().flat_map(layer).collect()
}

/// Writes one of [`FIVE`], inputs and another checkpoint of it (`other`) into a directory, and returns its `[model]` and `[data]`. A `small` one has a few
/// hundred numbers a vector.
pub fn model(kind: &str, small: bool, directory: &Path) -> String {
    let at = |name: &str| directory.join(name);
    let (weights, other, inputs) = (at("weights.safetensors"), at("other.safetensors"), at("inputs.h5"));
    let (lines, shape) = match kind {
        "gru" | "two_layers" => {
            // The large one has more than 4096 weights: neither side is formed.
            let (layers, width) = if kind == "gru" { (1, 40) } else { (2, 24) };
            let tensors = gru(layers, 4, if small { 6 } else { width });
            checkpoint(&weights, &tensors, 0.4);
            checkpoint(&other, &tensors, 0.3);
            (String::from("kind = \"gru\"\n"), if small { [3, 12, 4] } else { [32, 10, 4] }.to_vec())
        }
        "mlp" => {
            let tensors = mlp(if small { &[8, 10, 10, 10] } else { &[8, 48, 48, 48] });
            checkpoint(&weights, &tensors, 0.4);
            checkpoint(&other, &tensors, 0.3);
            ("kind = \"mlp\"\nactivation = \"tanh\"\n".into(), vec![if small { 8 } else { 80 }, 1, 8])
        }
        "transformer" => {
            std::fs::copy(golden("transformer.safetensors"), &weights).unwrap();
            std::fs::copy(golden("transformer.other.safetensors"), &other).unwrap();
            let shape = if small { [2, 4, 8] } else { [16, 20, 8] };
            ("kind = \"transformer\"\nheads = 2\n".into(), shape.to_vec())
        }
        "conv" => {
            // Alignment is with the graph itself.
            [&weights, &other].iter().for_each(|to| assert!(std::fs::copy(reference("onnx/cnn.onnx"), to).is_ok()));
            let lines = "kind = \"onnx\"\nstate = [\"conv2d\"]\n";
            (lines.into(), vec![if small { 2 } else { 40 }, 2, 8, 8])
        }
        other => panic!("no kind {other}"),
    };
    dataset(&inputs, "x", &shape, 1.0);
    format!("[model]\n{lines}weights = {weights:?}\n[data]\ninputs = \"{}:/x\"\n", inputs.display())
}
