//! The GRU of the paper's size: n = 48,000, far beyond any dense matrix.

use kpflow_tests::{assert_all_near, assert_near, Golden, Job};

#[test]
fn trace_and_spectrum() {
    let golden = Golden::open("gru_paper");
    let results = Job::new(golden.tables())
        .analysis("trace", "ntk", "trace", "method = \"exact\"")
        .analysis("rank", "ntk", "effective_rank", "rtol = 0.008\nmax_matvecs = 2000")
        .analysis("modes", "ntk", "eigenpairs", "count = 20\nrtol = 1e-6\nmax_matvecs = 2000")
        .run(2);
    let reference = |name: &str| golden.reference(&format!("init/ntk/{name}"));
    assert_near("trace", results.value("trace"), reference("trace"), 1e-9, reference("trace"));
    assert_near("trace", results.value("trace"), 221905.5419686486, 1e-9, 221905.5419686486);
    let (rank, error) = (results.value("rank"), results.standard_error("rank"));
    assert!(results.converged("rank") && error > 0.0 && error < 0.01 * rank, "{rank} ± {error}");
    assert_near("effective rank", rank, reference("effective_rank"), 3.0, error);
    assert!(results.converged("modes"));
    let expected = &golden.read("reference/init/ntk/eigenvalues")[..20];
    assert_all_near("eigenvalues", &results.eigenvalues("modes"), expected, 1e-8);
}

#[test]
fn exact_trace_alone() {
    let golden = Golden::open("gru_paper");
    let results = Job::new(golden.tables()).analysis("trace", "ntk", "trace", "").run(1);
    assert_near("trace", results.value("trace"), 221905.5419686486, 1e-9, 221905.5419686486);
    assert_eq!(results.method("trace"), "exact");
}
