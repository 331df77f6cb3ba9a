//! `kpflow run`: load, linearise, analyse, write.

pub mod analyse;
mod context;
mod made_of;
mod operators;
mod range;
pub(crate) mod rounding;
pub mod session;
mod signal;
pub mod stages;
mod tensors;
mod told;

use crate::analysis::Tensor;
use crate::cli;
use crate::comm::{Comm, Grid, Traffic};
use crate::engine::{require_memory, status_bytes, Engine, Real};
use crate::error::{Error, Halt, Kind, Result};
use crate::events::{self, Voice};
use crate::job::{Analysis, Job, Precision};
use crate::journal::{directory_of, Journal};
use crate::memory;
use crate::model::{trajectories, Inputs, Loaded};
use crate::plan;
use crate::progress::{self, Progress};
use crate::results::{table, Header, Lock, ResultFile, Spent, StageOf};
use crate::signals::Signals;
use crate::threads::threads;
use analyse::{analyse, progress_of};
use kpflow_core::model::Linearization;
use kpflow_estimate::Tall;
use made_of::{Making, Weights};
use operators::Memos;
use rounding::Rounding;
use serde_json::json;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};
use tensors::{collect, tensor_shape, write_part};
use xxhash_rust::xxh3::xxh3_64;

/// Runs a job. Collective.
pub fn run(options: &cli::Run, comm: Comm) -> Result<()> {
    if options.log == cli::Log::Json {
        events::as_json();
    }
    progress::every(options.every);
    let mut job = comm.agree(Job::read(&options.job))?;
    stages::share(&mut job, comm);
    if let Some(output) = &options.output {
        job.output.clone_from(output);
    }
    job.grid = options.grid.or(job.grid);
    let grid = grid_of(&job, comm)?;
    let engine = comm.agree(threads(options.threads).and_then(|threads| Engine::new(grid, threads)))?;
    match job.precision {
        Precision::F64 => run_in::<f64>(&job, options, &engine),
        Precision::F32 => run_in::<f32>(&job, options, &engine),
    }
}

/// The grid that the job asks for, or that leaves the busiest rank least to do. Collective.
fn grid_of(job: &Job, comm: Comm) -> Result<Grid> {
    let ranks = comm.size();
    let groups = || match job.grid {
        Some([trajectories, probes]) if trajectories * probes != ranks => {
            let asked = trajectories * probes;
            let what = format!(
                "grid asks for {trajectories} × {probes} = {asked} ranks and there are {ranks}; run it on {asked}, or take \"auto\""
            );
            Err(Error::input(&job.path, what))
        }
        Some([_, probes]) => Ok(probes),
        None => Ok(Grid::groups(ranks, trajectories(job)?, job.block)),
    };
    Grid::new(comm, comm.agree(groups())?)
}

/// All runs of a job: one, or one a stage.
fn run_in<T: Real>(job: &Job, options: &cli::Run, engine: &Engine) -> Result<()> {
    let grid = engine.grid();
    let voice = Voice(grid.is_root() && !options.quiet);
    let signals = grid.agree(Signals::listen())?;
    if !job.stages.is_empty() {
        stages::check::<T>(job, grid.world())?;
        stages::replaceable(job, options.resuming(), grid)?;
    }
    grid.agree((0..job.runs()).try_for_each(|i| stages::apart(&job.at(i))))?;
    let mut inputs: Option<Rc<Inputs<T>>> = None;
    let weights = Weights::default();
    for i in 0..job.runs() {
        let this = job.at(i);
        let stage = job.stages.get(i).map(|s| StageOf {
            name: s.name.clone(),
            index: i,
            count: job.runs(),
            number: job.stage_numbers()[i],
        });
        let reading = Progress::of("reading the files", "bytes", 0, voice.0);
        let loaded = match inputs {
            None => Loaded::load(&this, engine),
            Some(inputs) => Loaded::load_on(inputs, &this, engine),
        };
        let loaded = loaded.map_err(|e| this.in_stage(e))?;
        drop(reading);
        inputs = Some(loaded.inputs());
        grid.agree(loaded.require_with(&this))?;
        let making = Making::of(&this, &loaded, &weights, grid).map_err(|e| this.in_stage(e))?;
        let header = header_of(&this, &loaded, stage, &making, engine);
        if let Some(stage) = &header.stage {
            // Whether it is finished is written down, which a dry run does not.
            let whole = options.resuming() && !options.dry_run && stages::is_whole(&this, &header, &making, grid)?;
            let file = this.model.weights.display();
            let what = if whole { "finished before".into() } else { format!("{file}") };
            let fields =
                || json!({ "stage": stage.name, "stage_index": i, "stages": stage.count, "finished_before": whole });
            voice.say("stage", fields, || format!("stage {} of {}, {}: {what}", i + 1, stage.count, stage.name));
            if whole {
                continue;
            }
        }
        let run = run_one(&this, &job.heaviest(), options, engine, (&loaded, &header, &making, &signals));
        run.map_err(|e| this.in_stage(e))??;
    }
    if voice.0 && !options.dry_run && !job.stages.is_empty() {
        print!("\n{}", table::stages(job));
    }
    Ok(())
}

