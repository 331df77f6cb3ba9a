//! `kpflow train`: gradient descent by the same P and J that everything else is computed with.

mod batches;
mod model;
mod optimizer;
mod store;

use crate::cli;
use crate::comm::{shard, Comm};
use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::events;
use crate::job::train::{TrainData, TrainJob};
use crate::job::Precision;
use crate::progress::Progress;
use crate::results::Lock;
use crate::signals::Signals;
use crate::spelling::number_of;
use crate::threads::threads;
use batches::{Batches, Memory};
use kpflow_core::machine::Tasks;
use model::Model;
use optimizer::{clip, State};
use std::time::{Duration, Instant};
use store::{Begin, Store};

/// How often what a resumed training needs is written, besides at the checkpoints.
const SAVE: Duration = Duration::from_secs(60);

/// Runs a training. Collective.
pub fn train(options: &cli::Train, comm: Comm) -> Result<()> {
    let mut job = comm.agree(TrainJob::read(&options.job))?;
    if let Some(output) = &options.output {
        job.directory.clone_from(output);
    }
    let engine = comm.agree(threads(options.threads).and_then(|threads| Engine::new(comm, threads)))?;
    match job.precision {
        Precision::F64 => Training::<f64>::open(&job, options, &engine)?.run(),
        Precision::F32 => Training::<f32>::open(&job, options, &engine)?.run(),
    }
}

/// A training under way.
struct Training<'a, T> {
    job: &'a TrainJob,
    engine: &'a Engine,
    model: Model<T>,
    state: State<T>,
    batches: Batches<T>,
    store: Store,
    signals: Signals,
    speak: bool,
    /// Steps that are done.
    step: usize,
    _lock: Option<Lock>,
}

/// What one step found: the loss before it, the norm of the gradient, a signal, whether it is time to save.
struct Found {
    loss: f64,
    norm: f64,
    signal: Option<&'static str>,
    save: bool,
}

impl<'a, T: Real> Training<'a, T> {
    /// Reads and checks everything, and goes on where an earlier run ended. Collective.
    fn open(job: &'a TrainJob, options: &cli::Train, engine: &'a Engine) -> Result<Self> {
        let grid = engine.grid();
        let signals = grid.agree(Signals::listen())?;
        let store = Store::new(&job.directory, job.fingerprint);
        let read = || -> Result<_> {
            let batches = Batches::<T>::open(job)?;
            if let Some(warning) = batches.warning()?.filter(|_| grid.is_root()) {
                events::warning(&warning);
            }
            let mut model = Model::<T>::new(job, batches.sizes)?;
            let mut state = State::new(job.optimizer, job.learning_rate, model.parameters());
            let done = match options.resume {
                true => store.resume(&mut model, &mut state)?,
                false => None,
            };
            Ok((batches, model, state, done))
        };
        let (batches, model, state, done) = grid.agree(read())?;
        let prepare = || -> Result<Option<Lock>> {
            if !grid.is_root() {
                return Ok(None);
            }
            std::fs::create_dir_all(&job.directory)
                .map_err(|e| Error::input(&job.directory, format!("cannot be made: {e}")))?;
            let lock = Lock::take(&store.resume_file())?;
            let begin = match (options.resume, options.force) {
                (true, _) => Begin::Resume,
                (false, true) => Begin::Force,
                (false, false) => Begin::New,
            };
            let first_kept = (1..=job.steps).find(|&s| job.keeps(s));
            store.prepare(done, begin, first_kept, &model)?;
            Ok(Some(lock))
        };
        let lock = grid.agree(prepare())?;
        let speak = grid.is_root() && !options.quiet;
        let step = done.unwrap_or(0);
        let mut training = Self { job, engine, model, state, batches, store, signals, speak, step, _lock: lock };
        training.introduce();
        if done.is_none() {
            // Before any checkpoint: whenever it is killed, there is something to go on from.
            training.save()?;
        }
        Ok(training)
    }

    fn introduce(&self) {
        if !self.speak {
            return;
        }
        let (job, sizes) = (self.job, self.batches.sizes);
        let on = match &job.data {
            TrainData::Task(name, _) => name.to_string(),
            TrainData::Files { inputs, .. } => inputs.path.display().to_string(),
        };
        let (ranks, lanes) = (number_of(self.engine.grid().size(), "rank"), number_of(self.engine.lanes(), "thread"));
        eprintln!(
            "{} with {} parameters on {on}, {} trajectories of {} steps at a time; {ranks} × {lanes}",
            job.model.kind.name(),
            self.model.parameters(),
            self.batches.batch,
            sizes.steps,
        );
        if self.step > 0 {
            eprintln!("{} of {} steps were done before", self.step.min(job.steps), job.steps);
        }
    }

