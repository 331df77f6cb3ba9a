//! One analysis: what is refused before anything is spent, and how it is made.

use super::context::{Other, Running};
use super::operators::{Memos, Shared};
use crate::analysis::{self, Found, Tensor};
use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::job::{Analysis, Job, Source};
use crate::load::signal::open_signal;
use crate::model::Loaded;
use crate::results::Record;
use kpflow_core::model::Linearization;
use kpflow_estimate::{times_power, Tall};
use std::cell::Cell;

/// Fails if an analysis asks for what this model does not have, or a file is not what it should be: before anything is spent or written.
pub(super) fn check<T: Real>(job: &Job, loaded: &Loaded<T>, lin: &Linearization<'_, T>) -> Result<()> {
    let one = |a: &Analysis| -> Result<()> {
        let sizes = (loaded.trajectories, loaded.lengths());
        analysis::check(a.quantity, a.method.name, &a.asked(), &a.part, sizes, lin)?;
        match (&a.with, a.quantity.with) {
            (Some(with), Some(analysis::With::Weights)) => drop(crate::spelling::open(&with.path)?),
            (Some(with), Some(analysis::With::State)) => drop(open_signal(with, loaded.state_shape(), false)?),
            (Some(with), Some(analysis::With::Vectors)) => drop(open_signal(with, loaded.state_shape(), true)?),
            (None, _) | (_, None) => {}
        }
        Ok(())
    };
    job.analyses.iter().try_for_each(|a| one(a).map_err(|e| in_analysis(job, a, e)))
}

/// An error that says which analysis it is about.
pub(crate) fn in_analysis(job: &Job, analysis: &Analysis, e: Error) -> Error {
    Error {
        message: format!("in [[analysis]] {}: {}", analysis.name, e.message),
        file: e.file.or_else(|| Some(job.path.clone())),
        ..e
    }
}

/// Does one analysis. Collective. Returns what to write, and this rank's part of the tensors that are to be kept.
pub(super) fn analyse<T: Real>(
    job: &Job,
    analysis: &Analysis,
    (loaded, lin, engine): (&Loaded<T>, &Linearization<'_, T>, &Engine),
    memos: &Memos<'_, T>,
    progress: &dyn Fn(usize, f64, f64),
) -> Result<(Record<T>, Vec<Tensor<Tall<T>>>)> {
    // The same on every rank: by the largest part that any of them has.
    let most = loaded.trajectories.div_ceil(engine.grid().size()) * loaded.shape.per_trajectory();
    let shared = memos.of(analysis, most);
    let before = shared.map_or(0, Shared::computed);
    let made = match (&analysis.with, analysis.quantity.with) {
        (Some(with), Some(analysis::With::Weights)) => beside(job, with, loaded, engine, |lin2, weights| {
            let other = Some(Other { lin: lin2, weights });
            made(job, analysis, (loaded, lin, engine), (memos, shared), other, progress)
        }),
        _ => made(job, analysis, (loaded, lin, engine), (memos, shared), None, progress),
    };
    // Whatever fails, fails on all ranks alike: it depends on the sizes of the whole job only.
    let found = made.map_err(|e| in_analysis(job, analysis, e))?;
    let computed = shared.map_or(found.matvecs, |s| s.computed() - before);
    let Found { method, stop, status, matvecs, value, standard_error, history, arrays, tensors, .. } = found;
    let record = Record {
        method: method.into(),
        converged: stop.converged(),
        matvecs,
        status: status.unwrap_or(stop.describe()).into(),
        value,
        standard_error,
        history,
        arrays,
        computed,
        ..Record::default()
    };
    Ok((record, tensors))
}

/// Makes one analysis, and brings what was found of the scaled operator back.
fn made<'a, T: Real>(
    job: &'a Job,
    analysis: &'a Analysis,
    (loaded, lin, engine): (&'a Loaded<T>, &'a Linearization<'a, T>, &'a Engine),
    (memos, shared): (&Memos<'_, T>, Option<&'a Shared<T>>),
    other: Option<Other<'a, T>>,
    progress: &dyn Fn(usize, f64, f64),
) -> Result<Found<Tall<T>>> {
    let scale = Cell::new(0);
    let degrees = analysis.quantity.told_degrees(analysis.method.is_sampled());
    let told = |m: usize, value: f64, error: f64| {
        let [value, error] = [(value, degrees[0]), (error, degrees[1])].map(|(x, d)| times_power(x, d * scale.get()));
        progress(m, value, error);
    };
    let context = Running::new(job, analysis, (loaded, lin, engine), memos, shared, other, (&told, &scale))?;
    let mut found = analysis::run(analysis.quantity, analysis.method, &context)?;
    let left = found.restore(analysis.quantity, context.known_exponent());
    // An overflow is not a result: it ends the run with what to do about it. The same on every rank, as the sums are.
    if left || found.overflows() {
        return Err(Error::run(format!("the operator's products leave the range: {}", super::range::beyond::<T>())));
    }
    context.require_digits()?;
    Ok(found)
}

/// Loads the model with other weights on the same inputs, and calls `f` with it and what its weights are known by.
fn beside<T: Real, R>(
    job: &Job,
    with: &Source,
    loaded: &Loaded<T>,
    engine: &Engine,
    f: impl FnOnce(&Linearization<'_, T>, u64) -> Result<R>,
) -> Result<R> {
    let mut model = job.model.clone();
    model.weights.clone_from(&with.path);
    let job = Job { model, ..job.clone() };
    let other = Loaded::<T>::load_on(loaded.inputs(), &job, engine)?;
    if other.shape != loaded.shape {
        let (found, expected) = (other.shape, loaded.shape);
        return Err(Error::input(&with.path, format!("makes a state of shape {found}; it is {expected} here")));
    }
    other.linearized(other.weights(), engine, |lin| {
        let finite = other.state(lin).iter().all(|x| x.is_finite());
        let wrong = || Error::input(&with.path, "the state overflows on these inputs");
        engine.grid().agree(if finite { Ok(()) } else { Err(wrong()) })?;
        f(lin, other.content(engine.grid()).weights)
    })?
}
