//! `kpflow demo`: a trained network at several stages of its training, ready to be analysed.

use crate::cli;
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::job::train::{TrainData, TrainJob};
use crate::replace::{replace, replaceable, ANY};
use crate::results;
use crate::tasks::{self, Batch, Sizes};
use std::path::{Path, PathBuf};

/// Trajectories of the inputs.
const TRAJECTORIES: usize = 12;
/// The number of their batch: no training gets there.
const BATCH: u32 = u32::MAX;

/// A network that `kpflow train` has trained, and how.
struct Demo {
    name: &'static str,
    about: &'static str,
    /// The training's job.
    train: &'static str,
    /// The steps that are kept, and their weights.
    stages: &'static [(usize, &'static [u8])],
}

macro_rules! demo {
    ($name:literal, $about:literal, [$($step:literal),*]) => {
        Demo {
            name: $name,
            about: $about,
            train: include_str!(concat!($name, "/train.toml")),
            stages: &[$(($step, include_bytes!(concat!($name, "/step_", $step, ".safetensors")))),*],
        }
    };
}

/// A demo of each task, by which the command line knows them.
const DEMOS: [Demo; tasks::ALL.len()] = [
    demo!("flip_flop", "an rnn that remembers three signs", [0, 100, 500, 3000]),
    demo!("memory_pro", "a gru that remembers an angle", [0, 900, 1000, 1200]),
    demo!("line_attractor", "an rnn that adds up pulses", [0, 100, 500, 2000]),
    demo!("low_rank_forecast", "an lstm that forecasts a linear system", [0, 100, 500, 2000]),
];

/// Writes a demo, or lists all. Collective: one process writes.
pub fn demo(options: &cli::Demo, comm: Comm) -> Result<()> {
    comm.agree(if comm.is_root() { write(options) } else { Ok(()) })
}

fn write(options: &cli::Demo) -> Result<()> {
    let Some(demo) = options.name.as_ref().and_then(|name| DEMOS.iter().find(|d| d.name == name)) else {
        for demo in &DEMOS {
            let stages: Vec<String> = demo.stages.iter().map(|s| s.0.to_string()).collect();
            println!("{:18} {}; steps {}", demo.name, demo.about, stages.join(", "));
        }
        println!("\nkpflow demo NAME [DIRECTORY] writes one.");
        return Ok(());
    };
    let directory = options.directory.clone().unwrap_or_else(|| demo.name.into());
    let files = files(demo)?;
    let inputs = directory.join("inputs.h5");
    let mut all: Vec<PathBuf> = files.iter().map(|f| directory.join(&f.0)).collect();
    all.push(inputs.clone());
    if let Some(there) = all.iter().find(|path| !options.force && path.exists()) {
        return Err(Error::input(there, "is there already; choose another directory, or --force replaces it"));
    }
    all.iter().try_for_each(|path| replaceable(path, &ANY))?;
    let checkpoints = directory.join("checkpoints");
    std::fs::create_dir_all(&checkpoints).map_err(|e| Error::input(&checkpoints, format!("cannot be made: {e}")))?;
    for (name, bytes) in &files {
        replace(&directory.join(name), bytes)?;
    }
    write_inputs(demo, &inputs)?;
    println!("{} written: {}\n", directory.display(), demo.about);
    println!("cd {}", directory.display());
    println!("kpflow run job.toml");
    println!("kpflow report results.*.h5");
    Ok(())
}

/// The name of a stage.
fn stage(step: usize) -> String {
    format!("step_{step:06}")
}

/// All files of a demo but the inputs, and what is in them.
fn files(demo: &Demo) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files: Vec<(String, Vec<u8>)> = demo
        .stages
        .iter()
        .map(|(step, bytes)| (format!("checkpoints/{}.safetensors", stage(*step)), bytes.to_vec()))
        .collect();
    files.push(("train.toml".into(), demo.train.into()));
    files.push(("job.toml".into(), job(demo)?.into()));
    Ok(files)
}

/// The training that made a demo.
fn training(demo: &Demo) -> Result<TrainJob> {
    TrainJob::parse(Path::new("train.toml"), demo.train)
}

/// The job for all stages.
fn job(demo: &Demo) -> Result<String> {
    let kind = training(demo)?.model.kind.name();
    let name = demo.name;
    Ok(format!(
        r#"# {about}, as train.toml trains it: its neural tangent kernel.
[model]
kind    = "{kind}"
weights = "checkpoints/*.safetensors"  # every stage of the training
prefix  = "rnn."

[data]
inputs = "inputs.h5:/inputs"         # {TRAJECTORIES} trajectories of {name} that the training has not seen

[output]
file = "results.h5"                  # results.step_000000.h5, ...

[[analysis]]
name     = "trace"
operator = "ntk"
quantity = "trace"

[[analysis]]
name        = "effective_rank"       # tr²/‖·‖_F²: in how many directions the state can be moved
operator    = "ntk"
quantity    = "effective_rank"
rtol        = 0.02
max_matvecs = 400

[[analysis]]
name        = "modes"                # what is learned first
operator    = "ntk"
quantity    = "eigenpairs"
count       = 10
rtol        = 1e-4

[[analysis]]
name        = "time"                 # when in a trajectory learning acts
operator    = "ntk"
quantity    = "marginal"
axis        = "time"
max_matvecs = 200
"#,
        about = demo.about
    ))
}

/// Draws inputs, targets and mask and writes them.
fn write_inputs(demo: &Demo, path: &Path) -> Result<()> {
    let job = training(demo)?;
    let TrainData::Task(_, task) = &job.data else { return Err(Error::run("a demo is trained on a task")) };
    let Sizes { steps, n_in, n_out } = task.sizes();
    let Batch { inputs, targets, mask, .. } = tasks::batch(&**task, job.seed, BATCH, 0..TRAJECTORIES);
    let write = || -> hdf5::Result<()> {
        let file = hdf5::File::create(path)?;
        results::array(&file, "inputs", &[TRAJECTORIES, steps, n_in], inputs)?;
        results::array(&file, "targets", &[TRAJECTORIES, steps, n_out], targets)?;
        results::array(&file, "mask", &[TRAJECTORIES, steps], mask)?;
        file.close()
    };
    write().map_err(|e| Error::input(path, format!("cannot be written: {e}; its directory must be writable")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demos_are_small_and_what_they_say() {
        let mut bytes = 0;
        for (demo, name) in DEMOS.iter().zip(tasks::names()) {
            let job = training(demo).unwrap();
            assert_eq!(demo.name, name);
            let TrainData::Task(task, _) = &job.data else { panic!() };
            assert_eq!(*task, name);
            // The training keeps exactly the stages that are here.
            let kept: Vec<usize> = (0..=job.steps).filter(|&s| job.keeps(s)).collect();
            assert!(kept.iter().eq(demo.stages.iter().map(|s| &s.0)), "{name}: {kept:?}");
            bytes += demo.stages.iter().map(|s| s.1.len()).sum::<usize>();
        }
        assert!(bytes < 1 << 20, "{bytes}");
    }
}
