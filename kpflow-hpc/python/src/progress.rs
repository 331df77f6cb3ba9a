//! How far work is, told to one of Python's who draws it.

use kpflow_hpc::progress::Seen;
use pyo3::prelude::*;

/// Who draws: a function of `(done, total, unit, seconds, words)`, of which what is not known is 0 or empty.
/// Nobody, where it is none.
pub struct Teller<'py>(pub Option<Bound<'py, PyAny>>);

impl Teller<'_> {
    /// Tells what is seen. What the function raises, an interrupt above all, ends what is told of.
    pub fn tell(&self, seen: Option<Seen>) -> PyResult<()> {
        let (Some(function), Some(Seen { done, total, unit, seconds, words })) = (&self.0, seen) else {
            return Ok(());
        };
        function.call1((done, total, unit, seconds, words)).map(drop)
    }
}
