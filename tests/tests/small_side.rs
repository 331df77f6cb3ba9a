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

/// A GRU of which the weights are the smaller side.
fn small_gru(precision: &str) -> Job {
    let job = Job::new("");
    let text = model("gru", true, job.path("").as_path());
    dataset(&job.path("long.h5"), "x", &[SHAPE[0], SHAPE[1], 4], 1.0);
    dataset(&job.path("e.h5"), "e", &SHAPE, 1.0);
    let text = text.replace("/inputs.h5:/x", "/long.h5:/x");
    job.line(&text).line(&format!("[compute]\nprecision = \"{precision}\""))
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
fn is_exact(results: &Results, operator: &str) {
    for (name, quantity, _) in TWELVE {
        assert_eq!(results.method(name), "dense", "{operator} {name}");
        if quantity != "eigenpairs" {
            assert_eq!(results.standard_error(name) > 1e-6, false, "{operator} {name}");
        }
        // One matrix, which the first has made; what is made of weights that are the smaller side takes sweeps of its own.
        let own = match name {
            "trace" => PARAMETERS,
            "pairs" => 3,
            "learnability" => 2 + 1,
            "alignment" => PARAMETERS / 2,
            _ => 0,
        };
        let spent = PARAMETERS + if name == "trace" { 0 } else { own };
        assert_eq!(results.count(name, "matvecs"), spent as i64, "{operator} {name}");
        let computed = results.count(name, "matvecs_computed");
        assert!((computed - own as i64).abs() <= 1, "{operator} {name}: {computed} computed");
    }
}

#[test]
fn a_small_gru_is_exact() {
    for operator in ["ntk", "parameter"] {
        // By the whole matrix of the state.
        let truth = small_gru("f64").analysis("whole", operator, "matrix", "").run(1);
        let (values, matrix) = (truth.eigenvalues("whole"), truth.read("whole", "matrix"));
        for (precision, tolerance) in [("f64", 1e-9), ("f32", 1e-4)] {
            let job = twelve(small_gru(precision), operator, "");
            let results = job.run(1);
            is_exact(&results, operator);
            for (name, expected) in sums(&values) {
                assert_near(&format!("{operator} {name}"), results.value(name), expected, tolerance, expected);
            }
            for (name, count) in [("values", 9), ("pairs", 5), ("learnability", 4)] {
                let found = results.eigenvalues(name);
                assert_all_near(&format!("{operator} {name}"), &found, &values[..count], tolerance);
                assert!(results.read(name, "residuals").iter().all(|r| *r <= tolerance));
            }
            let zeros = values.iter().filter(|x| x.abs() < 1e-12 * values[0]).count() as f64 / N as f64;
            let mass = results.read("density", "zero_mass")[0];
            assert!(mass >= (N - PARAMETERS) as f64 / N as f64 && results.read("density", "zero_mass_error") == [0.0]);
            if precision == "f64" {
                assert_near(&format!("{operator} zeros"), mass, zeros, 0.01, 1.0);
            }
            let vectors = results.read("pairs", "eigenvectors");
            for (v, lambda) in vectors.chunks(N).zip(&values) {
                let image: Vec<f64> =
                    matrix.chunks(N).map(|row| row.iter().zip(v).map(|(a, x)| a * x).sum()).collect();
                let rest: f64 = image.iter().zip(v).map(|(y, x)| (y - lambda * x).powi(2)).sum();
                let square: f64 = v.iter().map(|x| x * x).sum();
                assert!(rest.sqrt() <= tolerance * values[0], "{operator}: {rest:e}");
                assert_near("the length of a vector", square, 1.0, tolerance, 1.0);
            }
            let e = hdf5::File::open(job.path("e.h5")).unwrap().dataset("e").unwrap().read_raw::<f64>().unwrap();
            let form: f64 = matrix.chunks(N).zip(&e).map(|(r, e)| e * r.iter().zip(&*e_of(&job)).map(|(a, x)| a * x).sum::<f64>()).sum();
            let square: f64 = e.iter().map(|x| x * x).sum();
            let learned = form / (square * values[0]);
            assert_near("learnability", results.value("learnability"), learned, tolerance, learned);
            assert_near("decrease", results.read("learnability", "predicted_decrease")[0], 0.1 * form, tolerance, form);
        }
    }
}
