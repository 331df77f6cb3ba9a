//! The oracle: the whole matrix, of the state's size or of the parameters', where it is small enough.

use crate::selection::{Selection, Which};
use crate::small::{decompose, multiply};
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

/// What is wanted of a matrix; each has what stands before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Its entries, trace and Frobenius norm: no decomposition.
    #[default]
    Sums,
    /// The eigenvalues.
    Values,
    /// The eigenvectors.
    Vectors,
}

/// All that the dense matrix of a symmetric operator tells: of A itself, or, of A = F Fᵀ, FᵀF, whose eigenvalues that are not 0 are A's.
#[derive(Clone, Debug, Default)]
pub struct DenseSpectrum {
    /// Row-major [m, m], of the numbers that trajectories have; or of those that F reads.
    pub matrix: Vec<f64>,
    /// Where in a whole vector they are.
    pub places: Vec<usize>,
    trace: f64,
    frobenius: f64,
    /// The eigenvalues of the matrix, largest first, if they were wanted.
    pub values: Vec<f64>,
    /// Vector i in row i, if they were wanted.
    vectors: Vec<f64>,
    /// What rounding leaves unknown of the eigenvalues: ‖A − Aᵀ‖_F, and the decomposition's own error.
    rounding: f64,
    /// Whether the matrix is FᵀF.
    of_factor: bool,
    /// n: how many eigenvalues A has.
    len: usize,
    /// Products that it took.
    matvecs: usize,
}

/// Forms A by n products and finds what is wanted of it. Collective.
///
/// **Cost**: n products, n² numbers on every rank, O(n³) flops for eigenvalues. **Errors**: n beyond [`DENSE_LIMIT`]; products that overflow; a matrix
/// that is not symmetric, of which the eigenvalues found would be another's.
pub fn dense<S: Space>(space: &S, wanted: Wanted) -> Result<DenseSpectrum> {
    form(space, space.len(), wanted, false)
}

/// Forms FᵀF of an A = F Fᵀ of n rows, and finds what is wanted of it: A has the same eigenvalues, and 0 as often as n is more. `space` is that of FᵀF, of
/// which every process holds all. Collective.
///
/// **Cost**, **errors**: as [`dense`]'s, of as many products and rows as F reads numbers.
pub fn dense_of_factor<S: Space>(space: &S, n: usize, wanted: Wanted) -> Result<DenseSpectrum> {
    form(space, n, wanted, true)
}

fn form<S: Space>(space: &S, len: usize, wanted: Wanted, of_factor: bool) -> Result<DenseSpectrum> {
    let m = space.len();
    require_dense(m)?;
    let (places, mut rows) = (space.places(), Vec::new());
    let _held = space.hold(m * m);
    for first in (0..m).step_by(space.block()) {
        let last = (first + space.block()).min(m);
        let y = space.apply(&space.units(&places[first..last]))?;
        space.keep_rows(&mut rows, first, &y);
        space.tell(f64::NAN, f64::NAN);
    }
    let a = if of_factor { rows } else { space.gather_rows(rows) };
    looked_at(space, a, wanted, DenseSpectrum { of_factor, len, matvecs: m, ..DenseSpectrum::default() })
}

/// What is wanted of a matrix that was made without products: all of it, of the numbers that trajectories have, on every process. Collective.
///
/// **Errors**: as [`dense`]'s.
pub fn dense_of_matrix<S: Space>(space: &S, matrix: Vec<f64>, wanted: Wanted) -> Result<DenseSpectrum> {
    require_dense(space.len())?;
    looked_at(space, matrix, wanted, DenseSpectrum { len: space.len(), ..DenseSpectrum::default() })
}

