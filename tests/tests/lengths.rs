//! Trials of different length (`[data] lengths`, `mask`): every operator and quantity is that of the shorter trajectories, in all precisions and on any number of ranks;
//! what says otherwise, or nothing, is refused or warned of. `reference.rs` has torch's values of the same cases.

use kpflow_tests::{assert_all_near, assert_near, kind_job, kpflow, reference, Job, Results, KINDS, OPERATORS};
use std::path::Path;

/// The cases of `make_kinds.py` whose trajectories have lengths.
fn cases() -> impl Iterator<Item = &'static str> {
    KINDS.into_iter().filter(|name| name.ends_with("_lengths"))
}

/// What a case's file says of its data.
struct Case {
    name: &'static str,
    lengths: Vec<usize>,
    /// T, N.
    steps: usize,
    units: usize,
}

impl Case {
    fn open(name: &'static str) -> Self {
        let file = kpflow_tests::open(reference(&format!("data/{name}.h5")));
        let shape: Vec<i64> = file.attr("shape").unwrap().read_raw().unwrap();
        let lengths: Vec<i64> = file.dataset("lengths").unwrap().read_raw().unwrap();
        let lengths = lengths.into_iter().map(|l| l as usize).collect();
        Self { name, lengths, steps: shape[1] as usize, units: shape[2] as usize }
    }

    /// The numbers of a trajectory, and of all.
    fn per(&self) -> usize {
        self.steps * self.units
    }
    fn size(&self) -> usize {
        self.lengths.len() * self.per()
    }

    /// How many of them the trajectories have.
    fn numbers(&self) -> usize {
        self.lengths.iter().sum::<usize>() * self.units
    }

    /// Whether a number of the whole state is behind its trajectory's end.
    fn is_behind(&self, i: usize) -> bool {
        i % self.per() / self.units >= self.lengths[i / self.per()]
    }

    /// A job of one trajectory by itself, cut at its end.
    fn alone(&self, b: usize) -> Job {
        let job = kind_job(self.name);
        let text = std::fs::read_to_string(job.write()).unwrap();
        let from = kpflow_tests::open(reference(&format!("data/{}.h5", self.name)));
        let cut = Job::new("");
        let to = kpflow_tests::create(cut.path("x.h5"));
        for name in ["inputs", "initial_state"].into_iter().filter(|n| from.link_exists(n)) {
            let set = from.dataset(name).unwrap();
            let (shape, all) = (set.shape(), set.read_raw::<f64>().unwrap());
            let per: usize = shape[1..].iter().product();
            let (rows, one) = if name == "inputs" { (self.lengths[b], per / shape[1]) } else { (1, per) };
            let data = ndarray::ArrayD::from_shape_vec(
                if name == "inputs" { vec![1, rows, one] } else { vec![1, one] },
                all[b * per..][..rows * one].to_vec(),
            );
            to.new_dataset_builder().with_data(&data.unwrap()).create(name).unwrap();
        }
        let old = reference(&format!("data/{}.h5", self.name)).display().to_string();
        let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with("lengths")).collect();
        cut.line(&lines.join("\n").replace(&format!("{old}:"), "x.h5:"))
    }
}

fn all_of(name: &str, precision: &str) -> Job {
    let mut job = kind_job(name).line(&format!("[compute]\nprecision = \"{precision}\"\n[output]\nstate = true"));
    for operator in OPERATORS {
        job = job.analysis(&format!("{operator}.matrix"), operator, "matrix", "");
        for (quantity, rest) in [
            ("trace", "method = \"dense\""),
            ("frobenius", "method = \"dense\""),
            ("effective_rank", "method = \"dense\""),
            ("norm", "method = \"block_krylov\"\nrtol = 1e-7"),
            ("log_det", "method = \"lanczos\"\nnoise = 0.1\nrtol = 0.0\nmax_matvecs = 300"),
            ("entropy_rank", "method = \"lanczos\"\nrtol = 0.0\nmax_matvecs = 300"),
            ("density", "method = \"lanczos\"\nmax_matvecs = 240"),
        ] {
            job = job.analysis(&format!("{operator}.{quantity}"), operator, quantity, rest);
        }
        for method in ["hutchinson", "hutchpp", "xtrace", "xnystrace", "per_trajectory", "per_trajectory_xnystrace"] {
            let rest = format!("method = \"{method}\"\nrtol = 0.0\nmax_matvecs = 60");
            job = job.analysis(&format!("{operator}.{method}"), operator, "trace", &rest);
        }
        for (axis, rest) in
            [("time", ""), ("trajectory", "method = \"dense\""), ("unit", "method = \"hutchinson\"\nmax_matvecs = 200")]
        {
            let rest = format!("axis = \"{axis}\"\nrtol = 0.0\n{rest}");
            job = job.analysis(&format!("{operator}.{axis}"), operator, "marginal", &rest);
        }
        let window = "window = [1, 4]\nmethod = \"xnystrace\"\nmax_matvecs = 1000\nrtol = 0.0";
        job = job.analysis(&format!("{operator}.window"), operator, "trace", window);
    }
    job
}

