//! What a model says without products: closed forms of traces and norms, and Lyapunov exponents.

mod exact;
mod lyapunov;
mod matrix;

pub use exact::{
    exact_frobenius, exact_frobenius_flops, exact_frobenius_len, exact_trace, exact_trace_flops, exact_trace_len,
    frobenius_blocks, require_closed, Closed,
};
pub use lyapunov::{lyapunov, lyapunov_flops, lyapunov_len, require_recurrence};
pub use matrix::{ExactMatrix, Rows, MATRIX_LIMIT};
