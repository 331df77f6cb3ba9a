//! `tests/bad_inputs.toml`: what is wrong, and the one line that says so, word for word; exit 2, alone and on three ranks, and nothing left behind.

use kpflow_tests::{command, example, Background};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

const JOB: &str = "\
[model]
kind = \"gru\"
weights = \"w.safetensors\"
[data]
inputs = \"x.npy\"
[[analysis]]
name = \"t\"
quantity = \"trace\"
";

/// The tensors of a GRU of two units that reads three numbers.
const TENSORS: [(&str, &[usize]); 4] =
    [("weight_ih_l0", &[6, 3]), ("weight_hh_l0", &[6, 2]), ("bias_ih_l0", &[6]), ("bias_hh_l0", &[6])];
const INPUTS: [usize; 3] = [3, 4, 3];

struct Case {
    name: String,
    arguments: Vec<String>,
    job: String,
    files: Vec<(String, String)>,
    message: String,
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("bad_inputs.toml");
    let table: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let cases = table["case"].as_array().unwrap();
    let text = |v: &toml::Value| v.as_str().unwrap().to_string();
    let list = |v: &toml::Value| v.as_array().unwrap().iter().map(text).collect::<Vec<String>>();
    let known = ["name", "arguments", "replace", "job", "files", "message"];
    let one = |case: &toml::Value| {
        let case = case.as_table().unwrap();
        let name = text(&case["name"]);
        assert!(case.keys().all(|k| known.contains(&k.as_str())), "{name}: an unknown key");
        let mut job = case.get("job").map_or(JOB.to_string(), text);
        for pair in case.get("replace").and_then(|r| r.as_array()).into_iter().flatten() {
            let pair = list(pair);
            assert!(job.contains(&pair[0]), "{name}: the job has no {:?}", pair[0]);
            job = job.replacen(&pair[0], &pair[1], 1);
        }
        let arguments = case.get("arguments").map_or(vec!["run".into(), "job.toml".into()], list);
        let files = case.get("files").and_then(|f| f.as_table()).into_iter().flatten();
        let files = files.map(|(file, how)| (file.clone(), text(how))).collect();
        Case { name, arguments, job, files, message: text(&case["message"]) }
    };
    cases.iter().map(one).collect()
}

