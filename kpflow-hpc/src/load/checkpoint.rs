//! Checkpoints: the tensors of a model behind a prefix, and which of them have been read.

use super::numbers::numbers;
use super::tensors::{Entry, Tensors};
use super::{require_finite, shards};
use crate::error::{some_of, Error, Result};
use kpflow_core::Scalar;
use safetensors::Dtype;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A checkpoint: the tensors whose names begin with a prefix. Names and sizes alone are held; a tensor is read when it is asked for.
#[derive(Clone)]
pub struct Checkpoint {
    path: PathBuf,
    prefix: String,
    tensors: Rc<Tensors>,
    /// What stands before the prefix: the name of the dictionary that holds the tensors, with a dot.
    within: String,
    outline: bool,
    names: Vec<String>,
    /// The tensors that have been read, by their whole names: shared by all that read this file.
    read: Rc<RefCell<BTreeSet<String>>>,
    config: OnceCell<serde_json::Value>,
}

/// The config.json that Hugging Face puts beside a checkpoint; null where there is none.
///
/// **Errors**: it is there and cannot be read: what it says would be left away.
pub fn config_beside(path: &Path) -> Result<serde_json::Value> {
    let path = path.with_file_name("config.json");
    let right = "copy it again, or remove it";
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|e| Error::input(&path, format!("is not JSON ({e}); {right}"))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(serde_json::Value::Null),
        Err(e) => Err(Error::input(&path, format!("cannot be read: {e}; {right}"))),
    }
}

/// A tensor of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<T> {
    /// Its whole name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers, in C order.
    pub data: Vec<T>,
}

impl Checkpoint {
    /// Opens a checkpoint, of one file or several, and checks that it is whole.
    pub fn open(path: &Path, prefix: &str) -> Result<Self> {
        let tensors = shards::open(path)?;
        let any = |start: &str| tensors.entries.keys().any(|n| n.starts_with(start));
        let inner: Vec<String> = tensors.inner.iter().map(|d| format!("{d}.")).collect();
        let inside: Vec<&String> = inner.iter().filter(|d| any(&format!("{d}{prefix}"))).collect();
        let within = match inside[..] {
            [one] => one.clone(),
            // The prefix may name the dictionary itself.
            [] => String::new(),
            _ if any(prefix) && !prefix.is_empty() => String::new(),
            [first, ..] => {
                let what = format!(
                    "has several models, {}; say which, such as prefix = \"{first}{prefix}\"",
                    some_of(&tensors.inner)
                );
                return Err(Error::input(path, what));
            }
        };
        let start = format!("{within}{prefix}");
        let behind = tensors.entries.keys().filter_map(|n| n.strip_prefix(&start));
        let names: Vec<String> = behind.map(String::from).collect();
        if names.is_empty() {
            let there: Vec<&str> = tensors.entries.keys().map(String::as_str).collect();
            let what = match prefix {
                "" => "has no tensor; a checkpoint holds a state_dict".to_string(),
                _ => format!("has no tensor that begins with \"{prefix}\"; it has {}", some_of(&there)),
            };
            return Err(Error::input(path, what));
        }
        let (path, prefix, tensors) = (path.into(), prefix.into(), Rc::new(tensors));
        let (read, config) = (Rc::default(), OnceCell::new());
        Ok(Self { path, prefix, tensors, within, outline: false, names, read, config })
    }

    /// The same tensors without their numbers: all are zeros in memory that is never touched. For those who plan a run.
    pub fn outline(self) -> Self {
        Self { outline: true, ..self }
    }

    /// The same file with all of its tensors. What is read of it counts as read here.
    pub fn whole(&self) -> Self {
        let names = self.tensors.entries.keys().filter_map(|n| n.strip_prefix(self.within.as_str()));
        Self { names: names.map(String::from).collect(), prefix: String::new(), ..self.clone() }
    }

