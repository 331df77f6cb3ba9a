//! P, K and NTK of a linearised model, as operators; and what is known of them in closed form.
//!
//! All of them are the same two sweeps with another rule at the watched state, and the same
//! Kronecker core Σ_sites U Uᵀ ⊗ I between them.

mod core_modes;
mod core_operator;
mod core_sums;
mod cotangents;
mod coupling;
mod features;
mod forms;
mod gramian;
mod jacobian;
mod kernels;
mod pairs;
mod plan;
mod sandwich;
mod side;
mod state_map;
mod waves;

pub use core_modes::energy_shares;
pub use core_operator::KroneckerCore;
pub use core_sums::{core_numbers, core_numbers_scratch_len, CoreNumbers, CoreSize, CoreSums, Diagonal};
pub use cotangents::{Cotangents, SiteSize, Swept};
pub use features::Features;
pub use gramian::{
    ntk_traces, ntk_traces_flops, ntk_traces_scratch_len, propagator_gram_traces, propagator_gram_traces_flops,
    propagator_gram_traces_scratch_len,
};
pub use jacobian::ParameterJacobian;
pub use kernels::{Ntk, ParameterOperator};
pub use pairs::PAIRS_TILE;
pub use plan::scratch_len;
pub use side::{Costs, Coupling, Exchange, Side};
pub use state_map::{Constraint, Propagator};
pub use waves::vectors_at_once;