fn state(results: &Path) -> Vec<f64> {
    kpflow_tests::open(results).dataset("state/values").unwrap().read_raw().unwrap()
}

/// The diagonal blocks of the whole matrix are those of each trajectory by itself, and what is behind an end is zero; every other quantity is the matrix's.
fn is_of_shorter_trajectories(case: &Case, ranks: usize, precision: &str, tolerance: f64) {
    let job = all_of(case.name, precision);
    let results = job.run(ranks);
    let (size, per, n) = (case.size(), case.per(), case.numbers() as f64);
    let z = state(&job.path("results.h5"));
    assert!((0..size).all(|i| !case.is_behind(i) || z[i] == 0.0));
    let file = kpflow_tests::open(job.path("results.h5"));
    let kept: Vec<i64> = file.dataset("state/lengths").unwrap().read_raw().unwrap();
    assert_eq!(kept, case.lengths.iter().map(|&l| l as i64).collect::<Vec<_>>());
    let alone: Vec<Results> = (0..if precision == "f64" { case.lengths.len() } else { 0 })
        .map(|b| {
            let mut job = case.alone(b);
            for operator in OPERATORS {
                job = job.analysis(operator, operator, "matrix", "");
            }
            job.run(1)
        })
        .collect();
    for operator in OPERATORS {
        let what = |quantity: &str| format!("{}: {operator} {quantity} in {precision} on {ranks}", case.name);
        let a = results.read(&format!("{operator}.matrix"), "matrix");
        assert_eq!(a.len(), size * size);
        assert!((0..size * size).all(|k| a[k] == 0.0 || !(case.is_behind(k / size) || case.is_behind(k % size))));
        for (b, own) in alone.iter().enumerate() {
            let (own, m) = (own.read(operator, "matrix"), case.lengths[b] * case.units);
            let found: Vec<f64> = (0..m * m).map(|k| a[(b * per + k / m) * size + b * per + k % m]).collect();
            assert_all_near(&what(&format!("of trajectory {b}")), &found, &own, tolerance);
        }
        let values = results.eigenvalues(&format!("{operator}.matrix"));
        assert_eq!(values.len() as f64, n);
        let trace: f64 = (0..size).map(|i| a[i * size + i]).sum();
        let square: f64 = a.iter().map(|x| x * x).sum();
        let value = |quantity: &str| results.value(&format!("{operator}.{quantity}"));
        let near = |quantity: &str, expected: f64, tolerance: f64| {
            assert_near(&what(quantity), value(quantity), expected, tolerance, expected.abs());
        };
        near("trace", trace, tolerance);
        near("frobenius", square.sqrt(), tolerance);
        near("effective_rank", trace * trace / square, tolerance);
        near("norm", values[0], 10.0 * tolerance.max(1e-6));
        for method in ["hutchinson", "hutchpp", "xtrace", "xnystrace", "per_trajectory", "per_trajectory_xnystrace"] {
            let error = results.standard_error(&format!("{operator}.{method}"));
            let off = (value(method) - trace).abs();
            assert!(off <= 5.0 * error + tolerance * trace && error <= 0.6 * trace, "{}: {off} {error}", what(method));
        }
        let positive = || values.iter().map(|v| v.max(0.0));
        let log_det: f64 = positive().map(|v| (v / 0.1).ln_1p()).sum();
        let entropy: f64 = positive().filter(|v| *v > 0.0).map(|v| -v / trace * (v / trace).ln()).sum();
        for (quantity, expected) in [("log_det", log_det), ("entropy_rank", entropy.exp())] {
            let error = results.standard_error(&format!("{operator}.{quantity}"));
            let off = (value(quantity) - expected).abs();
            // Five probes are few for what a sketch in single precision leaves of a badly conditioned one.
            let allowed = 5.0 * error + if precision == "f32" { 2e-5 } else { 1e-6 } * expected;
            assert!(off <= allowed, "{}: {off} {error}", what(quantity));
        }
        let error = results.standard_error(&format!("{operator}.density"));
        assert!((value("density") - trace).abs() <= 5.0 * error + tolerance * trace, "{}", what("density"));
        let place = |axis: &str, i: usize| match axis {
            "trajectory" => i / per,
            "time" => i % per / case.units,
            _ => i % case.units,
        };
        for axis in ["time", "trajectory", "unit"] {
            let found = results.read(&format!("{operator}.{axis}"), "matrix");
            let errors = results.read(&format!("{operator}.{axis}"), "standard_errors");
            let d = (found.len() as f64).sqrt() as usize;
            let mut expected = vec![0.0; d * d];
            let others = ["time", "trajectory", "unit"].into_iter().filter(|o| *o != axis);
            let others: Vec<&str> = others.collect();
            for k in (0..size * size).filter(|&k| a[k] != 0.0) {
                let (i, j) = (k / size, k % size);
                if others.iter().all(|o| place(o, i) == place(o, j)) {
                    expected[place(axis, i) * d + place(axis, j)] += a[k];
                }
            }
            let scale = expected.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            for (k, (f, e)) in found.iter().zip(&expected).enumerate() {
                let allowed = 6.0 * errors[k] + tolerance * scale;
                assert!((f - e).abs() <= allowed, "{}[{k}]: {f} {e} ± {}", what(axis), errors[k]);
            }
        }
        let within = |i: &usize| (1..4).contains(&(i % per / case.units));
        let window: f64 = (0..size).filter(within).map(|i| a[i * size + i]).sum();
        near("window", window, 50.0 * tolerance.max(2e-6));
    }
}

