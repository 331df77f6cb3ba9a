//! The NTK of a small GRU, in fixed memory: no standard library, no allocator. Exits with 0 if NTK = (PJ)(PJ)ᵀ.
#![no_std]
#![no_main]

use kpflow_core::machine::Portable;
use kpflow_core::model::{Cell, GraphBuffer, Linearization, RecurrentWeights};
use kpflow_core::ntk::{Ntk, ParameterJacobian};
use kpflow_core::operator::Gram;
use kpflow_core::probe::{Distribution, Probe};
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Shape};

// The start-up code is C's; nothing else of the C library is called.
#[link(name = "c")]
extern "C" {}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The precompiled `core` was built to unwind and names this function; with panic = "abort" nothing ever calls it.
#[no_mangle]
extern "C" fn rust_eh_personality() {}

const B: usize = 2;
const T: usize = 6;
const H: usize = 4;
const N_IN: usize = 3;
const N: usize = B * T * H;

fn numbers<const LEN: usize>(stream: u32) -> Option<[f32; LEN]> {
    let mut x = [0.0; LEN];
    let probe = Probe { seed: 1, stream, distribution: Distribution::Gaussian };
    probe.fill(0, 0, BlockMut::new(Shape::new(1, 1, LEN), 1, &mut x).ok()?).ok()?;
    Some(x)
}

/// ‖NTK x − (PJ)(PJ)ᵀ x‖ / ‖NTK x‖, or nothing if memory does not suffice.
fn work() -> Option<f32> {
    let (w_ih, w_hh) = (numbers::<{ 3 * H * N_IN }>(1)?, numbers::<{ 3 * H * H }>(2)?);
    let (b_ih, b_hh) = (numbers::<{ 3 * H }>(3)?, numbers::<{ 3 * H }>(4)?);
    let weights = RecurrentWeights { n_in: N_IN, hidden: H, w_ih: &w_ih, w_hh: &w_hh, b_ih: Some(&b_ih), b_hh: Some(&b_hh) };
    let cell = Cell::gru();
    let mut buffer = GraphBuffer::default();
    let graph = cell.graph(weights, T, &mut buffer).ok()?;
    let inputs = numbers::<{ B * T * N_IN }>(5)?;
    let mut arena = [0.0; 2000];
    let mut scratch = [0.0; 2000];
    let lin = Linearization::new(&graph, &[&inputs], None, B, 1, &mut arena, &mut scratch, &Portable).ok()?;
    let (x, mut y, mut z) = (numbers::<N>(6)?, [0.0; N], [0.0; N]);
    let twice = Gram(ParameterJacobian::total(&lin, &Portable));
    let shape = lin.shape();
    let x = BlockRef::new(shape, 1, &x).ok()?;
    Ntk::new(&lin, &Portable).apply(x, BlockMut::new(shape, 1, &mut y).ok()?, &mut scratch).ok()?;
    twice.apply(x, BlockMut::new(shape, 1, &mut z).ok()?, &mut scratch).ok()?;
    let difference: f32 = y.iter().zip(&z).map(|(a, b)| (a - b) * (a - b)).sum();
    let norm: f32 = y.iter().map(|a| a * a).sum();
    (norm > 0.0).then_some(difference / norm)
}

#[no_mangle]
extern "C" fn main() -> i32 {
    match work() {
        Some(error) if error < 1e-8 => 0,
        Some(_) => 1,
        None => 2,
    }
}
