//! One table of the job file, read with errors that say what would be right.

use crate::error::{Error, Result};
use crate::spelling::would_be_right;
use std::path::Path;
use toml::{Table, Value};

/// A table, its name, and where it stands.
pub(super) struct Section<'a> {
    pub path: &'a Path,
    label: String,
    table: &'a Table,
}

/// A type of TOML with its article.
pub(super) fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'i', 'o']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}

impl<'a> Section<'a> {
    /// Checks that a table has no other keys than `keys`.
    pub fn new(path: &'a Path, label: &str, table: &'a Table, keys: &[&str]) -> Result<Self> {
        let s = Self::unchecked(path, label, table);
        s.require_known(keys, keys)?;
        Ok(s)
    }

    /// A table whose keys are checked later, by what some of them say.
    pub fn unchecked(path: &'a Path, label: &str, table: &'a Table) -> Self {
        Self { path, label: label.into(), table }
    }

    /// Fails where it has another key than `keys`; of those `own` are what would be right.
    pub fn require_known(&self, keys: &[&str], own: &[&str]) -> Result<()> {
        match self.table.keys().find(|key| !keys.contains(&key.as_str())) {
            Some(key) => Err(self.error(format!("unknown key \"{key}\"; {}", would_be_right(key, own)))),
            None => Ok(()),
        }
    }

    pub fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::input(self.path, format!("in {}: {message}", self.label))
    }
    pub fn missing(&self, key: &str) -> Error {
        self.error(format!("{key} is missing; it is required"))
    }
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.table.get(key)
    }
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn typed<R>(&self, key: &str, what: &str, get: impl Fn(&'a Value) -> Option<R>) -> Result<Option<R>> {
        match self.get(key) {
            None => Ok(None),
            Some(v) => {
                get(v).map(Some).ok_or_else(|| self.error(format!("{key} is {}; it is {what}", article(v.type_str()))))
            }
        }
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.typed(key, "a string", Value::as_str)
    }
    pub fn required_text(&self, key: &str) -> Result<&'a str> {
        self.text(key)?.ok_or_else(|| self.missing(key))
    }
    pub fn boolean(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", Value::as_bool)
    }
    pub fn table(&self, key: &str) -> Result<Option<&'a Table>> {
        self.typed(key, "a table", Value::as_table)
    }
    /// A list of strings; empty if there is none.
    pub fn strings(&self, key: &str) -> Result<Vec<String>> {
        let wrong = || self.error(format!("{key} is a list of strings"));
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::String(one)) => Ok(vec![one.clone()]),
            Some(Value::Array(list)) => list.iter().map(|v| v.as_str().map(String::from).ok_or_else(wrong)).collect(),
            Some(_) => Err(wrong()),
        }
    }
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", |v| v.as_float().or(v.as_integer().map(|i| i as f64)))
    }
    pub fn integer(&self, key: &str, least: i64) -> Result<Option<usize>> {
        match self.typed(key, "an integer", Value::as_integer)? {
            Some(i) if i < least => Err(self.error(format!("{key} = {i} is too small; it is at least {least}"))),
            other => Ok(other.map(|i| i as usize)),
        }
    }
    pub fn integer_or_auto(&self, key: &str) -> Result<Option<usize>> {
        match self.get(key) {
            Some(Value::String(s)) if s == "auto" => Ok(None),
            Some(Value::String(s)) => {
                Err(self.error(format!("{key} = \"{s}\" is not a number; it is \"auto\" or an integer")))
            }
            _ => self.integer(key, 1),
        }
    }

    /// A list of integers from 0.
    pub fn integers(&self, key: &str) -> Result<Option<Vec<usize>>> {
        let wrong = || self.error(format!("{key} is a list of integers from 0"));
        let Some(value) = self.get(key) else { return Ok(None) };
        let list = value.as_array().ok_or_else(wrong)?;
        let one = |v: &Value| v.as_integer().and_then(|i| usize::try_from(i).ok()).ok_or_else(wrong);
        list.iter().map(one).collect::<Result<Vec<usize>>>().map(Some)
    }

    pub fn choice<C: Copy>(&self, key: &str, default: C, words: &[(&str, C)]) -> Result<C> {
        self.text(key)?.map_or(Ok(default), |word| self.word(key, word, words))
    }
    /// What a word means.
    pub fn word<C: Copy>(&self, key: &str, word: &str, words: &[(&str, C)]) -> Result<C> {
        let list: Vec<&str> = words.iter().map(|w| w.0).collect();
        let found = words.iter().find(|w| w.0 == word).map(|w| w.1);
        found.ok_or_else(|| self.error(format!("unknown {key} \"{word}\"; {}", would_be_right(word, &list))))
    }
    pub fn required_choice<C: Copy>(&self, key: &str, words: &[(&str, C)]) -> Result<C> {
        let default = words.first().map(|w| w.1).filter(|_| self.has(key)).ok_or_else(|| self.missing(key))?;
        self.choice(key, default, words)
    }
}
