//! Every quantity of every golden case: to 1e-9 by exact methods, within 4 standard errors by every estimator, the same on any number of ranks.

use kpflow_tests::{assert_all_near, assert_near, golden, Golden, Job, Results, OPERATORS, TRACES};

const MARGINALS: [&str; 3] = ["trajectory", "time", "unit"];

/// The job, with the first probe beside it as an error signal.
fn job(golden: &Golden) -> Job {
    let n: usize = golden.shape.iter().product();
    let mut job = Job::new(golden.tables());
    let signal = job.path("signal.h5");
    let file = kpflow_tests::create(&signal);
    let e = ndarray::ArrayD::from_shape_vec(golden.shape.to_vec(), golden.read("probe")[..n].to_vec()).unwrap();
    file.new_dataset_builder().with_data(&e).create("e").unwrap();
    file.close().unwrap();
    for operator in OPERATORS {
        let sampled = "rtol = 0.0\nmax_matvecs = 60";
        for method in TRACES {
            job = job.analysis(
                &format!("{operator}.{method}"),
                operator,
                "trace",
                &format!("method = \"{method}\"\n{sampled}"),
            );
        }
        let forward = format!("method = \"one_sided\"\nside = \"forward\"\n{sampled}");
        job = job.analysis(&format!("{operator}.forward"), operator, "trace", &forward);
        for quantity in ["frobenius", "effective_rank"] {
            for method in ["hutchinson", "hutchpp", "one_sided"] {
                let name = format!("{operator}.{quantity}.{method}");
                job = job.analysis(&name, operator, quantity, &format!("method = \"{method}\"\n{sampled}"));
            }
        }
        for (quantity, extra) in [("entropy_rank", ""), ("log_det", "noise = 0.5\n"), ("stable_rank", "")] {
            let method = if quantity == "stable_rank" { "hutchpp" } else { "lanczos" };
            job = job
                .analysis(
                    &format!("{operator}.{quantity}.dense"),
                    operator,
                    quantity,
                    &format!("{extra}method = \"dense\""),
                )
                .analysis(
                    &format!("{operator}.{quantity}.estimate"),
                    operator,
                    quantity,
                    &format!("{extra}method = \"{method}\"\nrtol = 0.0\nmax_matvecs = 600"),
                );
        }
        job = job
            .analysis(&format!("{operator}.density"), operator, "density", "method = \"lanczos\"\nmax_matvecs = 200")
            .analysis(
                &format!("{operator}.pairs"),
                operator,
                "eigenpairs",
                "method = \"block_krylov\"\ncount = 3\nrtol = 1e-10\nmax_matvecs = 3000",
            );
    }
    let other = golden_path(golden);
    for (name, method) in
        [("dense", "dense"), ("direct", "hutchinson"), ("deflated", "hutchpp"), ("pairs", "one_sided")]
    {
        let rest = format!("with = \"{other}\"\nmethod = \"{method}\"\nrtol = 0.0\nmax_matvecs = 60");
        job = job.analysis(&format!("alignment.{name}"), "ntk", "alignment", &rest);
    }
    for axis in MARGINALS {
        job = job
            .analysis(&format!("marginal.{axis}"), "ntk", "marginal", &format!("axis = \"{axis}\"\nmethod = \"dense\""))
            .analysis(
                &format!("marginal.{axis}.sampled"),
                "ntk",
                "marginal",
                &format!("axis = \"{axis}\"\nmethod = \"hutchinson\"\nrtol = 0.0\nmax_matvecs = 100"),
            );
    }
    for method in ["dense", "block_krylov"] {
        let rest = format!(
            "with = \"{}\"\nmethod = \"{method}\"\ncount = 3\nrtol = 1e-11\nmax_matvecs = 3000\nlearning_rate = 0.1",
            signal.display()
        );
        job = job.analysis(&format!("learnability.{method}"), "ntk", "learnability", &rest);
    }
    job.analysis("p.frobenius", "propagator", "frobenius", "method = \"hutchinson\"\nrtol = 0.0\nmax_matvecs = 60")
        .analysis("p.norm", "propagator", "norm", "rtol = 1e-7\nmax_matvecs = 2000")
        .analysis(
            "p.triplets",
            "propagator",
            "singular_triplets",
            "count = 3\nrtol = 1e-7\nmax_matvecs = 2000\nvectors = true",
        )
        .analysis("inverse.norm", "constraint", "norm", "rtol = 1e-6\nmax_matvecs = 2000")
}

