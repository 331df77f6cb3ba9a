//! Small networks: every analysis exact, all of one matrix on the smaller side, told as it is taken.

use kpflow_tests::models::{dataset, model};
use kpflow_tests::{assert_all_near, assert_near, kpflow, Golden, Job, Results, GOLDEN};
use serde_json::Value;

/// The spectral quantities, and what else their tables say.
const TWELVE: [(&str, &str, &str); 12] = [
    ("trace", "trace", ""),
    ("frobenius", "frobenius", ""),
    ("effective", "effective_rank", ""),
    ("stable", "stable_rank", ""),
    ("entropy", "entropy_rank", ""),
    ("log_det", "log_det", "noise = 0.5"),
    ("norm", "norm", ""),
    ("values", "eigenpairs", "count = 9"),
    ("pairs", "eigenpairs", "count = 5\nvectors = true"),
    ("density", "density", ""),
    ("alignment", "alignment", "with = \"other.safetensors\""),
    ("learnability", "learnability", "count = 4\nlearning_rate = 0.1\nwith = \"e.h5:/e\""),
];

/// Its state, of 6 units, and its weights: fewer.
const SHAPE: [usize; 3] = [8, 20, 6];
const N: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];
const PARAMETERS: usize = 3 * 6 * (4 + 6) + 2 * 3 * 6;

/// A GRU of which the weights are the smaller side; `of` are its weights or the others.
fn small_gru(precision: &str, of: &str) -> Job {
    let job = Job::new("");
    let text =
        model("gru", true, job.path("").as_path()).replace("/weights.safetensors", &format!("/{of}.safetensors"));
    dataset(&job.path("long.h5"), "x", &[SHAPE[0], SHAPE[1], 4], 1.0);
    dataset(&job.path("e.h5"), "e", &SHAPE, 1.0);
    let text = text.replace("/inputs.h5:/x", "/long.h5:/x");
    job.line(&text).line(&format!("[compute]\nprecision = \"{precision}\"\n[output]\ncheckpoint = \"never\""))
}

fn twelve(job: Job, operator: &str, more: &str) -> Job {
    let with = |job: Job, (name, quantity, rest): &(&str, &str, &str)| {
        job.analysis(name, operator, quantity, &format!("{more}{rest}"))
    };
    TWELVE.iter().fold(job, with)
}

