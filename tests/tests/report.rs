//! `kpflow report` and `kpflow compare`, on the results of small golden jobs. What a browser makes of a page: scripts/test-report.sh.

use hdf5::types::VarLenUnicode;
use hdf5::{File, Group};
use kpflow_tests::{golden, kpflow, open_rw, Done, Golden, Job};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// What the results of this file's tests are.
struct Made {
    directory: TempDir,
}

impl Made {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
    /// A copy that a test may spoil.
    fn copy(&self, name: &str, to: &Path) -> File {
        std::fs::copy(self.path(name), to).unwrap();
        open_rw(to)
    }
}

fn job(weights: &str, seed: usize) -> Job {
    let tables = Golden::open("rnn_tanh").tables().replace("rnn_tanh.safetensors", weights);
    let other = format!("with = {:?}\nmethod = \"dense\"", golden("rnn_tanh.other.safetensors"));
    Job::new(tables)
        .line(&format!("[compute]\nseed = {seed}"))
        .line("# </pre><script>alert(1)</script> & \"quoted\"")
        .analysis("trace", "ntk", "trace", "method = \"hutchinson\"\nrtol = 1e-3\nmax_matvecs = 60")
        .analysis("exact", "ntk", "trace", "method = \"exact\"")
        .analysis("rank", "ntk", "effective_rank", "method = \"dense\"")
        .analysis("modes", "ntk", "eigenpairs", "count = 8")
        .analysis("spectrum", "parameter", "density", "")
        .analysis("time", "ntk", "marginal", "axis = \"time\"")
        .analysis("units", "ntk", "marginal", "axis = \"unit\"\nmethod = \"hutchinson\"\nmax_matvecs = 100")
        .analysis("whole", "ntk", "matrix", "")
        .analysis("blocks", "ntk", "blocks", "")
        .analysis("lyapunov", "ntk", "lyapunov", "")
        .analysis("learn", "ntk", "learnability", &format!("with = \"{}:/state\"", golden("rnn_tanh.h5").display()))
        .analysis("singular", "propagator", "singular_triplets", "count = 4")
        .analysis("alignment", "ntk", "alignment", &other)
}

/// Results of two sets of weights, and of the first with another seed, made once.
fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let made = Made { directory: tempfile::tempdir().unwrap() };
        for (name, weights, seed) in [
            ("one.h5", "rnn_tanh.safetensors", 0),
            ("seed.h5", "rnn_tanh.safetensors", 1),
            ("two.h5", "rnn_tanh.other.safetensors", 0),
        ] {
            let job = job(weights, seed);
            job.attempt(1).success();
            std::fs::copy(job.path("results.h5"), made.path(name)).unwrap();
        }
        made
    })
}

fn run(command: &str, arguments: &[&dyn AsRef<Path>]) -> Done {
    let all: Vec<PathBuf> =
        std::iter::once(PathBuf::from(command)).chain(arguments.iter().map(|a| a.as_ref().into())).collect();
    kpflow(1, &all)
}

/// The page of a report of these files.
fn page(files: &[PathBuf]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("page.html");
    let mut arguments: Vec<&dyn AsRef<Path>> = files.iter().map(|f| f as &dyn AsRef<Path>).collect();
    arguments.extend([&"--output" as &dyn AsRef<Path>, &output]);
    let said = run("report", &arguments).success();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with(&output.display().to_string()) && said.contains("KiB"), "{said}");
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "only the page is left: {left:?}");
    sound(std::fs::read_to_string(&output).unwrap())
}

/// Asserts what every page must be.
#[track_caller]
fn sound(page: String) -> String {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n") && page.len() < 1_000_000);
    for never in ["<script", "http://", "https://", "NaN", "\"inf", ",inf", "-2147483648", "2147483647", "src="] {
        assert!(
            !page.contains(never),
            "{never} at {:?}",
            page.find(never).map(|i| &page[i.saturating_sub(80)..i + 20])
        );
    }
    for tag in ["figure", "svg", "table", "details", "section", "tr", "text", "pre", "title", "desc"] {
        let open = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(open, page.matches(&format!("</{tag}>")).count(), "<{tag}>");
    }
    let figures = page.matches("<figure ").count();
    assert!(figures > 0);
    for once in ["role=\"img\"", "<figcaption>", "aria-labelledby=\"f"] {
        assert_eq!(page.matches(once).count(), figures, "{once}");
    }
    page
}

/// The headings of the figures of a page.
fn titles(page: &str) -> Vec<&str> {
    page.split("<figure ").skip(1).map(|f| f.split("<h3>").nth(1).unwrap().split("</h3>").next().unwrap()).collect()
}

