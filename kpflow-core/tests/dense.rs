//! Small dense matrices against known answers, ill-conditioned and rank-deficient ones included.

mod common;

use common::{distance, norm, random};
use kpflow_core::dense::{
    invert, log_determinant, power, power_scratch_len, rank, singular_values, solve, square_root,
    square_root_scratch_len, symmetric_eigen, symmetric_eigenvalues, LogDeterminant,
};
use kpflow_core::{Error, Shape};
use proptest::prelude::*;

fn numbers(rows: usize, cols: usize, stream: u32) -> Vec<f64> {
    random(Shape::new(1, rows, cols), 1, stream)
}

fn times(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let cols = b.len() / n.max(1);
    (0..a.len() / n * cols).map(|e| (0..n).map(|k| a[e / cols * n + k] * b[k * cols + e % cols]).sum()).collect()
}

fn transpose(a: &[f64], cols: usize) -> Vec<f64> {
    let rows = a.len() / cols;
    (0..a.len()).map(|e| a[e % rows * cols + e / rows]).collect()
}

fn eye(n: usize) -> Vec<f64> {
    (0..n * n).map(|e| f64::from(u8::from(e / n == e % n))).collect()
}

/// An orthogonal matrix: reflections on n random vectors.
fn orthogonal(n: usize, stream: u32) -> Vec<f64> {
    let mut q = eye(n);
    for v in numbers(n, n, stream).chunks_exact(n) {
        for row in q.chunks_exact_mut(n) {
            let c = 2.0 * row.iter().zip(v).map(|(a, b)| a * b).sum::<f64>() / norm(v).powi(2);
            row.iter_mut().zip(v).for_each(|(x, v)| *x -= c * v);
        }
    }
    q
}

/// U diag(σ) Vᵀ, rows × cols with as many σ as the smaller.
fn with_singular_values(rows: usize, cols: usize, sigma: &[f64], stream: u32) -> Vec<f64> {
    let (u, v) = (orthogonal(rows, stream), orthogonal(cols, stream + 1));
    let entry = |i: usize, j: usize| sigma.iter().enumerate().map(|(k, s)| u[i * rows + k] * s * v[j * cols + k]).sum();
    (0..rows * cols).map(|e| entry(e / cols, e % cols)).collect()
}

fn eigen(a: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut values, mut vectors) = (vec![f64::NAN; n], vec![f64::NAN; n * n]);
    symmetric_eigen(n, &mut a.to_vec(), &mut values, &mut vectors).unwrap();
    (values, vectors)
}

fn singular(a: &[f64], rows: usize, cols: usize) -> Vec<f64> {
    let mut values = vec![f64::NAN; rows];
    singular_values(rows, cols, &mut a.to_vec(), &mut values).unwrap();
    values
}

fn hilbert(n: usize) -> Vec<f64> {
    (0..n * n).map(|e| 1.0 / (1 + e / n + e % n) as f64).collect()
}

#[test]
fn eigenvalues_of_the_second_difference_are_known() {
    for n in [1usize, 2, 5, 40] {
        let a: Vec<f64> = (0..n * n)
            .map(|e| match (e / n).abs_diff(e % n) {
                0 => 2.0,
                1 => -1.0,
                _ => 0.0,
            })
            .collect();
        let (values, vectors) = eigen(&a, n);
        for (k, value) in values.iter().enumerate() {
            let angle = (n - k) as f64 * std::f64::consts::PI / (n + 1) as f64;
            assert!((value - (2.0 - 2.0 * angle.cos())).abs() < 1e-14 * n as f64, "{n} {k}");
        }
        assert!(distance(&times(&vectors, &transpose(&vectors, n), n), &eye(n)) < 1e-14 * n as f64);
    }
}

#[test]
fn eigenpairs_hold_at_every_scale() {
    for scale in [1e-300, 1e-150, 1.0, 1e150, 1e300] {
        let n = 6;
        let g = numbers(n, n, 3);
        let a: Vec<f64> = (0..n * n).map(|e| (g[e] + g[e % n * n + e / n]) * scale).collect();
        let (values, vectors) = eigen(&a, n);
        assert!(values.windows(2).all(|w| w[0] >= w[1]));
        for (value, v) in values.iter().zip(vectors.chunks_exact(n)) {
            let av = times(&a, v, n);
            let off = av.iter().zip(v).map(|(x, v)| ((x - value * v) / scale).abs()).fold(0.0, f64::max);
            assert!(off < 1e-14, "{scale:e}: {off:e}");
        }
    }
}

