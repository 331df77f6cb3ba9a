//! ONNX files: reading them without trusting them.

use super::element::Element;
use crate::error::{Error, Result};
use crate::held;
use crate::spelling::unreadable;
use half::{bf16, f16};
use rten_onnx::onnx::{DataLocation, DataType, GraphProto, ModelProto, TensorProto};
use std::path::Path;

/// The most numbers that a tensor of a file may have, and that an operator may make of them.
pub const MOST: usize = 1 << 26;
/// Messages in messages: how deep. A graph in a graph is three.
const DEPTH: usize = 32;

/// A tensor whose numbers are known: initialisers, constants, shapes. Whole numbers are exact up to 2⁵³.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers, in C order.
    pub data: Vec<f64>,
    /// The type of its numbers.
    pub element: Element,
}

impl Array {
    /// A row of whole numbers.
    pub fn row(data: Vec<f64>) -> Self {
        Self { shape: vec![data.len()], data, element: Element::LONG }
    }
    /// The numbers as indices.
    pub fn integers(&self) -> Vec<i64> {
        self.data.iter().map(|&x| x as i64).collect()
    }
}

/// A graph, its opset's version and what its metadata name as parameters.
pub struct Model {
    /// The graph.
    pub graph: GraphProto,
    /// The version of the default operator set.
    pub opset: i64,
    /// `kpflow.parameters`, if the file has it.
    pub parameters: Option<Vec<String>>,
    /// What torch's exporter says of the module that it exported.
    pub signature: Option<Signature>,
}

/// The tensors of an exported module, by name.
#[derive(Debug, Default, PartialEq)]
pub struct Signature {
    /// Its parameters.
    pub parameters: Vec<String>,
    /// Its buffers.
    pub buffers: Vec<String>,
}

impl Signature {
    /// Reads lines such as `p_l_weight: PARAMETER target='l.weight'`.
    fn read(text: &str) -> Self {
        let mut signature = Self::default();
        for line in text.lines() {
            let (Some((_, kind)), Some(target)) = (line.split_once(": "), line.split('\'').nth(1)) else { continue };
            match kind.split_whitespace().next() {
                Some("PARAMETER") => signature.parameters.push(target.into()),
                Some("BUFFER") => signature.buffers.push(target.into()),
                _ => {}
            }
        }
        signature
    }

    /// The one among the metadata of the graph in a model's bytes.
    fn find(model: &[u8]) -> Option<Self> {
        let mut found = None;
        let entry = |bytes: &[u8], found: &mut Option<Self>| {
            let (mut key, mut value) = (String::new(), String::new());
            fields(bytes, |number, body| {
                let text = String::from_utf8_lossy(body).into_owned();
                *(if number == 1 { &mut key } else { &mut value }) = text;
                Ok(())
            })?;
            if key.ends_with("ExportedProgram.graph_signature") {
                *found = Some(Self::read(&value));
            }
            Ok(())
        };
        // A model's field 7 is its graph, a graph's field 16 its metadata.
        let in_graph = |bytes: &[u8], found: &mut Option<Self>| {
            fields(bytes, |number, body| if number == 16 { entry(body, found) } else { Ok(()) })
        };
        fields(model, |number, body| if number == 7 { in_graph(body, &mut found) } else { Ok(()) }).ok()?;
        found.filter(|s| !s.parameters.is_empty())
    }
}

/// Reads a file. **Errors**: it cannot be read, is cut short, or is not an ONNX model.
pub fn open(path: &Path) -> Result<Model> {
    let wrong = |m: String| Error::input(path, m);
    let bytes = std::fs::read(held::place(path)).map_err(|e| unreadable(path, &e))?;
    let not = |what: &str| {
        wrong(format!("is not an ONNX model ({what}); torch.onnx.export or scripts/export_torch.py make one"))
    };
    whole(&bytes, Message::Model, 0).map_err(not)?;
    let signature = Signature::find(&bytes);
    let model = ModelProto::parse_buf(&bytes).map_err(|e| not(&e.to_string().replace('\n', " ")))?;
    let graph = model.graph.ok_or_else(|| not("it has no graph"))?;
    let default = |domain: &Option<String>| domain.as_deref().is_none_or(|d| d.is_empty() || d == "ai.onnx");
    let opset = model.opset_import.iter().filter(|o| default(&o.domain)).filter_map(|o| o.version).max();
    let listed = model.metadata_props.into_iter().find(|p| p.key.as_deref() == Some("kpflow.parameters"));
    let parameters = listed.map(|p| p.value.unwrap_or_default().lines().map(String::from).collect());
    Ok(Model { graph, opset: opset.unwrap_or(1), parameters, signature })
}

