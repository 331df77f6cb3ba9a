//! Generated factors of Kronecker products and sums, and the matrices that they stand for.
#![allow(dead_code)] // every test binary uses a part

use super::common::{distance, norm};
use kpflow_core::kronecker::{Factor, Kronecker};
use kpflow_core::machine::Portable;
use kpflow_core::{LinearOperator, Scalar};
use proptest::prelude::*;

/// A matrix by itself: row-major, with its sizes.
#[derive(Clone, Debug)]
pub struct Matrix {
    pub rows: usize,
    pub cols: usize,
    pub data: Vec<f64>,
}

impl Matrix {
    pub fn new(rows: usize, cols: usize, f: impl Fn(usize, usize) -> f64) -> Self {
        Self { rows, cols, data: (0..rows * cols).map(|e| f(e / cols, e % cols)).collect() }
    }
    pub fn eye(n: usize) -> Self {
        Self::new(n, n, |i, j| f64::from(u8::from(i == j)))
    }
    pub fn at(&self, i: usize, j: usize) -> f64 {
        self.data[i * self.cols + j]
    }
    pub fn t(&self) -> Self {
        Self::new(self.cols, self.rows, |i, j| self.at(j, i))
    }
    pub fn times(&self, other: &Self) -> Self {
        Self::new(self.rows, other.cols, |i, j| (0..self.cols).map(|k| self.at(i, k) * other.at(k, j)).sum())
    }
    pub fn kron(&self, b: &Self) -> Self {
        Self::new(self.rows * b.rows, self.cols * b.cols, |i, j| {
            self.at(i / b.rows, j / b.cols) * b.at(i % b.rows, j % b.cols)
        })
    }
    pub fn plus(&self, b: &Self) -> Self {
        Self::new(self.rows, self.cols, |i, j| self.at(i, j) + b.at(i, j))
    }
    pub fn trace(&self) -> f64 {
        (0..self.rows).map(|i| self.at(i, i)).sum()
    }
}

/// One generated factor: an identity or a dense matrix, perhaps stored as its transpose, times a number.
#[derive(Clone, Debug)]
pub struct Spec {
    pub identity: bool,
    pub transposed: bool,
    pub scale: f64,
    pub matrix: Matrix,
}

impl Spec {
    pub fn value(&self) -> Matrix {
        let m = if self.transposed { self.matrix.t() } else { self.matrix.clone() };
        Matrix::new(m.rows, m.cols, |i, j| self.scale * m.at(i, j))
    }
    pub fn factor<'a, T: Scalar>(&self, data: &'a [T]) -> Factor<'a, T> {
        let m = &self.matrix;
        if self.identity {
            return Factor::identity(m.rows).scaled(self.scale);
        }
        let factor = Factor::dense(data, m.rows, m.cols).unwrap().scaled(self.scale);
        if self.transposed {
            factor.t()
        } else {
            factor
        }
    }
}

/// All factors as one matrix.
pub fn formed(specs: &[Spec]) -> Matrix {
    specs.iter().fold(Matrix::eye(1), |m, s| m.kron(&s.value()))
}

pub fn formed_sum(specs: &[Spec]) -> Matrix {
    let n: usize = specs.iter().map(|s| s.matrix.rows).product();
    (0..specs.len()).fold(Matrix::new(n, n, |_, _| 0.0), |sum, k| {
        let term = |i: usize| if i == k { specs[i].value() } else { Matrix::eye(specs[i].matrix.rows) };
        sum.plus(&(0..specs.len()).fold(Matrix::eye(1), |m, i| m.kron(&term(i))))
    })
}

/// The numbers of all factors in T, and the factors.
#[macro_export]
macro_rules! factors {
    ($specs:expr, $t:ty, $data:ident, $factors:ident) => {
        let $data: Vec<Vec<$t>> = $specs
            .iter()
            .map(|s: &$crate::generated::Spec| s.matrix.data.iter().map(|x| <$t as Scalar>::of(*x)).collect())
            .collect();
        let $factors: Vec<kpflow_core::kronecker::Factor<'_, $t>> =
            $specs.iter().zip(&$data).map(|(s, d)| s.factor(d)).collect();
    };
}

pub fn near<T: Scalar>(what: &str, found: &[T], expected: &Matrix, tolerance: f64) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), expected.data.len(), "{}", what);
    let expected: Vec<T> = expected.data.iter().map(|x| T::of(*x)).collect();
    let off = distance(found, &expected);
    prop_assert!(off <= tolerance * norm(&expected), "{}: off by {:e} of {:e}", what, off, norm(&expected));
    Ok(())
}

pub fn close(what: &str, found: f64, expected: f64, scale: f64) -> Result<(), TestCaseError> {
    prop_assert!((found - expected).abs() <= 1e-12 * scale, "{}: {} against {}", what, found, expected);
    Ok(())
}

pub fn entries(p: &Kronecker<'_, f64, Portable>) -> Vec<f64> {
    let (rows, cols) = (p.codomain().len(), p.domain().len());
    (0..rows * cols).map(|e| p.at(e / cols, e % cols)).collect()
}

pub fn matrix(rows: usize, cols: usize) -> impl Strategy<Value = Matrix> {
    prop::collection::vec(-2.0f64..2.0, rows * cols).prop_map(move |data| Matrix { rows, cols, data })
}

pub fn spec() -> impl Strategy<Value = Spec> {
    let sizes = (0usize..5, 0usize..5, prop::bool::weighted(0.3), any::<bool>(), -2.0f64..2.0);
    sizes.prop_flat_map(|(rows, cols, identity, transposed, scale)| {
        let cols = if identity { rows } else { cols };
        matrix(rows, cols).prop_map(move |m| {
            let matrix = if identity { Matrix::eye(m.rows) } else { m };
            Spec { identity, transposed, scale, matrix }
        })
    })
}

pub fn square() -> impl Strategy<Value = Spec> {
    (0usize..5, prop::bool::weighted(0.3), any::<bool>(), -2.0f64..2.0).prop_flat_map(
        |(n, identity, transposed, scale)| {
            matrix(n, n).prop_map(move |m| {
                let matrix = if identity { Matrix::eye(n) } else { m };
                Spec { identity, transposed, scale, matrix }
            })
        },
    )
}

pub fn symmetric() -> impl Strategy<Value = Spec> {
    square().prop_map(|s| Spec {
        matrix: Matrix::new(s.matrix.rows, s.matrix.rows, |i, j| s.matrix.at(i.max(j), i.min(j))),
        ..s
    })
}

pub fn few<S: Strategy<Value = Spec>>(of: impl Fn() -> S) -> impl Strategy<Value = Vec<Spec>> {
    prop::collection::vec(of(), 1..4)
}

/// Factors and where they are divided among the axes.
pub fn grouped<S: Strategy<Value = Spec>>(of: impl Fn() -> S) -> impl Strategy<Value = (Vec<Spec>, [usize; 3])> {
    (prop::collection::vec(of(), 0..5), any::<[usize; 2]>()).prop_map(|(specs, cuts)| {
        let n = specs.len();
        let (a, b) = (cuts[0] % (n + 1), cuts[1] % (n + 1));
        let (a, b) = (a.min(b), a.max(b));
        (specs, [a, b - a, n - b])
    })
}
