//! `kpflow info FILE`: what is in a file, and what a job says of it.

mod arrays;
mod checkpoint;
mod graph;
pub mod guess;
mod results;
mod trial;

use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::spelling;
use serde_json::Value;
use std::path::Path;

/// What is told of a file: for people, and for programs.
pub struct Told {
    /// Lines.
    pub text: String,
    /// The same as JSON.
    pub json: Value,
}

/// Tells what is in a file. Collective: one rank reads and speaks.
pub fn info(path: &Path, json: bool, comm: Comm) -> Result<()> {
    let told = comm.agree(if comm.is_root() { of(path).map(Some) } else { Ok(None) })?;
    if let Some(told) = told {
        match json {
            true => println!("{:#}", told.json),
            false => print!("{}", told.text),
        }
    }
    Ok(())
}

/// What is in a file, by the ending of its name.
pub fn of(path: &Path) -> Result<Told> {
    spelling::open(path)?;
    match path.extension().and_then(|e| e.to_str()).unwrap_or_default() {
        "safetensors" | "pt" | "pth" | "ckpt" | "bin" | "json" => checkpoint::checkpoint(path),
        "onnx" => graph::graph(path),
        "npy" => arrays::npy(path),
        "h5" | "hdf5" if crate::results::is_result(path)? => results::results(path),
        "h5" | "hdf5" => arrays::hdf5(path),
        "toml" => {
            Err(Error::input(path, "is a job; kpflow run --dry-run tells what it would do, kpflow plan what it needs"))
        }
        "" => Err(Error::input(path, format!("has no ending; {READ}"))),
        other => Err(Error::input(path, format!("ends with \".{other}\"; {READ}"))),
    }
}

const READ: &str = "info reads .safetensors, .pt, .pth, .ckpt, .bin, .index.json, .onnx, .npy, .h5 and .hdf5";

/// A count with its thing, in the plural where it is one.
fn some(count: usize, thing: &str) -> String {
    format!("{} {}", thousands(count), spelling::plural(count, thing))
}

/// A whole number with commas.
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let place = |i: usize| i > 0 && (digits.len() - i) % 3 == 0;
    digits.chars().enumerate().map(|(i, c)| if place(i) { format!(",{c}") } else { c.to_string() }).collect()
}

/// Rows of words under each other.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let length = |r: &Vec<String>, c: usize| r.get(c).map_or(0, |w| w.chars().count());
    let widths: Vec<usize> = (0..columns).map(|c| rows.iter().map(|r| length(r, c)).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let pad = |(c, w): (usize, &String)| format!("{w}{}", " ".repeat(widths[c] - w.chars().count()));
        format!("  {}", row.iter().enumerate().map(pad).collect::<Vec<_>>().join("  ")).trim_end().to_string() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{some, table, thousands};

    #[test]
    fn words() {
        assert_eq!((thousands(7), thousands(1234567)), ("7".into(), "1,234,567".into()));
        assert_eq!((some(1, "tensor"), some(1000, "tensor")), ("1 tensor".into(), "1,000 tensors".into()));
        let rows = [vec!["é".to_string(), "b".to_string()], vec!["long".to_string()]];
        assert_eq!(table(&rows), "  é     b\n  long\n");
    }
}
