//! Checkpoints as training scripts save them (`tests/reference/make_checkpoints.py`): the golden GRU's numbers, or a plain refusal.

use kpflow_tests::{assert_near, golden, kpflow, reference, Golden, Job};

fn job(file: &str, lines: &str) -> Job {
    Job::new(format!(
        "[model]\nkind = \"gru\"\nweights = \"{}\"\n{lines}\n[data]\ninputs = \"{}:/inputs\"\n",
        reference(&format!("checkpoints/{file}")).display(),
        golden("gru.h5").display()
    ))
    .analysis("trace", "ntk", "trace", "method = \"exact\"")
}

#[test]
fn every_form_of_the_same_weights() {
    let exact = Golden::open("gru").number("reference/ntk/trace");
    for (file, lines) in [
        ("nested.pt", "prefix = \"rnn.\""),
        ("nested.pt", "prefix = \"model_state_dict.rnn.\""),
        ("views.pth", ""),
        ("two.pt", "prefix = \"actor.\""),
        ("lightning.ckpt", "prefix = \"model.rnn.\""),
        ("sharded.safetensors.index.json", "prefix = \"rnn.\""),
        ("sharded-00001-of-00002.safetensors", "prefix = \"rnn.\""),
        ("sharded-*.safetensors", "prefix = \"rnn.\""),
    ] {
        let found = job(file, lines).run(1).number("trace", "value");
        assert_near(&format!("{file} {lines}"), found, exact, 1e-12);
    }
    // On several ranks too, and as one of several stages.
    let found = job("nested.pt", "prefix = \"rnn.\"").run(3).number("trace", "value");
    assert_near("three ranks", found, exact, 1e-10);
    let half = job("half.bin", "").run(1).number("trace", "value");
    assert!((half / exact - 1.0).abs() < 0.02 && half != exact, "{half} {exact}");
    let critic = job("two.pt", "prefix = \"critic.\"").run(1).number("trace", "value");
    assert!((critic / exact - 1.0).abs() > 0.02, "{critic}");
}

#[test]
fn what_holds_no_plain_weights_is_refused() {
    for (file, lines, words) in [
        ("two.pt", "", "has several models, actor, critic; say which, such as prefix = \"actor.\""),
        ("legacy.pt", "", "is a pickle as torch wrote it before version 1.6"),
        ("module.pt", "", "holds a whole object of torch.nn.modules.rnn.GRU, not tensors; save its state_dict()"),
        ("script.pt", "", "is a TorchScript archive; save torch.jit.load(FILE).state_dict()"),
        ("code.pt", "", "has no tensor; a checkpoint holds a state_dict"),
        (
            "nested.pt",
            "prefix = \"gru.\"",
            "has no tensor that begins with \"gru.\"; it has model_state_dict.rnn.bias_hh_l0",
        ),
        ("sharded-00001-of-00002.safetensors", "", "did you mean prefix = \"rnn.\"?"),
    ] {
        let done = job(file, lines).attempt(1);
        assert_eq!(done.status.code(), Some(2), "{file}: {}", done.stderr);
        let errors = done.errors();
        assert!(errors.len() == 1 && errors[0].contains(words), "{file}: {errors:?}");
    }
    assert!(!std::path::Path::new("executed").exists());
}

#[test]
fn archives_that_are_cut_or_damaged_are_errors() {
    let whole = std::fs::read(reference("checkpoints/nested.pt")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.pt");
    let text = std::fs::read_to_string(job("nested.pt", "prefix = \"rnn.\"").write()).unwrap();
    let text = text.replace(&reference("checkpoints/nested.pt").display().to_string(), "w.pt");
    let job = dir.path().join("job.toml");
    std::fs::write(&job, text).unwrap();
    let look = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let done = kpflow(1, &["info".as_ref(), path.as_os_str()]);
        assert!(matches!(done.status.code(), Some(0 | 2)), "{} {}", done.status, done.stderr);
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
        done.status.code()
    };
    for part in 1..12 {
        assert_eq!(look(&whole[..whole.len() * part / 12]), Some(2));
    }
    // A byte wrong anywhere: read all the same, or one line.
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        look(&bytes);
    }
    // Half of a set is none.
    let shard = dir.path().join("w-00001-of-00002.safetensors");
    std::fs::copy(reference("checkpoints/sharded-00001-of-00002.safetensors"), &shard).unwrap();
    let done = kpflow(1, &["info".as_ref(), shard.as_os_str()]);
    assert!(
        done.stderr.contains("is one of 2 files of a checkpoint, and w-00002-of-00002.safetensors is missing"),
        "{}",
        done.stderr
    );
}
