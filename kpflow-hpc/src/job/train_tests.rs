use super::{Optimizer, TrainData, TrainJob};
use std::path::Path;

const GOOD: &str = "[model]\nkind = 'gru'\nhidden = 8\n[task]\nname = 'memory_pro'\n\
    [training]\nlearning_rate = 1e-3\nsteps = 10\n";

fn parse(text: &str) -> Result<TrainJob, String> {
    TrainJob::parse(Path::new("dir/train.toml"), text).map_err(|e| {
        assert_eq!(e.exit_code(), 2);
        e.to_string()
    })
}

#[test]
fn defaults() {
    let job = parse(GOOD).unwrap();
    assert_eq!(
        (job.batch, job.clip, job.seed, job.directory.as_path()),
        (Some(32), None, 0, Path::new("dir/training"))
    );
    assert_eq!(job.optimizer, Optimizer::Adam { betas: [0.9, 0.999], eps: 1e-8 });
    let TrainData::Task(name, task) = &job.data else { panic!() };
    assert_eq!((*name, task.sizes().steps), ("memory_pro", 90));
    let kept = |text: &str| (0..=10).filter(|&s| parse(text).unwrap().keeps(s)).collect::<Vec<_>>();
    assert_eq!(kept(GOOD), [10]);
    assert_eq!(kept(&format!("{GOOD}checkpoints = [0, 3]\n")), [0, 3, 10]);
    assert_eq!(kept(&format!("{GOOD}every = 4\n")), [0, 4, 8, 10]);
}

#[test]
fn what_may_differ_when_a_training_goes_on() {
    let fingerprint = |text: &str| parse(text).unwrap().fingerprint;
    let same = fingerprint(GOOD);
    assert_eq!(fingerprint(&format!("{}\n[output]\ndirectory = 'x'\n", GOOD.replace("= 10", "= 20\nevery = 2"))), same);
    assert_ne!(fingerprint(&GOOD.replace("1e-3", "1e-2")), same);
    assert_ne!(fingerprint(&GOOD.replace("= 8", "= 9")), same);
}

#[test]
fn every_mistake_is_named_with_what_would_be_right() {
    let cases = [
        (GOOD.replace("hidden", "hiden"), "in [model]: unknown key \"hiden\"; did you mean \"hidden\"?"),
        (GOOD.replace("hidden = 8", ""), "in [model]: hidden is missing"),
        (GOOD.replace("'gru'", "'grru'"), "unknown kind \"grru\"; did you mean \"gru\"?"),
        (GOOD.replace("'gru'", "'transformer'"), "it is one of rnn, leaky_rnn, gru, lstm"),
        (GOOD.replace("'gru'", "'leaky_rnn'"), "dt of a leaky_rnn is required"),
        (GOOD.replace("'gru'", "'gru'\ndt = 0.1"), "dt is not for kind = \"gru\"; it is for leaky_rnn"),
        (GOOD.replace("'gru'", "'rnn'\nactivation = 'tan'"), "did you mean \"tanh\"?"),
        (GOOD.replace("'gru'", "'rnn'\nactivation = 'linear'"), "\"tanh\" or \"relu\""),
        (GOOD.replace("= 8", "= 0"), "hidden = 0 is too small; it is at least 1"),
        (GOOD.replace("= 8", "= 99999999"), "hidden = 99999999 is too large"),
        (GOOD.replace("'memory_pro'", "'memory_pr'"), "unknown name \"memory_pr\"; did you mean \"memory_pro\"?"),
        (GOOD.replace("name =", "nam ="), "in [task]: unknown key \"nam\"; did you mean \"name\"?"),
        (GOOD.replace("name = 'memory_pro'", ""), "in [task]: name is missing"),
        (GOOD.replace("'memory_pro'", "'memory_pro'\nbits = 3"), "unknown key \"bits\""),
        (GOOD.replace("'memory_pro'", "'memory_pro'\nstimulus = 1.5"), "stimulus is a float; it is an integer"),
        (GOOD.replace("'memory_pro'", "'memory_pro'\nvary = 30"), "in [task]: vary = 30 leaves no stimulus"),
        (GOOD.replace("'memory_pro'", "'flip_flop'\nprobability = 2"), "it is from 0 to 1"),
        (GOOD.replace("[task]\nname = 'memory_pro'\n", ""), "neither [task] nor [data]"),
        (format!("{GOOD}[data]\ninputs = 'x.h5'\n"), "[task] and [data] both"),
        (GOOD.replace("[task]\nname = 'memory_pro'", "[data]\ninputs = 'x.h5'"), "in [data]: targets is missing"),
        (GOOD.replace("steps = 10", ""), "in [training]: steps is missing"),
        (GOOD.replace("learning_rate = 1e-3", ""), "learning_rate is missing"),
        (GOOD.replace("1e-3", "-1e-3"), "learning_rate = -0.001 is not a positive number"),
        (GOOD.replace("1e-3", "nan"), "learning_rate = NaN is not"),
        (format!("{GOOD}optimizer = 'adm'\n"), "did you mean \"adam\"?"),
        (format!("{GOOD}momentum = 0.9\n"), "momentum is not for optimizer = \"adam\"; it is for sgd"),
        (format!("{GOOD}optimizer = 'sgd'\neps = 0.9\n"), "eps is not for optimizer = \"sgd\"; it is for adam"),
        (format!("{GOOD}betas = [0.9, 1.0]\n"), "betas are two numbers"),
        (format!("{GOOD}batch = 0\n"), "batch = 0 is too small"),
        (format!("{GOOD}clip = 0\n"), "clip = 0 is not a positive number"),
        (format!("{GOOD}checkpoints = [11]\n"), "checkpoints names step 11; they are from 0 to steps = 10"),
        (
            format!("{GOOD}[compute]\nprecision = 'f16'\n"),
            "unknown precision \"f16\"; sums of so few digits would tell nothing",
        ),
        (format!("{GOOD}[compute]\nseed = -1\n"), "seed = -1 is too small"),
        (format!("{GOOD}[output]\ndirectry = 'x'\n"), "did you mean \"directory\"?"),
        (String::new(), "[model] is missing"),
    ];
    for (text, expected) in cases {
        let error = parse(&text).unwrap_err();
        assert!(error.starts_with("dir/train.toml: ") && error.contains(expected), "{error}\nlacks {expected}");
        assert!(!error.contains('\n'));
    }
}

#[test]
fn no_prefix_of_a_job_panics() {
    assert!((0..GOOD.len()).filter(|&end| parse(&GOOD[..end]).is_ok()).count() < GOOD.len());
}
