//! Tests that any operator must pass, for those who write one.

use super::LinearOperator;
use crate::{BlockMut, BlockRef, Error, Scalar};

fn dot<T: Scalar>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.f64() * b.f64()).sum()
}

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
/// **Errors**: if a buffer is not of the operator's size.
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
