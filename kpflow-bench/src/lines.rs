//! How the time of a product grows with trajectories, steps, vectors and threads.

use crate::case::{cell, with, Data, Size, SIZES};
use crate::clock::{middle, times, Clock};
use crate::rates::peak;
use kpflow_core::ntk::{Coupling, Ntk, Side};
use kpflow_core::LinearOperator;
use kpflow_hpc::engine::{Engine, Real};
use serde_json::{json, Value};

fn seconds<T: Real>(engine: &Engine, size: Size, clock: Clock) -> Vec<f64> {
    let cell = cell("gru");
    let data = Data::<T>::new(&cell, size);
    with(engine, &cell, size, &data, |lin| {
        let ntk = Ntk::with(lin, engine, Coupling::All, Side::Weight);
        let x = crate::case::numbers::<T>(size.block * lin.shape().len(), 5, 1.0);
        let (mut y, mut scratch) = (vec![T::zero(); x.len()], vec![T::zero(); ntk.scratch_len(size.block)]);
        let m = size.block;
        times(clock, || crate::case::apply(&ntk, m, &x, &mut y, &mut scratch))
    })
}

/// The least-squares slope of log y over log x.
fn slope(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let n = logs.len() as f64;
    let (mx, my) = (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
    let xy: f64 = logs.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
    xy / logs.iter().map(|p| (p.0 - mx).powi(2)).sum::<f64>()
}

/// How much faster all threads are than one, in turns, beside square products: NTK of a GRU at every size that the bars are about.
pub fn gains<T: Real>(all: &Engine, one: &Engine, precision: &str, clock: Clock) -> Vec<Value> {
    let part = Clock { seconds: clock.seconds / ROUNDS as f64 };
    let row = |&size: &Size| {
        // Fewer rounds where a block takes many seconds.
        let rounds = if size.hidden > 256 { ROUNDS / 2 } else { ROUNDS };
        let mut times = [const { Vec::new() }; 4];
        for _ in 0..rounds {
            for (i, engine) in [all, one].into_iter().enumerate() {
                times[i].extend(seconds::<T>(engine, size, part));
                times[2 + i].push(1.0 / peak::<T>(engine, part));
            }
        }
        let [several, single, square, alone] = times.map(middle);
        json!({ "hidden": size.hidden, "precision": precision, "gain": single / several, "square_products_gain": alone / square })
    };
    SIZES.iter().map(row).collect()
}

/// How often each size has its turn.
const ROUNDS: usize = 4;

/// Slopes on log axes, in f32, for a GRU of 256 units.
pub fn measure(engine: &Engine, clock: Clock) -> Vec<Value> {
    let base = Size { hidden: 256, trajectories: 20, steps: 60, inputs: 10, block: 32 };
    let mut rows = Vec::new();
    let mut line = |what: &str, values: &[usize], size: &dyn Fn(usize) -> Size| {
        // Round after round, so that a busy moment of the machine is not all that one of the sizes sees.
        let (mut all, part) = (vec![Vec::new(); values.len()], Clock { seconds: clock.seconds / ROUNDS as f64 });
        for _ in 0..ROUNDS {
            values.iter().zip(&mut all).for_each(|(&v, times)| times.extend(seconds::<f32>(engine, size(v), part)));
        }
        let points: Vec<(f64, f64)> = values.iter().zip(all).map(|(&v, times)| (v as f64, middle(times))).collect();
        rows.push(json!({ "against": what, "points": points, "slope": slope(&points) }));
    };
    line("trajectories", &[10, 20, 40, 80], &|v| Size { trajectories: v, ..base });
    line("steps", &[30, 60, 120, 240], &|v| Size { steps: v, ..base });
    line("block", &[16, 32, 64, 128], &|v| Size { block: v, ..base });
    rows
}