fn looked_at<S: Space>(space: &S, a: Vec<f64>, wanted: Wanted, known: DenseSpectrum) -> Result<DenseSpectrum> {
    let (places, m) = (space.places(), space.len());
    let (sums, values, vectors) = space.small(DenseSpectrum::small(space, m, wanted), |machine| {
        if a.iter().any(|x| !x.is_finite()) {
            return Err(Error::OutOfRange { epsilon: space.epsilon() });
        }
        let skew = (0..m * m).map(|i| (a[i] - a[i % m * m + i / m]).powi(2)).sum::<f64>().sqrt();
        let trace = (0..m).map(|i| a[i * m + i]).sum::<f64>();
        let frobenius = a.iter().map(|x| x * x).sum::<f64>().sqrt();
        if skew > (1e7 * space.epsilon()).min(1e-3) * frobenius {
            return Err(Error::NotSymmetric(skew / frobenius));
        }
        let (values, vectors) = match wanted {
            Wanted::Sums => (Vec::new(), Vec::new()),
            Wanted::Values => decompose(machine, &a, m, false),
            Wanted::Vectors => decompose(machine, &a, m, true),
        };
        Ok(((trace, frobenius, skew + 8.0 * f64::EPSILON * frobenius), values, vectors))
    })?;
    let (trace, frobenius, rounding) = sums;
    Ok(DenseSpectrum { matrix: a, places, trace, frobenius, values, vectors, rounding, ..known })
}

/// A matrix of the numbers at some places among `size`, row-major: rows and columns of zeros elsewhere.
pub fn spread(matrix: &[f64], places: &[usize], size: usize) -> Vec<f64> {
    let mut whole = vec![0.0; size * size];
    for (row, i) in matrix.chunks(places.len().max(1)).zip(places) {
        row.iter().zip(places).for_each(|(x, j)| whole[i * size + j] = *x);
    }
    whole
}

impl DenseSpectrum {
    /// Of a matrix of n rows that is too large for every process, what its parts were summed to.
    pub fn of_sums(trace: f64, frobenius: f64, n: usize) -> Self {
        Self { trace, frobenius, len: n, ..Self::default() }
    }
    /// Rows of the matrix.
    fn rows(&self) -> usize {
        self.places.len()
    }
    /// Numbers in double precision that are held where so much is wanted of a matrix of m rows.
    pub fn numbers(m: usize, wanted: Wanted) -> usize {
        match wanted {
            Wanted::Sums => m * m + m,
            Wanted::Values => m * m + 2 * m,
            Wanted::Vectors => 2 * m * m + 2 * m,
        }
    }
    /// What is taken in this space beside a matrix of m rows to find so much of it: values, and vectors in rows.
    fn small<S: Space>(space: &S, m: usize, wanted: Wanted) -> Small {
        let of = |flops, vectors| Small { numbers: space.eigen_len(m, vectors), ..Small::of(m, flops, 0) };
        match wanted {
            Wanted::Sums => Small::default(),
            Wanted::Values => of(4.0 / 3.0, false),
            Wanted::Vectors => of(4.0, true),
        }
    }
    /// The matrix among whole vectors of `size` numbers: rows and columns of zeros where trajectories have none.
    pub fn whole(&self, size: usize) -> Vec<f64> {
        match size == self.rows() {
            true => self.matrix.clone(),
            false => spread(&self.matrix, &self.places, size),
        }
    }
    /// All n eigenvalues of A, the zeros counted, largest first; of F Fᵀ with n below the numbers that F reads, those of the n that are.
    pub fn spectrum(&self) -> Vec<f64> {
        self.values.iter().copied().chain(std::iter::repeat(0.0)).take(self.len).collect()
    }
    /// tr A.
    pub fn trace(&self) -> Estimate {
        Estimate::exact(self.trace, self.matvecs)
    }
    /// ‖A‖_F.
    pub fn frobenius(&self) -> Estimate {
        Estimate::exact(self.frobenius, self.matvecs)
    }
    /// The operator norm, the largest |λ|.
    pub fn norm(&self) -> Estimate {
        Estimate::exact(self.values.iter().fold(0.0, |m: f64, v| m.max(v.abs())), self.matvecs)
    }
    /// tr(A)² / ‖A‖_F²; 0 for the zero operator.
    pub fn effective_rank(&self) -> Estimate {
        let value = if self.frobenius > 0.0 { (self.trace / self.frobenius).powi(2) } else { 0.0 };
        Estimate::exact(value, self.matvecs)
    }
    /// ‖A‖_F² / ‖A‖²; 0 for the zero operator.
    pub fn stable_rank(&self) -> Estimate {
        let norm = self.norm().value;
        Estimate::exact(if norm > 0.0 { (self.frobenius / norm).powi(2) } else { 0.0 }, self.matvecs)
    }

