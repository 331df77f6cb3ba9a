//! `--resume` goes on with what was made of the same weights, inputs and keys, and with nothing
//! else.

use kpflow_tests::{assert_near, golden, kpflow, open_rw, Done};
use std::path::PathBuf;
use tempfile::TempDir;

/// A job on a network of its own, whose files may change.
struct Place(TempDir);

const TRACE: &str = "[[analysis]]\nname = \"t\"\nquantity = \"trace\"\nmethod = \"exact\"\n";
const RANK: &str = "[[analysis]]\nname = \"rank\"\nquantity = \"effective_rank\"\nmethod = \"dense\"\n";

impl Place {
    /// The golden gru, its inputs, and other weights beside.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for (from, to) in [("gru.safetensors", "w.safetensors"), ("gru.h5", "x.h5")] {
            std::fs::copy(golden(from), place.path(to)).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn job(&self, lines: &str) {
        let model = "[model]\nkind = \"gru\"\nweights = \"w.safetensors\"\n[data]\ninputs = \"x.h5:/inputs\"\n";
        let output = "[output]\nfile = \"r.h5\"\n";
        let text = match lines.contains("[model]") {
            true => lines.to_string(),
            false => format!("{model}{output}{lines}"),
        };
        std::fs::write(self.path("job.toml"), text).unwrap();
    }

    fn run(&self, flags: &[&str]) -> Done {
        let job = self.path("job.toml").display().to_string();
        kpflow(1, &[&["run", &job], flags].concat())
    }

    fn value(&self, file: &str, name: &str) -> f64 {
        let file = kpflow_tests::open(self.path(file));
        file.dataset(&format!("analysis/{name}/value")).unwrap().read_scalar().unwrap()
    }

    fn other_weights(&self) {
        std::fs::copy(golden("gru.other.safetensors"), self.path("w.safetensors")).unwrap();
    }

    /// What another run of the same job finds.
    fn truth(&self, name: &str) -> f64 {
        let truth = self.path("truth.h5").display().to_string();
        self.run(&["--output", &truth]).success();
        self.value("truth.h5", name)
    }

    /// Asserts that the job is refused with one line that has all of these words, and that the file
    /// stays as it was.
    #[track_caller]
    fn refused(&self, words: &[&str]) {
        let before = std::fs::read(self.path("r.h5")).unwrap();
        for flags in [&["--resume"][..], &["--resume", "--dry-run"]] {
            let done = self.run(flags);
            assert_eq!((done.status.code(), done.errors().len()), (Some(2), 1), "{}", done.stderr);
            for word in words {
                assert!(done.errors()[0].contains(word), "lacks {word:?}: {}", done.stderr);
            }
        }
        assert!(before == std::fs::read(self.path("r.h5")).unwrap(), "the file changed");
    }
}

