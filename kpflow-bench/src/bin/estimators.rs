//! How near each estimator of the trace comes for how many products, on networks whose trace is known exactly.
//!
//! `cargo run --release -p kpflow-bench --bin estimators [-- SEEDS [DIRECTORY [MOST]]]`: median relative errors of SEEDS seeds (20) at budgets
//! up to MOST (3000), as a table, and in DIRECTORY as `estimators.csv` and `estimators.svg`. Every error that was measured is kept in
//! `estimators.raw.csv`, and not measured again: a run that was stopped goes on. Where an
//! estimator has changed, that file is to be removed first.

use kpflow_core::model::Linearization;
use kpflow_core::ntk::{Coupling, Ntk, ParameterJacobian, Side};
use kpflow_core::operator::Adjoint;
use kpflow_core::LinearOperator;
use kpflow_estimate::{self as estimate, Budget, Estimate, Exact, Problem};
use kpflow_hpc::closed::{self, Closed};
use kpflow_hpc::comm::Comm;
use kpflow_hpc::engine::Engine;
use kpflow_hpc::error::{Error, Result};
use kpflow_hpc::job::Job;
use kpflow_hpc::journal::Rows;
use kpflow_hpc::model::Loaded;
use kpflow_hpc::products::{Memo, Products};
use plotters::prelude::*;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

const CASES: [(&str, &str, &str); 4] = [
    ("gru_paper", "gru_paper", ""),
    ("memory_pro init", "memory_pro.init", "rnn."),
    ("memory_pro step300", "memory_pro.step300", "rnn."),
    ("memory_pro step1500", "memory_pro.step1500", "rnn."),
];
const BUDGETS: [usize; 8] = [12, 30, 60, 120, 300, 600, 1200, 3000];
const METHODS: [&str; 9] = [
    "hutchinson",
    "one_sided",
    "hutchpp",
    "nystrompp",
    "xtrace",
    "xnystrace",
    "per_trajectory",
    "per_trajectory_xnystrace",
    "auto",
];

/// Those that look at a sketch as it grows.
const SKETCHES: [&str; 5] = ["hutchpp", "nystrompp", "xtrace", "xnystrace", "per_trajectory_xnystrace"];

/// Medians of one case by method and budget, each with the number of its seeds.
type Medians = BTreeMap<(usize, usize), (f64, usize)>;
/// Errors by method, budget and seed.
type Errors = BTreeMap<(usize, usize, u64), f64>;

struct Case<'a, 'l> {
    lin: &'a Linearization<'l, f64>,
    engine: &'a Engine,
    block: usize,
    product_flops: f64,
    truth: f64,
}

