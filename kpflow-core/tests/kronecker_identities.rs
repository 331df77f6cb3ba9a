//! Kronecker products, sums and their identities against the matrices that they stand for, in generated shapes.

mod common;
mod generated;

use common::{dense, distance, norm};
use generated::{close, entries, few, formed, formed_sum, grouped, near, spec, square, symmetric, Matrix, Spec};
use kpflow_core::dense::{rank, singular_values, symmetric_eigen};
use kpflow_core::kronecker::{Eigenpair, Factor, Kronecker, KroneckerSum, Spectrum};
use kpflow_core::machine::Portable;
use kpflow_core::Scalar;
use proptest::prelude::*;

fn check_product<T: Scalar>(specs: &[Spec], groups: [usize; 3], tolerance: f64) -> Result<(), TestCaseError> {
    factors!(specs, T, data, factors);
    let product = Kronecker::grouped(&factors, groups, &Portable).unwrap();
    let truth = formed(specs);
    near("A ⊗ B", &dense(&product), &truth, tolerance)?;
    near("(A ⊗ B)ᵀ", &dense(&product.t()), &truth.t(), tolerance)?;
    near("(A ⊗ B)ᵀ", &dense(&kpflow_core::operator::Adjoint(product)), &truth.t(), tolerance)
}

fn check_sum<T: Scalar>(specs: &[Spec], groups: [usize; 3], tolerance: f64) -> Result<(), TestCaseError> {
    factors!(specs, T, data, terms);
    let sum = KroneckerSum::grouped(&terms, groups, &Portable).unwrap();
    let truth = formed_sum(specs);
    // Of several terms that nearly cancel, rounding is that of the terms.
    let scale: f64 = specs.iter().map(|s| norm(&s.value().data) * (truth.rows as f64).sqrt()).sum();
    for (found, expected) in [(dense(&sum), truth.clone()), (dense(&sum.t()), truth.t())] {
        let expected: Vec<T> = expected.data.iter().map(|x| T::of(*x)).collect();
        prop_assert!(distance(&found, &expected) <= tolerance * scale);
    }
    Ok(())
}

/// Partial traces and axis sums of a matrix over one of several axes, by their definitions.
fn contracted(full: &Matrix, sizes: &[usize], k: usize, traced: bool) -> Matrix {
    let (before, n): (usize, usize) = (sizes[..k].iter().product(), sizes[k]);
    let after: usize = sizes[k + 1..].iter().product();
    let place = |e: usize, i: usize| (e / after * n + i) * after + e % after;
    Matrix::new(before * after, before * after, |r, c| {
        let pairs = (0..n * n).filter(|p| !traced || p / n == p % n);
        pairs.map(|p| full.at(place(r, p / n), place(c, p % n))).sum()
    })
}

fn singular(m: &Matrix) -> Vec<f64> {
    let m = if m.rows <= m.cols { m.clone() } else { m.t() };
    let (mut values, mut rows) = (vec![0.0; m.rows], m.data.clone());
    singular_values(m.rows, m.cols, &mut rows, &mut values).unwrap();
    // Many singular values of Kronecker products are equal or zero: the rows left must be orthogonal all the same.
    for (i, x) in rows.chunks_exact(m.cols.max(1)).enumerate() {
        for y in rows.chunks_exact(m.cols.max(1)).take(i) {
            let dot: f64 = x.iter().zip(y).map(|(x, y)| x * y).sum();
            assert!(dot.abs() <= 1e-13 * values[0] * values[0], "rows are left that are not orthogonal");
        }
    }
    values
}

