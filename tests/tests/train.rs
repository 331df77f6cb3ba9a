//! `kpflow train` against torch (`tests/reference/make_training.py`), on several ranks, interrupted, and refused.

use kpflow_tests::{assert_all_near, assert_near, command, kpflow, reference, Background, Done};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

type Tensors = BTreeMap<String, Vec<f64>>;

/// A training in a directory of its own.
struct Training {
    directory: TempDir,
    text: String,
}

impl Training {
    fn new(text: impl Into<String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let training = Self { directory, text: text.into() };
        std::fs::write(training.path("train.toml"), &training.text).unwrap();
        training
    }

    /// One of torch's cases: its weights and data, with these lines of `[training]`.
    fn of(case: &str, model: &str, precision: &str, training: &str) -> Self {
        let (weights, data) = (reference(&format!("training/{case}.safetensors")), data(case));
        let mask = if case == "memory_pro" { String::new() } else { format!("mask = \"{}:/mask\"\n", data.display()) };
        Self::new(format!(
            "[model]\n{model}\nweights = \"{}\"\n[data]\ninputs = \"{1}:/inputs\"\ntargets = \"{1}:/targets\"\n{mask}[training]\n{training}\n[compute]\nprecision = \"{precision}\"\n",
            weights.display(),
            data.display()
        ))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn arguments(&self, flags: &[&str]) -> Vec<String> {
        let path = self.path("train.toml").display().to_string();
        ["train", &path].into_iter().chain(flags.iter().copied()).map(String::from).collect()
    }

    fn attempt(&self, ranks: usize, flags: &[&str]) -> Done {
        kpflow(ranks, &self.arguments(flags))
    }

    fn weights(&self, step: usize) -> Tensors {
        tensors(&self.path(&format!("training/checkpoints/step_{step:06}.safetensors")))
    }

    /// The steps, losses and norms of the log.
    fn log(&self) -> [Vec<f64>; 3] {
        let text = std::fs::read_to_string(self.path("training/loss.csv")).unwrap();
        assert_eq!(text.lines().next(), Some("step,loss,gradient_norm"));
        let rows: Vec<Vec<f64>> =
            text.lines().skip(1).map(|l| l.split(',').map(|x| x.parse().unwrap()).collect()).collect();
        std::array::from_fn(|i| rows.iter().map(|row| row[i]).collect())
    }

    fn files(&self) -> Vec<String> {
        let list = std::fs::read_dir(self.path("training/checkpoints")).unwrap();
        let mut names: Vec<String> = list.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn data(case: &str) -> PathBuf {
    reference(&format!("training/{case}.h5"))
}

fn tensors(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let read = |data: &[u8], dtype: Dtype| -> Vec<f64> {
        match dtype {
            Dtype::F64 => data.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
            _ => data.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
        }
    };
    let all = SafeTensors::deserialize(&bytes).unwrap();
    all.iter().map(|(name, view)| (name.into(), read(view.data(), view.dtype()))).collect()
}

fn dataset(case: &str, name: &str) -> Vec<f64> {
    kpflow_tests::open(data(case)).dataset(name).unwrap().read_raw().unwrap()
}

#[track_caller]
fn assert_same(what: &str, found: &Tensors, expected: &Tensors, tolerance: f64) {
    assert!(found.keys().eq(expected.keys()), "{what}: {:?} {:?}", found.keys(), expected.keys());
    for (name, values) in found {
        assert_all_near(&format!("{what} {name}"), values, &expected[name], tolerance);
    }
}

const KINDS: [(&str, &str); 4] = [
    ("rnn", "kind = \"rnn\""),
    ("leaky_rnn", "kind = \"leaky_rnn\"\ndt = 0.3"),
    ("gru", "kind = \"gru\""),
    ("lstm", "kind = \"lstm\""),
];

/// One step of plain descent with rate 1 moves every weight by its gradient.
#[test]
fn gradients_equal_torch() {
    for (case, model) in KINDS {
        let line = "optimizer = \"sgd\"\nlearning_rate = 1.0\nsteps = 1\nbatch = 5\ncheckpoints = [0]";
        for (precision, tolerance) in [("f64", 1e-12), ("f32", 2e-5)] {
            let training = Training::of(case, model, precision, line);
            training.attempt(1, &[]).success();
            let (before, after) = (training.weights(0), training.weights(1));
            assert_eq!(before.len(), 6);
            for (name, before) in &before {
                let moved: Vec<f64> = before.iter().zip(&after[name]).map(|(a, b)| a - b).collect();
                let expected = dataset(case, &format!("gradient/{name}"));
                assert_all_near(&format!("{case} {name} in {precision}"), &moved, &expected, tolerance);
            }
        }
    }
}

#[test]
fn trainings_equal_torch_on_any_number_of_ranks() {
    for (i, (case, model)) in KINDS.into_iter().enumerate() {
        for optimizer in ["adam", "sgd"] {
            let group = kpflow_tests::open(data(case)).group(optimizer).unwrap();
            let clip: f64 = group.attr("clip").unwrap().read_scalar().unwrap();
            let rest = match optimizer {
                "adam" => format!("learning_rate = 0.02\nclip = {clip}"),
                _ => "optimizer = \"sgd\"\nmomentum = 0.9\nlearning_rate = 0.1".into(),
            };
            // All numbers of ranks for one kind, others for the others: a run takes half a second. Five trajectories on three and four ranks are uneven.
            let ranks: &[usize] = match (optimizer, case) {
                ("adam", "gru") => &[1, 2, 3, 4],
                ("adam", _) => &[1, 3],
                _ => &[1 + i % 2],
            };
            for &ranks in ranks {
                let training = Training::of(case, model, "f64", &format!("{rest}\nsteps = 12\nbatch = 5"));
                training.attempt(ranks, &[]).success();
                let what = format!("{case} {optimizer} on {ranks} ranks");
                let [steps, losses, _] = training.log();
                assert_eq!(steps, (1..=12).map(f64::from).collect::<Vec<_>>());
                assert_all_near(&what, &losses, &dataset(case, &format!("{optimizer}/loss")), 1e-11);
                let after = training.weights(12);
                for (name, values) in &after {
                    let expected = dataset(case, &format!("{optimizer}/final/{name}"));
                    assert_all_near(&format!("{what} {name}"), values, &expected, 1e-10);
                }
            }
        }
    }
}

/// More ranks than trajectories: some have none.
#[test]
fn ranks_without_trajectories() {
    let line = "learning_rate = 0.02\nsteps = 3\nbatch = 2";
    let [one, four] = [1, 4].map(|ranks| {
        let training = Training::of("lstm", "kind = \"lstm\"", "f64", line);
        training.attempt(ranks, &[]).success();
        training.weights(3)
    });
    assert_same("two trajectories on four ranks", &four, &one, 1e-10);
}

#[test]
fn memory_pro_falls_as_with_torch() {
    let training = Training::of("memory_pro", "kind = \"gru\"", "f32", "learning_rate = 1e-2\nsteps = 200\nbatch = 16");
    training.attempt(1, &[]).success();
    let [_, losses, norms] = training.log();
    let expected = dataset("memory_pro", "adam/loss");
    assert!(norms.iter().all(|n| *n > 0.0));
    assert!(expected[199] < 0.2 * expected[0], "torch itself learned something");
    for step in [0, 10, 50, 100, 199] {
        assert_near(&format!("the loss of step {step}"), losses[step], expected[step], 0.02, expected[step]);
    }
}

/// A task's trajectories and the initial weights are drawn, not read.
const TASK: &str = "[model]\nkind = \"gru\"\nhidden = 6\n[task]\nname = \"flip_flop\"\nsteps = 12\n[training]\nlearning_rate = 0.01\nbatch = 6\n[compute]\nprecision = \"f64\"\n";

fn flip_flop(training: &str) -> Training {
    Training::new(TASK.replace("batch = 6\n", &format!("batch = 6\n{training}\n")))
}

#[test]
fn every_task_can_be_learned_on_any_number_of_ranks() {
    for (name, steps) in [("flip_flop", 100), ("memory_pro", 90), ("line_attractor", 100), ("low_rank_forecast", 60)] {
        let rest = "optimizer = \"adam\"\nlearning_rate = 0.02\nbatch = 8";
        let text = format!(
            "[model]\nkind = \"gru\"\nhidden = 10\n[task]\nname = \"{name}\"\n[training]\n{rest}\nsteps = {steps}\n"
        );
        let training = Training::new(&text);
        training.attempt(1, &[]).success();
        let [_, losses, _] = training.log();
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        assert!(mean(&losses[steps - 5..]) < 0.8 * mean(&losses[..5]), "{name}: {losses:?}");
    }
    let [one, three] = [1, 3].map(|ranks| {
        let training = flip_flop("steps = 8");
        training.attempt(ranks, &[]).success();
        training.weights(8)
    });
    assert_same("drawn on three ranks", &three, &one, 1e-10);
}

#[test]
fn resumed_equals_uninterrupted() {
    let whole = flip_flop("steps = 9\nevery = 3");
    let said = whole.attempt(1, &[]).success();
    assert_eq!(said.lines().count(), 4, "{said}");
    assert_eq!(whole.files(), ["000000", "000003", "000006", "000009"].map(|s| format!("step_{s}.safetensors")));

    // Fewer steps at first, on other ranks: how long a training is may change, and how it is divided.
    let parts = flip_flop("steps = 4");
    parts.attempt(2, &[]).success();
    let longer = flip_flop("steps = 9\nevery = 3").text.replace("every = 3", "checkpoints = [6]");
    std::fs::write(parts.path("train.toml"), longer).unwrap();
    parts.attempt(1, &["--resume"]).success();
    for step in [6, 9] {
        assert_same("resumed", &parts.weights(step), &whole.weights(step), 1e-10);
    }
    for (found, expected) in parts.log().iter().zip(&whole.log()) {
        assert_all_near("the log", found, expected, 1e-10);
    }
    // There is nothing left to do.
    assert_eq!(parts.attempt(1, &["--resume"]).success(), "");

    // Another training does not go on with it, nor over it.
    std::fs::write(parts.path("train.toml"), whole.text.replace("0.01", "0.02")).unwrap();
    for (flags, words) in [(&["--resume"][..], "of another training"), (&[], "from an earlier training; --resume")] {
        for ranks in [1, 2] {
            let done = parts.attempt(ranks, flags);
            assert_eq!((done.status.success(), done.errors().len()), (false, 1), "{}", done.stderr);
            assert!(done.stderr.contains(words) && (ranks > 1 || done.status.code() == Some(2)), "{}", done.stderr);
        }
    }
    parts.attempt(1, &["--force"]).success();
    assert_eq!(parts.files(), whole.files());
    assert_eq!(parts.log()[0].len(), 9);
}

/// Waits until the log of a training has a line: then it is well under way.
fn wait_for(training: &Training, run: &mut Background, name: &str) {
    while !training.path(name).exists() && run.running() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_signal_ends_it_and_nothing_is_lost() {
    let line = "steps = 4000\ncheckpoints = [10]";
    for (ranks, signal) in [(1, "TERM"), (2, "USR1")] {
        let training = flip_flop(line);
        let mut run = Background::start(command(ranks, &training.arguments(&[])));
        wait_for(&training, &mut run, "training/checkpoints/step_000010.safetensors");
        run.send(signal);
        let done = run.wait();
        assert!(!done.status.success() && (ranks > 1 || done.status.code() == Some(1)), "{}", done.stderr);
        let said = done.errors();
        assert!(said.len() == 1 && said[0].contains("ended the training after step"), "{}", done.stderr);
        let stopped = training.log()[0].len();
        assert!((10..4000).contains(&stopped));

        // What was saved can be read as a checkpoint, and is gone on with.
        assert!(tensors(&training.path("training/resume.safetensors")).contains_key("rnn.weight_hh_l0"));
        let steps = stopped + 5;
        let shorter = training.text.replace("4000", &steps.to_string());
        std::fs::write(training.path("train.toml"), &shorter).unwrap();
        training.attempt(1, &["--resume"]).success();
        let whole = Training::new(shorter);
        whole.attempt(1, &[]).success();
        assert_same("after a signal", &training.weights(steps), &whole.weights(steps), 1e-6);
        assert_eq!(training.log()[0], whole.log()[0]);
    }
}

#[test]
fn killed_and_resumed() {
    let training = flip_flop("steps = 4000\ncheckpoints = [10, 20]");
    let mut run = Background::start(command(1, &training.arguments(&[])));
    wait_for(&training, &mut run, "training/checkpoints/step_000020.safetensors");
    run.kill();
    std::fs::write(training.path("train.toml"), training.text.replace("4000", "30")).unwrap();
    training.attempt(1, &["--resume"]).success();
    let whole = flip_flop("steps = 30\ncheckpoints = [10, 20]");
    whole.attempt(1, &[]).success();
    assert_same("after a kill", &training.weights(30), &whole.weights(30), 1e-10);
    assert_eq!(training.log(), whole.log());
}

#[test]
fn a_checkpoint_is_what_run_reads() {
    let training = flip_flop("steps = 2");
    training.attempt(1, &[]).success();
    let inputs = data("gru");
    let job = format!(
        "[model]\nkind = \"gru\"\nprefix = \"rnn.\"\nweights = \"training/checkpoints/step_000002.safetensors\"\nreadout = \"readout\"\n[data]\ninputs = \"{}:/inputs\"\n[[analysis]]\nname = \"a\"\nquantity = \"trace\"\n",
        inputs.display()
    );
    std::fs::write(training.path("job.toml"), job).unwrap();
    let path = training.path("job.toml").display().to_string();
    assert!(kpflow(1, &["run", &path]).success().starts_with("a: ntk trace"));
}

#[test]
fn a_loss_that_is_no_number_ends_it() {
    let text = "[model]\nkind = \"rnn\"\nactivation = \"relu\"\nhidden = 8\n[task]\nname = \"line_attractor\"\n[training]\noptimizer = \"sgd\"\nlearning_rate = 1e6\nsteps = 50\ncheckpoints = [0, 1]\n";
    for ranks in [1, 2] {
        let training = Training::new(text);
        let done = training.attempt(ranks, &[]);
        assert!(!done.status.success() && (ranks > 1 || done.status.code() == Some(1)), "{}", done.stderr);
        let said = done.errors();
        let words = ["at step ", "a smaller learning_rate", "the checkpoint of step "];
        assert!(said.len() == 1 && words.iter().all(|w| said[0].contains(w)), "{}", done.stderr);
        assert!(training.weights(0).values().flatten().all(|x| x.is_finite()));
    }
}

#[test]
fn mistakes_are_named() {
    let data = data("gru");
    let given = Training::of("gru", "kind = \"gru\"", "f64", "learning_rate = 1e-3\nsteps = 2").text;
    let masked = |to: &str| given.replace(&format!("{}:/mask", data.display()), to);
    for (text, words) in [
        (given.replace("batch", "btch").replace("steps = 2", "steps = 2\nbtch = 2"), "did you mean \"batch\"?"),
        (given.replace("steps = 2", "steps = 2\nbatch = 13"), "batch = 13 is more than the 12 trajectories"),
        (given.replace(":/targets", ":/mask"), "mask has shape [12, 7]; targets are [12, 7, n_out]"),
        (given.replace(":/inputs", ":/mask"), "inputs are [trajectories, T, n_in]"),
        (masked(&format!("{}:/inputs", data.display())), "a mask is [12, 7]"),
        (masked("none.npy"), "none.npy: cannot be read"),
        (
            given.replace("kind = \"gru\"", "kind = \"lstm\""),
            "rnn.weight_ih_l0 has shape [18, 3]; it should be [24, 3]",
        ),
        (given.replace("kind = \"gru\"", "kind = \"gru\"\nprefix = \"gru.\""), "has no tensor gru.weight_hh_l0"),
        (given.replace("kind = \"gru\"", "kind = \"gru\"\nhidden = 7"), "it should be [21, 3]"),
    ] {
        for ranks in [1, 2] {
            let training = Training::new(text.as_str());
            let done = training.attempt(ranks, &[]);
            assert!(!done.status.success() && (ranks > 1 || done.status.code() == Some(2)), "{words}: {}", done.stderr);
            assert_eq!(done.errors().len(), 1, "{}", done.stderr);
            assert!(done.errors()[0].contains(words), "lacks {words}: {}", done.stderr);
            assert!(!training.path("training").exists());
        }
    }
}
