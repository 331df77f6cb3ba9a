//! What a training writes: checkpoints, what a resumed training begins with, the losses.

use super::model::Model;
use super::optimizer::State;
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::load::Checkpoint;
use safetensors::tensor::TensorView;
use safetensors::Dtype;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The key of the note in a file that a training is resumed from: the step and the training's fingerprint.
const NOTE: &str = "kpflow_training";

/// The directory of a training.
pub struct Store {
    directory: PathBuf,
    fingerprint: u64,
    /// Lines of the log that are not written yet.
    lines: String,
}

fn wrong(path: &Path, e: impl std::fmt::Display) -> Error {
    let message = format!("cannot be written: {e}; its directory must exist, be writable and have room");
    Error { file: Some(path.into()), ..Error::run(message) }
}

/// Replaces a file as a whole: whoever reads it finds the old one or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut copy = path.to_path_buf().into_os_string();
    copy.push(".tmp");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&copy)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&copy, path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&copy);
        wrong(path, e)
    })
}

fn numbers<T: Real>(values: &[T]) -> (Dtype, Vec<u8>) {
    match std::mem::size_of::<T>() {
        4 => (Dtype::F32, values.iter().flat_map(|x| (x.f64() as f32).to_le_bytes()).collect()),
        _ => (Dtype::F64, values.iter().flat_map(|x| x.f64().to_le_bytes()).collect()),
    }
}

/// A safetensors file of these tensors with one note: with several their order would be another every time.
fn serialize<T: Real>(tensors: &[(String, Vec<usize>, &[T])], note: (&str, String)) -> Result<Vec<u8>> {
    let mistake = |e| Error::run(format!("tensors cannot be written: {e}"));
    let bytes: Vec<(Dtype, Vec<u8>)> = tensors.iter().map(|t| numbers(t.2)).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), (dtype, bytes))| {
        TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name.as_str(), view))
    });
    let views = views.collect::<std::result::Result<Vec<_>, _>>().map_err(mistake)?;
    safetensors::serialize(views, Some([(note.0.to_string(), note.1)].into())).map_err(mistake)
}

impl Store {
    /// The store of a training in this directory.
    pub fn new(directory: &Path, fingerprint: u64) -> Self {
        Self { directory: directory.into(), fingerprint, lines: String::new() }
    }

    /// The file that a training is resumed from.
    pub fn resume_file(&self) -> PathBuf {
        self.directory.join("resume.safetensors")
    }

    fn checkpoints(&self) -> PathBuf {
        self.directory.join("checkpoints")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("loss.csv")
    }

    /// The file of a step's weights.
    pub fn checkpoint(&self, step: usize) -> PathBuf {
        self.checkpoints().join(format!("step_{step:06}.safetensors"))
    }

    /// Makes the directory ready for a training that has done `step` steps: from 0, what another wrote goes if `force`.
    ///
    /// **Errors**: if there is what another training wrote, or nothing can be written.
    pub fn prepare(&self, step: usize, force: bool) -> Result<()> {
        let checkpoints = self.checkpoints();
        std::fs::create_dir_all(&checkpoints)
            .map_err(|e| Error::input(&checkpoints, format!("cannot be made: {e}")))?;
        if step == 0 {
            for file in self.written()? {
                if !force {
                    let what = "is there from an earlier training; --resume goes on with it, --force begins anew";
                    return Err(Error::input(&file, what));
                }
                std::fs::remove_file(&file).map_err(|e| Error::input(&file, format!("cannot be removed: {e}")))?;
            }
        }
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let kept = log
            .lines()
            .skip(1)
            .filter(|line| line.split(',').next().and_then(|s| s.parse::<usize>().ok()).is_some_and(|s| s <= step));
        let text: String = ["step,loss,gradient_norm"].into_iter().chain(kept).flat_map(|line| [line, "\n"]).collect();
        replace(&self.log(), text.as_bytes()).map_err(|e| Error { kind: crate::error::Kind::Input, ..e })
    }

