//! What `kpflow plan` foretells is what `kpflow run` then needs.

use kpflow_tests::{kind_job, kpflow, root, Golden, Job};
use serde_json::Value;

/// Analyses whose tolerance is never reached: they spend what is planned. Each by itself is compared in told.rs.
const ANALYSES: [(&str, &str, &str, &str); 2] = [
    ("xnystrace", "ntk", "trace", "method = \"xnystrace\"\nmax_matvecs = 96\nrtol = 0"),
    ("modes", "ntk", "eigenpairs", "count = 10\nmax_matvecs = 150\nrtol = 0"),
];

fn tables(case: &str) -> String {
    let text = Golden::open(if case == "transformer" { case } else { "gru_paper" }).tables();
    match case {
        "memory_pro" => text
            .replace("gru_paper.safetensors\"", "memory_pro.step1500.safetensors\"\nprefix = \"rnn.\"")
            .replace("gru_paper.h5", "memory_pro.h5"),
        _ => text,
    }
}

fn job(case: &str, analyses: &[(&str, &str, &str, &str)], precision: &str) -> Job {
    let job = Job::new(tables(case)).line(&format!("[compute]\nprecision = \"{precision}\""));
    analyses.iter().fold(job, |job, (name, operator, quantity, rest)| job.analysis(name, operator, quantity, rest))
}

fn plan(job: &Job, more: &[&str]) -> Value {
    let mut arguments: Vec<String> = vec!["plan".into(), job.write().display().to_string(), "--json".into()];
    arguments.extend(["--gflops".to_string(), "10".into()]);
    arguments.extend(more.iter().map(|m| m.to_string()));
    serde_json::from_str(&kpflow(1, &arguments).success()).unwrap()
}

fn row(plan: &Value, ranks: usize) -> Value {
    let rows = plan["table"].as_array().unwrap();
    rows.iter().find(|r| r["ranks"] == ranks).unwrap_or_else(|| panic!("no row of {ranks} ranks")).clone()
}

/// Plans and runs; asserts that memory and bytes of the whole process agree to a tenth.
#[track_caller]
fn agrees(job: Job, plan_flags: &[&str], ranks: usize) {
    let planned = row(&plan(&job, &[plan_flags, &["--threads", "1"]].concat()), ranks);
    let flags = if plan_flags[0] == "--grid" { plan_flags } else { &[] };
    let job = flags.iter().fold(job.flag("--threads").flag("1"), |job, flag| job.flag(flag));
    let results = job.run(ranks);
    for (name, measured) in [("memory_bytes", "peak_memory"), ("bytes_sent", "bytes_sent")] {
        let (planned, measured) = (planned[name].as_f64().unwrap(), results.integer(measured) as f64);
        // What ranks agree on beside the analyses is some hundred bytes; the program itself, with MPI, is some MiB larger or smaller from run to
        // run (seen: 6.3 MB of 60).
        let slack = if name == "bytes_sent" { 1000.0 } else { f64::from(4 << 20) };
        let near = (planned - measured).abs() <= 0.1 * measured + slack;
        assert!(near, "{plan_flags:?}: {name} planned {planned}, measured {measured}");
    }
}

#[test]
fn memory_and_bytes_are_those_of_the_run() {
    agrees(job("gru_paper", &ANALYSES[..1], "f64"), &["--ranks", "1"], 1);
    agrees(job("memory_pro", &ANALYSES[1..], "f32"), &["--ranks", "3"], 3);
    agrees(job("gru_paper", &ANALYSES[1..], "f64"), &["--grid", "1x2"], 2);
    agrees(job("memory_pro", &ANALYSES[..1], "f64"), &["--grid", "2x2"], 4);
}

/// The run says how much at most: the journal, the inputs as they are read and the program itself are in it.
#[test]
fn at_most_is_never_exceeded() {
    let (transformer, gpt2) = (job("transformer", &ANALYSES, "f64"), kind_job("gpt2_small"));
    let gpt2 = gpt2.analysis("trace", "ntk", "trace", "max_matvecs = 16");
    for (job, ranks) in [(&transformer, 1), (&transformer, 2), (&gpt2, 1), (&gpt2, 2)] {
        let done = kpflow(ranks, &[job.arguments(), vec!["--log".into(), "json".into()]].concat());
        let events: Vec<Value> = done.stderr.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
        let field = |event: &str, name: &str| {
            let found = events.iter().find(|e| e["event"] == event).unwrap_or_else(|| panic!("{}", done.stderr));
            found[name].as_f64().unwrap()
        };
        let (told, taken) = (field("started", "memory_bytes"), field("finished", "peak_memory"));
        println!("{ranks} ranks: {told} told, {taken} taken");
        assert!(taken <= told && told <= 1.1 * taken + f64::from(4 << 20), "{told} bytes told, {taken} taken");
    }
}

