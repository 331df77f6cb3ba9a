//! C programs, built by the machine's compiler and linked to the static library: the example, whose numbers are the core's, and every misuse.

use kpflow_core::machine::Portable;
use kpflow_core::model::{Cell, GraphBuffer, Linearization, RecurrentWeights};
use kpflow_core::ntk::{Constraint, Ntk, ParameterOperator, Propagator};
use kpflow_core::operator::Adjoint;
use kpflow_core::probe::{hutchinson, Distribution, Probe};
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Shape};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds a C program and returns what it prints; `None` where there is no C compiler.
fn run(source: &str) -> Option<String> {
    let compiler = std::env::var_os("CC").unwrap_or("cc".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        eprintln!("skipped: no C compiler {compiler:?}");
        return None;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(Path::new(source).file_stem().unwrap());
    let compiled = Command::new(&compiler)
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-I"])
        .arg(here.join("include"))
        .arg(here.join(source))
        .arg(static_library())
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let ran = Command::new(&program).output().unwrap();
    let printed = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{source}: {}\n{printed}{}", ran.status, String::from_utf8_lossy(&ran.stderr));
    Some(printed)
}

/// Builds the static library, as its users do.
fn static_library() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "kpflow-c", "--target-dir"])
        .arg(target)
        .status()
        .unwrap();
    assert!(built.success());
    target.join("debug/libkpflow_c.a")
}

#[test]
fn every_misuse_has_its_status() {
    let Some(printed) = run("tests/misuse.c") else { return };
    assert!(printed.ends_with(" 0 failures\n"), "{printed}");
}

fn fill(seed: u64, stream: u32, vectors: usize, shape: Shape) -> Vec<f64> {
    let mut x = vec![0.0; vectors * shape.len()];
    let probe = Probe { seed, stream, distribution: Distribution::Gaussian };
    probe.fill(0, 0, BlockMut::new(shape, vectors, &mut x).unwrap()).unwrap();
    x
}

fn assert_line(printed: &str, name: &str, expected: &[f64]) {
    let line = printed.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')).unwrap();
    let found: Vec<f64> = line.split(' ').map(|x| x.parse().unwrap()).collect();
    assert_eq!(found.len(), expected.len(), "{name}");
    let scale = expected.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-13 * scale, "{name}[{i}]: C has {a}, the core {b}");
    }
}

/// The numbers of example/ntk.c, by the core itself.
#[test]
fn the_example_has_the_numbers_of_the_core() {
    let Some(printed) = run("example/ntk.c") else { return };
    let (n_in, hidden, steps, b, vectors) = (3, 5, 7, 6, 2);
    let rows = 4 * hidden;
    let normal = |stream, len| fill(1, stream, 1, Shape::new(1, 1, len));
    let (w_ih, w_hh, b_ih) = (normal(1, rows * n_in), normal(2, rows * hidden), normal(3, rows));
    let (inputs, initial) = (normal(4, b * steps * n_in), normal(5, b * 2 * hidden));
    let weights = RecurrentWeights { n_in, hidden, w_ih: &w_ih, w_hh: &w_hh, b_ih: Some(&b_ih), b_hh: None };
    let (cell, mut buffer) = (Cell::lstm(), GraphBuffer::default());
    let graph = cell.graph(weights, steps, &mut buffer).unwrap();
    let mut arena = vec![0.0; Linearization::arena_len(&graph, b)];
    let mut scratch = vec![0.0; Linearization::scratch_len(&graph, b, b, &Portable)];
    let lin =
        &Linearization::new(&graph, &[&inputs], Some(&initial), b, b, &mut arena, &mut scratch, &Portable).unwrap();
    let (shape, m) = (lin.shape(), &Portable);
    let mut state = vec![0.0; shape.len()];
    lin.state(BlockMut::new(shape, 1, &mut state).unwrap()).unwrap();
    assert_line(&printed, "state", &state);

    let x = fill(2, 0, vectors, shape);
    let (p, inverse, k, ntk) =
        (Propagator::new(lin, m), Constraint::new(lin, m), ParameterOperator::new(lin, m), Ntk::new(lin, m));
    let operators: [(&str, &dyn LinearOperator<f64>); 6] = [
        ("p", &p),
        ("p_transposed", &Adjoint(&p)),
        ("p_inverse", &inverse),
        ("p_inverse_transposed", &Adjoint(&inverse)),
        ("k", &k),
        ("ntk", &ntk),
    ];
    for (name, op) in operators {
        let (mut y, mut scratch) = (vec![0.0; x.len()], vec![0.0; op.scratch_len(vectors)]);
        let (from, to) = (BlockRef::new(shape, vectors, &x).unwrap(), BlockMut::new(shape, vectors, &mut y).unwrap());
        op.apply(from, to, &mut scratch).unwrap();
        assert_line(&printed, name, &y);
    }
    let signs = Probe { seed: 3, stream: 0, distribution: Distribution::Rademacher };
    let (mut x, mut y, mut scratch) = (state.clone(), state, vec![0.0; ntk.scratch_len(1)]);
    let trace = hutchinson(&ntk, &signs, 0..16, 1, &mut x, &mut y, &mut scratch).unwrap();
    assert_line(&printed, "trace", &[trace.mean(), trace.standard_error()]);
}
