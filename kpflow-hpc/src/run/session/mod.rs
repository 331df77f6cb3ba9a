//! A linearised model that answers one request after another, in numbers and without a file: what a program
//! holds that asks as it goes.
//!
//! A linearisation borrows its network: both live on a thread of their own, which a [`Session`] sends requests to.

use super::analyse::{analyse, progress_of};
use super::operators::Memos;
use super::rounding::Rounding;
use super::tensors::{collect, tensor_shape};
use super::{memory_of, require_state};
use crate::analysis::{Operator, Tensor};
use crate::comm::Comm;
use crate::engine::{require_memory, Engine, Real};
use crate::error::{fits, Error, Kind, Result};
use crate::events;
use crate::job::Job;
use crate::journal::Journal;
use crate::load::zero_behind;
use crate::model::Loaded;
use crate::network::Watched;
use crate::progress::Watch;
use crate::results::Record;
use crate::signals::Signals;
use crate::threads::threads;
use kpflow_core::machine::Tasks;
use kpflow_core::model::Linearization;
use kpflow_core::ntk::{Coupling, ParameterJacobian};
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Shape};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Instant;

/// Bytes of the thread's stack: as a program's first thread has.
const STACK: usize = 8 << 20;

/// What is known of a model that was linearised.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The kind of model.
    pub kind: &'static str,
    /// n_θ.
    pub parameters: usize,
    /// [B, T, N].
    pub shape: [usize; 3],
    /// The variables that are the state, in their order.
    pub variables: Vec<Watched>,
    /// The steps of each trajectory, where they differ.
    pub lengths: Option<Vec<usize>>,
    /// The key of all random numbers.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
    /// Vectors that products are fast with, at once.
    pub block: usize,
    /// The operators that this model has, and the shape of what each acts on.
    pub operators: Vec<(Operator, [usize; 3])>,
    /// What to know before trusting a number.
    pub warnings: Vec<String>,
}

/// What is asked of a model.
#[derive(Debug)]
pub enum Ask<T> {
    /// A x or Aᵀ x.
    Apply {
        /// A.
        operator: Operator,
        /// Whether Aᵀ.
        adjoint: bool,
        /// x, `[trajectory][vector][step, unit]`.
        x: Vec<T>,
        /// Where A x is written; made longer, or shorter, if it has to be.
        y: Vec<T>,
    },
    /// An analysis: what one `[[analysis]]` of a job says, and another seed, perhaps, than the job's.
    Analyse(toml::Table, Option<u64>),
    /// The state.
    State,
    /// (dz/dθ) w of `[vector][n_θ]`, or its transpose of `[trajectory][vector][step, unit]`.
    Jacobian {
        /// Whether the transpose.
        adjoint: bool,
        /// w, or what the transpose is applied to.
        x: Vec<T>,
    },
}

/// What is answered.
#[derive(Debug)]
pub enum Answer<T> {
    /// A x, as x was, and x.
    Product {
        /// A x.
        y: Vec<T>,
        /// x, whose memory may be of use again.
        x: Vec<T>,
    },
    /// What was found, and what to know of it.
    Found(Box<Record<T>>, Vec<String>),
    /// The state `[B, T, N]`, or a product with the Jacobian.
    State(Vec<T>),
}

/// An answer that will come.
#[derive(Debug)]
pub struct Pending<T> {
    /// Where it comes. Nothing comes of a session that has ended.
    pub answer: Receiver<Result<Answer<T>>>,
    /// By it the work is [asked](Signals::ask) to end: it does between two blocks of products, with an error.
    /// Work of one piece (a closed form, a
    /// decomposition) is done to its end.
    pub stop: Signals,
    /// How far an analysis is, once it has begun.
    pub progress: Arc<OnceLock<Watch>>,
}

struct Request<T> {
    ask: Ask<T>,
    signals: Signals,
    progress: Arc<OnceLock<Watch>>,
    reply: Sender<Result<Answer<T>>>,
}

/// A linearised model on a thread of its own, which ends when this is dropped and its work is done.
pub struct Session<T> {
    requests: Sender<Request<T>>,
}

/// A session that begins: it, and where the facts of its model come once it is linearised.
pub type Beginning<T> = (Session<T>, Receiver<Result<Facts>>);

impl<T: Real> Session<T> {
    /// Begins to read and linearise the model of a job, whose analyses count for nothing: paths in its text are
    /// relative to `path`.
    ///
    /// **Errors**: the job is wrong. What is wrong with its files comes in the place of the facts.
    pub fn begin(path: &Path, job: toml::Table, asked: Option<usize>) -> Result<Beginning<T>> {
        let model = Model { path: path.into(), table: job };
        let job = model.job(toml::Table::from_iter([("quantity".into(), "trace".into())]), None)?;
        if !job.stages.is_empty() {
            let what = "weights are several checkpoints, a training run; a model is of one of them";
            return Err(Error::input(path, format!("in [model]: {what}: name it")));
        }
        let threads = threads(asked)?;
        let (requests, asked) = channel();
        let (ready, facts) = channel();
        let work = move || {
            if let Err(e) = serve::<T>(&model, &job, threads, &ready, &asked) {
                // Nobody listens any more where who began it was interrupted.
                let _ = ready.send(Err(e));
            }
        };
        let thread = thread::Builder::new().name("kpflow".into()).stack_size(STACK).spawn(work);
        thread.map_err(|e| Error::run(format!("a thread could not be started: {e}")))?;
        Ok((Self { requests }, facts))
    }

