//! The contract of every operator, and a count of what the current thread allocates.
//!
//! A test binary says `mod common;` (another crate: `#[path = "../../kpflow-core/tests/common/mod.rs"] mod common;`) and calls
//! [`assert_contract`] for each operator. Everything is checked in both directions.
#![allow(dead_code)] // every test binary uses a part

use kpflow_core::operator::contract::{self, dot_test};
use kpflow_core::operator::Adjoint;
use kpflow_core::probe::{philox4x32, Distribution, Probe};
use kpflow_core::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: in all three, every call is the system allocator's; the count is a thread-local cell that needs no allocation itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        unsafe { System.dealloc(p, layout) }
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        unsafe { System.realloc(p, layout, new) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `f` allocates on this thread.
pub fn allocations(f: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    f();
    ALLOCATIONS.with(Cell::get) - before
}

/// `vectors` random vectors of `shape`, those of one `stream` always the same.
pub fn random<T: Scalar>(shape: Shape, vectors: usize, stream: u32) -> Vec<T> {
    let mut x = vec![T::zero(); vectors * shape.len()];
    let probe = Probe { seed: 0x6b70_666c_6f77, stream, distribution: Distribution::Gaussian };
    probe.fill(0, 0, BlockMut::new(shape, vectors, &mut x).unwrap()).unwrap();
    x
}

/// One vector of a block, in C order.
pub fn vector<T: Scalar>(block: BlockRef<'_, T>, v: usize) -> Vec<T> {
    (0..block.shape().trajectories).flat_map(|b| block.part(b, v).unwrap().iter().copied()).collect()
}

/// ‖x‖.
pub fn norm<T: Scalar>(x: &[T]) -> f64 {
    x.iter().map(|x| x.f64() * x.f64()).sum::<f64>().sqrt()
}

/// ‖x − y‖.
pub fn distance<T: Scalar>(x: &[T], y: &[T]) -> f64 {
    assert_eq!(x.len(), y.len());
    x.iter().zip(y).map(|(x, y)| (x.f64() - y.f64()).powi(2)).sum::<f64>().sqrt()
}

/// `A x` for a block, with buffers of the exact size, all full of NaN.
pub fn product<T: Scalar>(op: &dyn LinearOperator<T>, vectors: usize, x: &[T]) -> Vec<T> {
    product_in(op, vectors, x, T::nan(), 0)
}

fn product_in<T: Scalar>(op: &dyn LinearOperator<T>, vectors: usize, x: &[T], dirt: T, spare: usize) -> Vec<T> {
    let mut y = vec![dirt; vectors * op.codomain().len()];
    let mut scratch = vec![dirt; op.scratch_len(vectors) + spare];
    op.apply(
        BlockRef::new(op.domain(), vectors, x).unwrap(),
        BlockMut::new(op.codomain(), vectors, &mut y).unwrap(),
        &mut scratch,
    )
    .unwrap();
    y
}

/// The dense form, row-major `[codomain, domain]`, column by column in blocks of a few.
pub fn dense<T: Scalar>(op: &dyn LinearOperator<T>) -> Vec<T> {
    let (domain, codomain) = (op.domain(), op.codomain());
    let (columns, n) = (domain.len(), domain.per_trajectory());
    let mut matrix = vec![T::zero(); codomain.len() * columns];
    for first in (0..columns).step_by(8) {
        let m = 8.min(columns - first);
        let mut x = vec![T::zero(); m * columns];
        for v in 0..m {
            let (b, r) = ((first + v) / n, (first + v) % n);
            x[(b * m + v) * n + r] = T::one();
        }
        let y = product(op, m, &x);
        for v in 0..m {
            let column = vector(BlockRef::new(codomain, m, &y).unwrap(), v);
            column.into_iter().enumerate().for_each(|(i, y)| matrix[i * columns + first + v] = y);
        }
    }
    matrix
}

/// Asserts the whole contract of an operator that runs on one thread: [`assert_algebra`] and that nothing is allocated.
///
/// `tolerance` is relative to the norms of what is compared: some 1e-12 for doubles, 1e-4 for floats.
pub fn assert_contract<T: Scalar>(name: &str, op: &dyn LinearOperator<T>, tolerance: f64) {
    assert_algebra(name, op, tolerance);
    assert_no_allocation(name, op);
}

/// Asserts all of the contract but the allocations, which the thread pool of a machine may need.
pub fn assert_algebra<T: Scalar>(name: &str, op: &dyn LinearOperator<T>, tolerance: f64) {
    let adjoint = Adjoint(op);
    let (there, back) = (format!("{name}, A"), format!("{name}, Aᵀ"));
    let (forward, backward) = (dense(op), dense(&adjoint));
    assert_transposed(name, op, &forward, &backward, tolerance);
    assert_dot(name, op, tolerance);
    assert_claims(name, op, &forward, tolerance);
    assert_claims(&back, &adjoint, &backward, tolerance);
    for (name, op, matrix) in [(&there, op, &forward), (&back, &adjoint as &dyn LinearOperator<T>, &backward)] {
        assert_dense_and_linear(name, op, matrix, tolerance);
        assert_block(name, op, tolerance);
        assert_dirt(name, op);
        assert_errors(name, op);
    }
}

fn assert_transposed<T: Scalar>(name: &str, op: &dyn LinearOperator<T>, a: &[T], at: &[T], tolerance: f64) {
    let (rows, columns) = (op.codomain().len(), op.domain().len());
    let scale = a.iter().chain(at).map(|x| x.f64().abs()).fold(0.0, f64::max);
    for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
        let (x, y) = (a[i * columns + j].f64(), at[j * rows + i].f64());
        assert!((x - y).abs() <= tolerance * scale, "{name}: A[{i}, {j}] = {x}, Aᵀ[{j}, {i}] = {y}");
    }
}

