//! `kpflow check` passes on every recurrent golden case, and on the trained network.

use kpflow_tests::{golden, kpflow, root, Golden, Job, RECURRENT};

fn check(job: &std::path::Path, ranks: usize) {
    let text = kpflow(ranks, &["check".as_ref(), job.as_os_str()]).success();
    for what in ["propagator", "constraint", "parameter operator K", "NTK", "central differences", "gradient step"] {
        assert!(text.contains(what), "{what} was not checked:\n{text}");
    }
    assert!(!text.contains("FAILED"), "{text}");
}

#[test]
fn golden_cases() {
    for name in RECURRENT {
        let job = Job::new(Golden::open(name).tables()).analysis("trace", "ntk", "trace", "");
        for ranks in [1, 2] {
            check(&job.write(), ranks);
        }
    }
}

/// More ranks than trajectories.
#[test]
fn empty_ranks() {
    check(&Job::new(Golden::open("gru_h0").tables()).analysis("trace", "ntk", "trace", "").write(), 4);
}

#[test]
fn a_large_network() {
    assert!(golden("memory_pro.h5").exists());
    check(&root().join("scripts/demo/memory_pro_step1500.toml"), 2);
}
