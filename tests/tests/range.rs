//! Operators whose squares leave the range of the floating-point numbers: their norms, ranks and
//! spectra are those of the numbers themselves.

use kpflow_tests::{assert_all_near, assert_near, golden, reference, Job, Results, TRACES};

/// The methods that a trace of a recurrent net has.
fn methods() -> impl Iterator<Item = &'static str> {
    TRACES.into_iter().filter(|method| *method != "auto").chain(["exact"])
}

fn case(name: &str, model: &str, precision: &str) -> Job {
    let at = |file: &str| reference(&format!("data/numbers/{name}/{file}"));
    Job::new(format!(
        "[model]\nkind = \"rnn\"\n{model}\nweights = {:?}\n[data]\ninputs = {:?}\n[compute]\nprecision = \"{precision}\"\n",
        at("w.safetensors"),
        at("x.npy")
    ))
}

/// Asserts a value to a tolerance, and that its standard error covers it or vanishes.
#[track_caller]
fn assert_value(what: &str, found: &Results, name: &str, expected: f64, tolerance: f64) {
    let (value, error) = (found.value(name), found.standard_error(name));
    let allowed = tolerance.max(5.0 * error / expected);
    assert!(error.is_finite() && error < 0.2 * expected, "{what} {name}: {value:e} ± {error:e}");
    assert_near(&format!("{what} {name}"), value, expected, allowed, expected);
}

#[test]
fn networks_whose_inputs_are_huge_or_tiny() {
    for (name, scale, [trace, frobenius, norm, effective, stable, entropy]) in [
        ("scale_dense_large", 1e180, [2279.30368, 1155.58, 916.748217, 3.89049044, 1.58891214, 5.17427688]),
        ("scale_dense_small", 1e-180, [2279.30368, 1155.58, 916.748217, 3.89049044, 1.58891214, 5.17427688]),
        ("scale_iter_small", 1e-180, [137400.419, 51044.5598, 34548.7407, 7.24564725, 2.18290322, 8.9431805]),
    ] {
        let mut job = case(name, "activation = \"relu\"", "f64")
            .analysis("trace", "ntk", "trace", "")
            .analysis("frobenius", "ntk", "frobenius", "")
            .analysis("effective", "ntk", "effective_rank", "")
            .analysis("stable", "ntk", "stable_rank", "")
            .analysis("entropy", "ntk", "entropy_rank", "rtol = 0.01")
            .analysis("norm", "ntk", "norm", "")
            .analysis("pairs", "ntk", "eigenpairs", "count = 4\nrtol = 1e-6")
            .analysis("density", "ntk", "density", "")
            .analysis("units", "ntk", "marginal", "axis = \"unit\"")
            .analysis(
                "align",
                "ntk",
                "alignment",
                &format!("with = {:?}", reference(&format!("data/numbers/{name}/w.safetensors"))),
            );
        for method in methods() {
            job = job.analysis(&format!("t_{method}"), "ntk", "trace", &format!("method = \"{method}\"\nrtol = 0.01"));
        }
        let found = job.run(1);
        for (analysis, expected, tolerance) in [
            ("trace", trace * scale, 1e-8),
            ("frobenius", frobenius * scale, 2e-3),
            ("effective", effective, 2e-3),
            ("stable", stable, 2e-3),
            ("entropy", entropy, 0.02),
            ("norm", norm * scale, 1e-6),
            ("density", trace * scale, 0.05),
            ("align", 1.0, 1e-6),
        ] {
            assert_value(name, &found, analysis, expected, tolerance);
        }
        assert_near("λ_1", found.eigenvalues("pairs")[0], norm * scale, 1e-6, norm * scale);
        assert!(found.read("pairs", "residuals").iter().all(|r| *r < 1e-6));
        let units = found.read("units", "matrix");
        let n = (units.len() as f64).sqrt() as usize;
        let sum: f64 = (0..n).map(|i| units[i * n + i]).sum();
        assert_near("the marginal's trace", sum, trace * scale, 0.2, trace * scale);
        assert!(found.read("units", "effective_rank")[0] >= 1.0);
        for method in methods() {
            assert_value(name, &found, &format!("t_{method}"), trace * scale, 1e-6);
        }
        let (grid, density) = (found.read("density", "grid"), found.read("density", "density"));
        let mass: f64 = (1..grid.len()).map(|i| 0.5 * (grid[i] - grid[i - 1]) * (density[i] + density[i - 1])).sum();
        assert_near("the density's mass", mass, 1.0, 0.01, 1.0);
    }
}

