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

/// Trajectories × probes: groups that share the vectors of a block, with as many vectors as groups, with fewer, and with empty shards.
#[test]
fn any_grid() {
    for name in ["gru", "gru_h0"] {
        let golden = Golden::open(name);
        let alone = run(&golden, 1, &[]);
        for (ranks, grid) in [(2, "1x2"), (4, "2x2"), (3, "3x1"), (3, "1x3"), (4, "4x1")] {
            same(&format!("{name} on {grid}"), &alone, &run(&golden, ranks, &["--grid", grid]));
        }
    }
}

/// What else takes products: one-sided estimates, densities, marginals, sketches, matrices, error signals.
#[test]
fn any_analysis_on_any_grid() {
    const MORE: [(&str, &str, &str, &str); 8] = [
        ("forward", "ntk", "trace", "method = \"one_sided\"\nside = \"forward\"\nmax_matvecs = 40\nrtol = 0"),
        ("pairs", "ntk", "frobenius", "method = \"one_sided\"\nmax_matvecs = 40\nrtol = 0"),
        ("xtrace", "ntk", "trace", "method = \"xtrace\"\nmax_matvecs = 24\nrtol = 0"),
        ("nystrom", "parameter", "trace", "method = \"xnystrace\"\nmax_matvecs = 20\nrtol = 0"),
        ("part", "ntk", "trace", "method = \"hutchinson\"\nwindow = [1, 3]\nmax_matvecs = 20\nrtol = 0"),
        ("sketch", "ntk", "trace", "method = \"per_trajectory_xnystrace\"\nmax_matvecs = 12\nrtol = 0"),
        ("density", "ntk", "density", "method = \"lanczos\"\nmax_matvecs = 60"),
        ("dense", "ntk", "trace", "method = \"dense\""),
    ];
    let golden = Golden::open("gru");
    let run = |ranks, grid: &str| {
        let job = Job::new(golden.tables()).line("[compute]\nseed = 3\nblock = 5");
        let job = MORE.iter().fold(job, |job, (name, op, what, rest)| job.analysis(name, op, what, rest));
        job.analysis("time", "ntk", "marginal", "axis = \"time\"\nmax_matvecs = 60")
            .flag("--grid")
            .flag(grid)
            .run(ranks)
    };
    let alone = run(1, "1x1");
    for (ranks, grid) in [(2, "2x1"), (2, "1x2"), (4, "2x2"), (3, "1x3")] {
        let other = run(ranks, grid);
        for (name, ..) in MORE {
            assert_near(&format!("{grid} {name}"), other.value(name), alone.value(name), 1e-10, alone.value(name));
        }
        let matrix = |r: &Results| r.read("time", "matrix");
        assert_all_near(&format!("{grid} time"), &matrix(&other), &matrix(&alone), 1e-10);
    }
}

/// A grid that is not of the ranks there are is refused, with what would be right.
#[test]
fn a_grid_of_other_ranks() {
    let golden = Golden::open("gru");
    let (name, operator, quantity, rest) = SCALARS[0];
    let job = Job::new(golden.tables()).line("[compute]\ngrid = { trajectories = 2, probes = 3 }");
    let wrong = job.analysis(name, operator, quantity, rest);
    wrong.refused_on(&[2], &["grid asks for 2 × 3 = 6 ranks and there are 2"]);
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
