//! Who reads an initialiser, and what its name tells.

use rten_onnx::onnx::{GraphProto, NodeProto};
use std::collections::{HashMap, HashSet};

/// What ATen's operations are called, whose results torch's exporter names after them.
const OPERATIONS: [&str; 58] = [
    "linear",
    "matmul",
    "mm",
    "bmm",
    "addmm",
    "mul",
    "add",
    "sub",
    "div",
    "pow",
    "neg",
    "exp",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "transpose",
    "permute",
    "t",
    "view",
    "reshape",
    "unsqueeze",
    "squeeze",
    "expand",
    "cat",
    "stack",
    "slice",
    "select",
    "getitem",
    "clone",
    "copy",
    "to",
    "_to_copy",
    "type_as",
    "lift_fresh_copy",
    "detach",
    "conv1d",
    "conv2d",
    "convolution",
    "embedding",
    "full",
    "zeros",
    "ones",
    "new_zeros",
    "new_ones",
    "zeros_like",
    "ones_like",
    "scalar_tensor_default",
    "arange",
    "tanh",
    "sigmoid",
    "relu",
    "softmax",
    "layer_norm",
    "mean",
    "sum",
    "where",
    "flatten",
    "repeat",
];

/// What nodes only move about: a tensor that goes through them is read by what reads them.
const MOVES: [&str; 11] =
    ["Identity", "Expand", "Reshape", "Slice", "Transpose", "Concat", "Unsqueeze", "Squeeze", "Tile", "Cast", "Gather"];

fn numbered(name: &str, stem: &str) -> bool {
    let rest = name.strip_prefix(stem);
    rest.is_some_and(|r| !r.is_empty() && r.chars().all(|c| c.is_ascii_digit()))
}

/// Whether an exporter made the name up: `val_7`, `onnx::MatMul_12`, `/l/Transpose_output_0`, `42`.
pub fn anonymous(name: &str) -> bool {
    let made = ["val_", "_val_", "_v_", "const_", "constant_", ""].iter().any(|stem| numbered(name, stem));
    made || name.starts_with("onnx::") || name.starts_with('/') || name.ends_with("_output_0") || name.is_empty()
}

/// Whether it is called as the result of an operation is: `linear_1`, `permute`.
pub fn is_operators(name: &str) -> bool {
    let stem = name.rsplit_once('_').filter(|(_, n)| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()));
    OPERATIONS.contains(&stem.map_or(name, |(stem, _)| stem)) || OPERATIONS.contains(&name)
}

/// Whether it is called as a parameter of a module is: `fc.weight`, `rnn.bias_hh_l0`, `weight`.
pub fn is_modules(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    !anonymous(name)
        && (last.starts_with("weight")
            || last.starts_with("bias")
            || last.ends_with("_weight")
            || last.ends_with("_bias"))
}

/// Which nodes read what of a graph.
pub struct Readers<'a> {
    /// (operator, number of the input, first output) of all readers.
    of: HashMap<&'a str, Vec<(&'a str, usize, &'a str)>>,
}

impl<'a> Readers<'a> {
    /// The readers in a graph and the graphs inside it.
    pub fn of(graph: &'a GraphProto) -> Self {
        let mut readers = Self { of: HashMap::new() };
        readers.add(&graph.node);
        readers
    }

    fn add(&mut self, nodes: &'a [NodeProto]) {
        for n in nodes {
            let (kind, output) =
                (n.op_type.as_deref().unwrap_or_default(), n.output.first().map_or("", String::as_str));
            for (i, name) in n.input.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                self.of.entry(name).or_default().push((kind, i, output));
            }
            n.attribute.iter().filter_map(|a| a.g.as_ref()).for_each(|g| self.add(&g.node));
        }
    }

    /// Those behind nodes that only move numbers.
    fn ends(&self, name: &str) -> Vec<(&'a str, usize, &'a str)> {
        let (mut found, mut next, mut seen) = (Vec::new(), vec![name.to_string()], HashSet::new());
        while let Some(name) = next.pop() {
            for &(kind, i, output) in self.of.get(name.as_str()).into_iter().flatten() {
                let moved = MOVES.contains(&kind) && (i == 0 || kind == "Concat") && !output.is_empty();
                if !moved {
                    found.push((kind, i, output));
                } else if seen.insert(output) {
                    next.push(output.into());
                }
            }
        }
        found
    }

    /// How many nodes read it.
    pub fn count(&self, name: &str) -> usize {
        self.of.get(name).map_or(0, Vec::len)
    }

    /// Whether a node has it where operators have their weights.
    pub fn as_weight(&self, name: &str) -> bool {
        let weight = |&(kind, i, _): &(&str, usize, &str)| match kind {
            "MatMul" => true,
            "Gemm"
            | "Conv"
            | "ConvTranspose"
            | "LayerNormalization"
            | "BatchNormalization"
            | "RMSNormalization"
            | "InstanceNormalization"
            | "GroupNormalization"
            | "SimplifiedLayerNormalization"
            | "PRelu" => i > 0,
            "GRU" | "LSTM" | "RNN" => (1..=3).contains(&i),
            _ => false,
        };
        self.ends(name).iter().any(weight)
    }

    /// Whether a convolution reads it.
    pub fn of_convolution(&self, name: &str) -> bool {
        self.ends(name).iter().any(|(kind, ..)| matches!(*kind, "Conv" | "ConvTranspose"))
    }

    /// Whether it is nothing but the state that recurrent nodes begin from.
    pub fn as_initial_state(&self, name: &str) -> bool {
        let ends = self.ends(name);
        let state = |&(kind, i, _): &(&str, usize, &str)| matches!(kind, "GRU" | "LSTM" | "RNN") && matches!(i, 5 | 6);
        !ends.is_empty() && ends.iter().all(state)
    }
}

#[cfg(test)]
mod tests {
    use super::{anonymous, is_modules, is_operators};

    #[test]
    fn names_tell() {
        for name in ["val_7", "_val_12", "onnx::MatMul_31", "42", "/l/Transpose_output_0"] {
            assert!(anonymous(name) && !is_modules(name), "{name}");
        }
        for name in ["fc.weight", "rnn.bias_hh_l0", "weight", "m.in_proj_bias", "layers.0.attn.in_proj_weight"] {
            assert!(!anonymous(name) && is_modules(name) && !is_operators(name), "{name}");
        }
        for name in ["linear_1", "permute", "_to_copy_3", "new_zeros"] {
            assert!(!anonymous(name) && is_operators(name) && !is_modules(name), "{name}");
        }
        for name in ["W", "h0", "value_1", "linear_1_extra"] {
            assert!(!anonymous(name) && !is_operators(name) && !is_modules(name), "{name}");
        }
    }
}
