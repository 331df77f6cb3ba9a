//! What a model is: weight sites, unit-wise clusters and delays, and its linearisation.
//!
//! A model is a [`Graph`] of few kinds of [`Node`]s. It is run once on fixed inputs ([`Linearization`]), which keeps the
//! values that the weights read and a few diagonal coefficients of every unit-wise cluster. After that, tangents are swept
//! forward and cotangents back ([`Sweep`]) for whole blocks of vectors: that is all that P, K and NTK are made of.
//! A unit-wise cluster is one generic function; its derivatives come from running it with [`Dual`] numbers.

mod builder;
pub mod cells;
mod check;
mod cluster;
mod forward;
pub mod functions;
mod graph;
pub mod mixing;
mod real;
mod recurrent;
mod step;
mod sweep;

pub use builder::{GraphBuffer, GraphBuilder};
pub use cluster::{Cluster, UnitWise, Unitwise};
pub use forward::{Linearization, LinearizeError, Tile};
pub use functions::Activation;
pub use graph::{
    BuildError, Edge, Form, Graph, Node, Operand, Scan, Segment, Site, Variable, Watch, Weight, MAX_INPUTS, MAX_OUTPUTS,
};
pub use mixing::Mixing;
pub use real::{Dual, Real};
pub use recurrent::{Cell, RecurrentWeights, Role};
pub use sweep::{Flow, Mode, Sweep};
