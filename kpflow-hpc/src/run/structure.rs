//! What an operator looks like between parts of the state: the whole matrix, its marginals, its blocks.

use super::analyse::Setting;
use crate::engine::Real;
use crate::error::Result;
use crate::estimate;
use crate::job::{Axis, Method, Quantity};
use crate::model::Loaded;
use crate::results::Record;

impl<T: Real> Setting<'_, '_, T> {
    /// The blocks between variables, the matrix, marginals.
    pub fn structure(&self) -> Result<Record<T>> {
        match self.analysis.quantity {
            Quantity::Blocks => self.blocks(),
            quantity => {
                let spectrum = self.dense()?;
                let (matrix, d) = match quantity {
                    Quantity::Matrix => (spectrum.matrix.clone(), self.all().len()),
                    _ => marginal(&spectrum.matrix, self.loaded, self.analysis.axes[0]),
                };
                let (values, _) = estimate::symmetric_eigen(&matrix, d);
                let (trace, square) = values.iter().fold((0.0, 0.0), |(t, s), v| (t + v, s + v * v));
                let rank = if square > 0.0 { trace * trace / square } else { 0.0 };
                Ok(Record {
                    method: Method::Dense.name().into(),
                    converged: true,
                    matvecs: self.all().len(),
                    status: "exact".into(),
                    value: Some(trace),
                    standard_error: Some(0.0),
                    arrays: vec![
                        ("matrix", vec![d, d], matrix),
                        ("eigenvalues", vec![d], values),
                        ("effective_rank", vec![], vec![rank]),
                    ],
                    ..Record::default()
                })
            }
        }
    }

    fn blocks(&self) -> Result<Record<T>> {
        let (part_of, parts) = parts(self.loaded);
        let by_matrix = self.by_matrix();
        let blocks = match by_matrix {
            true => estimate::dense_blocks(&self.dense()?, &part_of, parts, self.all().len()),
            false => estimate::blocks(&self.all(), &self.budget(self.analysis.rtol), &part_of, parts),
        };
        let method = if by_matrix { Method::Dense } else { Method::Hutchinson };
        Ok(Record {
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
        })
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

/// The partial trace of a matrix onto one axis of the state: M[i, i'] = Σ of the entries whose other two indices agree.
fn marginal<T: Real>(matrix: &[f64], loaded: &Loaded<T>, axis: Axis) -> (Vec<f64>, usize) {
    let (b, t, u) = (loaded.trajectories, loaded.shape.steps, loaded.shape.units);
    let n = b * t * u;
    let (d, stride) = match axis {
        Axis::Trajectory => (b, t * u),
        Axis::Time => (t, u),
        Axis::Unit => (u, 1),
    };
    let mut out = vec![0.0; d * d];
    for row in 0..n {
        let i = row / stride % d;
        let rest = row - i * stride;
        (0..d).for_each(|j| out[i * d + j] += matrix[row * n + rest + j * stride]);
    }
    (out, d)
}