/// What an operator says of itself is true of its dense form.
fn assert_claims<T: Scalar>(name: &str, op: &dyn LinearOperator<T>, matrix: &[T], tolerance: f64) {
    let mut work = vec![f64::NAN; contract::claims_len(op)];
    let claims = contract::claims(op, matrix, &mut work).unwrap();
    assert!(claims.largest() <= tolerance, "{name}: it is not what it says, {:?}: {claims:?}", op.properties());
    assert!(!op.properties().positive_semidefinite || op.properties().symmetric, "{name}: semidefinite, not symmetric");
}

fn assert_dot<T: Scalar>(name: &str, op: &dyn LinearOperator<T>, tolerance: f64) {
    for stream in [1, 3, 5] {
        let (x, y) = (random(op.domain(), 1, stream), random(op.codomain(), 1, stream + 1));
        let (mut ax, mut aty) = (vec![T::nan(); y.len()], vec![T::nan(); x.len()]);
        let mut scratch = vec![T::nan(); op.scratch_len(1)];
        let test = dot_test(op, &x, &y, &mut ax, &mut aty, &mut scratch).unwrap();
        assert!(test.error() <= tolerance, "{name}: the dot test fails by {:e}: {test:?}", test.error());
    }
}

fn assert_dense_and_linear<T: Scalar>(name: &str, op: &dyn LinearOperator<T>, matrix: &[T], tolerance: f64) {
    let (domain, size) = (op.domain(), norm(matrix));
    let x: Vec<T> = random(domain, 1, 11);
    let ax = product(op, 1, &x);
    let n = x.len();
    let row = |i: usize| T::of((0..n).map(|j| matrix[i * n + j].f64() * x[j].f64()).sum());
    let from_dense: Vec<T> = (0..ax.len()).map(row).collect();
    let off = distance(&ax, &from_dense);
    assert!(off <= tolerance * size * norm(&x), "{name}: differs from its dense form by {off:e}");

    // The public tests, and the dense form that they write: the same to the last bit, or to rounding where blocks are summed otherwise.
    let mut work = vec![T::nan(); contract::work_len(op)];
    let probe = Probe { seed: 5, stream: 0, distribution: Distribution::Gaussian };
    let off = contract::linearity(op, &probe, &mut work).unwrap();
    // Where Ax and Ay cancel within, their size says little of the rounding: the bound is the operator's, not theirs.
    let images = norm(&ax).min(norm(&product(op, 1, &random(domain, 1, 12)))).max(f64::MIN_POSITIVE);
    assert!(off <= tolerance * (1.0 + size * norm(&x) / images), "{name}: not linear, off by {off:e}");
    let off = contract::adjointness(op, &probe, &mut work).unwrap();
    assert!(off <= tolerance, "{name}: the adjoint is not one, off by {off:e}");
    let mut written = vec![T::nan(); matrix.len()];
    contract::materialise(op, &mut written, &mut work).unwrap();
    let off = distance(&written, matrix);
    assert!(off <= tolerance * size, "{name}: the dense form that is written is off by {off:e}");
    if let Some(short) = work.len().checked_sub(1) {
        let error = Err(Error::Scratch { needed: short + 1, given: short });
        assert_eq!(contract::linearity(op, &probe, &mut work[..short]), error, "{name}");
    }
    assert_eq!(norm(&product(op, 1, &vec![T::zero(); x.len()])), 0.0, "{name}: zero is not mapped to zero");
}

fn assert_block<T: Scalar>(name: &str, op: &dyn LinearOperator<T>, tolerance: f64) {
    let (domain, m) = (op.domain(), 5);
    let x = random(domain, m, 21);
    let y = product(op, m, &x);
    for v in 0..m {
        let together = vector(BlockRef::new(op.codomain(), m, &y).unwrap(), v);
        let alone = product(op, 1, &vector(BlockRef::new(domain, m, &x).unwrap(), v));
        let off = distance(&together, &alone);
        assert!(off <= tolerance * norm(&alone), "{name}: vector {v} of a block differs from itself alone by {off:e}");
    }
}