#[test]
fn every_recurrent_kind() {
    for (i, name) in cases().enumerate() {
        is_of_shorter_trajectories(&Case::open(name), 1 + i % 4, "f64", 1e-9);
    }
}

#[test]
fn in_single_precision() {
    for name in ["gru_lengths", "lstm_stacked_bidirectional_lengths"] {
        is_of_shorter_trajectories(&Case::open(name), 2, "f32", 1e-6);
    }
}

/// Closed forms, the error signal, and the exponents of each trajectory over its own steps.
#[test]
fn closed_forms_signals_and_exponents() {
    for (name, ranks) in [("gru_lengths", 2), ("leaky_rnn_lengths", 1), ("lstm_lengths", 3), ("rnn_lengths", 1)] {
        let case = Case::open(name);
        let single = name != "leaky_rnn_lengths";
        let mut job = kind_job(name);
        for operator in OPERATORS {
            job = job.analysis(&format!("{operator}.matrix"), operator, "matrix", "");
            if single || operator == "parameter" {
                job = job.analysis(&format!("{operator}.exact"), operator, "trace", "method = \"exact\"");
            }
        }
        job = job.analysis("k", "parameter", "frobenius", "method = \"exact\"");
        let probe = format!("with = \"{}\"\nmethod = \"dense\"", job.path("e.h5").display());
        let file = kpflow_tests::open(reference(&format!("data/{name}.h5")));
        let signal: Vec<f64> = file.dataset("probe").unwrap().read_raw().unwrap();
        let signal = signal[..case.size()].to_vec();
        let shape = vec![case.lengths.len(), case.steps, case.units];
        let array = ndarray::ArrayD::from_shape_vec(shape, signal.clone()).unwrap();
        let to = kpflow_tests::create(job.path("e.h5"));
        to.new_dataset_builder().with_data(&array).create("e").unwrap();
        drop(to);
        job = job.analysis("learn", "ntk", "learnability", &format!("{probe}\ncount = 3"));
        let results = job.run(ranks);
        let size = case.size();
        let matrix = |operator: &str| results.read(&format!("{operator}.matrix"), "matrix");
        for operator in OPERATORS.into_iter().filter(|o| single || *o == "parameter") {
            let (a, found) = (matrix(operator), results.value(&format!("{operator}.exact")));
            let trace: f64 = (0..size).map(|i| a[i * size + i]).sum();
            assert_near(&format!("{name}: exact trace of {operator}"), found, trace, 1e-11, trace);
        }
        let norm = matrix("parameter").iter().map(|x| x * x).sum::<f64>().sqrt();
        assert_near(&format!("{name}: exact norm of K"), results.value("k"), norm, 1e-11, norm);
        // What the signal says behind an end is no part of it.
        let e: Vec<f64> = (0..size).map(|i| if case.is_behind(i) { 0.0 } else { signal[i] }).collect();
        let a = matrix("ntk");
        let form: f64 = (0..size * size).map(|k| e[k / size] * a[k] * e[k % size]).sum();
        let expected = form / e.iter().map(|x| x * x).sum::<f64>() / results.eigenvalues("learn")[0];
        assert_near(&format!("{name}: learnability"), results.value("learn"), expected, 1e-9, expected);
    }
    // Exponents: the lengths of this case are 3, 7, 5, 2, 5.
    let case = Case::open("gru_lengths");
    let all = kind_job("gru_lengths").analysis("l", "ntk", "lyapunov", "").run(2).read("l", "exponents");
    for b in 0..case.lengths.len() {
        let own = case.alone(b).analysis("l", "ntk", "lyapunov", "").run(1).read("l", "exponents");
        assert_all_near(&format!("exponents of trajectory {b}"), &all[b * case.units..][..case.units], &own, 1e-10);
    }
    let job = kind_job("lstm_lengths").analysis("l", "ntk", "lyapunov", "");
    job.refused_on(&[1, 2], &["need at least two steps, and trajectory 2 has one"]);
}

