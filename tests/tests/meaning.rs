//! What ONNX says is what runs: element types, roots at zero, large logits, initial states, indices, parameters
//! (`tests/reference/make_meaning.py`), each with the state and the trace of the NTK, or the words of a refusal.

use kpflow_tests::{assert_all_near, assert_near, kpflow, reference, Job};
use serde_json::Value;

/// A case of the file.
struct Case(Value);

impl Case {
    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_default()
    }
    fn words(&self, key: &str) -> Vec<&str> {
        self.0[key].as_array().map_or(Vec::new(), |all| all.iter().filter_map(Value::as_str).collect())
    }
    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    }

    /// A job for it, its files written.
    fn job(&self, analyses: &[(&str, &str, &str)]) -> Job {
        let inputs = self.0["inputs"].as_object().unwrap();
        let given: Vec<String> = inputs.keys().map(|n| format!("\"{n}\" = \"inputs.h5:/{n}\"")).collect();
        let text = format!(
            "[model]\nkind = \"onnx\"\nweights = \"model.onnx\"\n{}\n[data]\ninputs = {{ {} }}\n[compute]\nprecision = \"f64\"\n[output]\nstate = true\n",
            self.text("lines"),
            given.join(", ")
        );
        let job = analyses.iter().fold(Job::new(text), |job, (name, operator, quantity)| {
            job.analysis(name, operator, quantity, "method = \"dense\"")
        });
        let hex = self.text("model");
        let bytes: Vec<u8> =
            (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
        std::fs::write(job.path("model.onnx"), bytes).unwrap();
        let file = kpflow_tests::create(job.path("inputs.h5"));
        for (name, input) in inputs {
            let shape: Vec<usize> = Self::numbers(&input["shape"]).iter().map(|&d| d as usize).collect();
            let data = ndarray::ArrayD::from_shape_vec(shape, Self::numbers(&input["data"])).unwrap();
            file.new_dataset_builder().with_data(&data).create(name.as_str()).unwrap();
        }
        file.close().unwrap();
        job
    }
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(reference("meaning.jsonl")).unwrap();
    text.lines().map(|line| Case(serde_json::from_str(line).unwrap())).collect()
}

/// The warnings of `kpflow info` about a graph.
fn doubts(job: &Job) -> Vec<String> {
    let path = job.path("model.onnx");
    let told = kpflow(1, &["info".as_ref(), "--json".as_ref(), path.as_os_str()]).success();
    let told: Value = serde_json::from_str(&told).unwrap();
    let all = told["warnings"].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_string());
    all.filter(|w| w.contains("kpflow.parameters")).collect()
}

#[test]
fn graphs_say_what_they_mean() {
    let mut count = 0;
    for case in cases() {
        let name = case.text("name");
        let job = case.job(&[("t", "ntk", "trace")]);
        count += 1;
        let words = case.words("words");
        if !words.is_empty() {
            let done = job.attempt(1);
            assert_eq!(done.status.code(), Some(2), "{name}: {}{}", done.stdout, done.stderr);
            assert!(words.iter().all(|w| done.stderr.contains(w)), "{name}: {}", done.stderr);
            continue;
        }
        let done = job.attempt(1);
        assert!(done.status.success(), "{name}: {}", done.stderr);
        let results = job.results();
        let state = results.state();
        assert_all_near(name, &state, &Case::numbers(&case.0["state"]), 1e-9);
        let trace = case.0["trace"].as_f64().unwrap();
        assert_near(name, results.value("t"), trace, 1e-6, trace.max(1e-9));
        if let Some(words) = case.0.get("doubts").filter(|_| case.text("lines").is_empty()) {
            let found = doubts(&job);
            let words: Vec<&str> = words.as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert_eq!(found.is_empty(), words.is_empty(), "{name}: {found:?}");
            assert!(words.iter().all(|w| found[0].contains(w)), "{name}: {found:?} lacks one of {words:?}");
        }
    }
    assert!(count > 80, "{count}");
}

/// The states of a Scan or a Loop are watched as [B, T, N]: K and P are those of the recurrent net.
#[test]
fn states_of_loops_are_watched_in_time() {
    let all = cases();
    let of = |name: &str| {
        let case = all.iter().find(|c| c.text("name") == name).unwrap();
        let job = case.job(&[("k", "parameter", "trace"), ("p", "propagator_gram", "trace"), ("n", "ntk", "trace")]);
        let results = job.run(1);
        let (k, p, n) = (results.value("k"), results.value("p"), results.value("n"));
        assert!(k < 0.99 * n && p > 30.0 * 1.01, "{name}: K {k}, P {p}, NTK {n}");
        (results.shape(), [k, p, n])
    };
    let (scan, a) = of("a scan");
    let (unrolled, b) = of("a loop");
    assert_eq!((scan, unrolled), (vec![2, 5, 3], vec![2, 5, 3]));
    assert_all_near("a loop and a scan of the same net", &a, &b, 1e-12);
}

