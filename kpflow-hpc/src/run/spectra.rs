//! Eigenpairs and the norm.

use super::analyse::{require_finite, Found, Setting};
use crate::engine::Real;
use crate::error::Result;
use crate::estimate::{self, Budget, Eigenpairs, Estimate};
use crate::job::Method;
use crate::results::Record;

impl<T: Real> Setting<'_, '_, T> {
    pub fn pairs_to(&self, count: usize, rtol: f64) -> Result<(Eigenpairs<T>, Method)> {
        if self.by_matrix() {
            return Ok((self.dense()?.eigenpairs(&self.all(), count), Method::Dense));
        }
        let budget = Budget { rtol, ..self.budget(rtol) };
        Ok((estimate::block_krylov(&self.all(), &budget, count), Method::BlockKrylov))
    }

    pub fn eigenpairs(&self) -> Result<Found<T>> {
        let (pairs, method) = self.pairs_to(self.analysis.count, self.analysis.rtol)?;
        require_finite(pairs.stop, pairs.values.first().copied().unwrap_or(0.0))?;
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
        let kept = if self.analysis.vectors { vec![("eigenvectors", pairs.vectors)] } else { Vec::new() };
        Ok((record, kept))
    }

    pub fn norm(&self) -> Result<(Estimate, Method)> {
        self.norm_to(self.analysis.rtol)
    }

    /// The norm of a positive semidefinite operator is its largest eigenvalue, and its residual a bound of the error.
    pub fn norm_to(&self, rtol: f64) -> Result<(Estimate, Method)> {
        let (pairs, method) = self.pairs_to(1, rtol)?;
        let value = pairs.values.first().copied().unwrap_or(0.0);
        require_finite(pairs.stop, value)?;
        let standard_error = match method {
            Method::Dense => 0.0,
            _ => value * pairs.residuals.first().copied().unwrap_or(f64::INFINITY),
        };
        let Eigenpairs { matvecs, stop, history, .. } = pairs;
        let history = history.into_iter().map(|h| [h[0], h[1], h[1] * h[2]]).collect();
        Ok((Estimate { value, standard_error, matvecs, stop, history }, method))
    }
}
