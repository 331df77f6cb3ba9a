//! The core runs in a program without the standard library that links no allocator.

use kpflow_tests::{root, target};
use std::path::{Path, PathBuf};
use std::process::Command;

fn build() -> PathBuf {
    let directory = target().parent().unwrap().join("no_std");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--locked", "--manifest-path"])
        .arg(root().join("tests/no_std/Cargo.toml"))
        .arg("--target-dir")
        .arg(&directory)
        .status()
        .unwrap();
    assert!(status.success(), "the program does not build");
    directory.join("release/kpflow-no-std")
}

/// What `nm` says: every symbol's kind and its name, without its version.
fn symbols(program: &Path) -> Vec<(String, String)> {
    let output = Command::new("nm").args(["--format", "posix"]).arg(program).output().expect("nm, of binutils");
    assert!(output.status.success());
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next()?.split('@').next()?.to_string();
        Some((words.next()?.to_string(), name))
    };
    String::from_utf8(output.stdout).unwrap().lines().filter_map(line).collect()
}

#[test]
fn no_allocator_is_linked() {
    let program = build();
    let status = Command::new(&program).status().unwrap();
    assert!(status.success(), "NTK is not (PJ)(PJ)ᵀ: {status}");
    let symbols = symbols(&program);
    assert!(symbols.iter().any(|(_, name)| name == "main"), "no symbols to look at");
    // All that comes from elsewhere: the start of a C program, and what the compiler itself calls to move memory.
    let known = ["__libc_start_main", "memcpy", "memmove", "memset", "memcmp", "bcmp"];
    for (kind, name) in &symbols {
        assert!(kind != "U" || known.contains(&name.as_str()), "the core needs {name}");
        assert!(!name.contains("__rust_alloc") && !name.contains("malloc"), "{name} is linked");
    }
}
