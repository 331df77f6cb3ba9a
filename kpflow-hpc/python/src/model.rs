//! A linearised model: products and analyses, by a thread that has it.

use crate::block::{Layout, Numbers};
use crate::error::{raised, JOB};
use crate::held::{hold, File, Tensor};
use crate::progress::Teller;
use kpflow_hpc::analysis::Operator;
use kpflow_hpc::engine::Real;
use kpflow_hpc::held::{directory, Held};
use kpflow_hpc::job::Precision;
use kpflow_hpc::journal::{bytes, bytes_mut};
use kpflow_hpc::progress::{Seen, Watch};
use kpflow_hpc::results::Record;
use kpflow_hpc::run::session::{Answer, Ask, Facts, Pending, Session};
use pyo3::buffer::Element;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often one who waits looks whether it was interrupted.
const LOOK: Duration = Duration::from_millis(100);
/// How long work that is to end may take to it before nobody waits for it any more.
const END: Duration = Duration::from_millis(700);
/// Blocks whose memory is kept for the next product: one that is read, one that is written.
const KEPT: usize = 2;

/// A session of numbers of a type, and memory for its blocks.
struct Typed<T> {
    session: Session<T>,
    spare: Mutex<Vec<Vec<T>>>,
}

enum Either {
    Single(Typed<f32>),
    Double(Typed<f64>),
}

/// An array for Python: its name, the type of its numbers as numpy calls it, its shape, its bytes.
type Named<'py> = (String, &'static str, Vec<usize>, Bound<'py, PyBytes>);

/// What an analysis found: its fields as JSON, its arrays, what to know of it.
type Found<'py> = (String, Vec<Named<'py>>, Vec<String>);

/// A linearised model.
#[pyclass(frozen, module = "kpflow._kpflow")]
pub struct Model {
    either: Either,
    facts: Facts,
    directory: PathBuf,
    process: u32,
    /// Weights and inputs, which may be read again.
    _held: Vec<Held>,
}

/// Waits for what a thread sends, with Python free to do other things, and tells how far it is; where it is
/// interrupted the thread is asked to `stop`.
fn wait<R: Send>(py: Python<'_>, from: Receiver<R>, stop: impl Fn(), tell: impl Fn() -> PyResult<()>) -> PyResult<R> {
    let (mut from, mut ended) = (from, None::<(PyErr, Instant)>);
    loop {
        let come;
        (from, come) = py.detach(move || {
            let come = from.recv_timeout(LOOK);
            (from, come)
        });
        // What comes too late is not waited for: the next request is answered behind it.
        let late = matches!(come, Err(RecvTimeoutError::Timeout));
        let over = |since: &Instant| !late || since.elapsed() > END;
        match (come, ended.take_if(|(_, since)| over(since))) {
            (_, Some((e, _))) => return Err(e),
            (Ok(answer), None) => return Ok(answer),
            (Err(RecvTimeoutError::Disconnected), None) => return Err(closed("its thread has ended")),
            (Err(RecvTimeoutError::Timeout), None) => {}
        }
        if ended.is_none() {
            if let Err(e) = py.check_signals().and_then(|()| tell()) {
                stop();
                ended = Some((e, Instant::now()));
            }
        }
    }
}

fn closed(why: &str) -> PyErr {
    PyRuntimeError::new_err(format!("the model is closed: {why}; linearize it again"))
}

impl<T: Real + Element> Typed<T> {
    fn begin(py: Python<'_>, path: &Path, job: toml::Table, threads: Option<usize>) -> PyResult<(Self, Facts)> {
        let (session, facts) = Session::begin(path, job, threads).map_err(|e| raised(&e))?;
        let facts = wait(py, facts, || {}, || Ok(()))?.map_err(|e| raised(&e))?;
        Ok((Self { session, spare: Mutex::default() }, facts))
    }

    fn answer(&self, py: Python<'_>, ask: Ask<T>, teller: &Teller<'_>) -> PyResult<Answer<T>> {
        let Pending { answer, stop, progress } = self.session.ask(ask);
        let tell = || teller.tell(progress.get().and_then(Watch::look));
        wait(py, answer, || stop.ask(), tell)?.map_err(|e| raised(&e))
    }

