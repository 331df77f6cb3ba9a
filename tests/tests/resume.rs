//! A run that is killed leaves a file that opens, with every analysis that had finished; `--resume` goes on from there.

use kpflow_tests::{assert_near, command, finished, Background, Golden, Job, Results};
use std::time::Duration;

/// One quick analysis, and one that takes a while; `seed` is for a job that differs.
fn job(seed: usize) -> Job {
    Job::new(Golden::open("gru_paper").tables())
        .line(&format!("[compute]\nseed = {seed}"))
        .analysis("quick", "parameter", "trace", "method = \"exact\"")
        .analysis("long", "ntk", "trace", "method = \"hutchinson\"\nrtol = 0\nmax_matvecs = 600")
}

#[test]
fn killed_and_resumed() {
    let job = job(0);
    let path = job.path("results.h5");
    let mut run = Background::start(command(1, &job.arguments()));
    while finished(&path).is_empty() && run.running() {
        std::thread::sleep(Duration::from_millis(5));
    }
    run.kill();

    let left = Results::open(&path);
    assert_eq!((left.text("status"), left.names()), ("running".into(), vec!["quick".into()]));
    let seconds = left.seconds("quick");
    let trace = Golden::open("gru_paper").reference("init/ntk/trace");
    drop(left);

    // On other ranks: how a job is divided is no part of it.
    let job = job.flag("--resume");
    let text = job.attempt(2).success();
    assert!(!text.lines().any(|l| l.starts_with("quick")) && text.lines().any(|l| l.starts_with("long")), "{text}");
    let whole = job.results();
    assert_eq!((whole.text("status"), whole.names().len()), ("complete".into(), 2));
    assert_eq!(whole.seconds("quick"), seconds, "the finished analysis was done again");
    assert_near("the resumed trace", whole.value("long"), trace, 4.0, whole.standard_error("long"));
    drop(whole);

    // Resuming what is complete changes nothing.
    let before = job.results().seconds("long");
    assert_eq!(job.attempt(1).success().lines().count(), 0);
    assert_eq!((job.results().text("status"), job.results().seconds("long")), ("complete".into(), before));
}

#[test]
fn killed_under_mpirun() {
    let job = job(0);
    let path = job.path("results.h5");
    let mut run = Background::start(command(2, &job.arguments()));
    while finished(&path).is_empty() && run.running() {
        std::thread::sleep(Duration::from_millis(5));
    }
    run.kill();
    let left = Results::open(&path);
    assert!(left.names().contains(&"quick".into()));
    assert!(left.value("quick") > 0.0);
}

#[test]
fn resume_wants_the_same_job() {
    let quick = |seed: usize| {
        let tables = Golden::open("gru").tables();
        Job::new(tables).line(&format!("[compute]\nseed = {seed}")).analysis(
            "quick",
            "ntk",
            "trace",
            "method = \"exact\"",
        )
    };
    let (first, other) = (quick(1), quick(2).flag("--resume"));
    first.run(1);
    // Without a file there is nothing to go on with: the job begins.
    other.run(1);
    std::fs::copy(first.path("results.h5"), other.path("results.h5")).unwrap();
    for ranks in [1, 2] {
        let done = other.attempt(ranks);
        assert!(!done.status.success());
        assert_eq!(done.errors().len(), 1, "{}", done.stderr);
        assert!(done.stderr.contains("another job"), "{}", done.stderr);
    }
    // A file that is cut short is not a result file.
    let bytes = std::fs::read(first.path("results.h5")).unwrap();
    std::fs::write(other.path("results.h5"), &bytes[..bytes.len() / 2]).unwrap();
    let done = other.attempt(1);
    assert_eq!((done.status.code(), done.errors().len()), (Some(2), 1), "{}", done.stderr);
}