/// One run: a model and a result file. `heaviest` has the analyses that need most, of those that follow too.
///
/// What comes back within is what shapes forbid at any stage.
fn run_one<T: Real>(
    job: &Job,
    heaviest: &Job,
    options: &cli::Run,
    engine: &Engine,
    (loaded, header, making, signals): (&Loaded<T>, &Header, &Making, &Signals),
) -> Result<Result<()>> {
    let clock = Instant::now();
    let grid = engine.grid();
    let sent = grid.traffic();
    let voice = Voice(grid.is_root() && !options.quiet);
    let verbose = grid.is_root() && options.verbose && !events::is_json();
    let done = loaded.linearized(loaded.weights(), engine, |lin| {
        let state = require_state(job, loaded, lin, engine)?;
        let state = (job.keep_state && !options.dry_run).then_some(state);
        if grid.is_root() {
            header.warnings.iter().for_each(|w| events::warning(w));
        }
        let bytes = match grid.agree(memory_of(heaviest, loaded, lin, engine)) {
            Ok(bytes) => bytes,
            Err(e) => return Ok(Err(e)),
        };
        if options.dry_run {
            grid.agree(require_memory(bytes)).map_err(|e| told::before_it_runs(e, job))?;
            return told::dry::<T>(job, options, engine, (header, making), (bytes, voice)).map(Ok);
        }
        voice.say("started", || told::started(job, header, options.resuming(), bytes), || told::head(header, bytes));
        grid.agree(require_memory(bytes))?;
        if verbose {
            told::how(loaded, lin);
        }
        let lock = grid.agree(grid.is_root().then(|| Lock::take(&job.output)).transpose())?;
        let opened = if !grid.is_root() {
            Ok((None, Vec::new()))
        } else if options.resuming() {
            let resumed = ResultFile::resume(&job.output, header, &making.analyses, options.redo);
            resumed.map(|(f, done)| (Some(f), done))
        } else {
            ResultFile::create(&job.output, header).map(|f| (Some(f), Vec::new()))
        };
        let (file, finished) = grid.agree(opened)?;
        // Every rank has to know what the root found finished.
        let mut names = finished.join("\n").into_bytes();
        grid.broadcast(&mut names);
        let names = String::from_utf8_lossy(&names).into_owned();
        let finished: Vec<&str> = names.split('\n').collect();
        if let Some(state) = state {
            let state = collect(&Tall { shape: loaded.shape, vectors: 1, data: state }, grid);
            grid.agree(file.as_ref().map_or(Ok(()), |f| f.add_state(state)))?;
        }
        let journal = open_journal(job, options.resuming(), signals, making, grid);
        let rounding = Rounding::measure(job, loaded, &finished, engine)?;
        analyses(job, options, engine, (loaded, lin, &rounding), (file.as_ref(), making), &finished, journal)?;
        let spent = spent(grid, sent);
        if verbose {
            told::needed(&spent);
        }
        grid.agree(file.map_or(Ok(()), |f| f.finish(clock.elapsed(), spent)))?;
        drop(lock);
        let written = || format!("{} written in {:.1} s", job.output.display(), clock.elapsed().as_secs_f64());
        voice.say("finished", || told::ended(job, clock.elapsed(), &spent), written);
        Result::Ok(Ok(()))
    })?;
    done
}

