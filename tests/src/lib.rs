//! What the end-to-end tests share: running the built program, writing jobs, reading results.
//!
//! The program is the one of this build's profile, brought up to date by cargo when the first test asks for it;
//! or the one that the environment variable `KPFLOW_BIN` names.

mod golden;
mod job;
pub mod models;
mod program;
mod reference;
mod results;

pub use golden::{golden, Golden};
pub use job::Job;
pub use program::{command, command_of, example, kpflow, perform, program, root, target, Answer, Background, Done};
pub use reference::{graph_job, kind_job, reference, GRAPHS, KINDS};
pub use results::{append, create, finished, open, open_rw, Results};

/// The operators with reference spectra.
pub const OPERATORS: [&str; 3] = ["ntk", "parameter", "propagator_gram"];

/// The methods that estimate a trace.
pub const TRACES: [&str; 9] = [
    "hutchinson",
    "hutchpp",
    "nystrompp",
    "xtrace",
    "xnystrace",
    "one_sided",
    "per_trajectory",
    "per_trajectory_xnystrace",
    "auto",
];

/// The recurrent golden cases.
pub const RECURRENT: [&str; 6] = ["rnn_tanh", "rnn_relu_h0", "leaky_rnn", "gru", "gru_h0", "lstm"];

/// All golden cases with values of every operator.
pub const GOLDEN: [&str; 8] =
    ["rnn_tanh", "rnn_relu_h0", "leaky_rnn", "gru", "gru_h0", "lstm", "mlp_tanh", "transformer"];

/// Asserts |found − expected| ≤ tolerance · scale.
#[track_caller]
pub fn assert_near(what: &str, found: f64, expected: f64, tolerance: f64, scale: f64) {
    let error = (found - expected).abs();
    // A NaN is near nothing.
    assert!(
        error <= tolerance * scale,
        "{what}: {found:e} against {expected:e}, off by {:.2e} of {scale:e}",
        error / scale
    );
}

/// Asserts that two lists agree to `tolerance` of the greatest number expected.
#[track_caller]
pub fn assert_all_near(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: how many");
    let scale = expected.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert_near(&format!("{what}[{i}]"), *f, *e, tolerance, scale);
    }
}
