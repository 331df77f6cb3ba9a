//! What `bad_inputs` cannot say in its table: tokens, and what one rank alone says.

use kpflow_tests::{kpflow, reference, Job};

/// Tokens that no table has, said in the words of the inputs.
#[test]
fn tokens_too_large() {
    let gpt2 = reference("data/gpt2_small.safetensors");
    let job = |x: f64| {
        let job = Job::new(format!(
            "[model]\nkind = \"gpt2\"\nheads = 3\nweights = {gpt2:?}\n[data]\ninputs = \"changed.h5:/inputs\"\n"
        ));
        let file = kpflow_tests::create(job.path("changed.h5"));
        file.new_dataset_builder().with_data(&ndarray::Array2::from_elem((2, 5), x)).create("inputs").unwrap();
        file.close().unwrap();
        job.analysis("t", "ntk", "trace", "")
    };
    job(16777216.0).refused_on(&[1, 4], &["changed.h5", "holds 16777216", "from 0 to 16777215"]);
    job(-1.0).refused_on(&[1], &["changed.h5", "holds -1"]);
    job(11.0).refused_on(&[1], &["gpt2_small.safetensors", "has 11 tokens", "token 11"]);
    job(10.0).run(1);
}

/// What a method cannot do is refused by ranks that have no trajectory too: none waits for the others.
#[test]
fn no_closed_form_and_more_ranks_than_trajectories() {
    let stacked = reference("data/gru_stacked.safetensors");
    let job =
        Job::new(format!("[model]\nkind = \"gru\"\nweights = {stacked:?}\n[data]\ninputs = \"one.h5:/inputs\"\n"));
    let file = kpflow_tests::create(job.path("one.h5"));
    file.new_dataset_builder().with_data(&ndarray::Array3::from_elem((1, 4, 3), 0.5)).create("inputs").unwrap();
    file.close().unwrap();
    let job = job.analysis("t", "ntk", "trace", "method = \"exact\"");
    for ranks in [1, 3] {
        let done = job.attempt(ranks);
        assert_eq!((done.status.code(), done.errors().len()), (Some(2), 1), "on {ranks} ranks: {}", done.stderr);
        assert!(done.errors()[0].contains("\"exact\" is for single recurrences"), "on {ranks} ranks: {}", done.stderr);
    }
}

#[test]
fn one_rank_speaks() {
    let help = kpflow(2, &["--help"]).success();
    assert_eq!(help.matches("Print version").count(), 1, "{help}");
    let version = concat!("kpflow ", env!("CARGO_PKG_VERSION"));
    assert_eq!(kpflow(1, &["-V"]).success().trim(), version);
    // A bug report has the libraries with it.
    let long = kpflow(2, &["--version"]).success();
    let words: Vec<&str> = long.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!((long.lines().next(), &words[..]), (Some(version), &["kpflow", "MPI", "BLAS", "HDF5"][..]), "{long}");
}
