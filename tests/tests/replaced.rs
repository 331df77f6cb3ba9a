//! What a command writes replaces what the same command wrote before, and nothing else.

use kpflow_tests::{golden, kpflow, Done, Golden, Job};
use std::os::unix::fs::{symlink, FileTypeExt};
use std::path::Path;

#[track_caller]
fn refused(done: &Done, words: &[&str]) {
    let all = format!("{}\n{}{}", done.status, done.stdout, done.stderr);
    assert_eq!((done.status.code(), done.errors().len()), (Some(2), 1), "{all}");
    assert!(words.iter().all(|w| done.errors()[0].contains(w)), "lacks one of {words:?}: {all}");
}

fn results() -> Job {
    let job = Job::new(Golden::open("gru").tables()).analysis("t", "ntk", "trace", "method = \"exact\"");
    job.run(1);
    job
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_page_replaces_a_page() {
    let job = results();
    let r = text(&job.path("results.h5"));
    let report = |output: &str| kpflow(1, &["report", &r, "--output", output]);
    let page = text(&job.path("page.html"));
    report(&page).success();
    // Its own page, again.
    report(&page).success();
    let at = |name: &str| text(&job.path(name));
    std::fs::copy(golden("gru.safetensors"), at("w.safetensors")).unwrap();
    std::fs::write(at("notes.html"), "<!DOCTYPE html>\n<html><head><title>kpflow</title></head>my notes</html>")
        .unwrap();
    std::fs::write(at("empty.html"), "").unwrap();
    std::fs::create_dir(at("directory")).unwrap();
    symlink(at("page.html"), at("link.html")).unwrap();
    symlink(at("nowhere"), at("dangling.html")).unwrap();
    for (place, word) in [
        ("results.h5", "is not a page of kpflow report"),
        ("w.safetensors", "is not a page of kpflow report"),
        ("job.toml", "is not a page of kpflow report"),
        ("notes.html", "is not a page of kpflow report"),
        ("empty.html", "is not a page of kpflow report"),
        ("directory", "is a directory"),
        ("link.html", "is a link"),
        ("dangling.html", "is a link"),
    ] {
        let before = std::fs::read(job.path(place)).ok();
        refused(&report(&at(place)), &[place, word]);
        assert!(before == std::fs::read(job.path(place)).ok(), "{place} changed");
    }
    for device in ["/dev/full", "/dev/null"] {
        refused(&report(device), &[device, "is a device or a pipe"]);
        assert!(std::fs::metadata(device).unwrap().file_type().is_char_device());
    }
    let fifo = at("fifo.html");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    refused(&report(&fifo), &["is a device or a pipe"]);
    refused(&kpflow(1, &["run", &at("job.toml"), "--output", &fifo]), &["is a device or a pipe"]);
}

#[test]
fn figures_replace_figures() {
    let job = Job::new(Golden::open("gru").tables()).analysis("t", "ntk", "eigenpairs", "count = 5");
    job.run(1);
    let (r, page, directory) = (text(&job.path("results.h5")), text(&job.path("page.html")), job.path("figures"));
    let report = || kpflow(1, &["report", &r, "--output", &page, "--figures", &text(&directory)]);
    report().success();
    report().success();
    let mut files: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    for ending in ["svg", "png"] {
        let file = files.iter().find(|f| f.extension().is_some_and(|e| e == ending)).unwrap();
        let ours = std::fs::read(file).unwrap();
        std::fs::write(file, "another picture").unwrap();
        refused(&report(), &["is not a figure of kpflow report"]);
        assert_eq!(std::fs::read(file).unwrap(), b"another picture");
        std::fs::write(file, ours).unwrap();
    }
    report().success();
}

#[test]
fn the_other_commands_too() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&directory.path().join(name));
    // Pages of the manual.
    kpflow(1, &["man", &at("")]).success();
    kpflow(1, &["man", &at("")]).success();
    std::fs::write(at("kpflow-run.1"), "mine").unwrap();
    refused(&kpflow(1, &["man", &at("")]), &["kpflow-run.1", "is not a page of kpflow's manual"]);
    // A demo, though it is said that files may be replaced: links and directories are not files.
    symlink("/dev/full", at("train.toml")).unwrap();
    refused(&kpflow(1, &["demo", "flip_flop", &at(""), "--force"]), &["train.toml", "is a link"]);
    // A training.
    let job = "[model]\nkind = \"rnn\"\nhidden = 4\n[task]\nname = \"flip_flop\"\n[training]\nsteps = 2\nlearning_rate = 1e-2\n[output]\ndirectory = \"tr\"\n";
    std::fs::write(at("t.toml"), job).unwrap();
    std::fs::create_dir(at("tr")).unwrap();
    std::fs::write(at("tr/loss.csv"), "epoch;loss\n1;0.5\n").unwrap();
    refused(&kpflow(1, &["train", &at("t.toml")]), &["loss.csv", "is not the losses of a training"]);
    assert_eq!(std::fs::read(at("tr/loss.csv")).unwrap(), b"epoch;loss\n1;0.5\n");
    std::fs::remove_file(at("tr/loss.csv")).unwrap();
    std::fs::write(at("tr/resume.safetensors"), "mine").unwrap();
    refused(&kpflow(1, &["train", &at("t.toml")]), &["resume.safetensors"]);
    assert_eq!(std::fs::read(at("tr/resume.safetensors")).unwrap(), b"mine");
}

#[test]
fn a_run_does_not_replace_what_it_reads() {
    // A result file is a file of inputs, too: the state of one network as the inputs of another.
    let first = Job::new(Golden::open("gru").tables()).line("[output]\nstate = true").analysis("t", "ntk", "trace", "");
    first.run(1);
    let r = first.path("results.h5");
    let n = kpflow_tests::open(&r).attr("shape").unwrap().read_raw::<i64>().unwrap()[2] as usize;
    let weights = first.path("w2.safetensors");
    let zeros = vec![0u8; 8 * n * n];
    let view = |len: usize| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F64, vec![len / n, n], &zeros[..8 * len]).unwrap()
    };
    let tensors = [("weight_ih_l0", view(n * n)), ("weight_hh_l0", view(n * n))];
    std::fs::write(&weights, safetensors::serialize(tensors, None).unwrap()).unwrap();
    let second = Job::new(format!(
        "[model]\nkind = \"rnn\"\nweights = {weights:?}\n[data]\ninputs = \"{}:/state/values\"\n",
        r.display()
    ))
    .analysis("t", "ntk", "trace", "");
    let before = std::fs::read(&r).unwrap();
    let job = text(&second.write());
    refused(&kpflow(1, &["run", &job, "--output", &text(&r)]), &["results.h5", "is read by this job"]);
    assert!(before == std::fs::read(&r).unwrap());
    kpflow(1, &["run", &job]).success();
}
