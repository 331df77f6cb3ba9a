//! Every kind and every graph against values of torch.func (`tests/reference/make_kinds.py`, `make_onnx.py`): the state, both Jacobian products,
//! NTK products on both sides, trace and norm; and `kpflow check` on all of them.

use kpflow_tests::{assert_all_near, example, graph_job, kind_job, kpflow, reference, Golden, Job, GRAPHS, KINDS};

fn against(job: &Job, arguments: &[std::path::PathBuf], lines: usize) {
    let path = job.write();
    let mut all = vec![path.as_os_str()];
    all.extend(arguments.iter().map(|a| a.as_os_str()));
    let text = example("against", 1, &all).success();
    assert_eq!(text.matches("ok  ").count(), lines, "{text}");
}

const TRACE: &str = "method = \"hutchinson\"\nmax_matvecs = 16\nrtol = 0.0";

#[test]
fn kinds_agree_with_torch() {
    for name in KINDS {
        let file = |ending: &str| reference(&format!("data/{name}.{ending}"));
        let job = kind_job(name).analysis("trace", "ntk", "trace", TRACE);
        // State, NTK on two sides, JVP, VJP, trace, Frobenius norm, number of parameters.
        against(&job, &[file("h5"), file("tangent.safetensors"), file("vjp.safetensors")], 8);
    }
}

#[test]
fn graphs_agree_with_torch() {
    for name in GRAPHS {
        let job = graph_job(name, "", "f32").analysis("trace", "ntk", "trace", TRACE);
        // State, NTK on two sides, trace, number of parameters.
        against(&job, &[reference(&format!("onnx/{name}.h5"))], 5);
    }
}

/// The same in single precision, as a user's job does it: 1e-6 of torch's numbers.
#[test]
fn graphs_in_single_precision() {
    for name in GRAPHS {
        let matrix = graph_job(name, "", "f32").analysis("m", "ntk", "matrix", "").run(1).read("m", "matrix");
        let file = kpflow_tests::open(reference(&format!("onnx/{name}.h5")));
        let read = |name: &str| file.dataset(name).unwrap().read_raw::<f64>().unwrap();
        let (probes, images) = (read("probe"), read("reference/ntk/apply"));
        let n = probes.len() / 3;
        let row = |x: &[f64], i: usize| matrix[i * n..][..n].iter().zip(x).map(|(a, x)| a * x).sum::<f64>();
        let found: Vec<f64> = probes.chunks(n).flat_map(|x| (0..n).map(move |i| row(x, i))).collect();
        assert_all_near(name, &found, &images, 1e-6);
    }
}

/// One small graph for each operator that torch exports (`make_operators.py`).
#[test]
fn operators_agree_with_torch() {
    let files = std::fs::read_dir(reference("operators")).unwrap().map(|f| f.unwrap().path());
    let mut jobs: Vec<_> = files.filter(|f| f.extension().is_some_and(|e| e == "toml")).collect();
    jobs.sort();
    assert!(jobs.len() > 75, "{} cases", jobs.len());
    for job in jobs {
        let text = example("against", 1, &[job.as_os_str(), job.with_extension("h5").as_os_str()]).success();
        assert_eq!(text.matches("ok  ").count(), 5, "{}: {text}", job.display());
    }
}

/// The golden nets as graphs are the native kinds: all operators on the golden probes, on any number of ranks; leaky_rnn, which is no operator of
/// ONNX, as a loop that is unrolled in time.
#[test]
fn golden_graphs_are_the_native_kinds() {
    for name in ["gru", "gru_h0", "lstm", "rnn_tanh", "rnn_relu_h0", "leaky_rnn"] {
        let (native, graph) = (Golden::open(name).tables(), reference(&format!("onnx/golden_{name}.onnx")));
        let data = &native[native.find("[data]").unwrap()..];
        let state = match name {
            "lstm" => "state = [\"*.h\", \"*.c\"]",
            // The repeated block is found, and what its turns hand on is the state.
            "leaky_rnn" => "",
            _ => "state = [\"*.h\"]",
        };
        let text = format!("[model]\nkind = \"onnx\"\nweights = \"{}\"\n{state}\n{data}", graph.display());
        let job = Job::new(text).analysis("trace", "ntk", "trace", TRACE);
        let path = job.write();
        for ranks in [1, 3] {
            let text = example("golden_ranks", ranks, &[path.as_os_str()]).success();
            assert_eq!(text.matches("reference/").count(), 12, "{name} on {ranks} ranks: {text}");
        }
    }
}

#[test]
fn checks_pass_on_every_kind() {
    let kinds = KINDS.iter().map(|name| kind_job(name));
    let graphs = GRAPHS.iter().map(|name| graph_job(name, "", "f64"));
    let nets = ["mlp_tanh", "transformer"].map(|name| Job::new(Golden::open(name).tables()));
    for (i, job) in kinds.chain(graphs).chain(nets).enumerate() {
        let job = job.analysis("trace", "ntk", "trace", "");
        let path = job.write();
        let text = kpflow(1 + i % 2, &["check".as_ref(), path.as_os_str()]).success();
        assert!(!text.contains("FAILED") && text.contains("gradient step"), "{text}");
    }
}