/// Loops that torch's exporter wrote out, of modules by hand: the traces of their states' NTK, K and P Pᵀ are torch.func's.
#[test]
fn states_of_unrolled_loops_are_found() {
    let text = std::fs::read_to_string(reference("loops/loops.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() >= 12);
    for (i, case) in cases.iter().enumerate() {
        let (name, file) = (case["name"].as_str().unwrap(), case["file"].as_str().unwrap());
        let graph = reference(&format!("loops/{file}.onnx"));
        let text = format!(
            "[model]\nkind = \"onnx\"\nweights = \"{}\"\n[data]\ninputs = \"inputs.h5:/inputs\"\n",
            graph.display()
        );
        let operators = ["ntk", "parameter", "propagator_gram"];
        let job =
            operators.into_iter().fold(Job::new(text), |job, operator| job.analysis(operator, operator, "trace", ""));
        let shape: Vec<usize> = Case::numbers(&case["inputs_shape"]).iter().map(|&d| d as usize).collect();
        let inputs = ndarray::ArrayD::from_shape_vec(shape, Case::numbers(&case["inputs"])).unwrap();
        let created = kpflow_tests::create(job.path("inputs.h5"));
        created.new_dataset_builder().with_data(&inputs).create("inputs").unwrap();
        created.close().unwrap();
        let results = job.run(1 + i % 2);
        let shape: Vec<usize> = Case::numbers(&case["shape"]).iter().map(|&d| d as usize).collect();
        let [found, right] = [results.shape().iter().product::<i64>(), shape.iter().product::<usize>() as i64];
        assert_eq!(found, right, "{name}");
        for operator in operators {
            let right = case[operator].as_f64().unwrap();
            assert_near(name, results.value(operator), right, 1e-8, right);
        }
    }
}

/// Maps that the user watches by name are read through the state, however they lie: traces of NTK, K and P Pᵀ, as found when every map was transposed.
#[test]
fn watched_maps_are_read_through_the_state() {
    let text = std::fs::read_to_string(reference("loops/loops.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let case = cases.iter().find(|c| c["file"] == "separable_convolutions").unwrap();
    let graph = reference("loops/separable_convolutions.onnx");
    let shape: Vec<usize> = Case::numbers(&case["inputs_shape"]).iter().map(|&d| d as usize).collect();
    for (i, (state, right)) in [
        (r#"["*tanh*"]"#, [3767.2582948011454, 676.3361101153204, 3736.336827661105]),
        (r#"["*swish*", "*tanh*"]"#, [3894.2087538112532, 759.4780769125034, 4264.197839326632]),
        (r#"["conv2d*"]"#, [1911.5954433260936, 1256.1328825242454, 1027.94256776307]),
    ]
    .into_iter()
    .enumerate()
    {
        let model = format!("[model]\nkind = \"onnx\"\nweights = \"{}\"\nstate = {state}\n", graph.display());
        let operators = ["ntk", "parameter", "propagator_gram"];
        let job = Job::new(format!("{model}[data]\ninputs = \"inputs.h5:/inputs\"\n"));
        let job = operators.into_iter().fold(job, |job, operator| job.analysis(operator, operator, "trace", ""));
        let inputs = ndarray::ArrayD::from_shape_vec(shape.clone(), Case::numbers(&case["inputs"])).unwrap();
        let created = kpflow_tests::create(job.path("inputs.h5"));
        created.new_dataset_builder().with_data(&inputs).create("inputs").unwrap();
        created.close().unwrap();
        let results = job.run(1 + i % 2);
        for (operator, right) in operators.into_iter().zip(right) {
            assert_near(state, results.value(operator), right, 1e-10, right);
        }
    }
}

/// Where only the output of a net is watched, K and P are not those of its state, and that is said; the states of loops are watched.
#[test]
fn k_and_p_of_an_output_are_told_apart() {
    let graphs = [("gru", false), ("mlp", true), ("transformer", true), ("scan", false), ("golden_leaky_rnn", false)];
    for (name, through) in graphs {
        let told = kpflow(1, &["info".as_ref(), reference(&format!("onnx/{name}.onnx")).as_os_str()]).success();
        assert_eq!(told.contains("the parameters also act through others"), through, "{name}: {told}");
    }
}
