//! Two ways in which an operator is written once for both directions.

/// Implements an operator by another one: an expression that is made afresh for every call, which costs nothing.
///
/// What the operator is follows from the expression, unless `is` says more: with A's properties, of a field or of several.
macro_rules! by_expression {
    ([$($generics:tt)*] $type:ty, |$self:ident| $expression:expr) => {
        by_expression!([$($generics)*] $type, |$self| $expression, is LinearOperator::<T>::properties(&$expression));
    };
    ([$($generics:tt)*] $type:ty, |$self:ident| $expression:expr, is $properties:expr) => {
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
            fn properties(&$self) -> $crate::operator::Properties {
                $properties
            }
        }
    };
}
pub(super) use by_expression;
