//! What an `[[analysis]]` says by its keys, each checked by what is known of the key.

use super::section::Section;
use super::{Axis, Source};
use crate::analysis::keys::{of as keys, Kind, Unsaid};
use crate::analysis::{with_key, Key, Quantity};
use crate::error::Result;
use std::collections::BTreeMap;
use std::path::Path;

/// The values of the keys that mean something for a quantity.
#[derive(Clone, Debug)]
pub struct Said(BTreeMap<&'static str, Value>);

/// The value of a key.
#[derive(Clone, Debug)]
pub enum Value {
    /// true or false.
    Truth(bool),
    /// A whole number.
    Whole(usize),
    /// A number.
    Number(f64),
    /// A word.
    Word(&'static str),
    /// One or two axes.
    Axes(Vec<Axis>),
    /// A file.
    File(Source),
    /// A list of whole numbers.
    Numbers(Vec<usize>),
}

impl Said {
    /// What holds where the job says nothing.
    pub fn nothing(quantity: &'static Quantity) -> Self {
        let value = |key: &Key| match key.default {
            Unsaid::Required | Unsaid::Nothing => None,
            Unsaid::Truth(x) => Some(Value::Truth(x)),
            Unsaid::Whole(x) => Some(Value::Whole(x)),
            Unsaid::Number(x) => Some(Value::Number(x)),
            Unsaid::Word(x) => Some(Value::Word(x)),
        };
        Self(keys(quantity).filter_map(|key| Some((key.name, value(key)?))).collect())
    }

    /// What a table says.
    ///
    /// **Errors**: a key means nothing for the quantity or the method, is missing, or its value is
    /// out of its range.
    pub(super) fn read(s: &Section<'_>, directory: &Path, quantity: &'static Quantity, method: &str) -> Result<Self> {
        let other = crate::analysis::keys::all().filter(|key| !keys(quantity).any(|own| own.name == key.name));
        for (key, name) in other.flat_map(|key| key.names().map(move |name| (key, name))) {
            if s.has(name) {
                let of = with_key(key).join(", ");
                return Err(
                    s.error(format!("{name} means nothing for quantity = \"{}\"; it is for {of}", quantity.name))
                );
            }
        }
        let mut said = Self::nothing(quantity);
        for key in keys(quantity) {
            match key.method {
                Some(only) if s.has(key.name) && only != method => {
                    return Err(s.error(format!("{} is for method = \"{only}\"", key.name)));
                }
                _ => {}
            }
            match read(s, directory, key)? {
                Some(value) => said.set(key, value),
                None if key.default == Unsaid::Required => return Err(s.missing(key.single.unwrap_or(key.name))),
                None => {}
            }
        }
        Ok(said)
    }

    /// Says it otherwise.
    pub fn set(&mut self, key: &Key, value: Value) {
        self.0.insert(key.name, value);
    }

    /// What a key says; none where it says nothing, or means nothing.
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.0.get(key.name)
    }

    /// The keys that say true.
    pub fn truths(&self) -> Vec<&'static str> {
        let says = |value: &Value| matches!(value, Value::Truth(true));
        self.0.iter().filter(|(_, value)| says(value)).map(|(name, _)| *name).collect()
    }

    /// Whether a key says true.
    pub fn truth(&self, key: &Key) -> bool {
        matches!(self.get(key), Some(Value::Truth(true)))
    }

    /// The whole number of a key.
    pub fn whole(&self, key: &Key) -> Option<usize> {
        if let Some(Value::Whole(x)) = self.get(key) {
            Some(*x)
        } else {
            None
        }
    }

    /// The number of a key.
    pub fn number(&self, key: &Key) -> Option<f64> {
        if let Some(Value::Number(x)) = self.get(key) {
            Some(*x)
        } else {
            None
        }
    }

    /// The word of a key.
    pub fn word(&self, key: &Key) -> Option<&'static str> {
        if let Some(Value::Word(x)) = self.get(key) {
            Some(x)
        } else {
            None
        }
    }

    /// The axes of a key.
    pub fn axes(&self, key: &Key) -> Option<&[Axis]> {
        if let Some(Value::Axes(x)) = self.get(key) {
            Some(x)
        } else {
            None
        }
    }

    /// The file of a key.
    pub fn file(&self, key: &Key) -> Option<&Source> {
        if let Some(Value::File(x)) = self.get(key) {
            Some(x)
        } else {
            None
        }
    }

    /// The whole numbers of a key.
    pub fn numbers(&self, key: &Key) -> Option<&[usize]> {
        if let Some(Value::Numbers(x)) = self.get(key) {
            Some(x)
        } else {
            None
        }
    }

    /// Every key and what it says, in words. Files count by what is in them, which is not here.
    pub fn words(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        self.0.iter().filter_map(|(name, value)| {
            let words = match value {
                Value::Truth(x) => x.to_string(),
                Value::Whole(x) => x.to_string(),
                Value::Number(x) => x.to_string(),
                Value::Word(x) => x.to_string(),
                Value::Axes(x) => format!("{x:?}"),
                Value::Numbers(x) => format!("{x:?}"),
                Value::File(_) => return None,
            };
            Some((*name, words))
        })
    }
}

