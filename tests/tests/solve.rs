//! Solves through the program: of b = (A + σ²) p the solution is p, and A p was made by automatic differentiation.

use kpflow_tests::{create, Golden, Job, Results, GOLDEN};

const NOISES: [f64; 2] = [0.5, 1e-3];
const OPERATORS: [&str; 2] = ["ntk", "parameter"];
const METHODS: [&str; 3] = ["auto", "cg", "dense"];

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// A solve of three vectors by every method, and of the first of them alone.
fn job(golden: &Golden, precision: &str) -> Job {
    let mut job = Job::new(golden.tables()).line(&format!("[compute]\nprecision = \"{precision}\""));
    let (probes, n) = (golden.read("probe"), golden.shape.iter().product::<usize>());
    let rtol = if precision == "f32" { 1e-4 } else { 1e-10 };
    for operator in OPERATORS {
        let images = golden.read(&format!("reference/{operator}/apply"));
        for (i, noise) in NOISES.iter().enumerate() {
            let b: Vec<f64> = images.iter().zip(&probes).map(|(y, x)| y + noise * x).collect();
            let path = job.path(&format!("{operator}.{i}.h5"));
            let file = create(&path);
            let [t, s, u] = golden.shape;
            file.new_dataset::<f64>().shape([3, t, s, u]).create("b").unwrap().write_raw(&b).unwrap();
            file.new_dataset::<f64>().shape([t, s, u]).create("one").unwrap().write_raw(&b[..n]).unwrap();
            file.close().unwrap();
            let keys = |set: &str| {
                let path = path.display();
                format!("with = \"{path}:/{set}\"\nnoise = {noise}\nrtol = {rtol}\nmax_matvecs = 5000\n")
            };
            for method in METHODS {
                let rest = keys("b") + &format!("method = \"{method}\"");
                job = job.analysis(&format!("{operator}.{i}.{method}"), operator, "solve", &rest);
            }
            job = job.analysis(&format!("{operator}.{i}.one"), operator, "solve", &keys("one"));
        }
    }
    job
}

/// Holds a solve against the vectors that it should find.
fn check(results: &Results, what: &str, name: &str, (p, b): (&[f64], &[f64]), noise: f64) {
    let m = results.read(name, "forms").len();
    let n = p.len() / m;
    let (x, bounds) = (results.read(name, "solution"), results.read(name, "error_bounds"));
    let (forms, ends) = (results.read(name, "forms"), results.read(name, "form_intervals"));
    let residuals = results.read(name, "residuals");
    let mut total = 0.0;
    for v in 0..m {
        let [p, b, x] = [p, b, &x].map(|all| &all[v * n..][..n]);
        let error = norm(&x.iter().zip(p).map(|(x, p)| x - p).collect::<Vec<_>>());
        // What the reference itself is good for.
        let beside = 1e-11 * norm(b) / noise;
        assert!(error <= bounds[v] + beside, "{what}: an error of {error:e} beyond {:e}", bounds[v]);
        assert!(bounds[v] >= 0.9 * residuals[v] * norm(b) / noise, "{what}: {:e} {:e}", bounds[v], residuals[v]);
        let truth: f64 = b.iter().zip(p).map(|(b, p)| b * p).sum();
        total += truth;
        let (low, high, beside) = (ends[2 * v], ends[2 * v + 1], 1e-9 * truth);
        assert!(low - beside <= truth && truth <= high + beside, "{what}: {truth:e} is not in [{low:e}, {high:e}]");
        assert!(low <= forms[v] && forms[v] <= high, "{what}: {:e} is not in [{low:e}, {high:e}]", forms[v]);
    }
    let [low, high] = [0, 1].map(|i| results.read(name, "interval")[i]);
    assert!(
        low <= total * (1.0 + 1e-9) && total * (1.0 - 1e-9) <= high,
        "{what}: {total:e} is not in [{low:e}, {high:e}]"
    );
    assert!((results.value(name) - forms.iter().sum::<f64>()).abs() <= 1e-12 * results.value(name), "{what}");
}

fn golden(precision: &str, cases: &[&str], ranks: usize) {
    for case in cases {
        let golden = Golden::open(case);
        let results = job(&golden, precision).run(ranks);
        let (probes, n) = (golden.read("probe"), golden.shape.iter().product::<usize>());
        for operator in OPERATORS {
            let images = golden.read(&format!("reference/{operator}/apply"));
            for (i, noise) in NOISES.iter().enumerate() {
                let b: Vec<f64> = images.iter().zip(&probes).map(|(y, x)| y + noise * x).collect();
                for method in METHODS.iter().chain(&["one"]) {
                    let name = format!("{operator}.{i}.{method}");
                    let what = format!("{case} {precision} {name} on {ranks}");
                    let len = if *method == "one" { n } else { 3 * n };
                    check(&results, &what, &name, (&probes[..len], &b[..len]), *noise);
                    let (took, largest) = (results.method(&name), results.read(&name, "residuals"));
                    let largest = largest.iter().fold(0.0, |m: f64, r| m.max(*r));
                    println!("{what} ({took}): {} products, residual {largest:e}", results.count(&name, "matvecs"));
                    let right = if ["cg", "dense"].contains(method) { took == *method } else { took != "cg" };
                    assert!(right, "{what}: {took}");
                    if precision == "f64" {
                        let most = if took == "cg" { 1e-10 } else { 1e-11 };
                        assert!(results.converged(&name) && largest <= most, "{what}: {largest:e}");
                    }
                    let axes = results.group(&name).dataset("solution").unwrap().shape();
                    assert_eq!(axes.len(), if *method == "one" { 3 } else { 4 }, "{what}");
                }
            }
        }
    }
}

#[test]
fn golden_vectors_come_back() {
    golden("f64", &GOLDEN, 1);
}

#[test]
fn golden_vectors_come_back_on_two_ranks() {
    golden("f64", &["gru", "mlp_tanh"], 2);
}

#[test]
fn bounds_hold_in_single_precision() {
    golden("f32", &GOLDEN, 1);
}

/// σ² and b by powers of two: the operator is brought near 1, and b with it.
#[test]
fn sizes_do_not_matter() {
    let golden = Golden::open("gru");
    let images = golden.read("reference/ntk/apply");
    let (probes, n) = (golden.read("probe"), golden.shape.iter().product::<usize>());
    for size in [1e-170, 1e160] {
        let mut job = Job::new(golden.tables());
        let path = job.path("b.h5");
        let b: Vec<f64> = (0..n).map(|i| size * (images[i] + 0.5 * probes[i])).collect();
        let file = create(&path);
        file.new_dataset::<f64>().shape(golden.shape).create("b").unwrap().write_raw(&b).unwrap();
        file.close().unwrap();
        for method in ["cg", "dense"] {
            let rest = format!("with = \"{}:/b\"\nnoise = 0.5\nrtol = 1e-10\nmethod = \"{method}\"", path.display());
            job = job.analysis(method, "ntk", "solve", &rest);
        }
        if size > 1.0 {
            // The form is no number: that is said, in one line.
            let done = job.attempt(1);
            assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
            assert!(done.stderr.contains("leave the range"), "{}", done.stderr);
            continue;
        }
        let results = job.run(1);
        for method in ["cg", "dense"] {
            let x = results.read(method, "solution");
            let error = norm(&(0..n).map(|i| x[i] / size - probes[i]).collect::<Vec<_>>());
            assert!(error <= 1e-7, "{method}: {error}");
        }
    }
}
