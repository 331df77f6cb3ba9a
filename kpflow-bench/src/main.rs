//! How much of the machine's own matrix product rate a whole product with the NTK of a GRU reaches.
//!
//! `cargo run --release -p kpflow-bench [-- SECONDS]`. Rates count the useful flops of the sweeps and of the Kronecker core alone; the
//! limit is measured in the same run, as independent square products on as many threads.

use kpflow_core::machine::{MatMut, MatRef, Tasks};
use kpflow_core::model::{Cell, GraphBuffer, Linearization, RecurrentWeights};
use kpflow_core::ntk::{Coupling, Ntk, Propagator, Side};
use kpflow_core::probe::{Distribution, Probe};
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Scalar, Shape};
use kpflow_hpc::blas::{self, Blas};
use kpflow_hpc::comm::Comm;
use kpflow_hpc::engine::{Engine, Real};
use std::time::Instant;

/// Calls `f` for at least `seconds` and returns the best time of a call: other work on the machine only ever slows one down.
fn best(seconds: f64, mut f: impl FnMut()) -> f64 {
    f();
    let (start, mut best) = (Instant::now(), f64::INFINITY);
    while start.elapsed().as_secs_f64() < seconds {
        let one = Instant::now();
        f();
        best = best.min(one.elapsed().as_secs_f64());
    }
    best
}

fn numbers<T: Scalar>(count: usize, stream: u32, scale: f64) -> Vec<T> {
    let mut x = vec![T::zero(); count];
    let shape = Shape::new(1, count, 1);
    Probe { seed: 1, stream, distribution: Distribution::Gaussian }.fill(0, 0, BlockMut::new(shape, 1, &mut x));
    x.iter_mut().for_each(|x| *x *= T::of(scale));
    x
}

/// The machine's rate: square products of 1024, one a thread.
fn limit<T: Blas>(engine: &Engine, seconds: f64) -> f64 {
    let n = 1024;
    let (a, b) = (numbers::<T>(n * n, 1, 1.0), numbers::<T>(n * n, 2, 1.0));
    let lanes = engine.lanes();
    let mut c = vec![T::zero(); lanes * n * n];
    let time = best(seconds, || {
        engine.for_each(lanes, &mut c, n * n, &mut [], 0, |_, c, _: &mut [T]| {
            T::gemm(T::one(), MatRef::new(&a, n, n, n), MatRef::new(&b, n, n, n), T::zero(), MatMut::new(c, n, n, n));
        });
    });
    lanes as f64 * 2.0 * (n as f64).powi(3) / time / 1e9
}

fn case<T: Real>(
    engine: &Engine,
    name: &str,
    h: usize,
    (b, t, n_in, m): (usize, usize, usize, usize),
    limit: f64,
    seconds: f64,
) {
    let cell = Cell::gru();
    let scale = 1.0 / (h as f64).sqrt();
    let (w_ih, w_hh) = (numbers::<T>(3 * h * n_in, 1, scale), numbers::<T>(3 * h * h, 2, scale));
    let bias = numbers::<T>(3 * h, 3, scale);
    let weights = RecurrentWeights { n_in, hidden: h, w_ih: &w_ih, w_hh: &w_hh, b_ih: Some(&bias), b_hh: Some(&bias) };
    let mut buffer = GraphBuffer::default();
    let graph = cell.graph(weights, t, &mut buffer).expect("a GRU is a graph");
    let inputs = numbers::<T>(b * t * n_in, 4, 1.0);
    let tile = 64usize.div_ceil(m).clamp(1, b.div_ceil(engine.lanes()));
    let mut arena = vec![T::zero(); Linearization::arena_len(&graph, b)];
    let lin = Linearization::new(&graph, &[&inputs], None, b, tile, &mut arena, engine).expect("the sizes fit");
    let shape = lin.shape();
    let x = numbers::<T>(m * shape.len(), 5, 1.0);
    let mut y = vec![T::zero(); x.len()];
    let positions = (b * t * m) as f64;
    let sweep = positions * 6.0 * (h * h) as f64;
    let core = positions * 12.0 * (h * (h + n_in)) as f64;
    let operators: [(&str, Box<dyn LinearOperator<T> + '_>, f64); 3] = [
        ("P", Box::new(Propagator::new(&lin, engine)), sweep),
        ("NTK", Box::new(Ntk::new(&lin, engine)), 2.0 * sweep + core),
        (
            "NTK per trajectory",
            Box::new(Ntk::with(&lin, engine, Coupling::PerTrajectory, Side::Weight)),
            2.0 * sweep + core,
        ),
    ];
    for (what, op, flops) in &operators {
        let mut scratch = vec![T::zero(); op.scratch_len(m)];
        let time =
            best(seconds, || op.apply(BlockRef::new(shape, m, &x), BlockMut::new(shape, m, &mut y), &mut scratch));
        let rate = flops / time / 1e9;
        println!(
            "{name} H = {h:4}  {what:18}  {rate:7.1} GFLOP/s  {:3.0} % of the limit  {:8.3} ms a vector",
            100.0 * rate / limit,
            1e3 * time / m as f64
        );
    }
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1.0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let engine = Engine::new(Comm::alone(), threads).expect("threads");
    let (single, double) = (limit::<f32>(&engine, seconds), limit::<f64>(&engine, seconds));
    println!("{} on {threads} threads: {single:.0} GFLOP/s f32, {double:.0} GFLOP/s f64", blas::name());
    for (h, size) in [(64, (16, 50, 10, 32)), (256, (16, 50, 10, 32)), (1024, (4, 20, 10, 32))] {
        case::<f32>(&engine, "f32", h, size, single, seconds);
        case::<f64>(&engine, "f64", h, size, double, seconds);
    }
}