    /// Asks for something; requests are answered in their order.
    pub fn ask(&self, ask: Ask<T>) -> Pending<T> {
        let (reply, answer) = channel();
        let (stop, progress) = (Signals::default(), Arc::default());
        // A thread that has ended drops the request, and with it the way of the answer.
        let _ = self.requests.send(Request { ask, signals: stop.clone(), progress: Arc::clone(&progress), reply });
        Pending { answer, stop, progress }
    }
}

/// A job without its analyses.
struct Model {
    path: PathBuf,
    table: toml::Table,
}

impl Model {
    /// The job of one analysis, whose name is that of its quantity unless it has one.
    fn job(&self, analysis: toml::Table, seed: Option<u64>) -> Result<Job> {
        let mut one = analysis;
        if let (Some(quantity), false) = (one.get("quantity").cloned(), one.contains_key("name")) {
            one.insert("name".into(), quantity);
        }
        let mut table = self.table.clone();
        table.insert("analysis".into(), toml::Value::Array(vec![one.into()]));
        // Nothing is written: nothing has to be cut in parts.
        let job = Job::parse(&self.path, table.to_string())?;
        Ok(Job { parts: f64::INFINITY, seed: seed.unwrap_or(job.seed), ..job })
    }
}

/// Makes the model, and answers until nobody asks any more.
fn serve<T: Real>(
    model: &Model,
    job: &Job,
    threads: usize,
    ready: &Sender<Result<Facts>>,
    requests: &Receiver<Request<T>>,
) -> Result<()> {
    let engine = Engine::within(Comm::alone(), threads)?;
    crate::check::outputs::require(job, &engine)?;
    let (loaded, warnings) = events::keeping(|| Loaded::<T>::load(job, &engine));
    let loaded = loaded?;
    loaded.linearized(loaded.weights(), &engine, |lin| {
        require_state(job, &loaded, lin, &engine)?;
        let serving = Serving { model, loaded: &loaded, lin, engine: &engine };
        let facts = serving.facts(job, [loaded.warnings(), warnings].concat());
        kpflow_estimate::make_ready();
        let heard = ready.send(Ok(facts)).is_ok();
        let mut scratch = Vec::new();
        for Request { ask, signals, progress, reply } in requests.iter().filter(|_| heard) {
            // Who asked has gone away before it began.
            if signals.received() != [0, 0] {
                continue;
            }
            let answer = catch_unwind(AssertUnwindSafe(|| serving.answer(ask, (signals, &progress), &mut scratch)));
            let wrong = |_| Err(Error::run("internal: a panic, whose words are on standard error; please report this"));
            let _ = reply.send(answer.unwrap_or_else(wrong));
        }
        Ok(())
    })?
}

/// What answers are made of.
struct Serving<'a, T> {
    model: &'a Model,
    loaded: &'a Loaded<T>,
    lin: &'a Linearization<'a, T>,
    engine: &'a Engine,
}