    /// Eigenvalues of A, largest first, without vectors; residuals are bounds by rounding, which are the errors' too.
    ///
    /// Residuals are by λ_1, or, where the largest are not asked for, by the largest of those that are.
    pub fn eigenvalues<S: Space>(&self, space: &S, chosen: impl Into<Selection>) -> Eigenpairs<S::Block> {
        let (chosen, all) = (chosen.into(), self.spectrum());
        let known = match chosen.which {
            Which::Largest => all.len(),
            Which::Smallest | Which::Near(_) => self.rank(space, chosen.delta),
        };
        let values = all[chosen.among(&all, known)].to_vec();
        let residuals = self.residuals_of(chosen, &values, vec![self.rounding; values.len()]);
        self.pairs(values, residuals, space.zeros(0), 0)
    }

    /// Eigenpairs of A, `space`'s operator, largest first. Collective.
    ///
    /// Of FᵀF w = λ w, v = F w / ‖F w‖, where `forward` is the space of F: of those λ alone that are not lost in
    /// rounding, so that there may be less than are asked for; all others are 0. Residuals are those of the matrix, by
    /// λ_1; or, where the largest are not asked for, by the largest of those that are, and measured where v is made by
    /// F. **Cost**: a product of F a vector, k·n² flops; to measure, a product a vector.
    pub fn eigenpairs<S: Space>(
        &self,
        space: &S,
        forward: Option<&S>,
        chosen: impl Into<Selection>,
    ) -> Result<Eigenpairs<S::Block>> {
        let (m, chosen) = (self.rows(), chosen.into());
        let most = chosen.count.min(m).min(self.len);
        // Where there are no numbers, as many as are asked for.
        let range = match chosen.which {
            Which::Largest | Which::Smallest | Which::Near(_) if self.values.is_empty() => 0..space.unknown(most),
            Which::Largest if !self.of_factor => 0..most,
            Which::Largest => chosen.among(&self.values, self.rank(space, 0.0)),
            Which::Smallest | Which::Near(_) => chosen.among(&self.values, self.rank(space, chosen.delta)),
        };
        let (k, within) = (range.len(), |i: usize| (i * m).min(self.vectors.len()));
        let own = &self.vectors[within(range.start)..within(range.end)];
        let values: Vec<f64> = self.values.get(range).unwrap_or_default().to_vec();
        let small = Small { flops: 4.0 * (k * m) as f64 * m as f64, numbers: 3 * k * m };
        let residuals = space.small(small, |machine| {
            let less = |mut x: Vec<f64>| {
                for (i, row) in x.chunks_mut(m).enumerate() {
                    row.iter_mut().zip(&own[i * m..]).for_each(|(x, v)| *x -= values[i] * v);
                }
                x
            };
            let r = less(multiply(machine, own, &self.matrix, [k, m, m]));
            // ‖F r‖² / λ = rᵀ(FᵀF) r / λ.
            let s = if self.of_factor { multiply(machine, &r, &self.matrix, [k, m, m]) } else { Vec::new() };
            let square = |i: usize| -> f64 {
                let row = &r[i * m..][..m];
                match self.of_factor {
                    true => row.iter().zip(&s[i * m..]).map(|(x, y)| x * y).sum::<f64>().max(0.0) / values[i],
                    false => row.iter().map(|x| x * x).sum(),
                }
            };
            Ok((0..k).map(|i| square(i).sqrt()).collect::<Vec<f64>>())
        })?;
        let Some(forward) = forward.filter(|_| self.of_factor) else {
            let vectors = space.at_places(own, &self.places, k);
            let residuals = self.residuals_of(chosen, &values, residuals);
            return Ok(self.pairs(values, residuals, vectors, 0));
        };
        let mut vectors = forward.apply(&forward.at_places(own, &self.places, k))?;
        let norms = space.dots(&vectors, &vectors)?;
        let inverse = |s: &f64| if *s > 0.0 { s.sqrt().recip() } else { 0.0 };
        space.scale(&mut vectors, &norms.iter().map(inverse).collect::<Vec<_>>());
        let (Which::Smallest | Which::Near(_)) = chosen.which else {
            let residuals = self.residuals_of(chosen, &values, residuals);
            return Ok(self.pairs(values, residuals, vectors, k));
        };
        // Of small ones F w has lost digits, which the matrix does not know.
        let mut y = space.apply(&vectors)?;
        space.subtract(&mut y, if values.is_empty() { &[0.0] } else { &values }, &vectors);
        let residuals = space.dots(&y, &y)?.into_iter().map(f64::sqrt).collect();
        let residuals = self.residuals_of(chosen, &values, residuals);
        Ok(self.pairs(values, residuals, vectors, 3 * k))
    }

