//! What is told is what is taken: every quantity of every operator by every method, on five kinds of models, in both precisions, on one and two ranks.
//!
//! The combinations are the program's own lists. `kpflow plan` tells products, memory and bytes sent of each; the result file has what a run took.

use kpflow_hpc::analysis::keys::{Key, Kind};
use kpflow_hpc::analysis::{self, offers, Offer, Operator, Quantity, With};
use kpflow_tests::models::{dataset, model, FIVE};
use kpflow_tests::{perform, Results};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Products that an analysis may spend.
const BUDGET: usize = 60;

/// Methods that look at small matrices before they send: where those are far from singular, less is sent than may be.
const LOOK_FIRST: [&str; 4] = ["nystrompp", "xnystrace", "per_trajectory_xnystrace", "block_krylov"];

/// The method whose preconditioner numbers decide on: where it takes none, or a small one, less is taken than may be.
const PRECONDITIONED: &str = "cg";

/// One analysis.
#[derive(Clone)]
struct Cell {
    name: String,
    operator: Operator,
    /// Its table in a job.
    table: String,
}

/// What the table of an analysis may say of a key: a line each.
fn said(key: &Key, quantity: &Quantity) -> Vec<String> {
    let name = key.name;
    match key.kind {
        Kind::Truth => vec![format!("{name} = true")],
        Kind::Whole { .. } => vec![format!("{name} = 6")],
        Kind::Number { .. } => vec![String::new()],
        Kind::Word(words) => words.iter().map(|word| format!("{name} = \"{word}\"")).collect(),
        Kind::Axes => ["[\"trajectory\"]", "[\"time\"]", "[\"unit\"]", "[\"time\", \"unit\"]"]
            .map(|axes| format!("{name} = {axes}"))
            .to_vec(),
        Kind::File => vec![match quantity.with {
            Some(With::Weights) => format!("{name} = \"../other.safetensors\""),
            Some(With::State | With::Vectors) | None => format!("{name} = \"../e.h5:/e\""),
        }],
        Kind::Window | Kind::Units => panic!("{name} is a key of one quantity; say what it may be"),
    }
}

/// The analyses of an operator by a method of a quantity.
fn cells(quantity: &Quantity, offer: &Offer, (name, operator): (&str, Operator)) -> Vec<Cell> {
    let of_method = |key: &Key| key.method.is_none_or(|m| m == offer.name);
    let mut all = vec![(format!("{}.{name}.{}", quantity.name, offer.name), String::new())];
    for key in quantity.keys.iter().filter(|key| of_method(key)) {
        let lines = said(key, quantity);
        let more = |(name, rest): &(String, String)| {
            let many = lines.len() > 1;
            let with = |(i, line): (usize, &String)| {
                (if many { format!("{name}.{i}") } else { name.clone() }, format!("{rest}{line}\n"))
            };
            lines.iter().enumerate().map(with).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(more).collect();
    }
    let cell = |(full, rest): (String, String)| {
        let table = format!(
            "[[analysis]]\nname = \"{full}\"\noperator = \"{name}\"\nquantity = \"{}\"\nmethod = \"{}\"\nrtol = 0\nmax_matvecs = {BUDGET}\n{rest}",
            quantity.name, offer.name
        );
        Cell { name: full, operator, table }
    };
    all.into_iter().map(cell).collect()
}

/// Every analysis that there is.
fn every_cell() -> Vec<Cell> {
    let of = |q: &'static Quantity| {
        let offered = offers(q).into_iter().flat_map(move |offer| {
            let fitting = Operator::ALL.iter().filter(move |o| (offer.fits)(o.1));
            fitting.flat_map(move |&o| cells(q, &offer, o))
        });
        offered.collect::<Vec<_>>()
    };
    analysis::ALL.iter().flat_map(|q| of(q)).collect()
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|w| w.to_string()).collect()
}

/// A model in a directory, and its analyses.
struct Case {
    name: String,
    directory: tempfile::TempDir,
    head: String,
}

