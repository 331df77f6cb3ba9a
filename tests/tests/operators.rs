//! The library's own examples under mpirun: every operator on the golden probes with the trajectories sharded, and every collective.

use kpflow_tests::{command_of, program, target, Background, Done, Golden, Job, RECURRENT};
use std::ffi::OsStr;

fn example(name: &str, ranks: usize, arguments: &[&OsStr]) -> Done {
    program(); // has cargo build the examples beside the program
    Background::start(command_of(&target().join("examples").join(name), ranks, arguments)).wait()
}

#[test]
fn golden_probes_on_any_number_of_ranks() {
    for name in RECURRENT {
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
    assert!(!example("comm_selftest", 3, &["--panic".as_ref()]).status.success(), "a panic on one rank ends all");
}