fn text(group: &Group, name: &str, value: &str) {
    let value: VarLenUnicode = value.parse().unwrap();
    match group.attr(name) {
        Ok(attr) => attr.write_scalar(&value).unwrap(),
        Err(_) => group.new_attr::<VarLenUnicode>().create(name).unwrap().write_scalar(&value).unwrap(),
    }
}

fn integer(group: &Group, name: &str, value: i64) {
    match group.attr(name) {
        Ok(attr) => attr.write_scalar(&value).unwrap(),
        Err(_) => group.new_attr::<i64>().create(name).unwrap().write_scalar(&value).unwrap(),
    }
}

#[test]
fn a_page_of_every_quantity() {
    let page = page(&[made().path("one.h5")]);
    assert!(page.contains("&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quoted&quot;"));
    let titles = titles(&page);
    for title in [
        "Spectrum of NTK (modes)",
        "Cumulative energy of NTK (modes)",
        "Residuals of NTK (modes)",
        "Density over log₁₀ λ of K (spectrum)",
        "Density over λ of K (spectrum)",
        "Modes over time of NTK (time)",
        "Marginal over time of NTK (time)",
        "Modes over unit of NTK (units)",
        "Spectrum of the marginal over unit of NTK (units)",
        "The matrix of NTK (whole)",
        "The error signal in the modes of NTK (learn)",
        "Lyapunov exponents of NTK (lyapunov)",
        "Spectrum of P (singular)",
        "Convergence: trace of NTK (trace)",
    ] {
        assert_eq!(titles.iter().filter(|t| **t == title).count(), 1, "{title}: {titles:?}");
    }
    // The numbers are those of the reference.
    let golden = Golden::open("rnn_tanh");
    for reference in ["ntk/trace", "ntk/effective_rank", "ntk/alignment_with_other"] {
        let value = golden.reference(reference);
        let shown = format!("{value:.8}");
        assert!(page.contains(&format!("<td>{}", &shown[..6])), "{reference} {value}");
    }
    // Without the grid lines' colour, and every colour a variable.
    assert!(
        page.contains("stroke=\"var(--s0)\"")
            && !page.contains("#0A63B0\"")
            && page.contains("prefers-color-scheme:dark")
    );
}

#[test]
fn stages_of_a_training_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let files = ["late.h5", "early.h5", "middle.h5"].map(|n| directory.path().join(n));
    for (i, (file, from)) in files.iter().zip(["two.h5", "one.h5", "seed.h5"]).enumerate() {
        let copy = made().copy(from, file);
        text(&copy, "stage", ["step <1500>", "init", "step 300"][i]);
        integer(&copy, "stage_index", [2, 0, 1][i]);
        if i != 1 {
            text(&copy.group("analysis/alignment").unwrap(), "with_stage", "init");
        }
    }
    let page = page(&files);
    let titles = titles(&page);
    assert_eq!(titles[0], "Effective rank of NTK over the stages (rank)");
    assert!(
        titles.contains(&"Alignment of NTK between stages")
            && titles.contains(&"Modes over time of NTK (time), step 300")
    );
    let first = page.split("<figure ").nth(1).unwrap();
    let place = |s: &str| first.find(s).unwrap_or_else(|| panic!("{s} in {first}"));
    assert!(place("init\n") < place("step 300\n") && place("step 300\n") < place("step &lt;1500&gt;\n"));
    // init by itself 1, two known alignments, nothing between step 300 and step 1500.
    let value = format!("{:.3}\n", Golden::open("rnn_tanh").reference("ntk/alignment_with_other"));
    let matrix = page.split("<figure ").find(|f| f.contains("Alignment of NTK between stages")).unwrap();
    assert!(matrix.contains("Blank: not computed") && matrix.matches("1.000\n").count() >= 3, "{matrix}");
    assert!(matrix.matches(&value).count() == 4 || matrix.matches(&value).count() == 2, "{value}");
}