/// The messages of an ONNX file, as far as they are read.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Value,
    Type,
    TensorType,
    SequenceType,
    Shape,
    /// One that holds no other.
    Leaf,
}

impl Message {
    /// The message in a field of this one; `None` for strings, bytes, numbers and what is not read.
    fn inside(self, field: u64) -> Option<Message> {
        Some(match (self, field) {
            (Message::Model, 7) | (Message::Attribute, 6) => Message::Graph,
            (Message::Model, 8 | 14) | (Message::Tensor, 13) | (Message::Shape, 1) => Message::Leaf,
            (Message::Graph, 1) => Message::Node,
            (Message::Graph, 5) | (Message::Attribute, 5) => Message::Tensor,
            (Message::Graph, 11..=13) => Message::Value,
            (Message::Node, 5) => Message::Attribute,
            (Message::Value, 2) | (Message::SequenceType, 1) => Message::Type,
            (Message::Type, 1) => Message::TensorType,
            (Message::Type, 4) => Message::SequenceType,
            (Message::TensorType, 2) => Message::Shape,
            _ => return None,
        })
    }
}

/// Checks, before anything is made of it, that every field lies within its message and messages are not nested without end.
fn whole(bytes: &[u8], message: Message, depth: usize) -> std::result::Result<(), &'static str> {
    if depth > DEPTH {
        return Err("its graphs or types are nested too deep");
    }
    fields(bytes, |number, body| message.inside(number).map_or(Ok(()), |inside| whole(body, inside, depth + 1)))
}

/// Calls `f(number, bytes)` for every length-delimited field of a message.
fn fields(
    mut bytes: &[u8],
    mut f: impl FnMut(u64, &[u8]) -> std::result::Result<(), &'static str>,
) -> std::result::Result<(), &'static str> {
    const CUT: &str = "it is cut short or damaged";
    fn varint(bytes: &mut &[u8]) -> std::result::Result<u64, &'static str> {
        let mut value = 0u64;
        for i in 0..10 {
            let (&byte, rest) = bytes.split_first().ok_or(CUT)?;
            *bytes = rest;
            value |= u64::from(byte & 127).checked_shl(7 * i).unwrap_or(0);
            if byte < 128 {
                return Ok(value);
            }
        }
        Err(CUT)
    }
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let fixed = match tag & 7 {
            0 => {
                varint(&mut bytes)?;
                continue;
            }
            1 => 8,
            5 => 4,
            2 => usize::try_from(varint(&mut bytes)?).map_err(|_| CUT)?,
            _ => return Err("it has fields of no known kind"),
        };
        if fixed > bytes.len() {
            return Err(CUT);
        }
        let (body, rest) = bytes.split_at(fixed);
        if tag & 7 == 2 {
            f(tag >> 3, body)?;
        }
        bytes = rest;
    }
    Ok(())
}

/// The product of a shape, if it is not absurd.
pub fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= MOST)
}

