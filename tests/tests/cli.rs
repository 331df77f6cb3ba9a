//! The command line beside the runs themselves: dry runs, events, info, completions, pages.

use kpflow_tests::{
    command, golden, kind_job, kpflow, open_rw, reference, Background, Golden, Job, GRAPHS, KINDS, RECURRENT,
};
use serde_json::Value;
use std::time::Duration;

fn gru() -> Job {
    Job::new(Golden::open("gru").tables())
}

/// The objects on standard error; a line that is none fails.
#[track_caller]
fn events(stderr: &str) -> Vec<Value> {
    stderr.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|e| e["event"].as_str().unwrap()).collect()
}

#[test]
fn a_dry_run_writes_nothing() {
    for ranks in [1, 3] {
        let job =
            gru().analysis("t", "ntk", "trace", "").analysis("e", "ntk", "eigenpairs", "count = 3").flag("--dry-run");
        let out = job.attempt(ranks).success();
        for word in
            ["gru, ", "ntk trace", "ntk eigenpairs", "dense", "MiB a rank", "would be made", "Nothing was computed"]
        {
            assert!(out.contains(word), "{word}: {out}");
        }
        assert_eq!(std::fs::read_dir(job.path("")).unwrap().count(), 1, "the job alone");
    }
    let job = gru().analysis("t", "ntk", "trace", "");
    job.run(1);
    let resumed = gru().analysis("t", "ntk", "trace", "").flag("--dry-run").flag("--resume");
    std::fs::copy(job.path("results.h5"), resumed.path("results.h5")).unwrap();
    let before = std::fs::read(resumed.path("results.h5")).unwrap();
    assert!(resumed.attempt(1).success().contains("with 1 finished analysis; it would be gone on with"));
    assert_eq!(std::fs::read(resumed.path("results.h5")).unwrap(), before);
}