#[test]
fn figures_as_files() {
    let directory = tempfile::tempdir().unwrap();
    let (output, figures) = (directory.path().join("p.html"), directory.path().join("figures"));
    let one = made().path("one.h5");
    run("report", &[&one, &"--output", &output, &"--figures", &figures]).success();
    let page = sound(std::fs::read_to_string(&output).unwrap());
    let names = |end: &str| -> Vec<String> {
        let all = std::fs::read_dir(&figures).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut all: Vec<_> = all.filter_map(|n| n.strip_suffix(end).map(str::to_string)).collect();
        all.sort();
        all
    };
    assert_eq!(names(".svg"), names(".png"));
    assert_eq!(names(".svg").len(), page.matches("<figure ").count());
    assert!(names(".svg").contains(&"one-time-matrix".to_string()), "{:?}", names(".svg"));
    for name in names("") {
        let bytes = std::fs::read(figures.join(&name)).unwrap();
        match name.ends_with(".png") {
            true => assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.len() > 2000, "{name}"),
            false => {
                assert!(bytes.starts_with(b"<svg ") && !String::from_utf8(bytes).unwrap().contains("var(--"), "{name}")
            }
        }
    }
}

#[test]
fn unfinished_and_not_finite() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("odd.h5");
    let file = made().copy("one.h5", &path);
    text(&file, "status", "running");
    let set = |name: &str| file.dataset(&format!("analysis/{name}")).unwrap();
    set("trace/standard_error").write_scalar(&f64::INFINITY).unwrap();
    set("rank/value").write_scalar(&f64::NAN).unwrap();
    for (name, odd) in [
        ("trace/history", f64::INFINITY),
        ("modes/eigenvalues", f64::NAN),
        ("modes/residuals", f64::INFINITY),
        ("time/matrix", f64::NEG_INFINITY),
        ("time/modes", f64::NAN),
        ("spectrum/log10_density", f64::NAN),
        ("spectrum/density", 1e300),
        ("lyapunov/exponents", f64::NEG_INFINITY),
        ("whole/matrix", 0.0),
    ] {
        let data = set(name);
        let mut numbers = data.read_dyn::<f64>().unwrap();
        let len = numbers.len();
        // All of the whole matrix, every third of the others.
        numbers.iter_mut().enumerate().filter(|(i, _)| len > 3000 || i % 3 == 1).for_each(|(_, x)| *x = odd);
        data.write(&numbers).unwrap();
    }
    file.close().unwrap();
    let page = page(std::slice::from_ref(&path));
    assert!(
        page.contains("not complete: what had finished is shown")
            && page.contains("± ?")
            && page.contains("not a number")
    );
    // None at all had finished.
    let file = open_rw(&path);
    let group = file.group("analysis").unwrap();
    group.member_names().unwrap().iter().for_each(|n| group.unlink(n).unwrap());
    drop((group, file));
    let output = directory.path().join("none.html");
    run("report", &[&path, &"--output", &output]).success();
    assert!(std::fs::read_to_string(&output).unwrap().contains("No analysis had finished."));
}

#[test]
fn compared() {
    let [one, two, seed] = ["one.h5", "two.h5", "seed.h5"].map(|n| made().path(n));
    let said = run("compare", &[&one, &one]).success();
    assert!(!said.contains("DIFFERS") && said.contains("exact value") && said.contains("singular σ_1"), "{said}");
    // Another seed: estimates are apart, within their errors.
    let said = run("compare", &[&one, &seed]).success();
    assert!(!said.contains("DIFFERS"), "{said}");
    let apart = |name: &str| said.lines().find(|l| l.starts_with(name)).unwrap().to_string();
    assert!(!apart("trace value").contains(" 0.00 of"), "{said}");
    // Other weights.
    let done = run("compare", &[&one, &two]);
    assert_eq!((done.status.code(), done.errors().len()), (Some(1), 1), "{}", done.stderr);
    assert!(done.errors()[0].contains("differ by more than their errors in") && done.errors()[0].contains("exact"));
    let done = run("compare", &[&one, &two, &"--json"]);
    assert_eq!(done.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let golden = Golden::open("rnn_tanh").reference("ntk/trace");
    let rows = json["rows"].as_array().unwrap();
    let row = rows.iter().find(|r| r["analysis"] == "exact").unwrap();
    assert!(json["agree"] == false && row["agrees"] == false);
    assert!((row["a"].as_f64().unwrap() - golden).abs() < 1e-9 * golden, "{row}");
}

#[test]
fn compared_with_less_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("less.h5");
    let file = made().copy("one.h5", &path);
    let group = file.group("analysis").unwrap();
    group.unlink("exact").unwrap();
    text(&group.group("rank").unwrap(), "quantity", "stable_rank");
    drop((group, file));
    let one = made().path("one.h5");
    let done = run("compare", &[&one, &path]);
    assert_eq!(done.status.code(), Some(1));
    for words in ["only in one.h5: exact", "rank is effective_rank of ntk in one, stable_rank of ntk in the other"] {
        assert!(done.stdout.contains(words), "{}", done.stdout);
    }
    let file = open_rw(&path);
    let group = file.group("analysis").unwrap();
    group.member_names().unwrap().iter().filter(|n| *n != "time").for_each(|n| group.unlink(n).unwrap());
    group.relink("time", "another").unwrap();
    drop((group, file));
    let done = run("compare", &[&one, &path]);
    assert_eq!((done.status.code(), done.errors().len()), (Some(2), 1), "{}", done.stderr);
    assert!(done.errors()[0].contains("no analysis in common") && done.errors()[0].contains("another"));
}