/// A tensor's numbers. `path` is the model's file, for tensors kept beside it.
pub fn tensor(path: &Path, t: &TensorProto) -> Result<Array> {
    let name = t.name.as_deref().unwrap_or("of an attribute");
    let wrong = |what: String| Error::input(path, format!("tensor {name} {what}"));
    let shape: Option<Vec<usize>> = t.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let sized = shape.and_then(|s| Some((count(&s)?, s)));
    let (len, shape) = sized.ok_or_else(|| wrong(format!("has shape {:?}, which is no shape", t.dims)))?;
    let raw = match (&t.raw_data, t.data_location) {
        (_, Some(DataLocation::EXTERNAL)) => Some(external(path, t, name)?),
        (Some(raw), _) => Some(raw.borrow().clone()),
        (None, _) => None,
    };
    let kind = t.data_type.unwrap_or(DataType(0));
    let element = Element::of(kind).ok_or_else(|| wrong(format!("is of type {kind}, which cannot be read")))?;
    let data: Vec<f64> = match (raw, kind) {
        (Some(raw), kind) => {
            decode(kind, &raw).ok_or_else(|| wrong(format!("is of type {kind}, which cannot be read")))?
        }
        (None, DataType::FLOAT) => t.float_data.iter().map(|&x| x.into()).collect(),
        (None, DataType::DOUBLE) => t.double_data.clone(),
        (None, DataType::INT64) => t.int64_data.iter().map(|&x| x as f64).collect(),
        (None, DataType::FLOAT16) => t.int32_data.iter().map(|&x| f16::from_bits(x as u16).to_f64()).collect(),
        (None, DataType::BFLOAT16) => t.int32_data.iter().map(|&x| bf16::from_bits(x as u16).to_f64()).collect(),
        (None, _) => t.int32_data.iter().map(|&x| x.into()).collect(),
    };
    if data.len() != len {
        return Err(wrong(format!("of shape {shape:?} has {} numbers", data.len())));
    }
    Ok(Array { shape, data, element })
}

fn decode(kind: DataType, bytes: &[u8]) -> Option<Vec<f64>> {
    fn each<const W: usize>(bytes: &[u8], f: impl Fn([u8; W]) -> f64) -> Option<Vec<f64>> {
        (bytes.len() % W == 0).then(|| bytes.chunks_exact(W).map(|c| f(c.try_into().unwrap_or([0; W]))).collect())
    }
    match kind {
        DataType::FLOAT => each(bytes, |b| f32::from_le_bytes(b).into()),
        DataType::DOUBLE => each(bytes, f64::from_le_bytes),
        DataType::FLOAT16 => each(bytes, |b| f16::from_le_bytes(b).to_f64()),
        DataType::BFLOAT16 => each(bytes, |b| bf16::from_le_bytes(b).to_f64()),
        DataType::INT64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        DataType::INT32 => each(bytes, |b| i32::from_le_bytes(b).into()),
        DataType::INT16 => each(bytes, |b| i16::from_le_bytes(b).into()),
        DataType::INT8 => each(bytes, |[b]: [u8; 1]| f64::from(b as i8)),
        DataType::UINT16 => each(bytes, |b| u16::from_le_bytes(b).into()),
        DataType::UINT32 => each(bytes, |b| u32::from_le_bytes(b).into()),
        DataType(13) => each(bytes, |b| u64::from_le_bytes(b) as f64),
        DataType::UINT8 | DataType::BOOL => each(bytes, |[b]: [u8; 1]| b.into()),
        _ => None,
    }
}

/// The bytes of a tensor that lie in a file beside the model.
fn external(path: &Path, t: &TensorProto, name: &str) -> Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let entry =
        |key: &str| t.external_data.iter().find(|e| e.key.as_deref() == Some(key)).and_then(|e| e.value.clone());
    let number = |key: &str| entry(key).and_then(|v| v.parse::<u64>().ok());
    let location = entry("location").unwrap_or_default();
    let plain =
        !location.is_empty() && Path::new(&location).components().all(|c| matches!(c, std::path::Component::Normal(_)));
    if !plain {
        return Err(Error::input(
            path,
            format!("tensor {name} lies in \"{location}\", which is no file beside the model"),
        ));
    }
    let file = path.with_file_name(&location);
    let wrong = |m: String| Error::input(&file, format!("{m}; tensor {name} of {} lies in it", path.display()));
    let mut f = std::fs::File::open(&file).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    let size = f.metadata().map_or(0, |m| m.len());
    let offset = number("offset").unwrap_or(0);
    let len = number("length").unwrap_or(size.saturating_sub(offset));
    if offset.checked_add(len).is_none_or(|end| end > size) {
        return Err(wrong("is cut short".into()));
    }
    let mut bytes = vec![0; len as usize];
    let read = f.seek(SeekFrom::Start(offset)).and_then(|_| f.read_exact(&mut bytes));
    read.map_err(|e| wrong(format!("cannot be read: {e}")))?;
    Ok(bytes)
}
