//! Tests that any operator must pass, for those who write one; nothing is allocated.
//!
//! ```
//! use kpflow_core::operator::{contract, Dense, Gram};
//! use kpflow_core::probe::{Distribution, Probe};
//! use kpflow_core::Shape;
//! let (from, to) = (Shape::new(1, 1, 2), Shape::new(1, 1, 3));
//! let op = Gram(Dense::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], from, to)?);
//! let probe = Probe { seed: 0, stream: 0, distribution: Distribution::Gaussian };
//! let mut work = [0.0; 64];
//! assert!(contract::work_len::<f64>(&op) <= 64);
//! assert!(contract::adjointness(&op, &probe, &mut work)? < 1e-15);
//! assert!(contract::linearity(&op, &probe, &mut work)? < 1e-15);
//! assert!(contract::symmetry(&op, &probe, &mut work)? < 1e-15);
//! assert!(contract::semidefiniteness(&op, &probe, &mut work)? > 0.0);
//! let mut matrix = [0.0; 9];
//! contract::materialise(&op, &mut matrix, &mut work)?;
//! assert_eq!(matrix, [5.0, 11.0, 17.0, 11.0, 25.0, 39.0, 17.0, 39.0, 61.0]);
//! let mut work = vec![0.0; contract::claims_len::<f64>(&op)];
//! assert!(contract::claims(&op, &matrix, &mut work)?.largest() < 1e-15); // a rank of 2, and no negative eigenvalue
//! # Ok::<(), kpflow_core::Error>(())
//! ```

use super::LinearOperator;
use crate::dense::{singular_values, symmetric_eigenvalues};
use crate::error::{enough, length, same};
use crate::probe::{dot, Probe};
use crate::{BlockMut, BlockRef, Error, Scalar};

/// The parts of the dot test that one process sees: ⟨Ax, y⟩, ⟨x, Aᵀy⟩ and the squared norms of x, y, Ax and Aᵀy.
///
/// Where vectors are spread over processes the parts are to be summed before they are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DotTest {
    /// ⟨Ax, y⟩.
    pub forward: f64,
    /// ⟨x, Aᵀy⟩.
    pub backward: f64,
    /// ‖x‖², ‖y‖², ‖Ax‖², ‖Aᵀy‖².
    pub squares: [f64; 4],
}

impl DotTest {
    /// |⟨Ax, y⟩ − ⟨x, Aᵀy⟩| / (‖Ax‖‖y‖ + ‖x‖‖Aᵀy‖), which rounding alone makes a few units of precision; 0 where all is 0.
    pub fn error(&self) -> f64 {
        let [x, y, ax, aty] = self.squares;
        let scale = num_traits::Float::sqrt(ax * y) + num_traits::Float::sqrt(x * aty);
        if scale > 0.0 {
            num_traits::Float::abs(self.forward - self.backward) / scale
        } else {
            0.0
        }
    }
}

/// Computes both sides of ⟨Ax, y⟩ = ⟨x, Aᵀy⟩ for single vectors x and y; `ax`, `aty` and `scratch` are lent.
///
/// **Cost**: two products. **Accuracy**: scalar products are summed in doubles. **Errors**: if a buffer is not of the operator's size.
pub fn dot_test<T: Scalar>(
    op: &dyn LinearOperator<T>,
    x: &[T],
    y: &[T],
    ax: &mut [T],
    aty: &mut [T],
    scratch: &mut [T],
) -> Result<DotTest, Error> {
    let (domain, codomain) = (op.domain(), op.codomain());
    op.apply(BlockRef::new(domain, 1, x)?, BlockMut::new(codomain, 1, ax)?, scratch)?;
    op.apply_adjoint(BlockRef::new(codomain, 1, y)?, BlockMut::new(domain, 1, aty)?, scratch)?;
    let squares = [dot(x, x), dot(y, y), dot(ax, ax), dot(aty, aty)];
    Ok(DotTest { forward: dot(ax, y), backward: dot(x, aty), squares })
}

/// The numbers of work memory that any of the tests below needs.
pub fn work_len<T: Scalar>(op: &dyn LinearOperator<T>) -> usize {
    let vectors = op.domain().len().saturating_mul(2).saturating_add(op.codomain().len().saturating_mul(3));
    vectors.saturating_add(op.scratch_len(1))
}

/// Work memory cut into vectors: x and y, three images, scratch.
struct Lent<'w, T> {
    x: &'w mut [T],
    y: &'w mut [T],
    images: [&'w mut [T]; 3],
    scratch: &'w mut [T],
}

impl<'w, T: Scalar> Lent<'w, T> {
    fn new(op: &dyn LinearOperator<T>, work: &'w mut [T]) -> Result<Self, Error> {
        enough(work_len(op), work.len())?;
        let (n, k) = (op.domain().len(), op.codomain().len());
        let (x, rest) = work.split_at_mut(n);
        let (y, rest) = rest.split_at_mut(n);
        let (ax, rest) = rest.split_at_mut(k);
        let (ay, rest) = rest.split_at_mut(k);
        let (az, scratch) = rest.split_at_mut(k);
        Ok(Self { x, y, images: [ax, ay, az], scratch })
    }

