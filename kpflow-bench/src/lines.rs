//! How the time of a product grows with trajectories, steps, vectors and threads.

use crate::case::{cell, with, Data};
use crate::clock::{middle, once, times, Clock};
use crate::rates::peak;
use crate::size::{Size, SIZES};
use kpflow_core::machine::Tasks;
use kpflow_core::ntk::{Coupling, Ntk, Side};
use kpflow_core::LinearOperator;
use kpflow_hpc::engine::{Engine, Real};
use serde_json::{json, Value};

fn seconds<T: Real>(engine: &Engine, size: Size, clock: Clock) -> Vec<f64> {
    let cell = cell("gru");
    let data = Data::<T>::new(&cell, size);
    with(engine, &cell, size, &data, |lin| {
        let ntk = Ntk::with(lin, engine, Coupling::All, Side::Weight);
        let x = crate::size::numbers::<T>(size.block * lin.shape().len(), 5, 1.0);
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

/// How much faster all threads are than one, call after call in turns: NTK of a GRU at every size that the bars are about. Beside it what the machine gives:
/// threads that have a product each, of their share of the vectors, and nothing in common; and square products.
pub fn gains<T: Real>(all: &Engine, one: &Engine, precision: &str, clock: Clock) -> Vec<Value> {
    let (part, lanes) = (Clock { seconds: clock.seconds / ROUNDS as f64 }, all.lanes());
    let row = |&size: &Size| {
        let (cell, m, share) = (cell("gru"), size.block, size.block.div_ceil(lanes));
        let data = Data::<T>::new(&cell, size);
        let [mut gain, mut apart, mut square] = [const { Vec::new() }; 3];
        with(all, &cell, size, &data, |shared| {
            with(one, &cell, size, &data, |alone| {
                let ntk = [(shared, all), (alone, one)].map(|(lin, e)| Ntk::with(lin, e, Coupling::All, Side::Weight));
                let x = crate::size::numbers::<T>(m * shared.shape().len(), 5, 1.0);
                let mut y = vec![T::zero(); lanes * share * shared.shape().len()];
                let mut scratch = ntk.each_ref().map(|ntk| vec![T::zero(); ntk.scratch_len(m)]);
                let (x_len, y_len, own_len) =
                    (share * shared.shape().len(), y.len() / lanes, LinearOperator::<T>::scratch_len(&ntk[1], share));
                let mut own = vec![T::zero(); lanes * own_len];
                // Fewer rounds where a block takes many seconds.
                for _ in 0..if size.hidden > 256 { ROUNDS / 2 } else { ROUNDS } {
                    let mut turn = || {
                        let [two, one] = [0, 1].map(|i| {
                            let (x, y) = (&x[..], &mut y[..m * shared.shape().len()]);
                            once(|| crate::case::apply(&ntk[i], m, x, y, &mut scratch[i]))
                        });
                        let each = once(|| {
                            all.for_each(lanes, &mut y, y_len, &mut own, own_len, |_, y, own| {
                                crate::case::apply(&ntk[1], share, &x[..x_len], y, own);
                            });
                        });
                        gain.push(one / two);
                        apart.push(one / each * (lanes * share) as f64 / m as f64);
                    };
                    times(Clock { seconds: 3.0 * part.seconds }, &mut turn);
                    square.push(peak::<T>(all, part) / peak::<T>(one, part));
                }
            });
        });
        let [gain, apart, square] = [gain, apart, square].map(middle);
        json!({ "hidden": size.hidden, "precision": precision, "gain": gain, "apart_gain": apart, "square_products_gain": square })
    };
    SIZES.iter().map(row).collect()
}

/// How often each size has its turn: for gains, and for slopes.
const ROUNDS: usize = 4;
const SLOPES: usize = 9;

/// Slopes on log axes, in f32, for a GRU of 256 units.
pub fn measure(engine: &Engine, clock: Clock) -> Vec<Value> {
    let base = Size { hidden: 256, trajectories: 20, steps: 60, inputs: 10, block: 32 };
    let mut rows = Vec::new();
    let mut line = |what: &str, values: &[usize], size: &dyn Fn(usize) -> Size| {
        // Round after round, each with a slope of its own: what the machine does for others changes from one round to the next more than within one.
        let part = Clock { seconds: clock.seconds / SLOPES as f64 };
        let point = |&v: &usize| (v as f64, middle(seconds::<f32>(engine, size(v), part)));
        let rounds: Vec<Vec<(f64, f64)>> = (0..SLOPES).map(|_| values.iter().map(point).collect()).collect();
        let over_rounds = |i: usize| middle(rounds.iter().map(|round| round[i].1).collect());
        let points: Vec<(f64, f64)> = (0..values.len()).map(|i| (values[i] as f64, over_rounds(i))).collect();
        let slope = middle(rounds.iter().map(|round| slope(round)).collect());
        rows.push(json!({ "against": what, "points": points, "slope": slope }));
    };
    line("trajectories", &[10, 20, 40, 80], &|v| Size { trajectories: v, ..base });
    line("steps", &[30, 60, 120, 240], &|v| Size { steps: v, ..base });
    line("block", &[16, 32, 64, 128], &|v| Size { block: v, ..base });
    rows
}