    /// A block of so many numbers: one that was used before, if there is one.
    fn block(&self, len: usize) -> Vec<T> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut block = spare.pop().unwrap_or_default();
        block.resize(len, T::zero());
        block
    }

    fn keep(&self, block: Vec<T>) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < KEPT {
            spare.push(block);
        }
    }

    /// Applies an operator to all vectors of an array, so many at once.
    fn apply(
        &self,
        (operator, adjoint): (Operator, bool),
        (x, y): (&Bound<'_, PyAny>, &Bound<'_, PyAny>),
        layout: Layout,
        at_once: usize,
        teller: &Teller<'_>,
    ) -> PyResult<()> {
        let clock = Instant::now();
        let (py, count) = (x.py(), layout.vectors * layout.trajectories * layout.each);
        let (x, y) = (Numbers::<T>::of(x, count, false)?, Numbers::<T>::of(y, count, true)?);
        for first in (0..layout.vectors).step_by(at_once.max(1)) {
            // Blocks that are done before one looks are looked at here.
            py.check_signals()?;
            teller.tell(Some(Seen {
                done: first as u64,
                total: layout.vectors as u64,
                unit: "products",
                seconds: clock.elapsed().as_secs_f64(),
                words: String::new(),
            }))?;
            let part = first..(first + at_once).min(layout.vectors);
            let len = part.len() * layout.trajectories * layout.each;
            let mut block = self.block(len);
            layout.read(&x, &part, &mut block);
            let ask = Ask::Apply { operator, adjoint, x: block, y: self.block(len) };
            if let Answer::Product { y: found, x: block } = self.answer(py, ask, &Teller(None))? {
                layout.write(&y, &part, &found);
                self.keep(found);
                self.keep(block);
            }
        }
        Ok(())
    }

    /// What was found: its fields as JSON, its arrays, what to know of it.
    fn analyse<'py>(
        &self,
        py: Python<'py>,
        analysis: toml::Table,
        seed: Option<u64>,
        teller: &Teller<'py>,
    ) -> PyResult<Found<'py>> {
        let Answer::Found(record, warnings) = self.answer(py, Ask::Analyse(analysis, seed), teller)? else {
            return Err(closed("it answered something else"));
        };
        let Record { arrays, tensors, history, .. } = &*record;
        let mut named: Vec<Named<'py>> = Vec::new();
        for (name, shape, numbers) in arrays {
            named.push(((*name).into(), "f8", shape.clone(), PyBytes::new(py, bytes(numbers))));
        }
        for (name, shape, numbers) in tensors {
            named.push(((*name).into(), of_numbers::<T>(), shape.clone(), PyBytes::new(py, bytes(numbers))));
        }
        if !history.is_empty() {
            named.push((
                "history".into(),
                "f8",
                vec![history.len(), 3],
                PyBytes::new(py, bytes(history.as_flattened())),
            ));
        }
        let Record { operator, quantity, method, converged, matvecs, seconds, status, .. } = &*record;
        // JSON has no infinite numbers.
        let number = |x: f64| PyBytes::new(py, bytes(&[x]));
        let scalars = [("value", record.value), ("standard_error", record.standard_error)];
        named.extend(scalars.into_iter().filter_map(|(name, x)| Some((name.into(), "f8", Vec::new(), number(x?)))));
        if let Some(ends) = record.interval {
            named.push(("interval".into(), "f8", vec![2], PyBytes::new(py, bytes(&ends))));
        }
        let fields = json!({
            "operator": operator, "quantity": quantity, "method": method, "converged": converged,
            "matvecs": matvecs, "seconds": seconds, "status": status,
        });
        Ok((fields.to_string(), named, warnings))
    }

    fn jacobian<'py>(&self, py: Python<'py>, adjoint: bool, x: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let size = std::mem::size_of::<T>();
        let mut numbers = vec![T::zero(); x.len() / size];
        bytes_mut(&mut numbers).copy_from_slice(&x[..x.len() / size * size]);
        match self.answer(py, Ask::Jacobian { adjoint, x: numbers }, &Teller(None))? {
            Answer::State(y) => Ok(PyBytes::new(py, bytes(&y))),
            Answer::Product { .. } | Answer::Found(..) => Err(closed("it answered something else")),
        }
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        match self.answer(py, Ask::State, &Teller(None))? {
            Answer::State(state) => Ok(PyBytes::new(py, bytes(&state))),
            Answer::Product { .. } | Answer::Found(..) => Err(closed("it answered something else")),
        }
    }
}

/// The type of numbers, as numpy calls it.
fn of_numbers<T>() -> &'static str {
    if std::mem::size_of::<T>() == 4 {
        "f4"
    } else {
        "f8"
    }
}

/// A table of a job, which Python writes as JSON.
pub fn table(json: &str) -> PyResult<toml::Table> {
    serde_json::from_str(json).map_err(|e| PyValueError::new_err(e.to_string()))
}