#[test]
fn a_chaotic_network_in_double_precision() {
    let found = case("chaos_f64", "", "f64")
        .analysis("Pn", "propagator", "norm", "")
        .analysis("Pf", "propagator", "frobenius", "")
        .analysis("PP", "propagator_gram", "trace", "")
        .analysis("norm", "ntk", "norm", "")
        .analysis("pair", "ntk", "eigenpairs", "count = 1")
        .analysis("units", "ntk", "marginal", "axis = \"unit\"")
        .analysis("exact", "ntk", "trace", "method = \"exact\"")
        .analysis("trace", "ntk", "trace", "")
        .analysis("frobenius", "ntk", "frobenius", "")
        .analysis("rank", "ntk", "effective_rank", "")
        .analysis("triplet", "propagator", "singular_triplets", "count = 1")
        .run(1);
    // Where a chaotic state goes hangs on the last bit: the operator's size is that of the state
    // that was run, which the closed forms tell.
    let (ntk, p) = (found.value("exact"), found.value("PP").sqrt());
    assert!(ntk > 1e154 && p > 1e77, "{ntk:e} {p:e}");
    for (name, expected) in [
        ("Pn", p),
        ("Pf", p),
        ("PP", p * p),
        ("norm", ntk),
        ("units", ntk),
        ("trace", ntk),
        ("frobenius", ntk),
        ("rank", 1.0),
    ] {
        assert_value("chaos", &found, name, expected, 1e-5);
    }
    assert_near("λ_1", found.eigenvalues("pair")[0], ntk, 1e-5, ntk);
    assert_near("σ_1", found.read("triplet", "singular_values")[0], p, 1e-5, p);
}

#[test]
fn a_chaotic_network_in_single_precision() {
    let found = case("chaos_f32", "", "f32")
        .analysis("exact", "ntk", "trace", "method = \"exact\"")
        .analysis("trace", "ntk", "trace", "")
        .analysis("frobenius", "ntk", "frobenius", "")
        .analysis("effective", "ntk", "effective_rank", "")
        .analysis("stable", "ntk", "stable_rank", "")
        .analysis("entropy", "ntk", "entropy_rank", "")
        .analysis("norm", "ntk", "norm", "")
        .analysis("pairs", "ntk", "eigenpairs", "count = 4\nrtol = 1e-6")
        .run(1);
    // Nearly one mode: trace, norms and λ_1 are the same to a thousandth, and the ranks 1.
    let ntk = found.value("exact");
    assert!(ntk > 1e20, "{ntk:e}");
    for (name, expected) in [("trace", ntk), ("frobenius", ntk), ("norm", ntk), ("effective", 1.0), ("stable", 1.0)] {
        // The state itself is another one in double precision: the bar says that nothing is known of that.
        assert_near(name, found.value(name), expected, 2e-3, expected);
        assert!(found.standard_error(name) > 0.5 * expected, "{name}: {:e}", found.standard_error(name));
    }
    assert!(found.value("effective") >= 1.0 && found.value("stable") >= 1.0);
    let entropy = found.value("entropy");
    assert!((1.0..1.1).contains(&entropy), "a rank is at least 1: {entropy}");
    assert_near("λ_1", found.eigenvalues("pairs")[0], ntk, 2e-3, ntk);
}

/// The message of a job that fails because a number cannot be held.
#[track_caller]
fn out_of_range(job: Job, advice: &str, never: &str) {
    let done = job.attempt(1);
    let all = format!("{}\n{}", done.stdout, done.stderr);
    assert!(!done.status.success() && done.errors().len() == 1, "{all}");
    assert!(done.errors()[0].contains(advice), "lacks {advice:?}: {all}");
    assert!(!done.errors()[0].contains(never), "{all}");
}

/// A trace, say, of the golden network whose inputs are times a power of ten.
fn scaled(scale: f64, precision: &str, quantity: &str, rest: &str) -> Job {
    let directory = tempfile::tempdir().unwrap().keep();
    let from = kpflow_tests::open(golden("rnn_relu_h0.h5"));
    let (x, w) = (from.dataset("inputs").unwrap(), golden("rnn_relu_h0.safetensors"));
    let shape = x.shape();
    let file = directory.join("x.h5");
    let numbers: Vec<f64> = x.read_raw::<f64>().unwrap().iter().map(|x| x * scale).collect();
    let to = kpflow_tests::create(&file);
    to.new_dataset::<f64>().shape(shape).create("x").unwrap().write_raw(&numbers).unwrap();
    drop(to);
    Job::new(format!(
        "[model]\nkind = \"rnn\"\nactivation = \"relu\"\nparameters = [\"weight_ih*\"]\nweights = {w:?}\n[data]\ninputs = \"{}:/x\"\n[compute]\nprecision = \"{precision}\"\n",
        file.display()
    ))
    .analysis("t", "ntk", quantity, rest)
}