#[test]
fn wrong_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::create_dir(path("directory")).unwrap();
    std::fs::write(path("empty"), b"").unwrap();
    std::fs::write(path("text"), b"[model]\nkind = \"gru\"\n").unwrap();
    drop(File::create(path("other")).unwrap());
    let bytes = std::fs::read(made().path("one.h5")).unwrap();
    std::fs::write(path("cut"), &bytes[..bytes.len() / 2]).unwrap();
    let newer = made().copy("one.h5", &path("newer"));
    integer(&newer, "format_version", 2);
    drop(newer);
    let spoil = |name: &str, dataset: &str, shape: &[usize]| {
        let file = made().copy("one.h5", &path(name));
        file.unlink(dataset).unwrap();
        file.new_dataset::<f64>().shape(shape).create(dataset).unwrap();
    };
    spoil("flat", "analysis/time/matrix", &[36]);
    spoil("short", "analysis/modes/residuals", &[3]);
    spoil("steps", "analysis/trace/history", &[5, 2]);
    let file = made().copy("one.h5", &path("huge"));
    file.unlink("analysis/time/modes").unwrap();
    file.new_dataset::<f64>()
        .chunk((64, 64))
        .shape((1usize << 30, 1usize << 20))
        .create("analysis/time/modes")
        .unwrap();
    drop(file);
    let file = made().copy("one.h5", &path("words"));
    file.unlink("analysis/trace/value").unwrap();
    file.new_dataset::<VarLenUnicode>().create("analysis/trace/value").unwrap();
    drop(file);
    let file = made().copy("one.h5", &path("nameless"));
    file.delete_attr("model").unwrap();
    drop(file);
    for (name, words) in [
        ("missing", "cannot be read: No such file"),
        ("directory", "is a directory; a result file"),
        ("empty", "is empty; a result file"),
        ("text", "is not an HDF5 file; a result file that kpflow run wrote is needed"),
        ("other", "is HDF5, but not a result file of kpflow"),
        ("cut", "is HDF5, but damaged or cut short"),
        ("newer", "has format_version 2; this kpflow reads up to 1"),
        ("flat", "/analysis/time/matrix has 1 axes where 2 are right"),
        ("short", "/analysis/modes: residuals [3] and eigenvalues [8] differ in shape"),
        ("steps", "/analysis/trace/history is [5, 2]; it should be [steps, 3]"),
        ("huge", "/analysis/time/modes claims a shape"),
        ("words", "/analysis/trace/value is not numbers"),
        ("nameless", "has no readable attribute model at /"),
    ] {
        let (file, output) = (path(name), path("never.html"));
        for done in [run("report", &[&file, &"--output", &output]), run("compare", &[&made().path("one.h5"), &file])] {
            let all = format!("{name}: {}{}", done.stdout, done.stderr);
            assert_eq!((done.status.code(), done.errors().len()), (Some(2), 1), "{all}");
            assert!(done.errors()[0].contains(words) && done.errors()[0].contains(&*file.to_string_lossy()), "{all}");
            assert_eq!(done.stderr.lines().count(), 1, "{all}");
        }
        assert!(!output.exists());
    }
    let one = made().path("one.h5");
    for output in [path("directory"), path("not/there.html")] {
        let done = run("report", &[&one, &"--output", &output]);
        assert_eq!((done.status.code(), done.errors().len()), (Some(2), 1), "{}", done.stderr);
    }
}

#[test]
fn one_rank_of_several_writes() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("p.html");
    let one = made().path("one.h5");
    let arguments = ["report".as_ref(), one.as_os_str(), "--output".as_ref(), output.as_os_str()];
    let said = kpflow(2, &arguments).success();
    assert_eq!(said.lines().count(), 1, "{said}");
    sound(std::fs::read_to_string(&output).unwrap());
    let done = kpflow(2, &["report", "/nowhere/a.h5"]);
    assert!(!done.status.success() && done.errors().len() == 1, "{}", done.stderr);
}
