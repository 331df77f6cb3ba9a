//! The golden data: models with answers found by brute force. See `tests/golden/README.md`.

use crate::program::root;
use hdf5::types::VarLenUnicode;
use std::path::PathBuf;

/// The path of a file of the golden data.
pub fn golden(file: &str) -> PathBuf {
    root().join("tests/golden").join(file)
}

/// One case of the golden data.
pub struct Golden {
    /// Its name.
    pub name: String,
    /// [B, T, N].
    pub shape: [usize; 3],
    kind: String,
    options: serde_json::Value,
    file: hdf5::File,
}

impl Golden {
    /// Opens a case.
    pub fn open(name: &str) -> Self {
        let file = crate::open(golden(&format!("{name}.h5")));
        let text = |a: &str| file.attr(a).ok()?.read_scalar::<VarLenUnicode>().ok().map(|t| t.to_string());
        let options = text("options").map_or(serde_json::Value::Null, |t| serde_json::from_str(&t).unwrap());
        let shape = file.attr("shape").unwrap().read_raw::<i64>().unwrap();
        let shape = [shape[0] as usize, shape[1] as usize, shape[2] as usize];
        Self { name: name.into(), shape, kind: text("kind").unwrap(), options, file }
    }

    /// The `[model]` and `[data]` of a job on this case.
    pub fn tables(&self) -> String {
        let weights = golden(&format!("{}.safetensors", self.name));
        let h5 = golden(&format!("{}.h5", self.name));
        let mut text = format!("[model]\nkind = \"{}\"\nweights = {weights:?}\n", self.kind);
        if let Some(activation) = self.options["activation"].as_str() {
            text.push_str(&format!("activation = \"{activation}\"\n"));
        }
        if let Some(dt) = self.options["dt"].as_f64() {
            text.push_str(&format!("dt = {dt}\n"));
        }
        if let Some(heads) = self.options["heads"].as_i64() {
            text.push_str(&format!("heads = {heads}\n"));
        }
        text.push_str(&format!("[data]\ninputs = \"{}:/inputs\"\n", h5.display()));
        if self.options["h0"] == true {
            text.push_str(&format!("initial_state = \"{}:/initial_state\"\n", h5.display()));
        }
        text
    }

    /// The numbers of a dataset under `reference/`, or elsewhere.
    pub fn read(&self, dataset: &str) -> Vec<f64> {
        let data = self.file.dataset(dataset).unwrap_or_else(|e| panic!("{} {dataset}: {e}", self.name));
        data.read_raw::<f64>().unwrap()
    }

    /// A reference scalar, as `ntk/trace`.
    pub fn reference(&self, name: &str) -> f64 {
        self.read(&format!("reference/{name}"))[0]
    }
}
