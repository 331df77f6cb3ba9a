//! Writes the model's weights and inputs as constants, which the linker puts in flash, and the memory map for the linker.

use kpflow_core::probe::{Distribution, Probe};
use kpflow_core::{BlockMut, Shape};
use std::fmt::Write;
use std::path::Path;

const HIDDEN: usize = 32;
const N_IN: usize = 4;
const STEPS: usize = 20;

/// A constant of `rows · columns` normal numbers of variance 1/columns, written by their bits: the same on every machine.
fn constant(name: &str, stream: u32, rows: usize, columns: usize) -> String {
    let mut numbers = vec![0.0f64; rows * columns];
    let probe = Probe { seed: 32, stream, distribution: Distribution::Gaussian };
    let block = BlockMut::new(Shape::new(1, rows, columns), 1, &mut numbers).unwrap();
    probe.fill(0, 0, block).unwrap();
    let scale = (columns as f64).sqrt().recip();
    let mut text = format!("pub static {name}: [f32; {}] = [", numbers.len());
    for x in numbers {
        write!(text, "f32::from_bits({:#x}),", ((scale * x) as f32).to_bits()).unwrap();
    }
    text + "];\n"
}

fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    let mut text = format!(
        "pub const HIDDEN: usize = {HIDDEN};\npub const N_IN: usize = {N_IN};\npub const STEPS: usize = {STEPS};\n"
    );
    text += &constant("W_IH", 1, 3 * HIDDEN, N_IN);
    text += &constant("W_HH", 2, 3 * HIDDEN, HIDDEN);
    text += &constant("B_IH", 3, 1, 3 * HIDDEN);
    text += &constant("B_HH", 4, 1, 3 * HIDDEN);
    text += &constant("INPUTS", 5, STEPS, N_IN);
    std::fs::write(Path::new(&out).join("model.rs"), text).unwrap();
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        std::fs::copy("memory.x", Path::new(&out).join("memory.x")).unwrap();
        println!("cargo:rustc-link-search={out}");
        println!("cargo:rustc-link-arg-bins=-Tlink.x");
    }
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-changed=build.rs");
}