#[pymethods]
impl Model {
    /// Reads and linearises the model of a job, a JSON of its tables; paths are relative to that of a job file,
    /// or name what is `held`.
    #[new]
    #[pyo3(signature = (job, path, held, threads))]
    fn new(
        py: Python<'_>,
        job: &str,
        path: Option<PathBuf>,
        held: Vec<(String, File<'_>)>,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let (job, directory) = (table(job)?, directory());
        let path = path.unwrap_or_else(|| directory.join(JOB));
        let held = held.iter().map(|(name, file)| hold(&directory, name, file)).collect::<PyResult<Vec<Held>>>()?;
        let precision = job.get("compute").and_then(|c| c.get("precision")).and_then(|p| p.as_str());
        let (either, facts) = if precision.and_then(Precision::named) == Some(Precision::F32) {
            let (typed, facts) = Typed::begin(py, &path, job, threads)?;
            (Either::Single(typed), facts)
        } else {
            let (typed, facts) = Typed::begin(py, &path, job, threads)?;
            (Either::Double(typed), facts)
        };
        Ok(Self { either, facts, directory, process: std::process::id(), _held: held })
    }

    /// What is known of it, as JSON.
    fn facts(&self) -> String {
        let Facts { kind, parameters, shape, variables, lengths, seed, threads, block, operators, warnings } =
            &self.facts;
        let variables: Vec<_> =
            variables.iter().map(|v| json!([v.name, [v.offset, v.stride, v.positions, v.width]])).collect();
        let operators: Vec<_> = operators.iter().map(|(operator, shape)| json!([operator.name(), shape])).collect();
        let dtype = match self.either {
            Either::Single(_) => "float32",
            Either::Double(_) => "float64",
        };
        json!({
            "kind": kind, "parameters": parameters, "shape": shape, "variables": variables, "lengths": lengths,
            "seed": seed, "threads": threads, "block": block, "operators": operators,
            "warnings": warnings, "dtype": dtype,
        })
        .to_string()
    }

    /// Where a file that it holds seems to be, for a model beside it.
    fn place(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes A x, or Aᵀ x, to y: arrays of so many vectors in C order, `[m, n]`, or `[n, m]` of `columns`. It is
    /// told how far it is.
    #[pyo3(signature = (operator, adjoint, x, y, layout, tell))]
    fn apply(
        &self,
        operator: &str,
        adjoint: bool,
        x: &Bound<'_, PyAny>,
        y: &Bound<'_, PyAny>,
        layout: (usize, bool),
        tell: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.require_same_process()?;
        let found = self.facts.operators.iter().find(|(known, _)| known.name() == operator);
        let Some(&(operator, [trajectories, steps, units])) = found else {
            return Err(PyValueError::new_err(format!("this model has no operator {operator}")));
        };
        let ((vectors, columns), teller) = (layout, Teller(tell));
        let layout = Layout { trajectories, each: steps * units, vectors, columns };
        match &self.either {
            Either::Single(typed) => typed.apply((operator, adjoint), (x, y), layout, self.facts.block, &teller),
            Either::Double(typed) => typed.apply((operator, adjoint), (x, y), layout, self.facts.block, &teller),
        }
    }

    /// Makes an analysis, a JSON of its keys, perhaps with an array that is held under its name meanwhile. It is
    /// told how far it is.
    #[pyo3(signature = (analysis, seed, given, tell))]
    fn analyse<'py>(
        &self,
        py: Python<'py>,
        analysis: &str,
        seed: Option<u64>,
        given: Option<Tensor<'py>>,
        tell: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Found<'py>> {
        self.require_same_process()?;
        let mut analysis = table(analysis)?;
        let held = match given {
            Some(tensor) => {
                let name = tensor.0.clone();
                // Two may be at it at the same time.
                let held = hold(&directory(), &name, &File::Tensors(vec![tensor]))?;
                analysis.insert("with".into(), held.path().to_string_lossy().into_owned().into());
                Some(held)
            }
            None => None,
        };
        let teller = Teller(tell);
        let found = match &self.either {
            Either::Single(typed) => typed.analyse(py, analysis, seed, &teller),
            Either::Double(typed) => typed.analyse(py, analysis, seed, &teller),
        };
        drop(held);
        found
    }

    /// The bytes of (dz/dθ) w for `[m, n_θ]`, or of its transpose for `[B, m, T, N]`.
    fn jacobian<'py>(&self, py: Python<'py>, adjoint: bool, x: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        self.require_same_process()?;
        match &self.either {
            Either::Single(typed) => typed.jacobian(py, adjoint, x),
            Either::Double(typed) => typed.jacobian(py, adjoint, x),
        }
    }

    /// The state, `[B, T, N]`, as bytes.
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.require_same_process()?;
        match &self.either {
            Either::Single(typed) => typed.state(py),
            Either::Double(typed) => typed.state(py),
        }
    }
}

impl Model {
    /// A process that was forked has this object, but not its thread.
    fn require_same_process(&self) -> PyResult<()> {
        match self.process == std::process::id() {
            true => Ok(()),
            false => Err(closed("it is of another process, from which this one was forked")),
        }
    }
}
