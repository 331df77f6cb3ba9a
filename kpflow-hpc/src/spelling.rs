//! What was meant: the nearest of the words, or of the files, that there are.

use crate::brought;
use crate::error::{Error, Result};
use crate::held;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

const DIRECTORY: &str = "is a directory; a file is to be read";

/// A thing's name, with an s unless there is one of it.
pub fn plural(n: usize, thing: &str) -> String {
    format!("{thing}{}", if n == 1 { "" } else { "s" })
}

/// So many of a thing.
pub fn number_of(n: usize, thing: &str) -> String {
    format!("{n} {}", plural(n, thing))
}

/// The nearest of some words, if it is near enough to be what was meant.
pub fn nearest<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let lower = word.to_lowercase();
    let scored = words.map(|w| (strsim::damerau_levenshtein(&lower, &w.to_lowercase()), w));
    // Of a short word more than half has to be right, or all of it with something behind.
    let half = |d: usize, w: &str| 2 * d < w.len().min(word.len()) || word.starts_with(w) || w.starts_with(word);
    let near = |&(d, w): &(usize, &str)| d <= 1 + w.len() / 3 && !word.is_empty() && half(d, w);
    scored.min().filter(near).map(|(_, w)| w)
}

/// What would be right in the place of a word: what another library's name is here, the nearest of the words, or all of them.
pub fn would_be_right(word: &str, words: &[&str]) -> String {
    let list = || format!("it is one of {}", words.join(", "));
    match (brought::among(word, words), nearest(word, words.iter().copied()), brought::elsewhere(word)) {
        (Some(ours), _, _) => format!("here it is \"{ours}\""),
        (None, Some(near), _) => format!("did you mean \"{near}\"?"),
        (None, None, Some(there)) => format!("{there}; {}", list()),
        (None, None, None) => list(),
    }
}

/// Opens a file to read it.
pub fn open(path: &Path) -> Result<File> {
    match File::open(held::place(path)) {
        // A directory opens too, and fails only when it is read.
        Ok(file) if !path.is_dir() => Ok(file),
        Ok(_) => Err(Error::input(path, DIRECTORY)),
        Err(e) => Err(unreadable(path, &e)),
    }
}

/// The error of a file that cannot be read: where there is none, the name beside it that is nearest.
// Another library's names, of which there may be more.
#[allow(clippy::wildcard_enum_match_arm)]
pub fn unreadable(path: &Path, e: &std::io::Error) -> Error {
    if path.is_dir() {
        return Error::input(path, DIRECTORY);
    }
    // The system's own words, without its number.
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let hint = match e.kind() {
        ErrorKind::NotFound if !parent.is_dir() => format!("; there is no directory {}", parent.display()),
        ErrorKind::NotFound => near_file(path, parent).map_or(String::new(), |n| format!("; did you mean {n}?")),
        _ => String::new(),
    };
    Error::input(path, format!("cannot be read: {text}{hint}"))
}

/// The file of a directory whose name is nearest to this one's, of the same ending first.
fn near_file(path: &Path, directory: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let there = std::fs::read_dir(directory).ok()?.flatten().filter(|e| !e.path().is_dir());
    // A directory of a million checkpoints is not gone through for a hint.
    let names: Vec<String> = there.take(10_000).filter_map(|e| e.file_name().into_string().ok()).collect();
    let alike = names.iter().map(String::as_str).filter(|n| Path::new(n).extension() == path.extension());
    nearest(name, alike).or_else(|| nearest(name, names.iter().map(String::as_str))).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::unreadable;

    #[test]
    fn names_that_are_near() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["weights.safetensors", "weights.h5", "unlike.txt"] {
            std::fs::write(path(name), "").unwrap();
        }
        let said = |name: &str| {
            let e = std::fs::read(path(name)).unwrap_err();
            unreadable(&path(name), &e).to_string().replace(dir.path().to_str().unwrap(), "DIR")
        };
        let no = "cannot be read: No such file or directory";
        assert_eq!(said("wieghts.h5"), format!("DIR/wieghts.h5: {no}; did you mean weights.h5?"));
        assert_eq!(
            said("weights.safetensor"),
            format!("DIR/weights.safetensor: {no}; did you mean weights.safetensors?")
        );
        assert_eq!(said("something.toml"), format!("DIR/something.toml: {no}"));
        assert_eq!(said("a/b.toml"), format!("DIR/a/b.toml: {no}; there is no directory DIR/a"));
        assert_eq!(said("."), "DIR/.: is a directory; a file is to be read");
    }
}
