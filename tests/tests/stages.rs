//! Training runs: a job whose weights are several checkpoints is an ordinary run of each, and alignments between them.

use hdf5::types::VarLenUnicode;
use kpflow_tests::{assert_near, command, finished, golden, kpflow, Background, Golden, Job, Results};
use std::path::Path;
use std::time::Duration;

/// What is asked of every stage.
const ANALYSES: [[&str; 4]; 4] = [
    ["trace", "ntk", "trace", "method = \"hutchinson\"\nrtol = 0\nmax_matvecs = 20"],
    ["rank", "ntk", "effective_rank", ""],
    ["modes", "parameter", "eigenpairs", "count = 3"],
    ["singular", "propagator", "norm", ""],
];

/// A job on these weights, `weights` and all.
fn job(weights: &str, rest: &str) -> Job {
    let text = Golden::open("gru").tables();
    let begins = text.find("weights").unwrap();
    let ends = begins + text[begins..].find('\n').unwrap();
    let job = Job::new(format!("{}{weights}{}", &text[..begins], &text[ends..])).line(rest);
    ANALYSES.iter().fold(job, |job, [name, operator, quantity, rest]| job.analysis(name, operator, quantity, rest))
}

/// Three checkpoints of a training run: step2, step10, step30.
fn checkpoints(at: &Path) {
    std::fs::create_dir_all(at).unwrap();
    std::fs::copy(golden("gru.safetensors"), at.join("step2.safetensors")).unwrap();
    std::fs::copy(golden("gru.other.safetensors"), at.join("step10.safetensors")).unwrap();
    let mut bytes = std::fs::read(golden("gru.safetensors")).unwrap();
    // The sign of the last weight.
    *bytes.last_mut().unwrap() ^= 0x80;
    std::fs::write(at.join("step30.safetensors"), bytes).unwrap();
}

const STAGES: [&str; 3] = ["step2", "step10", "step30"];

/// A training run by its pattern.
fn run(rest: &str) -> Job {
    let job = job("weights = \"run/*.safetensors\"", rest);
    checkpoints(&job.path("run"));
    job
}

fn results(job: &Job, stage: &str) -> Results {
    Results::open(&job.path(&format!("results.{stage}.h5")))
}

fn with_stage(results: &Results, analysis: &str) -> String {
    results.group(analysis).attr("with_stage").unwrap().read_scalar::<VarLenUnicode>().unwrap().to_string()
}

#[test]
fn a_stage_is_an_ordinary_run() {
    let alone: Vec<Job> = STAGES
        .iter()
        .map(|stage| {
            let others =
                STAGES.iter().fold(job(&format!("weights = \"run/{stage}.safetensors\""), ""), |job, other| {
                    let with = format!("with = \"run/{other}.safetensors\"");
                    job.analysis(&format!("to.{other}"), "ntk", "alignment", &with)
                });
            checkpoints(&others.path("run"));
            others.run(1);
            others
        })
        .collect();
    for ranks in [1, 2, 3, 4] {
        let job = run("");
        let done = job.attempt(ranks);
        let told = done.stderr.clone();
        let table = done.success();
        for (i, stage) in STAGES.iter().enumerate() {
            assert!(told.contains(&format!("stage {} of 3, {stage}: ", i + 1)), "{told}");
            let (found, expected) = (results(&job, stage), alone[i].results());
            assert_eq!((found.text("status"), found.text("stage")), ("complete".into(), stage.to_string()));
            assert_eq!((found.integer("stage_index"), found.integer("stages")), (i as i64, 3));
            assert_eq!(found.integer("ranks"), ranks as i64);
            for name in ["trace", "rank", "singular"] {
                let value = expected.value(name);
                assert_near(&format!("{name} of {stage} on {ranks}"), found.value(name), value, 1e-10, value);
            }
            let value = expected.eigenvalues("modes")[0];
            assert_near("λ_1", found.eigenvalues("modes")[0], value, 1e-10, value);
            let mut names: Vec<String> = ANALYSES.iter().map(|a| a[0].to_string()).collect();
            let mut before = vec![0, i.saturating_sub(1)];
            before.dedup();
            for &other in before.iter().filter(|&&o| o < i) {
                // The state is small: alignments are exact, as are those that a job asks for by itself.
                let name = format!("alignment.ntk.{}", STAGES[other]);
                assert_near(&name, found.value(&name), expected.value(&format!("to.{}", STAGES[other])), 1e-10, 1.0);
                assert_eq!(with_stage(&found, &name), STAGES[other]);
                names.extend([name, format!("alignment.parameter.{}", STAGES[other])]);
            }
            names.sort();
            assert_eq!(found.names(), names);
        }
        assert!(
            results(&job, "step30").value("alignment.ntk.step2")
                > results(&job, "step30").value("alignment.ntk.step10")
        );
        let rows: Vec<&str> = table.lines().rev().take(4).collect();
        assert!(rows[3].contains("stage") && rows[3].contains("rank") && rows[3].contains("ntk · first"), "{table}");
        assert!(rows[0].contains("step30") && rows[1].contains("step10") && rows[2].contains("step2"), "{table}");
    }
}