/// What is as large as the state is of A itself, whatever power of two its products were made with.
#[test]
fn tensors_come_back_from_the_scaled_operator() {
    let of = |scale: f64, precision: &str, method: &str| {
        let found = scaled(scale, precision, "diagonal", &format!("method = \"{method}\"\nmax_matvecs = 60")).run(1);
        ["diagonal", "row_norms", "diagonal_errors"].map(|name| found.read("t", name))
    };
    // Beside one that needs no power: the network is homogeneous where inputs are large.
    let cases = [(1e12, "f32", 1e12, 1e-5), (1e-12, "f32", 1e-12, 1e-5), (1e100, "f64", 1e60, 1e-9)];
    for (scale, precision, other, tolerance) in cases {
        for method in ["dense", "hutchpp", "hutchinson"] {
            let ([x, y, _], [a, b, _]) = (of(scale, precision, method), of(other, "f64", method));
            for (what, found, expected) in [("diagonal", x, a), ("row norms", y, b)] {
                let expected: Vec<f64> = expected.iter().map(|x| x * (scale / other).powi(2)).collect();
                assert_all_near(&format!("{what} by {method} at {scale:e}"), &found, &expected, tolerance);
            }
        }
    }
}

#[test]
fn what_no_number_holds_is_said_and_never_that_precision_would_help() {
    for method in ["exact", "dense", "hutchinson", "xnystrace", "hutchpp"] {
        let rest = format!("method = \"{method}\"");
        out_of_range(scaled(1e170, "f64", "trace", &rest), "double precision holds", "precision = \"f64\"");
        out_of_range(scaled(1e-170, "f64", "trace", &rest), "double precision holds", "precision = \"f64\"");
        // In closed form it is a number all the same.
        match method {
            "exact" => assert!(scaled(1e25, "f32", "trace", &rest).run(1).value("t") > 1e49),
            _ => out_of_range(scaled(1e25, "f32", "trace", &rest), "precision = \"f64\"", "double precision holds"),
        }
        out_of_range(scaled(1e-25, "f32", "trace", &rest), "precision = \"f64\"", "double precision holds");
        // Within the range of the other.
        assert!(scaled(1e25, "f64", "trace", &rest).run(1).value("t") > 1e49);
    }
    out_of_range(scaled(1e170, "f64", "norm", ""), "double precision holds", "precision = \"f64\"");
    out_of_range(scaled(1e-170, "f64", "effective_rank", ""), "double precision holds", "precision = \"f64\"");
}

#[test]
fn the_core_has_a_learnability() {
    let at = |file: &str| reference(&format!("data/numbers/core_signal/{file}"));
    let tables =
        format!("[model]\nkind = \"gru\"\nweights = {:?}\n[data]\ninputs = {:?}\n", at("w.safetensors"), at("x.npy"));
    let with = |scale: &str| format!("with = \"{scale}\"\ncount = 12\n");
    let signal = at("err.npy").display().to_string();
    let job = Job::new(tables)
        .analysis("krylov", "core", "learnability", &format!("{}method = \"block_krylov\"", with(&signal)))
        .analysis("dense", "core", "learnability", &format!("{}method = \"dense\"", with(&signal)))
        .analysis("matrix", "core", "matrix", "");
    let found = job.run(1);
    // Of G ⊗ 1, from G itself.
    let (g, values) = (found.read("matrix", "matrix"), found.eigenvalues("matrix"));
    let bytes = std::fs::read(at("err.npy")).unwrap();
    let e: Vec<f64> =
        bytes[bytes.len() - 24 * 8..].chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
    let (p, units) = (12, 2);
    let mut form = 0.0;
    for (i, j) in (0..p).flat_map(|i| (0..p).map(move |j| (i, j))) {
        form += g[i * p + j] * (0..units).map(|u| e[i * units + u] * e[j * units + u]).sum::<f64>();
    }
    let square: f64 = e.iter().map(|x| x * x).sum();
    for name in ["krylov", "dense"] {
        assert_near(name, found.value(name), form / (square * values[0]), 1e-9, 1.0);
        assert_near(name, found.read(name, "predicted_decrease")[0], form, 1e-9, form);
        let energies = found.read(name, "energies");
        let weighted: f64 = energies.iter().zip(found.eigenvalues(name)).map(|(e, l)| e * l).sum();
        assert_near("the modes' share", weighted, form / square, 1e-8, form / square);
    }
}
