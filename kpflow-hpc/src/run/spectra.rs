//! Eigenpairs, singular triplets, the norm; Lyapunov exponents.

use super::analyse::{require_finite, Found, Setting};
use super::moments::at_least_one;
use super::operators::gram_and_adjoint;
use super::range::largest;
use super::structure::exact;
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::estimate::{self, times_power, Budget, Eigenpairs, Estimate, Tall, Triplets};
use crate::job::{Method, Source};
use crate::load::Array;
use crate::model::Loaded;
use crate::results::Record;
use kpflow_core::Shape;

impl<T: Real> Setting<'_, '_, T> {
    pub fn pairs_to(&self, count: usize, budget: Budget) -> Result<(Eigenpairs<T>, Method)> {
        if self.by_matrix() {
            return Ok((self.dense()?.eigenpairs(&self.all(), count), Method::Dense));
        }
        Ok((estimate::block_krylov(&self.all(), &budget, count), Method::BlockKrylov))
    }

    pub fn eigenpairs(&self) -> Result<Found<T>> {
        let (pairs, method) = self.pairs_to(self.analysis.count, self.budget(self.analysis.rtol))?;
        require_finite::<T>(pairs.stop, pairs.values.first().copied().unwrap_or(0.0))?;
        let record = Record {
            method: method.name().into(),
            converged: pairs.stop.converged(),
            matvecs: pairs.matvecs,
            status: pairs.stop.describe().into(),
            history: pairs.history,
            eigenvalues: Some(pairs.values),
            residuals: Some(pairs.residuals),
            ..Record::default()
        };
        let record = self.up_pairs(record)?;
        let kept = if self.analysis.vectors { vec![("eigenvectors", pairs.vectors)] } else { Vec::new() };
        Ok((record, kept))
    }

    /// Eigenvalues or singular values, whose history has one value and a ratio.
    fn up_pairs(&self, r: Record<T>) -> Result<Record<T>> {
        let history = r.history.iter().map(|h| [h[0], times_power(h[1], self.exponent()), h[2]]).collect();
        Ok(Record { history, ..self.up_record(r, false)? })
    }

    pub fn norm(&self) -> Result<(Estimate, Method)> {
        self.norm_to(self.budget(self.analysis.rtol))
    }

    /// The norm of a positive semidefinite operator is its largest eigenvalue, and its residual a bound of the error.
    pub fn norm_to(&self, budget: Budget) -> Result<(Estimate, Method)> {
        let (pairs, method) = self.pairs_to(1, budget)?;
        let value = pairs.values.first().copied().unwrap_or(0.0);
        require_finite::<T>(pairs.stop, value)?;
        let standard_error = match method {
            Method::Dense => 0.0,
            _ => value * pairs.residuals.first().copied().unwrap_or(f64::INFINITY),
        };
        let Eigenpairs { matvecs, stop, history, .. } = pairs;
        let history = history.into_iter().map(|h| [h[0], h[1], h[1] * h[2]]).collect();
        Ok((self.up(Estimate { value, standard_error, matvecs, stop, history }), method))
    }

    fn triplets(&self, count: usize) -> Result<Triplets<T>> {
        let (gram, adjoint) = gram_and_adjoint(self.analysis.operator, self.lin, self.engine);
        let twice = 2 * self.exponent();
        let (gram, adjoint) = (self.plain(&gram).with_exponent(twice), self.problem(&adjoint));
        let forward = self.all();
        // Both sweeps of a pair count as one product.
        let (gram, adjoint, forward) = (
            gram.with_memo(self.shared.map(|s| &s.gram)),
            adjoint.with_memo(self.shared.map(|s| &s.reverse)),
            forward.with_memo(self.shared.map(|s| &s.forward)),
        );
        let found = estimate::singular_triplets(&gram, &forward, &adjoint, &self.budget(self.analysis.rtol), count);
        require_finite::<T>(found.stop, found.values.first().copied().unwrap_or(0.0))?;
        Ok(found)
    }

    pub fn singular_triplets(&self) -> Result<Found<T>> {
        let found = self.triplets(self.analysis.count)?;
        let record = Record {
            method: Method::BlockKrylov.name().into(),
            converged: found.stop.converged(),
            matvecs: found.matvecs,
            status: found.stop.describe().into(),
            history: found.history,
            residuals: Some(found.residuals),
            arrays: vec![("singular_values", vec![found.values.len()], found.values)],
            ..Record::default()
        };
        let record = self.up_pairs(record)?;
        let kept = vec![("left_vectors", found.left), ("right_vectors", found.right)];
        Ok((record, if self.analysis.vectors { kept } else { Vec::new() }))
    }

    /// The norm of any operator is its largest singular value.
    pub fn norm_of_any(&self) -> Result<(Estimate, Method)> {
        let Triplets { values, residuals, matvecs, stop, history, .. } = self.triplets(1)?;
        let value = values.first().copied().unwrap_or(0.0);
        let standard_error = value * residuals.first().copied().unwrap_or(f64::INFINITY);
        Ok((self.up(Estimate { value, standard_error, matvecs, stop, history }), Method::BlockKrylov))
    }

    pub fn lyapunov(&self) -> Result<Found<T>> {
        let local = estimate::lyapunov(self.lin, self.engine)?;
        let (b, n) = (self.loaded.trajectories, self.loaded.shape.units);
        let mut all = vec![0.0; b * n];
        self.engine.grid().gather(&local, &mut all);
        let record = Record {
            method: Method::Exact.name().into(),
            converged: true,
            status: "exact".into(),
            value: Some(all.chunks(n.max(1)).map(|x| x[0]).sum::<f64>() / b as f64),
            standard_error: Some(0.0),
            arrays: vec![("exponents", vec![b, n], all)],
            ..Record::default()
        };
        Ok((record, Vec::new()))
    }

