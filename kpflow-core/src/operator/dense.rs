//! Dense matrices as operators: on the whole space, or on one axis of it.

use super::moves::{on_axis, with_axis};
use super::{check, LinearOperator, Properties};
use crate::error::length;
use crate::machine::MatRef;
use crate::{Axis, BlockMut, BlockRef, Error, Scalar, Shape};
use core::fmt;

/// A dense matrix between two spaces, row-major over flat indices: the oracle of tests, and for small problems.
///
/// **Adjoint**: the transpose. **Cost**: 2·rows·columns flops a vector; no scratch.
///
/// ```
/// use kpflow_core::{operator::Dense, BlockMut, BlockRef, LinearOperator, Shape};
/// let (from, to, mut y) = (Shape::new(1, 1, 2), Shape::new(1, 1, 1), [0.0]);
/// let row = Dense::new(&[3.0, 4.0], from, to)?;
/// row.apply(BlockRef::new(from, 1, &[1.0, 2.0])?, BlockMut::new(to, 1, &mut y)?, &mut [])?;
/// assert_eq!(y, [11.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Dense<'a, T> {
    matrix: &'a [T],
    domain: Shape,
    codomain: Shape,
}

impl<'a, T: Scalar> Dense<'a, T> {
    /// Views `matrix`, `[codomain.len(), domain.len()]`, as an operator.
    ///
    /// **Errors**: if the matrix is of another size.
    pub fn new(matrix: &'a [T], domain: Shape, codomain: Shape) -> Result<Self, Error> {
        length(domain.len().saturating_mul(codomain.len()), matrix.len())?;
        Ok(Self { matrix, domain, codomain })
    }

    fn product(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, strides: (usize, usize)) {
        let (from, to) = (x.shape(), y.shape());
        let (m, n, k) = (x.vectors(), to.per_trajectory(), from.per_trajectory());
        for (i, out) in y.into_data().iter_mut().enumerate() {
            let (b, v, r) = (i / (m * n), i / n % m, i % n);
            *out = (0..if k == 0 { 0 } else { from.trajectories })
                .flat_map(|c| x.at(c, v).iter().enumerate().map(move |(j, x)| (c * k + j, *x)))
                .map(|(j, x)| self.matrix[(b * n + r) * strides.0 + j * strides.1] * x)
                .sum();
        }
    }
}

impl<T> fmt::Display for Dense<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("A")
    }
}

impl<T: Scalar> LinearOperator<T> for Dense<'_, T> {
    fn domain(&self) -> Shape {
        self.domain
    }
    fn codomain(&self) -> Shape {
        self.codomain
    }
    fn scratch_len(&self, _vectors: usize) -> usize {
        0
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        check(self.domain, self.codomain, 0, &x, &y, scratch)?;
        self.product(x, y, (self.domain.len(), 1));
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        check(self.codomain, self.domain, 0, &x, &y, scratch)?;
        self.product(x, y, (1, self.domain.len()));
        Ok(())
    }
}

/// A dense matrix on one axis, the identity on the other two: `M ⊗ I ⊗ I`, `I ⊗ M ⊗ I` or `I ⊗ I ⊗ M`.
///
/// **Shapes**: the axis has M.cols places in the domain and M.rows in the codomain. **Adjoint**: Mᵀ on the same axis. **Cost**: 2·M.rows flops a
/// number of the domain; no scratch.
///
/// ```
/// use kpflow_core::{machine::MatRef, operator::OnAxis, Axis, BlockMut, BlockRef, LinearOperator, Shape};
/// // The differences of neighbouring steps.
/// let (from, to, mut y) = (Shape::new(1, 3, 2), Shape::new(1, 2, 2), [0.0; 4]);
/// let difference = OnAxis::new(from, Axis::Step, MatRef::new(&[-1.0, 1.0, 0.0, 0.0, -1.0, 1.0], 2, 3, 3)?)?;
/// difference.apply(BlockRef::new(from, 1, &[1.0, 5.0, 2.0, 7.0, 4.0, 0.0])?, BlockMut::new(to, 1, &mut y)?, &mut [])?;
/// assert_eq!(y, [1.0, 2.0, 2.0, -7.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OnAxis<'a, T> {
    domain: Shape,
    axis: Axis,
    matrix: MatRef<'a, T>,
}

impl<'a, T: Scalar> OnAxis<'a, T> {
    /// Makes the operator on vectors of the shape `domain`.
    ///
    /// **Errors**: unless the axis has as many places as the matrix columns.
    pub fn new(domain: Shape, axis: Axis, matrix: MatRef<'a, T>) -> Result<Self, Error> {
        length(on_axis(domain, axis), matrix.cols())?;
        Ok(Self { domain, axis, matrix })
    }

    /// Writes Σ_k M[i, k] x[…, k, …] to every y[…, i, …].
    fn product(&self, matrix: MatRef<'_, T>, x: BlockRef<'_, T>, y: BlockMut<'_, T>) {
        let (m, from, to) = (x.vectors(), x.shape(), y.shape());
        let (rs, cs) = matrix.strides();
        // The distance between places on the axis, in each of the two blocks.
        let stride = |shape: Shape| match self.axis {
            Axis::Trajectory => m * shape.per_trajectory(),
            Axis::Step => shape.units,
            Axis::Unit => 1,
        };
        for (at, out) in y.into_data().iter_mut().enumerate() {
            let (outer, inner) = (at / stride(to), at % stride(to));
            let (outer, i) = (outer / matrix.rows(), outer % matrix.rows());
            let start = outer * on_axis(from, self.axis) * stride(from) + inner;
            let term = |k: usize| matrix.data()[i * rs + k * cs] * x.data()[start + k * stride(from)];
            *out = (0..matrix.cols()).map(term).sum();
        }
    }
}

impl<T> fmt::Display for OnAxis<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.axis {
            Axis::Trajectory => "(M ⊗ I ⊗ I)",
            Axis::Step => "(I ⊗ M ⊗ I)",
            Axis::Unit => "(I ⊗ I ⊗ M)",
        })
    }
}

impl<T: Scalar> LinearOperator<T> for OnAxis<'_, T> {
    fn domain(&self) -> Shape {
        self.domain
    }
    fn codomain(&self) -> Shape {
        with_axis(self.domain, self.axis, self.matrix.rows())
    }
    fn scratch_len(&self, _vectors: usize) -> usize {
        0
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        check(self.domain(), self.codomain(), 0, &x, &y, scratch)?;
        self.product(self.matrix, x, y);
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        check(self.codomain(), self.domain(), 0, &x, &y, scratch)?;
        self.product(self.matrix.t(), x, y);
        Ok(())
    }
    fn properties(&self) -> Properties {
        Properties { block_diagonal: self.axis != Axis::Trajectory, ..Properties::UNKNOWN }
    }
}