fn golden_path(case: &Golden) -> String {
    golden(&format!("{}.other.safetensors", case.name)).display().to_string()
}

fn within(results: &Results, name: &str, truth: f64) {
    let (value, error) = (results.value(name), results.standard_error(name));
    assert!(error.is_finite() && error >= 0.0, "{name}: {value} ± {error}");
    assert!((value - truth).abs() <= 4.0 * error + 1e-9 * truth.abs(), "{name}: {value} ± {error} against {truth}");
}

fn check(name: &str) {
    let golden = Golden::open(name);
    let job = job(&golden);
    let results = job.run(1);
    for operator in OPERATORS {
        let reference = |quantity: &str| golden.reference(&format!("{operator}/{quantity}"));
        for method in TRACES.iter().chain(&["forward"]) {
            within(&results, &format!("{operator}.{method}"), reference("trace"));
        }
        for quantity in ["frobenius", "effective_rank"] {
            for method in ["hutchinson", "hutchpp", "one_sided"] {
                within(&results, &format!("{operator}.{quantity}.{method}"), reference(quantity));
            }
        }
        let values = golden.read(&format!("reference/{operator}/eigenvalues"));
        let trace: f64 = values.iter().sum();
        let entropy: f64 = values.iter().filter(|x| **x > 0.0).map(|x| -x / trace * (x / trace).ln()).sum();
        let square: f64 = values.iter().map(|x| x * x).sum();
        let sums = [
            ("entropy_rank", entropy.exp()),
            ("log_det", values.iter().map(|x| (x.max(0.0) / 0.5).ln_1p()).sum()),
            ("stable_rank", square / values[0].powi(2)),
        ];
        for (quantity, truth) in sums {
            let dense = results.value(&format!("{operator}.{quantity}.dense"));
            assert_near(&format!("{name} {operator} {quantity}"), dense, truth, 1e-9, truth);
            within(&results, &format!("{operator}.{quantity}.estimate"), truth);
        }
        let (grid, density) = (
            results.read(&format!("{operator}.density"), "grid"),
            results.read(&format!("{operator}.density"), "density"),
        );
        let integral: f64 =
            (1..grid.len()).map(|i| 0.5 * (grid[i] - grid[i - 1]) * (density[i] + density[i - 1])).sum();
        assert_near("the integral of a density", integral, 1.0, 1e-9, 1.0);
        let zeros = values.iter().filter(|x| x.abs() < 1e-13 * values[0]).count() as f64 / values.len() as f64;
        let atom = |what: &str| results.read(&format!("{operator}.density"), what)[0];
        assert!(
            atom("zero_mass") <= zeros + 4.0 * atom("zero_mass_error") + 0.03
                && atom("zero_mass_bound") >= zeros - 4.0 * atom("zero_mass_error") - 0.1,
            "{name} {operator}: {} ± {} of {zeros} are 0",
            atom("zero_mass"),
            atom("zero_mass_error")
        );
        assert!(results.converged(&format!("{operator}.pairs")));
        assert_all_near(
            &format!("{name} {operator} pairs"),
            &results.eigenvalues(&format!("{operator}.pairs")),
            &values[..3],
            1e-9,
        );
    }
    let alignment = golden.reference("ntk/alignment_with_other");
    assert_near("alignment", results.value("alignment.dense"), alignment, 1e-9, alignment);
    ["direct", "deflated", "pairs"].iter().for_each(|m| within(&results, &format!("alignment.{m}"), alignment));
    for axis in MARGINALS {
        let truth = golden.read(&format!("reference/ntk/marginal_{axis}/matrix"));
        assert_all_near(&format!("{name} {axis}"), &results.read(&format!("marginal.{axis}"), "matrix"), &truth, 1e-9);
        let sampled = format!("marginal.{axis}.sampled");
        let (matrix, errors) = (results.read(&sampled, "matrix"), results.read(&sampled, "standard_errors"));
        for i in 0..truth.len() {
            let off = (matrix[i] - truth[i]).abs();
            assert!(
                off <= 5.0 * errors[i] + 1e-9,
                "{name} {axis} {i}: {} ± {} against {}",
                matrix[i],
                errors[i],
                truth[i]
            );
        }
        let rank = |a: &str, d: &str| results.read(a, d)[0];
        let (exact, estimate) = (rank(&format!("marginal.{axis}"), "effective_rank"), rank(&sampled, "effective_rank"));
        assert!(
            (estimate - exact).abs() <= 4.0 * rank(&sampled, "effective_rank_error") + 1e-9,
            "{name} {axis}: {estimate} {exact}"
        );
    }
    let learnability = golden.reference("ntk/learnability_probe0");
    for method in ["dense", "block_krylov"] {
        let one = format!("learnability.{method}");
        assert_near(&one, results.value(&one), learnability, 1e-9, learnability);
        let n: usize = golden.shape.iter().product();
        let (e, y) = (golden.read("probe"), golden.read("reference/ntk/apply"));
        let form: f64 = e[..n].iter().zip(&y[..n]).map(|(e, y)| e * y).sum();
        assert_near("predicted decrease", results.read(&one, "predicted_decrease")[0], 0.1 * form, 1e-9, form);
        let (times, values) = (results.read(&one, "time_constants"), results.eigenvalues(&one));
        assert!(times.iter().zip(&values).all(|(t, v)| (t * 0.1 * v - 1.0).abs() < 1e-12));
        assert!(results.read(&one, "energies").iter().sum::<f64>() <= 1.0 + 1e-12);
    }
    let (square, norm) = (golden.reference("propagator_gram/trace"), golden.reference("propagator_gram/norm"));
    within(&results, "p.frobenius", square.sqrt());
    assert_near("‖P‖", results.value("p.norm"), norm.sqrt(), 1e-9, norm.sqrt());
    let values = golden.read("reference/propagator_gram/eigenvalues");
    let expected: Vec<f64> = values[..3].iter().map(|x| x.sqrt()).collect();
    assert_all_near("singular values of P", &results.read("p.triplets", "singular_values"), &expected, 1e-9);
    assert!(results.read("p.triplets", "residuals").iter().all(|&r| r <= 1e-7));
    // The smallest singular value of P is the inverse of the norm of P⁻¹.
    let least = values.iter().fold(f64::INFINITY, |m: f64, &x| m.min(x)).sqrt();
    assert_near("‖P⁻¹‖", results.value("inverse.norm"), 1.0 / least, 1e-7, 1.0 / least);
    same_on_ranks(&job, &results, name);
}

