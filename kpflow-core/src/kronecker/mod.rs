//! Kronecker products of two matrices, and what holds without forming them.

use crate::error::length;
use crate::machine::{Gemm, Kernel, MatMut, MatRef};
use crate::operator::check;
use crate::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};

/// The Kronecker product `A ⊗ B` of two dense matrices, as an operator: `Y = A X Bᵀ`.
///
/// With X in C order, `vec Y = (A ⊗ B) vec X`: A acts on the steps, B on the units. Every matrix may be a transpose ([`MatRef::t`]). **Shapes**:
/// `[1, A.cols, B.cols]` to `[1, A.rows, B.rows]`. **Cost**: 2·A.cols·B.rows·(B.cols + A.rows) flops a vector, where the
/// formed product takes 2·A.rows·B.rows·A.cols·B.cols; scratch is X Bᵀ.
///
/// ```
/// use kpflow_core::{kronecker::Kronecker, machine::{MatRef, Portable}, BlockMut, BlockRef, LinearOperator, Shape};
/// let (a, b) = ([1.0, 2.0], [3.0, 0.0, 0.0, 5.0]);
/// let product = Kronecker::new(MatRef::new(&a, 1, 2, 2)?, MatRef::new(&b, 2, 2, 2)?, &Portable);
/// let (x, mut y, mut scratch) = ([1.0, 1.0, 1.0, 1.0], [0.0; 2], [0.0; 4]);
/// product.apply(BlockRef::new(Shape::new(1, 2, 2), 1, &x)?, BlockMut::new(Shape::new(1, 1, 2), 1, &mut y)?, &mut scratch)?;
/// assert_eq!(y, [9.0, 15.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Kronecker<'a, T, K> {
    a: MatRef<'a, T>,
    b: MatRef<'a, T>,
    kernel: &'a K,
}

/// A factor of `A ⊗ B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// A, which acts on the steps.
    Left,
    /// B, which acts on the units.
    Right,
}

impl<'a, T: Scalar, K: Kernel<T>> Kronecker<'a, T, K> {
    /// Makes `A ⊗ B`.
    pub fn new(a: MatRef<'a, T>, b: MatRef<'a, T>, kernel: &'a K) -> Self {
        Self { a, b, kernel }
    }

    /// One of the two matrices.
    pub fn factor(&self, factor: Factor) -> MatRef<'a, T> {
        match factor {
            Factor::Left => self.a,
            Factor::Right => self.b,
        }
    }

    /// The transpose: `(A ⊗ B)ᵀ = Aᵀ ⊗ Bᵀ`.
    pub fn t(&self) -> Self {
        Self { a: self.a.t(), b: self.b.t(), kernel: self.kernel }
    }

    /// The product of two, factor by factor: `(A ⊗ B)(C ⊗ D) = AC ⊗ BD`, its factors written to `left` and `right`.
    ///
    /// **Errors**: unless the factors fit, and `left` is A.rows × C.cols long and `right` B.rows × D.cols.
    pub fn times<'m>(
        &self,
        other: &Kronecker<'_, T, K>,
        left: &'m mut [T],
        right: &'m mut [T],
    ) -> Result<Kronecker<'m, T, K>, Error>
    where
        'a: 'm,
    {
        let multiply = |x: MatRef<'_, T>, y: MatRef<'_, T>, out: &'m mut [T]| {
            length(x.rows.saturating_mul(y.cols), out.len())?;
            self.kernel.gemm(T::one(), Gemm::new(x, y, MatMut::new(out, x.rows, y.cols, y.cols)?)?, T::zero());
            MatRef::new(out, x.rows, y.cols, y.cols)
        };
        Ok(Kronecker { a: multiply(self.a, other.a, left)?, b: multiply(self.b, other.b, right)?, kernel: self.kernel })
    }

    /// The trace, `tr A · tr B`.
    ///
    /// For square A and B. **Errors**: if a factor is not square.
    pub fn trace(&self) -> Result<f64, Error> {
        Ok(trace(self.a)? * trace(self.b)?)
    }

    /// The Frobenius norm, `‖A‖_F ‖B‖_F`.
    pub fn frobenius_norm(&self) -> f64 {
        let square = |m: MatRef<'_, T>| entries(m).map(|(_, _, x)| x * x).sum::<f64>();
        num_traits::Float::sqrt(square(self.a)) * num_traits::Float::sqrt(square(self.b))
    }

    /// Writes the partial trace over a factor's axis: Σ_i (e_i ⊗ I)ᵀ (A ⊗ B) (e_i ⊗ I) = `tr(A)·B` over the left, `tr(B)·A` over the right one.
    ///
    /// **Shapes**: `out` is the other factor's rows × columns, row-major.
    ///
    /// **Errors**: if the factor is not square or `out` of another size.
    pub fn partial_trace(&self, over: Factor, out: &mut [T]) -> Result<(), Error> {
        self.contract(over, trace(self.factor(over))?, out)
    }

    /// Writes the sum over a factor's axis: (1 ⊗ I)ᵀ (A ⊗ B) (1 ⊗ I) = `(1ᵀA1)·B` over the left, `(1ᵀB1)·A` over the right one. Not a partial trace.
    ///
    /// **Shapes**: `out` is the other factor's rows × columns, row-major.
    ///
    /// **Errors**: if `out` is of another size.
    pub fn axis_sum(&self, over: Factor, out: &mut [T]) -> Result<(), Error> {
        self.contract(over, entries(self.factor(over)).map(|(_, _, x)| x).sum(), out)
    }

    fn contract(&self, over: Factor, weight: f64, out: &mut [T]) -> Result<(), Error> {
        let rest = self.factor(if over == Factor::Left { Factor::Right } else { Factor::Left });
        length(rest.rows.saturating_mul(rest.cols), out.len())?;
        entries(rest).for_each(|(i, j, x)| out[i * rest.cols + j] = T::of(weight * x));
        Ok(())
    }
}

