//! `kpflow check` compares the model that runs with what torch computed: it fails where they are
//! not the same.

use kpflow_tests::{golden, kpflow, open_rw, reference, Done, Golden, Job, RECURRENT};
use rten_onnx::onnx::{ModelProto, NodeProto};
use std::path::Path;

fn check(job: &Job, ranks: usize) -> Done {
    kpflow(ranks, &["check".as_ref(), job.write().as_os_str()])
}

/// The check fails because of the outputs: exit 1, one line with these words.
#[track_caller]
fn fails(job: &Job, ranks: &[usize], words: &[&str]) {
    for &ranks in ranks {
        let done = check(job, ranks);
        let all = format!("{}\n{}{}", done.status, done.stdout, done.stderr);
        assert!(!done.status.success() && (ranks > 1 || done.status.code() == Some(1)), "{all}");
        let errors = done.errors();
        assert_eq!(errors.len(), 1, "{all}");
        assert!(errors[0].contains("is not the one whose outputs were recorded"), "{all}");
        assert!(words.iter().all(|w| errors[0].contains(w)), "{words:?} in {all}");
    }
}

/// The first H columns of a state [B, T, N], or all of them: what the layer gives to what follows.
fn outputs(path: &Path, name: &str, hidden: Option<usize>, precision: f64) {
    let state = kpflow_tests::open(golden(&format!("{name}.h5"))).dataset("state").unwrap();
    let state = state.read_dyn::<f64>().unwrap();
    let n = hidden.unwrap_or(state.shape()[2]);
    let mut output = state.slice_axis(ndarray::Axis(2), (0..n).into()).to_owned();
    output.mapv_inplace(|x| (x / precision).round() * precision);
    kpflow_tests::create(path).new_dataset_builder().with_data(&output).create("outputs").unwrap();
}

#[test]
fn recurrent_layers() {
    for name in RECURRENT {
        let data = Golden::open(name).tables();
        let job = Job::new(data.clone() + "outputs = \"o.h5:/outputs\"\n").analysis("t", "ntk", "trace", "");
        outputs(&job.path("o.h5"), name, (name == "lstm").then_some(4), 1e-14);
        for ranks in [1, 3] {
            let text = check(&job, ranks).success();
            assert!(text.contains("ok     output h against what was recorded: "), "{text}");
        }
    }
    let lstm =
        Job::new(Golden::open("lstm").tables() + "outputs = \"o.h5:/outputs\"\n").analysis("t", "ntk", "trace", "");
    outputs(&lstm.path("o.h5"), "lstm", None, 1e-14);
    fails(&lstm, &[1], &["[3, 6, 8] was recorded, and the model that runs makes [3, 6, 4]"]);
}

/// A job of the golden case with a change, and the outputs of the case itself.
fn altered(name: &str, change: &dyn Fn(String) -> String, rest: &str, precision: f64) -> Job {
    let text = change(Golden::open(name).tables() + "outputs = \"o.h5:/outputs\"\n") + rest;
    let job = Job::new(text).analysis("t", "ntk", "trace", "");
    outputs(&job.path("o.h5"), name, (name == "lstm").then_some(4), precision);
    job
}

#[test]
fn another_model_is_found() {
    let replace = |from: &'static str, to: &'static str| {
        move |t: String| {
            assert!(t.contains(from), "{t}");
            t.replace(from, to)
        }
    };
    let words = ["output h against what was recorded", "trajectory ", "tolerance "];
    fails(&altered("rnn_tanh", &replace("\"tanh\"", "\"relu\""), "", 1e-14), &[1, 3], &words);
    fails(&altered("gru", &replace("gru.safetensors", "gru.other.safetensors"), "", 1e-14), &[1], &words);
    fails(&altered("leaky_rnn", &replace("dt = ", "dt = 0.9 # "), "", 1e-14), &[1], &words);
    let drop =
        |t: String| t.lines().filter(|l| !l.starts_with("initial_state")).fold(String::new(), |a, l| a + l + "\n");
    fails(&altered("gru_h0", &drop, "", 1e-14), &[2], &words);
    // Differences of a thousandth are found too, and those of rounding to single precision are
    // none.
    fails(&altered("gru", &|t| t, "", 1e-2), &[1], &words);
    check(&altered("gru", &|t| t, "", 1e-7), 1).success();
    let single = check(&altered("gru", &|t| t, "[compute]\nprecision = \"f32\"\n", 1e-7), 2).success();
    assert!(single.contains("in single precision, tolerance 1e-4"), "{single}");
    // Whatever the job watches and trains.
    let watched = |t: String| t.replacen("[data]", "state = \"sites\"\nparameters = [\"weight_hh*\"]\n[data]", 1);
    check(&altered("gru", &watched, "", 1e-14), 3).success();
    fails(&altered("rnn_tanh", &|t| replace("\"tanh\"", "\"relu\"")(watched(t)), "", 1e-14), &[1], &words);
}

fn attributes<'a>(model: &'a mut ModelProto, operator: &str) -> &'a mut NodeProto {
    let nodes = &mut model.graph.as_mut().unwrap().node;
    nodes.iter_mut().find(|n| n.op_type.as_deref() == Some(operator)).unwrap()
}