    /// An error signal against the modes of the operator.
    pub fn learnability(&self) -> Result<Found<T>> {
        let (e, scale) = self.error_signal()?;
        let (pairs, method) = self.pairs_to(self.analysis.count, self.budget(self.analysis.rtol))?;
        require_finite::<T>(pairs.stop, pairs.values.first().copied().unwrap_or(0.0))?;
        let found = estimate::learnability(&self.all(), &e, &pairs, self.analysis.learning_rate)?;
        let k = pairs.values.len();
        let record = Record {
            method: method.name().into(),
            converged: pairs.stop.converged(),
            matvecs: pairs.matvecs + e.vectors,
            status: pairs.stop.describe().into(),
            value: Some(found.value),
            standard_error: Some(found.standard_error),
            history: pairs.history,
            residuals: Some(pairs.residuals),
            arrays: vec![
                ("energies", vec![k], found.energies),
                ("time_constants", vec![k], found.time_constants),
                (
                    "predicted_decrease",
                    vec![],
                    vec![times_power(found.predicted_decrease, self.exponent() + 2 * scale)],
                ),
            ],
            eigenvalues: Some(pairs.values),
            ..Record::default()
        };
        Ok((self.up_pairs(record)?, Vec::new()))
    }

    /// The error signal, times 2^-k, and k.
    fn error_signal(&self) -> Result<(Tall<T>, i32)> {
        let shape = self.loaded.shape;
        let grid = self.engine.grid();
        let read = || {
            let Some(with) = &self.analysis.with else { return Err(Error::usage("with is missing")) };
            let own = self.loaded.first..self.loaded.first + shape.trajectories;
            open_signal(with, self.loaded)?.read_until(own, self.loaded.lengths())
        };
        let mut e = Tall { shape, vectors: 1, data: grid.agree(read())? };
        let k = match largest(&self.plain(&self.all), &e.data) {
            0.0 => 0,
            size => size.log2().round() as i32,
        };
        e.data.iter_mut().for_each(|x| *x = T::of(times_power(x.f64(), -k)));
        // The core acts on positions: every unit's signal is a vector of them.
        Ok((if self.all().shape() == shape { e } else { by_unit(&e) }, k))
    }

    pub fn log_det(&self) -> Result<(Estimate, Method)> {
        let a = self.analysis;
        if self.by_matrix() {
            let value = estimate::log_det_of(&self.dense()?.values, (a.noise, self.exponent()));
            return Ok((Estimate::exact(value, self.all().len()), Method::Dense));
        }
        let noise = (a.noise, self.exponent());
        Ok((estimate::log_det(&self.all(), &self.budget(a.rtol), noise), Method::Lanczos))
    }

    pub fn entropy_rank(&self) -> Result<(Estimate, Method)> {
        if self.by_matrix() {
            let value = estimate::entropy_rank_of(&self.dense()?.values);
            return Ok((Estimate::exact(value, self.all().len()), Method::Dense));
        }
        let found = estimate::entropy_rank(&self.all(), &self.budget(self.analysis.rtol));
        Ok(at_least_one((found, Method::Lanczos)))
    }

    pub fn density(&self) -> Result<Found<T>> {
        let (density, record) = if self.by_matrix() {
            let spectrum = self.dense()?;
            let density = estimate::density_of(&spectrum.values, POINTS, T::epsilon().f64());
            (density, Record { value: Some(spectrum.trace().value), ..exact(Method::Dense, self.all().len()) })
        } else {
            let (density, trace) = estimate::density(&self.all(), &self.budget(self.analysis.rtol), POINTS);
            let ((record, _), spent) = (self.scalar((trace, Method::Lanczos))?, "all products allowed are in it");
            (density, Record { converged: true, status: spent.into(), ..record })
        };
        let curve = |name, x: Vec<f64>| (name, vec![x.len()], x);
        let number = |name, x| (name, Vec::new(), vec![x]);
        let arrays = vec![
            curve("grid", density.grid),
            curve("density", density.density),
            curve("density_errors", density.error),
            number("width", density.width),
            curve("log10_grid", density.log_grid),
            curve("log10_density", density.log_density),
            number("zero_mass", density.zero_mass),
            number("zero_mass_error", density.zero_mass_error),
            number("zero_mass_bound", density.zero_mass_bound),
        ];
        Ok((self.up_record(Record { arrays, ..record }, true)?, Vec::new()))
    }
}

/// Opens an error signal, which is as the state.
pub(super) fn open_signal<T: Real>(with: &Source, loaded: &Loaded<T>) -> Result<Array> {
    let array = Array::open(with)?.written()?;
    let expected = [loaded.trajectories, loaded.shape.steps, loaded.shape.units];
    if array.shape() != expected {
        let found = array.shape();
        return Err(array.error(format!("has shape {found:?}; an error signal is as the state, {expected:?}")));
    }
    Ok(array)
}

/// The units of one vector as vectors of positions, [b][unit][step].
fn by_unit<T: Real>(e: &Tall<T>) -> Tall<T> {
    let (shape, units) = (e.shape, e.shape.units);
    let mut out = Tall::zeros(Shape::new(shape.trajectories, shape.steps, 1), units);
    for b in 0..shape.trajectories {
        let from = e.part(b, 0);
        for j in 0..units {
            out.part_mut(b, j).iter_mut().enumerate().for_each(|(t, x)| *x = from[t * units + j]);
        }
    }
    out
}

/// Points of a density.
const POINTS: usize = 401;