    /// λ_1.
    fn largest(&self) -> f64 {
        self.values.first().map_or(0.0, |v| v.abs())
    }

    /// How many eigenvalues are not lost in rounding: no more than the operator's rank may be.
    fn rank<S: Space>(&self, space: &S, delta: f64) -> usize {
        let floor = self.floor(space.epsilon()).max(delta * self.frobenius);
        self.values.iter().take_while(|v| **v > floor).count().min(space.rank())
    }

    /// These residuals ‖A v − λ v‖ of the chosen values, by what they are told in; what products are off by is in those
    /// of values that are not the largest.
    fn residuals_of(&self, chosen: Selection, values: &[f64], residuals: Vec<f64>) -> Vec<f64> {
        let (scale, beside) = match chosen.which {
            Which::Largest => (self.largest(), 0.0),
            Which::Smallest | Which::Near(_) => {
                // A matrix that is off by E has eigenvalues that are off by ‖E‖_F at most.
                (values.first().map_or(0.0, |v| v.abs()), chosen.delta * self.frobenius)
            }
        };
        let by = |r: f64| if scale > 0.0 { r.hypot(beside) / scale } else { 0.0 };
        residuals.into_iter().map(by).collect()
    }

    /// What eigenvalues of FᵀF are lost in rounding, where products have this ε.
    fn floor(&self, epsilon: f64) -> f64 {
        self.rounding.max(8.0 * epsilon * self.largest())
    }

    fn pairs<B>(&self, values: Vec<f64>, residuals: Vec<f64>, vectors: B, forward: usize) -> Eigenpairs<B> {
        let matvecs = self.matvecs + forward.div_ceil(2);
        Eigenpairs { values, residuals, vectors, matvecs, stop: StopReason::Exact, history: Vec::new() }
    }
}

/// Finds ⟨A, B⟩_F / (‖A‖_F ‖B‖_F) of A = F Fᵀ and B = E Eᵀ as ‖FᵀE‖_F² / (‖FᵀF‖_F ‖EᵀE‖_F). Collective.
///
/// `own` is what is known of FᵀF; `back`, `forward_other` and `back_other` are the spaces of Fᵀ, E and Eᵀ, the first and the last with images that every process
/// may hold whole. **Cost**: one product with each for every number that E reads; a block of vectors, no matrix. **Accuracy**: exact to rounding.
pub fn alignment_of_factors<S: Space>(
    own: &DenseSpectrum,
    back: &S,
    forward_other: &S,
    back_other: &S,
) -> Result<Estimate> {
    let (places, mut sums) = (forward_other.places(), [0.0; 2]);
    for places in places.chunks(forward_other.block()) {
        let image = forward_other.apply(&forward_other.units(places))?;
        for (sum, space) in sums.iter_mut().zip([back, back_other]) {
            let y = space.apply(&image)?;
            *sum += space.image_dots(&y, &y)?.iter().sum::<f64>();
        }
        back.tell(f64::NAN, f64::NAN);
    }
    if sums.iter().any(|s| !s.is_finite()) {
        return Err(Error::OutOfRange { epsilon: back.epsilon() });
    }
    let norms = own.frobenius * sums[1].sqrt();
    let value = if norms > 0.0 { (sums[0] / norms).min(1.0) } else { 0.0 };
    Ok(Estimate::exact(value, own.matvecs + places.len().div_ceil(2)))
}
