//! The models that are measured: random recurrent networks of a size, linearised in memory.

use crate::clock::{middle, repeated, Clock};
use crate::rates::Rates;
use crate::size::{numbers, Size};
use kpflow_core::model::{Cell, GraphBuffer, Linearization, RecurrentWeights};
use kpflow_core::ntk::{vectors_at_once, Ntk, ParameterOperator, Propagator};
use kpflow_core::operator::Adjoint;
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Scalar};
use kpflow_hpc::engine::{status_bytes, Engine, Real};
use kpflow_hpc::error::fits;
use kpflow_hpc::tiling;
use serde_json::{json, Value};

pub const CELLS: [&str; 3] = ["rnn", "gru", "lstm"];

pub fn cell(name: &str) -> Cell {
    match name {
        "gru" => Cell::gru(),
        "lstm" => Cell::lstm(),
        _ => Cell::rnn(kpflow_core::model::Activation::Tanh),
    }
}

/// y = A x for a block of `m` vectors.
pub fn apply<T: Scalar>(op: &dyn LinearOperator<T>, m: usize, x: &[T], y: &mut [T], scratch: &mut [T]) {
    let (x, y) = (fits(BlockRef::new(op.domain(), m, x)), fits(BlockMut::new(op.codomain(), m, y)));
    fits(op.apply(x, y, scratch));
}

/// The numbers of a model and of what it is applied to.
pub struct Data<T> {
    pub w_ih: Vec<T>,
    pub w_hh: Vec<T>,
    pub b_ih: Vec<T>,
    pub b_hh: Vec<T>,
    pub inputs: Vec<T>,
}

impl<T: Scalar> Data<T> {
    pub fn new(cell: &Cell, size: Size) -> Self {
        let (h, rows) = (size.hidden, cell.gates() * size.hidden);
        let scale = 1.0 / (h as f64).sqrt();
        Self {
            w_ih: numbers(rows * size.inputs, 1, scale),
            w_hh: numbers(rows * h, 2, scale),
            b_ih: numbers(rows, 3, scale),
            b_hh: numbers(rows, 6, scale),
            inputs: numbers(size.trajectories * size.steps * size.inputs, 4, 1.0),
        }
    }

    /// Numbers held.
    fn len(&self) -> usize {
        [&self.w_ih, &self.w_hh, &self.b_ih, &self.b_hh, &self.inputs].iter().map(|x| x.len()).sum()
    }
}