    fn run(mut self) -> Result<()> {
        let grid = self.engine.grid();
        let range = shard(self.batches.batch, grid.size(), grid.rank());
        let (first, clock, mut saved) = (self.step, Instant::now(), Instant::now());
        let mut memory = Memory::default();
        let mut gradient = vec![T::zero(); self.model.parameters()];
        if first == 0 && self.job.keeps(0) {
            self.keep(None)?;
        }
        let progress = Progress::of("training", "steps", self.job.steps, self.speak);
        while self.step < self.job.steps {
            // A file that cannot be read is found by one rank, perhaps: nobody waits for it.
            grid.agree(self.batches.get(self.step, range.clone()).map(drop))?;
            let due = saved.elapsed() > SAVE;
            let found = self.change(range.clone(), &mut memory, &mut gradient, due)?;
            self.step += 1;
            if grid.is_root() {
                self.store.note(self.step, found.loss, found.norm);
            }
            let (done, left) = (self.step - first, self.job.steps - self.step);
            let seconds = clock.elapsed().as_secs_f64() / done as f64 * left as f64;
            progress.say(self.step, format!("loss {:.4e}, about {seconds:.0} s left", found.loss));
            if self.job.keeps(self.step) {
                progress.hidden(|| self.keep(Some(found.loss)))?;
            }
            if found.save || found.signal.is_some() || self.job.keeps(self.step) {
                self.save()?;
                saved = Instant::now();
            }
            if let Some(signal) = found.signal.filter(|_| self.step < self.job.steps) {
                let what = format!("{signal} ended the training after step {}; --resume goes on from there", self.step);
                return Err(Error { file: Some(self.store.resume_file()), ..Error::run(what) });
            }
        }
        drop(progress);
        if self.speak {
            let done = self.step.saturating_sub(first);
            let seconds = clock.elapsed().as_secs_f64();
            let rate = if done > 0 { format!(", {:.1} a second", done as f64 / seconds) } else { String::new() };
            eprintln!("{done} steps in {seconds:.1} s{rate}; {}", self.job.directory.display());
        }
        Ok(())
    }

    /// Changes the weights once. Collective.
    fn change(
        &mut self,
        range: std::ops::Range<usize>,
        memory: &mut Memory<T>,
        gradient: &mut [T],
        due: bool,
    ) -> Result<Found> {
        let grid = self.engine.grid();
        let batch = self.batches.get(self.step, range.clone())?;
        let [loss, weight] = self.model.gradient(batch, range.len(), memory, self.engine, gradient)?;
        let readout = self.model.readout_parameters();
        let theta = gradient.len() - readout;
        grid.sum(&mut gradient[theta..]);
        let [term, usr1] = self.signals.received();
        let mut sums = [loss, weight, term as f64, usr1 as f64, f64::from(u8::from(due && grid.is_root()))];
        grid.sum(&mut sums);
        let [loss, weight, term, usr1, save] = sums;
        if weight == 0.0 {
            let what = format!("the mask of step {} is 0 everywhere; at least one weight is above 0", self.step + 1);
            return Err(Error::input(&self.job.path, what));
        }
        let numbers = weight * self.batches.sizes.n_out as f64;
        gradient.iter_mut().for_each(|g| *g *= T::of(1.0 / numbers));
        let norm = gradient.iter().map(|g| g.f64() * g.f64()).sum::<f64>().sqrt();
        let loss = loss / numbers;
        if !loss.is_finite() || !norm.is_finite() {
            return Err(self.diverged(loss));
        }
        if let Some(most) = self.job.clip {
            clip(gradient, norm, most);
        }
        self.state.step(self.step + 1, gradient, self.model.parts_mut());
        let signal = Signals::name(&[term as u64, usr1 as u64]);
        Ok(Found { loss, norm, signal, save: save > 0.0 })
    }

    fn diverged(&self, loss: f64) -> Error {
        let kept = (0..=self.step).rev().find(|&s| self.job.keeps(s));
        let kept = kept.map_or("no checkpoint was before it".into(), |s| format!("the checkpoint of step {s} is kept"));
        let what = match loss.is_finite() {
            true => "the gradient is not finite".into(),
            false => format!("the loss is {loss}"),
        };
        let step = self.step + 1;
        Error::run(format!("at step {step} {what}; a smaller learning_rate or clip may help, and {kept}"))
    }

    /// Writes a checkpoint. Collective.
    fn keep(&self, loss: Option<f64>) -> Result<()> {
        let grid = self.engine.grid();
        grid.agree(if grid.is_root() { self.store.keep(self.step, &self.model) } else { Ok(()) })?;
        if self.speak {
            let loss = loss.map_or(String::new(), |loss| format!("loss {loss:.6e}, "));
            println!("step {}: {loss}{}", self.step, self.store.checkpoint(self.step).display());
        }
        Ok(())
    }

    /// Writes what a resumed training needs. Collective.
    fn save(&mut self) -> Result<()> {
        let grid = self.engine.grid();
        let saved = if grid.is_root() { self.store.save(self.step, &self.model, &self.state) } else { Ok(()) };
        grid.agree(saved)
    }
}
