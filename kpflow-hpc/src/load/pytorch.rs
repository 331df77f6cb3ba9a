//! Checkpoints as `torch.save` writes them (`.pt`, `.pth`, `.ckpt`, `.bin`): a zip archive of a pickle and the storages' bytes.
//!
//! Read as data ([`pickle`](super::pickle)): tensors and containers, nothing is executed. Nested dictionaries become one list of
//! names joined by dots; where one dictionary at the top holds tensors (`state_dict`, `model_state_dict`, …), they have the names
//! that they have in it.

use super::pickle::{Id, Pickle, Value};
use super::tensors::{Entry, Tensors};
use safetensors::Dtype;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use zip::{CompressionMethod as Packing, ZipArchive};

/// The longest pickle that is read: it has names and sizes, no numbers.
const MOST: u64 = 1 << 28;
/// Dictionaries within each other, at most.
const DEEPEST: usize = 64;

/// What was read, or what is said of a file that cannot be.
type Outcome<T> = Result<T, String>;

/// Whether a file begins as such an archive does, or as a pickle of torch before 1.6.
pub fn is_pytorch(start: &[u8]) -> bool {
    // A safetensors file begins with the length of its header, whose upper bytes are 0.
    start.starts_with(b"PK\x03\x04") && start[4..] != [0; 4] || is_legacy(start)
}

fn is_legacy(start: &[u8]) -> bool {
    // A pickle of protocol 2 or more, whose first value is torch's magic number of ten bytes.
    start.len() > 3 && start[0] == 0x80 && (2..=5).contains(&start[1]) && start[2..4] == [0x8a, 0x0a]
}

/// The tensors of an archive.
pub fn read(path: &Path, start: &[u8]) -> Outcome<Tensors> {
    if is_legacy(start) {
        let again = "torch.save(torch.load(FILE, weights_only=True), FILE)";
        return Err(format!("is a pickle as torch wrote it before version 1.6; write it anew by {again}"));
    }
    let file = File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    let mut zip = ZipArchive::new(BufReader::new(file))
        .map_err(|e| format!("is a damaged or cut zip archive ({e}); copy or save it again"))?;
    let names: Vec<String> = zip.file_names().map(String::from).collect();
    let root = names.iter().find_map(|n| n.strip_suffix("data.pkl").filter(|r| r.is_empty() || r.ends_with('/')));
    let Some(root) = root.map(String::from) else {
        return Err("is a zip archive, but none of torch.save (it has no data.pkl)".into());
    };
    if names.iter().any(|n| n.strip_prefix(&root).is_some_and(|n| n.starts_with("code/"))) {
        return Err("is a TorchScript archive; save torch.jit.load(FILE).state_dict() by torch.save".into());
    }
    let pickle = Pickle::read(&bytes(&mut zip, &format!("{root}data.pkl"))?)?;
    let big_endian = match names.contains(&format!("{root}byteorder")) {
        true => bytes(&mut zip, &format!("{root}byteorder"))?.starts_with(b"big"),
        false => false,
    };
    let mut found = Found { pickle: &pickle, tensors: BTreeMap::new(), others: BTreeMap::new() };
    found.walk(pickle.root(), String::new(), 0)?;
    if let Value::Object(class) = pickle.value(pickle.root()) {
        return Err(format!("holds a whole object of {class}, not tensors; save its state_dict() by torch.save"));
    }
    let mut places = BTreeMap::new();
    let mut entries = BTreeMap::new();
    for (name, id) in &found.tensors {
        let entry = entry(&pickle, *id, &mut |key| place(&mut zip, &mut places, &root, key));
        let entry = entry.map_err(|what| format!("tensor {name} {what}"))?;
        entries.insert(name.clone(), Entry { big_endian, ..entry });
    }
    let (others, inner) = (found.others, dictionaries(&pickle));
    Ok(Tensors { others, inner, format: "pytorch", ..Tensors::of(path, entries) })
}

/// The tensors and the other objects of a pickle, by name.
struct Found<'p> {
    pickle: &'p Pickle,
    tensors: BTreeMap<String, Id>,
    others: BTreeMap<String, String>,
}

impl Found<'_> {
    fn walk(&mut self, id: Id, name: String, depth: usize) -> Outcome<()> {
        if depth > DEEPEST {
            return Err(format!("has more than {DEEPEST} dictionaries within each other at {name}"));
        }
        let pickle = self.pickle;
        let within = |part: &str| if name.is_empty() { part.to_string() } else { format!("{name}.{part}") };
        match pickle.value(id) {
            Value::Tensor { .. } => {
                if self.tensors.insert(name.clone(), id).is_some_and(|before| before != id) {
                    return Err(format!("has two tensors that are both called {name}"));
                }
            }
            Value::Dict(items) => {
                for (key, value) in items {
                    let key = match pickle.value(*key) {
                        Value::Text(text) => text.clone(),
                        Value::Int(n) => n.to_string(),
                        Value::Other
                        | Value::List(_)
                        | Value::Dict(_)
                        | Value::Global(_)
                        | Value::Storage { .. }
                        | Value::Tensor { .. }
                        | Value::Object(_) => continue,
                    };
                    self.walk(*value, within(&key), depth + 1)?;
                }
            }
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.walk(*item, within(&i.to_string()), depth + 1)?;
                }
            }
            Value::Object(class) => drop(self.others.insert(name, class.clone())),
            Value::Other | Value::Int(_) | Value::Text(_) | Value::Global(_) | Value::Storage { .. } => {}
        }
        Ok(())
    }
}

