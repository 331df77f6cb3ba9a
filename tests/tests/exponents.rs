//! Lyapunov exponents where directions are lost: −∞, and nothing that looks like a number.

use kpflow_tests::{assert_near, kpflow, open_rw, reference, Done, Job, Results};
use safetensors::tensor::TensorView;
use safetensors::Dtype;
use std::path::Path;

const NEVER: f64 = f64::NEG_INFINITY;

/// A job on one of the cases whose values are from exact arithmetic.
fn case(name: &str, activation: &str) -> Job {
    let at = |file: &str| reference(&format!("data/numbers/{name}/{file}"));
    Job::new(format!(
        "[model]\nkind = \"rnn\"\nactivation = \"{activation}\"\nweights = {:?}\n[data]\ninputs = {:?}\n",
        at("w.safetensors"),
        at("x.npy")
    ))
    .analysis("ly", "ntk", "lyapunov", "")
}

/// A network whose tensors are given; inputs are [B, T, n_in].
struct Net {
    directory: tempfile::TempDir,
    text: String,
}

fn net(model: &str, tensors: &[(&str, &[usize], Vec<f64>)], inputs: [usize; 3], x: &[f64]) -> Net {
    let directory = tempfile::tempdir().unwrap();
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|t| t.2.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|(t, b)| (t.0, TensorView::new(Dtype::F64, t.1.to_vec(), b).unwrap()));
    let weights = directory.path().join("w.safetensors");
    std::fs::write(&weights, safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap()).unwrap();
    let data = directory.path().join("x.h5");
    let file = kpflow_tests::create(&data);
    file.new_dataset::<f64>().shape(inputs).create("x").unwrap().write_raw(x).unwrap();
    let text = format!("[model]\n{model}\nweights = {weights:?}\n[data]\ninputs = \"{}:/x\"\n", data.display());
    Net { directory, text }
}

impl Net {
    fn job(&self) -> Job {
        Job::new(self.text.clone()).analysis("ly", "ntk", "lyapunov", "")
    }
}

#[track_caller]
fn assert_exponents(what: &str, found: &Results, expected: &[f64], tolerance: f64) {
    let exponents = found.read("ly", "exponents");
    assert_eq!(exponents.len(), expected.len(), "{what}: {exponents:?}");
    for (i, (f, e)) in exponents.iter().zip(expected).enumerate() {
        match e.is_finite() {
            true => assert_near(&format!("{what}[{i}]"), *f, *e, tolerance, 1.0),
            false => assert_eq!(f, e, "{what}[{i}]: {exponents:?}"),
        }
    }
    assert_eq!((found.standard_error("ly"), found.converged("ly")), (0.0, true), "{what}");
}

#[test]
fn units_that_switch_off_and_weights_of_low_rank() {
    let run = |name: &str, activation: &str, expected: &[f64], n: usize| {
        let mut all = vec![NEVER; n];
        all[..expected.len()].copy_from_slice(expected);
        let found = case(name, activation).run(1);
        assert_exponents(name, &found, &all, 1e-12);
        assert_eq!(found.value("ly"), found.read("ly", "exponents")[0], "{name}");
    };
    run("lyap_relu", "relu", &[-0.14195720978465576], 5);
    run("lyap_relu16", "relu", &[-0.1677149345367794, -0.3120789578129064, -0.6403751824992221], 16);
    run("lyap_one_dead", "relu", &[], 3);
    run("lyap_tanh_lowrank", "tanh", &[-1.2953032880031503, -1.8308179894364494], 5);
}

#[test]
fn how_minus_infinity_is_told() {
    let job = case("lyap_one_dead", "relu").flag("--log").flag("json");
    let done = job.attempt(1);
    assert!(done.status.success() && done.stdout.contains("= -inf;"), "{}{}", done.stdout, done.stderr);
    for line in done.stderr.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        if event["event"] == "analysis_finished" {
            assert!(event["value"].is_null() && event["standard_error"] == 0.0, "{line}");
        }
    }
    let r = job.path("results.h5").display().to_string();
    // The same is the same; a number is not −∞.
    let json = |done: Done| serde_json::from_str::<serde_json::Value>(&done.stdout).unwrap();
    let same = kpflow(1, &["compare", &r, &r, "--json"]);
    assert!(same.status.success(), "{}", same.stderr);
    assert_eq!(json(same)["agree"], true);
    assert!(kpflow(1, &["compare", &r, &r]).success().contains("-inf"));
    let other = case("lyap_one_dead", "relu");
    other.run(1);
    {
        let file = open_rw(other.path("results.h5"));
        let set = file.dataset("analysis/ly/exponents").unwrap();
        let mut all = set.read_raw::<f64>().unwrap();
        all[1] = -40.0;
        set.as_writer().write_raw(&all).unwrap();
    }
    let differ = kpflow(1, &["compare", &r, &other.path("results.h5").display().to_string(), "--json"]);
    assert_eq!((differ.status.code(), json(differ)["agree"].clone()), (Some(1), false.into()));
    let info = kpflow(1, &["info", &r, "--json"]).success();
    assert!(serde_json::from_str::<serde_json::Value>(&info).unwrap()["analyses"][0]["value"].is_null());
    assert!(kpflow(1, &["info", &r]).success().contains("-inf"));
    let page = job.path("page.html");
    kpflow(1, &["report", &r, "--output", &page.display().to_string()]).success();
    let text = std::fs::read_to_string(page).unwrap();
    assert!(!text.contains("NaN") && (text.contains("−∞") || text.contains("-inf")), "the page does not say it");
}