fn assert_dirt<T: Scalar>(name: &str, op: &dyn LinearOperator<T>) {
    for m in [1, 3] {
        let x = random(op.domain(), m, 31);
        let clean = product_in(op, m, &x, T::zero(), 0);
        for (dirt, spare) in [(T::nan(), 0), (T::infinity(), 7), (T::of(1e30), 1)] {
            let dirty = product_in(op, m, &x, dirt, spare);
            let same = clean.iter().zip(&dirty).all(|(a, b)| a == b);
            assert!(
                same,
                "{name}: scratch and output full of {dirt} ({spare} to spare, {m} vectors) change the result"
            );
        }
    }
}

fn assert_errors<T: Scalar>(name: &str, op: &dyn LinearOperator<T>) {
    let (domain, codomain) = (op.domain(), op.codomain());
    let mut y = vec![T::zero(); 5 * codomain.len()];
    for m in [1, 2, 5] {
        let (x, needed) = (random(domain, m, 41), op.scratch_len(m));
        let y = &mut y[..m * codomain.len()];
        let mut scratch = vec![T::zero(); needed];
        let x = BlockRef::new(domain, m, &x).unwrap();
        assert_eq!(op.apply(x, BlockMut::new(codomain, m, y).unwrap(), &mut scratch), Ok(()), "{name}: exact scratch");
        if needed > 0 {
            let short = &mut scratch[..needed - 1];
            let error = op.apply(x, BlockMut::new(codomain, m, y).unwrap(), short);
            assert_eq!(error, Err(Error::Scratch { needed, given: needed - 1 }), "{name}: {m} vectors");
        }
    }
    let (x, mut scratch) = (random(domain, 2, 42), vec![T::zero(); op.scratch_len(2)]);
    let error = op.apply(
        BlockRef::new(domain, 2, &x).unwrap(),
        BlockMut::new(codomain, 1, &mut y[..codomain.len()]).unwrap(),
        &mut scratch,
    );
    assert_eq!(error, Err(Error::Vectors { expected: 2, found: 1 }), "{name}");
    let wrong = Shape { steps: domain.steps + 1, ..domain };
    let error = op.apply(
        BlockRef::new(wrong, 1, &random(wrong, 1, 43)).unwrap(),
        BlockMut::new(codomain, 1, &mut y[..codomain.len()]).unwrap(),
        &mut scratch,
    );
    assert_eq!(error, Err(Error::InputShape { expected: domain, found: wrong }), "{name}");
    let (wrong, mut long) = (Shape { steps: codomain.steps + 1, ..codomain }, vec![T::zero(); 1]);
    long.resize(wrong.len(), T::zero());
    let x = &x[..domain.len()];
    let error =
        op.apply(BlockRef::new(domain, 1, x).unwrap(), BlockMut::new(wrong, 1, &mut long).unwrap(), &mut scratch);
    assert_eq!(error, Err(Error::OutputShape { expected: codomain, found: wrong }), "{name}");
}

/// Asserts that products allocate nothing on the calling thread.
pub fn assert_no_allocation<T: Scalar>(name: &str, op: &dyn LinearOperator<T>) {
    for m in [1, 3] {
        let (mut x, mut y) = (random(op.domain(), m, 51), random(op.codomain(), m, 52));
        let mut scratch = vec![T::zero(); op.scratch_len(m)];
        let count = allocations(|| {
            let scratch = &mut scratch[..op.scratch_len(m)];
            op.apply(
                BlockRef::new(op.domain(), m, &x).unwrap(),
                BlockMut::new(op.codomain(), m, &mut y).unwrap(),
                scratch,
            )
            .unwrap();
            op.apply_adjoint(
                BlockRef::new(op.codomain(), m, &y).unwrap(),
                BlockMut::new(op.domain(), m, &mut x).unwrap(),
                scratch,
            )
            .unwrap();
        });
        assert_eq!(count, 0, "{name}: allocates during products of {m} vectors");
    }
}

/// Numbers between −1 and 1 that follow from a seed and a salt.
pub fn numbers<T: Scalar>(len: usize, seed: u64, salt: u32) -> Vec<T> {
    let word = |i: usize| philox4x32([i as u32, salt, 0, 0], [seed as u32, (seed >> 32) as u32])[0];
    (0..len).map(|i| T::of(f64::from(word(i)) / f64::from(1u32 << 31) - 1.0)).collect()
}

/// X Y for row-major r × k and k × c matrices.
pub fn times(x: &[f64], y: &[f64], [r, k, c]: [usize; 3]) -> Vec<f64> {
    (0..r * c).map(|i| (0..k).map(|p| x[i / c * k + p] * y[p * c + i % c]).sum()).collect()
}

/// The transpose of a row-major rows × cols matrix.
pub fn transposed(x: &[f64], rows: usize, cols: usize) -> Vec<f64> {
    (0..x.len()).map(|i| x[i % rows * cols + i / rows]).collect()
}