#[test]
fn graded_positive_matrices_keep_their_small_eigenvalues() {
    // D H D with H = 1 and ½ beside, D = 1, 1e-5, 1e-10: eigenvalues near 1, ¾·1e-10, ⅔·1e-20, each to relative precision.
    let d = [1.0, 1e-5, 1e-10];
    let a: Vec<f64> = (0..9).map(|e| d[e / 3] * d[e % 3] * if e / 3 == e % 3 { 1.0 } else { 0.5 }).collect();
    let (values, _) = eigen(&a, 3);
    assert!((values[1] / 0.75e-10 - 1.0).abs() < 1e-9, "{values:?}");
    assert!((values[2] / (2.0 / 3.0 * 1e-20) - 1.0).abs() < 1e-9, "{values:?}");
    // The determinant, det H · (1e-15)² = ½·1e-30, is their product whatever their sizes.
    assert!((values.iter().product::<f64>() / 0.5e-30 - 1.0).abs() < 1e-13, "{values:?}");
}

#[test]
fn singular_values_and_rank_are_those_a_matrix_was_made_with() {
    for (rows, cols, sigma, expected) in [
        (4, 7, vec![3.0, 2.0, 1.0, 0.5], 4),
        (5, 5, vec![1.0, 1e-4, 1e-8, 1e-12, 0.0], 4),
        (6, 9, vec![7.0, 7.0, 7.0, 0.0, 0.0, 0.0], 3),
        (12, 12, (0..12).map(|k| 10f64.powi(-k)).collect(), 12),
        (3, 3, vec![0.0; 3], 0),
    ] {
        let a = with_singular_values(rows, cols, &sigma, 5);
        let found = singular(&a, rows, cols);
        let off = distance(&found, &sigma);
        assert!(off <= 1e-14 * sigma[0], "{found:?}");
        assert_eq!(rank(&found, 1e-14), expected, "{found:?}");
        // As many again for the transpose, and zeros.
        let other = singular(&transpose(&a, cols), cols, rows);
        assert!(distance(&other[..rows], &sigma) <= 1e-14 * sigma[0] && norm(&other[rows..]) <= 1e-14 * sigma[0]);
    }
    // A Gram matrix sees no more than √ε: the reason for singular values of the matrix itself.
    let a = with_singular_values(3, 3, &[1.0, 1e-6, 1e-10], 7);
    let (values, _) = eigen(&times(&a, &transpose(&a, 3), 3), 3);
    assert!((singular(&a, 3, 3)[2] / 1e-10 - 1.0).abs() < 1e-4);
    assert!((values[2].abs().sqrt() / 1e-10 - 1.0).abs() > 1e-2);
}

#[test]
fn rows_of_very_different_length_keep_relative_accuracy() {
    let mut a = numbers(4, 6, 9);
    let well = singular(&a, 4, 6);
    for (i, row) in a.chunks_exact_mut(6).enumerate() {
        row.iter_mut().for_each(|x| *x *= 10f64.powi(-40 * i as i32));
    }
    let values = singular(&a, 4, 6);
    // det(A Aᵀ) is scaled by the product of all scales squared.
    let logs = |v: &[f64]| v.iter().map(|x| x.log10()).sum::<f64>();
    assert!((logs(&values) - logs(&well) + 240.0).abs() < 1e-11, "{values:?}");
}