    /// The same with the probe's vectors 0 and 1 for x and y, and their images.
    fn applied(op: &dyn LinearOperator<T>, probe: &Probe, work: &'w mut [T]) -> Result<Self, Error> {
        let (domain, codomain) = (op.domain(), op.codomain());
        let Self { x, y, images: [ax, ay, az], scratch } = Self::new(op, work)?;
        for (v, (x, ax)) in [(&mut *x, &mut *ax), (&mut *y, &mut *ay)].into_iter().enumerate() {
            probe.fill(0, v, BlockMut::new(domain, 1, x)?)?;
            op.apply(BlockRef::new(domain, 1, x)?, BlockMut::new(codomain, 1, ax)?, scratch)?;
        }
        Ok(Self { x, y, images: [ax, ay, az], scratch })
    }
}

/// `numerator / scale`, 0 where all is 0.
fn relative(numerator: f64, scale: f64) -> f64 {
    if scale > 0.0 {
        numerator / scale
    } else {
        numerator
    }
}

fn norm<T: Scalar>(x: &[T]) -> f64 {
    num_traits::Float::sqrt(dot(x, x))
}

/// Measures `|⟨Ax, y⟩ − ⟨x, Aᵀy⟩| / (‖Ax‖‖y‖ + ‖x‖‖Aᵀy‖)` on the probe's vectors: the [`dot_test`] of vectors that are all here.
///
/// A few units of precision where the adjoint is one. **Cost**: two products. **Errors**: if `work` is shorter than [`work_len`], or a probe has not as many
/// numbers.
pub fn adjointness<T: Scalar>(op: &dyn LinearOperator<T>, probe: &Probe, work: &mut [T]) -> Result<f64, Error> {
    let Lent { x, y: aty, images: [ax, y, _], scratch } = Lent::new(op, work)?;
    probe.fill(0, 0, BlockMut::new(op.domain(), 1, x)?)?;
    probe.fill(0, 1, BlockMut::new(op.codomain(), 1, y)?)?;
    Ok(dot_test(op, x, y, ax, aty, scratch)?.error())
}

/// Measures `‖A(2.5 x − 0.75 y) − 2.5 Ax + 0.75 Ay‖ / (2.5 ‖Ax‖ + 0.75 ‖Ay‖)` on the probe's vectors.
///
/// A few units of precision where A is linear. **Cost**: three products. **Errors**: as [`adjointness`]'s.
pub fn linearity<T: Scalar>(op: &dyn LinearOperator<T>, probe: &Probe, work: &mut [T]) -> Result<f64, Error> {
    let Lent { x, y, images: [ax, ay, az], scratch } = Lent::applied(op, probe, work)?;
    let (a, b) = (2.5, 0.75);
    x.iter_mut().zip(&*y).for_each(|(x, y)| *x = T::of(a * x.f64() - b * y.f64()));
    op.apply(BlockRef::new(op.domain(), 1, x)?, BlockMut::new(op.codomain(), 1, az)?, scratch)?;
    let scale = a * norm(ax) + b * norm(ay);
    for ((z, x), y) in az.iter_mut().zip(&*ax).zip(&*ay) {
        *z = T::of(z.f64() - a * x.f64() + b * y.f64());
    }
    Ok(relative(norm(az), scale))
}

/// Measures `|⟨Ax, y⟩ − ⟨x, Ay⟩| / (‖Ax‖‖y‖ + ‖x‖‖Ay‖)` on the probe's vectors: a few units of precision where A is symmetric.
///
/// **Cost**: two products. **Errors**: if A is not square, and as [`adjointness`]'s.
pub fn symmetry<T: Scalar>(op: &dyn LinearOperator<T>, probe: &Probe, work: &mut [T]) -> Result<f64, Error> {
    same(op.domain(), op.codomain())?;
    let Lent { x, y, images: [ax, ay, _], .. } = Lent::applied(op, probe, work)?;
    let squares = [dot(x, x), dot(y, y), dot(ax, ax), dot(ay, ay)];
    Ok(DotTest { forward: dot(ax, y), backward: dot(x, ay), squares }.error())
}

/// Measures the smaller `xᵀAx / (‖x‖ ‖Ax‖)` of the probe's two vectors: where A is positive semidefinite, not below zero by more than rounding.
///
/// One-sided: an A with a few negative eigenvalues may pass. **Cost**: two products. **Errors**: as [`symmetry`]'s.
pub fn semidefiniteness<T: Scalar>(op: &dyn LinearOperator<T>, probe: &Probe, work: &mut [T]) -> Result<f64, Error> {
    same(op.domain(), op.codomain())?;
    let Lent { x, y, images: [ax, ay, _], .. } = Lent::applied(op, probe, work)?;
    let quotient = |x: &[T], ax: &[T]| relative(dot(x, ax), norm(x) * norm(ax));
    let (first, second) = (quotient(x, ax), quotient(y, ay));
    Ok(if first < second { first } else { second })
}

