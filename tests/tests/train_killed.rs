//! A training that is killed at any moment goes on, or begins again, by itself.

use kpflow_tests::{kpflow, Done};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct Training(TempDir);

impl Training {
    fn new(more: &str) -> Self {
        let training = Self(tempfile::tempdir().unwrap());
        let text = format!(
            "[model]\nkind = \"gru\"\nhidden = 6\n[task]\nname = \"flip_flop\"\n[training]\nsteps = 12\nbatch = 4\nlearning_rate = 1e-2\n{more}\n\
             [compute]\nseed = 3\n[output]\ndirectory = \"tr\"\n"
        );
        std::fs::write(training.path("train.toml"), text).unwrap();
        training
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn train(&self, flags: &[&str]) -> Done {
        kpflow(1, &[&["train", &self.path("train.toml").display().to_string()], flags].concat())
    }

    fn last(&self) -> Vec<u8> {
        std::fs::read(self.path("tr/checkpoints/step_000012.safetensors")).unwrap()
    }

    fn losses(&self) -> String {
        std::fs::read_to_string(self.path("tr/loss.csv")).unwrap()
    }
}

#[track_caller]
fn refused(done: &Done, words: &[&str]) {
    assert_eq!((done.status.code(), done.errors().len()), (Some(2), 1), "{}", done.stderr);
    assert!(words.iter().all(|w| done.errors()[0].contains(w)), "lacks one of {words:?}: {}", done.stderr);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn killed_before_its_first_state() {
    let whole = Training::new("every = 5");
    whole.train(&[]).success();
    // What a kill between the first checkpoint and the first state leaves; with and without the
    // losses; one checkpoint later; nothing at all.
    for left in [&["step_000000"][..], &["step_000000", "step_000005"], &[]] {
        for losses in [true, false] {
            let killed = Training::new("every = 5");
            std::fs::create_dir_all(killed.path("tr/checkpoints")).unwrap();
            for name in left {
                let name = format!("tr/checkpoints/{name}.safetensors");
                std::fs::copy(whole.path(&name), killed.path(&name)).unwrap();
            }
            if losses {
                std::fs::write(killed.path("tr/loss.csv"), "step,loss,gradient_norm\n").unwrap();
            }
            killed.train(&["--resume"]).success();
            assert!(killed.last() == whole.last() && killed.losses() == whole.losses(), "{left:?}");
        }
    }
    // Without --resume it is still somebody's training.
    let killed = Training::new("every = 5");
    copy(&whole.path("tr"), &killed.path("tr"));
    refused(&killed.train(&[]), &["is there from an earlier training"]);
    // A training whose state is gone, and one of another seed, are not begun again unasked.
    std::fs::remove_file(killed.path("tr/resume.safetensors")).unwrap();
    refused(&killed.train(&["--resume"]), &["step_0000", "--force"]);
    let other = Training::new("every = 5");
    let text = std::fs::read_to_string(other.path("train.toml")).unwrap().replace("seed = 3", "seed = 4");
    std::fs::write(other.path("train.toml"), text).unwrap();
    std::fs::create_dir_all(other.path("tr/checkpoints")).unwrap();
    let first = "tr/checkpoints/step_000000.safetensors";
    std::fs::copy(whole.path(first), other.path(first)).unwrap();
    refused(&other.train(&["--resume"]), &["step_000000", "--force"]);
}

#[test]
fn a_state_is_there_before_any_checkpoint() {
    // Killed as soon as it has begun: the state of step 0.
    let whole = Training::new("every = 5");
    whole.train(&[]).success();
    let begun = Training::new("every = 5\ncheckpoints = [0]");
    let text = std::fs::read_to_string(begun.path("train.toml")).unwrap();
    std::fs::write(begun.path("train.toml"), text.replace("steps = 12", "steps = 1")).unwrap();
    begun.train(&[]).success();
    std::fs::write(begun.path("train.toml"), text.replace("checkpoints = [0]\n", "")).unwrap();
    begun.train(&["--resume"]).success();
    assert!(begun.last() == whole.last());
    assert_eq!(begun.losses(), whole.losses());
}

#[test]
fn losses_that_a_kill_cut_short() {
    let whole = Training::new("every = 5");
    whole.train(&[]).success();
    let killed = Training::new("every = 5");
    let text = std::fs::read_to_string(killed.path("train.toml")).unwrap();
    std::fs::write(killed.path("train.toml"), text.replace("steps = 12", "steps = 5")).unwrap();
    killed.train(&[]).success();
    std::fs::write(killed.path("train.toml"), text).unwrap();
    // Lines of steps that the state does not know, the last one torn so that it looks like an
    // earlier step's.
    let lines = format!("{}6,1.0,1.0\n7,1.0,1.0\n1", killed.losses());
    std::fs::write(killed.path("tr/loss.csv"), lines).unwrap();
    killed.train(&["--resume"]).success();
    assert_eq!(killed.losses(), whole.losses());
}

#[test]
fn a_damaged_state_is_found() {
    let whole = Training::new("every = 5");
    whole.train(&[]).success();
    let state = std::fs::read(whole.path("tr/resume.safetensors")).unwrap();
    let head = u64::from_le_bytes(state[..8].try_into().unwrap()) as usize;
    let damaged = |what: &str, bytes: &[u8]| {
        let t = Training::new("every = 5");
        copy(&whole.path("tr"), &t.path("tr"));
        std::fs::write(t.path("tr/resume.safetensors"), bytes).unwrap();
        let done = t.train(&["--resume"]);
        assert_eq!((done.status.code(), done.errors().len()), (Some(2), 1), "{what}: {}", done.stderr);
        let line = done.errors()[0].to_string();
        assert!(line.contains("resume.safetensors") && line.contains("--force"), "{what}: {line}");
        // And what it says to do works.
        t.train(&["--force"]).success();
        assert!(t.last() == whole.last(), "{what}");
    };
    for cut in [0, 5, head / 2, head + 8, state.len() - 1] {
        damaged(&format!("cut at {cut}"), &state[..cut]);
    }
    // A bit of a weight, of the optimiser's memory, and of the step.
    for at in [head + 8 + 3, (head + 8 + state.len()) / 2, state.len() - 2] {
        let mut bytes = state.clone();
        bytes[at] ^= 0x10;
        damaged(&format!("a bit at {at}"), &bytes);
    }
    let at = state.windows(3).position(|w| w == b"12 ").unwrap();
    let mut bytes = state.clone();
    bytes[at + 1] = b'1';
    damaged("another step", &bytes);
    // Bytes more than were written.
    damaged("longer", &[&state[..], &[0; 8]].concat());
}