/// (row, column, value) of every entry.
fn entries<T: Scalar>(m: MatRef<'_, T>) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
    let (rs, cs) = m.strides();
    let rows = if m.cols == 0 { 0 } else { m.rows };
    (0..rows).flat_map(move |i| (0..m.cols).map(move |j| (i, j, m.data[i * rs + j * cs].f64())))
}

fn trace<T: Scalar>(m: MatRef<'_, T>) -> Result<f64, Error> {
    if m.rows != m.cols {
        return Err(Error::Matrix { expected: (m.rows, m.rows), found: (m.rows, m.cols) });
    }
    let (rs, cs) = m.strides();
    Ok((0..m.rows).map(|i| m.data[i * (rs + cs)].f64()).sum())
}

impl<T, K> core::fmt::Display for Kronecker<'_, T, K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("(A ⊗ B)")
    }
}

impl<T: Scalar, K: Kernel<T>> LinearOperator<T> for Kronecker<'_, T, K> {
    fn domain(&self) -> Shape {
        Shape::new(1, self.a.cols, self.b.cols)
    }
    fn codomain(&self) -> Shape {
        Shape::new(1, self.a.rows, self.b.rows)
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        let one = |x: usize, y: usize| vectors.saturating_mul(x.saturating_mul(y));
        one(self.a.cols, self.b.rows).max(one(self.a.rows, self.b.cols))
    }
    fn apply(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let (a, b, m) = (self.a, self.b, x.vectors());
        check(self.domain(), self.codomain(), self.scratch_len(m), &x, &y, scratch)?;
        // One trajectory: the vectors' steps are the rows of one matrix, so B takes them all at once.
        let between = &mut scratch[..m * a.cols * b.rows];
        let rows = MatRef::of(x.data(), m * a.cols, b.cols, b.cols);
        self.kernel.gemm(T::one(), Gemm::of(rows, b.t(), MatMut::of(between, m * a.cols, b.rows, b.rows)), T::zero());
        for v in 0..m {
            let z = MatRef::of(&between[v * a.cols * b.rows..][..a.cols * b.rows], a.cols, b.rows, b.rows);
            self.kernel.gemm(T::one(), Gemm::of(a, z, MatMut::of(y.at(0, v), a.rows, b.rows, b.rows)), T::zero());
        }
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        self.t().apply(x, y, scratch)
    }
}
