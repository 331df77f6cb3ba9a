//! The library's own examples under mpirun: every operator on the golden probes with the trajectories sharded, and every collective.

use kpflow_tests::{example, Golden, Job, GOLDEN};
use std::time::{Duration, Instant};

#[test]
fn golden_probes_on_any_number_of_ranks() {
    for name in GOLDEN {
        let job = Job::new(Golden::open(name).tables()).analysis("trace", "ntk", "trace", "");
        let path = job.write();
        for ranks in [1, 2, 3, 4] {
            let text = example("golden_ranks", ranks, &[path.as_os_str()]).success();
            assert_eq!(text.matches("reference/").count(), 12, "{name} on {ranks} ranks: {text}");
        }
    }
}

#[test]
fn collectives_on_any_number_of_ranks() {
    for ranks in [1, 2, 3, 4] {
        let text = example("comm_selftest", ranks, &[]).success();
        assert!(text.contains(&format!("all collectives agree on {ranks} rank")), "{text}");
    }
    for panic in ["--panic", "--panic-all"] {
        let clock = Instant::now();
        let done = example("comm_selftest", 3, &[panic.as_ref()]);
        assert!(!done.status.success(), "a panic on one rank, or on each, ends all");
        assert_eq!(done.errors().len(), 1, "{}", done.stderr);
        assert!(clock.elapsed() < Duration::from_secs(5), "{panic} took {:?}", clock.elapsed());
    }
}