    /// What a training has written here.
    fn written(&self) -> Result<Vec<PathBuf>> {
        let directory = self.checkpoints();
        let list =
            std::fs::read_dir(&directory).map_err(|e| Error::input(&directory, format!("cannot be read: {e}")))?;
        let ours = |path: &PathBuf| {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let step = name.strip_prefix("step_").and_then(|n| n.strip_suffix(".safetensors"));
            step.is_some_and(|s| s.chars().all(|c| c.is_ascii_digit()))
        };
        let mut found: Vec<PathBuf> = list.flatten().map(|e| e.path()).filter(ours).collect();
        found.sort();
        found.extend(Some(self.resume_file()).filter(|file| file.exists()));
        Ok(found)
    }

    /// Writes a step's weights, by PyTorch's names.
    pub fn keep<T: Real>(&self, step: usize, model: &Model<T>) -> Result<()> {
        let tensors: Vec<_> =
            model.tensors().into_iter().map(|(n, shape, data)| (n.to_string(), shape, data)).collect();
        replace(&self.checkpoint(step), &serialize(&tensors, ("format", "pt".into()))?)
    }

    /// Notes a step's loss and the norm of its gradient.
    pub fn note(&mut self, step: usize, loss: f64, norm: f64) {
        self.lines.push_str(&format!("{step},{loss:e},{norm:e}\n"));
    }

    /// Writes all that a resumed training needs: first the losses, so that none is missing, then weights and optimiser in one file.
    pub fn save<T: Real>(&mut self, step: usize, model: &Model<T>, state: &State<T>) -> Result<()> {
        let append = || File::options().append(true).open(self.log())?.write_all(self.lines.as_bytes());
        append().map_err(|e| wrong(&self.log(), e))?;
        self.lines.clear();
        let weights = model.tensors();
        let mut tensors: Vec<_> =
            weights.iter().map(|(n, shape, data)| (n.to_string(), shape.clone(), *data)).collect();
        for (name, memory) in &state.memory {
            let mut rest = memory.as_slice();
            for (of, shape, data) in &weights {
                let (now, next) = rest.split_at(data.len());
                tensors.push((format!("{name}.{of}"), shape.clone(), now));
                rest = next;
            }
        }
        let note = format!("{step} {:016x}", self.fingerprint);
        replace(&self.resume_file(), &serialize(&tensors, (NOTE, note))?)
    }

    /// Reads what [`save`](Self::save) wrote; returns the step, or `None` if there is nothing.
    ///
    /// **Errors**: if it is of another training.
    pub fn resume<T: Real>(&self, model: &mut Model<T>, state: &mut State<T>) -> Result<Option<usize>> {
        let path = self.resume_file();
        if !path.exists() {
            return Ok(None);
        }
        let checkpoint = Checkpoint::open(&path, "")?;
        let note = checkpoint.note(NOTE).and_then(|note| note.split_once(' '));
        let step = note.and_then(|(step, fingerprint)| {
            let same = fingerprint == format!("{:016x}", self.fingerprint);
            step.parse::<usize>().ok().filter(|_| same)
        });
        let Some(step) = step else {
            let what = "is of another training; --resume wants the same job (steps, checkpoints, every and output may differ), --force begins anew";
            return Err(Error::input(&path, what));
        };
        let names: Vec<(String, Vec<usize>)> =
            model.tensors().into_iter().map(|(name, shape, _)| (name.to_string(), shape)).collect();
        for ((name, shape), part) in names.iter().zip(model.parts_mut()) {
            part.copy_from_slice(&checkpoint.required::<T>(&[name], shape)?.data);
        }
        for (what, memory) in &mut state.memory {
            memory.clear();
            for (name, shape) in &names {
                memory.extend(checkpoint.required::<T>(&[&format!("{what}.{name}")], shape)?.data);
            }
        }
        Ok(Some(step))
    }
}
