//! Checkpoints in several files: Hugging Face's `NAME-00001-of-00002.safetensors` (or `.bin`), with or without their
//! `NAME.safetensors.index.json`.

use super::checkpoint_file::{self, Found};
use super::tensors::Tensors;
use crate::error::{some_of, Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The longest index that is read: it names tensors and files.
const MOST: u64 = 1 << 28;

/// The files of the set that a file is one of, by its name; `None` if it is of none.
///
/// **Errors**: a file of the set is missing.
pub fn set_of(path: &Path) -> Result<Option<Vec<PathBuf>>> {
    let Some((stem, _, count, ending)) = numbered(path) else { return Ok(None) };
    let name = |i: usize| path.with_file_name(format!("{stem}-{i:05}-of-{count:05}.{ending}"));
    let files: Vec<PathBuf> = (1..=count).map(name).collect();
    match files.iter().find(|f| !f.exists()) {
        Some(missing) => {
            let what = format!("is one of {count} files of a checkpoint, and {} is missing", shown(missing));
            Err(Error::input(path, what))
        }
        None => Ok(Some(files)),
    }
}

/// One file for every set that is whole in a list: the first of it.
pub fn one_a_set(files: &mut Vec<PathBuf>) {
    let first = |path: &Path| {
        let (stem, _, count, ending) = numbered(path)?;
        Some(path.with_file_name(format!("{stem}-{:05}-of-{count:05}.{ending}", 1)))
    };
    let all = files.clone();
    files.retain(|f| first(f).is_none_or(|first| first == *f || !all.contains(&first)));
}

/// Stem, number, count and ending of `stem-00001-of-00002.ending`.
fn numbered(path: &Path) -> Option<(String, usize, usize, String)> {
    let (rest, ending) = path.file_name()?.to_str()?.rsplit_once('.')?;
    let (rest, count) = rest.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let digits = |t: &str| (t.len() == 5).then(|| t.parse::<usize>().ok())?;
    let (number, count) = (digits(number)?, digits(count)?);
    (1..=count).contains(&number).then(|| (stem.into(), number, count, ending.into()))
}

/// Opens a checkpoint of any format: one file, one of a set, or their index.
pub fn open(path: &Path) -> Result<Tensors> {
    if let Some(files) = set_of(path)? {
        return join(path, files, None);
    }
    match checkpoint_file::open(path)? {
        Found::Tensors(tensors) => Ok(tensors),
        Found::Index => index(path),
    }
}

/// The tensors of an index: each in the file that it names.
fn index(path: &Path) -> Result<Tensors> {
    let wrong = |what: String| Error::input(path, what);
    let size = std::fs::metadata(path).map_err(|e| wrong(format!("cannot be read: {e}")))?.len();
    if size > MOST {
        return Err(wrong(format!("is an index of {size} bytes; one names tensors and files alone")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| wrong(format!("is not JSON ({e})")))?;
    let right = "an index has weight_map = { TENSOR: FILE, … }";
    let map = json.get("weight_map").and_then(|m| m.as_object());
    let map = map.ok_or_else(|| wrong(format!("is JSON without a weight_map; {right}")))?;
    let mut places = BTreeMap::new();
    for (name, file) in map {
        let file = file.as_str().ok_or_else(|| wrong(format!("says no file for {name}; {right}")))?;
        // Beside the index: what it names elsewhere is not followed.
        if file.is_empty() || file.contains(['/', '\\']) || file == ".." {
            return Err(wrong(format!("names {file} for {name}; the files are beside the index")));
        }
        places.insert(name.clone(), path.with_file_name(file));
    }
    let mut files: Vec<PathBuf> = places.values().cloned().collect();
    files.sort();
    files.dedup();
    join(path, files, Some(&places))
}

/// The tensors of several files as those of one checkpoint; of an index, those that it names and where it says.
fn join(path: &Path, files: Vec<PathBuf>, index: Option<&BTreeMap<String, PathBuf>>) -> Result<Tensors> {
    let mut all = Tensors::of(path, BTreeMap::new());
    all.files = files;
    for (number, file) in all.files.clone().iter().enumerate() {
        if !file.exists() {
            return Err(Error::input(path, format!("names {}, which is not there", shown(file))));
        }
        // An index that names itself would be followed for ever.
        let Found::Tensors(one) = checkpoint_file::open(file)? else {
            return Err(Error::input(path, format!("names {}, which is an index and no tensors", shown(file))));
        };
        all.format = one.format;
        all.notes.extend(one.notes);
        all.others.extend(one.others);
        for (name, mut entry) in one.entries {
            if index.is_some_and(|index| index.get(&name).is_none_or(|f| f != file)) {
                let what = format!("has the tensor {name}, which the index {} does not place there", shown(path));
                return Err(Error::input(file, what));
            }
            entry.file = number;
            if all.entries.insert(name.clone(), entry).is_some() {
                return Err(Error::input(file, format!("has the tensor {name}, which another file of the set has")));
            }
        }
    }
    let missing: Vec<&String> =
        index.into_iter().flat_map(BTreeMap::keys).filter(|n| !all.entries.contains_key(*n)).collect();
    match missing.is_empty() {
        true => Ok(all),
        false => Err(Error::input(path, format!("names tensors that no file has: {}", some_of(&missing)))),
    }
}

fn shown(path: &Path) -> String {
    path.file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_shards() {
        let of = |name: &str| numbered(Path::new(name)).map(|(stem, i, n, ending)| format!("{stem} {i} {n} {ending}"));
        assert_eq!(of("a/model-00002-of-00003.safetensors").as_deref(), Some("model 2 3 safetensors"));
        for other in ["model.safetensors", "model-00004-of-00003.bin", "step-1-of-2.pt", "a-00001-of-00002"] {
            assert_eq!(of(other), None, "{other}");
        }
        let mut files: Vec<PathBuf> =
            ["m-00001-of-00002.bin", "m-00002-of-00002.bin", "z.pt", "n-00002-of-00002.bin"].map(PathBuf::from).into();
        one_a_set(&mut files);
        assert_eq!(files, ["m-00001-of-00002.bin", "z.pt", "n-00002-of-00002.bin"].map(PathBuf::from));
    }
}
