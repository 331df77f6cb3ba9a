//! Every mistake of a user: one clear line, exit 2, on one rank and on four, and no rank left hanging.

use kpflow_tests::{golden, kpflow, Golden, Job};
use safetensors::tensor::{Dtype, TensorView};
use std::path::Path;

const TRACE: &str = "[[analysis]]\nname = \"t\"\nquantity = \"trace\"\n";

/// Runs what is wrong alone and on four ranks; the line has to hold all of `words`.
#[track_caller]
fn refused(job: &Job, words: &[&str]) {
    job.refused_on(&[1, 4], words);
}

/// As [`refused`], alone: for job files, which all ranks read alike.
#[track_caller]
fn refused_alone(job: &Job, words: &[&str]) {
    job.refused_on(&[1], words);
}

/// The text of a good job on the golden GRU, with one piece replaced.
fn gru(from: &str, to: &str) -> Job {
    let text = Golden::open("gru").tables() + TRACE;
    assert!(text.contains(from), "{text}");
    Job::new(text.replace(from, to))
}

/// The golden GRU's weights, with a change.
fn weights(path: &Path, change: impl Fn(&str, &mut Vec<f64>, &mut Vec<usize>) -> bool) {
    let bytes = std::fs::read(golden("gru.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut kept = Vec::new();
    for (name, view) in tensors.tensors() {
        let mut data: Vec<f64> = view.data().chunks(8).map(|c| f64::from_le_bytes(c.try_into().unwrap())).collect();
        let mut shape = view.shape().to_vec();
        if change(&name, &mut data, &mut shape) {
            kept.push((name, data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>(), shape));
        }
    }
    let views =
        kept.iter().map(|(name, data, shape)| (name, TensorView::new(Dtype::F64, shape.clone(), data).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
}

fn with_weights(change: impl Fn(&str, &mut Vec<f64>, &mut Vec<usize>) -> bool) -> Job {
    let job = gru(golden("gru.safetensors").to_str().unwrap(), "changed.safetensors");
    weights(&job.path("changed.safetensors"), change);
    job
}

fn with_inputs(change: impl Fn(&mut ndarray::Array3<f64>)) -> Job {
    let golden = Golden::open("gru");
    let [b, t, _] = golden.shape;
    let data = golden.read("inputs");
    let mut array = ndarray::Array3::from_shape_vec((b, t, data.len() / b / t), data).unwrap();
    change(&mut array);
    let job = gru(kpflow_tests::golden("gru.h5").to_str().unwrap(), "changed.h5");
    let file = hdf5::File::create(job.path("changed.h5")).unwrap();
    file.new_dataset_builder().with_data(&array).create("inputs").unwrap();
    file.close().unwrap();
    job
}

#[test]
fn what_is_left_as_it_was_runs() {
    with_weights(|_, _, _| true).run(1);
    with_inputs(|_| {}).run(4);
}

#[test]
fn missing_files() {
    refused(&gru("gru.safetensors", "gruu.safetensors"), &["gruu.safetensors"]);
    refused(&gru("gru.h5", "gruu.h5"), &["gruu.h5"]);
    refused(&gru(":/inputs", ":/input"), &["gru.h5", "/input"]);
    for ranks in [1, 4] {
        let done = kpflow(ranks, &["run", "/nowhere/job.toml"]);
        assert!(!done.status.success());
        assert_eq!(done.errors().len(), 1, "{}", done.stderr);
        assert!(done.errors()[0].contains("/nowhere/job.toml"));
    }
}

#[test]
fn files_of_another_kind() {
    let job = gru(golden("gru.safetensors").to_str().unwrap(), "text.safetensors");
    std::fs::write(job.path("text.safetensors"), "these are no weights").unwrap();
    refused(&job, &["text.safetensors", "safetensors"]);
    let job = gru(golden("gru.h5").to_str().unwrap(), "text.h5");
    std::fs::write(job.path("text.h5"), "these are no inputs").unwrap();
    refused(&job, &["text.h5", "HDF5"]);
}

#[test]
fn wrong_shapes() {
    // As if transposed, and cut off.
    refused(
        &with_weights(|name, _, shape| {
            if name.contains("weight_hh") {
                shape.reverse();
            }
            true
        }),
        &["weight_hh", "[5, 15]"],
    );
    let short = |name: &str, data: &mut Vec<f64>, shape: &mut Vec<usize>| {
        if name.contains("bias_ih") {
            data.pop();
            shape[0] -= 1;
        }
        true
    };
    refused(&with_weights(short), &["bias_ih", "[14]", "[15]"]);
    let narrow = Golden::open("lstm").tables();
    let lstm_inputs = narrow.split("inputs = ").nth(1).unwrap().lines().next().unwrap().trim_matches('"').to_string();
    // rnn_relu_h0 reads two numbers a step, these have three.
    let text = Golden::open("rnn_relu_h0").tables();
    let own = text.split("inputs = ").nth(1).unwrap().lines().next().unwrap().trim_matches('"').to_string();
    refused(&Job::new(text.replace(&own, &lstm_inputs) + TRACE), &["lstm.h5", "[B, 6, 3]", "[B, T, 2]"]);
    // The gates of another kind.
    refused(&gru("kind = \"gru\"", "kind = \"lstm\""), &["weight_hh", "[15, 5]"]);
}

/// Axes too few or without length, and tokens that no table has, said in the words of the inputs.
#[test]
fn inputs_without_numbers_and_tokens_too_large() {
    let of_shape = |kind: &str, weights: &Path, shape: &[usize], x: f64| {
        let job = Job::new(format!(
            "[model]\nkind = \"{kind}\"\nweights = {weights:?}\n[data]\ninputs = \"changed.h5:/inputs\"\n{TRACE}"
        ));
        let file = hdf5::File::create(job.path("changed.h5")).unwrap();
        file.new_dataset_builder().with_data(&ndarray::ArrayD::from_elem(shape, x)).create("inputs").unwrap();
        file.close().unwrap();
        job
    };
    let gru = golden("gru.safetensors");
    let empty = "it should hold numbers, its first axis the trajectory";
    refused(&of_shape("gru", &gru, &[4, 6, 0], 0.0), &["changed.h5", "[4, 6, 0]", empty]);
    refused_alone(&of_shape("gru", &gru, &[0, 6, 3], 0.0), &["changed.h5", "[0, 6, 3]", empty]);
    refused_alone(&of_shape("gru", &gru, &[4], 0.0), &["changed.h5", "shape [B];", "reads [B, T, 3]"]);
    let gpt2 = kpflow_tests::reference("data/gpt2_small.safetensors");
    let job = |x: f64| of_shape("gpt2\"\nheads = 3\nprefix = \"", &gpt2, &[2, 5], x);
    refused(&job(16777216.0), &["changed.h5", "holds 16777216", "from 0 to 16777215"]);
    refused_alone(&job(-1.0), &["changed.h5", "holds -1"]);
    refused_alone(&job(11.0), &["gpt2_small.safetensors", "has 11 tokens", "token 11"]);
    job(10.0).run(1);
}

#[test]
fn missing_tensors() {
    refused(&with_weights(|name, _, _| !name.contains("weight_hh")), &["weight_hh"]);
    refused(&with_weights(|name, _, _| !name.contains("weight_ih")), &["weight_ih"]);
    refused(&gru("kind = \"gru\"", "kind = \"gru\"\nprefix = \"rnn.\""), &["rnn."]);
}

#[test]
fn numbers_that_are_none() {
    for bad in [f64::NAN, f64::INFINITY] {
        let job = with_weights(|name, data, _| {
            if name.contains("weight_hh") {
                data[7] = bad;
            }
            true
        });
        refused(&job, &["changed.safetensors", "weight_hh", "[1, 2]"]);
    }
    // In the last trajectory: with four ranks only the last one reads it.
    refused(&with_inputs(|x| x[[3, 2, 1]] = f64::NAN), &["changed.h5", "[3, 2, 1]", "NaN"]);
    refused(&with_inputs(|x| x[[0, 0, 0]] = f64::NEG_INFINITY), &["changed.h5", "[0, 0, 0]", "inf"]);
}

#[test]
fn wrong_words() {
    refused(&gru("kind =", "knid ="), &["job.toml", "knid", "kind"]);
    refused_alone(&gru("\"gru\"", "\"grue\""), &["job.toml", "grue", "gru"]);
    refused_alone(&gru("quantity = \"trace\"", "quantity = \"trase\""), &["job.toml", "trase", "trace"]);
    refused_alone(&gru("[[analysis]]", "[[analysis]]\noperator = \"nkt\""), &["job.toml", "nkt", "ntk"]);
    refused_alone(
        &gru("[[analysis]]", "[[analysis]]\nmethod = \"hutchinsen\""),
        &["job.toml", "hutchinsen", "hutchinson"],
    );
    refused_alone(&gru("[data]", "[datas]"), &["job.toml", "datas", "data"]);
    refused(&gru("name = \"t\"", "name = \"a/b\""), &["job.toml", "a/b"]);
    refused_alone(&gru("name = \"t\"", "name = \"\""), &["job.toml"]);
    refused_alone(&gru("name = \"t\"", ""), &["job.toml", "name"]);
}

#[test]
fn wrong_jobs() {
    refused(&gru("[model]", "[model"), &["job.toml", "line 1"]);
    refused_alone(&Job::new(Golden::open("gru").tables()), &["job.toml", "[[analysis]]"]);
    refused_alone(&Job::new(Golden::open("gru").tables() + TRACE + TRACE), &["job.toml", "\"t\""]);
    refused_alone(&Job::new(TRACE), &["job.toml", "[model]"]);
    refused_alone(&gru("[[analysis]]", "[[analysis]]\nrtol = -1"), &["job.toml", "rtol"]);
    refused_alone(&gru("[[analysis]]", "[[analysis]]\nmax_matvecs = 0"), &["job.toml", "max_matvecs"]);
    refused_alone(&gru("[[analysis]]", "[[analysis]]\nmax_matvecs = \"many\""), &["job.toml", "max_matvecs"]);
    refused_alone(&gru("[[analysis]]", "[compute]\nprecision = \"f16\"\n[[analysis]]"), &["job.toml", "f16"]);
    refused(&gru("[[analysis]]", "[output]\nfile = \"/nowhere/results.h5\"\n[[analysis]]"), &["/nowhere/results.h5"]);
}

/// What would replace the user's own weights, or inputs, is refused.
#[test]
fn outputs_that_would_destroy() {
    let job = with_inputs(|_| {}).line("[output]\nfile = \"changed.h5\"");
    let before = std::fs::read(job.path("changed.h5")).unwrap();
    refused(&job, &["changed.h5"]);
    assert_eq!(std::fs::read(job.path("changed.h5")).unwrap(), before);
}

#[test]
fn wrong_usage() {
    let usages: [&[&str]; 5] =
        [&[], &["rum"], &["run"], &["run", "--treads", "2", "job.toml"], &["run", "a.toml", "b.toml"]];
    for arguments in usages {
        for ranks in [1, 4] {
            let done = kpflow(ranks, arguments);
            let all = format!("{arguments:?} on {ranks}: {}{}", done.stdout, done.stderr);
            assert!(!done.status.success() && done.errors().len() == 1 && !all.contains("panicked"), "{all}");
            assert!(ranks > 1 || done.status.code() == Some(2), "{all}");
        }
    }
    let help = kpflow(2, &["--help"]).success();
    assert_eq!(help.matches("Print version").count(), 1, "one rank speaks: {help}");
    let version = kpflow(1, &["--version"]).success();
    assert_eq!(version.trim(), concat!("kpflow ", env!("CARGO_PKG_VERSION")));
}
