//! `kpflow train` on trials of different length: nothing behind an end counts.

use kpflow_tests::{assert_all_near, kpflow};
use safetensors::SafeTensors;
use std::path::Path;

const LENGTHS: [usize; 6] = [3, 5, 1, 4, 5, 2];
const STEPS: usize = 5;

/// Numbers up to the ends, and `behind` behind them.
fn padded(width: usize, seed: usize, behind: f64) -> Vec<f64> {
    let at = |i: usize| (i / width / STEPS, i / width % STEPS);
    let number = |i: usize| (0.7 * (i + seed) as f64 + 0.3).sin();
    (0..6 * STEPS * width).map(|i| if at(i).1 < LENGTHS[at(i).0] { number(i) } else { behind }).collect()
}

fn write_data(path: &Path, behind: f64) {
    let file = kpflow_tests::create(path);
    let put = |name: &str, shape: &[usize], data: Vec<f64>| {
        let data = ndarray::ArrayD::from_shape_vec(shape.to_vec(), data).unwrap();
        file.new_dataset_builder().with_data(&data).create(name).unwrap();
    };
    put("inputs", &[6, STEPS, 3], padded(3, 0, behind));
    put("targets", &[6, STEPS, 2], padded(2, 90, behind));
    put("lengths", &[6], LENGTHS.iter().map(|&l| l as f64).collect());
    put("mask", &[6, STEPS], (0..6 * STEPS).map(|i| f64::from(u8::from(i % STEPS < LENGTHS[i / STEPS]))).collect());
}

/// The losses and norms of every step, the weights after them, and whether it was warned.
fn trained(behind: f64, ends: &str, ranks: usize) -> (Vec<f64>, Vec<f64>, bool) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    write_data(&path("x.h5"), behind);
    let data = format!("[data]\ninputs = \"x.h5:/inputs\"\ntargets = \"x.h5:/targets\"\n{ends}");
    let training = "[training]\nsteps = 7\nbatch = 4\nlearning_rate = 1e-2\n[compute]\nprecision = \"f64\"";
    let text = format!("[model]\nkind = \"gru\"\nhidden = 4\n{data}\n{training}\n");
    std::fs::write(path("train.toml"), text).unwrap();
    let done = kpflow(ranks, &["train".as_ref(), path("train.toml").as_os_str()]);
    let warned = done.stderr.contains("warning: inputs of 3 of 6 trajectories end in identical rows");
    done.success();
    let log = std::fs::read_to_string(path("training/loss.csv")).unwrap();
    let numbers = |line: &str| line.split(',').skip(1).map(|x| x.parse().unwrap()).collect::<Vec<f64>>();
    let bytes = std::fs::read(path("training/checkpoints/step_000007.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = tensors.names();
    names.sort_unstable();
    let raw = names.iter().flat_map(|n| tensors.tensor(n).unwrap().data().to_vec()).collect::<Vec<u8>>();
    let weights = raw.chunks_exact(8).map(|x| f64::from_le_bytes(x.try_into().unwrap())).collect();
    (log.lines().skip(1).flat_map(numbers).collect(), weights, warned)
}

/// The loss and the weights are those of the errors up to the ends, whatever the file holds behind them; a mask of clean inputs says the same.
#[test]
fn nothing_behind_an_end_counts() {
    let (log, weights, warned) = trained(0.0, "mask = \"x.h5:/mask\"", 1);
    assert!(!warned && log.len() == 14);
    for (behind, ends, ranks) in [
        (0.0, "lengths = \"x.h5:/lengths\"", 1),
        (f64::NAN, "lengths = \"x.h5:/lengths\"", 2),
        (1e300, "lengths = \"x.h5:/lengths\"\nmask = \"x.h5:/mask\"", 3),
    ] {
        let (other, found, warned) = trained(behind, ends, ranks);
        assert!(!warned);
        assert_all_near("the log", &other, &log, 1e-12);
        assert_all_near("the weights", &found, &weights, 1e-12);
    }
    // Without them the padding is learned, and warned of.
    let (other, _, warned) = trained(0.0, "", 1);
    assert!(warned && (other[0] - log[0]).abs() > 1e-3);
}

#[test]
fn mistakes_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    write_data(&path("x.h5"), 0.0);
    for (ends, words) in [
        ("length = \"x.h5:/lengths\"", "did you mean \"lengths\"?"),
        ("lengths = \"x.h5:/mask\"", "mask has shape [6, 5]; lengths are [6]"),
    ] {
        let data = format!("[data]\ninputs = \"x.h5:/inputs\"\ntargets = \"x.h5:/targets\"\n{ends}");
        let text =
            format!("[model]\nkind = \"gru\"\nhidden = 4\n{data}\n[training]\nsteps = 1\nlearning_rate = 1e-2\n");
        std::fs::write(path("train.toml"), text).unwrap();
        let done = kpflow(1, &["train".as_ref(), path("train.toml").as_os_str()]);
        assert_eq!(done.status.code(), Some(2));
        assert!(done.errors().len() == 1 && done.errors()[0].contains(words), "lacks {words}: {}", done.stderr);
    }
}
