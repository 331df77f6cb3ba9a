//! The arrays of an analysis, wherever they come from: a file, or a program that has just found them.

use super::{Analysis, Array};
use crate::analysis;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

impl Analysis {
    /// With the arrays that a program holds, as a reader of their file would have them. Names that no quantity has
    /// are left out, and large tensors, which stay where they are.
    ///
    /// **Errors**: an array has other axes than its quantity's, or another shape than what it belongs to.
    pub fn given(self, arrays: Vec<(String, Array)>) -> Result<Self> {
        let mut known = BTreeMap::new();
        for (name, array) in arrays {
            let Some(output) = analysis::outputs().find(|o| o.name == name && !o.is_tensor()) else { continue };
            let axes = output.dimensions.len();
            if array.shape.len() != axes || array.shape.iter().product::<usize>() != array.data.len() {
                let (shape, numbers) = (&array.shape, array.data.len());
                return Err(Error::usage(format!("{name} is {shape:?} of {numbers} numbers; it has {axes} axes")));
            }
            known.insert(output.name, array);
        }
        let name = self.name.clone();
        self.with_arrays(known, &name).map_err(Error::usage)
    }

    /// With its arrays, once they fit each other; else what is wrong with them, at a place.
    pub(super) fn with_arrays(
        mut self,
        mut arrays: BTreeMap<&'static str, Array>,
        place: &str,
    ) -> std::result::Result<Self, String> {
        for (a, b) in analysis::outputs().filter_map(|o| Some((o.name, o.like?))) {
            if let (Some(x), Some(y)) = (arrays.get(a), arrays.get(b)) {
                if x.shape != y.shape {
                    let shapes = format!("{a} {:?} and {b} {:?}", x.shape, y.shape);
                    return Err(format!("{place}: {shapes} differ in shape; run the job again"));
                }
            }
        }
        let history = arrays.remove("history").unwrap_or_default();
        if !history.data.is_empty() && history.shape.get(1) != Some(&3) {
            return Err(format!("{place}/history is {:?}; it should be [steps, 3]", history.shape));
        }
        self.history = history.data.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect();
        self.arrays = arrays;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_those_of_the_quantities() {
        let array = |shape: &[usize]| Array { shape: shape.to_vec(), data: vec![1.0; shape.iter().product()] };
        let given = |name: &str, shape: &[usize]| (name.to_string(), array(shape));
        let one = || Analysis { name: "modes".into(), quantity: "eigenpairs".into(), ..Analysis::default() };
        let all = vec![
            given("eigenvalues", &[2]),
            given("history", &[4, 3]),
            given("eigenvectors", &[2, 1, 1, 3]),
            given("what", &[1]),
        ];
        let found = one().given(all).unwrap();
        assert_eq!((found.list("eigenvalues"), found.history.len(), found.arrays().count()), (&[1.0; 2][..], 4, 1));
        for (wrong, said) in [
            (vec![given("eigenvalues", &[2, 2])], "eigenvalues is [2, 2] of 4 numbers; it has 1 axes"),
            (vec![("value".into(), Array { shape: vec![], data: vec![] })], "value is [] of 0 numbers"),
            (vec![given("history", &[2, 2])], "modes/history is [2, 2]; it should be [steps, 3]"),
            (vec![given("matrix", &[2, 2]), given("standard_errors", &[2, 3])], "differ in shape"),
        ] {
            let e = one().given(wrong).unwrap_err().to_string();
            assert!(e.contains(said), "{e}");
        }
    }
}