/// A gru of two units, whose gates hang on their biases alone.
fn gru(update: [f64; 2]) -> Net {
    let zeros = |n: usize| vec![0.0; n];
    let mut bias = zeros(6);
    bias[2..4].copy_from_slice(&update);
    // The new state does not look at the old one.
    let tensors: [(&str, &[usize], Vec<f64>); 4] = [
        ("weight_ih_l0", &[6, 1], vec![0.0, 0.0, 0.0, 0.0, 0.3, -0.4]),
        ("weight_hh_l0", &[6, 2], zeros(12)),
        ("bias_ih_l0", &[6], bias),
        ("bias_hh_l0", &[6], zeros(6)),
    ];
    net("kind = \"gru\"", &tensors, [1, 4, 1], &[1.0, -0.5, 0.3, 0.9])
}

#[test]
fn gates_that_are_shut() {
    // z = 1 keeps a unit for ever; z = 0, and not only small, loses it.
    assert_exponents("shut", &gru([800.0, -800.0]).job().run(1), &[0.0, NEVER], 1e-12);
    assert_exponents("both shut", &gru([-800.0, -800.0]).job().run(1), &[NEVER, NEVER], 1e-12);
    // Nearly shut is a number: σ(−40) = 4e-18, below the rounding of the other unit.
    assert_exponents("nearly shut", &gru([40.0, -40.0]).job().run(1), &[0.0, -40.0], 1e-12);
    let shut = gru([800.0, -800.0]);
    let single = shut.job().line("[compute]\nprecision = \"f32\"");
    assert_exponents("f32", &single.run(1), &[0.0, NEVER], 1e-6);
    // An lstm that forgets: neither h nor c is anything of what was before.
    let mut bias = vec![0.0; 4];
    bias[1] = -800.0;
    let tensors: [(&str, &[usize], Vec<f64>); 4] = [
        ("weight_ih_l0", &[4, 1], vec![0.5; 4]),
        ("weight_hh_l0", &[4, 1], vec![0.0; 4]),
        ("bias_ih_l0", &[4], bias.clone()),
        ("bias_hh_l0", &[4], vec![0.0; 4]),
    ];
    let lstm = net("kind = \"lstm\"", &tensors, [1, 3, 1], &[1.0, 0.2, -0.3]);
    assert_exponents("lstm", &lstm.job().run(1), &[NEVER, NEVER], 1e-12);
}

/// A relu network of these recurrent weights that its inputs reach one by one.
fn relu(n: usize, w: &[f64], inputs: [usize; 3], x: &[f64]) -> Net {
    let eye: Vec<f64> = (0..n * n).map(|i| f64::from(u8::from(i / n == i % n))).collect();
    let tensors: [(&str, &[usize], Vec<f64>); 2] =
        [("weight_ih_l0", &[n, n], eye), ("weight_hh_l0", &[n, n], w.to_vec())];
    net("kind = \"rnn\"\nactivation = \"relu\"", &tensors, inputs, x)
}

#[test]
fn some_trajectories_and_some_steps() {
    let diagonal = [0.5, 0.0, 0.0, 0.25];
    // The first trajectory lives, the second loses a unit in one step, the third all of them.
    let mut x = vec![1.0; 3 * 3 * 2];
    x[6 + 2 + 1] = -9.0;
    (x[12 + 2], x[12 + 3]) = (-9.0, -9.0);
    let net = relu(2, &diagonal, [3, 3, 2], &x);
    let (half, quarter) = (0.5f64.ln(), 0.25f64.ln());
    for ranks in [1, 2] {
        let found = net.job().run(ranks);
        assert_exponents("trajectories", &found, &[half, quarter, half, NEVER, NEVER, NEVER], 1e-13);
        assert_eq!(found.value("ly"), NEVER);
    }
    // Every step of a shift loses one direction more.
    let shift = [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
    for (steps, left) in [(2, 2), (3, 1), (4, 0), (9, 0)] {
        let net = relu(3, &shift, [1, steps, 3], &vec![1.0; 3 * steps]);
        let expected: Vec<f64> = (0..3).map(|i| if i < left { 0.0 } else { NEVER }).collect();
        assert_exponents("shift", &net.job().run(1), &expected, 1e-13);
    }
    // One step has none, and says so.
    relu(2, &diagonal, [1, 1, 2], &[1.0; 2]).job().refused_on(&[1], &["at least two steps"]);
    // Numbers whose product no number holds.
    let net = relu(2, &[1e-200, 0.0, 0.0, 1e200], [1, 3, 2], &[1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    assert!(Path::new(net.directory.path()).exists());
    assert_exponents("far", &net.job().run(1), &[1e-200f64.ln(), NEVER], 1e-10);
}
