//! Feeds damaged files to the readers: `fuzz (onnx|safetensors) SECONDS SEED DIRECTORY…`, with valid files of that kind in the directories.
//!
//! Every damaged file has to be read or refused with one line, without a panic and without a single allocation beyond [`MOST`] bytes. What
//! is read is also run. A file that breaks this is kept as `fuzz-N.(onnx|safetensors)` in the current directory, and the exit status is 1.

use kpflow_core::machine::Portable;
use kpflow_core::model::Linearization;
use kpflow_hpc::error::Result;
use kpflow_hpc::job::{Job, ModelSpec};
use kpflow_hpc::kinds::{self, Source};
use kpflow_hpc::load::Checkpoint;
use kpflow_hpc::network::Network;
use kpflow_hpc::onnx;
use rten_onnx::onnx::{AttributeProto, ModelProto, NodeProto};
use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The largest single allocation that a small damaged file may cause.
const MOST: usize = 1 << 31;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

struct Watching;

// SAFETY: every call is the system allocator's; the largest size is an atomic number.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        unsafe { System.dealloc(p, layout) }
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        LARGEST.fetch_max(new, Ordering::Relaxed);
        unsafe { System.realloc(p, layout, new) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Numbers that readers get wrong.
const ODD: [i64; 14] = [0, 1, -1, 2, 3, 7, -2, 255, 65536, 1 << 31, 1 << 40, i64::MAX, i64::MIN, (1 << 62) + 1];

const WORDS: [&str; 47] = [
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "MatMul",
    "Gemm",
    "Conv",
    "GRU",
    "LSTM",
    "RNN",
    "Softmax",
    "LogSoftmax",
    "Reshape",
    "Transpose",
    "Slice",
    "Split",
    "Concat",
    "Gather",
    "GatherElements",
    "Expand",
    "Tile",
    "Pad",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "ReduceMean",
    "ReduceMax",
    "ReduceSum",
    "Where",
    "Equal",
    "Range",
    "ConstantOfShape",
    "Shape",
    "Cast",
    "Trilu",
    "CumSum",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "BatchNormalization",
    "LayerNormalization",
    "InstanceNormalization",
    "Loop",
    "Scan",
    "If",
    "Clip",
];

fn damage_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(6) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        // Most of a file is weights: what comes first is more interesting.
        let at = if random.below(2) == 0 { at } else { at.min(random.below(2048)) };
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = *random.pick(&[0, 1, 127, 128, 255]),
            2 => bytes.truncate(at),
            3 => {
                let end = (at + random.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + random.below(64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => {
                let number = random.pick(&ODD).to_le_bytes();
                for (b, n) in bytes[at..].iter_mut().zip(number) {
                    *b = n;
                }
            }
        }
    }
}

/// Damages the meaning of a graph, not its bytes.
fn damage_model(model: &mut ModelProto, random: &mut Random) {
    let Some(graph) = model.graph.as_mut() else { return };
    let names: Vec<String> = graph.node.iter().flat_map(|n| n.input.iter().chain(&n.output).cloned()).collect();
    if names.is_empty() || graph.node.is_empty() {
        return;
    }
    for _ in 0..1 + random.below(4) {
        let count = graph.node.len();
        let i = random.below(count);
        match random.below(10) {
            0 => graph.node[i].op_type = Some(random.pick(&WORDS).to_string()),
            1 | 2 => {
                let name = random.pick(&names).clone();
                let inputs = &mut graph.node[i].input;
                match inputs.len() {
                    0 => inputs.push(name),
                    n => inputs[random.below(n)] = name,
                }
            }
            3 => {
                let j = random.below(count);
                graph.node.swap(i, j);
            }
            4 => {
                let node: NodeProto = graph.node[i].clone();
                graph.node.insert(random.below(count), node);
            }
            5 => {
                graph.node.remove(i);
                if graph.node.is_empty() {
                    return;
                }
            }
            6 => {
                let t = random.below(graph.initializer.len().max(1));
                if let Some(t) = graph.initializer.get_mut(t) {
                    match t.dims.len() {
                        0 => t.dims.push(*random.pick(&ODD)),
                        n => t.dims[random.below(n)] = *random.pick(&ODD),
                    }
                }
            }
            7 => {
                let t = random.below(graph.initializer.len().max(1));
                if let Some(t) = graph.initializer.get_mut(t) {
                    t.data_type = Some(rten_onnx::onnx::DataType(random.below(20) as i32));
                }
            }
            _ => damage_attribute(&mut graph.node[i].attribute, random),
        }
    }
}

fn damage_attribute(attributes: &mut Vec<AttributeProto>, random: &mut Random) {
    if attributes.is_empty() {
        let name = random.pick(&["axis", "perm", "axes", "group", "pads", "strides", "alpha", "hidden_size", "to"]);
        let (i, ints) = (Some(*random.pick(&ODD)), vec![*random.pick(&ODD); random.below(5)]);
        attributes.push(AttributeProto { name: Some(name.to_string()), i, ints, ..AttributeProto::default() });
        return;
    }
    let at = random.below(attributes.len());
    let a = &mut attributes[at];
    match random.below(5) {
        0 => a.i = Some(*random.pick(&ODD)),
        1 if !a.ints.is_empty() => {
            let k = random.below(a.ints.len());
            a.ints[k] = *random.pick(&ODD);
        }
        2 => a.ints.push(*random.pick(&ODD)),
        3 => a.f = Some(*random.pick(&[0.0, -1.0, f32::NAN, f32::INFINITY, 1e-30])),
        _ => {
            if let Some(t) = a.t.as_mut() {
                t.int64_data = vec![*random.pick(&ODD); random.below(4)];
                t.dims = vec![t.int64_data.len() as i64];
                (t.raw_data, t.data_type) = (None, Some(rten_onnx::onnx::DataType::INT64));
            }
        }
    }
}

/// The shapes of a graph's inputs without their first axis, as far as they are written down.
fn shapes(path: &Path) -> Vec<Vec<usize>> {
    let inputs = onnx::inputs(path).unwrap_or_default();
    inputs.iter().map(|(_, shape)| shape.iter().skip(1).map(|d| d.unwrap_or(3).clamp(1, 64)).collect()).collect()
}

/// Runs what was read, if it is small enough to be run many times a second.
fn run(network: Result<Network<f32>>, refused: &mut usize) {
    let network = match network {
        Ok(network) => network,
        Err(e) => {
            assert!(!e.to_string().contains('\n'), "not one line: {e}");
            *refused += 1;
            return;
        }
    };
    let mut memory = network.memory();
    let Ok(graph) = network.graph(network.weights(), &mut memory) else { return };
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
                tokens: &[0, 1, 3],
                masked: false,
            })
        });
        run(network, refused);
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, seconds, seed, directories @ ..] = &arguments[..] else {
        eprintln!("usage: fuzz (onnx|safetensors) SECONDS SEED DIRECTORY…");
        return ExitCode::from(2);
    };
    let files =
        directories.iter().flat_map(|d| std::fs::read_dir(d).expect("a directory")).map(|f| f.expect("a file").path());
    let files: Vec<PathBuf> = files.filter(|f| f.extension().is_some_and(|e| e == kind.as_str())).collect();
    let seeds: Vec<Vec<u8>> = files.iter().map(|f| std::fs::read(f).expect("a file")).collect();
    let (mut random, limit) =
        (Random(seed.parse().expect("a number")), Duration::from_secs(seconds.parse().expect("a number")));
    let path = std::env::temp_dir().join(format!("kpflow-fuzz-{}.{kind}", std::process::id()));
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    let (begun, mut tried, mut refused, mut broken) = (Instant::now(), 0usize, 0usize, 0usize);
    while begun.elapsed() < limit {
        let mut bytes = random.pick(&seeds).clone();
        if kind == "onnx" && random.below(4) > 0 {
            if let Ok(mut model) = ModelProto::parse_buf(&bytes) {
                damage_model(&mut model, &mut random);
                bytes = model.write_buf().unwrap_or(bytes);
            }
        }
        if kind != "onnx" || random.below(4) == 0 {
            damage_bytes(&mut bytes, &mut random);
        }
        std::fs::write(&path, &bytes).expect("room for a file");
        LARGEST.store(0, Ordering::Relaxed);
        let now = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| match kind.as_str() {
            "onnx" => {
                let shapes = shapes(&path);
                let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
                let mut network = onnx::build::<f32>(&path, &vec![None; shapes.len()], &shapes);
                if let Ok(network) = &mut network {
                    let _ = kinds::choose(network, &spec("onnx"));
                }
                run(network, &mut refused);
            }
            _ => every_kind(&path, &mut refused),
        }));
        let (largest, slow) = (LARGEST.load(Ordering::Relaxed), now.elapsed() > Duration::from_secs(20));
        if result.is_err() || largest > MOST || slow {
            broken += 1;
            let name = format!("fuzz-{broken}.{kind}");
            std::fs::copy(&path, &name).expect("room for a file");
            eprintln!(
                "{name}: panic {}, largest allocation {largest}, {:.1} s",
                result.is_err(),
                now.elapsed().as_secs_f64()
            );
        }
        tried += 1;
    }
    let _ = std::fs::remove_file(&path);
    println!("{tried} files, {refused} refusals, {broken} that broke something");
    ExitCode::from(u8::from(broken > 0))
}
