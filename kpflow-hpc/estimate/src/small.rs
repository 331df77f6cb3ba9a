//! Small dense problems.

use crate::error::fits;
use faer::{Mat, MatRef as MatView};
use kpflow_core::machine::{Gemm, Kernel, MatMut, MatRef, Tasks};

/// Decompositions of symmetric matrices: in pure Rust, but where a machine has a library for them.
pub trait Decompose {
    /// Finds the eigenvalues of a symmetric n × n matrix, the smallest first, and writes the vectors over it if asked, vector i in row i. `None` where this
    /// machine has nothing for it, or it failed; the matrix is then to be made again.
    fn symmetric(&self, a: &mut [f64], n: usize, vectors: bool) -> Option<Vec<f64>> {
        let _ = (a, n, vectors);
        None
    }
}

impl Decompose for kpflow_core::machine::Portable {}

/// Numbers in double precision that [`eigen`], or [`eigenvalues`] where no machine has a library for them, takes beside
/// a matrix of n rows, what it returns among them (measured at n from 64 to 1024).
pub fn eigen_len(n: usize, vectors: bool) -> usize {
    (if vectors { 5 } else { 2 }) * n * n + 80 * n
}

/// Eigenvalues, largest first, and eigenvectors (vector i in row i) of a symmetric row-major n × n matrix.
pub fn eigen(a: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    decompose(&kpflow_core::machine::Portable, a, n, true)
}

/// [`eigen`] by what this machine has for it; without vectors unless they are asked for, which takes less than half of the time.
///
/// **Cost**: 4/3·n³ flops and n² numbers for the values (LAPACK's dsyevd at n = 2048 on one core: 1.2 s, in pure Rust
/// 2.3), about 4·n³ and 3·n² numbers with vectors (2.4 s, 2.7; in pure Rust [`eigen_len`]). **Accuracy**: values within c·ε·‖A‖.
pub(crate) fn decompose(machine: &impl Decompose, a: &[f64], n: usize, vectors: bool) -> (Vec<f64>, Vec<f64>) {
    if n == 0 {
        return (Vec::new(), Vec::new());
    }
    let symmetric = || (0..n * n).map(|i| 0.5 * (a[i] + a[i % n * n + i / n])).collect::<Vec<f64>>();
    let mut copy = symmetric();
    if let Some(mut values) = machine.symmetric(&mut copy, n, vectors) {
        values.reverse();
        if !vectors {
            return (values, Vec::new());
        }
        for i in 0..n / 2 {
            let (head, tail) = copy.split_at_mut((n - 1 - i) * n);
            head[i * n..][..n].swap_with_slice(&mut tail[..n]);
        }
        return (values, copy);
    }
    drop(copy);
    // What the library was given it may have spoilt.
    let copy = symmetric();
    let matrix = MatView::from_row_major_slice(&copy, n, n);
    const FINITE: &str = "the eigenvalues of a finite symmetric matrix";
    if !vectors {
        let mut values = matrix.self_adjoint_eigenvalues(faer::Side::Lower).expect(FINITE);
        values.reverse();
        return (values, Vec::new());
    }
    let eigen = matrix.self_adjoint_eigen(faer::Side::Lower).expect(FINITE);
    let (s, u) = (eigen.S().column_vector(), eigen.U());
    let values = (0..n).rev().map(|i| s[i]).collect();
    let vectors = (0..n * n).map(|k| u[(k % n, n - 1 - k / n)]).collect();
    (values, vectors)
}

/// The eigenvalues of a symmetric row-major n × n matrix, largest first, by what this machine has for it.
pub fn eigenvalues(machine: &impl Decompose, a: &[f64], n: usize) -> Vec<f64> {
    decompose(machine, a, n, false).0
}

/// Has this thread make the buffers that it keeps for small matrices: what is allocated from here on is an estimate's own.
pub fn make_ready() {
    let one = Mat::<f64>::identity(READY, READY);
    std::hint::black_box(&one * &one);
}

/// Rows from which on a product takes those buffers.
const READY: usize = 256;

/// The identity, row-major.
pub(crate) fn identity(n: usize) -> Vec<f64> {
    (0..n * n).map(|i| f64::from(u8::from(i / n == i % n))).collect()
}

/// a b, on all threads where it is large.
pub(crate) fn product(machine: &(impl Tasks + Kernel<f64>), a: MatView<'_, f64>, b: MatView<'_, f64>) -> Mat<f64> {
    let (m, k, n) = (a.nrows(), a.ncols(), b.ncols());
    let rows =
        |x: MatView<'_, f64>| (0..x.nrows()).flat_map(|i| (0..x.ncols()).map(move |j| x[(i, j)])).collect::<Vec<_>>();
    let c = multiply(machine, &rows(a), &rows(b), [m, k, n]);
    Mat::from_fn(m, n, |i, j| c[i * n + j])
}

/// a b for row-major matrices `[m, k]` and `[k, n]`, a panel of rows a task.
pub(crate) fn multiply(machine: &(impl Tasks + Kernel<f64>), a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
    const ROWS: usize = 128;
    let mut c = vec![0.0; m * n];
    if c.is_empty() || k == 0 {
        return c;
    }
    machine.for_each(m.div_ceil(ROWS), &mut c, ROWS * n, &mut [], 0, |i, c, _: &mut [f64]| {
        let rows = c.len() / n;
        let (a, b) = (fits(MatRef::new(&a[i * ROWS * k..], rows, k, k)), fits(MatRef::new(b, k, n, n)));
        machine.gemm(1.0, fits(Gemm::new(a, b, fits(MatMut::new(c, rows, n, n)))), 0.0);
    });
    c
}