#[test]
fn what_a_dry_run_tells_is_what_a_run_does() {
    let job = |flag: &str| {
        gru()
            .analysis("t", "ntk", "trace", "max_matvecs = 50")
            .analysis("f", "parameter", "frobenius", "")
            .analysis("e", "ntk", "eigenpairs", "method = \"block_krylov\"\ncount = 2")
            .flag(flag)
            .flag("--log=json")
    };
    let told = events(&job("--dry-run").attempt(1).stderr);
    let ran = events(&job("--verbose").attempt(1).stderr);
    assert_eq!(names(&told), ["dry_run"]);
    let one = ["analysis_started", "analysis_finished"];
    assert_eq!(names(&ran), [&["started"][..], &one, &one, &one, &["finished"]].concat());
    let methods =
        |list: Vec<&Value>| list.iter().map(|a| a["method"].as_str().unwrap().to_string()).collect::<Vec<_>>();
    let planned = methods(told[0]["plan"]["analyses"].as_array().unwrap().iter().collect());
    assert_eq!(planned, methods(ran.iter().filter(|e| e["event"] == "analysis_finished").collect()));
    for key in ["model", "parameters", "shape", "precision", "ranks", "threads", "analyses"] {
        assert_eq!(told[0][key], ran[0][key], "{key}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn products_use_the_vectors_that_this_processor_has() {
    let job = gru().analysis("t", "ntk", "trace", "").flag("--verbose");
    let kernels = |ranks, chosen: Option<&str>| {
        let mut command = command(ranks, &job.arguments());
        command.env_remove("OPENBLAS_CORETYPE").envs(chosen.map(|c| ("OPENBLAS_CORETYPE", c)));
        let done = Background::start(command).wait();
        let told = done.stderr.clone();
        done.success();
        let all = told.split("products by OpenBLAS (").skip(1);
        all.map(|after| after.split(' ').next().unwrap().to_string()).collect::<Vec<_>>()
    };
    // One that knows this processor keeps its own choice; one that does not takes kernels without AVX2.
    let old = ["Prescott", "Core2", "Penryn", "Nehalem", "Sandybridge", "Barcelona", "Bulldozer", "Piledriver"];
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        for ranks in [1, 2] {
            let names = kernels(ranks, None);
            assert!(names.len() == 1 && !old.contains(&&names[0][..]), "{names:?}");
        }
    }
    // What the user chooses stays.
    assert_eq!(kernels(1, Some("Nehalem")), ["Nehalem"]);
}

#[test]
fn events_are_json_whatever_happens() {
    let job = gru()
        .analysis("t", "ntk", "trace", "method = \"hutchinson\"\nmax_matvecs = 40\nrtol = 0")
        .flag("--log")
        .flag("json");
    for ranks in [1, 3] {
        let done = job.attempt(ranks);
        let all = events(&done.stderr);
        let finished = all.iter().find(|e| e["event"] == "analysis_finished").unwrap();
        let results = job.results();
        assert_eq!((finished["value"].as_f64(), finished["matvecs"].as_i64()), (Some(results.value("t")), Some(40)));
        assert_eq!(finished["standard_error"].as_f64(), Some(results.standard_error("t")));
        assert_eq!(all.last().unwrap()["event"], "finished");
        done.success();
    }
    let wrong = gru().analysis("t", "ntk", "trase", "").flag("--log=json");
    let all = events(&wrong.attempt(1).stderr);
    assert_eq!((names(&all), all[0]["exit_status"].as_i64()), (vec!["error"], Some(2)));
    assert!(all[0]["message"].as_str().unwrap().contains("did you mean \"trace\"?") && all[0]["file"].is_string());
    let usage = kpflow(1, &["run", "--log", "json", "--nothing"]);
    assert_eq!((names(&events(&usage.stderr)), usage.status.code()), (vec!["error"], Some(2)));
}

/// What a run of this job that is ended after so many seconds says on standard error.
fn ended_after(seconds: u64, log: &str) -> String {
    let job = Job::new(Golden::open("gru_paper").tables())
        .line("[output]\ncheckpoint = \"never\"")
        .analysis("long", "ntk", "trace", "method = \"hutchinson\"\nrtol = 0\nmax_matvecs = 100000")
        .flag("--every=1")
        .flag(log);
    let run = Background::start(command(1, &job.arguments()));
    std::thread::sleep(Duration::from_secs(seconds));
    run.send("TERM");
    run.wait().stderr
}

/// A line every second, with the time left; a machine with much else to do is given longer.
#[test]
fn progress_is_told() {
    let told = |log: &str, right: fn(&str) -> bool| {
        let short = ended_after(4, log);
        assert!(right(&short) || right(&ended_after(25, log)), "{short}");
    };
    told("--log=text", |said| said.lines().any(|l| l.contains("of at most 100000 products") && l.contains(" left; ")));
    told("--log=json", |said| {
        let all = events(said);
        let left = |e: &Value| e["done"].as_u64() > Some(0) && e["seconds_left"].as_f64() > Some(0.0);
        all.iter().any(|e| e["event"] == "progress" && left(e)) && all.iter().any(|e| e["event"] == "error")
    });
    assert_eq!(ended_after(2, "--quiet").lines().count(), 1);
}

/// The kind and prefix that `info` guesses are those of the job.
#[test]
fn info_knows_every_kind() {
    let told = |path: &std::path::Path| -> Value {
        serde_json::from_str(&kpflow(1, &[std::ffi::OsStr::new("info"), path.as_os_str(), "--json".as_ref()]).success())
            .unwrap()
    };
    let guess = |path: &std::path::Path| {
        let told = told(path);
        let first = &told["guesses"][0];
        let kinds =
            first["kinds"].as_array().unwrap().iter().map(|k| k.as_str().unwrap().to_string()).collect::<Vec<_>>();
        (kinds, first["prefix"].as_str().unwrap().to_string(), first["parameters"].as_u64().unwrap())
    };
    let key = |text: &str, key: &str| {
        let line = text.lines().find(|l| l.split('=').next().unwrap().trim() == key);
        line.map_or(String::new(), |l| l.split('"').nth(1).unwrap().to_string())
    };
    for name in RECURRENT {
        let text = Golden::open(name).tables();
        let (kinds, prefix, _) = guess(&golden(&format!("{name}.safetensors")));
        assert!(kinds.contains(&key(&text, "kind")) && prefix == key(&text, "prefix"), "{name}: {kinds:?} {prefix}");
    }
    // What the tensors do not tell (a PReLU from a norm; where random positions begin) the job says, and info says so.
    let ask = [("mlp_prelu", "say which by modules"), ("roberta_small", "say model_type =")];
    for (name, what) in ask {
        let asked = told(&reference(&format!("data/{name}.safetensors")));
        assert_eq!(asked["guesses"].as_array().unwrap().len(), 0, "{asked}");
        assert!(asked["not"][0]["why"].as_str().unwrap().contains(what), "{asked}");
    }
    for name in KINDS.into_iter().filter(|name| ask.iter().all(|a| a.0 != *name)) {
        let job = kind_job(name);
        let text = std::fs::read_to_string(job.write()).unwrap();
        let (kinds, prefix, _) = guess(&reference(&format!("data/{name}.safetensors")));
        assert!(kinds.contains(&key(&text, "kind")), "{name}: {kinds:?}");
        // A prefix of the job may be longer or shorter than need be where layers are found by their numbers.
        assert!(prefix == key(&text, "prefix") || kinds[0] == "mlp" || kinds[0] == "conv", "{name}: {prefix}");
    }
    for name in GRAPHS {
        let graph = told(&reference(&format!("onnx/{name}.onnx")));
        assert_eq!(graph["format"], "onnx");
        assert!(graph["supported"] == true || graph["why_not"].is_string(), "{name}: {graph}");
    }
    let text = kpflow(1, &[std::ffi::OsStr::new("info"), golden("memory_pro.init.safetensors").as_os_str()]).success();
    assert!(
        text.contains("gru, 1 layer, hidden 64, input ") && text.contains("kind = \"gru\", prefix = \"rnn.\""),
        "{text}"
    );
}

#[test]
fn info_of_inputs_and_results() {
    let job = gru().analysis("t", "ntk", "trace", "").analysis("e", "ntk", "eigenpairs", "count = 2");
    let results = job.run(1);
    let info = |path: std::path::PathBuf| kpflow(1, &["info".into(), path.display().to_string()]).success();
    let text = info(job.path("results.h5"));
    let value = format!("{:.12e}", results.value("t"));
    for word in
        ["complete: 2 analyses", "ntk trace", &value, "ntk eigenpairs", "2 from ", "the job:", "quantity = \"trace\""]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    // As far as a run that was killed came; in a copy, since HDF5 locks what is open here.
    std::fs::copy(job.path("results.h5"), job.path("part.h5")).unwrap();
    let file = open_rw(job.path("part.h5"));
    file.group("analysis").unwrap().unlink("e").unwrap();
    let status: hdf5::types::VarLenUnicode = "running".parse().unwrap();
    file.attr("status").unwrap().write_scalar(&status).unwrap();
    file.close().unwrap();
    let text = info(job.path("part.h5"));
    assert!(text.contains("not complete: 1 of 2 analyses") && text.contains("e is next"), "{text}");
    let text = info(golden("gru.h5"));
    assert!(text.contains("inputs [B, T, n_in]") && text.contains("inputs = \"gru.h5:/"), "{text}");
}

#[test]
fn completions_and_pages() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = kpflow(1, &["completions", shell]).success();
        assert!(["--dry-run", "plan", "info"].iter().all(|w| text.contains(w)) || shell == "fish", "{shell}: {text}");
    }
    let directory = tempfile::tempdir().unwrap();
    kpflow(1, &["man", directory.path().to_str().unwrap()]).success();
    for page in ["kpflow.1", "kpflow-run.1", "kpflow-plan.1", "kpflow-check.1", "kpflow-info.1"] {
        let text = std::fs::read_to_string(directory.path().join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
        assert!(text.contains(".SH") && text.contains("Examples"), "{page}: {text}");
    }
    assert!(kpflow(2, &["man"]).success().matches(".TH kpflow").count() == 1);
}

