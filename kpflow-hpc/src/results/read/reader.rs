//! Attributes and arrays of one group, checked.

use super::{Analysis, Array};
use crate::analysis;
use crate::error::{Error, Result};
use crate::hdf5_file;
use hdf5::types::{TypeDescriptor, VarLenUnicode};
use hdf5::{Group, H5Type};
use std::collections::BTreeMap;
use std::path::Path;

/// No array that is read as a whole has more numbers.
pub(super) const MOST: usize = 1 << 26;

/// No list of texts that is read is longer.
const MOST_TEXTS: usize = 1000;

/// A group of a file, which says in its errors where it is.
pub(super) struct Reader<'a> {
    pub group: &'a Group,
    pub place: &'a str,
    pub path: &'a Path,
}

impl Reader<'_> {
    fn attribute<R>(&self, name: &str, read: impl FnOnce(hdf5::Attribute) -> hdf5::Result<R>) -> Result<R> {
        self.group.attr(name).and_then(read).map_err(|_| {
            let what = format!("has no readable attribute {name} at {}; it is damaged: run the job again", self.place);
            Error::input(self.path, what)
        })
    }
    pub fn text(&self, name: &str) -> Result<String> {
        self.attribute(name, |a| Ok(hdf5_file::text(&a.read_scalar()?)))
    }
    /// A list of texts; none where there is none.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let read = |a: hdf5::Attribute| if a.size() > MOST_TEXTS { Err("too long".into()) } else { a.read_raw() };
        let found: hdf5::Result<Vec<VarLenUnicode>> = self.group.attr(name).and_then(read);
        found.unwrap_or_default().iter().map(hdf5_file::text).collect()
    }
    pub fn number<N: H5Type>(&self, name: &str) -> Result<N> {
        self.attribute(name, |a| a.read_scalar::<N>())
    }
    pub fn numbers(&self, name: &str) -> Result<Vec<usize>> {
        let read = |a: hdf5::Attribute| if a.size() > 8 { Err("too long".into()) } else { a.read_raw::<u64>() };
        Ok(self.attribute(name, read)?.into_iter().map(|x| x as usize).collect())
    }

    /// An array of so many axes, if it is there.
    pub fn array(&self, name: &str, axes: usize) -> Result<Option<Array>> {
        if !self.group.link_exists(name) {
            return Ok(None);
        }
        let wrong = |what: String| Error::input(self.path, format!("{}/{name} {what}; run the job again", self.place));
        let set = self.group.dataset(name).map_err(|_| wrong("cannot be read".into()))?;
        let shape = set.shape();
        if shape.len() != axes {
            return Err(wrong(format!("has {} axes where {axes} are right", shape.len())));
        }
        let len = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).filter(|n| *n <= MOST);
        let Some(len) = len else { return Err(wrong(format!("claims a shape of {shape:?}"))) };
        let kind = set.dtype().and_then(|d| d.to_descriptor());
        let number =
            matches!(kind, Ok(TypeDescriptor::Float(_) | TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_)));
        let data = set.read_raw::<f64>().ok().filter(|d| number && d.len() == len);
        let data = data.ok_or_else(|| wrong("is not numbers that can be read".into()))?;
        Ok(Some(Array { shape, data }))
    }

    pub fn analysis(&self, name: &str) -> Result<Analysis> {
        let mut arrays = BTreeMap::new();
        // Whatever any quantity has: what another version wrote of this one is read too.
        for output in analysis::outputs().filter(|o| !o.is_tensor()) {
            if arrays.contains_key(output.name) {
                continue;
            }
            if let Some(array) = self.array(output.name, output.dimensions.len())? {
                arrays.insert(output.name, array);
            }
        }
        let tensor = |o: &analysis::Output| Some((o.name, self.group.dataset(o.name).ok()?.shape()));
        let analysis = Analysis {
            name: name.into(),
            operator: self.text("operator")?,
            quantity: self.text("quantity")?,
            method: self.text("method")?,
            status: self.text("status")?,
            converged: self.number::<i64>("converged")? != 0,
            matvecs: self.number("matvecs")?,
            // Files of earlier versions do not have it.
            computed: self.number("matvecs_computed").or_else(|_| self.number("matvecs"))?,
            seconds: self.number("seconds")?,
            memory: self.number("memory").ok(),
            bytes_sent: self.number("bytes_sent").ok(),
            with_stage: self.text("with_stage").ok(),
            tensors: analysis::tensors().into_iter().filter_map(tensor).collect(),
            ..Analysis::default()
        };
        analysis.with_arrays(arrays, self.place).map_err(|what| Error::input(self.path, what))
    }
}
