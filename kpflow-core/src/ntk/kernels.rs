//! K and NTK.

use super::sandwich::Sandwich;
use super::side::{Coupling, Side};
use crate::machine::Machine;
use crate::model::{Linearization, Mode};
use crate::operator::Properties;
use crate::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};

macro_rules! sandwich {
    ($(#[$doc:meta])* $name:ident, $mode:expr, $symbol:literal) => {
        $(#[$doc])*
        pub struct $name<'a, T, M>(Sandwich<'a, T, M>);

        impl<'a, T: Scalar, M: Machine<T>> $name<'a, T, M> {
            /// Makes the operator on the [cheaper](Side::cheaper) side of each weight, all trajectories sharing their weights. Collective.
            pub fn new(lin: &'a Linearization<'a, T>, machine: &'a M) -> Self {
                let total = machine.sum_count(lin.shape().trajectories);
                Self::with(lin, machine, Coupling::All, Side::cheaper(total, machine.sum_count(1)))
            }
            /// Makes the operator, or its block diagonal over trajectories, on the side asked for. Collective.
            ///
            /// [`Coupling::PerTrajectory`] takes the cheaper side for each weight by itself, whatever `side` is.
            pub fn with(lin: &'a Linearization<'a, T>, machine: &'a M, coupling: Coupling, side: Side) -> Self {
                Self(Sandwich::new(lin, machine, $mode, coupling, side))
            }
        }

        impl<T, M> core::fmt::Display for $name<'_, T, M> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(match self.0.coupling {
                    Coupling::All => $symbol,
                    Coupling::PerTrajectory => concat!("⊕", $symbol),
                })
            }
        }

        impl<T: Scalar, M: Machine<T>> LinearOperator<T> for $name<'_, T, M> {
            fn domain(&self) -> Shape {
                self.0.shape()
            }
            fn codomain(&self) -> Shape {
                self.0.shape()
            }
            fn scratch_len(&self, vectors: usize) -> usize {
                self.0.scratch_len(vectors)
            }
            fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
                self.0.apply(x, y, scratch)
            }
            fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
                self.0.apply(x, y, scratch)
            }
            fn properties(&self) -> Properties {
                self.0.properties()
            }
        }
    };
}

sandwich! {
    /// The parameter operator `K = J Jᵀ = Σ_sites D (G ⊗ I) Dᵀ`: what the weights can move at once.
    ///
    /// **Shapes**: `[B, T, N]` to itself, symmetric, positive semidefinite, of a rank of at most n_θ (B·n_θ for the block diagonal).
    /// **Cost**: see [`Side`]; no state-to-state sweep. One sum of m·n_θ numbers over processes (weight side).
    ParameterOperator, Mode::Immediate, "K"
}

sandwich! {
    /// The global empirical neural tangent kernel `NTK = P K Pᵀ` on states.
    ///
    /// **Shapes**: `[B, T, N]` to itself, symmetric, positive semidefinite, of a rank of at most n_θ (B·n_θ for the block diagonal).
    /// **Cost**: one sweep back, the Kronecker core, one sweep forward; one sum of m·n_θ numbers over processes (weight side)
    /// or a gather of the site cotangents (Gram side); nothing for the block diagonal over trajectories.
    Ntk, Mode::Total, "NTK"
}
