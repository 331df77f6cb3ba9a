//! The same job and seed give the same numbers on any number of ranks and threads.

use kpflow_tests::{assert_all_near, assert_near, Golden, Job, Results};

const SCALARS: [(&str, &str, &str, &str); 7] = [
    ("hutchinson", "ntk", "trace", "method = \"hutchinson\"\nmax_matvecs = 100\nrtol = 0"),
    ("per_trajectory", "ntk", "trace", "method = \"per_trajectory\"\nmax_matvecs = 100\nrtol = 0"),
    ("frobenius", "ntk", "frobenius", "method = \"hutchpp\"\nmax_matvecs = 80\nrtol = 0"),
    ("plain", "parameter", "frobenius", "method = \"hutchinson\"\nmax_matvecs = 80\nrtol = 0"),
    ("rank", "ntk", "effective_rank", "method = \"hutchpp\"\nmax_matvecs = 80\nrtol = 0"),
    ("gram_rank", "propagator_gram", "effective_rank", "method = \"hutchinson\"\nmax_matvecs = 80\nrtol = 0"),
    ("norm", "ntk", "norm", "method = \"block_krylov\"\nrtol = 1e-11\nmax_matvecs = 2000"),
];

fn run(golden: &Golden, ranks: usize, flags: &[&str]) -> Results {
    // A small block, so that there are several: probes are counted over blocks.
    let mut job = Job::new(golden.tables()).line("[compute]\nseed = 7\nblock = 8");
    for (name, operator, quantity, rest) in SCALARS {
        job = job.analysis(name, operator, quantity, rest);
    }
    let rest = "method = \"block_krylov\"\ncount = 6\nrtol = 1e-11\nmax_matvecs = 2000";
    job = job.analysis("modes", "ntk", "eigenpairs", rest);
    flags.iter().fold(job, |job, flag| job.flag(flag)).run(ranks)
}

fn same(what: &str, a: &Results, b: &Results) {
    for (name, ..) in SCALARS {
        assert_near(&format!("{what} {name}"), b.value(name), a.value(name), 1e-10, a.value(name));
        // An error is a difference of such numbers: as exact, measured by the value itself.
        let (e, f) = (a.standard_error(name), b.standard_error(name));
        assert_near(&format!("{what} {name}, standard error"), f, e, 1e-10, a.value(name));
    }
    assert_all_near(&format!("{what} modes"), &b.eigenvalues("modes"), &a.eigenvalues("modes"), 1e-10);
}

/// 4, 2 and 3 trajectories: even, uneven and empty shards.
#[test]
fn any_number_of_ranks() {
    for name in ["gru", "gru_h0", "lstm"] {
        let golden = Golden::open(name);
        let alone = run(&golden, 1, &[]);
        for ranks in [2, 3, 4] {
            same(&format!("{name} on {ranks} ranks"), &alone, &run(&golden, ranks, &[]));
        }
    }
}

#[test]
fn any_number_of_threads() {
    let golden = Golden::open("rnn_tanh");
    let one = run(&golden, 1, &["--threads", "1"]);
    for threads in ["2", "3"] {
        same(&format!("{threads} threads"), &one, &run(&golden, 1, &["--threads", threads]));
    }
    same("3 ranks of 2 threads", &one, &run(&golden, 3, &["--threads", "2"]));
}

/// Another seed gives other numbers: the sameness above is not for lack of randomness.
#[test]
fn another_seed_differs() {
    let golden = Golden::open("gru");
    let run = |seed: usize| {
        let (name, operator, quantity, rest) = SCALARS[0];
        Job::new(golden.tables())
            .line(&format!("[compute]\nseed = {seed}"))
            .analysis(name, operator, quantity, rest)
            .run(1)
    };
    assert!((run(1).value("hutchinson") - run(2).value("hutchinson")).abs() > 1e-6);
}