#[test]
fn lists_and_choices_of_alignments() {
    let named = |rest: &str| {
        let job = job("weights = [\"run/step30.safetensors\", \"run/step?.safetensors\", \"run/*.safetensors\"]", rest);
        checkpoints(&job.path("run"));
        let mut arguments = job.arguments();
        arguments.extend(["--output".into(), job.path("other").display().to_string()]);
        kpflow(1, &arguments).success();
        job
    };
    let of = |job: &Job, stage: &str| Results::open(&job.path(&format!("other.{stage}")));
    let all = named("[compute]\nalignments = \"all\"");
    // As listed, what is left of a pattern after it.
    assert_eq!(of(&all, "step30").integer("stage_index"), 0);
    assert_eq!(of(&all, "step2").integer("stage_index"), 1);
    assert_eq!(of(&all, "step10").integer("stage_index"), 2);
    let to = |job: &Job, stage: &str| of(job, stage).names().iter().filter(|n| n.starts_with("alignment.ntk.")).count();
    assert_eq!([to(&all, "step30"), to(&all, "step2"), to(&all, "step10")], [0, 1, 2]);
    let none = named("[compute]\nalignments = \"none\"");
    assert_eq!(to(&none, "step10"), 0);
}

#[test]
fn checkpoints_in_directories_of_their_own() {
    let job = job("weights = \"run/*/model.safetensors\"", "");
    for (i, file) in ["gru.safetensors", "gru.other.safetensors"].iter().enumerate() {
        let directory = job.path(&format!("run/checkpoint-{}", [500, 1000][i]));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::copy(golden(file), directory.join("model.safetensors")).unwrap();
    }
    job.attempt(1).success();
    assert_eq!(results(&job, "checkpoint-1000.model").integer("stage_index"), 1);
}

#[test]
fn what_is_finished_is_not_done_again() {
    let job = run("");
    job.attempt(1).success();
    let seconds = |stage: &str| results(&job, stage).seconds("rank");
    let before = STAGES.map(seconds);
    std::fs::remove_file(job.path("results.step30.h5")).unwrap();
    // A checkpoint more than before.
    std::fs::copy(golden("gru.safetensors"), job.path("run/step31.safetensors")).unwrap();
    let mut arguments = job.arguments();
    arguments.push("--resume".into());
    for ranks in [2, 1] {
        let done = kpflow(ranks, &arguments);
        let told = done.stderr.clone();
        done.success();
        assert_eq!(told.matches("finished before").count(), if ranks == 2 { 2 } else { 4 }, "{told}");
    }
    assert_eq!(before[..2], [seconds("step2"), seconds("step10")]);
    for (i, stage) in ["step2", "step10", "step30", "step31"].iter().enumerate() {
        let found = results(&job, stage);
        assert_eq!((found.integer("stage_index"), found.integer("stages")), (i as i64, 4), "{stage}");
        assert_eq!(found.text("status"), "complete");
    }
    assert!((results(&job, "step31").value("alignment.ntk.step2") - 1.0).abs() < 1e-12);
}

#[test]
fn killed_and_resumed() {
    let long = || {
        let stages = ["init", "step300", "step1500"].map(|s| golden(&format!("memory_pro.{s}.safetensors")));
        let h5 = golden("memory_pro.h5");
        let text = format!(
            "[model]\nkind = \"gru\"\nprefix = \"rnn.\"\nweights = {stages:?}\n[data]\ninputs = \"{}:/inputs\"\n",
            h5.display()
        );
        let rest = "method = \"hutchinson\"\nrtol = 0\nmax_matvecs = 60";
        Job::new(text).line("[output]\ncheckpoint = 0").analysis("trace", "ntk", "trace", rest).flag("--resume")
    };
    let at = |job: &Job, stage: &str| job.path(&format!("results.memory_pro.{stage}.h5"));
    let (whole, job) = (long(), long());
    whole.attempt(1).success();
    let mut run = Background::start(command(2, &job.arguments()));
    let second = at(&job, "step300");
    while run.running() && !finished(&second).contains(&"trace".into()) {
        std::thread::sleep(Duration::from_millis(2));
    }
    run.kill();
    let first = Results::open(&at(&job, "init")).seconds("trace");
    let done = job.attempt(1);
    let told = done.stderr.clone();
    done.success();
    assert!(told.contains("stage 1 of 3, memory_pro.init: finished before"), "{told}");
    assert_eq!(Results::open(&at(&job, "init")).seconds("trace"), first);
    for stage in ["init", "step300", "step1500"] {
        let (found, expected) = (Results::open(&at(&job, stage)), Results::open(&at(&whole, stage)));
        assert_eq!((found.text("status"), found.names()), ("complete".into(), expected.names()));
        for name in found.names() {
            let value = expected.value(&name);
            assert_near(&format!("{name} of {stage}"), found.value(&name), value, 1e-10, value);
        }
    }
    let aligned = Results::open(&at(&whole, "step1500"));
    let (value, error) =
        (aligned.value("alignment.ntk.memory_pro.init"), aligned.standard_error("alignment.ntk.memory_pro.init"));
    assert!(value > 0.0 && value < 0.9 && error > 0.0, "{value} ± {error}");
}