impl Case<'_, '_> {
    /// Measures what is not there yet. A sketch that grows is looked at on its way: at every budget it is what a sketch of so many products is.
    fn seed(&self, seed: u64, most: usize, errors: &mut Errors, mut keep: impl FnMut(&str, usize, f64)) -> Result<()> {
        let Case { lin, engine, .. } = *self;
        let (all, diagonal) = (Ntk::new(lin, engine), Ntk::with(lin, engine, Coupling::PerTrajectory, Side::Weight));
        let reverse = Adjoint(ParameterJacobian::total(lin, engine));
        // The methods share probes: no product is computed twice.
        let memos = [Memo::new(3 * most), Memo::new(2 * most), Memo::new(0)];
        let quiet = |_: usize, _: f64, _: f64| ();
        for (m, method) in METHODS.iter().enumerate() {
            let missing = |b: &usize| BUDGETS[*b] <= most && !errors.contains_key(&(m, *b, seed));
            let missing: Vec<usize> = (0..BUDGETS.len()).filter(missing).collect();
            let budgets: Vec<usize> = missing.iter().map(|&b| BUDGETS[b]).collect();
            // The automatic choice is made where it is made in use.
            let looks = if SKETCHES.contains(method) { &budgets[..] } else { &[] };
            let run = |max_matvecs: usize| -> Result<Estimate> {
                let budget = Budget { rtol: 0.0, max_matvecs };
                let problem = |op, memo: usize| {
                    let trajectories = (0, lin.shape().trajectories);
                    let rows = [Rows { first: 0, total: trajectories.1, own: true }; 2];
                    let products = Products::new(op, engine, Some(&memos[memo]), rows);
                    let problem = Problem::of(Box::new(products), engine, trajectories, seed, self.block, &quiet);
                    problem.with_looks(looks)
                };
                let (all, diagonal) = (problem(&all as &dyn LinearOperator<f64>, 0), problem(&diagonal, 1));
                Ok(match *method {
                    "hutchinson" => estimate::hutchinson(&all, &budget)?,
                    "one_sided" => estimate::one_sided(&problem(&reverse, 2).with_replicated_image(true), &budget)?,
                    "hutchpp" => estimate::hutchpp(&all, &budget)?,
                    "nystrompp" => estimate::nystrompp(&all, &budget)?,
                    "xtrace" => estimate::xtrace(&all, &budget)?,
                    "xnystrace" => estimate::xnystrace(&all, &budget)?,
                    "per_trajectory" => estimate::per_trajectory(&diagonal, &budget)?,
                    "per_trajectory_xnystrace" => estimate::per_trajectory_xnystrace(&diagonal, &budget)?,
                    _ => {
                        let flops = closed::exact_trace_flops(lin, lin.shape().trajectories, Closed::Ntk);
                        let run = || closed::exact_trace(lin, engine, Closed::Ntk).map_err(Into::into);
                        let exact = flops.map(|f| Exact { products: f / self.product_flops, run: &run });
                        estimate::auto(&diagonal, &budget, exact)?
                    }
                })
            };
            let clock = Instant::now();
            let mut tell = |b: usize, value: f64| {
                let error = (value / self.truth - 1.0).abs();
                errors.insert((m, b, seed), error);
                keep(method, BUDGETS[b], error);
            };
            match missing.last() {
                Some(&last) if SKETCHES.contains(method) => {
                    let estimate = run(BUDGETS[last])?;
                    for &b in &missing {
                        // One that was exact to rounding before went no further.
                        let at = estimate.history.iter().rev().find(|h| h[0] <= BUDGETS[b] as f64);
                        tell(b, at.map_or(estimate.value, |h| h[1]));
                    }
                }
                Some(_) => missing.iter().try_for_each(|&b| run(BUDGETS[b]).map(|e| tell(b, e.value)))?,
                None => continue,
            }
            eprintln!("{method}, {budgets:?} products, seed {seed}: {:.0} s", clock.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// What an earlier run measured, case by case.
fn read_raw(path: &Path) -> Vec<Errors> {
    let mut all = vec![Errors::new(); CASES.len()];
    for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
        let fields: Vec<&str> = line.split(',').collect();
        let [name, seed, method, products, error] = fields[..] else { continue };
        let place = CASES.iter().position(|c| c.0 == name);
        let method = METHODS.iter().position(|m| *m == method);
        let budget = BUDGETS.iter().position(|b| products.parse() == Ok(*b));
        if let (Some(c), Some(m), Some(b), Ok(seed), Ok(error)) = (place, method, budget, seed.parse(), error.parse()) {
            all[c].insert((m, b, seed), error);
        }
    }
    all
}

fn median(x: &[f64]) -> f64 {
    let mut x = x.to_vec();
    x.sort_by(f64::total_cmp);
    0.5 * (x[(x.len() - 1) / 2] + x[x.len() / 2])
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| arguments.get(i).and_then(|s| s.parse().ok()).unwrap_or(default);
    let (seeds, most) = (number(0, 20), number(2, 3000));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let engine = Engine::new(Comm::alone(), threads)?;
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let directory = Path::new(arguments.get(1).map_or(".", String::as_str));
    let wrong = |e: &dyn std::fmt::Display| Error::run(format!("{} cannot be written: {e}", directory.display()));
    let raw = directory.join("estimators.raw.csv");
    let mut all = read_raw(&raw);
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&raw).map_err(|e| wrong(&e))?;
    for seed in 0..seeds as u64 {
        for ((name, weights, prefix), errors) in CASES.iter().zip(&mut all) {
            let wanted = BUDGETS.iter().filter(|&&b| b <= most).count() * METHODS.len();
            if errors.keys().filter(|k| k.2 == seed && BUDGETS[k.1] <= most).count() == wanted {
                continue;
            }
            let data = if name.starts_with("memory") { "memory_pro" } else { name };
            let text = format!(
                "[model]\nkind = \"gru\"\nweights = \"{weights}.safetensors\"\nprefix = \"{prefix}\"\n[data]\ninputs = \"{data}.h5:/inputs\"\n\
                 [[analysis]]\nname = \"x\"\nquantity = \"trace\"\n"
            );
            let job = Job::parse(&golden.join("job.toml"), text)?;
            let loaded = Loaded::<f64>::load(&job, &engine)?;
            loaded.linearized(loaded.weights(), &engine, |lin| {
                let truth = closed::exact_trace(lin, &engine, Closed::Ntk)?.value;
                let case =
                    Case { lin, engine: &engine, block: loaded.block, product_flops: loaded.product_flops, truth };
                case.seed(seed, most, errors, |method, products, error| {
                    // A row that could not be written is measured again.
                    let _ = writeln!(file, "{name},{seed},{method},{products},{error:e}");
                })
            })??;
        }
        eprintln!("{} of {seeds} seeds", seed + 1);
    }
    let mut results = Vec::new();
    for ((name, ..), errors) in CASES.iter().zip(all) {
        let mut lists = BTreeMap::<(usize, usize), Vec<f64>>::new();
        errors.into_iter().for_each(|((m, b, _), error)| lists.entry((m, b)).or_default().push(error));
        results.push((*name, lists.into_iter().map(|(k, v)| (k, (median(&v), v.len()))).collect::<Medians>()));
    }
    let budgets: Vec<usize> = BUDGETS.iter().copied().filter(|&b| b <= most).collect();
    let seeds_of = |b: usize| {
        let count = |m: &Medians| (0..METHODS.len()).map(|k| m.get(&(k, b)).map_or(0, |x| x.1)).min();
        results.iter().filter_map(|(_, m)| count(m)).min().unwrap_or(0)
    };
    if let Some(b) = (0..budgets.len()).find(|&b| seeds_of(b) == 0) {
        return Err(Error::run(format!(
            "nothing has been measured at {} products; ask for one seed at least",
            budgets[b]
        )));
    }
    for (name, medians) in &results {
        println!("\n{name}: median relative error");
        print!("{:26}", "products");
        budgets.iter().for_each(|b| print!("{b:>9}"));
        print!("\n{:26}", "seeds");
        (0..budgets.len()).for_each(|b| print!("{:>9}", seeds_of(b)));
        println!();
        for (m, method) in METHODS.iter().enumerate() {
            print!("{method:26}");
            (0..budgets.len()).for_each(|b| print!("{:9.1e}", medians[&(m, b)].0));
            println!();
        }
    }
    summary(&results, &budgets);
    write_csv(&directory.join("estimators.csv"), &results, &budgets).map_err(|e| wrong(&e))?;
    plot(&directory.join("estimators.svg"), &results, &budgets).map_err(|e| wrong(&e))
}

/// How much closer than Hutch++ the per-trajectory estimate is, and how far the automatic choice is from the best of all, budget by budget.
fn summary(results: &[(&str, Medians)], budgets: &[usize]) {
    let place = |name: &str| METHODS.iter().position(|m| *m == name).unwrap_or(0);
    let (published, ours, auto) = (place("hutchpp"), place("per_trajectory_xnystrace"), place("auto"));
    println!();
    for (b, budget) in budgets.iter().enumerate() {
        let logs = results.iter().map(|(_, m)| (m[&(published, b)].0 / m[&(ours, b)].0.max(1e-16)).ln()).sum::<f64>();
        let best = |m: &Medians| (0..METHODS.len()).map(|k| m[&(k, b)].0).fold(f64::INFINITY, f64::min);
        let worst = results.iter().map(|(_, m)| m[&(auto, b)].0.max(1e-14) / best(m).max(1e-14)).fold(0.0, f64::max);
        let mean = (logs / results.len() as f64).exp();
        println!("{budget:5} products: per_trajectory_xnystrace {mean:5.1} times closer than hutchpp in the geometric mean; auto at worst {worst:.2} times the best");
    }
}

fn write_csv(path: &Path, results: &[(&str, Medians)], budgets: &[usize]) -> std::io::Result<()> {
    let mut text = String::from("case,method,products,seeds,median_relative_error\n");
    for (name, medians) in results {
        for ((m, b), (error, seeds)) in medians.iter().filter(|((_, b), _)| *b < budgets.len()) {
            text.push_str(&format!("{name},{},{},{seeds},{error:e}\n", METHODS[*m], budgets[*b]));
        }
    }
    std::fs::write(path, text)
}

/// Four panels, a line a method, both axes logarithmic. What is exact lies on the floor.
fn plot(
    path: &Path,
    results: &[(&str, Medians)],
    budgets: &[usize],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    const FLOOR: f64 = 1e-6;
    let root = SVGBackend::new(path, (1200, 900)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, (name, medians)) in root.split_evenly((2, 2)).iter().zip(results) {
        let last = *budgets.last().unwrap_or(&1) as f64;
        let mut chart = ChartBuilder::on(area)
            .caption(format!("{name}: median relative error against products"), ("sans-serif", 16))
            .margin(12)
            .x_label_area_size(30)
            .y_label_area_size(60)
            .build_cartesian_2d((budgets[0] as f64..last).log_scale(), (FLOOR..0.3).log_scale())?;
        chart
            .configure_mesh()
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.0e}"))
            .draw()?;
        for (m, method) in METHODS.iter().enumerate() {
            let color = Palette99::pick(m).mix(1.0);
            let width = if method.starts_with("auto") || method.ends_with("y_xnystrace") { 3 } else { 1 };
            let points = budgets.iter().enumerate().map(|(b, &x)| (x as f64, medians[&(m, b)].0.max(FLOOR)));
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(width)).point_size(3))?
                .label(*method)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], color.stroke_width(width)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE.mix(0.8))
            .draw()?;
    }
    root.present()?;
    Ok(())
}

/// Blocks begin at a line of the cache: products are faster so.
#[global_allocator]
static MEMORY: kpflow_hpc::memory::Lines = kpflow_hpc::memory::Lines;

fn main() {
    kpflow_hpc::blas::choose_kernels();
    if let Err(e) = run() {
        eprintln!("error: {e}");
        std::process::exit(1);
    }
}
