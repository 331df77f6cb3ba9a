//! Micro-benchmarks: `cargo bench -p kpflow-bench`. One thread; what a sweep and an estimator are made of, at the sizes they have there.

use divan::counter::{BytesCount, ItemsCount};
use divan::Bencher;
use kpflow_core::machine::{Diagonals, Gemm, Kernel, MatMut, MatRef, Portable, Term};
use kpflow_core::model::{Cell, GraphBuffer, Linearization, RecurrentWeights};
use kpflow_core::ntk::{Constraint, Ntk, ParameterOperator, Propagator};
use kpflow_core::probe::{add_gram, Distribution, Probe};
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Shape};
use kpflow_hpc::comm::Comm;
use kpflow_hpc::engine::Engine;

/// Vectors of a block.
const BLOCK: usize = 32;

/// Blocks begin at a line of the cache, as in the program.
#[global_allocator]
static MEMORY: kpflow_hpc::memory::Lines = kpflow_hpc::memory::Lines;

fn main() {
    kpflow_hpc::blas::choose_kernels();
    divan::main();
}

fn numbers(count: usize, stream: u32) -> Vec<f32> {
    let mut x = vec![0.0; count];
    let probe = Probe { seed: 1, stream, distribution: Distribution::Gaussian };
    let block = BlockMut::new(Shape::new(1, count, 1), 1, &mut x).expect("one vector");
    probe.fill(0, 0, block).expect("fewer than 2³² numbers");
    x
}

fn engine() -> Engine {
    Engine::new(Comm::alone(), 1).expect("one thread")
}

/// A product of a sweep's step: `[rows, hidden] · [hidden, 3·hidden]`, W stored as PyTorch does; items are flops.
fn step<K: Kernel<f32>>(bencher: Bencher<'_, '_>, kernel: &K, hidden: usize) {
    let (rows, out) = (2 * BLOCK, 3 * hidden);
    let (x, w, mut y) = (numbers(rows * hidden, 1), numbers(out * hidden, 2), vec![0.0; rows * out]);
    bencher.counter(ItemsCount::new(2 * rows * out * hidden)).bench_local(|| {
        let (x, w) = (MatRef::new(&x, rows, hidden, hidden), MatRef::new(&w, out, hidden, hidden));
        let (x, w) = (x.expect("its length"), w.expect("its length").t());
        let y = MatMut::new(&mut y, rows, out, out).expect("its length");
        kernel.gemm(1.0, Gemm::new(x, w, y).expect("they fit"), 0.0);
    });
}

#[divan::bench(args = [64, 256, 1024])]
fn gemm_of_a_step(bencher: Bencher<'_, '_>, hidden: usize) {
    step(bencher, &engine(), hidden);
}

#[divan::bench(args = [64, 256])]
fn portable_gemm_of_a_step(bencher: Bencher<'_, '_>, hidden: usize) {
    step(bencher, &Portable, hidden);
}

/// The unit-wise pass of a GRU: five diagonals times rows, one output.
#[divan::bench(args = [64, 256, 1024])]
fn unit_wise_pass(bencher: Bencher<'_, '_>, hidden: usize) {
    let engine = engine();
    let (c, x, mut y) = (numbers(5 * hidden, 1), numbers(5 * BLOCK * hidden, 2), vec![0.0; BLOCK * hidden]);
    let terms: Vec<Term<'_, f32>> = (0..5)
        .map(|i| Term { c: &c[i * hidden..][..hidden], x: &x[i * BLOCK * hidden..][..BLOCK * hidden], stride: hidden })
        .collect();
    bencher.counter(BytesCount::new(4 * 6 * BLOCK * hidden)).bench_local(|| {
        engine.combine(Diagonals::new(&terms, &mut y, hidden, BLOCK, false).expect("they fit"));
    });
}

#[divan::bench(args = [Distribution::Rademacher, Distribution::Gaussian])]
fn probes(bencher: Bencher<'_, '_>, distribution: Distribution) {
    let shape = Shape::new(15, 50, 64);
    let mut x = vec![0.0f32; shape.len()];
    bencher.counter(ItemsCount::new(shape.len())).bench_local(|| {
        let block = BlockMut::new(shape, 1, &mut x).expect("its length");
        Probe { seed: 1, stream: 0, distribution }.fill(0, 0, block)
    });
}

#[divan::bench]
fn gram_of_a_block(bencher: Bencher<'_, '_>) {
    let shape = Shape::new(15, 50, 64);
    let (x, mut sums) = (numbers(8 * shape.len(), 1), [0.0; 64]);
    bencher.counter(ItemsCount::new(2 * 64 * shape.len())).bench_local(|| {
        let x = BlockRef::new(shape, 8, &x).expect("its length");
        add_gram(x, x, &mut sums)
    });
}

/// One product with a block of 32 vectors; items are vectors.
#[divan::bench(args = ["P⁻¹", "P", "K", "NTK"], consts = [64, 256])]
fn gru<const H: usize>(bencher: Bencher<'_, '_>, operator: &str) {
    let (engine, trajectories, steps, n_in) = (engine(), 4, 16, 10);
    let weights = [numbers(3 * H * n_in, 1), numbers(3 * H * H, 2), numbers(3 * H, 3), numbers(3 * H, 4)]
        .map(|w| w.into_iter().map(|x| x / (H as f32).sqrt()).collect::<Vec<f32>>());
    let [w_ih, w_hh, b_ih, b_hh] = &weights;
    let weights = RecurrentWeights { n_in, hidden: H, w_ih, w_hh, b_ih: Some(b_ih), b_hh: Some(b_hh) };
    let (cell, mut buffer) = (Cell::gru(), GraphBuffer::default());
    let graph = cell.graph(weights, steps, &mut buffer).expect("a cell is a graph");
    let inputs = numbers(trajectories * steps * n_in, 5);
    let mut arena = vec![0.0; Linearization::arena_len(&graph, trajectories)];
    let mut scratch = vec![0.0; Linearization::scratch_len(&graph, trajectories, 4, &engine)];
    let lin = Linearization::new(&graph, &[&inputs], None, trajectories, 4, &mut arena, &mut scratch, &engine)
        .expect("the sizes fit");
    let op: Box<dyn LinearOperator<f32> + '_> = match operator {
        "P⁻¹" => Box::new(Constraint::new(&lin, &engine)),
        "P" => Box::new(Propagator::new(&lin, &engine)),
        "K" => Box::new(ParameterOperator::new(&lin, &engine)),
        _ => Box::new(Ntk::new(&lin, &engine)),
    };
    let shape = lin.shape();
    let (x, mut y) = (numbers(BLOCK * shape.len(), 6), vec![0.0; BLOCK * shape.len()]);
    let mut scratch = vec![0.0; op.scratch_len(BLOCK)];
    bencher.counter(ItemsCount::new(BLOCK)).bench_local(|| {
        let (x, y) = (BlockRef::new(shape, BLOCK, &x), BlockMut::new(shape, BLOCK, &mut y));
        op.apply(x.expect("its length"), y.expect("its length"), &mut scratch)
    });
}