/// torch's own outputs of these graphs lie beside them.
#[test]
fn graphs() {
    let job = |folder: &str, name: &str, change: &dyn Fn(&mut ModelProto), rest: &str| {
        let (graph, data) = (reference(&format!("{folder}/{name}.onnx")), reference(&format!("{folder}/{name}.h5")));
        let data = data.display();
        let text = format!(
            "[model]\nkind = \"onnx\"\nweights = \"g.onnx\"\n{rest}[data]\ninputs = \"{data}:/inputs\"\noutputs = \"{data}:/output\"\n"
        );
        let job = Job::new(text).analysis("t", "ntk", "trace", "");
        let mut model = ModelProto::parse_buf(&std::fs::read(graph).unwrap()).unwrap();
        change(&mut model);
        std::fs::write(job.path("g.onnx"), model.write_buf().unwrap()).unwrap();
        job
    };
    for name in ["gru", "transformer", "mlp", "cnn"] {
        check(&job("onnx", name, &|_| {}, ""), 1).success();
    }
    check(&job("onnx", "transformer", &|_| {}, "state = \"sites\"\n"), 3).success();
    let words = ["output ", " against what was recorded", "trajectory "];
    let eps = |m: &mut ModelProto| {
        let epsilon =
            attributes(m, "LayerNormalization").attribute.iter_mut().find(|a| a.name.as_deref() == Some("epsilon"));
        epsilon.unwrap().f = Some(1e-2);
    };
    fails(&job("onnx", "transformer", &eps, ""), &[1, 2], &words);
    fails(&job("onnx", "transformer", &eps, "state = \"sites\"\n"), &[1], &words);
    let approximate = |m: &mut ModelProto| {
        let node = attributes(m, "Gelu");
        let other = if node.attribute.iter().any(|a| a.s.as_deref() == Some("tanh")) { "none" } else { "tanh" };
        node.attribute.retain(|a| a.name.as_deref() != Some("approximate"));
        let mut attribute = rten_onnx::onnx::AttributeProto::default();
        (attribute.name, attribute.s) = (Some("approximate".into()), Some(other.into()));
        node.attribute.push(attribute);
    };
    fails(&job("operators", "gelu", &approximate, ""), &[1], &words);
    fails(&job("operators", "geluT", &approximate, ""), &[1], &words);
    let weight = |m: &mut ModelProto| {
        let tensors = &mut m.graph.as_mut().unwrap().initializer;
        let raw = tensors.iter_mut().find_map(|t| t.raw_data.as_mut().filter(|r| r.borrow().len() > 16)).unwrap();
        // The sign of the first number, which is a float32.
        raw.get_mut()[3] ^= 0x80;
    };
    fails(&job("onnx", "mlp", &weight, ""), &[1], &words);
}

/// What an export writes beside its outputs: checksums of the weights and the inputs, and the
/// tolerance.
#[test]
fn records_belong_to_weights_and_inputs() {
    let job = altered("gru", &|t| t, "", 1e-14);
    let record = |name: &str, value: i64| {
        let set = open_rw(job.path("o.h5")).dataset("outputs").unwrap();
        let attribute = set.attr(name).or_else(|_| set.new_attr::<i64>().create(name)).unwrap();
        attribute.write_scalar(&value).unwrap();
    };
    // zlib.crc32 of the file, and of the inputs' numbers as tests/python makes them.
    let crc = |bytes: &[u8]| -> u32 {
        let mut sum = u32::MAX;
        for b in bytes {
            sum ^= u32::from(*b);
            (0..8).for_each(|_| sum = if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 });
        }
        !sum
    };
    let inputs = kpflow_tests::open(golden("gru.h5")).dataset("inputs").unwrap().read_raw::<f64>().unwrap();
    let of_one = crc(&inputs.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
    record("inputs_crc32", crc(&of_one.to_le_bytes()).into());
    record("weights_crc32", crc(&std::fs::read(golden("gru.safetensors")).unwrap()).into());
    let text = check(&job, 2).success();
    assert!(text.contains("against what was recorded") && !text.contains("has changed since"), "{text}");
    record("weights_crc32", 1);
    assert!(check(&job, 1).success().contains("the file of the weights has changed since"));
    record("inputs_crc32", 1);
    let done = check(&job, 1);
    assert_eq!(done.status.code(), Some(2));
    assert!(done.errors()[0].contains("dataset /outputs was recorded of other inputs than the job's"), "{done:?}");
    // Of weights that were changed a failure says so.
    let other = altered("gru", &|t| t.replace("gru.safetensors", "gru.other.safetensors"), "", 1e-14);
    std::fs::copy(job.path("o.h5"), other.path("o.h5")).unwrap();
    let set = open_rw(other.path("o.h5")).dataset("outputs").unwrap();
    set.attr("inputs_crc32").unwrap().write_scalar(&i64::from(crc(&of_one.to_le_bytes()))).unwrap();
    drop(set);
    fails(&other, &[1], &["has changed since its outputs were recorded"]);
}
