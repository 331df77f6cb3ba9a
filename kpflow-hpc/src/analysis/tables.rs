//! The tables of JOB.md, RESULTS.md and REPORT.md, made of what is known of the quantities.

use super::keys::{self, Kind, Unsaid};
use super::{outputs, with_key, Key, Output, ALL};
use crate::brought::{self, Place};

/// A table of Markdown.
fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = heads.iter().map(|h| h.to_string()).collect();
    let escaped = |row: Vec<String>| row.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>();
    let rows: String = rows.map(|row| line(&escaped(row))).collect();
    format!("{}|{}\n{rows}", line(&head), "---|".repeat(heads.len()))
}

fn code(name: &str) -> String {
    format!("`{name}`")
}

/// The quantities, and which keys are theirs.
pub fn quantities() -> String {
    let keys = |keys: &[&Key]| keys.iter().map(|k| code(k.name)).collect::<Vec<_>>().join(", ");
    let row = |q: &&super::Quantity| vec![code(q.name), q.formula.into(), q.about.into(), keys(q.keys)];
    table(&["quantity", "formula", "what it tells", "keys of its own"], ALL.iter().map(row))
}

/// The keys.
pub fn all_keys() -> String {
    let row = |key: &'static Key| {
        let names: Vec<String> = key.names().map(code).collect();
        let of = match keys::COMMON.iter().any(|k| k.name == key.name) {
            true => "all".into(),
            false => with_key(key).join(", "),
        };
        let method = key.method.map_or(String::new(), |m| format!(", method = \"{m}\""));
        vec![names.join(", "), takes(key.kind), unsaid(key), format!("{of}{method}"), key.about.into()]
    };
    table(&["key", "takes", "unless said", "of", "what it says"], keys::all().map(row))
}

fn takes(kind: Kind) -> String {
    match kind {
        Kind::Truth => "true or false".into(),
        Kind::Whole { least } => format!("a whole number from {least}"),
        Kind::Number { range, .. } => range.into(),
        Kind::Word(words) => words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(" or "),
        Kind::Axes => "one or two of \"trajectory\", \"time\", \"unit\"".into(),
        Kind::File => "FILE[:DATASET]".into(),
        Kind::Window => "[first, end]".into(),
        Kind::Units => "a list of whole numbers from 0".into(),
    }
}

fn unsaid(key: &Key) -> String {
    match key.default {
        Unsaid::Required => "required".into(),
        Unsaid::Nothing if matches!(key.kind, Kind::Number { .. }) => "none".into(),
        Unsaid::Nothing => "all".into(),
        Unsaid::Truth(x) => x.to_string(),
        Unsaid::Whole(x) => x.to_string(),
        Unsaid::Number(x) => x.to_string(),
        Unsaid::Word(x) => format!("\"{x}\""),
    }
}

/// Names of other libraries.
pub fn brought() -> String {
    let row = |b: &brought::Brought| {
        let (here, place) = match b.place {
            Place::Analysis => (code(b.ours), "a key of an analysis".into()),
            Place::Quantity => (format!("`quantity = \"{}\"`", b.ours), "a quantity".into()),
            Place::Value => (format!("`\"{}\"`", b.ours), "a value".into()),
            Place::Compute(python) => (code(b.ours), format!("`[compute]`; in Python `{python}` of `linearize`")),
            Place::CommandLine(python) => {
                (format!("`{} N`", b.ours), format!("the command line; in Python `{python}` of `linearize`"))
            }
            Place::Nowhere => ("none".into(), b.ours.into()),
        };
        vec![b.names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", "), here, place]
    };
    table(&["elsewhere", "here", "where"], brought::ALL.iter().map(row))
}

/// The datasets of the result file, those that are alike in one row.
pub fn datasets() -> String {
    let cells = |o: &Output| {
        let shape: Vec<&str> = o.dimensions.iter().map(|d| d.symbol()).collect();
        let shape = if shape.is_empty() { "scalar".into() } else { format!("[{}]", shape.join(", ")) };
        let asked = o.asked.map_or(String::new(), |key| format!(" If {key} = true."));
        [shape, o.unit.into(), o.error.map_or(String::new(), code), format!("{}{asked}", o.meaning)]
    };
    let mut rows: Vec<(&str, Vec<&str>, [String; 4])> = Vec::new();
    for (q, o) in ALL.iter().flat_map(|q| q.outputs.iter().map(move |o| (q, o))) {
        let (of, cells) = (q.name, cells(o));
        match rows.iter_mut().find(|r| r.0 == o.name && r.2 == cells) {
            Some((_, quantities, _)) => quantities.push(of),
            None => rows.push((o.name, vec![of], cells)),
        }
    }
    // All of one name together, in the order of their first.
    let place = |name: &str| outputs().position(|o| o.name == name);
    rows.sort_by_key(|r| place(r.0));
    let row = |(name, of, cells): (&str, Vec<&str>, [String; 4])| {
        [code(name), of.join(", ")].into_iter().chain(cells).collect::<Vec<_>>()
    };
    table(&["dataset", "of", "shape", "unit", "its error", "what it is"], rows.into_iter().map(row))
}

/// The figures of the report.
pub fn figures() -> String {
    let row = |q: &&super::Quantity| {
        let figures: Vec<&str> = q.figures.iter().map(|p| p.about()).collect();
        vec![code(q.name), figures.join("; ")]
    };
    table(&["quantity", "figures"], ALL.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Says to write the files anew.
    const WRITE: &str = "KPFLOW_WRITE_TABLES";

    /// The text with what stands between the marks of a table replaced.
    fn with(text: &str, name: &str, table: &str) -> String {
        let (begin, end) = (format!("<!-- table: {name} -->\n"), format!("<!-- end: {name} -->\n"));
        let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{begin} is missing"));
        let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{end} is missing"));
        format!("{before}{begin}{table}{end}{after}")
    }

    #[test]
    fn documents_have_the_tables() {
        for (file, tables) in [
            ("JOB.md", vec![("quantities", quantities()), ("keys", all_keys()), ("brought", brought())]),
            ("RESULTS.md", vec![("datasets", datasets())]),
            ("REPORT.md", vec![("figures", figures())]),
        ] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let there = std::fs::read_to_string(&path).unwrap();
            let right = tables.iter().fold(there.clone(), |text, (name, table)| with(&text, name, table));
            if std::env::var_os(WRITE).is_some() {
                std::fs::write(&path, &right).unwrap();
                continue;
            }
            let command = format!("{WRITE}=1 cargo test -p kpflow-hpc --lib analysis");
            assert!(there == right, "{file} is not as kpflow-hpc/src/analysis says; {command} writes it anew");
        }
    }
}
