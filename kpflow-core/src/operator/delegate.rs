//! Two ways in which an operator is written once for both directions.

/// Implements an operator by another one: an expression that is made afresh for every call, which costs nothing.
macro_rules! by_expression {
    ([$($generics:tt)*] $type:ty, |$self:ident| $expression:expr) => {
        impl<$($generics)*> LinearOperator<T> for $type {
            fn domain(&$self) -> Shape {
                LinearOperator::<T>::domain(&$expression)
            }
            fn codomain(&$self) -> Shape {
                LinearOperator::<T>::codomain(&$expression)
            }
            fn scratch_len(&$self, vectors: usize) -> usize {
                LinearOperator::<T>::scratch_len(&$expression, vectors)
            }
            fn apply(&$self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
                $expression.apply(x, y, scratch)
            }
            fn apply_adjoint(&$self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
                $expression.apply_adjoint(x, y, scratch)
            }
        }
    };
}
pub(super) use by_expression;
