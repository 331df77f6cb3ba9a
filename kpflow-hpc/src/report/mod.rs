//! `kpflow report`: result files as one page of pictures and tables, which needs nothing but itself.

mod bitmap;
mod cells;
mod colors;
mod draw;
mod figure;
mod figures;
mod page;
mod part;
mod plot;
mod raster;
mod scale;
mod style;
mod text;

pub use figures::Stage;
pub use part::part;

use crate::cli;
use crate::comm::Comm;
use crate::error::{Error, Kind, Result};
use crate::replace::{begins_with, replace, replaceable, Own};
use crate::results::read::Results;
use crate::spelling::number_of;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Runs the command, on one rank.
///
/// **Errors**: a file is not a result file, or what is asked for cannot be written.
pub fn report(options: &cli::Report, comm: Comm) -> Result<()> {
    comm.agree(if comm.is_root() { write(options) } else { Ok(()) })
}

fn write(options: &cli::Report) -> Result<()> {
    let stages = open(&options.results)?;
    replaceable(&options.output, &PAGE)?;
    let sections = figures::sections(&stages);
    let drawn: Vec<Vec<_>> = sections.iter().map(|s| s.figures.iter().map(|f| (f, f.draw())).collect()).collect();
    if let Some(directory) = &options.figures {
        let fail = |e: std::io::Error| Error::input(directory, format!("cannot be made: {e}; name a directory"));
        std::fs::create_dir_all(directory).map_err(fail)?;
        let mut taken = BTreeSet::new();
        let named = drawn.iter().flatten().map(|(figure, drawing)| {
            let name = unused(figure.file_name(), &mut taken);
            (figure, drawing, ["svg", "png"].map(|ending| directory.join(format!("{name}.{ending}"))))
        });
        let named: Vec<_> = named.collect();
        named.iter().flat_map(|n| &n.2).try_for_each(|path| replaceable(path, &FIGURE))?;
        for (figure, drawing, [svg, png]) in named {
            put(&svg, figure.svg(drawing).as_bytes())?;
            put(&png, &raster::png(&figure.plot)?)?;
        }
    }
    let page = page::page(&stages, &sections, &drawn);
    put(&options.output, page.as_bytes())?;
    let count: usize = drawn.iter().map(Vec::len).sum();
    let figures = match &options.figures {
        Some(directory) => format!("; the figures as SVG and PNG: {}", directory.display()),
        None => String::new(),
    };
    let size = text::bytes(page.len() as u64);
    let (count, files) = (number_of(count, "figure"), number_of(stages.len(), "file"));
    println!("{}: {count} of {files}, {size}{figures}", options.output.display());
    Ok(())
}

/// Reads the files, in the order of their stages if all of them have one, otherwise as they are named.
fn open(paths: &[PathBuf]) -> Result<Vec<Stage>> {
    let results = paths.iter().map(|p| Results::open(p)).collect::<Result<Vec<_>>>()?;
    let mut stages: Vec<Stage> = results.into_iter().map(|results| Stage { label: results.label(), results }).collect();
    if stages.iter().all(|s| s.results.stage_index.is_some()) {
        stages.sort_by_key(|s| s.results.stage_index);
    }
    // What all file names begin and end with says nothing; files of one name are told apart by their directories.
    let unnamed = stages.iter().all(|s| s.results.stage.is_none());
    if unnamed && stages.len() > 1 {
        let labels: Vec<String> = stages.iter().map(|s| s.label.clone()).collect();
        let same = labels.iter().all(|l| *l == labels[0]);
        let directory = |p: &Path| Some(p.canonicalize().ok()?.parent()?.file_name()?.to_string_lossy().into_owned());
        for (stage, short) in stages.iter_mut().zip(shortened(&labels)) {
            stage.label = match directory(&stage.results.path) {
                Some(directory) if same => format!("{directory}/{short}"),
                _ => short,
            };
        }
    }
    // Names that are there twice get a number.
    let labels: Vec<String> = stages.iter().map(|s| s.label.clone()).collect();
    for (i, stage) in stages.iter_mut().enumerate() {
        let before = labels[..i].iter().filter(|l| **l == labels[i]).count();
        if before > 0 {
            stage.label = format!("{} ({})", labels[i], before + 1);
        }
    }
    Ok(stages)
}

/// Names without the words (up to `_`, `-` or `.`) that all of them begin with.
fn shortened(labels: &[String]) -> Vec<String> {
    let Some(first) = labels.first() else { return Vec::new() };
    let common = labels.iter().fold(first.len(), |n, l| {
        let same = first.bytes().zip(l.bytes()).take_while(|(a, b)| a == b).count();
        n.min(same)
    });
    let cut = first.as_bytes()[..common].iter().rposition(|b| b"_-.".contains(b)).map_or(0, |i| i + 1);
    let short = |l: &String| l.get(cut..).filter(|s| !s.is_empty()).unwrap_or(l).to_string();
    labels.iter().map(short).collect()
}

/// A name of a figure's file that no other figure has.
fn unused(name: String, taken: &mut BTreeSet<String>) -> String {
    let mut unique = name.clone();
    let mut number = 2;
    while !taken.insert(unique.to_lowercase()) {
        unique = format!("{name}-{number}");
        number += 1;
    }
    unique
}

/// A page that `kpflow report` wrote, by what its head says.
const PAGE: Own = Own {
    what: "a page of kpflow report",
    instead: "choose another --output",
    is: |path| Ok(begins_with(path, page::GENERATOR.as_bytes())),
    links: false,
};

/// A figure that it wrote.
const FIGURE: Own = Own {
    what: "a figure of kpflow report",
    instead: "choose another --figures",
    is: |path| Ok(begins_with(path, figure::MARK.as_bytes()) || begins_with(path, raster::MARK)),
    links: false,
};

/// Writes a file beside its place, and moves it there once it is whole.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes).map_err(|e| Error { kind: Kind::Input, ..e })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_what_all_share() {
        let names = |list: &[&str]| shortened(&list.iter().map(|s| s.to_string()).collect::<Vec<_>>());
        assert_eq!(names(&["memory_pro_init", "memory_pro_step300"]), ["init", "step300"]);
        assert_eq!(names(&["step300", "step1500"]), ["step300", "step1500"]);
        assert_eq!(names(&["a_b", "a_b"]), ["b", "b"]);
        assert_eq!(names(&["é_1", "ê_2"]), ["é_1", "ê_2"]);
        let mut taken = BTreeSet::new();
        assert_eq!(["a", "A", "b"].map(|n| unused(n.into(), &mut taken)), ["a", "A-2", "b"]);
    }
}
