//! The mathematics of kpflow: what can gradient descent learn in this model, and in which order?
//!
//! A model run on fixed inputs satisfies one implicit constraint `z = F(z, θ)`. Gradient descent moves its state z by the
//! linear operator `NTK = P K Pᵀ`, with the propagator `P = (I − ∂F/∂z)⁻¹` and the parameter operator `K = J Jᵀ`,
//! `J = ∂F/∂θ`. This crate applies these operators to blocks of vectors without forming any of them.
//!
//! No standard library, no allocation, no unsafe code; generic over `f32` and `f64`, over the matrix kernel and over
//! the communication between processes ([`machine`]).
#![no_std]
#![forbid(unsafe_code)]

mod block;
pub mod dense;
mod error;
pub mod kronecker;
pub mod machine;
pub mod model;
pub mod ntk;
pub mod operator;
pub mod probe;
mod scalar;
mod shape;

pub use block::{BlockMut, BlockRef};
pub use error::Error;
pub use operator::LinearOperator;
pub use scalar::Scalar;
pub use shape::{Axis, Shape};
