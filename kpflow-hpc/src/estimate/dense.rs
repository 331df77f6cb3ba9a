//! The oracle: the whole matrix, where it is small enough.

use super::small::eigen;
use super::{beyond, Eigenpairs, Estimate, Problem, StopReason, Tall};
use crate::engine::Real;
use crate::error::{Error, Result};

/// The largest n that is formed.
pub const DENSE_LIMIT: usize = 4096;

/// Fails where n is beyond [`DENSE_LIMIT`].
pub fn require_dense(n: usize) -> Result<()> {
    match n > DENSE_LIMIT {
        false => Ok(()),
        true => Err(Error::usage(format!(
            "the whole matrix would be {n} × {n}; it is for at most {DENSE_LIMIT} numbers a vector, choose another method"
        ))),
    }
}

/// All that the dense matrix of a symmetric operator tells.
pub struct DenseSpectrum {
    /// Row-major [n, n], of the numbers that trajectories have.
    pub matrix: Vec<f64>,
    /// Where in a whole vector they are.
    pub places: Vec<usize>,
    trace: f64,
    frobenius: f64,
    /// The eigenvalues, largest first.
    pub values: Vec<f64>,
    /// Vector i in row i.
    vectors: Vec<f64>,
    /// ‖A v − λ v‖.
    residuals: Vec<f64>,
    n: usize,
}

/// Forms A by n products and finds all its eigenpairs. Collective.
///
/// **Cost**: n products, n² numbers on every rank, O(n³) flops. **Errors**: n beyond [`DENSE_LIMIT`]; products that overflow; a matrix that
/// is not symmetric, of which the eigenvalues found would be another's.
pub fn dense<T: Real>(problem: &Problem<'_, T>) -> Result<DenseSpectrum> {
    let (n, per) = (problem.len(), problem.shape().per_trajectory());
    require_dense(n)?;
    let places: Vec<usize> = problem.extent().places(problem.trajectories).collect();
    let here = problem.first..problem.first + problem.shape().trajectories;
    // Which of them this rank has.
    let before = places.partition_point(|p| *p < here.start * per);
    let own = before..places.partition_point(|p| *p < here.end * per);
    let mut local = vec![0.0; own.len() * n];
    for first in (0..n).step_by(problem.block) {
        let m = problem.block.min(n - first);
        let mut x = Tall::zeros(problem.shape(), m);
        for v in 0..m {
            let (b, i) = (places[first + v] / per, places[first + v] % per);
            if here.contains(&b) {
                x.data[((b - here.start) * m + v) * per + i] = T::one();
            }
        }
        let y = problem.apply(&x);
        for (place, row) in places[own.clone()].iter().zip(local.chunks_mut(n)) {
            for v in 0..m {
                row[first + v] = y.data[((place / per - here.start) * m + v) * per + place % per].f64();
            }
        }
        (problem.progress)(problem.matvecs(), f64::NAN, f64::NAN);
    }
    let mut a = vec![0.0; n * n];
    problem.grid().gather(&local, &mut a);
    if a.iter().any(|x| !x.is_finite()) {
        return Err(Error::run(format!("the operator's products leave the range: {}", beyond::<T>())));
    }
    let skew = (0..n * n).map(|i| (a[i] - a[i % n * n + i / n]).powi(2)).sum::<f64>().sqrt();
    let trace = (0..n).map(|i| a[i * n + i]).sum();
    let frobenius = a.iter().map(|x| x * x).sum::<f64>().sqrt();
    if skew > (1e7 * T::epsilon().f64()).min(1e-3) * frobenius {
        return Err(Error::run(format!("the operator is not symmetric: ‖A − Aᵀ‖ = {:.1e} ‖A‖", skew / frobenius)));
    }
    let (values, vectors) = eigen(&a, n);
    let residual = |(value, v): (&f64, &[f64])| {
        let part = |i: usize| a[i * n..][..n].iter().zip(v).map(|(a, v)| a * v).sum::<f64>() - value * v[i];
        (0..n).map(|i| part(i).powi(2)).sum::<f64>().sqrt()
    };
    let residuals = values.iter().zip(vectors.chunks(n.max(1))).map(residual).collect();
    Ok(DenseSpectrum { matrix: a, places, trace, frobenius, values, vectors, residuals, n })
}

impl DenseSpectrum {
    /// The matrix among whole vectors of `size` numbers: rows and columns of zeros where trajectories have none.
    pub fn whole(&self, size: usize) -> Vec<f64> {
        if size == self.n {
            return self.matrix.clone();
        }
        let mut whole = vec![0.0; size * size];
        for (row, i) in self.matrix.chunks(self.n.max(1)).zip(&self.places) {
            row.iter().zip(&self.places).for_each(|(x, j)| whole[i * size + j] = *x);
        }
        whole
    }
    /// tr A.
    pub fn trace(&self) -> Estimate {
        Estimate::exact(self.trace, self.n)
    }
    /// ‖A‖_F.
    pub fn frobenius(&self) -> Estimate {
        Estimate::exact(self.frobenius, self.n)
    }
    /// The operator norm, the largest |λ|.
    pub fn norm(&self) -> Estimate {
        Estimate::exact(self.values.iter().fold(0.0, |m: f64, v| m.max(v.abs())), self.n)
    }
    /// tr(A)² / ‖A‖_F²; 0 for the zero operator.
    pub fn effective_rank(&self) -> Estimate {
        let value = if self.frobenius > 0.0 { (self.trace / self.frobenius).powi(2) } else { 0.0 };
        Estimate::exact(value, self.n)
    }
    /// The `count` largest eigenpairs.
    pub fn eigenpairs<T: Real>(&self, problem: &Problem<'_, T>, count: usize) -> Eigenpairs<T> {
        let k = count.min(self.n);
        let per = problem.shape().per_trajectory();
        let mut vectors = Tall::zeros(problem.shape(), k);
        for (i, place) in self.places.iter().enumerate() {
            let b = (place / per).wrapping_sub(problem.first);
            for v in 0..if b < vectors.shape.trajectories { k } else { 0 } {
                vectors.data[(b * k + v) * per + place % per] = T::of(self.vectors[v * self.n + i]);
            }
        }
        let scale = self.values.first().map_or(0.0, |v| v.abs());
        let residual = |r: &f64| if scale > 0.0 { r / scale } else { 0.0 };
        Eigenpairs {
            values: self.values[..k].to_vec(),
            residuals: self.residuals[..k].iter().map(residual).collect(),
            vectors,
            matvecs: self.n,
            stop: StopReason::Exact,
            history: Vec::new(),
        }
    }
}