    /// The numbers of a tensor in another order: number i is what was number `from(i)`.
    pub fn reordered<T: Scalar>(&self, data: &[T], len: usize, from: impl Fn(usize) -> usize) -> Vec<T> {
        if self.outline {
            return vec![T::zero(); len];
        }
        (0..len).map(|i| data[from(i)]).collect()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What [`config_beside`] finds, read once.
    pub fn config(&self) -> Result<&serde_json::Value> {
        match self.config.get() {
            Some(known) => Ok(known),
            None => config_beside(&self.path).map(|found| self.config.get_or_init(|| found)),
        }
    }

    /// What the format is called.
    pub fn format(&self) -> &'static str {
        self.tensors.format
    }

    /// A note of the file's metadata.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.tensors.notes.get(key).map(String::as_str)
    }

    /// The names behind the prefix, sorted.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What is behind the prefix and no tensor that can be read: its name, and its class.
    pub fn others(&self) -> impl Iterator<Item = (&str, &str)> {
        let start = self.full("");
        self.tensors.others.iter().filter_map(move |(name, class)| Some((name.strip_prefix(&start)?, class.as_str())))
    }

    /// The names behind the prefix that nobody has read.
    pub fn unread(&self) -> Vec<&str> {
        let read = self.read.borrow();
        self.names.iter().filter(|n| !read.contains(&self.full(n))).map(String::as_str).collect()
    }

    fn full(&self, name: &str) -> String {
        format!("{}{}{name}", self.within, self.prefix)
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.tensors.entries.get(&self.full(name))
    }

    /// The shape of a tensor (without prefix), if it is there.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.entry(name).map(|e| e.shape.clone())
    }

    /// Reads the first tensor there is of several names (without prefix), as numbers of type T; `None` if there is none.
    pub fn tensor<T: Scalar>(&self, names: &[&str]) -> Result<Option<Tensor<T>>> {
        let found = names.iter().find_map(|n| Some((n, self.entry(n)?)));
        let Some((name, entry)) = found else { return Ok(None) };
        self.read.borrow_mut().insert(self.full(name));
        let (name, shape) = (format!("{}{name}", self.prefix), entry.shape.clone());
        let unknown = || {
            let kind = entry.dtype;
            Error::input(&self.path, format!("tensor {name} is of type {kind:?}; F16, BF16, F32 and F64 can be read"))
        };
        if self.outline {
            numbers::<T>(entry.dtype, &[]).ok_or_else(unknown)?;
            let data = vec![T::zero(); shape.iter().product()];
            return Ok(Some(Tensor { name, shape, data }));
        }
        let data = self.tensors.read(entry)?.ok_or_else(unknown)?;
        require_finite(&self.path, &format!("tensor {name}"), &shape, 0, &data)?;
        Ok(Some(Tensor { name, shape, data }))
    }

    /// Like [`required`](Checkpoint::required), but of the first axis these rows alone, each below its length.
    pub fn rows<T: Scalar>(&self, name: &str, shape: &[usize], rows: &[usize]) -> Result<Tensor<T>> {
        let found = self.entry(name).filter(|entry| !self.outline && entry.shape == shape);
        let Some(entry) = found else {
            // Of an outline there is nothing to read, and what is wrong is said as of any tensor.
            let Tensor { name, mut data, .. } = self.required::<T>(&[name], shape)?;
            let shape: Vec<usize> = [&[rows.len()], &shape[1..]].concat();
            data.truncate(shape.iter().product());
            return Ok(Tensor { name, shape, data });
        };
        let data = self.tensors.read_rows(entry, rows)?;
        let Some(data) = data else { return self.required(&[name], shape) };
        self.read.borrow_mut().insert(self.full(name));
        let (name, shape) = (format!("{}{name}", self.prefix), [&[rows.len()], &shape[1..]].concat());
        require_finite(&self.path, &format!("tensor {name}, of the rows that are read,"), &shape, 0, &data)?;
        Ok(Tensor { name, shape, data })
    }

    /// The numbers of a tensor, also of an outline: what the model is may depend on them.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        match self.entry(name) {
            Some(entry) => Ok(self.tensors.read(entry)?.unwrap_or_default()),
            None => Ok(Vec::new()),
        }
    }

    /// Bytes of all tensors behind the prefix.
    pub fn len_bytes(&self) -> u64 {
        let bytes = |e: &Entry| (e.shape.iter().product::<usize>() * e.dtype.bitsize() / 8) as u64;
        self.names.iter().filter_map(|n| self.entry(n)).map(bytes).sum()
    }

    /// The type of a tensor's numbers (without prefix), if it is there.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.entry(name).map(|e| e.dtype)
    }

    /// Like [`tensor`](Checkpoint::tensor), but the tensor must be there and of this shape.
    pub fn required<T: Scalar>(&self, names: &[&str], shape: &[usize]) -> Result<Tensor<T>> {
        let Some(tensor) = self.tensor(names)? else {
            let what = names.iter().map(|n| format!("{}{n}", self.prefix)).collect::<Vec<_>>().join(" or ");
            let right = match self.other_prefix(names) {
                Some(prefix) => format!("did you mean prefix = \"{prefix}\"?"),
                None => format!("it has {}", some_of(&self.names)),
            };
            return Err(Error::input(&self.path, format!("has no tensor {what}; {right}")));
        };
        if tensor.shape != shape {
            let (name, found) = (&tensor.name, &tensor.shape);
            return Err(Error::input(&self.path, format!("tensor {name} has shape {found:?}; it should be {shape:?}")));
        }
        Ok(tensor)
    }

    /// The prefix with which one of these tensors would be there.
    fn other_prefix(&self, names: &[&str]) -> Option<String> {
        let prefixes = |n: &&str| {
            let of = |whole: &str| {
                let prefix = whole.strip_prefix(self.within.as_str())?.strip_suffix(n)?;
                Some(prefix.to_string()).filter(|p| p.is_empty() || p.ends_with('.'))
            };
            self.tensors.entries.keys().filter_map(|n| of(n)).min()
        };
        names.iter().find_map(prefixes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn golden(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
    }

    #[test]
    fn truncated_files_are_errors_at_every_length() {
        let whole = std::fs::read(golden("gru_h0.safetensors")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut.safetensors");
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert_eq!(Checkpoint::open(&path, "").err().unwrap().exit_code(), 2);
        }
    }

    #[test]
    fn says_what_is_missing() {
        let c = Checkpoint::open(&golden("memory_pro.init.safetensors"), "rnn.").unwrap();
        let e = c.required::<f32>(&["weight_xx_l0"], &[1]).unwrap_err().to_string();
        assert!(e.contains("no tensor rnn.weight_xx_l0; it has bias_hh_l0"), "{e}");
        let e = c.required::<f32>(&["bias_hh_l0"], &[1]).unwrap_err().to_string();
        assert!(e.contains("has shape [192]; it should be [1]"), "{e}");
        let e = Checkpoint::open(&golden("memory_pro.init.safetensors"), "gru.").err().unwrap().to_string();
        assert!(e.contains("begins with \"gru.\"; it has"), "{e}");
    }

    #[test]
    fn archives_that_are_cut_or_damaged_are_errors() {
        let kept = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/checkpoints").join(name);
        let whole = std::fs::read(kept("nested.pt")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.pt");
        let look = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let c = Checkpoint::open(&path, "")?;
            c.names().iter().try_for_each(|n| c.tensor::<f64>(&[n]).map(drop))
        };
        look(&whole).unwrap();
        for len in (0..whole.len()).step_by(31) {
            assert_eq!(look(&whole[..len]).unwrap_err().exit_code(), 2, "{len}");
        }
        // A byte wrong anywhere: read all the same, or one line.
        for at in (0..whole.len()).step_by(5) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            if let Err(e) = look(&bytes) {
                assert_eq!(e.exit_code(), 2, "{at}");
            }
        }
        // Half of a set is none.
        let shard = dir.path().join("w-00001-of-00002.safetensors");
        std::fs::copy(kept("sharded-00001-of-00002.safetensors"), &shard).unwrap();
        let said = Checkpoint::open(&shard, "").err().unwrap().to_string();
        assert!(
            said.contains("is one of 2 files of a checkpoint, and w-00002-of-00002.safetensors is missing"),
            "{said}"
        );
    }
}