/// The state, every number of which is finite. Collective.
fn require_state<T: Real>(
    job: &Job,
    loaded: &Loaded<T>,
    lin: &Linearization<'_, T>,
    engine: &Engine,
) -> Result<Vec<T>> {
    let state = loaded.state(lin);
    let finite = state.iter().all(|x| x.is_finite());
    let wrong =
        || Error::input(&job.model.weights, "the state overflows on these inputs; check dt, weights and inputs");
    if let Err(e) = engine.grid().agree(if finite { Ok(()) } else { Err(wrong()) }) {
        loaded.require_numbers(engine)?;
        return Err(e);
    }
    Ok(state)
}

/// Bytes that a run will need on this rank.
///
/// **Errors**: an analysis asks for what this model does not have; nothing is computed.
pub fn memory_of<T: Real>(job: &Job, loaded: &Loaded<T>, lin: &Linearization<'_, T>, engine: &Engine) -> Result<f64> {
    let (grid, lanes) = (engine.grid(), kpflow_core::machine::Tasks::lanes(engine));
    let about = (loaded.lengths(), loaded.network().watched());
    plan::memory(job, loaded.sizes(), (lin, lanes), about, [grid.size(), grid.probes()])
}

/// What the result file says of a run.
fn header_of<T: Real>(
    job: &Job,
    loaded: &Loaded<T>,
    stage: Option<StageOf>,
    making: &Making,
    engine: &Engine,
) -> Header {
    let grid = engine.grid();
    Header {
        job: job.text.clone(),
        model: job.model.kind.name().into(),
        parameters: loaded.network().parameters(),
        shape: [loaded.trajectories, loaded.shape.steps, loaded.shape.units],
        seed: job.seed,
        precision: job.precision.name().into(),
        ranks: grid.world().size(),
        grid: [grid.size(), grid.probes()],
        threads: kpflow_core::machine::Tasks::lanes(engine),
        started: SystemTime::now(),
        lengths: loaded.lengths().map(<[usize]>::to_vec),
        variables: loaded.network().watched(),
        stage,
        made_of: making.common.clone(),
        files: making.files(job),
        warnings: loaded.warnings(),
    }
}

/// The journal of a job.
fn open_journal(job: &Job, resume: bool, signals: &Signals, making: &Making, grid: Grid) -> Journal {
    // What was written by another version, or is of other numbers, is of no use.
    let about = format!("{} {}", env!("CARGO_PKG_VERSION"), making.common.to_json());
    let fingerprint = xxh3_64(about.as_bytes());
    let interval = job.checkpoint.map(Duration::from_secs_f64);
    Journal::open(directory_of(&job.output), fingerprint, interval, resume, signals.clone(), grid)
}