/// Values and errors do not depend on how the work is divided.
fn same_on_ranks(job: &Job, alone: &Results, name: &str) {
    let expected: Vec<(String, [f64; 2])> = alone
        .names()
        .into_iter()
        .filter_map(|a| {
            let group = alone.group(&a);
            let number = |d: &str| group.dataset(d).ok()?.read_scalar::<f64>().ok();
            Some((a.clone(), [number("value")?, number("standard_error")?]))
        })
        .collect();
    for ranks in [2, 3, 4] {
        let results = job.run(ranks);
        for (analysis, [value, error]) in &expected {
            let what = format!("{name} {analysis} on {ranks} ranks");
            assert_near(&what, results.value(analysis), *value, 1e-9, *value);
            // Errors at the level of rounding are rounding.
            assert_near(
                &format!("{what}, error"),
                results.standard_error(analysis),
                *error,
                1e-6,
                error.max(1e-4 * value.abs()),
            );
        }
    }
}

macro_rules! cases {
    ($($name:ident),*) => { $(
        #[test]
        fn $name() {
            check(stringify!($name));
        }
    )* };
}

cases!(rnn_tanh, rnn_relu_h0, leaky_rnn, gru, gru_h0, lstm, mlp_tanh, transformer);

#[test]
fn lyapunov_exponents() {
    for name in ["rnn_tanh", "rnn_relu_h0", "leaky_rnn", "gru", "gru_h0", "lstm"] {
        let golden = Golden::open(name);
        let job = Job::new(golden.tables()).analysis("l", "ntk", "lyapunov", "");
        let expected = golden.read("reference/lyapunov");
        for ranks in [1, 3] {
            let found = job.run(ranks).read("l", "exponents");
            for (x, y) in found.iter().zip(&expected) {
                // A direction that a dead unit loses has no exponent: what the reference has there is its own rounding.
                let lost = *x < -8.0 && *y < -8.0;
                assert!(lost || (x - y).abs() <= 1e-9 * y.abs().max(1.0), "{name}: {x} against {y}");
            }
            assert_eq!(found.len(), expected.len());
        }
    }
    // A loop that is unrolled in a graph is the native net.
    let native = Golden::open("leaky_rnn").tables();
    let graph = kpflow_tests::reference("onnx/golden_leaky_rnn.onnx");
    let data = &native[native.find("[data]").unwrap()..];
    let unrolled = format!("[model]\nkind = \"onnx\"\nweights = \"{}\"\n{data}", graph.display());
    let [one, other] = [native.clone(), unrolled]
        .map(|text| Job::new(text).analysis("l", "ntk", "lyapunov", "").run(2).read("l", "exponents"));
    kpflow_tests::assert_all_near("unrolled", &other, &one, 1e-9);

    let golden = Golden::open("transformer");
    Job::new(golden.tables()).analysis("l", "ntk", "lyapunov", "").refused_on(&[1, 2], &["single recurrence"]);
}

