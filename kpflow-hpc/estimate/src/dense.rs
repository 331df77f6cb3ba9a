//! The oracle: the whole matrix, where it is small enough.

use crate::small::eigen;
use crate::space::{Small, Space};
use crate::{Eigenpairs, Error, Estimate, Result, StopReason};

/// The largest n that is formed.
pub const DENSE_LIMIT: usize = 4096;

/// Fails where n is beyond [`DENSE_LIMIT`].
pub fn require_dense(n: usize) -> Result<()> {
    match n > DENSE_LIMIT {
        false => Ok(()),
        true => {
            let what = "the whole matrix; numbers a vector, choose another method";
            Err(Error::TooLarge { rows: n, most: DENSE_LIMIT, what })
        }
    }
}

/// All that the dense matrix of a symmetric operator tells.
#[derive(Clone, Debug, Default)]
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
pub fn dense<S: Space>(space: &S) -> Result<DenseSpectrum> {
    let n = space.len();
    require_dense(n)?;
    let (places, mut rows) = (space.places(), Vec::new());
    let _held = space.hold(n * n);
    for first in (0..n).step_by(space.block()) {
        let last = (first + space.block()).min(n);
        let y = space.apply(&space.units(&places[first..last]))?;
        space.keep_rows(&mut rows, first, &y);
        space.tell(f64::NAN, f64::NAN);
    }
    let a = space.gather_rows(rows);
    // The solver's copy, its vectors and its work, and the vectors once more in rows.
    let Small { flops, numbers } = Small::of(n, 12.0, 5);
    space.small(Small { flops, numbers: numbers + 80 * n }, |_| {
        if a.iter().any(|x| !x.is_finite()) {
            return Err(Error::OutOfRange { epsilon: space.epsilon() });
        }
        let skew = (0..n * n).map(|i| (a[i] - a[i % n * n + i / n]).powi(2)).sum::<f64>().sqrt();
        let trace = (0..n).map(|i| a[i * n + i]).sum();
        let frobenius = a.iter().map(|x| x * x).sum::<f64>().sqrt();
        if skew > (1e7 * space.epsilon()).min(1e-3) * frobenius {
            return Err(Error::NotSymmetric(skew / frobenius));
        }
        let (values, vectors) = eigen(&a, n);
        let residual = |(value, v): (&f64, &[f64])| {
            let part = |i: usize| a[i * n..][..n].iter().zip(v).map(|(a, v)| a * v).sum::<f64>() - value * v[i];
            (0..n).map(|i| part(i).powi(2)).sum::<f64>().sqrt()
        };
        let residuals = values.iter().zip(vectors.chunks(n.max(1))).map(residual).collect();
        Ok(DenseSpectrum { matrix: a, places, trace, frobenius, values, vectors, residuals, n })
    })
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
    pub fn eigenpairs<S: Space>(&self, space: &S, count: usize) -> Eigenpairs<S::Block> {
        let k = count.min(space.len());
        let vectors = space.at_places(&self.vectors, &self.places, k);
        let scale = self.values.first().map_or(0.0, |v| v.abs());
        let residual = |r: &f64| if scale > 0.0 { r / scale } else { 0.0 };
        Eigenpairs {
            values: self.values.iter().take(k).copied().collect(),
            residuals: self.residuals.iter().take(k).map(residual).collect(),
            vectors,
            matvecs: space.len(),
            stop: StopReason::Exact,
            history: Vec::new(),
        }
    }
}

impl crate::space::Blank for DenseSpectrum {
    fn blank() -> Self {
        Self::default()
    }
}