impl<T: Real> Serving<'_, T> {
    fn facts(&self, job: &Job, warnings: Vec<String>) -> Facts {
        let has = |&(_, operator): &(&str, Operator)| {
            let made = operator.make(self.lin, self.engine, Coupling::All).ok()?;
            let Shape { trajectories, steps, units } = made.domain();
            Some((operator, [trajectories, steps, units]))
        };
        Facts {
            kind: job.model.kind.name(),
            parameters: self.loaded.network().parameters(),
            shape: self.loaded.state_shape(),
            variables: self.loaded.network().watched(),
            lengths: self.loaded.lengths().map(<[usize]>::to_vec),
            seed: job.seed,
            threads: self.engine.lanes(),
            block: self.loaded.block,
            operators: Operator::ALL.iter().filter_map(has).collect(),
            warnings,
        }
    }

    fn answer(
        &self,
        ask: Ask<T>,
        (signals, progress): (Signals, &OnceLock<Watch>),
        scratch: &mut Vec<T>,
    ) -> Result<Answer<T>> {
        match ask {
            Ask::Apply { operator, adjoint, x, y } => self.apply(operator, adjoint, (x, y), scratch),
            Ask::Analyse(analysis, seed) => self.analyse(analysis, seed, (signals, progress)),
            Ask::State => Ok(Answer::State(self.loaded.state(self.lin))),
            Ask::Jacobian { adjoint, x } => self.jacobian(adjoint, x).map(Answer::State),
        }
    }

    fn jacobian(&self, adjoint: bool, mut x: Vec<T>) -> Result<Vec<T>> {
        let op = ParameterJacobian::total(self.lin, self.engine);
        let (from, to) = if adjoint { (op.codomain(), op.domain()) } else { (op.domain(), op.codomain()) };
        let vectors = x.len() / from.len().max(1);
        if let Some(lengths) = self.loaded.lengths().filter(|_| adjoint) {
            let each: Vec<usize> = lengths.iter().flat_map(|&length| vec![length; vectors]).collect();
            zero_behind(&mut x, from.steps, &each);
        }
        require_memory(((op.scratch_len(vectors) + vectors * to.len()) * std::mem::size_of::<T>()) as f64)?;
        let (mut y, mut scratch) = (vec![T::zero(); vectors * to.len()], vec![T::zero(); op.scratch_len(vectors)]);
        let (input, output) = (fits(BlockRef::new(from, vectors, &x)), fits(BlockMut::new(to, vectors, &mut y)));
        fits(match adjoint {
            true => op.apply_adjoint(input, output, &mut scratch),
            false => op.apply(input, output, &mut scratch),
        });
        Ok(y)
    }

    fn apply(
        &self,
        operator: Operator,
        adjoint: bool,
        (mut x, mut y): (Vec<T>, Vec<T>),
        scratch: &mut Vec<T>,
    ) -> Result<Answer<T>> {
        let op = operator.make(self.lin, self.engine, Coupling::All)?;
        // All of them are square.
        let shape = op.domain();
        let vectors = x.len() / shape.len().max(1);
        if vectors * shape.len() != x.len() {
            let found = x.len();
            return Err(Error::usage(format!(
                "x has {found} numbers; a vector of {} has {}",
                operator.name(),
                shape.len()
            )));
        }
        if let Some(lengths) = self.loaded.lengths() {
            // Behind the end of a trajectory there is nothing that an operator could read.
            let each: Vec<usize> = lengths.iter().flat_map(|&length| vec![length; vectors]).collect();
            zero_behind(&mut x, shape.steps, &each);
        }
        y.resize(x.len(), T::zero());
        let needed = op.scratch_len(vectors);
        require_memory((needed * std::mem::size_of::<T>()) as f64)?;
        if scratch.len() < needed {
            *scratch = Vec::new();
            *scratch = vec![T::zero(); needed];
        }
        let (input, output) = (BlockRef::new(shape, vectors, &x), BlockMut::new(shape, vectors, &mut y));
        let (input, output) = (fits(input), fits(output));
        fits(match adjoint {
            true => op.apply_adjoint(input, output, scratch),
            false => op.apply(input, output, scratch),
        });
        Ok(Answer::Product { y, x })
    }

    fn analyse(
        &self,
        analysis: toml::Table,
        seed: Option<u64>,
        (signals, seen): (Signals, &OnceLock<Watch>),
    ) -> Result<Answer<T>> {
        let Self { loaded, lin, engine, .. } = *self;
        let job = self.model.job(analysis, seed)?;
        let progress = progress_of(&job.analyses[0], false);
        // A request is answered once.
        let _ = seen.set(progress.watch());
        let (found, warnings) = events::keeping(|| -> Result<Record<T>> {
            let clock = Instant::now();
            loaded.require_with(&job)?;
            require_memory(memory_of(&job, loaded, lin, engine)?)?;
            let rounding = Rounding::measure::<T>(&job, loaded, &[], engine)?;
            // It writes nothing: it listens.
            let journal = Journal::open(crate::held::directory(), 0, None, false, signals, engine.grid());
            let memos = Memos::new(&job, journal);
            memos.journal.begin(&job.analyses[0].name, false);
            memos.journal.look()?;
            let one = &job.analyses[0];
            let made = analyse(&job, one, (loaded, lin, engine), (&memos, rounding.of(one)), &|m, value, error| {
                progress.tell(m, value, error);
            });
            let (mut record, tensors) = made.map_err(|e| self.explained(e))?;
            for Tensor { name, block, single } in &tensors {
                let shape = tensor_shape(block, engine.grid());
                let shape = if *single { &shape[1..] } else { &shape[..] };
                record.tensors.push((*name, shape.to_vec(), collect(block, engine.grid())));
            }
            record.operator = one.operator.name().into();
            record.quantity = one.quantity.name.into();
            record.seconds = clock.elapsed().as_secs_f64();
            Ok(record)
        });
        Ok(Answer::Found(Box::new(found?), warnings))
    }

    /// Where a node has no finite derivative, that is the cause of what failed.
    fn explained(&self, e: Error) -> Error {
        match e.kind {
            Kind::Run => self.loaded.require_numbers(self.engine).err().unwrap_or(e),
            Kind::Input | Kind::Halted(_) => e,
        }
    }
}

#[cfg(test)]
mod tests;
