//! Kronecker products and sums of any number of matrices, and what holds without forming them.
//!
//! A [`Factor`] is a dense matrix or an identity, times a number. [`Kronecker`] (A ⊗ B ⊗ …) and [`KroneckerSum`] (A ⊗ I + I ⊗ B …) are operators on state
//! tensors: by default the last factor acts on the units, the one before it on the steps, the others on the trajectories. Their traces, norms,
//! ranks, determinants, inverses, powers, roots, partial traces and eigenpairs follow from the factors' own ([`crate::dense`]).

mod derived;
mod factor;
mod factors;
mod identities;
mod product;
mod spectrum;
mod sum;

pub use factor::Factor;
pub use product::Kronecker;
pub use spectrum::{Eigenpair, Rule, SpectralMap, Spectrum, SpectrumLen};
pub use sum::KroneckerSum;