#[test]
fn other_weights_under_the_same_path() {
    let place = Place::new();
    place.job(&format!("{TRACE}{RANK}"));
    place.run(&["--resume"]).success();
    let old = place.value("r.h5", "t");
    place.other_weights();
    place.refused(&["r.h5", "t", "rank", "other weights", "--redo"]);
    place.run(&["--resume", "--redo"]).success();
    let new = place.value("r.h5", "t");
    assert!((new - old).abs() > 1e-3 * old.abs(), "the numbers are those of the old weights");
    assert_near("the trace", new, place.truth("t"), 1e-12, new.abs());
    assert_near("the rank", place.value("r.h5", "rank"), place.value("truth.h5", "rank"), 1e-12, 1.0);
    // What is of the same is not made again.
    let done = place.run(&["--redo"]);
    assert!(
        done.stderr.contains("t: finished before") && done.stderr.contains("rank: finished before"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_comment_the_order_and_a_new_analysis_are_no_other_job() {
    let place = Place::new();
    place.job(&format!("{TRACE}{RANK}"));
    place.run(&[]).success();
    let seconds = |name: &str| -> f64 {
        let file = kpflow_tests::open(place.path("r.h5"));
        file.group(&format!("analysis/{name}")).unwrap().attr("seconds").unwrap().read_scalar().unwrap()
    };
    let before = [seconds("t"), seconds("rank")];
    let more = "[[analysis]]\nname = \"n\"\nquantity = \"norm\"\n";
    // Another order, a comment, a new analysis, a default that is said, other places of the same
    // files.
    std::fs::copy(place.path("w.safetensors"), place.path("moved.safetensors")).unwrap();
    place.job(&format!(
        "# why\n[model]\nkind = 'gru' # gated\nweights = \"moved.safetensors\"\n[data]\ninputs = \"x.h5:/inputs\"\n\
         [output]\nfile = \"r.h5\"\ncheckpoint = 5\n{RANK}rtol = 1e-3\n{TRACE}{more}"
    ));
    place.run(&["--resume"]).success();
    assert_eq!([seconds("t"), seconds("rank")], before, "done again");
    assert!(place.value("r.h5", "n") > 0.0);
    // The file says what the job says now.
    let done = kpflow(1, &["info", &place.path("r.h5").display().to_string()]).success();
    assert!(done.contains("# why") && done.contains("complete: 3 analyses"), "{done}");
    // An analysis that the job does not name any more stays.
    place.job(TRACE);
    place.run(&["--resume"]).success();
    assert!(place.value("r.h5", "n") > 0.0);
}

#[test]
fn keys_and_precision_are_named() {
    let place = Place::new();
    place.job(&format!("{TRACE}{RANK}"));
    place.run(&[]).success();
    for (change, words) in [
        (TRACE.replace("exact", "hutchinson"), &["t (method = exact then and hutchinson now)"][..]),
        (format!("{TRACE}max_matvecs = 77\n{RANK}"), &["t (max_matvecs = 1000 then and 77 now)"]),
        (format!("{TRACE}{RANK}rtol = 0.25\n"), &["rank (rtol = 0.001 then and 0.25 now)"]),
        (format!("{TRACE}{RANK}window = [1, 3]\n"), &["rank (window = unsaid then and [1, 3] now)"]),
        (format!("[compute]\nprecision = \"f32\"\n{TRACE}"), &["rank, t (precision = f64 then and f32 now)"]),
        (format!("[compute]\nseed = 5\n{TRACE}"), &["seed = 0 then and 5 now"]),
        (
            TRACE.replace("[[analysis]]\n", "[[analysis]]\noperator = \"parameter\"\n"),
            &["operator = ntk then and parameter now"],
        ),
    ] {
        place.job(&change);
        place.refused(&[words, &["another job", "--redo"]].concat());
    }
    // Only what changed is made again.
    place.job(&format!("{TRACE}{RANK}rtol = 0.25\n"));
    let done = place.run(&["--redo"]);
    assert!(done.stderr.contains("t: finished before") && !done.stderr.contains("rank: finished"), "{}", done.stderr);
}

#[test]
fn inputs_and_the_initial_state_count() {
    let place = Place::new();
    place.job(TRACE);
    place.run(&[]).success();
    {
        let file = open_rw(place.path("x.h5"));
        let set = file.dataset("inputs").unwrap();
        let mut x = set.read_dyn::<f64>().unwrap();
        x[[0, 1, 0]] += 1e-3;
        set.write(&x).unwrap();
    }
    place.refused(&["t (other inputs)"]);
    place.run(&["--redo"]).success();
    let shape = kpflow_tests::open(place.path("r.h5")).attr("shape").unwrap().read_raw::<i64>().unwrap();
    {
        let file = open_rw(place.path("x.h5"));
        let zeros = ndarray::Array2::<f64>::from_elem((shape[0] as usize, shape[2] as usize), 0.1);
        file.new_dataset_builder().with_data(&zeros).create("h0").unwrap();
    }
    place.job(&format!(
        "[model]\nkind = \"gru\"\nweights = \"w.safetensors\"\n[data]\ninputs = \"x.h5:/inputs\"\ninitial_state = \"x.h5:/h0\"\n\
         [output]\nfile = \"r.h5\"\n{TRACE}"
    ));
    place.refused(&["initial_state now and none then"]);
}

#[test]
fn files_that_analyses_are_made_with_count() {
    let place = Place::new();
    std::fs::copy(golden("gru.other.safetensors"), place.path("other.safetensors")).unwrap();
    let align =
        "[[analysis]]\nname = \"a\"\nquantity = \"alignment\"\nmethod = \"dense\"\nwith = \"other.safetensors\"\n";
    let learn = "[[analysis]]\nname = \"l\"\nquantity = \"learnability\"\nwith = \"x.h5:/e\"\n";
    place.job(TRACE);
    place.run(&[]).success();
    let shape = kpflow_tests::open(place.path("r.h5")).attr("shape").unwrap().read_raw::<i64>().unwrap();
    let signal = |at: f64| {
        let file = open_rw(place.path("x.h5"));
        let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
        let e = ndarray::ArrayD::<f64>::from_elem(shape, at);
        if let Ok(set) = file.dataset("e") {
            return set.write(&e).unwrap();
        }
        file.new_dataset_builder().with_data(&e).create("e").map(drop).unwrap();
    };
    signal(1.0);
    place.job(&format!("{TRACE}{align}{learn}"));
    place.run(&["--resume"]).success();
    let before = place.value("r.h5", "a");
    signal(2.0);
    place.refused(&["l (other with)"]);
    signal(1.0);
    std::fs::copy(golden("gru.safetensors"), place.path("other.safetensors")).unwrap();
    place.refused(&["a (other with)"]);
    let done = place.run(&["--redo"]);
    assert!(done.stderr.contains("l: finished before"), "{}", done.stderr);
    assert!(before < 0.999999);
    assert_near("aligned with itself", place.value("r.h5", "a"), 1.0, 1e-9, 1.0);
}

#[test]
fn files_of_other_versions() {
    let place = Place::new();
    place.job(TRACE);
    place.run(&[]).success();
    // As an earlier version left it: nothing says what it was made of.
    {
        let file = open_rw(place.path("r.h5"));
        file.delete_attr("made_of").unwrap();
        file.group("analysis/t").unwrap().delete_attr("made_of").unwrap();
    }
    place.refused(&["made of unknown weights and inputs", "--redo"]);
    let path = place.path("r.h5").display().to_string();
    let page = place.path("page.html").display().to_string();
    kpflow(1, &["report", &path, "--output", &page]).success();
    kpflow(1, &["compare", &path, &path]).success();
    kpflow(1, &["info", &path]).success();
    place.run(&["--redo"]).success();
    place.run(&["--resume"]).success();
    // A format that is not read is not gone on with either.
    {
        let file = open_rw(place.path("r.h5"));
        file.attr("format_version").unwrap().write_scalar(&2i64).unwrap();
    }
    place.refused(&["has format_version 2; this kpflow reads up to 1"]);
}

#[test]
fn stages_are_told_apart_by_what_is_in_them() {
    let place = Place::new();
    std::fs::rename(place.path("w.safetensors"), place.path("step1.safetensors")).unwrap();
    std::fs::copy(golden("gru.other.safetensors"), place.path("step2.safetensors")).unwrap();
    let job = |more: &str| {
        place.job(&format!(
            "[model]\nkind = \"gru\"\nweights = \"step*.safetensors\"\n[data]\ninputs = \"x.h5:/inputs\"\n\
             [output]\nfile = \"r.h5\"\n{TRACE}{more}"
        ));
    };
    job("");
    place.run(&[]).success();
    job("# a comment\n");
    let done = place.run(&["--resume"]);
    assert!(
        done.stderr.contains("step1: finished before") && done.stderr.contains("step2: finished before"),
        "{}",
        done.stderr
    );
    // The first stage is another one now: the second's alignment with it is, too.
    std::fs::copy(place.path("step2.safetensors"), place.path("step1.safetensors")).unwrap();
    let done = place.run(&["--resume"]);
    assert_eq!((done.status.code(), done.errors().len()), (Some(2), 1), "{}", done.stderr);
    assert!(done.errors()[0].contains("r.step1.h5") && done.errors()[0].contains("other weights"), "{}", done.stderr);
    let done = place.run(&["--resume", "--redo"]);
    assert!(!done.stderr.contains("step1: finished"), "{}", done.stderr);
    let (a, b) = (place.value("r.step1.h5", "t"), place.value("r.step2.h5", "t"));
    assert_near("both stages are of one network", a, b, 1e-12, b.abs());
    assert_near("and aligned", place.value("r.step2.h5", "alignment.ntk.step1"), 1.0, 1e-6, 1.0);
}