/// Everything a spectrum says, against the eigenvalues of the formed matrix.
fn check_spectrum(truth: &Matrix, spectrum: Spectrum<'_, f64, Portable>, k: usize) -> Result<(), TestCaseError> {
    let n = truth.rows;
    let (mut all, mut vectors) = (vec![0.0; n], vec![0.0; n * n]);
    symmetric_eigen(n, &mut truth.data.clone(), &mut all, &mut vectors).unwrap();
    let scale = all.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    close("norm", spectrum.operator_norm(), scale, scale)?;
    prop_assert_eq!(spectrum.rank(1e-11), rank(&all, 1e-11));
    let determinant: f64 = all.iter().product();
    prop_assert!((spectrum.determinant().value() - determinant).abs() <= 1e-11 * (1e-3 + scale).powi(n as i32));

    let (mut pairs, mut scratch) = (vec![Eigenpair::default(); k], vec![Eigenpair::default(); 4 * k]);
    let found = spectrum.largest(&mut pairs, &mut scratch).unwrap();
    prop_assert_eq!(found, k.min(n));
    let mut kept: Vec<Vec<f64>> = Vec::new();
    for (pair, expected) in pairs[..found].iter().zip(&all) {
        close("eigenvalue", pair.value, *expected, scale)?;
        prop_assert_eq!(spectrum.value(pair.index), Some(pair.value));
        let mut v = vec![f64::NAN; n];
        spectrum.vector(pair.index, &mut v).unwrap();
        let residual = Matrix::new(n, 1, |i, _| (0..n).map(|j| truth.at(i, j) * v[j]).sum::<f64>() - pair.value * v[i]);
        prop_assert!(norm(&residual.data) <= 1e-12 * scale, "A v = λ v fails by {:e}", norm(&residual.data));
        close("‖v‖", norm(&v), 1.0, 1.0)?;
        for other in &kept {
            close("vᵀw", v.iter().zip(other).map(|(x, y)| x * y).sum(), 0.0, 1.0)?;
        }
        kept.push(v);
    }
    // f(A) = A is A; A⁻¹ A = I where A is far from singular.
    near("Q Λ Qᵀ", &dense(&spectrum.map(|x| x)), truth, 1e-12)?;
    if all.iter().all(|x| x.abs() > 1e-3 * scale) && scale > 0.0 {
        let inverse = Matrix { rows: n, cols: n, data: dense(&spectrum.map(|x| 1.0 / x)) };
        near("A⁻¹ A", &inverse.times(truth).data, &Matrix::eye(n), 1e-9)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn products_are_the_formed_matrix((specs, groups) in grouped(spec)) {
        check_product::<f64>(&specs, groups, 1e-13)?;
        check_product::<f32>(&specs, groups, 1e-5)?;
        factors!(specs, f64, data, factors);
        let product = Kronecker::grouped(&factors, groups, &Portable).unwrap();
        near("entries", &entries(&product), &formed(&specs), 1e-14)?;
    }

    #[test]
    fn sums_are_the_formed_matrix((specs, groups) in grouped(square)) {
        check_sum::<f64>(&specs, groups, 1e-13)?;
        check_sum::<f32>(&specs, groups, 1e-5)?;
    }

    #[test]
    fn mixed_products_collapse(pairs in prop::collection::vec((spec(), spec()), 1..4)) {
        // The right factors are cut or repeated to fit the left ones.
        let left: Vec<Spec> = pairs.iter().map(|(x, _)| x.clone()).collect();
        let right: Vec<Spec> = pairs
            .iter()
            .map(|(x, y)| {
                let (inner, v) = (x.value().cols, y.value());
                let identity = y.identity;
                let matrix = if identity { Matrix::eye(inner) } else {
                    Matrix::new(inner, v.cols, |i, j| if v.rows > 0 { v.at(i % v.rows, j) + i as f64 } else { 1.0 })
                };
                Spec { identity, transposed: false, scale: y.scale, matrix }
            })
            .collect();
        factors!(left, f64, data_left, a);
        factors!(right, f64, data_right, b);
        let (a, b) = (Kronecker::new(&a, &Portable).unwrap(), Kronecker::new(&b, &Portable).unwrap());
        let (mut factors, mut memory) = (vec![Factor::ONE; a.count()], vec![f64::NAN; a.times_len(&b)]);
        let ab = a.times(&b, &mut factors, &mut memory).unwrap();
        let truth = formed(&left).times(&formed(&right));
        let scale = norm(&formed(&left).data) * norm(&formed(&right).data);
        prop_assert!(distance(&entries(&ab), &truth.data) <= 1e-13 * scale);
        prop_assert!(distance(&dense(&ab), &truth.data) <= 1e-13 * scale);
    }

    #[test]
    fn traces_norms_and_partial_traces(specs in few(square)) {
        factors!(specs, f64, data, factors);
        let (product, sum) = (Kronecker::new(&factors, &Portable).unwrap(), KroneckerSum::new(&factors, &Portable).unwrap());
        let (p, s) = (formed(&specs), formed_sum(&specs));
        let size = norm(&p.data);
        close("tr ⊗", product.trace().unwrap(), p.trace(), size * (p.rows as f64).sqrt())?;
        close("‖⊗‖_F", product.frobenius_norm(), size, size)?;
        let effective = if size > 0.0 { (p.trace() / size).powi(2) } else { 0.0 };
        close("effective rank ⊗", product.effective_rank().unwrap(), effective, p.rows as f64)?;
        let scale: f64 = specs.iter().map(|s| norm(&s.value().data) * p.rows as f64).sum();
        close("tr ⊕", sum.trace(), s.trace(), scale)?;
        close("‖⊕‖_F", sum.frobenius_norm(), norm(&s.data), scale)?;
        if norm(&s.data) > 1e-6 * scale {
            close("effective rank ⊕", sum.effective_rank(), (s.trace() / norm(&s.data)).powi(2), 1e3 * p.rows as f64)?;
        }
        let sizes: Vec<usize> = specs.iter().map(|s| s.matrix.rows).collect();
        for k in 0..specs.len() {
            let mut memory = vec![Factor::ONE; specs.len()];
            for traced in [true, false] {
                let expected = contracted(&p, &sizes, k, traced);
                let part = if traced { product.partial_trace(k, &mut memory) } else { product.axis_sum(k, &mut memory) };
                prop_assert!(distance(&entries(&part.unwrap()), &expected.data) <= 1e-12 * size * sizes[k] as f64);
                let expected = contracted(&s, &sizes, k, traced);
                let part = if traced { sum.partial_trace(k, &mut memory) } else { sum.axis_sum(k, &mut memory) };
                prop_assert!(distance(&dense(&part.unwrap()), &expected.data) <= 1e-12 * scale * sizes[k] as f64);
            }
        }
    }

    #[test]
    fn inverses_powers_and_roots(specs in few(square), exponent in 0u32..6) {
        // Far from singular: the diagonal outweighs the rest.
        let specs: Vec<Spec> = specs
            .into_iter()
            .map(|s| {
                let (n, scale) = (s.matrix.rows, s.scale.abs() + 0.5);
                let matrix = Matrix::new(n, n, |i, j| s.matrix.at(i, j) + if i == j && !s.identity { 9.0 } else { 0.0 });
                Spec { scale, matrix, ..s }
            })
            .collect();
        factors!(specs, f64, data, factors);
        let product = Kronecker::new(&factors, &Portable).unwrap();
        let truth = formed(&specs);
        let (n, count) = (truth.rows, specs.len());
        let mut scratch = vec![f64::NAN; product.derived_scratch_len()];
        let (mut list, mut memory) = (vec![Factor::ONE; count], vec![f64::NAN; product.dense_len()]);
        let inverse = product.inverse(&mut list, &mut memory, &mut scratch).unwrap();
        let inverse = Matrix { rows: n, cols: n, data: dense(&inverse) };
        near("A⁻¹ A", &inverse.times(&truth).data, &Matrix::eye(n), 1e-12)?;

        let (mut list, mut memory) = (vec![Factor::ONE; count], vec![f64::NAN; product.dense_len()]);
        let power = product.power(exponent, &mut list, &mut memory, &mut scratch).unwrap();
        let expected = (0..exponent).fold(Matrix::eye(n), |m, _| m.times(&truth));
        near("power", &entries(&power), &expected, 1e-12)?;

        // B Bᵀ, semidefinite by construction.
        let squares: Vec<Spec> = specs
            .iter()
            .map(|s| Spec { matrix: s.matrix.times(&s.matrix.t()), transposed: false, ..s.clone() })
            .collect();
        factors!(squares, f64, data, factors);
        let product = Kronecker::new(&factors, &Portable).unwrap();
        let (mut list, mut memory) = (vec![Factor::ONE; count], vec![f64::NAN; product.dense_len()]);
        let root = product.square_root(&mut list, &mut memory, &mut scratch).unwrap();
        let root = Matrix { rows: n, cols: n, data: entries(&root) };
        near("root²", &root.times(&root).data, &formed(&squares), 1e-12)?;
    }

    #[test]
    fn norms_ranks_and_determinants(specs in few(square), ranks in any::<[usize; 4]>()) {
        // Factor k is a product of two thin matrices of a chosen rank; rectangular, because its rows are repeated once more.
        let thin: Vec<Spec> = specs
            .iter()
            .zip(ranks)
            .map(|(s, r)| {
                let (n, m) = (s.matrix.rows, &s.matrix);
                let r = 1 + r % n.max(1);
                let matrix = Matrix::new(n + 1, n, |i, j| (0..r.min(n)).map(|k| m.at(i % n, k) * m.at(j, n - 1 - k)).sum());
                Spec { identity: false, scale: 1.5, matrix, ..s.clone() }
            })
            .collect();
        factors!(thin, f64, data, factors);
        let product = Kronecker::new(&factors, &Portable).unwrap();
        let mut scratch = vec![f64::NAN; product.factor_scratch_len()];
        let values = singular(&formed(&thin));
        let norm = product.operator_norm(&mut scratch).unwrap();
        close("norm", norm, values.first().copied().unwrap_or(0.0), norm)?;
        let expected: usize = thin.iter().map(|s| rank(&singular(&s.value()), 1e-10)).product();
        prop_assert_eq!(product.rank(Some(1e-10), &mut scratch).unwrap(), expected);
        // Where the limits of the factors and of the whole mean the same.
        if values.iter().all(|x| *x > 1e-6 * norm || *x < 1e-13 * norm) {
            prop_assert_eq!(product.rank(None, &mut scratch).unwrap(), rank(&values, 1e-9));
        }

        factors!(specs, f64, data, factors);
        let product = Kronecker::new(&factors, &Portable).unwrap();
        let mut scratch = vec![f64::NAN; product.factor_scratch_len()];
        let found = product.determinant(&mut scratch).unwrap();
        let truth = formed(&specs);
        let expected = kpflow_core::dense::log_determinant(truth.rows, &mut truth.data.clone()).unwrap();
        let values = singular(&truth);
        if values.last().is_some_and(|x| *x > 1e-6 * values[0]) {
            prop_assert_eq!(found.sign, expected.sign);
            prop_assert!((found.ln_abs - expected.ln_abs).abs() <= 1e-8 * truth.rows as f64);
        }
    }

    #[test]
    fn eigenpairs_are_those_of_the_factors(specs in few(symmetric), k in 0usize..9) {
        factors!(specs, f64, data, factors);
        let product = Kronecker::new(&factors, &Portable).unwrap();
        let sum = KroneckerSum::new(&factors, &Portable).unwrap();
        let len = product.spectrum_len();
        prop_assert_eq!(len, sum.spectrum_len());
        for summed in [false, true] {
            let (mut list, mut scratch) = (vec![Factor::ONE; specs.len()], vec![f64::NAN; len.scratch]);
            let (mut vectors, mut values) = (vec![f64::NAN; len.vectors], vec![f64::NAN; len.values]);
            if summed {
                let spectrum = sum.spectrum(&mut list, &mut vectors, &mut values, &mut scratch).unwrap();
                check_spectrum(&formed_sum(&specs), spectrum, k)?;
            } else {
                let spectrum = product.spectrum(&mut list, &mut vectors, &mut values, &mut scratch).unwrap();
                check_spectrum(&formed(&specs), spectrum, k)?;
            }
        }
    }
}