#[test]
fn systems_inverses_and_determinants() {
    let n = 7;
    let a = numbers(n, n, 11);
    let x = numbers(n, 3, 12);
    let mut b = times(&a, &x, n);
    let determinant = solve(n, &mut a.clone(), 3, &mut b).unwrap();
    assert!(distance(&b, &x) < 1e-12 * norm(&x));
    assert_eq!(determinant, log_determinant(n, &mut a.clone()).unwrap());
    let mut inverse = vec![f64::NAN; n * n];
    invert(n, &mut a.clone(), &mut inverse).unwrap();
    assert!(distance(&times(&a, &inverse, n), &eye(n)) < 1e-12);
    // |det| is the product of the singular values.
    let product: f64 = singular(&a, n, n).iter().map(|s| s.ln()).sum();
    assert!((determinant.ln_abs - product).abs() < 1e-12);

    // det of Hilbert's matrix of 8 is 1/Π (2k+1) binom(2k, k)², known: 2.73705e-33. Its condition number is 1.5e10.
    let mut exact = 1.0;
    for k in 1..8 {
        let binomial: f64 = (1..=k).map(|i| (k + i) as f64 / i as f64).product();
        exact /= (2 * k + 1) as f64 * binomial * binomial;
    }
    let found = log_determinant(8, &mut hilbert(8)).unwrap();
    assert!((found.value() / exact - 1.0).abs() < 1e-6, "{} {exact}", found.value());
    let mut inverse = vec![0.0; 64];
    invert(8, &mut hilbert(8), &mut inverse).unwrap();
    assert!((inverse[0] / 64.0 - 1.0).abs() < 1e-6);
    // 14 of them have a condition number of 6e17: no digit of the inverse is right.
    let mut inverse = vec![0.0; 196];
    assert_eq!(invert(14, &mut hilbert(14), &mut inverse), Err(Error::Singular { size: 14 }));
    // Rank-deficient: singular to every method.
    let a = with_singular_values(4, 4, &[1.0, 1.0, 0.5, 0.0], 13);
    assert_eq!(invert(4, &mut a.clone(), &mut [0.0; 16]), Err(Error::Singular { size: 4 }));
    assert_eq!(solve(2, &mut [1.0, 2.0, 2.0, 4.0], 0, &mut []), Err(Error::Singular { size: 2 }));
    let zero = log_determinant(2, &mut [1.0, 2.0, 2.0, 4.0]).unwrap();
    assert_eq!((zero, zero.value()), (LogDeterminant { sign: 0.0, ln_abs: f64::NEG_INFINITY }, 0.0));
    assert_eq!(log_determinant(0, &mut []).unwrap().value(), 1.0);
}

