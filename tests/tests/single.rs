//! Runs in single precision tell what rounding leaves unknown: the same network in double precision is within every bar.

use kpflow_tests::{assert_near, reference, Golden, Job, Results};

/// Networks, and what comes of them in f64.
fn models() -> Vec<(&'static str, String)> {
    let chaos = |file: &str| reference(&format!("data/numbers/f32_chaos/{file}"));
    let (weights, inputs) = (chaos("w.safetensors"), chaos("x.h5"));
    let chaotic =
        format!("[model]\nkind = \"rnn\"\nweights = {weights:?}\n[data]\ninputs = \"{}:/inputs\"\n", inputs.display());
    let golden = ["rnn_tanh", "gru", "lstm", "mlp_tanh", "transformer"].map(|name| (name, Golden::open(name).tables()));
    golden.into_iter().chain([("chaos", chaotic)]).collect()
}

const QUANTITIES: [(&str, &str); 13] = [
    ("trace", ""),
    ("trace", "method = \"xnystrace\"\nmax_matvecs = 60"),
    ("trace", "method = \"hutchpp\"\nmax_matvecs = 60"),
    ("frobenius", ""),
    ("effective_rank", ""),
    ("stable_rank", ""),
    ("entropy_rank", ""),
    ("norm", ""),
    ("log_det", ""),
    ("log_det", "noise = 1e-4"),
    ("eigenpairs", "count = 4"),
    ("marginal", "axis = \"unit\""),
    ("diagonal", ""),
];

const OPERATORS: [&str; 3] = ["ntk", "parameter", "propagator_gram"];

fn each() -> impl Iterator<Item = (String, &'static str, (&'static str, &'static str))> {
    OPERATORS.into_iter().flat_map(|o| QUANTITIES.into_iter().enumerate().map(move |(i, q)| (format!("{o}.{i}"), o, q)))
}

fn run(tables: &str, precision: &str, ranks: usize) -> Results {
    let job = Job::new(format!("{tables}[compute]\nprecision = \"{precision}\"\n"));
    let job = each().fold(job, |job, (name, operator, (quantity, rest))| job.analysis(&name, operator, quantity, rest));
    job.run(ranks)
}

#[test]
fn what_double_precision_finds_is_within_the_bars() {
    for (name, tables) in models() {
        let (single, double) = (run(&tables, "f32", 1), run(&tables, "f64", 1));
        let (mut missed, mut all) = (Vec::new(), 0);
        for (a, operator, (quantity, rest)) in each() {
            let mut look = |what: &str, off: f64, within: f64| {
                all += 1;
                if off > within {
                    missed.push(format!("{operator} {quantity} {rest} {what}: {off:e} beyond {within:e}"));
                }
            };
            let there = |array: &str| single.group(&a).link_exists(array);
            if there("interval") {
                let (ends, value) = (single.read(&a, "interval"), double.value(&a));
                assert!(ends[1] > ends[0], "{name} {a}: a bar of nothing");
                look("value", (ends[0] - value).max(value - ends[1]), 0.0);
            }
            if there("residuals") {
                let (found, right, residuals) =
                    (single.eigenvalues(&a), double.eigenvalues(&a), single.read(&a, "residuals"));
                (0..found.len()).for_each(|i| look("λ", (found[i] - right[i]).abs(), residuals[i] * found[0]));
            }
            for (array, errors) in [("matrix", "standard_errors"), ("diagonal", "diagonal_errors")] {
                if there(errors) {
                    let (x, y, e) = (single.read(&a, array), double.read(&a, array), single.read(&a, errors));
                    let out = (0..x.len()).filter(|&i| (x[i] - y[i]).abs() > 1.96 * e[i]).count();
                    look(array, out as f64, 0.08 * x.len() as f64);
                }
            }
        }
        println!("{name}: {} of {all} missed", missed.len());
        assert!(missed.len() * 20 <= all, "{name}: {missed:#?}");
    }
}

/// The trajectories that are looked at are the same on any number of ranks.
#[test]
fn bars_are_the_same_on_any_ranks() {
    let (_, tables) = &models()[1];
    let [alone, three] = [1, 3].map(|ranks| run(tables, "f32", ranks));
    for (name, ..) in each().filter(|(.., (quantity, _))| *quantity != "eigenpairs") {
        let [x, y] = [&alone, &three].map(|results| results.standard_error(&name));
        assert_near(&name, x, y, 0.01, x);
    }
}

/// A tolerance that rounding does not allow is not said to be reached.
#[test]
fn no_tolerance_below_rounding_is_reached() {
    let (_, tables) = models().pop().unwrap_or_default();
    let job = |precision: &str| {
        Job::new(format!("{tables}[compute]\nprecision = \"{precision}\"\n"))
            .analysis("pairs", "ntk", "eigenpairs", "method = \"block_krylov\"\nrtol = 1e-5")
            .run(1)
    };
    let (single, double) = (job("f32"), job("f64"));
    assert!(single.status("pairs").contains("take precision = \"f64\"") && !single.converged("pairs"));
    assert!(double.converged("pairs"));
}
