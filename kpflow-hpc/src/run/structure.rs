//! What an operator looks like between parts of the state: the whole matrix, its marginals, its blocks.

use super::analyse::{require_finite, Found, Setting};
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::estimate::{self, StopReason};
use crate::job::{Axis, Method};
use crate::model::Loaded;
use crate::results::Record;

impl<T: Real> Setting<'_, '_, T> {
    /// The whole matrix.
    pub fn matrix(&self) -> Result<Found<T>> {
        let (spectrum, all) = (self.dense()?, self.all());
        let (n, size) = (all.len(), all.trajectories * all.shape().per_trajectory());
        let (values, square) = (&spectrum.values, spectrum.frobenius().value.powi(2));
        let trace: f64 = spectrum.trace().value;
        let rank = if square > 0.0 { trace * trace / square } else { 0.0 };
        let record = Record {
            value: Some(trace),
            arrays: vec![
                ("matrix", vec![size, size], spectrum.whole(size)),
                ("eigenvalues", vec![n], values.clone()),
                ("effective_rank", vec![], vec![rank]),
            ],
            ..exact(Method::Dense, n)
        };
        Ok((self.up_record(record, true)?, Vec::new()))
    }

    /// A partial trace onto one or two axes.
    pub fn marginal(&self) -> Result<Found<T>> {
        let kept = [Axis::Trajectory, Axis::Time, Axis::Unit].map(|a| self.analysis.axes.contains(&a));
        let all = self.all();
        if self.by_matrix() {
            let shape = all.shape().with_trajectories(all.trajectories);
            let dense = self.dense()?;
            let (matrix, d) = estimate::marginal_of(&dense.matrix, &dense.places, shape, kept);
            if d > estimate::MARGINAL_LIMIT {
                return Err(Error::usage(format!(
                    "the marginal would be a {d} × {d} matrix; take quantity = \"matrix\""
                )));
            }
            let (values, vectors) = estimate::symmetric_eigen(&matrix, d);
            let (trace, square) = values.iter().fold((0.0, 0.0), |(t, s), v| (t + v, s + v * v));
            let rank = if square > 0.0 { trace * trace / square } else { 0.0 };
            let record = Record {
                value: Some(trace),
                arrays: marginal_arrays(d, matrix, vec![0.0; d * d], values, vectors, (rank, 0.0)),
                ..exact(Method::Dense, all.len())
            };
            return Ok((self.up_record(record, true)?, Vec::new()));
        }
        // The same partial traces, without the noise between trajectories, where they are not what is asked for.
        let problem = if kept[0] { all } else { self.diagonal() };
        let found = estimate::marginal(&problem, &self.budget(self.analysis.rtol), kept)?;
        require_finite::<T>(found.stop, found.trace.0)?;
        let record = Record {
            method: Method::Hutchinson.name().into(),
            converged: found.stop.converged(),
            matvecs: found.matvecs,
            status: found.stop.describe().into(),
            value: Some(found.trace.0),
            standard_error: Some(found.trace.1),
            history: found.history,
            arrays: marginal_arrays(
                found.size,
                found.matrix,
                found.errors,
                found.eigenvalues,
                found.eigenvectors,
                found.effective_rank,
            ),
            ..Record::default()
        };
        Ok((self.up_record(record, true)?, Vec::new()))
    }

    /// The blocks between variables.
    pub fn blocks(&self) -> Result<Found<T>> {
        let (part_of, parts) = parts(self.loaded);
        let by_matrix = self.by_matrix();
        let blocks = match by_matrix {
            true => estimate::dense_blocks(&self.dense()?, &part_of, parts, self.all().len()),
            false => estimate::blocks(&self.all(), &self.budget(self.analysis.rtol), &part_of, parts),
        };
        let method = if by_matrix { Method::Dense } else { Method::Hutchinson };
        let record = Record {
            method: method.name().into(),
            converged: true,
            matvecs: blocks.matvecs,
            status: if by_matrix { "exact".into() } else { "max_matvecs reached".into() },
            value: Some(blocks.traces.iter().sum()),
            standard_error: Some(blocks.trace_errors.iter().map(|e| e * e).sum::<f64>().sqrt()),
            arrays: vec![
                ("matrix", vec![parts, parts], blocks.norms),
                ("standard_errors", vec![parts, parts], blocks.norm_errors),
                ("traces", vec![parts], blocks.traces),
                ("trace_errors", vec![parts], blocks.trace_errors),
            ],
            ..Record::default()
        };
        Ok((self.up_record(record, true)?, Vec::new()))
    }
}

/// Which watched variable each number of a trajectory belongs to, and how many there are.
fn parts<T: Real>(loaded: &Loaded<T>) -> (Vec<usize>, usize) {
    let watched = loaded.network().watched();
    let mut part_of = vec![0; loaded.shape.per_trajectory()];
    for (i, w) in watched.iter().enumerate() {
        for p in 0..w.positions {
            part_of[w.offset + p * w.stride..][..w.width].fill(i);
        }
    }
    (part_of, watched.len())
}

/// A record of a method without randomness.
pub(super) fn exact<T: Real>(method: Method, matvecs: usize) -> Record<T> {
    Record {
        method: method.name().into(),
        converged: true,
        matvecs,
        status: StopReason::Exact.describe().into(),
        standard_error: Some(0.0),
        ..Record::default()
    }
}

type Arrays = Vec<(&'static str, Vec<usize>, Vec<f64>)>;

fn marginal_arrays(
    d: usize,
    matrix: Vec<f64>,
    errors: Vec<f64>,
    values: Vec<f64>,
    vectors: Vec<f64>,
    rank: (f64, f64),
) -> Arrays {
    vec![
        ("matrix", vec![d, d], matrix),
        ("standard_errors", vec![d, d], errors),
        ("eigenvalues", vec![d], values),
        ("modes", vec![d, d], vectors),
        ("effective_rank", vec![], vec![rank.0]),
        ("effective_rank_error", vec![], vec![rank.1]),
    ]
}
