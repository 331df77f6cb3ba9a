//! Two hosts that share nothing but a network: the same numbers as on one, and a rank that is lost on the other host ends the job here.

use kpflow_tests::{assert_near, program, root, Background, Done, Golden, Job, Results};
use std::process::Command;
use std::time::{Duration, Instant};

/// The job with its ranks dealt out to two hosts. Where these cannot be made, `None`, and why is said.
fn on_two_hosts(job: &Job, ranks: usize, flags: &[&str]) -> Option<Done> {
    let done = start(job, ranks, flags).wait();
    if done.status.code() == Some(77) {
        eprintln!("skipped: {}", done.stderr.trim());
        return None;
    }
    Some(done)
}

fn start(job: &Job, ranks: usize, flags: &[&str]) -> Background {
    let mut command = Command::new(root().join("scripts/two-hosts.sh"));
    command.args(["-n", &ranks.to_string()]).arg(program()).args(job.arguments()).args(flags);
    Background::start(command)
}

fn job() -> Job {
    Job::new(Golden::open("gru").tables())
        .line("[compute]\nseed = 7\nblock = 8")
        .analysis("hutchinson", "ntk", "trace", "method = \"hutchinson\"\nmax_matvecs = 40\nrtol = 0")
        .analysis("frobenius", "parameter", "frobenius", "method = \"hutchpp\"\nmax_matvecs = 40\nrtol = 0")
        .analysis("norm", "ntk", "norm", "method = \"block_krylov\"\nrtol = 1e-11\nmax_matvecs = 500")
}

#[test]
fn the_same_numbers_on_two_hosts() {
    let alone = job().run(1);
    for (ranks, grid) in [(2, "2x1"), (2, "1x2"), (3, "3x1"), (3, "1x3"), (4, "2x2")] {
        let job = job();
        let Some(done) = on_two_hosts(&job, ranks, &["--grid", grid]) else { return };
        done.success();
        let results: Results = job.results();
        assert_eq!(results.integer("ranks"), ranks as i64);
        for name in ["hutchinson", "frobenius", "norm"] {
            assert_near(&format!("{name} on {grid}"), results.value(name), alone.value(name), 1e-10, alone.value(name));
        }
    }
}

#[test]
fn a_rank_lost_on_the_other_host_ends_the_job() {
    let job = Job::new(Golden::open("gru").tables()).analysis(
        "long",
        "ntk",
        "trace",
        "method = \"hutchinson\"\nmax_matvecs = 1000000000\nrtol = 0",
    );
    let mut run = start(&job, 2, &[]);
    let find = || {
        let ranks = Command::new("pgrep")
            .args(["-f", &format!("^[^ ]*kpflow run {}", job.path("job.toml").display())])
            .output();
        let text = String::from_utf8(ranks.unwrap().stdout).unwrap();
        text.split_whitespace().map(String::from).collect::<Vec<_>>()
    };
    let clock = Instant::now();
    while run.running() && !job.path("results.h5").exists() && clock.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(50));
    }
    if !job.path("results.h5").exists() {
        let done = run.wait();
        assert_eq!(done.status.code(), Some(77), "{done:?}");
        return eprintln!("skipped: {}", done.stderr.trim());
    }
    let ranks = find();
    assert_eq!(ranks.len(), 2, "{ranks:?}");
    Command::new("kill").arg("-KILL").arg(&ranks[1]).status().unwrap();
    let clock = Instant::now();
    let done = run.wait();
    assert!(clock.elapsed() < Duration::from_secs(5), "{:?}", clock.elapsed());
    assert!(!done.status.success());
    assert!(find().is_empty(), "a rank is left behind");
}