/// The sums of a spectrum.
fn sums(values: &[f64]) -> [(&'static str, f64); 7] {
    let trace: f64 = values.iter().sum();
    let square: f64 = values.iter().map(|x| x * x).sum();
    let entropy: f64 = values.iter().filter(|x| **x > 0.0).map(|x| -x / trace * (x / trace).ln()).sum();
    [
        ("trace", trace),
        ("frobenius", square.sqrt()),
        ("effective", trace * trace / square),
        ("stable", square / values[0].powi(2)),
        ("entropy", entropy.exp()),
        ("log_det", values.iter().map(|x| (x.max(0.0) / 0.5).ln_1p()).sum()),
        ("norm", values[0]),
    ]
}

#[track_caller]
fn is_exact(results: &Results, operator: &str, precision: &str) {
    let mut made = false;
    for (name, quantity, _) in TWELVE {
        let what = format!("{operator} {name}");
        // A bound by rounding is that of λ₁ in a learnability.
        let error = if quantity == "eigenpairs" { 0.0 } else { results.standard_error(name) };
        // In single precision there is that of the products, of which a logarithm of small numbers keeps little.
        let most = match (name, precision) {
            ("learnability", _) => 1e-3 * results.value(name),
            ("log_det", "f32") => f64::INFINITY,
            (_, "f32") if error > 0.0 => 1e-4 * results.value(name),
            _ => 0.0,
        };
        assert!(error <= most, "{what}: {error}");
        let [spent, computed] = ["matvecs", "matvecs_computed"].map(|a| results.count(name, a) as usize);
        if results.method(name) == "exact" {
            assert!(["trace", "frobenius"].contains(&name) && spent == 0, "{what}");
            continue;
        }
        assert_eq!(results.method(name), "dense", "{what}");
        // One matrix, which the first has made; vectors take half a product, a form one, another model half of one a weight.
        let own = match name {
            "pairs" => 3,
            "learnability" => 2 + 1,
            "alignment" => PARAMETERS / 2,
            _ => 0,
        };
        assert_eq!(spent, PARAMETERS + own, "{what}");
        let most = if made { own } else { PARAMETERS + own };
        assert!(computed <= most && (made || computed >= PARAMETERS), "{what}: {computed} computed");
        made = true;
    }
}

/// Aᵢ·x of a matrix of N rows.
fn times(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix.chunks(N).map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum()).collect()
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

#[test]
fn a_small_gru_is_exact() {
    for operator in ["ntk", "parameter"] {
        // By the whole matrix of the state.
        let whole = |of: &str| small_gru("f64", of).analysis("whole", operator, "matrix", "").run(1);
        let (truth, other) = (whole("weights"), whole("other"));
        let (values, matrix) = (truth.eigenvalues("whole"), truth.read("whole", "matrix"));
        let other = other.read("whole", "matrix");
        let aligned = dot(&matrix, &other) / (dot(&matrix, &matrix) * dot(&other, &other)).sqrt();
        for (precision, tolerance) in [("f64", 1e-9), ("f32", 1e-4)] {
            let job = twelve(small_gru(precision, "weights"), operator, "");
            let results = job.run(1);
            is_exact(&results, operator, precision);
            let e = kpflow_tests::open(job.path("e.h5")).dataset("e").unwrap().read_raw::<f64>().unwrap();
            let form = dot(&e, &times(&matrix, &e));
            let learned = form / (dot(&e, &e) * values[0]);
            for (name, expected) in sums(&values).into_iter().chain([("alignment", aligned), ("learnability", learned)])
            {
                // What single precision leaves of the eigenvalues that are nearly 0 is in these.
                let of_all = precision == "f32" && ["entropy", "log_det"].contains(&name);
                let tolerance = if of_all { 0.1 } else { tolerance };
                assert_near(&format!("{operator} {name}"), results.value(name), expected, tolerance, expected);
            }
            assert_near("decrease", results.read("learnability", "predicted_decrease")[0], 0.1 * form, tolerance, form);
            for (name, count) in [("values", 9), ("pairs", 5), ("learnability", 4)] {
                let found = results.eigenvalues(name);
                assert_all_near(&format!("{operator} {name}"), &found, &values[..count], tolerance);
                assert!(results.read(name, "residuals").iter().all(|r| *r <= tolerance));
            }
            // No fewer zeros than there are states more than weights.
            let mass = results.read("density", "zero_mass")[0];
            assert!(mass >= (N - PARAMETERS) as f64 / N as f64 - 1e-12, "{operator}: {mass}");
            assert_eq!(results.read("density", "zero_mass_error"), [0.0]);
            for (v, lambda) in results.read("pairs", "eigenvectors").chunks(N).zip(&values) {
                let rest: Vec<f64> = times(&matrix, v).iter().zip(v).map(|(y, x)| y - lambda * x).collect();
                assert_near("A v − λ v", dot(&rest, &rest).sqrt(), 0.0, tolerance, values[0]);
                assert_near("the length of a vector", dot(v, v), 1.0, tolerance, 1.0);
            }
        }
    }
}

#[test]
fn golden_spectra_without_a_method() {
    for case in GOLDEN {
        let golden = Golden::open(case);
        let mut job = Job::new(golden.tables());
        for (name, quantity, rest) in TWELVE.into_iter().filter(|t| !t.2.contains("with = ")) {
            job = job.analysis(name, "ntk", quantity, rest);
        }
        let results = job.run(1);
        let values = golden.read("reference/ntk/eigenvalues");
        for (name, expected) in sums(&values) {
            assert_near(&format!("{case} {name}"), results.value(name), expected, 1e-9, expected);
            assert_eq!(results.standard_error(name), 0.0, "{case} {name}");
        }
        assert_all_near(case, &results.eigenvalues("values"), &values[..9], 1e-9);
        let below = |share: f64| values.iter().filter(|x| x.abs() < share * values[0]).count() as f64;
        let zeros = results.read("density", "zero_mass")[0] * values.len() as f64;
        assert!(zeros > below(1e-16) - 0.5 && zeros < below(1e-12) + 0.5, "{case}: {zeros} zeros");
    }
}

fn plan(job: &Job, ranks: usize) -> Value {
    let ranks = ranks.to_string();
    let job = job.write().display().to_string();
    let words = ["plan", &job, "--json", "--gflops", "10", "--threads", "1", "--ranks", &ranks];
    let plan: Value = serde_json::from_str(&kpflow(1, &words).success()).unwrap();
    let rows = plan["table"].as_array().unwrap();
    rows.iter().find(|r| r["ranks"].as_u64().map(|r| r.to_string()) == Some(ranks.clone())).unwrap().clone()
}

#[test]
fn what_is_told_is_taken_of_a_matrix_that_many_read() {
    // A method of one analysis, so that the first is not the last to read.
    for (ranks, more) in [(1, ""), (2, ""), (2, "method = \"dense\"\n")] {
        let job = twelve(small_gru("f64", "weights"), "ntk", more).flag("--threads").flag("1");
        let told = plan(&job, ranks);
        let results = job.run(ranks);
        for one in told["analyses"].as_array().unwrap() {
            let (name, number) = (one["name"].as_str().unwrap(), |v: &Value| v.as_f64().unwrap());
            assert_eq!(one["method"], results.method(name), "{name}");
            assert_eq!(number(&one["products"][1]).ceil(), results.count(name, "matvecs") as f64, "{name}");
            let [memory, sent] = ["memory", "bytes_sent"].map(|a| results.count(name, a) as f64);
            let (memory_told, sent_told) = (number(&one["memory_bytes"]), number(&one["bytes_sent"]));
            let near = memory_told >= memory && memory_told <= 1.1 * memory + f64::from(4 << 20);
            assert!(near, "{name} on {ranks}: {memory} bytes of memory taken, {memory_told} told");
            let near = (sent_told - sent).abs() <= 0.1 * sent + 1000.0;
            assert!(near, "{name} on {ranks}: {sent} bytes sent, {sent_told} told");
        }
        let (all, peak) = (told["memory_bytes"].as_f64().unwrap(), results.integer("peak_memory") as f64);
        assert!((all - peak).abs() <= 0.1 * peak + f64::from(4 << 20), "on {ranks}: {peak} bytes taken, {all} told");
    }
}

#[test]
fn the_same_on_any_number_of_ranks() {
    let run = |ranks| twelve(small_gru("f64", "weights"), "ntk", "").run(ranks);
    let (one, three) = (run(1), run(3));
    is_exact(&three, "ntk", "f64");
    for (name, expected) in sums(&[1.0]).map(|s| (s.0, one.value(s.0))) {
        assert_near(name, three.value(name), expected, 1e-10, expected);
    }
    assert_all_near("values", &three.eigenvalues("values"), &one.eigenvalues("values"), 1e-10);
    assert_near("alignment", three.value("alignment"), one.value("alignment"), 1e-10, 1.0);
}