/// Writes the dense form of A, row-major `[codomain, domain]`, column by column.
///
/// **Cost**: as many products as the domain has numbers. **Errors**: if `matrix` is not of that size or `work` shorter than [`work_len`].
pub fn materialise<T: Scalar>(op: &dyn LinearOperator<T>, matrix: &mut [T], work: &mut [T]) -> Result<(), Error> {
    let (domain, codomain) = (op.domain(), op.codomain());
    let columns = domain.len();
    length(columns.saturating_mul(codomain.len()), matrix.len())?;
    let Lent { x, images: [ax, ..], scratch, .. } = Lent::new(op, work)?;
    x.fill(T::zero());
    for j in 0..columns {
        x[j] = T::one();
        op.apply(BlockRef::new(domain, 1, x)?, BlockMut::new(codomain, 1, ax)?, scratch)?;
        x[j] = T::zero();
        ax.iter().enumerate().for_each(|(i, y)| matrix[i * columns + j] = *y);
    }
    Ok(())
}

/// How far an operator is from what it [says of itself](LinearOperator::properties), relative to its size; 0 for what it does not claim.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Claims {
    /// The largest |A[i, j] − A[j, i]| / max |A|; infinite if A is not square.
    pub symmetric: f64,
    /// −λ/max |λ| of the smallest eigenvalue, where it is negative; infinite if A is not square.
    pub positive_semidefinite: f64,
    /// The largest |A[i, j]| / max |A| from one trajectory to another; infinite if the numbers of trajectories differ.
    pub block_diagonal: f64,
    /// σ_{r+1}/σ_1, where the rank's bound is r.
    pub rank_bound: f64,
}

impl Claims {
    /// The worst of them: a few units of precision where all claims hold.
    pub fn largest(&self) -> f64 {
        [self.positive_semidefinite, self.block_diagonal, self.rank_bound].into_iter().fold(self.symmetric, libm::fmax)
    }
}

/// The numbers of work memory that [`claims`] needs.
pub fn claims_len<T: Scalar>(op: &dyn LinearOperator<T>) -> usize {
    let (n, k) = (op.domain().len(), op.codomain().len());
    n.saturating_mul(k).saturating_add(n.max(k))
}

/// Measures how far an operator's dense form is from what the operator says of itself.
///
/// **Shapes**: `matrix` is the [dense form](materialise), `[codomain, domain]`; `work` [`claims_len`] numbers. **Cost**: no product; the eigenvalues of the dense
/// form if it shall be positive semidefinite, its singular values if its rank shall be below both dimensions. **Errors**: a buffer that is not of its size, a number that is not finite.
pub fn claims<T: Scalar>(op: &dyn LinearOperator<T>, matrix: &[T], work: &mut [f64]) -> Result<Claims, Error> {
    let (said, from, to) = (op.properties(), op.domain(), op.codomain());
    let (rows, cols) = (to.len(), from.len());
    length(rows.saturating_mul(cols), matrix.len())?;
    enough(claims_len(op), work.len())?;
    let (values, a) = work.split_at_mut(rows.max(cols));
    let a = &mut a[..rows * cols];
    let largest = matrix.iter().fold(0.0, |most, x| libm::fmax(most, libm::fabs(x.f64())));
    let places = || (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j)));
    let mut claims = Claims::default();
    let square = from == to;
    if (said.symmetric || said.positive_semidefinite) && !square {
        (claims.symmetric, claims.positive_semidefinite) = (f64::INFINITY, f64::INFINITY);
    } else if said.symmetric || said.positive_semidefinite {
        let off = |(i, j): (usize, usize)| libm::fabs(matrix[i * cols + j].f64() - matrix[j * cols + i].f64());
        claims.symmetric = relative(places().map(off).fold(0.0, libm::fmax), largest);
    }
    if said.positive_semidefinite && square {
        places().for_each(|(i, j)| a[i * cols + j] = 0.5 * (matrix[i * cols + j].f64() + matrix[j * cols + i].f64()));
        symmetric_eigenvalues(rows, a, &mut values[..rows])?;
        let (most, least) =
            values[..rows].iter().fold((0.0, 0.0), |(m, l), x| (libm::fmax(m, libm::fabs(*x)), libm::fmin(l, *x)));
        claims.positive_semidefinite = relative(-least, most);
    }
    if said.block_diagonal && from.trajectories != to.trajectories {
        claims.block_diagonal = f64::INFINITY;
    } else if said.block_diagonal {
        let elsewhere = |&(i, j): &(usize, usize)| i / to.per_trajectory() != j / from.per_trajectory();
        let off = places().filter(elsewhere).map(|(i, j)| libm::fabs(matrix[i * cols + j].f64()));
        claims.block_diagonal = relative(off.fold(0.0, libm::fmax), largest);
    }
    if said.rank_bound < rows.min(cols) {
        // The singular values of the side with fewer rows.
        let (short, long) = (rows.min(cols), rows.max(cols));
        places()
            .for_each(|(i, j)| a[if rows <= cols { i * long + j } else { j * long + i }] = matrix[i * cols + j].f64());
        singular_values(short, long, a, &mut values[..short])?;
        claims.rank_bound = relative(values[said.rank_bound], values[0]);
    }
    Ok(claims)
}
