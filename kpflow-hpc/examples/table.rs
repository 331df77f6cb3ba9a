//! Prints a few result files side by side: `table RESULTS.h5 …`.
//!
//! Every scalar of an analysis with its standard error, and the leading eigenvalues.

use hdf5::{File, Group};
use kpflow_hpc::results::table::{number, place, value};

/// The leading eigenvalues that are printed.
const LEADING: usize = 5;

/// The rows of one analysis: what they are called, and the cell.
fn rows(name: &str, analysis: &Group) -> hdf5::Result<Vec<(String, String)>> {
    if let Ok(eigenvalues) = analysis.dataset("eigenvalues") {
        let values = eigenvalues.read_raw::<f64>()?;
        let row = |(i, &value): (usize, &f64)| (format!("{name} λ_{}", i + 1), number(value, place(value, 6)));
        return Ok(values.iter().take(LEADING).enumerate().map(row).collect());
    }
    let cell = value(analysis).unwrap_or_else(|| "-".into());
    Ok(vec![(name.into(), cell)])
}

fn print(paths: &[String]) -> hdf5::Result<()> {
    let mut table: Vec<(String, Vec<String>)> = Vec::new();
    let mut heads = Vec::new();
    for (column, path) in paths.iter().enumerate() {
        let file = File::open(path)?;
        let analyses = file.group("analysis")?;
        let stem = std::path::Path::new(path).file_stem().map_or(path.into(), |s| s.to_string_lossy());
        heads.push(stem.into_owned());
        for name in analyses.member_names()? {
            for (label, cell) in rows(&name, &analyses.group(&name)?)? {
                let row = table.iter().position(|r| r.0 == label).unwrap_or_else(|| {
                    table.push((label, vec!["-".into(); paths.len()]));
                    table.len() - 1
                });
                table[row].1[column] = cell;
            }
        }
    }
    let line = |label: &str, cells: &[String]| {
        println!("{label:<18}{}", cells.iter().map(|c| format!("{c:>24}")).collect::<String>());
    };
    line("", &heads);
    table.iter().for_each(|(label, cells)| line(label, cells));
    Ok(())
}

fn main() -> std::process::ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    match print(&paths) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            std::process::ExitCode::FAILURE
        }
    }
}
