//! What a model is: weight sites, unit-wise clusters, mixing blocks and delays, and its linearisation.
//!
//! A model is a [`Graph`] of few kinds of [`Node`]s. It is run once on fixed inputs ([`Linearization`]), which keeps the
//! values that the weights read and a few diagonal coefficients of every unit-wise cluster. After that, tangents are swept
//! forward and cotangents back for whole blocks of vectors: that is all that P, K and NTK are made of.
//! A unit-wise cluster is one generic function; its derivatives come from running it with [`Dual`] numbers. What mixes rows or columns
//! without weights (attention, softmax, normalisation, convolutions' patches) is a [`mixing`] block.
//!
//! # A cell of one's own
//!
//! A cell is a function and its wiring, some ten lines. Here a gated unit `h ← h + σ(g) (tanh(c) − h)`, (g, c) = W h + x:
//! ```
//! use kpflow_core::{machine::Portable, model::*, ntk::Ntk, LinearOperator};
//! struct Gated;
//! impl UnitWise<5, 1> for Gated {
//!     fn eval<R: Real>(&self, [g, c, xg, xc, h]: [R; 5]) -> [R; 1] {
//!         [h + (g + xg).sigmoid() * ((c + xc).tanh() - h)]
//!     }
//! }
//! fn gated<'s, 'a: 's>(w: &'a [f64], t: usize, n: usize, memory: &'s mut GraphBuffer<'a, f64, 8>) -> Result<Graph<'s, f64>, BuildError> {
//!     let mut g = memory.builder();
//!     let (weight, x) = (g.weight(Weight::new(w, None, 2 * n, n)), g.variable(t, 2 * n, Edge::None, None));
//!     let s = g.variable(t, 2 * n, Edge::None, None);
//!     let h = g.variable(t, n, Edge::First, Some(Watch { offset: 0, stride: n }));
//!     g.segment(Scan::Parallel);
//!     g.input(0, x);
//!     g.segment(Scan::Forward);
//!     g.site(weight, g.delayed(h), s);
//!     let reads = [g.piece(s, 0, n), g.piece(s, 1, n), g.piece(x, 0, n), g.piece(x, 1, n), g.delayed(h)];
//!     g.cluster(&Unitwise(Gated), &reads, &[h]);
//!     g.finish(t, n)
//! }
//! // Five steps of two units: run, linearised, and its NTK passes the dot test.
//! let (w, x) = ([0.3, -0.2, 0.5, 0.1, 0.7, -0.4, 0.2, 0.6], [0.4; 5 * 4]);
//! let mut memory = GraphBuffer::default();
//! let graph = gated(&w, 5, 2, &mut memory).unwrap();
//! let mut arena = vec![0.0; Linearization::arena_len(&graph, 1)];
//! let mut scratch = vec![0.0; Linearization::scratch_len(&graph, 1, 1, &Portable)];
//! let lin = Linearization::new(&graph, &[&x], None, 1, 1, &mut arena, &mut scratch, &Portable).unwrap();
//! let ntk = Ntk::new(&lin, &Portable);
//! let (mut a, mut b) = ([0.0; 10], [0.0; 10]);
//! scratch.resize(ntk.scratch_len(1), 0.0);
//! let (u, v) = ([1.0; 10], core::array::from_fn::<f64, 10, _>(|i| i as f64));
//! let test = kpflow_core::operator::contract::dot_test(&ntk, &u, &v, &mut a, &mut b, &mut scratch).unwrap();
//! assert!(test.error() < 1e-14);
//! ```

mod builder;
pub mod cells;
mod check;
mod cluster;
mod error;
mod flow;
mod forward;
pub mod functions;
mod graph;
mod inference;
mod link;
pub mod mixing;
mod node;
mod panel;
mod pass;
mod passed;
mod real;
mod recurrent;
mod rest;
mod site;
mod step;
mod sweep;
mod through;
mod tile;
mod transposed;
mod variable;
mod wires;

pub use builder::{GraphBuffer, GraphBuilder};
pub use cluster::{Cluster, UnitWise, Unitwise};
pub use error::{BuildError, LinearizeError};
pub use flow::Flow;
pub(crate) use flow::Mode;
pub use forward::{Linearization, Run};
pub use functions::Activation;
pub use graph::Graph;
#[cfg(feature = "alloc")]
pub(crate) use graph::Sizes;
pub use mixing::Mixing;
pub(crate) use node::Coupled;
pub use node::{Form, Node, Segment, Site, Weight, WeightId, MAX_INPUTS, MAX_OUTPUTS};
pub use real::{Dual, Real};
pub use recurrent::{Cell, Layer, RecurrentWeights};
pub(crate) use sweep::Sweep;
pub(crate) use tile::Tile;
pub use variable::{Edge, Operand, Scan, Variable, VariableId, Watch};
pub use wires::{Function, Wires};