/// Products that the second analysis finds there already are planned as if it did not.
#[test]
fn products_in_common_are_planned_for_each() {
    let frobenius = ("frobenius", "ntk", "frobenius", "max_matvecs = 96\nrtol = 0");
    let two = job("gru_paper", &[ANALYSES[0], frobenius], "f64");
    let planned = row(&plan(&two, &["--ranks", "2"]), 2)["bytes_sent"].as_f64().unwrap();
    let sent = two.run(2).integer("bytes_sent") as f64;
    assert!(sent < planned && planned < 1.3 * sent, "planned {planned}, measured {sent}");
}

#[test]
fn the_table_ends_where_trajectories_and_vectors_do() {
    let hutchinson = ("hutchinson", "ntk", "trace", "method = \"hutchinson\"\nmax_matvecs = 64\nrtol = 0");
    let job = job("gru_paper", &[hutchinson], "f64");
    let plan = plan(&job, &["--ranks", "40", "--network", "2,10"]);
    let ranks: Vec<u64> = plan["table"].as_array().unwrap().iter().map(|r| r["ranks"].as_u64().unwrap()).collect();
    assert_eq!(ranks, [1, 2, 4, 8, 15, 16, 32, 40, 64, 128, 256, 480]);
    assert_eq!(row(&plan, 1)["bytes_sent"], 0.0);
    // As 64 products take all of the work, half of the trajectories take half of the time.
    let seconds = |ranks| row(&plan, ranks)["computing_seconds"].as_f64().unwrap();
    assert!((seconds(1) / seconds(2) - 15.0 / 8.0).abs() < 0.01);
    // More ranks than trajectories share the vectors of a block.
    assert_eq!(row(&plan, 40)["grid"], serde_json::json!([20, 2]));
    assert!((seconds(15) / seconds(40) - 2.0).abs() < 0.01);
}

#[test]
fn a_billion_parameters_are_planned_from_a_header() {
    let job = Job::new(
        "[model]\nkind = \"gpt2\"\nweights = \"gpt.safetensors\"\nheads = 16\nstate = [\"final\"]\n[data]\ninputs = \"tokens.safetensors\"\n[compute]\nprecision = \"f32\"\n",
    );
    let job = job.analysis("trace", "ntk", "trace", "max_matvecs = 32");
    let script = root().join("scripts/make_empty_checkpoint.py");
    let made = std::process::Command::new("python3")
        .arg(script)
        .args(["gpt2", job.path("gpt.safetensors").to_str().unwrap(), "24", "2048", "50257", "2048"])
        .status();
    assert!(made.unwrap().success());
    // Tokens that no model has: a run would refuse them, and a plan does not look.
    let (header, tokens) = (r#"{"x":{"dtype":"I32","shape":[64,512],"data_offsets":[0,131072]}}"#, vec![0xff; 131072]);
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &tokens].concat();
    std::fs::write(job.path("tokens.safetensors"), file).unwrap();
    let plan = plan(&job, &["--ranks", "8"]);
    let (parameters, planned) = (plan["parameters"].as_f64().unwrap(), row(&plan, 8));
    assert!(parameters > 1.3e9 && parameters < 1.33e9, "{parameters}");
    // The weights alone, with as many rows of tokens as there may be.
    assert!(planned["memory_bytes"].as_f64().unwrap() > 4.0 * (1.2e9 + 64.0 * 512.0 * 2048.0));
}

/// In the last stage of a sketch, of one product here, a part of it may have one vector less than before.
#[test]
fn a_last_stage_of_one_product() {
    let one = Job::new(tables("gru_paper")).line("[compute]\nblock = 1");
    let one = one.analysis("f", "ntk", "frobenius", "method = \"hutchpp\"\nmax_matvecs = 304");
    assert!(row(&plan(&one, &["--ranks", "1"]), 1)["memory_bytes"].as_f64().unwrap() > 0.0);
}

#[test]
fn wrong_usage_is_one_line() {
    let job = job("gru_paper", &ANALYSES[..1], "f64");
    let path = job.write().display().to_string();
    for (flags, words) in [
        (&["--network", "fast"][..], "latency in µs and bandwidth"),
        (&["--ranks", "0"], "at least 1"),
        (&["--threads", "0"], "at least 1"),
        (&["--gflops", "-1"], "unexpected argument"),
        (&["--gflops=-1"], "more than 0"),
    ] {
        let mut arguments = vec!["plan", &path];
        arguments.extend(flags);
        let done = kpflow(1, &arguments);
        assert_eq!(done.status.code(), Some(2), "{}", done.stderr);
        assert!(done.errors().len() == 1 && done.errors()[0].contains(words), "{}", done.stderr);
    }
    let missing = kpflow(1, &["plan", "nowhere.toml"]);
    assert_eq!((missing.status.code(), missing.errors().len()), (Some(2), 1), "{}", missing.stderr);
}
