//! The main job, by the demo's own job files: a trained GRU at three stages of its training.

use kpflow_tests::{assert_all_near, assert_near, kpflow, root, Golden, Results};

fn check(stage: &str, ranks: usize) {
    let golden = Golden::open("memory_pro");
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("results.h5");
    let job = root().join(format!("scripts/demo/memory_pro_{stage}.toml"));
    kpflow(ranks, &["run".as_ref(), job.as_os_str(), "--output".as_ref(), output.as_os_str()]).success();
    let results = Results::open(&output);
    assert_eq!(results.text("status"), "complete");
    let reference = |name: &str| golden.reference(&format!("{stage}/ntk/{name}"));

    assert_near("trace", results.value("trace"), reference("trace"), 1e-9, reference("trace"));
    assert_eq!(results.standard_error("trace"), 0.0);
    for quantity in ["effective_rank", "frobenius"] {
        let (value, error) = (results.value(quantity), results.standard_error(quantity));
        assert!(
            results.converged(quantity) && error > 0.0 && error < 0.01 * value,
            "{stage} {quantity}: {value} ± {error}"
        );
        assert_near(&format!("{stage} {quantity}"), value, reference(quantity), 3.0, error);
    }
    let expected = &golden.read(&format!("reference/{stage}/ntk/eigenvalues"))[..20];
    assert!(results.converged("modes"));
    assert_all_near(&format!("{stage} eigenvalues"), &results.eigenvalues("modes"), expected, 1e-8);
    assert_near("norm", results.eigenvalues("modes")[0], reference("norm"), 1e-8, reference("norm"));
}

#[test]
fn at_the_start() {
    check("init", 2);
}

#[test]
fn half_trained() {
    check("step300", 3);
}

#[test]
fn trained_alone() {
    check("step1500", 1);
}
