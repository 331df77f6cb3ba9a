//! Checkpoints as training scripts save them (`tests/reference/make_checkpoints.py`): the golden GRU's numbers, or a plain refusal.

use kpflow_tests::{assert_near, golden, reference, Golden, Job};

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
    let exact = Golden::open("gru").reference("ntk/trace");
    for (file, lines) in [
        ("nested.pt", "prefix = \"rnn.\""),
        ("nested.pt", "prefix = \"model_state_dict.rnn.\""),
        ("views.pth", ""),
        ("numbers.pt", ""),
        ("two.pt", "prefix = \"actor.\""),
        ("lightning.ckpt", "prefix = \"model.rnn.\""),
        ("sharded.safetensors.index.json", "prefix = \"rnn.\""),
        ("sharded-00001-of-00002.safetensors", "prefix = \"rnn.\""),
        ("sharded-*.safetensors", "prefix = \"rnn.\""),
    ] {
        let found = job(file, lines).run(1).value("trace");
        assert_near(&format!("{file} {lines}"), found, exact, 1e-12, exact);
    }
    // On several ranks too, and as one of several stages.
    let found = job("nested.pt", "prefix = \"rnn.\"").run(3).value("trace");
    assert_near("three ranks", found, exact, 1e-10, exact);
    let half = job("half.bin", "").run(1).value("trace");
    assert!((half / exact - 1.0).abs() < 0.02 && half != exact, "{half} {exact}");
    let critic = job("two.pt", "prefix = \"critic.\"").run(1).value("trace");
    assert!((critic / exact - 1.0).abs() > 0.02, "{critic}");
}

#[test]
fn what_holds_no_plain_weights_is_refused() {
    for (file, lines, words) in [
        ("two.pt", "", "has several models, actor, critic; say which, such as prefix = \"actor.\""),
        ("legacy.pt", "", "is a pickle as torch wrote it before version 1.6"),
        ("module.pt", "", "holds a whole object of torch.nn.modules.rnn.GRU, not tensors; save its state_dict()"),
        ("sparse.pt", "", "has weight_hh_l0 as a torch._utils._rebuild_sparse_tensor, which is no plain tensor"),
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