#[test]
fn roots_and_powers() {
    let n = 5;
    let mut scratch = vec![f64::NAN; square_root_scratch_len(n)];
    for sigma in [[4.0, 3.0, 2.0, 1.0, 0.5], [1.0, 1e-3, 1e-9, 0.0, 0.0]] {
        let g = with_singular_values(n, n, &sigma, 15);
        let a = times(&g, &transpose(&g, n), n);
        let mut root = a.clone();
        square_root(n, &mut root, 1e-14, &mut scratch).unwrap();
        assert!(distance(&times(&root, &root, n), &a) < 1e-14 * norm(&a));
        assert!(distance(&root, &transpose(&root, n)) < 1e-15 * norm(&root));
    }
    let mut indefinite = vec![1.0, 2.0, 2.0, 1.0];
    let found = square_root(2, &mut indefinite, 1e-14, &mut scratch);
    assert_eq!(found, Err(Error::NotSemidefinite { negative: 1, size: 2 }));

    let fibonacci = [1.0, 1.0, 1.0, 0.0];
    let (mut out, mut scratch) = ([f64::NAN; 4], vec![f64::NAN; power_scratch_len(2)]);
    for (exponent, expected) in [(0, [1.0, 0.0, 0.0, 1.0]), (1, fibonacci), (10, [89.0, 55.0, 55.0, 34.0])] {
        power(2, &mut fibonacci.clone(), exponent, &mut out, &mut scratch).unwrap();
        assert_eq!(out, expected);
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let (mut values, mut four, mut three) = ([0.0; 2], [1.0; 4], [0.0; 3]);
    let length = |expected, found| Err(Error::Length { expected, found });
    assert_eq!(symmetric_eigen(2, &mut three, &mut values, &mut four), length(4, 3));
    assert_eq!(symmetric_eigen(2, &mut [0.0; 4], &mut values, &mut three), length(4, 3));
    assert_eq!(singular_values(3, 2, &mut [0.0; 6], &mut values), length(3, 2));
    assert_eq!(invert(2, &mut four, &mut three), length(4, 3));
    assert_eq!(square_root(2, &mut four, 0.0, &mut [0.0; 5]), Err(Error::Scratch { needed: 6, given: 5 }));
    let nan = [1.0, f64::NAN, 1.0, 1.0];
    for found in [
        symmetric_eigen(2, &mut nan.clone(), &mut values, &mut four),
        singular_values(2, 2, &mut nan.clone(), &mut values),
        invert(2, &mut nan.clone(), &mut four),
        log_determinant(2, &mut nan.clone()).map(|_| ()),
    ] {
        assert_eq!(found, Err(Error::NotFinite { place: 1 }));
    }
    let huge = usize::MAX / 2;
    assert!(matches!(symmetric_eigen(huge, &mut [], &mut [], &mut []), Err(Error::Overflow { .. })));
}

fn square() -> impl Strategy<Value = (usize, Vec<f64>)> {
    (0usize..9).prop_flat_map(|n| (Just(n), prop::collection::vec(-10.0f64..10.0, n * n)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn eigenpairs_rebuild_the_matrix((n, g) in square()) {
        let a: Vec<f64> = (0..n * n).map(|e| g[e] + g[e % n * n + e / n]).collect();
        let (values, vectors) = eigen(&a, n);
        let mut alone = vec![f64::NAN; n];
        symmetric_eigenvalues(n, &mut a.clone(), &mut alone).unwrap();
        prop_assert_eq!(&alone, &values);
        let built: Vec<f64> = (0..n * n)
            .map(|e| (0..n).map(|k| values[k] * vectors[k * n + e / n] * vectors[k * n + e % n]).sum())
            .collect();
        prop_assert!(distance(&built, &a) <= 1e-13 * norm(&a));
        prop_assert!((values.iter().sum::<f64>() - (0..n).map(|i| a[i * n + i]).sum::<f64>()).abs() <= 1e-13 * norm(&a));
    }

    /// Buffers of any lengths: an answer or an error.
    #[test]
    fn no_call_panics(n in 0usize..5, cols in 0usize..5, lens in prop::array::uniform4(0usize..26), exponent in any::<u32>()) {
        let buffer = |i: usize| vec![0.5; lens[i]];
        let (mut a, mut b, mut c) = (buffer(0), buffer(1), buffer(2));
        let fits = |ok: bool, right: bool| if right { Ok(()) } else { prop_assert!(!ok); Ok(()) };
        fits(symmetric_eigen(n, &mut a, &mut b, &mut c).is_ok(), lens[..3] == [n * n, n, n * n])?;
        fits(symmetric_eigenvalues(n, &mut a, &mut b).is_ok(), lens[..2] == [n * n, n])?;
        fits(singular_values(n, cols, &mut a, &mut b).is_ok(), lens[..2] == [n * cols, n])?;
        fits(solve(n, &mut a, cols, &mut b).is_ok(), lens[..2] == [n * n, n * cols])?;
        fits(invert(n, &mut a, &mut b).is_ok(), lens[..2] == [n * n; 2])?;
        fits(log_determinant(n, &mut a).is_ok(), lens[0] == n * n)?;
        fits(power(n, &mut a, exponent, &mut b, &mut c).is_ok(), lens[..2] == [n * n; 2] && lens[2] >= n * n)?;
        fits(square_root(n, &mut a, 0.0, &mut b).is_ok(), lens[0] == n * n && lens[1] >= square_root_scratch_len(n))?;
    }

    #[test]
    fn singular_values_keep_the_norm_and_the_determinant((n, a) in square()) {
        let values = singular(&a, n, n);
        prop_assert!((norm(&values) - norm(&a)).abs() <= 1e-13 * norm(&a));
        let determinant = log_determinant(n, &mut a.clone()).unwrap();
        let product: f64 = values.iter().product();
        let scale = norm(&a).powi(n as i32);
        prop_assert!((determinant.value().abs() - product).abs() <= 1e-13 * scale);
        // What has been inverted is an inverse, to the condition number that the singular values tell.
        let mut inverse = vec![f64::NAN; n * n];
        if n > 0 && invert(n, &mut a.clone(), &mut inverse).is_ok() {
            let condition = values[0] / values[n - 1];
            prop_assert!(distance(&times(&a, &inverse, n), &eye(n)) <= 1e-14 * n as f64 * condition);
        }
    }
}
