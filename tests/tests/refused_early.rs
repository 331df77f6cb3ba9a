//! What shapes alone forbid is refused by plan, check and a dry run as by a run: with the same line, and before anything is computed.

use kpflow_tests::models::{dataset, model};
use kpflow_tests::{golden, perform, Answer};
use std::path::{Path, PathBuf};

/// An analysis that can be made, before one that cannot: nothing of it is to be computed.
const FIRST: &str = "[[analysis]]\nname = \"first\"\nquantity = \"trace\"\nmethod = \"hutchinson\"\nmax_matvecs = 8\n";

/// What is asked of one operator: operator, quantity and further lines; words of the refusal.
type Wrong = (&'static str, &'static str, &'static str, &'static str);

/// The state is [32, 10, 40], its largest window a step too long.
const OF_A_GRU: [Wrong; 12] = [
    ("ntk", "marginal", "axes = [\"trajectory\", \"unit\"]\nunits = [0, 40]", "units names 40"),
    ("ntk", "trace", "window = [4, 11]", "window = [4, 11] goes beyond the 10 steps"),
    ("ntk", "trace", "method = \"dense\"", "the whole matrix"),
    ("ntk", "matrix", "method = \"dense\"", "the whole matrix"),
    ("parameter", "eigenpairs", "method = \"dense\"\naverage = false", "the whole matrix"),
    ("ntk", "marginal", "axes = [\"trajectory\", \"time\"]\nwindow = [0, 10]\nunits = [-1]", "units"),
    ("ntk", "learnability", "with = \"../short.h5:/e\"", "an error signal is as the state, [32, 10, 40]"),
    ("ntk", "alignment", "with = \"../narrow.safetensors\"", "makes a state of shape [32, 10, 6]; it is [32, 10, 40]"),
    ("ntk", "alignment", "with = \"../missing.safetensors\"", "missing.safetensors"),
    ("ntk", "alignment", "with = \"../mlp.safetensors\"", "mlp.safetensors"),
    ("ntk", "apply_nothing", "", "apply_nothing"),
    ("propagator", "frobenius", "window = [0, 2]", "are not for"),
];

const OF_A_TRANSFORMER: [Wrong; 3] = [
    ("ntk", "lyapunov", "", "Lyapunov"),
    ("core", "trace", "method = \"hutchinson\"", "core"),
    ("ntk", "trace", "method = \"exact\"", "exact"),
];

/// The answers of the four commands, which are to be one.
fn answers(head: &str, directory: &Path, list: &[Wrong]) -> Vec<(String, Vec<Answer>)> {
    let make = |(i, (operator, quantity, rest, _)): (usize, &Wrong)| -> PathBuf {
        let directory = directory.join(i.to_string());
        std::fs::create_dir(&directory).unwrap();
        let wrong =
            format!("[[analysis]]\nname = \"wrong\"\noperator = \"{operator}\"\nquantity = \"{quantity}\"\n{rest}\n");
        std::fs::write(directory.join("job.toml"), format!("{head}{FIRST}{wrong}")).unwrap();
        directory
    };
    let directories: Vec<PathBuf> = list.iter().enumerate().map(make).collect();
    let lines: [&[&str]; 4] = [
        &["run", "job.toml", "--quiet"],
        &["run", "job.toml", "--dry-run"],
        &["plan", "job.toml", "--gflops", "1"],
        &["check", "job.toml"],
    ];
    let ask = |line: &&[&str]| {
        let words: Vec<String> = line.iter().map(|w| w.to_string()).collect();
        (line.join(" "), perform(1, &directories, |_| words.clone()))
    };
    let found = lines.iter().map(ask).collect();
    for directory in &directories {
        assert!(!directory.join("results.h5").exists(), "{}", directory.display());
    }
    found
}

#[track_caller]
fn refused(kind: &str, list: &[Wrong], prepare: impl Fn(&Path)) {
    let directory = tempfile::tempdir().unwrap();
    let head = model(kind, false, directory.path());
    prepare(directory.path());
    let found = answers(&head, directory.path(), list);
    let mut wrong = Vec::new();
    for (i, case) in list.iter().enumerate() {
        let run = &found[0].1[i];
        for (command, answers) in &found {
            let a = &answers[i];
            if a.code != 2 || !a.error.contains(case.3) || a.error != run.error || a.printed.contains("dot test") {
                wrong.push(format!("{case:?}: {command} ends with {} {}", a.code, a.error));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn of_a_gru() {
    refused("gru", &OF_A_GRU, |directory| {
        dataset(&directory.join("short.h5"), "e", &[32, 9, 40], 1.0);
        let narrow = tempfile::tempdir().unwrap();
        model("gru", true, narrow.path());
        std::fs::copy(narrow.path().join("weights.safetensors"), directory.join("narrow.safetensors")).unwrap();
        std::fs::copy(golden("mlp_tanh.safetensors"), directory.join("mlp.safetensors")).unwrap();
    });
}

#[test]
fn of_a_transformer() {
    refused("transformer", &OF_A_TRANSFORMER, |_| ());
}
