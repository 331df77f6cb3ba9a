//! Kronecker products against the matrices that they stand for.

mod common;

use common::{assert_contract, dense, distance, norm, random};
use kpflow_core::kronecker::{Factor, Kronecker};
use kpflow_core::machine::{MatRef, Portable};
use kpflow_core::{Error, Scalar, Shape};

fn numbers<T: Scalar>(rows: usize, cols: usize, stream: u32) -> Vec<T> {
    random(Shape::new(1, rows, cols), 1, stream)
}

/// A ⊗ B, entry by entry.
fn formed<T: Scalar>(a: MatRef<'_, T>, b: MatRef<'_, T>) -> Vec<T> {
    let at = |m: &MatRef<'_, T>, i: usize, j: usize| m.data()[i * m.strides().0 + j * m.strides().1];
    let (rows, cols) = (a.rows() * b.rows(), a.cols() * b.cols());
    (0..rows * cols)
        .map(|e| (e / cols, e % cols))
        .map(|(i, j)| at(&a, i / b.rows(), j / b.cols()) * at(&b, i % b.rows(), j % b.cols()))
        .collect()
}

fn contract<T: Scalar>(tolerance: f64) {
    let (a, b) = (numbers::<T>(3, 4, 1), numbers::<T>(5, 7, 2));
    let views = [
        ("A ⊗ B", MatRef::new(&a, 3, 4, 4).unwrap(), MatRef::new(&b, 5, 7, 7).unwrap()),
        ("Aᵀ ⊗ B", MatRef::new(&a, 3, 4, 4).unwrap().t(), MatRef::new(&b, 5, 7, 7).unwrap()),
        ("A ⊗ Bᵀ, parts of longer rows", MatRef::new(&a, 3, 2, 4).unwrap(), MatRef::new(&b, 5, 4, 7).unwrap().t()),
    ];
    for (name, a, b) in views {
        let product = Kronecker::new(a, b, &Portable);
        assert_contract(name, &product, tolerance);
        assert_contract(name, &product.t(), tolerance);
        let truth = formed(a, b);
        assert!(distance(&dense(&product), &truth) <= tolerance * norm(&truth), "{name}");
        assert!((product.frobenius_norm() - norm(&truth)).abs() <= tolerance * norm(&truth), "{name}");
    }
}

#[test]
fn products_keep_the_contract() {
    contract::<f64>(1e-13);
    contract::<f32>(1e-5);
}

#[test]
fn products_of_products_are_products_of_factors() {
    let (a, b, c, d) = (numbers::<f64>(3, 4, 1), numbers(5, 2, 2), numbers(6, 4, 3), numbers(2, 3, 4));
    let left = Kronecker::new(MatRef::new(&a, 3, 4, 4).unwrap(), MatRef::new(&b, 5, 2, 2).unwrap(), &Portable);
    let right = Kronecker::new(MatRef::new(&c, 6, 4, 4).unwrap().t(), MatRef::new(&d, 2, 3, 3).unwrap(), &Portable);
    let (mut ac, mut bd) = ([f64::NAN; 18], [f64::NAN; 15]);
    let mixed = dense(&left.times(&right, &mut ac, &mut bd).unwrap());
    let composed = dense(&kpflow_core::operator::Compose::new::<f64>(left, right).unwrap());
    assert!(distance(&mixed, &composed) <= 1e-13 * norm(&composed));
}

/// Traces and sums over an axis by their definitions, on the formed matrix. That the two differ is the point.
#[test]
fn partial_traces_and_axis_sums_are_two_things() {
    let (n, m) = (3, 4);
    let (a, b) = (numbers::<f64>(n, n, 1), numbers::<f64>(m, m, 2));
    let product = Kronecker::new(MatRef::new(&a, n, n, n).unwrap(), MatRef::new(&b, m, m, m).unwrap().t(), &Portable);
    let full = dense(&product);
    let entry = |i: usize, k: usize, j: usize, l: usize| full[(i * m + k) * n * m + j * m + l];
    let trace: f64 = (0..n * m).map(|i| full[i * n * m + i]).sum();
    assert!((product.trace().unwrap() - trace).abs() < 1e-13);

    let (mut right, mut left) = (vec![f64::NAN; m * m], vec![f64::NAN; n * n]);
    let near = |x: f64, y: f64| assert!((x - y).abs() < 1e-12, "{x} {y}");
    product.partial_trace(Factor::Left, &mut right).unwrap();
    product.partial_trace(Factor::Right, &mut left).unwrap();
    (0..m * m).for_each(|e| near(right[e], (0..n).map(|i| entry(i, e / m, i, e % m)).sum()));
    (0..n * n).for_each(|e| near(left[e], (0..m).map(|k| entry(e / n, k, e % n, k)).sum()));
    near((0..m).map(|k| right[k * m + k]).sum(), trace);

    let traced = right.clone();
    product.axis_sum(Factor::Left, &mut right).unwrap();
    product.axis_sum(Factor::Right, &mut left).unwrap();
    let pairs = |n: usize| (0..n).flat_map(move |i| (0..n).map(move |j| (i, j)));
    (0..m * m).for_each(|e| near(right[e], pairs(n).map(|(i, j)| entry(i, e / m, j, e % m)).sum()));
    (0..n * n).for_each(|e| near(left[e], pairs(m).map(|(k, l)| entry(e / n, k, e % n, l)).sum()));
    assert!(distance(&right, &traced) > 0.1);
}

#[test]
fn factors_that_are_not_square_have_no_trace() {
    let a = numbers::<f64>(3, 4, 1);
    let product = Kronecker::new(MatRef::new(&a, 3, 4, 4).unwrap(), MatRef::new(&a, 2, 2, 2).unwrap(), &Portable);
    let error = Error::Matrix { expected: (3, 3), found: (3, 4) };
    assert_eq!(product.trace(), Err(error));
    assert_eq!(product.partial_trace(Factor::Left, &mut [0.0; 4]), Err(error));
}
