//! The mathematics of kpflow: what can gradient descent learn in this model, and in which order?
//!
//! A model run on fixed inputs satisfies one implicit constraint `z = F(z, θ)`. Gradient descent moves its state z by the
//! linear operator `NTK = P K Pᵀ`, with the propagator `P = (I − ∂F/∂z)⁻¹` and the parameter operator `K = J Jᵀ`,
//! `J = ∂F/∂θ`. This crate applies these operators to blocks of vectors without forming any of them.
//!
//! No standard library, no allocation (but what the feature `alloc` adds: [a builder that owns what it builds](#6-memory-of-its-own)), no unsafe code; generic over `f32` and `f64`, over the matrix kernel and over
//! the communication between processes ([`machine`]). What does not fit is an [`Error`] with both numbers in it, never a panic.
//!
//! # From `I ⊗ A` to `NTK = P K Pᵀ`
//!
//! **1. An operator acts on blocks of tensors `[trajectory, step, unit]`.** The same matrix at every step is `I ⊗ A`, here [on the
//! axis](operator::OnAxis) of the units. The caller lends all memory; how much is known beforehand.
//! ```
//! use kpflow_core::{machine::MatRef, operator::OnAxis, Axis, BlockMut, BlockRef, LinearOperator, Shape};
//! let shape = Shape::new(1, 2, 2); // one trajectory, two steps, two units
//! let everywhere = OnAxis::new(shape, Axis::Unit, MatRef::new(&[0.0, 1.0, 1.0, 1.0], 2, 2, 2)?)?;
//! let (x, mut y) = ([1.0, 2.0, 3.0, 4.0], [0.0; 4]);
//! assert_eq!(everywhere.scratch_len(1), 0);
//! everywhere.apply(BlockRef::new(shape, 1, &x)?, BlockMut::new(shape, 1, &mut y)?, &mut [])?;
//! assert_eq!(y, [2.0, 3.0, 4.0, 7.0]);
//! # Ok::<(), kpflow_core::Error>(())
//! ```
//!
//! **2. Operators make operators**, by value, checked where they are put together; an expression prints itself.
//! ```
//! use kpflow_core::{operator::{Expression, Identity, TimeShift}, Error, Shape};
//! let shape = Shape::new(1, 3, 1);
//! // A state that keeps half of itself: I − ½ S is what P inverts.
//! let constraint = Identity(shape).minus(TimeShift::new(shape, 1).scaled(0.5))?;
//! assert_eq!(constraint.to_string(), "I − 0.5 S_1");
//! assert_eq!(constraint.gram().to_string(), "(I − 0.5 S_1) ∘ (I − 0.5 S_1)ᵀ");
//! let other = Identity(Shape::new(1, 4, 1));
//! assert_eq!(constraint.plus::<f64, _>(other).unwrap_err(), Error::Space { expected: shape, found: other.0 });
//! # Ok::<(), kpflow_core::Error>(())
//! ```
//!
//! **3. A model is run once**, on its inputs, and is linear from then on. Its weights are borrowed in PyTorch's layout.
//! ```
//! use kpflow_core::machine::Portable;
//! use kpflow_core::model::{Activation, Cell, GraphBuffer, Linearization, RecurrentWeights};
//! let (w_ih, w_hh, x) = ([0.5, -0.3], [0.1, 0.4, -0.2, 0.3], [1.0, 0.0, -1.0]);
//! let weights = RecurrentWeights { n_in: 1, hidden: 2, w_ih: &w_ih, w_hh: &w_hh, b_ih: None, b_hh: None };
//! let (cell, mut buffer) = (Cell::rnn(Activation::Tanh), GraphBuffer::default());
//! let graph = cell.graph(weights, 3, &mut buffer)?;
//! let mut arena = vec![0.0; Linearization::arena_len(&graph, 1)];
//! let mut scratch = vec![0.0; Linearization::scratch_len(&graph, 1, 1, &Portable)];
//! let lin = Linearization::new(&graph, &[&x], None, 1, 1, &mut arena, &mut scratch, &Portable)?;
//! assert_eq!((lin.shape().to_string(), graph.parameters()), ("[1, 3, 2]".into(), 6));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **4. `NTK = P K Pᵀ`.** P is one sweep through time, K the Kronecker core of what the weights read; [`ntk::Ntk`] is both in one.
//! ```
//! # use kpflow_core::machine::Portable;
//! # use kpflow_core::model::{Activation, Cell, GraphBuffer, Linearization, RecurrentWeights};
//! # let (w_ih, w_hh, x) = ([0.5, -0.3], [0.1, 0.4, -0.2, 0.3], [1.0, 0.0, -1.0]);
//! # let weights = RecurrentWeights { n_in: 1, hidden: 2, w_ih: &w_ih, w_hh: &w_hh, b_ih: None, b_hh: None };
//! # let (cell, mut buffer) = (Cell::rnn(Activation::Tanh), GraphBuffer::default());
//! # let graph = cell.graph(weights, 3, &mut buffer)?;
//! # let mut arena = vec![0.0; Linearization::arena_len(&graph, 1)];
//! # let mut scratch = vec![0.0; Linearization::scratch_len(&graph, 1, 1, &Portable)];
//! # let lin = Linearization::new(&graph, &[&x], None, 1, 1, &mut arena, &mut scratch, &Portable)?;
//! use kpflow_core::ntk::{Ntk, ParameterOperator, Propagator};
//! use kpflow_core::operator::{contract, Expression};
//! let (p, k, ntk) = (Propagator::new(&lin, &Portable), ParameterOperator::new(&lin, &Portable), Ntk::new(&lin, &Portable));
//! let expression = k.within::<f64, _>(p)?;
//! assert_eq!(expression.to_string(), "P ∘ K ∘ Pᵀ");
//! let (mut one, mut other) = ([0.0; 36], [0.0; 36]);
//! let mut work = vec![0.0; contract::work_len(&expression).max(contract::work_len(&ntk))];
//! contract::materialise(&expression, &mut one, &mut work)?;
//! contract::materialise(&ntk, &mut other, &mut work)?;
//! assert!(one.iter().zip(&other).all(|(a, b): (&f64, &f64)| (a - b).abs() < 1e-15));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **5. What it says**, without any matrix: the trace from random [probes](probe), and the step that gradient descent makes.
//! ```
//! # use kpflow_core::machine::Portable;
//! # use kpflow_core::model::{Activation, Cell, GraphBuffer, Linearization, RecurrentWeights};
//! # let (w_ih, w_hh, x) = ([0.5, -0.3], [0.1, 0.4, -0.2, 0.3], [1.0, 0.0, -1.0]);
//! # let weights = RecurrentWeights { n_in: 1, hidden: 2, w_ih: &w_ih, w_hh: &w_hh, b_ih: None, b_hh: None };
//! # let (cell, mut buffer) = (Cell::rnn(Activation::Tanh), GraphBuffer::default());
//! # let graph = cell.graph(weights, 3, &mut buffer)?;
//! # let mut arena = vec![0.0; Linearization::arena_len(&graph, 1)];
//! # let mut scratch = vec![0.0; Linearization::scratch_len(&graph, 1, 1, &Portable)];
//! # let lin = Linearization::new(&graph, &[&x], None, 1, 1, &mut arena, &mut scratch, &Portable)?;
//! use kpflow_core::{ntk::Ntk, probe::{hutchinson, Distribution, Probe}, BlockMut, BlockRef, LinearOperator};
//! let (ntk, probe) = (Ntk::new(&lin, &Portable), Probe { seed: 0, stream: 0, distribution: Distribution::Rademacher });
//! let (mut x, mut y, mut scratch) = ([0.0; 6 * 8], [0.0; 6 * 8], vec![0.0; ntk.scratch_len(8)]);
//! let trace = hutchinson(&ntk, &probe, 0..64, 8, &mut x, &mut y, &mut scratch)?;
//! assert!(trace.mean() > 0.0 && trace.standard_error() < 0.5 * trace.mean());
//! let (error, mut step) = ([0.0, 0.0, 0.0, 0.0, 1.0, 0.0], [0.0; 6]); // ∂L/∂z at the last step
//! ntk.apply(BlockRef::new(lin.shape(), 1, &error)?, BlockMut::new(lin.shape(), 1, &mut step)?, &mut scratch)?;
//! assert!(step[4] > 0.0); // δz = −η NTK ∂L/∂z goes against the error
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # 6. Memory of its own
//!
//! With the feature `alloc` a `network::Network` is built node after node, run and linearised without lent memory; the operators are the same.
#![cfg_attr(feature = "alloc", doc = "```")]
#![cfg_attr(not(feature = "alloc"), doc = "```ignore")]
//! use kpflow_core::{machine::Portable, model::{Activation, Run, Scan}, network::{Network, OwnedWeight, State}};
//! use kpflow_core::{ntk::Ntk, BlockMut, BlockRef, LinearOperator};
//! let mut network = Network::<f64>::default();
//! network.segment(Scan::Parallel);
//! let x = network.input(0, 1, 2);
//! let first = network.weight(OwnedWeight::new("first", vec![0.5, -0.3, 0.2, 0.8], 2, 2));
//! let s = network.dense(first, network.read(x));
//! let a = network.cluster(Activation::Tanh, [network.read(s)]);
//! network.watch(State::Variables(&[a]))?;
//! let graph = network.graph(network.weights())?;
//! let inputs: [&[f64]; 1] = [&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]]; // three trajectories
//! let lin = graph.linearize(&Run::new(&inputs, 3), &Portable)?;
//! let lin = lin.view();
//! let ntk = Ntk::new(&lin, &Portable);
//! let (mut y, mut scratch) = ([0.0; 6], vec![0.0; ntk.scratch_len(1)]);
//! ntk.apply(BlockRef::new(lin.shape(), 1, &[1.0; 6])?, BlockMut::new(lin.shape(), 1, &mut y)?, &mut scratch)?;
//! assert_eq!(ntk.properties().rank_bound, 4); // as many as there are parameters
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

#[cfg(feature = "alloc")]
extern crate alloc;

mod block;
pub mod dense;
mod error;
pub mod kronecker;
pub mod machine;
pub mod model;
#[cfg(feature = "alloc")]
pub mod network;
pub mod ntk;
pub mod operator;
pub mod probe;
mod scalar;
mod shape;

pub use block::{BlockMut, BlockRef};
pub use error::Error;
pub use operator::{LinearOperator, Properties};
pub use scalar::Scalar;
pub use shape::{Axis, Shape};
