//! Ways to damage a file: its bytes, or its meaning.

use hdf5::types::VarLenUnicode;
use hdf5::Group;
use kpflow_hpc::hdf5_file::Watch;
use rten_onnx::onnx::{AttributeProto, ModelProto, NodeProto};
use std::path::Path;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
    pub fn word<'a, S: AsRef<str>>(&mut self, list: &'a [S]) -> &'a str {
        self.pick(list).as_ref()
    }
}

/// Numbers that readers get wrong.
const ODD: [i64; 14] = [0, 1, -1, 2, 3, 7, -2, 255, 65536, 1 << 31, 1 << 40, i64::MAX, i64::MIN, (1 << 62) + 1];

/// Operators of ONNX.
const WORDS: &str = "Add Sub Mul Div Pow MatMul Gemm Conv GRU LSTM RNN Softmax LogSoftmax Reshape Transpose Slice Split Concat Gather GatherElements Expand Tile Pad Squeeze Unsqueeze Flatten ReduceMean ReduceMax ReduceSum Where Equal Range ConstantOfShape Shape Cast Trilu CumSum MaxPool AveragePool GlobalAveragePool BatchNormalization LayerNormalization InstanceNormalization Loop Scan If Clip";

/// Damages bytes.
pub fn bytes(bytes: &mut Vec<u8>, random: &mut Random) {
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
pub fn model(model: &mut ModelProto, random: &mut Random) {
    let Some(graph) = model.graph.as_mut() else { return };
    let names: Vec<String> = graph.node.iter().flat_map(|n| n.input.iter().chain(&n.output).cloned()).collect();
    if names.is_empty() || graph.node.is_empty() {
        return;
    }
    for _ in 0..1 + random.below(4) {
        let count = graph.node.len();
        let i = random.below(count);
        match random.below(10) {
            0 => {
                let words: Vec<&str> = WORDS.split(' ').collect();
                graph.node[i].op_type = Some(random.pick(&words).to_string());
            }
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
            _ => attribute(&mut graph.node[i].attribute, random),
        }
    }
}

fn attribute(attributes: &mut Vec<AttributeProto>, random: &mut Random) {
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

/// Words that job files hold, and some that they do not.
const TOML: [&str; 30] = [
    "kind",
    "weights",
    "name",
    "quantity",
    "method",
    "axes",
    "window",
    "units",
    "grid",
    "seed",
    "\"auto\"",
    "[model]",
    "[[analysis]]",
    "[analysis]",
    "[a.b]",
    "true",
    "-1",
    "0",
    "1e400",
    "nan",
    "inf",
    "9223372036854775807",
    "-9223372036854775808",
    "\"\"",
    "[]",
    "{}",
    "[[[[[[[[[[]]]]]]]]]]",
    "1979-05-27",
    "\"\\u0000\"",
    "\"dense\"",
];

/// Damages the text of a job: words, numbers and lines, not bytes.
pub fn job(text: &str, random: &mut Random) -> String {
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    for _ in 0..1 + random.below(4) {
        if lines.is_empty() {
            break;
        }
        let (i, j) = (random.below(lines.len()), random.below(lines.len()));
        match random.below(6) {
            0 => drop(lines.remove(i)),
            1 => lines.insert(j, lines[i].clone()),
            2 => lines.swap(i, j),
            3 => lines[i] = lines[i].split('=').next().unwrap_or_default().to_string() + "= " + random.word(&TOML),
            4 => {
                let words: Vec<&str> = lines[i].split(' ').collect();
                let at = random.below(words.len());
                let new = words.iter().enumerate().map(|(k, w)| if k == at { random.word(&TOML) } else { w });
                lines[i] = new.collect::<Vec<_>>().join(" ");
            }
            _ => lines.insert(i, format!("{} = {}", random.word(&TOML).trim_matches('"'), random.word(&TOML))),
        }
    }
    lines.join("\n")
}

/// Damages the meaning of a result file: its attributes, datasets and groups, not its bytes.
pub fn results(path: &Path, random: &mut Random) -> hdf5::Result<()> {
    let _watch = Watch::over(path);
    let file = hdf5::File::open_rw(path)?;
    for _ in 0..1 + random.below(4) {
        let mut group: Group = file.group("/")?;
        while random.below(3) > 0 {
            let inside = group.member_names()?;
            match inside.is_empty() {
                true => break,
                false => match group.group(random.word(&inside)) {
                    Ok(g) => group = g,
                    Err(_) => break,
                },
            }
        }
        let (attributes, members) = (group.attr_names()?, group.member_names()?);
        match random.below(4) {
            0 if !attributes.is_empty() => group.delete_attr(random.word(&attributes))?,
            1 if !attributes.is_empty() => {
                let name = random.word(&attributes);
                group.delete_attr(name)?;
                odd_attribute(&group, name, random)?;
            }
            2 if !members.is_empty() => group.unlink(random.word(&members))?,
            _ if !members.is_empty() => {
                let name = random.word(&members);
                group.unlink(name)?;
                odd_dataset(&group, name, random)?;
            }
            _ => odd_attribute(&group, "status", random)?,
        }
    }
    file.close()
}

fn odd_attribute(group: &Group, name: &str, random: &mut Random) -> hdf5::Result<()> {
    match random.below(5) {
        0 => group.new_attr::<i64>().create(name)?.write_scalar(random.pick(&ODD)),
        1 => group.new_attr::<f64>().create(name)?.write_scalar(random.pick(&[f64::NAN, f64::INFINITY, -1.0, 1e300])),
        2 => {
            let word: VarLenUnicode =
                random.word(&["", "running", "kpflow-results", "é\n"]).parse().unwrap_or_default();
            group.new_attr::<VarLenUnicode>().create(name)?.write_scalar(&word)
        }
        3 => group.new_attr_builder().with_data(&[1i64, -1, 1 << 40][..random.below(4)]).create(name).map(drop),
        _ => group.new_attr::<u8>().create(name)?.write_scalar(&7),
    }
}

fn odd_dataset(group: &Group, name: &str, random: &mut Random) -> hdf5::Result<()> {
    let shapes: [&[usize]; 7] = [&[], &[0], &[3], &[1, 3], &[3, 1], &[2, 2, 2, 2], &[0, 3]];
    match random.below(5) {
        0 => group.create_group(name).map(drop),
        1 => {
            let word: VarLenUnicode = "a".parse().unwrap_or_default();
            group.new_dataset_builder().with_data(&[word]).create(name).map(drop)
        }
        // A claim of a size that no file holds.
        2 => group.new_dataset::<f64>().chunk([1 << 10]).shape([1usize << 40]).create(name).map(drop),
        3 => group.new_dataset::<i8>().shape(random.pick(&shapes).to_vec()).create(name).map(drop),
        _ => group.new_dataset::<f64>().shape(random.pick(&shapes).to_vec()).create(name).map(drop),
    }
}