impl Case {
    fn new(kind: &str, small: bool, precision: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let head = model(kind, small, directory.path())
            + &format!("[compute]\nprecision = \"{precision}\"\n[output]\ncheckpoint = \"never\"\n");
        let case =
            Self { name: format!("{kind} {} {precision}", if small { "small" } else { "large" }), directory, head };
        // The error signal is of the state's shape, which a plan tells.
        let first = Cell {
            name: "shape".into(),
            operator: Operator::Ntk,
            table: "[[analysis]]\nname = \"shape\"\nquantity = \"trace\"\n".into(),
        };
        let plan = case.plans(&[first]).remove(0).1.unwrap();
        let shape: Vec<usize> =
            plan["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect();
        println!("{}: {shape:?}", case.name);
        dataset(&case.directory.path().join("e.h5"), "e", &shape, 1.0);
        case
    }

    /// Writes a job of some analyses in a directory of its own.
    fn job(&self, name: &str, cells: &[&Cell]) -> PathBuf {
        let directory = self.directory.path().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let tables: String = cells.iter().map(|c| c.table.as_str()).collect();
        std::fs::write(directory.join("job.toml"), format!("{}{tables}", self.head)).unwrap();
        directory
    }

    /// A directory with a job of each.
    fn alone(&self, cells: &[Cell]) -> Vec<PathBuf> {
        cells.iter().map(|c| self.job(&c.name, &[c])).collect()
    }

    /// What is told of each, or why it is refused.
    fn plans(&self, cells: &[Cell]) -> Vec<(Cell, Result<Value, String>)> {
        let plan = |_: &Path| words(&["plan", "job.toml", "--json", "--gflops", "1", "--ranks", "2", "--threads", "1"]);
        let answers = perform(1, &self.alone(cells), plan);
        let found = cells.iter().zip(answers).map(|(cell, a)| match a.code {
            0 => (cell.clone(), Ok(serde_json::from_str(&a.printed).unwrap())),
            2 => (cell.clone(), Err(a.error)),
            code => panic!("{} {}: status {code}, {}", self.name, cell.name, a.error),
        });
        found.collect()
    }

    /// Runs all of them, those of one operator apart from each other, so that none finds products of another: name to its result file.
    fn run(&self, cells: &[Cell], ranks: usize) -> HashMap<String, PathBuf> {
        let mut groups: Vec<Vec<&Cell>> = Vec::new();
        for cell in cells {
            match groups.iter_mut().find(|g| g.iter().all(|c| c.operator != cell.operator)) {
                Some(group) => group.push(cell),
                None => groups.push(vec![cell]),
            }
        }
        let name = |i: usize| format!("run.{ranks}.{i}");
        let directories: Vec<PathBuf> = groups.iter().enumerate().map(|(i, g)| self.job(&name(i), g)).collect();
        let answers = perform(ranks, &directories, |_| words(&["run", "job.toml", "--quiet", "--threads", "1"]));
        for a in &answers {
            assert_eq!(a.code, 0, "{} on {ranks} ranks: {}", self.name, a.error);
        }
        let files = groups.iter().zip(&directories);
        files.flat_map(|(g, d)| g.iter().map(|c| (c.name.clone(), d.join("results.h5")))).collect()
    }
}

/// What plan tells of the only analysis on so many ranks.
fn told(plan: &Value, ranks: usize) -> &Value {
    let rows = plan["table"].as_array().unwrap();
    &rows.iter().find(|r| r["ranks"] == ranks).unwrap()["analyses"][0]
}

/// Compares what is told of an analysis with what it took; returns what is wrong.
fn compare(what: &str, told: &Value, results: &Results, name: &str) -> Option<String> {
    let number = |v: &Value| v.as_f64().unwrap();
    let [least, most] = [0, 1].map(|i| number(&told["products"][i]).ceil());
    let [spent, memory, sent] = ["matvecs", "memory", "bytes_sent"].map(|a| results.count(name, a) as f64);
    let (memory_told, sent_told) = (number(&told["memory_bytes"]), number(&told["bytes_sent"]));
    let method = told["method"].as_str().unwrap();
    println!(
        "{:.2} s {what} ({method}): {spent} of {least}-{most} products; {:.2} MiB, {:.3} of it told; {sent} bytes sent, {:.3} of them told",
        results.seconds(name),
        memory / 1048576.0,
        memory_told / memory.max(1.0),
        sent_told / sent.max(1.0)
    );
    // The budget is spent, unless numbers end it before: a rank below it, or an error of 0. Then less is taken than at most.
    let (all, mut wrong) = (spent == most, Vec::new());
    if all && results.method(name) != method {
        wrong.push(format!("method {method} told, {} taken", results.method(name)));
    }
    if spent < least || spent > most {
        wrong.push(format!("{spent} products spent, {least} to {most} told"));
    }
    let all = all && method != PRECONDITIONED;
    if memory_told < memory || all && memory_told > 1.1 * memory + f64::from(4 << 20) {
        wrong.push(format!("{memory} bytes of memory taken, {memory_told} told"));
    }
    // What ranks agree on beside an analysis is some hundred bytes.
    let (slack, near) = (1000.0, all && !LOOK_FIRST.contains(&method));
    if sent_told + 0.1 * sent + slack < sent || near && sent_told > 1.1 * sent + slack {
        wrong.push(format!("{sent} bytes sent, {sent_told} told"));
    }
    (!wrong.is_empty()).then(|| format!("{what} ({method}): {}", wrong.join("; ")))
}

fn walk(kind: &str, precision: &str) {
    let mut wrong = Vec::new();
    // The whole matrix of ten thousand numbers takes minutes and a gigabyte.
    let (later, mut cells): (Vec<_>, Vec<_>) = every_cell().into_iter().partition(|c| c.name.starts_with("matrix."));
    for small in [false, true] {
        let case = Case::new(kind, small, precision);
        let plans = case.plans(&cells);
        let (good, refused): (Vec<_>, Vec<_>) = plans.into_iter().partition(|p| p.1.is_ok());
        println!("{}: {} analyses, {} refused", case.name, good.len(), refused.len());
        let legal: Vec<Cell> = good.iter().map(|g| g.0.clone()).collect();
        for ranks in [1, 2] {
            let files = case.run(&legal, ranks);
            for (cell, plan) in &good {
                let what = format!("{} {} on {ranks}", case.name, cell.name);
                let results = Results::open(&files[&cell.name]);
                wrong.extend(compare(&what, told(plan.as_ref().unwrap(), ranks), &results, &cell.name));
            }
        }
        // What the large model is too large for.
        cells = refused.into_iter().map(|r| r.0).chain(later.clone()).collect();
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

macro_rules! walks {
    ($($(#[$more:meta])* $name:ident: $kind:literal, $precision:literal;)*) => {
        $($(#[$more])* #[test]
        fn $name() {
            assert!(FIVE.contains(&$kind));
            walk($kind, $precision);
        })*
    };
}

// All ten take some minutes, by `cargo test --test told -- --include-ignored`.
walks! {
    gru_f64: "gru", "f64";
    mlp_f32: "mlp", "f32";
    #[ignore = "minutes"] gru_f32: "gru", "f32";
    #[ignore = "minutes"] two_layers_f64: "two_layers", "f64";
    #[ignore = "minutes"] two_layers_f32: "two_layers", "f32";
    #[ignore = "minutes"] mlp_f64: "mlp", "f64";
    #[ignore = "minutes"] transformer_f64: "transformer", "f64";
    #[ignore = "minutes"] transformer_f32: "transformer", "f32";
    #[ignore = "minutes"] conv_f64: "conv", "f64";
    #[ignore = "minutes"] conv_f32: "conv", "f32";
}