/// Results of one name in two directories are told apart.
#[test]
fn files_of_one_name() {
    let directory = tempfile::tempdir().unwrap();
    let results = kpflow_tests::root().join("tests/fuzz/results.h5");
    let [a, b] = ["a", "b"].map(|d| {
        let path = directory.path().join(d);
        std::fs::create_dir(&path).and_then(|()| std::fs::copy(&results, path.join("x.h5"))).unwrap();
        path.join("x.h5").display().to_string()
    });
    let page = directory.path().join("page.html");
    kpflow(1, &["report", &a, &b, "--output", page.to_str().unwrap()]).success();
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.contains("a/x") && text.contains("b/x"));
    let text = kpflow(1, &["compare", &a, &b]).success();
    assert!(text.contains(&a) && text.contains(&b), "{text}");
}

/// Groups may lead to one another in circles.
#[test]
fn files_that_lead_in_circles() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("circles.h5");
    let file = kpflow_tests::create(&path);
    file.create_group("a").unwrap().new_dataset::<f64>().shape([2, 3, 4]).create("x").unwrap();
    (0..9).for_each(|i| file.link_hard("/", &format!("a/round{i}")).unwrap());
    file.close().unwrap();
    let text = kpflow(1, &["info", path.to_str().unwrap()]).success();
    assert!(text.contains("1 dataset\n") && text.contains(":/a/x"), "{text}");
}

/// libhdf5 itself may crash on what is damaged enough: that is refused like any other file, wherever it is read.
#[test]
fn files_that_libhdf5_crashes_on() {
    let damaged = kpflow_tests::root().join("tests/damaged/heap.h5").display().to_string();
    for command in ["info", "report", "compare"] {
        let done = match command {
            "compare" => kpflow(1, &[command, &damaged, &damaged]),
            _ => kpflow(1, &[command, &damaged]),
        };
        assert_eq!((done.status.code(), done.errors().len()), (Some(2), 1), "{command}: {}", done.stderr);
        assert!(done.errors()[0].starts_with(&format!("error: {damaged}: is ")), "{command}: {}", done.stderr);
    }
}

/// A damaged file may send libhdf5 round and round: that ends after ten seconds of work.
#[test]
#[cfg(target_os = "linux")]
fn files_that_libhdf5_does_not_end_with() {
    let damaged = kpflow_tests::root().join("tests/damaged/loop.h5").display().to_string();
    let done = kpflow(1, &["info", &damaged]);
    let right = format!(
        "error: {damaged}: is so damaged that libhdf5 does not come to an end with it; copy it again, or write it again"
    );
    assert_eq!((done.status.code(), done.errors()), (Some(2), vec![right.as_str()]), "{}", done.stderr);
}