/// The value of a key of a table, if it is there.
fn read(s: &Section<'_>, directory: &Path, key: &Key) -> Result<Option<Value>> {
    let name = key.name;
    Ok(match key.kind {
        Kind::Truth => s.boolean(name)?.map(Value::Truth),
        Kind::Whole { least } => s.integer(name, least)?.map(Value::Whole),
        Kind::Number { fits, wrong, .. } => match s.number(name)? {
            Some(x) if !fits(x) => return Err(s.error(format!("{name} = {x} {wrong}"))),
            x => x.map(Value::Number),
        },
        Kind::Word(words) => {
            let words: Vec<(&str, &'static str)> = words.iter().map(|&w| (w, w)).collect();
            s.text(name)?.map(|word| s.word(name, word, &words).map(Value::Word)).transpose()?
        }
        Kind::Axes => axes(s, key)?.map(Value::Axes),
        Kind::File => s.text(name)?.map(|text| Value::File(Source::named(directory, text))),
        Kind::Window => match s.integers(name)? {
            Some(list) if !matches!(list[..], [first, end] if first < end) => {
                return Err(s.error(format!("{name} is [first, end], the steps from first to before end")));
            }
            list => list.map(Value::Numbers),
        },
        Kind::Units => match s.integers(name)? {
            Some(list) if !differ(&list) => {
                return Err(s.error(format!("{name} is a list of different units, at least one")));
            }
            list => list.map(Value::Numbers),
        },
    })
}

/// Whether a list has numbers, none of them twice.
fn differ(list: &[usize]) -> bool {
    let mut sorted = list.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    !list.is_empty() && sorted.len() == list.len()
}

/// One axis by the one name, one or two by the other.
fn axes(s: &Section<'_>, key: &Key) -> Result<Option<Vec<Axis>>> {
    let (several, single) = (key.name, key.single.unwrap_or(key.name));
    let words = match (s.text(single)?, s.strings(several)?) {
        (Some(_), list) if !list.is_empty() => {
            return Err(s.error(format!("{single} and {several} are two ways to say one thing")));
        }
        (Some(one), _) => vec![one.to_string()],
        (None, list) if list.is_empty() => return Ok(None),
        (None, list) => list,
    };
    let mut axes = Vec::new();
    for word in &words {
        let axis = s.word(single, word, Axis::ALL)?;
        if axes.contains(&axis) || words.len() > 2 {
            return Err(s.error(format!("{several} are one or two different ones of trajectory, time and unit")));
        }
        axes.push(axis);
    }
    Ok(Some(axes))
}
