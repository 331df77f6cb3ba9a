//! Every operator on the golden probes, with the trajectories sharded over ranks: the example `golden_ranks` of the library, under mpirun.

use kpflow_tests::{command_of, target, Background, Golden, Job, RECURRENT};

#[test]
fn golden_probes_on_any_number_of_ranks() {
    // `cargo test --workspace` has built the examples before any test runs.
    let example = target().join("examples/golden_ranks");
    for name in RECURRENT {
        let job = Job::new(Golden::open(name).tables()).analysis("trace", "ntk", "trace", "");
        let path = job.write();
        for ranks in [1, 2, 3, 4] {
            let text = Background::start(command_of(&example, ranks, &[path.as_os_str()])).wait().success();
            assert_eq!(text.matches("reference/").count(), 12, "{name} on {ranks} ranks: {text}");
        }
    }
}