/// Six trials of neurogym's PerceptualDecisionMaking and a GRU trained on it: brute-force automatic differentiation finds a trace of 84272 and an effective rank of
/// 3.709; of the padded trials 157461 and 3.067.
#[test]
fn trials_of_a_task_library() {
    let file = |name: &str| reference(&format!("trials/perceptual_decision.{name}")).display().to_string();
    let job = |data: &str| {
        let model = format!("[model]\nkind = \"gru\"\nweights = \"{}\"\nprefix = \"rnn.\"", file("safetensors"));
        Job::new(format!("{model}\n[data]\ninputs = \"{}:/inputs\"\n{data}\n", file("h5")))
            .analysis("trace", "ntk", "trace", "")
            .analysis("rank", "ntk", "effective_rank", "rtol = 0.005")
    };
    let padded = job("");
    let done = padded.attempt(2).success();
    let all = padded.results();
    assert_near("padded trace", all.value("trace"), 157461.0, 1e-5, 157461.0);
    assert_near("padded rank", all.value("rank"), 3.067, 0.01, 3.067);
    drop(done);
    let warning = "inputs of 6 of 6 trajectories end in identical rows (from step 25 on at the earliest): if this is padding, give [data] lengths";
    let told = padded.attempt(1);
    assert_eq!(told.stderr.matches(warning).count(), 1, "{}", told.stderr);
    let file_of = kpflow_tests::open(padded.path("results.h5"));
    assert!(file_of.attr("warnings").is_ok());
    let masked = job(&format!("mask = \"{}:/mask\"", file("h5")));
    let done = masked.attempt(1);
    assert!(!done.stderr.contains("warning"), "{}", done.stderr);
    let results = masked.results();
    assert_near("masked trace", results.value("trace"), 84272.0, 1e-5, 84272.0);
    assert_near("masked rank", results.value("rank"), 3.709, 0.005, 3.709);
    let path = masked.write();
    let text = kpflow(2, &["check".as_ref(), path.as_os_str()]).success();
    assert!(!text.contains("FAILED") && text.contains("gradient step"), "{text}");
    for ranks in [1, 3] {
        kpflow(ranks, &["plan".as_ref(), path.as_os_str()]).success();
    }
}
