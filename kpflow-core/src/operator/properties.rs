//! What an operator says of itself.

use crate::Shape;

/// What is known of an operator from the way it was made, before any product: what an estimator asks before it chooses its method.
///
/// What is not claimed may hold all the same. What is claimed holds to rounding, which [`contract::claims`](super::contract::claims) measures. The algebra
/// carries it: `A Aᵀ` is positive semidefinite, and of no higher rank than A; a sum has what all its terms have, and their ranks together.
///
/// Claims are of the whole operator. Where vectors are spread over processes, the operators of a [model](crate::ntk) count all processes' numbers; those that
/// act on their own trajectories by shape alone ([`Restriction`](super::Restriction), [`Identity`](super::Identity)) leave the rank to the space, and those
/// that are given by numbers ([`Dense`](super::Dense), [`LowRank`](super::LowRank)) take these for the whole.
///
/// ```
/// use kpflow_core::operator::{Dense, Expression, Properties};
/// use kpflow_core::{LinearOperator, Shape};
/// let (from, to) = (Shape::new(2, 1, 1), Shape::new(2, 2, 2));
/// let a = Dense::new(&[1.0; 16], from, to)?;
/// let gram = a.gram().plus(a.gram().scaled(2.0))?.properties();
/// assert_eq!(gram, Properties { positive_semidefinite: true, symmetric: true, block_diagonal: false, rank_bound: 4 });
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties {
    /// `A = Aᵀ`.
    pub symmetric: bool,
    /// Symmetric, and `xᵀ A x ≥ 0` for every x.
    pub positive_semidefinite: bool,
    /// `A = ⊕_b A_bb`: as many trajectories are written as are read, each from itself alone.
    pub block_diagonal: bool,
    /// At most so many singular values are not zero; `usize::MAX` where nothing but the spaces bounds them: see [`rank_within`](Self::rank_within).
    pub rank_bound: usize,
}

impl Properties {
    /// Nothing is known.
    pub const UNKNOWN: Self =
        Self { symmetric: false, positive_semidefinite: false, block_diagonal: false, rank_bound: usize::MAX };

    /// Of an operator of which its spaces alone are known: its rank is at most the smaller dimension.
    pub const fn between(domain: Shape, codomain: Shape) -> Self {
        let (n, k) = (domain.len(), codomain.len());
        Self { rank_bound: if n < k { n } else { k }, ..Self::UNKNOWN }
    }

    /// The bound of the rank in a space of n numbers (of all processes together), where it is n at most.
    pub const fn rank_within(self, n: usize) -> usize {
        if self.rank_bound < n {
            self.rank_bound
        } else {
            n
        }
    }

    /// Those of `A B`.
    pub(crate) fn product(a: Self, b: Self) -> Self {
        Self {
            block_diagonal: a.block_diagonal && b.block_diagonal,
            rank_bound: a.rank_bound.min(b.rank_bound),
            ..Self::UNKNOWN
        }
    }

    /// Those of `A + B`.
    pub(crate) fn sum(a: Self, b: Self) -> Self {
        Self {
            symmetric: a.symmetric && b.symmetric,
            positive_semidefinite: a.positive_semidefinite && b.positive_semidefinite,
            block_diagonal: a.block_diagonal && b.block_diagonal,
            rank_bound: a.rank_bound.saturating_add(b.rank_bound),
        }
    }

    /// Those of `A B Aᵀ`; of `A Aᵀ` if B is the identity.
    pub(crate) fn congruence(a: Self, b: Self) -> Self {
        Self { symmetric: b.symmetric, positive_semidefinite: b.positive_semidefinite, ..Self::product(a, b) }
    }

    /// The same, with no eigenvalue below zero.
    pub(crate) const fn semidefinite(self) -> Self {
        Self { symmetric: true, positive_semidefinite: true, ..self }
    }

    /// Those of the identity.
    pub(crate) const IDENTITY: Self = Self { block_diagonal: true, ..Self::UNKNOWN }.semidefinite();
}