/// Windows, units and means over trajectories, against the parts of the whole matrix.
#[test]
fn parts_of_the_state() {
    let golden = Golden::open("gru");
    let [b, t, n] = golden.shape;
    let part = "window = [2, 5]\nunits = [4, 0, 1]";
    let job = Job::new(golden.tables())
        .analysis("all", "ntk", "matrix", "")
        .analysis("part", "ntk", "matrix", part)
        .analysis("mean", "ntk", "matrix", &format!("average = true\n{part}"))
        .analysis("mean.trace", "ntk", "trace", &format!("average = true\n{part}\nmethod = \"xnystrace\"\nrtol = 0.0"))
        .analysis(
            "trace",
            "ntk",
            "trace",
            &format!("{part}\nmethod = \"per_trajectory_xnystrace\"\nmax_matvecs = 4\nrtol = 0.0"),
        )
        .analysis("pairs", "ntk", "eigenpairs", &format!("{part}\ncount = 2\nvectors = true"))
        .analysis("mean.pairs", "ntk", "eigenpairs", "average = true\ncount = 2\nvectors = true")
        .analysis("marginal", "ntk", "marginal", &format!("axes = [\"time\", \"unit\"]\n{part}"));
    for ranks in [1, 2, 4] {
        let results = job.run(ranks);
        let all = results.read("all", "matrix");
        let flat = |c: usize, i: usize| (c * t + 2 + i / 3) * n + [4, 0, 1][i % 3];
        let entry = |c: usize, i: usize, d: usize, j: usize| all[flat(c, i) * b * t * n + flat(d, j)];
        let rows = 9 * b;
        let expected: Vec<f64> =
            (0..rows * rows).map(|k| entry(k / rows / 9, k / rows % 9, k % rows / 9, k % rows % 9)).collect();
        assert_all_near("the part", &results.read("part", "matrix"), &expected, 1e-12);
        let mean: Vec<f64> =
            (0..81).map(|k| (0..b).map(|c| entry(c, k / 9, c, k % 9)).sum::<f64>() / b as f64).collect();
        assert_all_near("the mean", &results.read("mean", "matrix"), &mean, 1e-12);
        let scaled: Vec<f64> = mean.iter().map(|x| x * b as f64).collect();
        assert_all_near("the marginal", &results.read("marginal", "matrix"), &scaled, 1e-12);
        let trace: f64 = (0..9).map(|i| mean[i * 9 + i]).sum();
        assert_near("the mean's trace", results.value("mean.trace"), trace, 1e-9, trace);
        within(&results, "trace", trace * b as f64);
        assert_eq!(results.group("pairs").dataset("eigenvectors").unwrap().shape(), [2, b, 3, 3]);
        assert_eq!(results.group("mean.pairs").dataset("eigenvectors").unwrap().shape(), [2, 1, t, n]);
    }
    for (rest, words) in
        [("window = [2, 7]", &["window = [2, 7]", "6 steps"][..]), ("units = [5]", &["units names 5", "0 to 4"])]
    {
        Job::new(golden.tables()).analysis("x", "ntk", "trace", rest).refused_on(&[1, 3], words);
    }
}