/// Linearises the model and calls `f`.
pub fn with<T: Real, R>(
    engine: &Engine,
    cell: &Cell,
    size: Size,
    data: &Data<T>,
    f: impl FnOnce(&Linearization<'_, T>) -> R,
) -> R {
    let weights = RecurrentWeights {
        n_in: size.inputs,
        hidden: size.hidden,
        w_ih: &data.w_ih,
        w_hh: &data.w_hh,
        b_ih: Some(&data.b_ih),
        b_hh: Some(&data.b_hh),
    };
    let mut buffer = GraphBuffer::default();
    let graph = cell.graph(weights, size.steps, &mut buffer).expect("a cell is a graph");
    let lanes = kpflow_core::machine::Tasks::lanes(engine);
    let tiling = tiling::tiling(&graph, size.block, size.trajectories, lanes, true);
    let tile = tiling.trajectories;
    let mut arena = vec![T::zero(); Linearization::arena_len(&graph, size.trajectories)];
    let mut scratch = vec![T::zero(); Linearization::scratch_len(&graph, size.trajectories, tile, engine)];
    let inputs = [&data.inputs[..]];
    let lin = Linearization::new(&graph, &inputs, None, size.trajectories, tile, &mut arena, &mut scratch, engine);
    drop(scratch);
    f(&lin.expect("the sizes fit").with_at_once(tiling.vectors))
}

/// How often an operator and the machine's limit are measured in turns.
const ROUNDS: usize = 5;

/// Measures P, Pᵀ, K and NTK of one model on one engine.
pub fn measure<T: Real>(engine: &Engine, name: &str, size: Size, precision: &str, clock: Clock) -> Vec<Value> {
    let cell = cell(name);
    let before = Memory::start();
    let data = Data::<T>::new(&cell, size);
    let threads = kpflow_core::machine::Tasks::lanes(engine);
    let (h, m, gates) = (size.hidden, size.block, cell.gates());
    let positions = (size.trajectories * size.steps) as f64;
    let sweep = positions * (2 * gates * h * h) as f64;
    let core = positions * (4 * gates * h * (h + size.inputs + 2)) as f64;
    with(engine, &cell, size, &data, |lin| {
        let shape = lin.shape();
        let x = numbers::<T>(m * shape.len(), 5, 1.0);
        let mut y = vec![T::zero(); x.len()];
        let (vectors, _) = vectors_at_once(m, threads, true, lin.at_once());
        let part = Clock { seconds: clock.seconds / ROUNDS as f64 };
        let limits = || Rates::measure::<T>(engine, size, gates, (lin.tile(), vectors), part);
        use kpflow_core::ntk::{Coupling, Side};
        let side = Side::cheaper(size.trajectories, 1);
        let operators: [(&str, Box<dyn LinearOperator<T> + '_>, f64); 5] = [
            ("P", Box::new(Propagator::new(lin, engine)), sweep),
            ("Pᵀ", Box::new(Adjoint(Propagator::new(lin, engine))), sweep),
            ("K", Box::new(ParameterOperator::with(lin, engine, Coupling::All, Side::Weight)), core),
            ("NTK", Box::new(Ntk::with(lin, engine, Coupling::All, Side::Weight)), 2.0 * sweep + core),
            ("NTK, cheaper side", Box::new(Ntk::new(lin, engine)), f64::NAN),
        ];
        let mut rows = Vec::new();
        for (what, op, flops) in &operators {
            if flops.is_nan() && side.parts(lin.graph()).0 == 0 {
                continue;
            }
            let scratch_len = op.scratch_len(m);
            let mut scratch = vec![T::zero(); scratch_len];
            // The limits measured in between have memory of their own.
            reset_peak();
            let mut once = || apply(&**op, m, &x, &mut y, &mut scratch);
            once();
            let measured = before.peak();
            // Round by round, with the machine's own limit right before and right after: other programs take their share of it, now more, now less.
            let mut earlier = limits();
            let rounds: Vec<(f64, Rates)> = (0..ROUNDS)
                .map(|_| {
                    let times = repeated(part, |_| 1, &mut once);
                    let later = limits();
                    let rates = earlier.with(&later);
                    earlier = later;
                    (middle(times), rates)
                })
                .collect();
            let over = |f: &dyn Fn(&(f64, Rates)) -> f64| middle(rounds.iter().map(f).collect());
            let seconds = over(&|round| round.0);
            let arena = Linearization::arena_len(lin.graph(), size.trajectories);
            let number = std::mem::size_of::<T>();
            let predicted = (data.len() + arena + 2 * x.len() + scratch_len) * number;
            let rate_in = |seconds: f64| flops * m as f64 / seconds / 1e9;
            let rate = rate_in(seconds);
            let (peak, used) = (over(&|round| round.1.peak), over(&|round| round.1.used(what)));
            let of_peak = over(&|(seconds, rates)| rate_in(*seconds) / rates.peak);
            let of_used = over(&|(seconds, rates)| rate_in(*seconds) / rates.used(what));
            rows.push(json!({
                "cell": name, "hidden": h, "trajectories": size.trajectories, "steps": size.steps, "block": m,
                "precision": precision, "threads": threads, "operator": what, "seconds": seconds,
                "gflops": rate,
                "peak_gflops": peak, "used_gflops": used,
                "of_peak": of_peak,
                "of_used": of_used,
                "linearisation_numbers_per_nbt": arena as f64 / shape.len() as f64,
                "sweep_numbers_per_block_nbt": (2 * x.len() + scratch_len) as f64 / x.len() as f64,
                "predicted_bytes": predicted, "measured_bytes": measured,
            }));
        }
        rows
    })
}

/// Forgets the peak of memory; where that is not allowed the peak of all that ran before is told.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The peak of this process's memory above what it was.
struct Memory {
    before: usize,
}

impl Memory {
    fn start() -> Self {
        reset_peak();
        Self { before: memory("VmRSS") }
    }
    fn peak(&self) -> usize {
        memory("VmHWM").saturating_sub(self.before)
    }
}

fn memory(what: &str) -> usize {
    status_bytes(what).unwrap_or(0) as usize
}
