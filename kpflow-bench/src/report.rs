//! What is printed and drawn.

use plotters::prelude::*;
use serde_json::Value;
use std::path::Path;

/// A number of a row, NaN if it has none.
pub fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or(f64::NAN)
}

/// A text of a row, empty if it has none.
pub fn text<'v>(row: &'v Value, key: &str) -> &'v str {
    row[key].as_str().unwrap_or("")
}

/// The processor's name.
pub fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("model name"));
    line.and_then(|l| l.split(':').nth(1)).unwrap_or("an unknown processor").trim().into()
}

/// Seconds since 1970.
pub fn today() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// One line of the table of products.
pub fn product(row: &Value) -> String {
    let fraction = match row["of_peak"].as_f64() {
        Some(f) => format!(
            "{:7.1} GFLOP/s  {:3.0} % of the peak  {:3.0} % at these sizes",
            number(row, "gflops"),
            100.0 * f,
            100.0 * number(row, "of_used")
        ),
        None => format!("{:51}", ""),
    };
    let mib = |key| number(row, key) / 1048576.0;
    format!(
        "{:4} {:>4} {} {} thread{}  {:18} {:9.3} ms a vector  {fraction}  {:5.0} MiB, predicted {:.0}",
        text(row, "cell"),
        number(row, "hidden"),
        text(row, "precision"),
        number(row, "threads"),
        if number(row, "threads") > 1.0 { "s" } else { " " },
        text(row, "operator"),
        1e3 * number(row, "seconds") / number(row, "block"),
        mib("measured_bytes"),
        mib("predicted_bytes"),
    )
}

/// How much faster all threads are than one.
pub fn gain(row: &Value, threads: usize) -> String {
    format!(
        "gru {:>4} {} NTK: {threads} threads are {:.2} times as fast as one (with a product each: {:.2} times; square products: {:.2} times)",
        number(row, "hidden"),
        text(row, "precision"),
        number(row, "gain"),
        number(row, "apart_gain"),
        number(row, "square_products_gain")
    )
}

/// One line of the table of whole answers.
pub fn job(row: &Value) -> String {
    format!(
        "{:20} {:22} {:8.3} s = {:6.0} products  {}",
        text(row, "model"),
        text(row, "job"),
        number(row, "seconds"),
        number(row, "in_products"),
        row["found"]
    )
}

/// One line about a slope.
pub fn line(row: &Value) -> String {
    format!("time against {:14} slope {:.3} on log axes  {}", text(row, "against"), number(row, "slope"), row["points"])
}

/// The lines about peers at one size.
pub fn peers(row: &Value) -> Vec<String> {
    let ours = number(row, "kpflow_seconds");
    let head = format!(
        "gru {} B {} T {} {}: a block of {} in {:.4} s",
        row["hidden"],
        row["trajectories"],
        row["steps"],
        text(row, "precision"),
        row["block"],
        ours
    );
    let peer = |(name, r): (&String, &Value)| match r["seconds"].as_f64() {
        Some(s) => {
            format!(
                "  {name:44} {s:9.4} s, kpflow is {:5.1} times as fast; answers differ by {:.1e}",
                s / ours,
                number(r, "error")
            )
        }
        None => format!("  {name:44} not measured: {}", text(r, "skipped")),
    };
    let all = row["peers"].as_object().map(|p| p.iter().map(peer).collect::<Vec<_>>());
    std::iter::once(head).chain(all.unwrap_or_default()).collect()
}

/// Flops for every byte of the blocks that go through memory: x, y, and the site cotangents and tangents, written and read.
fn intensity(row: &Value) -> f64 {
    let gates = if text(row, "cell") == "rnn" { 1.0 } else { 4.0 };
    let number_len = if text(row, "precision") == "f32" { 4.0 } else { 8.0 };
    let states = if text(row, "cell") == "lstm" { 2.0 } else { 1.0 };
    let positions = number(row, "trajectories") * number(row, "steps") * number(row, "hidden") * number(row, "block");
    let sweeps = if text(row, "operator").starts_with("NTK") || text(row, "operator") == "K" { 2.0 } else { 1.0 };
    let bytes = positions * number_len * (2.0 * states + 2.0 * sweeps * gates);
    number(row, "gflops") * 1e9 * number(row, "seconds") / bytes
}

/// Draws every product under the roof of the machine: its bandwidth and its matrix product rate.
pub fn roofline(path: &Path, report: &Value) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::new(path, (900, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let machine = &report["machine"];
    let (bandwidth, threads) = (number(machine, "bandwidth"), number(report, "threads"));
    let roofs = [("f32", number(machine, "gemm_f32"), BLUE), ("f64", number(machine, "gemm_f64"), RED)];
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("Products on {threads} threads, blocks of 32"), ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d((1.0..3000.0).log_scale(), (5.0..400.0).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("flops for every byte of blocks that pass through memory")
        .y_desc("GFLOP/s")
        .draw()?;
    for (name, roof, color) in roofs {
        let knee = roof / bandwidth;
        let line = [(1.0, bandwidth), (knee, roof), (3000.0, roof)];
        chart.draw_series(LineSeries::new(line, color.stroke_width(2)))?;
        chart.draw_series(std::iter::once(Text::new(
            format!("{name}: square matrix products"),
            (600.0, roof * 1.1),
            ("sans-serif", 14).into_font().color(&color),
        )))?;
        let rows = report["products"].as_array().map(Vec::as_slice).unwrap_or_default();
        let shown = rows.iter().filter(|r| number(r, "threads") == threads && text(r, "precision") == name);
        let points: Vec<(f64, f64, String)> = shown
            .filter(|r| r["gflops"].is_number() && matches!(text(r, "operator"), "P" | "NTK"))
            .map(|r| {
                (
                    intensity(r),
                    number(r, "gflops"),
                    format!("{} {} {}", text(r, "operator"), text(r, "cell"), r["hidden"]),
                )
            })
            .collect();
        chart.draw_series(points.iter().map(|(x, y, _)| Circle::new((*x, *y), 4, color.filled())))?;
        let label = |(x, y, what): &(f64, f64, String)| Text::new(what.clone(), (*x * 1.05, *y), ("sans-serif", 11));
        chart.draw_series(points.iter().map(label))?;
    }
    root.present()?;
    Ok(())
}