/// One block of products serves trace, norm, effective rank and the first eigenpairs; a tighter tolerance goes on from what is there.
#[test]
fn no_product_is_computed_twice() {
    let file = |name: &str| golden(name).display().to_string();
    let (weights, inputs) = (file("memory_pro.step1500.safetensors"), file("memory_pro.h5"));
    let tables = format!(
        "[model]\nkind = \"gru\"\nweights = \"{weights}\"\nprefix = \"rnn.\"\n[data]\ninputs = \"{inputs}:/inputs\"\n"
    );
    let job = Job::new(tables)
        .analysis("trace", "ntk", "trace", "method = \"xnystrace\"\nmax_matvecs = 32\nrtol = 0.0")
        .analysis("frobenius", "ntk", "frobenius", "method = \"hutchpp\"\nmax_matvecs = 96\nrtol = 0.0")
        .analysis("rank", "ntk", "effective_rank", "method = \"hutchpp\"\nmax_matvecs = 96\nrtol = 0.0")
        .analysis("coarse", "ntk", "trace", "method = \"per_trajectory_xnystrace\"\nmax_matvecs = 32\nrtol = 0.0")
        .analysis("fine", "ntk", "trace", "method = \"per_trajectory_xnystrace\"\nmax_matvecs = 64\nrtol = 0.0")
        .analysis("pairs", "ntk", "eigenpairs", "count = 5\nmax_matvecs = 96\nrtol = 1e-2")
        .analysis("norm", "ntk", "norm", "max_matvecs = 96\nrtol = 1e-2");
    let results = job.run(2);
    let count = |name: &str, what: &str| results.group(name).attr(what).unwrap().read_scalar::<i64>().unwrap();
    assert_eq!(count("trace", "matvecs_computed"), 32);
    assert!(count("frobenius", "matvecs_computed") < 96, "the sketch is there already");
    assert!(count("rank", "matvecs_computed") + 24 <= count("rank", "matvecs") && count("rank", "matvecs") <= 96);
    // A third of the rank's products went into its trace, of the block diagonal: the first block of those that follow.
    assert_eq!((count("coarse", "matvecs_computed"), count("fine", "matvecs_computed")), (0, 32));
    let (pairs, all) = (count("pairs", "matvecs_computed"), count("pairs", "matvecs"));
    assert!(pairs + 32 <= all, "the first block is there already: {pairs} of {all}");
    assert!(count("norm", "matvecs_computed") + 32 <= count("norm", "matvecs"));
}