#[test]
fn mistakes_are_found_before_anything_runs() {
    let cases: [(&str, &str, &[&str]); 8] = [
        (
            "weights = \"run/*.pt\"",
            "",
            &["job.toml: in [model]: weights = \"run/*.pt\" matches no file; ", "run has step2.safetensors, step10"],
        ),
        ("weights = \"ran/*.pt\"", "", &["there is no directory", "ran"]),
        ("weights = \"r?n/none/*.pt\"", "", &["there is no directory", "run/none"]),
        ("weights = []", "", &["weights is an empty list"]),
        ("weights = [1]", "", &["weights is a list of strings"]),
        (
            "weights = [\"run/step2.safetensors\", \"run/step2.safetensors\"]",
            "",
            &["weights has \"run/step2.safetensors\" twice"],
        ),
        (
            "weights = [\"run/step2.safetensors\", \"run/step3.safetensors\"]",
            "",
            &["run/step3.safetensors: cannot be read"],
        ),
        ("weights = \"run/*.safetensors\"", "[compute]\nalignments = \"neighbors\"", &["did you mean \"neighbours\"?"]),
    ];
    for (weights, rest, words) in cases {
        let job = job(weights, rest);
        checkpoints(&job.path("run"));
        refused(&job, &[1], words);
    }
    let one = job("weights = \"run/step2.safetensors\"", "[compute]\nalignments = \"all\"");
    checkpoints(&one.path("run"));
    refused(&one, &[1], &["in [compute]: alignments is for a training run"]);
    let taken = run("").analysis("alignment.ntk.step2", "ntk", "trace", "");
    refused(&taken, &[1], &["the name \"alignment.ntk.step2\" is for an alignment between stages"]);

    // The last of three is of another model, is cut short, is no checkpoint.
    let whole = std::fs::read(golden("gru.safetensors")).unwrap();
    let others = [
        (std::fs::read(golden("gru_paper.safetensors")).unwrap(), "step30.safetensors: "),
        (whole[..whole.len() - 8].to_vec(), "step30.safetensors: is a safetensors file cut short"),
        (b"no".to_vec(), "step30.safetensors: is "),
        (std::fs::read(golden("lstm.safetensors")).unwrap(), "step30.safetensors: "),
    ];
    for (bytes, words) in others {
        let job = run("");
        std::fs::write(job.path("run/step30.safetensors"), bytes).unwrap();
        refused(&job, &[1, 3], &[words]);
    }
    // A file in a stage's place that is not a result file.
    let job = run("");
    std::fs::write(job.path("results.step30.h5"), "mine").unwrap();
    refused(&job, &[1], &["results.step30.h5: is there and is not a result file of kpflow"]);
    assert_eq!(std::fs::read_to_string(job.path("results.step30.h5")).unwrap(), "mine");
    // A weight that is no number is found when it is read; the stages before stay.
    let job = run("");
    let mut bytes = whole;
    let end = bytes.len();
    bytes[end - 8..].copy_from_slice(&f64::NAN.to_le_bytes());
    std::fs::write(job.path("run/step30.safetensors"), bytes).unwrap();
    let done = job.attempt(1);
    assert_eq!(done.status.code(), Some(2), "{}", done.stderr);
    assert!(done.errors()[0].contains("step30.safetensors: tensor "), "{}", done.stderr);
    assert_eq!(results(&job, "step10").text("status"), "complete");
}

#[track_caller]
fn refused(job: &Job, ranks: &[usize], words: &[&str]) {
    job.refused_on(ranks, words);
    for stage in &STAGES[..2] {
        assert!(!job.path(&format!("results.{stage}.h5")).exists(), "a result file was left");
    }
}

#[test]
fn planned_and_checked() {
    let job = run("");
    let path = job.write().display().to_string();
    let plan = kpflow(1, &["plan", &path, "--gflops", "10", "--json"]).success();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["stages"], 3);
    let analyses = plan["table"][0]["analyses"].as_array().unwrap();
    assert!(analyses.iter().any(|a| a["name"] == "alignment.parameter.step10"), "{analyses:?}");
    let text = kpflow(1, &["plan", &path, "--gflops", "10"]).success();
    assert!(text.contains("the last of 3 stages"), "{text}");
    let text = kpflow(2, &["check", &path]).success();
    assert!(text.contains("of 3 stages the first, step2") && !text.contains("FAILED"), "{text}");
}