fn analyses<T: Real>(
    job: &Job,
    options: &cli::Run,
    engine: &Engine,
    (loaded, lin, rounding): (&Loaded<T>, &Linearization<'_, T>, &Rounding),
    (file, making): (Option<&ResultFile>, &Making),
    finished: &[&str],
    journal: Journal,
) -> Result<()> {
    let grid = engine.grid();
    let voice = Voice(grid.is_root() && !options.quiet);
    let memos = Memos::new(job, journal);
    let journal = &memos.journal;
    let mut recent: Vec<&Analysis> = Vec::new();
    kpflow_estimate::make_ready();
    for (i, analysis) in job.analyses.iter().enumerate() {
        if finished.contains(&analysis.name.as_str()) {
            let name = analysis.name.as_str();
            voice.say("analysis_finished_before", || json!({ "name": name }), || format!("{name}: finished before"));
            continue;
        }
        let made_of = making.one(&analysis.name);
        let (clock, sent, held) = (Instant::now(), grid.traffic(), memory::peak_from_here());
        if voice.0 && events::is_json() {
            let (operator, quantity) = (analysis.operator.name(), analysis.quantity.name);
            let fields = json!({ "name": analysis.name, "operator": operator, "quantity": quantity, "max_matvecs": analysis.max_matvecs });
            events::emit("analysis_started", fields);
        }
        let progress = progress_of(analysis, voice.0);
        let tell = |m: usize, v: f64, e: f64| progress.tell(m, v, e);
        let mut again = false;
        let (mut record, tensors) = loop {
            journal.begin(&format!("{} {}", analysis.name, made_of.to_json()), again);
            let look = journal.look().map_err(Error::from);
            match look
                .and_then(|()| analyse(job, analysis, (loaded, lin, engine), (&memos, rounding.of(analysis)), &tell))
            {
                Ok(found) => break found,
                Err(e) => match e.kind {
                    Kind::Halted(Halt::Diverged) => again = true,
                    Kind::Halted(Halt::Signal(signal)) => return Err(ended(job, analysis, signal)),
                    Kind::Run => {
                        // Where a node has no finite derivative, it is the cause.
                        loaded.require_numbers(engine)?;
                        return Err(e);
                    }
                    Kind::Input => return Err(e),
                },
            }
        };
        drop(progress);
        for Tensor { name, block, single } in &tensors {
            let shape = tensor_shape(block, grid);
            let bytes = shape.iter().product::<usize>() * std::mem::size_of::<T>();
            if bytes as f64 <= job.parts * 1048576.0 {
                let shape = if *single { &shape[1..] } else { &shape[..] };
                record.tensors.push((*name, shape.to_vec(), collect(block, grid)));
            } else {
                record.parts.push(write_part(job, &analysis.name, (*name, block), shape, grid)?);
            }
        }
        record.made_of = made_of;
        record.operator = analysis.operator.name().into();
        record.quantity = analysis.quantity.name.into();
        record.part.clone_from(&analysis.part);
        record.axes.clone_from(&analysis.axes);
        record.with_stage.clone_from(&analysis.with_stage);
        record.seconds = clock.elapsed().as_secs_f64();
        let used = [(memory::peak() - held) as u64, grid.traffic().bytes - sent.bytes];
        [record.memory, record.bytes_sent] = grid.world().most(used);
        let said = told::line(&analysis.name, analysis.quantity, &record);
        let event = told::finished(&analysis.name, &record);
        grid.agree(file.map_or(Ok(()), |f| f.add(&analysis.name, record)))?;
        if voice.0 {
            println!("{said}");
            if events::is_json() {
                events::emit("analysis_finished", event);
            }
        }
        recent.push(analysis);
        let rest = || job.analyses[i + 1..].iter().filter(|a| !finished.contains(&a.name.as_str()));
        if !rest().any(|a| a.may_read_after(analysis)) {
            memos.forget(analysis);
        }
        if !rest().any(|a| recent.iter().any(|b| a.same_operator(b))) {
            journal.reset();
            recent.clear();
        }
    }
    journal.reset();
    Ok(())
}

/// What the run has needed so far, on the rank that needed most. Collective.
fn spent(grid: Grid, before: Traffic) -> Spent {
    let sent = grid.traffic();
    let (bytes, messages, waited) =
        (sent.bytes - before.bytes, sent.messages - before.messages, sent.waited - before.waited);
    let peak = status_bytes("VmHWM").unwrap_or(0);
    let [bytes_sent, messages, waited, peak_memory] = grid.world().most([bytes, messages, waited, peak]);
    Spent { peak_memory, bytes_sent, messages, waited_seconds: waited as f64 * 1e-9 }
}

/// What a run that was asked to end leaves.
fn ended(job: &Job, analysis: &Analysis, signal: &str) -> Error {
    let kept = match job.checkpoint {
        Some(_) => "what had finished and the state of it are kept",
        None => "what had finished is kept",
    };
    let message = format!("{signal} ended the run in [[analysis]] {}; {kept}, and --resume goes on", analysis.name);
    Error { file: Some(job.output.clone()), ..Error::run(message) }
}
