//! One analysis: what is refused before anything is spent, and how it is made.

use super::context::{Other, Running};
use super::operators::{Memos, Shared};
use super::rounding::Unknown;
use super::tensors::restore;
use crate::analysis::{self, Found, Tensor};
use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::job::{Analysis, Job, Source};
use crate::model::{with_weights, Loaded};
use crate::progress::Progress;
use crate::results::Record;
use kpflow_core::model::Linearization;
use kpflow_estimate::{times_power, Tall};
use std::cell::Cell;

/// What to write, and this rank's part of the tensors that are to be kept.
type Recorded<T> = (Record<T>, Vec<Tensor<Tall<T>>>);

/// The progress of an analysis: products, of those that it may spend.
pub(super) fn progress_of(analysis: &Analysis, speak: bool) -> Progress {
    let falling = analysis.sampled().then_some(analysis.rtol);
    Progress::toward(&analysis.name, "products", analysis.max_matvecs, falling, speak)
}

/// Does one analysis, of products of which so much is `unknown`. Collective. Returns what to write, and this rank's part of the tensors that are to be kept.
pub(super) fn analyse<T: Real>(
    job: &Job,
    analysis: &Analysis,
    (loaded, lin, engine): (&Loaded<T>, &Linearization<'_, T>, &Engine),
    (memos, unknown): (&Memos<'_, T>, Unknown),
    progress: &dyn Fn(usize, f64, f64),
) -> Result<Recorded<T>> {
    // The same on every rank: by the largest part that any of them has.
    let most = loaded.trajectories.div_ceil(engine.grid().size()) * loaded.shape.per_trajectory();
    let shared = memos.of(analysis, most);
    let before = shared.map_or(0, Shared::computed);
    let made = match (&analysis.with, analysis.quantity.with) {
        (Some(with), Some(analysis::With::Weights)) => beside(job, with, loaded, engine, |lin2, weights| {
            let other = Some(Other { lin: lin2, weights });
            made(job, analysis, (loaded, lin, engine), (memos, unknown.delta, shared), other, progress)
        }),
        _ => made(job, analysis, (loaded, lin, engine), (memos, unknown.delta, shared), None, progress),
    };
    // Whatever fails, fails on all ranks alike: it depends on the sizes of the whole job only.
    let mut found = made.map_err(|e| e.in_analysis(&job.path, &analysis.name))?;
    found.round(analysis, unknown);
    let computed = shared.map_or(found.matvecs, |s| s.computed() - before);
    let interval = found.ends();
    let Found { method, stop, status, matvecs, value, standard_error, history, arrays, tensors, .. } = found;
    let record = Record {
        method: method.into(),
        converged: stop.converged(),
        matvecs,
        status: status.unwrap_or(stop.describe()).into(),
        value,
        standard_error,
        interval,
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
    (memos, delta, shared): (&Memos<'_, T>, f64, Option<&'a Shared<T>>),
    other: Option<Other<'a, T>>,
    progress: &dyn Fn(usize, f64, f64),
) -> Result<Found<Tall<T>>> {
    let scale = Cell::new(0);
    let degrees = analysis.quantity.told_degrees(analysis.method.is_sampled());
    let told = |m: usize, value: f64, error: f64| {
        let [value, error] = [(value, degrees[0]), (error, degrees[1])].map(|(x, d)| times_power(x, d * scale.get()));
        progress(m, value, error);
    };
    let context = Running::new(job, analysis, (loaded, lin, engine), (memos, delta), shared, other, (&told, &scale))?;
    let mut found = analysis::run(analysis.quantity, analysis.method, &context)?;
    let k = if found.plain { 0 } else { context.known_exponent() };
    // Of a tensor every rank has a part of its own.
    let [unfit] = engine.grid().world().most([u64::from(restore(&mut found.tensors, analysis.quantity, k))]);
    let left = found.restore(analysis.quantity, k) || unfit > 0;
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
    let other = Loaded::<T>::load_on(loaded.inputs(), &with_weights(job, &with.path), engine)?;
    other.linearized(other.weights(), engine, |lin| {
        let finite = other.state(lin).iter().all(|x| x.is_finite());
        let wrong = || Error::input(&with.path, "the state overflows on these inputs");
        engine.grid().agree(if finite { Ok(()) } else { Err(wrong()) })?;
        f(lin, other.content(engine.grid()).weights)
    })?
}
