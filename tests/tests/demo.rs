//! `kpflow demo`: what it writes runs, and shows what training does to the kernel.

use kpflow_tests::{kpflow, Results};
use std::path::{Path, PathBuf};

/// The files of a directory whose names begin and end so, sorted.
fn files(directory: &Path, start: &str, end: &str) -> Vec<PathBuf> {
    let list = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap());
    let fits = |name: &str| name.starts_with(start) && name.ends_with(end);
    let mut files: Vec<PathBuf> = list.filter(|e| fits(e.file_name().to_str().unwrap())).map(|e| e.path()).collect();
    files.sort();
    files
}

#[test]
fn every_demo_is_written_whole_and_not_twice() {
    let directory = tempfile::tempdir().unwrap();
    let listed = kpflow(1, &["demo"]).success();
    for name in ["flip_flop", "memory_pro", "line_attractor", "low_rank_forecast"] {
        assert!(listed.lines().any(|l| l.starts_with(name)), "{listed}");
        let path = directory.path().join(name);
        let at = path.display().to_string();
        let said = kpflow(1, &["demo", name, &at]).success();
        assert!(said.contains("kpflow run job") && said.contains(&format!("cd {at}")), "{said}");
        assert_eq!(files(&path.join("checkpoints"), "step_", ".safetensors").len(), 4);

        let changed = path.join("train.toml");
        std::fs::write(&changed, "mine").unwrap();
        let done = kpflow(1, &["demo", name, &at]);
        assert_eq!((done.status.code(), done.errors().len()), (Some(2), 1), "{}", done.stderr);
        assert!(done.stderr.contains("is there already") && done.stderr.contains("--force"), "{}", done.stderr);
        assert_eq!(std::fs::read_to_string(&changed).unwrap(), "mine");
        kpflow(1, &["demo", name, &at, "--force"]).success();
        assert!(std::fs::read_to_string(&changed).unwrap().contains(name));
    }
}

/// The effective rank at every stage of a demo.
fn ranks(name: &str) -> Vec<f64> {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display().to_string();
    // On two ranks: one writes.
    kpflow(2, &["demo", name, &at]).success();
    // Of its analyses this one alone: docs/src/first-hour.md, whose commands are tested too, runs all.
    let job = directory.path().join("job.toml");
    let text = std::fs::read_to_string(&job).unwrap();
    let rank = text.split("[[analysis]]").find(|part| part.contains("\"effective_rank\"")).unwrap();
    std::fs::write(&job, format!("{}[[analysis]]{rank}", text.split("[[analysis]]").next().unwrap())).unwrap();
    kpflow(1, &["run", job.to_str().unwrap(), "--quiet"]).success();
    let files = files(directory.path(), "results.", ".h5");
    assert_eq!(files.len(), 4);
    files.iter().map(|file| Results::open(file).value("effective_rank")).collect()
}

#[test]
fn the_line_attractor_loses_its_effective_rank() {
    let ranks = ranks("line_attractor");
    assert!(ranks[0] > 15.0 && ranks[3] < 2.0, "{ranks:?}");
}

#[test]
fn the_effective_rank_collapses_where_an_angle_is_learned() {
    let ranks = ranks("memory_pro");
    assert!(ranks[0] > 70.0 && ranks[1] > 70.0 && ranks[2] < 5.0 && ranks[3] > 20.0, "{ranks:?}");
}

#[test]
fn its_training_can_be_run() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display().to_string();
    kpflow(1, &["demo", "flip_flop", &at]).success();
    // A short one begins with the very weights that the demo has.
    let path = directory.path().join("train.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> =
        text.lines().filter(|l| !l.starts_with("steps         =") && !l.starts_with("checkpoints")).collect();
    std::fs::write(&path, lines.join("\n") + "\nsteps = 1\ncheckpoints = [0]\n").unwrap();
    kpflow(1, &["train", path.to_str().unwrap()]).success();
    let read = |name: &str| std::fs::read(directory.path().join(name).join("step_000000.safetensors")).unwrap();
    assert_eq!(read("training/checkpoints"), read("checkpoints"));
}
