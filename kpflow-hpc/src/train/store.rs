//! What a training writes: checkpoints, what a resumed training begins with, the losses.

use super::model::Model;
use super::optimizer::State;
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::load::Checkpoint;
use crate::replace::{begins_with, replace, replaceable, Own, ANY};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// The key of the note in a file that a training is resumed from: the step, the training's
/// fingerprint, and the checksum of it all.
const NOTE: &str = "kpflow_training";

/// The head of the losses.
const HEAD: &str = "step,loss,gradient_norm";
/// The file of losses.
const LOSSES: Own = Own {
    what: "the losses of a training",
    instead: "choose another directory",
    is: |path| Ok(begins_with(path, HEAD.as_bytes())),
    links: false,
};
/// The file that a training is resumed from.
const STATE: Own = Own {
    what: "the state of a training",
    instead: "choose another directory",
    is: |path| Ok(begins_with(path, NOTE.as_bytes())),
    links: false,
};

/// How a training begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// As new: nothing of another training may be there.
    New,
    /// As new, in place of what is there.
    Force,
    /// Where an earlier run ended.
    Resume,
}

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

fn numbers<T: Real>(values: &[T]) -> (Dtype, Vec<u8>) {
    match std::mem::size_of::<T>() {
        4 => (Dtype::F32, values.iter().flat_map(|x| (x.f64() as f32).to_le_bytes()).collect()),
        _ => (Dtype::F64, values.iter().flat_map(|x| x.f64().to_le_bytes()).collect()),
    }
}

/// The lines of losses up to a step. A line that a kill has cut short is none, and nothing that
/// follows it.
fn kept_losses(log: &str, done: usize) -> impl Iterator<Item = &str> {
    let step = move |line: &str| {
        let mut fields = line.split(',');
        let step = fields.next()?.parse::<usize>().ok()?;
        let numbers = fields.map(|f| f.parse::<f64>().ok()).collect::<Option<Vec<f64>>>()?;
        (numbers.len() == 2 && step <= done).then_some(step)
    };
    let mut last = 0;
    log.lines().skip(1).take_while(move |line| {
        let next = step(line).filter(|&s| s > last);
        last = next.unwrap_or(last);
        next.is_some()
    })
}

/// The checksum of a state: of its note and all its tensors.
fn checksum(note: &str, mut tensors: Vec<(&str, &[usize], &[u8])>) -> u64 {
    tensors.sort_unstable_by_key(|t| t.0);
    let mut hash = Xxh3::new();
    hash.update(note.as_bytes());
    for (name, shape, data) in tensors {
        hash.update(format!("\n{name} {shape:?} {}\n", data.len()).as_bytes());
        hash.update(data);
    }
    hash.digest()
}

/// Fails unless a state is what was written. One of an earlier version has no checksum: it is read
/// as it is.
fn require_whole(path: &Path) -> Option<()> {
    let bytes = std::fs::read(path).ok()?;
    let (_, head) = SafeTensors::read_metadata(&bytes).ok()?;
    let note = head.metadata().as_ref().and_then(|m| m.get(NOTE)).cloned();
    // What has no note at all is another file, of which more is said.
    let Some(note) = note else { return Some(()) };
    let Some((said, sum)) = note.rsplit_once(' ').filter(|(said, _)| said.contains(' ')) else { return Some(()) };
    let all = SafeTensors::deserialize(&bytes).ok()?;
    let tensors = all.tensors();
    let tensors = tensors.iter().map(|(name, t)| (name.as_str(), t.shape(), t.data())).collect();
    (format!("{:016x}", checksum(said, tensors)) == sum).then_some(())
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

    /// Makes the directory ready for a training that has a state of so many steps, or none: what
    /// another wrote goes if it is forced, and what this
    /// training wrote before its first state goes if it is resumed.
    ///
    /// **Errors**: if there is what another training wrote, or nothing can be written.
    pub fn prepare<T: Real>(
        &self,
        done: Option<usize>,
        begin: Begin,
        first_kept: Option<usize>,
        model: &Model<T>,
    ) -> Result<()> {
        let checkpoints = self.checkpoints();
        std::fs::create_dir_all(&checkpoints)
            .map_err(|e| Error::input(&checkpoints, format!("cannot be made: {e}")))?;
        replaceable(&self.log(), &LOSSES)?;
        // Damage at its very beginning would hide what it is: then --force says that it may go.
        replaceable(&self.resume_file(), if begin == Begin::Force { &ANY } else { &STATE })?;
        if done.is_none() {
            for file in self.written()? {
                let ours = begin == Begin::Resume && self.was_first(&file, first_kept, model);
                if begin != Begin::Force && !ours {
                    let what = match begin {
                        Begin::Resume => "is there without the resume.safetensors of its training; --force begins anew",
                        Begin::New | Begin::Force => {
                            "is there from an earlier training; --resume goes on with it, --force begins anew"
                        }
                    };
                    return Err(Error::input(&file, what));
                }
                replaceable(&file, &ANY)?;
                std::fs::remove_file(&file).map_err(|e| Error::input(&file, format!("cannot be removed: {e}")))?;
            }
        }
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let kept = kept_losses(&log, done.unwrap_or(0));
        let text: String = [HEAD].into_iter().chain(kept).flat_map(|line| [line, "\n"]).collect();
        replace(&self.log(), text.as_bytes()).map_err(|e| Error { kind: crate::error::Kind::Input, ..e })
    }

    /// Whether a checkpoint may be of this training, killed before its first state was written: of
    /// its first weights, or the next that are kept.
    fn was_first<T: Real>(&self, file: &Path, first_kept: Option<usize>, model: &Model<T>) -> bool {
        if first_kept.is_some_and(|step| file == self.checkpoint(step)) {
            return true;
        }
        let same = |c: &Checkpoint| {
            let equal = |(name, shape, data): (&str, Vec<usize>, &[T])| {
                c.required::<T>(&[name], &shape).is_ok_and(|t| t.data == data)
            };
            model.tensors().into_iter().all(equal)
        };
        file == self.checkpoint(0) && Checkpoint::open(file, "").is_ok_and(|c| same(&c))
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
        let bytes: Vec<(&str, &[usize], Vec<u8>)> =
            tensors.iter().map(|(name, shape, data)| (name.as_str(), shape.as_slice(), numbers(data).1)).collect();
        let sum = checksum(&note, bytes.iter().map(|(name, shape, data)| (*name, *shape, data.as_slice())).collect());
        replace(&self.resume_file(), &serialize(&tensors, (NOTE, format!("{note} {sum:016x}")))?)
    }

    /// Reads what [`save`](Self::save) wrote; returns the step, or `None` if there is nothing.
    ///
    /// **Errors**: if it is of another training.
    pub fn resume<T: Real>(&self, model: &mut Model<T>, state: &mut State<T>) -> Result<Option<usize>> {
        let path = self.resume_file();
        if !path.exists() {
            return Ok(None);
        }
        let damaged =
            || Error::input(&path, "is damaged or cut short, and no training can go on from it; --force begins anew");
        require_whole(&path).ok_or_else(damaged)?;
        let checkpoint = Checkpoint::open(&path, "").map_err(|_| damaged())?;
        let mut note = checkpoint.note(NOTE).unwrap_or_default().split(' ');
        let step = note.next().and_then(|step| step.parse::<usize>().ok());
        let step = step.filter(|_| note.next() == Some(&format!("{:016x}", self.fingerprint)));
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