/// The dictionaries at the top that hold tensors themselves: a checkpoint's weights, whatever they are called. An optimizer's
/// state lies deeper.
fn dictionaries(pickle: &Pickle) -> Vec<String> {
    let Value::Dict(items) = pickle.value(pickle.root()) else { return Vec::new() };
    let holds = |id: Id| {
        let Value::Dict(inner) = pickle.value(id) else { return false };
        inner.iter().any(|(_, v)| matches!(pickle.value(*v), Value::Tensor { .. }))
    };
    let name = |(key, value): &(Id, Id)| {
        let Value::Text(text) = pickle.value(*key) else { return None };
        holds(*value).then(|| text.clone())
    };
    items.iter().filter_map(name).collect()
}

/// Reads a small member of an archive.
fn bytes(zip: &mut ZipArchive<BufReader<File>>, name: &str) -> Outcome<Vec<u8>> {
    let damaged = |e: &dyn std::fmt::Display| format!("is damaged: {name} cannot be read ({e}); copy or save it again");
    let mut member = zip.by_name(name).map_err(|e| damaged(&e))?;
    if member.size() > MOST {
        return Err(format!("claims a {name} of {} bytes; a checkpoint's has names and sizes alone", member.size()));
    }
    let mut read = Vec::new();
    member.by_ref().take(MOST).read_to_end(&mut read).map_err(|e| damaged(&e))?;
    Ok(read)
}

/// Where a storage lies in the file, and its bytes.
fn place(
    zip: &mut ZipArchive<BufReader<File>>,
    places: &mut BTreeMap<String, (u64, u64)>,
    root: &str,
    key: &str,
) -> Outcome<(u64, u64)> {
    if let Some(known) = places.get(key) {
        return Ok(*known);
    }
    let member = zip.by_name(&format!("{root}data/{key}"));
    let member = member.map_err(|_| format!("names a storage {key} that the archive does not have"))?;
    if member.compression() != Packing::Stored {
        return Err("is compressed within the archive, which torch.save never does; save it again".into());
    }
    let start = member.data_start().ok_or("lies nowhere in the archive")?;
    let found = (start, member.size());
    places.insert(key.into(), found);
    Ok(found)
}

/// A tensor's place and type, checked against the storage that it is a view of.
fn entry(pickle: &Pickle, id: Id, place: &mut dyn FnMut(&str) -> Outcome<(u64, u64)>) -> Outcome<Entry> {
    let Value::Tensor { storage, offset, shape, strides, dtype } = pickle.value(id) else {
        return Err("is no tensor".into());
    };
    let Value::Storage { class, key, len } = pickle.value(*storage) else {
        return Err("has no storage".into());
    };
    let word = dtype.as_deref().unwrap_or(class);
    let dtype = dtype_of(word).ok_or_else(|| format!("is of type {word}, which is not read"))?;
    let width = dtype.bitsize() / 8;
    let (start, bytes) = place(key)?;
    // An untyped storage counts bytes.
    let claimed =
        if class.ends_with("UntypedStorage") { *len as u64 } else { (*len as u64).saturating_mul(width as u64) };
    let damaged = || "reaches beyond its storage; the file is damaged".to_string();
    let last =
        shape.iter().zip(strides).try_fold(0usize, |at, (&d, &s)| at.checked_add(d.saturating_sub(1).checked_mul(s)?));
    let empty = shape.contains(&0);
    let end = last.and_then(|l| l.checked_add(*offset)?.checked_add(usize::from(!empty))?.checked_mul(width));
    let end = end.filter(|&end| end as u64 <= bytes && claimed <= bytes).ok_or_else(damaged)?;
    let at = start + (*offset * width).min(end) as u64;
    Ok(Entry { file: 0, dtype, shape: shape.clone(), at, strides: Some(strides.clone()), big_endian: false })
}

/// The type that a storage's class or a dtype names.
fn dtype_of(word: &str) -> Option<Dtype> {
    let word = word.rsplit('.').next().unwrap_or(word);
    Some(match word {
        "DoubleStorage" | "float64" | "double" => Dtype::F64,
        "FloatStorage" | "float32" | "float" => Dtype::F32,
        "HalfStorage" | "float16" | "half" => Dtype::F16,
        "BFloat16Storage" | "bfloat16" => Dtype::BF16,
        "LongStorage" | "int64" | "long" => Dtype::I64,
        "IntStorage" | "int32" | "int" => Dtype::I32,
        "ShortStorage" | "int16" | "short" => Dtype::I16,
        "CharStorage" | "int8" => Dtype::I8,
        "ByteStorage" | "uint8" => Dtype::U8,
        "BoolStorage" | "bool" => Dtype::BOOL,
        "uint16" => Dtype::U16,
        "uint32" => Dtype::U32,
        "uint64" => Dtype::U64,
        "ComplexFloatStorage" | "complex64" => Dtype::C64,
        "float8_e4m3fn" | "Float8_e4m3fnStorage" => Dtype::F8_E4M3,
        "float8_e5m2" | "Float8_e5m2Storage" => Dtype::F8_E5M2,
        _ => return None,
    })
}
