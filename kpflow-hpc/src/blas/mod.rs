//! The matrix and unit-wise kernels of this machine.

use kpflow_core::machine::{Gemm, MatMut};
use kpflow_core::Scalar;

#[cfg(not(feature = "openblas"))]
mod pure;
#[cfg(feature = "openblas")]
#[path = "openblas.rs"]
mod pure;

mod combine;
#[cfg(feature = "openblas")]
mod pieces;

pub use combine::combine;

/// A scalar that this machine can multiply matrices of.
pub trait Blas: Scalar {
    /// Computes C ← α A B + β C; β = 0 only writes C.
    ///
    /// # Panics
    /// Unless every dimension fits a C int.
    fn gemm(alpha: Self, gemm: Gemm<'_, Self>, beta: Self);
}

/// Prepares the library: one thread inside every product, since the tiles are what is done at the same time.
pub fn initialize() {
    pure::initialize();
}

/// What multiplies the matrices.
pub fn name() -> String {
    pure::name()
}

/// The library and its version.
pub fn version() -> String {
    pure::version()
}

/// Whether products with a B of inner × cols are faster where B is stored so than where its transpose is: where small products read their factors in place, and
/// then are as fast as large ones. Up to the largest B that was measured, that of an LSTM of 256 units.
pub fn prefers_plain(inner: usize, cols: usize) -> bool {
    const MOST: usize = 1 << 18;
    pure::reads_in_place() && inner.saturating_mul(cols) <= MOST
}

/// The first thing that a program does: it starts itself again where the library would multiply with kernels that do not suit this processor.
pub fn choose_kernels() {
    pure::choose_kernels();
}

/// Eigenvalues of a symmetric n × n matrix, the smallest first, by the library's LAPACK on so many threads; the vectors in the matrix's rows, if asked. `None`
/// where there is no library, or it has not found them.
///
/// Nothing else may multiply matrices meanwhile.
pub fn symmetric(a: &mut [f64], n: usize, vectors: bool, threads: usize) -> Option<Vec<f64>> {
    pure::symmetric(a, n, vectors, threads)
}

/// Numbers in double precision that [`symmetric`] takes beside a matrix of n rows, with the copy that it writes to;
/// `None` where there is no library.
pub fn symmetric_len(n: usize, vectors: bool) -> Option<usize> {
    pure::symmetric_len(n, vectors)
}

/// Whether there is anything to multiply; if not, scales C.
fn anything<T: Scalar>(inner: usize, beta: T, c: &mut MatMut<'_, T>) -> bool {
    let (rows, cols, ld) = (c.rows(), c.cols(), c.ld());
    if rows == 0 || cols == 0 {
        return false;
    }
    if inner == 0 {
        for i in 0..rows {
            let row = &mut c.data()[i * ld..][..cols];
            row.iter_mut().for_each(|x| *x = if beta == T::zero() { T::zero() } else { beta * *x });
        }
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::Blas;
    use kpflow_core::machine::{Diagonals, Gemm, Kernel, MatMut, MatRef, Portable, Term};

    /// Every transposition and leading dimension against the core's own product, and a product that must not read C.
    fn agree<T: Blas>(tolerance: f64) {
        let value = |i: usize| T::of(((i * 37 % 101) as f64 - 50.0) / 50.0);
        for (m, n, k, pad) in [
            (1, 1, 1, 0),
            (3, 5, 7, 2),
            (64, 64, 33, 0),
            (17, 130, 65, 3),
            (83, 150, 131, 1),
            (2, 3, 0, 1),
            (0, 3, 2, 0),
            (5, 1, 9, 0),
        ] {
            for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
                let (ar, ac) = if ta { (k, m) } else { (m, k) };
                let (br, bc) = if tb { (n, k) } else { (k, n) };
                let a: Vec<T> = (0..(ar + 1) * (ac + pad)).map(value).collect();
                let b: Vec<T> = (0..(br + 1) * (bc + pad)).map(|i| value(i + 7)).collect();
                let view = |x, r, c: usize, t| {
                    if t {
                        MatRef::new(x, r, c, c + pad).unwrap().t()
                    } else {
                        MatRef::new(x, r, c, c + pad).unwrap()
                    }
                };
                for beta in [0.0, 1.0, 0.5] {
                    let fill = if beta == 0.0 { T::nan() } else { T::of(0.25) };
                    let (mut c, mut d) = (vec![fill; (m + 1) * (n + pad)], vec![fill; (m + 1) * (n + pad)]);
                    let (a, b) = (view(&a, ar, ac, ta), view(&b, br, bc, tb));
                    let into = |out| Gemm::new(a, b, MatMut::new(out, m, n, n + pad).unwrap()).unwrap();
                    T::gemm(T::of(2.0), into(&mut c[..]), T::of(beta));
                    Portable.gemm(T::of(2.0), into(&mut d[..]), T::of(beta));
                    for i in 0..m {
                        for j in 0..n {
                            let (x, y) = (c[i * (n + pad) + j].f64(), d[i * (n + pad) + j].f64());
                            assert!((x - y).abs() <= tolerance, "{m} {n} {k} {ta} {tb} {beta}: {x} {y}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn products_agree_with_the_portable_kernel() {
        super::initialize();
        agree::<f64>(1e-12);
        agree::<f32>(1e-4);
    }

    #[test]
    fn symmetric_matrices_are_decomposed() {
        super::initialize();
        for n in [1, 2, 7, 130] {
            let entry = |i: usize, j: usize| ((i * j + 1) as f64).sin() + (0.3 * (i + j) as f64).cos();
            let a: Vec<f64> = (0..n * n).map(|k| entry(k / n, k % n)).collect();
            let (values, _) = kpflow_estimate::symmetric_eigen(&a, n);
            let scale = 1e-12 * values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            for (threads, vectors) in [(1, false), (1, true), (2, true)] {
                let mut rows = a.clone();
                let Some(found) = super::symmetric(&mut rows, n, vectors, threads) else {
                    assert!(!super::name().contains("OpenBLAS"));
                    continue;
                };
                assert!(found.iter().zip(values.iter().rev()).all(|(x, y)| (x - y).abs() <= scale), "{n}");
                for (v, value) in rows.chunks(n).zip(&found).filter(|_| vectors) {
                    let image = |i: usize| (0..n).map(|j| a[i * n + j] * v[j]).sum::<f64>();
                    assert!((0..n).all(|i| (image(i) - value * v[i]).abs() <= scale), "{n}");
                    assert!((v.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-12, "{n}");
                }
            }
        }
        assert!(super::symmetric(&mut [], 0, true, 1).is_none());
    }

    #[test]
    fn one_row_needs_no_leading_dimension() -> Result<(), kpflow_core::Error> {
        let x = [1.0f64; 4];
        let (row, square, mut c) = (MatRef::new(&x, 1, 2, 0)?, MatRef::new(&x, 2, 2, 2)?, [0.0; 2]);
        f64::gemm(1.0, Gemm::new(row, square, MatMut::new(&mut c, 1, 2, 0)?)?, 0.0);
        assert_eq!(c, [2.0, 2.0]);
        Ok(())
    }

    #[test]
    fn diagonals_agree() {
        let (c, x): (Vec<f64>, Vec<f64>) = (0..37).map(|i| (i as f64, 0.5 * i as f64)).unzip();
        let x = [x.clone(), x].concat();
        for terms in 1..12 {
            let all = vec![Term { c: &c, x: &x, stride: 37 }; terms];
            for (add, before) in [(true, 1.0), (false, f64::NAN)] {
                let mut y = vec![before; 77];
                super::combine(Diagonals::new(&all, &mut y, 40, 2, add).unwrap());
                let expected = 4.5 * terms as f64 + if add { 1.0 } else { 0.0 };
                assert_eq!((y[3], y[43], y[38].to_bits()), (expected, expected, f64::to_bits(before)));
            }
        }
    }
}
