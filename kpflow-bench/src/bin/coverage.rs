//! How often 95 % intervals hold the truth, how wide they are and how far values are off, on spectra as trained networks have them.
//!
//! `cargo run --release -p kpflow-bench --bin coverage [-- SEEDS [WORDS]]`: every quantity and method whose name has WORDS in it, at budgets from 4 to 100
//! products, 400 seeds each; a row has the share that covers, the median of |error| and of the interval's width, relative to the truth. A test of
//! kpflow-estimate does the same with 60 seeds.

#[path = "../../../kpflow-hpc/estimate/src/coverage_cells.rs"]
mod cells;

use cells::{Cell, Row, BUDGETS};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;

/// Coverage that a row is marked for: outside of it.
const FAIR: [f64; 2] = [0.92, 0.995];

fn main() {
    let mut words = std::env::args().skip(1);
    let seeds: u64 = words.next().and_then(|w| w.parse().ok()).unwrap_or(400);
    let wanted = words.next().unwrap_or_default();
    let all = [
        cells::traces::<f64>(&cells::TRACES),
        cells::traces::<f32>(&cells::TRACES),
        cells::traces_by_trajectory::<f64>(),
        cells::second_moments(),
        cells::parts(),
    ];
    let all: Vec<Cell> = all.into_iter().flatten().filter(|c| c.truths.iter().any(|t| t.0.contains(&wanted))).collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(cell) = all.get(i / BUDGETS.len()) else { break };
                let rows = cell.rows(BUDGETS[i % BUDGETS.len()], 0..seeds);
                done.lock().unwrap_or_else(|e| e.into_inner()).push((i, rows));
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(|e| e.into_inner());
    done.sort_by_key(|(i, _)| *i);
    let mut rows: Vec<Row> = done.into_iter().flat_map(|(_, rows)| rows).collect();
    // A cell's quantities one after the other, each at all budgets.
    rows.sort_by_key(|r| (all.iter().position(|c| c.truths.iter().any(|t| t.0 == r.what)), r.what.clone(), r.budget));
    println!("{:>45} {:>8} {:>8} {:>9} {:>9}", "quantity", "products", "covered", "|error|", "width");
    let mut marked = 0;
    for Row { what, budget, covered, error, width } in &rows {
        let share = *covered as f64 / seeds as f64;
        let mark = if share < FAIR[0] {
            " below"
        } else if share > FAIR[1] {
            " above"
        } else {
            ""
        };
        marked += usize::from(share < FAIR[0]);
        println!("{what:>45} {budget:>8} {:>7.1}% {error:>9.1e} {width:>9.1e}{mark}", 100.0 * share);
    }
    println!("{marked} of {} cells cover less than {:.0} %", rows.len(), 100.0 * FAIR[0]);
}