fn doubles(x: &[f64]) -> Vec<u8> {
    x.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn sizes(text: &str) -> Vec<usize> {
    text.split(',').filter(|d| !d.is_empty()).map(|d| d.parse().unwrap()).collect()
}

fn npy(shape: &[usize], kind: &str, fortran: bool, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let axes: String = shape.iter().map(|d| format!("{d}, ")).collect();
    let header = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': ({axes}), }}");
    let header = format!("{header:<117}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
}

/// A checkpoint with one thing about a tensor changed: `without`, `nan`, `times`, `shape` or `type`, its name, and what; by `rename`,
/// all names; by `with`, one tensor more.
fn checkpoint(path: &Path, change: &[&str]) {
    let mut kept = Vec::new();
    for (name, shape) in TENSORS {
        let (mut shape, mut kind) = (shape.to_vec(), Dtype::F64);
        let mut data: Vec<f64> = (0..shape.iter().product()).map(|i| 0.1 * (i as f64 + 0.5).sin()).collect();
        match change {
            ["without", of] if *of == name => continue,
            ["nan", of] if *of == name => data[3] = f64::NAN,
            ["times", of, by] if *of == name => data.iter_mut().for_each(|x| *x *= by.parse::<f64>().unwrap()),
            ["shape", of, to] if *of == name => {
                shape = sizes(to);
                data.resize(shape.iter().product(), 0.5);
            }
            ["type", of] if *of == name => kind = Dtype::I64,
            _ => {}
        }
        kept.push((name, kind, shape, doubles(&data)));
    }
    if let ["with", name, shape] = change {
        let shape = sizes(shape);
        let data = vec![0.5; shape.iter().product()];
        kept.push((name, Dtype::F64, shape, doubles(&data)));
    }
    let prefix = if let ["rename", prefix] = change { prefix } else { "" };
    let views = kept.iter().map(|(name, kind, shape, data)| {
        (format!("{prefix}{name}"), TensorView::new(*kind, shape.clone(), data).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// Does to a file what the table says.
fn change(path: &Path, how: &str) {
    let words: Vec<&str> = how.split(' ').collect();
    match &words[..] {
        ["remove"] => std::fs::remove_file(path).unwrap(),
        ["empty"] => std::fs::write(path, "").unwrap(),
        ["directory"] => {
            let _ = std::fs::remove_file(path);
            std::fs::create_dir(path).unwrap();
        }
        ["text", ..] => std::fs::write(path, &how[5..]).unwrap(),
        ["bytes", bytes @ ..] => {
            std::fs::write(path, bytes.iter().map(|b| u8::from_str_radix(b, 16).unwrap()).collect::<Vec<u8>>()).unwrap()
        }
        ["cut", len] => {
            let bytes = std::fs::read(path).unwrap();
            std::fs::write(path, &bytes[..len.parse().unwrap()]).unwrap();
        }
        ["copy", from, rest @ ..] => {
            let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(from)).unwrap();
            let len = rest.first().map_or(bytes.len(), |len| len.parse().unwrap());
            std::fs::write(path, &bytes[..len]).unwrap();
        }
        ["npy", shape, rest @ ..] => {
            let shape = sizes(shape);
            let mut data = vec![0.5; shape.iter().product()];
            if let ["nan"] = rest {
                *data.last_mut().unwrap() = f64::NAN;
            }
            let kind = if let ["type", kind] = rest { kind } else { "<f8" };
            std::fs::write(path, npy(&shape, kind, *rest == ["fortran"], &doubles(&data))).unwrap();
        }
        ["hdf5", sets @ ..] => {
            let file = kpflow_tests::create(path);
            for set in sets {
                let (name, shape) = set.split_once('=').unwrap();
                match shape {
                    "words" => {
                        let word: hdf5::types::VarLenUnicode = "a".parse().unwrap();
                        file.new_dataset_builder().with_data(&ndarray::arr1(&[word])).create(name).unwrap();
                    }
                    _ => {
                        let data = ndarray::ArrayD::from_elem(sizes(shape), 0.5);
                        file.new_dataset_builder().with_data(&data).create(name).unwrap();
                    }
                }
            }
        }
        ["foreign"] => kpflow_tests::create(path).create_group("mine").map(drop).unwrap(),
        // The results of a good run of this job, with one line replaced.
        ["results", ..] => {
            let job = path.with_file_name("other.toml");
            std::fs::write(&job, format!("[compute]\nseed = 9\n{JOB}")).unwrap();
            let mut run = command(1, &["run", "other.toml", "--quiet", "--output"]);
            run.arg(path).current_dir(path.parent().unwrap());
            Background::start(run).wait().success();
        }
        change => checkpoint(path, change),
    }
}

/// All files of a directory and what is in them.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        match entry.path().is_dir() {
            true => all.extend(contents(&entry.path())),
            false => drop(all.insert(entry.path(), std::fs::read(entry.path()).unwrap())),
        }
    }
    all
}

/// A process that starts while another thread writes an HDF5 file holds that file open, and locked, as long as it lives.
static FORKS: Mutex<()> = Mutex::new(());

/// A case ready to run: its directory and what is in it.
struct Ready<'c> {
    case: &'c Case,
    directory: TempDir,
    before: BTreeMap<PathBuf, Vec<u8>>,
}

impl<'c> Ready<'c> {
    fn new(case: &'c Case) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("job.toml"), &case.job).unwrap();
        std::fs::write(path("arguments"), case.arguments.join("\n")).unwrap();
        checkpoint(&path("w.safetensors"), &[]);
        std::fs::write(path("x.npy"), npy(&INPUTS, "<f8", false, &doubles(&[0.5; 36]))).unwrap();
        let alone = FORKS.lock().unwrap_or_else(PoisonError::into_inner);
        case.files.iter().for_each(|(file, how)| change(&path(file), how));
        drop(alone);
        let before = contents(directory.path());
        Self { case, directory, before }
    }

    /// Runs the program.
    fn run(&self, ranks: usize) -> (Option<i32>, Vec<String>) {
        let mut run = command(ranks, &self.case.arguments);
        run.current_dir(self.directory.path());
        let alone = FORKS.lock().unwrap_or_else(PoisonError::into_inner);
        let run = Background::start(run);
        drop(alone);
        let done = run.wait();
        // Before it there may be what a run begins with, or words of mpirun.
        let lines = done.stderr.lines().filter(|l| l.contains("error:") || l.contains("panicked"));
        (done.status.code(), lines.map(String::from).collect())
    }

    /// What is wrong with how the program answers; nothing, if it is right.
    fn wrong(&self, ranks: usize, code: Option<i32>, lines: &[String]) -> Option<String> {
        let name = &self.case.name;
        let right = format!("error: {}", self.case.message.replace("RANKS", &ranks.to_string()));
        let said = lines.join("\n        ");
        if lines != [right.as_str()] || code != Some(2) {
            return Some(format!("{name} on {ranks} ranks, status {code:?}\n  is    {said}\n  not   {right}"));
        }
        let after = contents(self.directory.path());
        let left: Vec<&PathBuf> = after.keys().filter(|f| !self.before.contains_key(*f)).collect();
        (self.before != after).then(|| format!("{name} on {ranks} ranks: leaves {left:?}, or changes a file"))
    }
}

/// Asserts that no answer was wrong.
#[track_caller]
fn right(all: &[Option<String>]) {
    let wrong: Vec<&str> = all.iter().flatten().map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} of {} answers:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

/// What is wrong in a case is what the table says, and nothing else: the job as it is runs.
#[test]
fn what_is_left_as_it_was_runs() {
    let case = Case {
        name: "good".into(),
        arguments: vec!["run".into(), "job.toml".into()],
        job: JOB.into(),
        files: Vec::new(),
        message: String::new(),
    };
    for ranks in [1, 3] {
        let (code, lines) = Ready::new(&case).run(ranks);
        assert_eq!((code, lines.len()), (Some(0), 0), "{lines:?}");
    }
}

#[test]
fn on_one_rank() {
    let cases = cases();
    assert!(cases.len() >= 60);
    let names: BTreeSet<&str> = cases.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "names are unique");
    let answer = |case: &Case| {
        let ready = Ready::new(case);
        let (code, lines) = ready.run(1);
        ready.wrong(1, code, &lines)
    };
    // MPI takes longer to start than a refusal does, most of it waiting: several at a time.
    let answers: Vec<Option<String>> = std::thread::scope(|scope| {
        let parts = cases.chunks(cases.len().div_ceil(4));
        let running: Vec<_> =
            parts.map(|part| scope.spawn(move || part.iter().map(answer).collect::<Vec<_>>())).collect();
        running.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    right(&answers);
}

/// All cases in one go of mpirun, by the functions that the program calls.
#[test]
fn on_three_ranks() {
    let cases = cases();
    let ready: Vec<Ready<'_>> = cases.iter().map(Ready::new).collect();
    let directories: Vec<&OsStr> = ready.iter().map(|r| r.directory.path().as_os_str()).collect();
    let done = example("refusals", 3, &directories).success();
    let line = |r: &Ready<'_>| {
        let start = format!("{}\t", r.directory.path().display());
        done.lines().find_map(|l| l.strip_prefix(&start)?.split_once('\t')).expect("a line of each")
    };
    let answer = |r: &Ready<'_>| {
        let (code, said) = line(r);
        r.wrong(3, code.parse().ok(), &[format!("error: {said}")])
    };
    right(&ready.iter().map(answer).collect::<Vec<_>>());
}

/// A few of all kinds by the program itself, whose exit status mpirun hands on.
#[test]
fn some_under_mpirun() {
    let cases = cases();
    let answer = |case| {
        let ready = Ready::new(case);
        let (code, lines) = ready.run(3);
        ready.wrong(3, code, &lines)
    };
    right(&cases.iter().step_by(cases.len() / 8).map(answer).collect::<Vec<_>>());
}
