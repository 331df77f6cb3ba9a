//! Kronecker products and sums against the matrices that they stand for, in generated shapes.

mod common;

use common::{assert_contract, dense, distance, norm, random};
use kpflow_core::dense::{rank, singular_values, symmetric_eigen};
use kpflow_core::kronecker::{Eigenpair, Factor, Kronecker, KroneckerSum, Spectrum};
use kpflow_core::machine::{MatRef, Portable};
use kpflow_core::{Error, LinearOperator, Scalar, Shape};
use proptest::prelude::*;

/// A matrix by itself: row-major, with its sizes.
#[derive(Clone, Debug)]
struct Matrix {
    rows: usize,
    cols: usize,
    data: Vec<f64>,
}

impl Matrix {
    fn new(rows: usize, cols: usize, f: impl Fn(usize, usize) -> f64) -> Self {
        Self { rows, cols, data: (0..rows * cols).map(|e| f(e / cols, e % cols)).collect() }
    }
    fn eye(n: usize) -> Self {
        Self::new(n, n, |i, j| f64::from(u8::from(i == j)))
    }
    fn at(&self, i: usize, j: usize) -> f64 {
        self.data[i * self.cols + j]
    }
    fn t(&self) -> Self {
        Self::new(self.cols, self.rows, |i, j| self.at(j, i))
    }
    fn times(&self, other: &Self) -> Self {
        Self::new(self.rows, other.cols, |i, j| (0..self.cols).map(|k| self.at(i, k) * other.at(k, j)).sum())
    }
    fn kron(&self, b: &Self) -> Self {
        Self::new(self.rows * b.rows, self.cols * b.cols, |i, j| {
            self.at(i / b.rows, j / b.cols) * b.at(i % b.rows, j % b.cols)
        })
    }
    fn plus(&self, b: &Self) -> Self {
        Self::new(self.rows, self.cols, |i, j| self.at(i, j) + b.at(i, j))
    }
    fn trace(&self) -> f64 {
        (0..self.rows).map(|i| self.at(i, i)).sum()
    }
}

/// One generated factor: an identity or a dense matrix, perhaps stored as its transpose, times a number.
#[derive(Clone, Debug)]
struct Spec {
    identity: bool,
    transposed: bool,
    scale: f64,
    matrix: Matrix,
}

impl Spec {
    fn value(&self) -> Matrix {
        let m = if self.transposed { self.matrix.t() } else { self.matrix.clone() };
        Matrix::new(m.rows, m.cols, |i, j| self.scale * m.at(i, j))
    }
    fn factor<'a, T: Scalar>(&self, data: &'a [T]) -> Factor<'a, T> {
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
fn formed(specs: &[Spec]) -> Matrix {
    specs.iter().fold(Matrix::eye(1), |m, s| m.kron(&s.value()))
}

fn formed_sum(specs: &[Spec]) -> Matrix {
    let n: usize = specs.iter().map(|s| s.matrix.rows).product();
    (0..specs.len()).fold(Matrix::new(n, n, |_, _| 0.0), |sum, k| {
        let term = |i: usize| if i == k { specs[i].value() } else { Matrix::eye(specs[i].matrix.rows) };
        sum.plus(&(0..specs.len()).fold(Matrix::eye(1), |m, i| m.kron(&term(i))))
    })
}

/// The numbers of all factors in T, and the factors.
macro_rules! factors {
    ($specs:expr, $t:ty, $data:ident, $factors:ident) => {
        let $data: Vec<Vec<$t>> =
            $specs.iter().map(|s: &Spec| s.matrix.data.iter().map(|x| <$t as Scalar>::of(*x)).collect()).collect();
        let $factors: Vec<Factor<'_, $t>> = $specs.iter().zip(&$data).map(|(s, d)| s.factor(d)).collect();
    };
}

fn near<T: Scalar>(what: &str, found: &[T], expected: &Matrix, tolerance: f64) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), expected.data.len(), "{}", what);
    let expected: Vec<T> = expected.data.iter().map(|x| T::of(*x)).collect();
    let off = distance(found, &expected);
    prop_assert!(off <= tolerance * norm(&expected), "{}: off by {:e} of {:e}", what, off, norm(&expected));
    Ok(())
}

fn close(what: &str, found: f64, expected: f64, scale: f64) -> Result<(), TestCaseError> {
    prop_assert!((found - expected).abs() <= 1e-12 * scale, "{}: {} against {}", what, found, expected);
    Ok(())
}

fn entries(p: &Kronecker<'_, f64, Portable>) -> Vec<f64> {
    let (rows, cols) = (p.codomain().len(), p.domain().len());
    (0..rows * cols).map(|e| p.at(e / cols, e % cols)).collect()
}

fn matrix(rows: usize, cols: usize) -> impl Strategy<Value = Matrix> {
    prop::collection::vec(-2.0f64..2.0, rows * cols).prop_map(move |data| Matrix { rows, cols, data })
}

fn spec() -> impl Strategy<Value = Spec> {
    let sizes = (1usize..5, 1usize..5, prop::bool::weighted(0.3), any::<bool>(), -2.0f64..2.0);
    sizes.prop_flat_map(|(rows, cols, identity, transposed, scale)| {
        let cols = if identity { rows } else { cols };
        matrix(rows, cols).prop_map(move |m| {
            let matrix = if identity { Matrix::eye(m.rows) } else { m };
            Spec { identity, transposed, scale, matrix }
        })
    })
}

fn square() -> impl Strategy<Value = Spec> {
    (1usize..5, prop::bool::weighted(0.3), any::<bool>(), -2.0f64..2.0).prop_flat_map(
        |(n, identity, transposed, scale)| {
            matrix(n, n).prop_map(move |m| {
                let matrix = if identity { Matrix::eye(n) } else { m };
                Spec { identity, transposed, scale, matrix }
            })
        },
    )
}

fn symmetric() -> impl Strategy<Value = Spec> {
    square().prop_map(|s| Spec {
        matrix: Matrix::new(s.matrix.rows, s.matrix.rows, |i, j| s.matrix.at(i.max(j), i.min(j))),
        ..s
    })
}

fn few<S: Strategy<Value = Spec>>(of: impl Fn() -> S) -> impl Strategy<Value = Vec<Spec>> {
    prop::collection::vec(of(), 1..4)
}

/// Factors and where they are divided among the axes.
fn grouped<S: Strategy<Value = Spec>>(of: impl Fn() -> S) -> impl Strategy<Value = (Vec<Spec>, [usize; 3])> {
    (prop::collection::vec(of(), 0..5), any::<[usize; 2]>()).prop_map(|(specs, cuts)| {
        let n = specs.len();
        let (a, b) = (cuts[0] % (n + 1), cuts[1] % (n + 1));
        let (a, b) = (a.min(b), a.max(b));
        (specs, [a, b - a, n - b])
    })
}

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
    for (i, x) in rows.chunks_exact(m.cols).enumerate() {
        for y in rows.chunks_exact(m.cols).take(i) {
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
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

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
                    Matrix::new(inner, v.cols, |i, j| v.at(i % v.rows, j) + i as f64)
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
                let r = 1 + r % n;
                let matrix = Matrix::new(n + 1, n, |i, j| (0..r).map(|k| m.at(i % n, k) * m.at(j, n - 1 - k)).sum());
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

fn numbers<T: Scalar>(rows: usize, cols: usize, stream: u32) -> Vec<T> {
    random(Shape::new(1, rows, cols), 1, stream)
}

fn contract<T: Scalar>(tolerance: f64) {
    let (a, b, c) = (numbers::<T>(3, 4, 1), numbers::<T>(5, 7, 2), numbers::<T>(3, 3, 3));
    let dense = |data, rows, cols| Factor::<T>::dense(data, rows, cols).unwrap();
    let view = |data, rows, cols, ld| Factor::from(MatRef { data, rows, cols, ld, transposed: false });
    let lists = [
        ("A ⊗ B", vec![dense(&a, 3, 4), dense(&b, 5, 7)], [0, 1, 1]),
        ("Aᵀ ⊗ B", vec![dense(&a, 3, 4).t(), dense(&b, 5, 7)], [1, 0, 1]),
        ("A ⊗ Bᵀ, parts of longer rows", vec![view(&a[..], 3, 2, 4), view(&b[..], 5, 4, 7).t()], [0, 1, 1]),
        ("I ⊗ A", vec![Factor::identity(4), dense(&a, 3, 4)], [1, 1, 0]),
        ("A ⊗ I", vec![dense(&a, 3, 4), Factor::identity(2).scaled(-0.5)], [1, 0, 1]),
        ("A", vec![dense(&a, 3, 4)], [0, 0, 1]),
        ("I", vec![Factor::identity(3), Factor::identity(2).scaled(2.0)], [1, 1, 0]),
        ("1", vec![], [0, 0, 0]),
        ("C ⊗ A ⊗ I ⊗ Aᵀ", vec![dense(&c, 3, 3), dense(&a, 3, 4), Factor::identity(2), dense(&a, 3, 4).t()], [1, 1, 2]),
        ("C ⊗ A ⊗ C ⊗ Aᵀ", vec![dense(&c, 3, 3), dense(&a, 3, 4), dense(&c, 3, 3), dense(&a, 3, 4).t()], [2, 1, 1]),
    ];
    for (name, factors, groups) in &lists {
        let product = Kronecker::grouped(factors, *groups, &Portable).unwrap();
        assert_contract(name, &product, tolerance);
        assert_contract(name, &product.t(), tolerance);
    }
    let terms = [dense(&c, 3, 3), Factor::identity(2).scaled(0.7), dense(&c, 3, 3).t().scaled(-2.0)];
    for groups in [[1, 1, 1], [0, 1, 2], [2, 0, 1]] {
        let sum = KroneckerSum::grouped(&terms, groups, &Portable).unwrap();
        assert_contract("C ⊕ I ⊕ Cᵀ", &sum, tolerance);
        assert_contract("C ⊕ I ⊕ Cᵀ", &sum.t(), tolerance);
    }
    let even: Vec<T> = (0..9).map(|e| c[e] + c[e % 3 * 3 + e / 3]).collect();
    let terms = [dense(&even, 3, 3), Factor::identity(2), dense(&even, 3, 3)];
    for groups in [[1, 1, 1], [0, 1, 2], [2, 0, 1]] {
        let sum = KroneckerSum::grouped(&terms, groups, &Portable).unwrap();
        let (mut list, mut scratch) = ([Factor::ONE; 3], [f64::NAN; 18]);
        let (mut vectors, mut values) = ([T::nan(); 18], [f64::NAN; 8]);
        let spectrum = sum.spectrum(&mut list, &mut vectors, &mut values, &mut scratch).unwrap();
        assert_contract("e^(C ⊕ I ⊕ C)", &spectrum.map(|x| (0.2 * x).exp()), tolerance);
    }
}

#[test]
fn all_keep_the_contract() {
    contract::<f64>(1e-13);
    contract::<f32>(1e-5);
}

#[test]
fn identities_cost_no_scratch_and_no_memory() {
    let a = numbers::<f64>(6, 6, 1);
    let factors = [Factor::identity(1000), Factor::dense(&a, 6, 6).unwrap(), Factor::identity(1000)];
    let product = Kronecker::new(&factors, &Portable).unwrap();
    assert_eq!((product.scratch_len(3), product.dense_len()), (0, 36));
    // Two products have one block between them, more never more than two.
    let dense = Factor::dense(&a, 6, 6).unwrap();
    let lens = [1, 2, 3, 4].map(|k| Kronecker::new(&[dense; 4][..k], &Portable).unwrap().scratch_len(1));
    assert_eq!(lens, [0, 36, 2 * 216, 2 * 1296]);
    // What shortens comes first: 2 × 6 before 6 × 6, 72 numbers carried instead of 216 … in both directions 6·6·2.
    let list = [dense, Factor::dense(&a[..12], 2, 6).unwrap()];
    assert_eq!(Kronecker::new(&list, &Portable).unwrap().scratch_len(1), 12);
}

/// That a partial trace and an axis sum differ is the point of having both.
#[test]
fn partial_traces_and_axis_sums_are_two_things() {
    let a = [1.0, 2.0, 3.0, 4.0];
    let factors = [Factor::dense(&a, 2, 2).unwrap(), Factor::dense(&a, 2, 2).unwrap()];
    let product = Kronecker::new(&factors, &Portable).unwrap();
    let mut memory = [Factor::ONE; 2];
    assert_eq!(entries(&product.partial_trace(0, &mut memory).unwrap()), [5.0, 10.0, 15.0, 20.0]);
    assert_eq!(entries(&product.axis_sum(0, &mut memory).unwrap()), [10.0, 20.0, 30.0, 40.0]);
}

#[test]
fn large_determinants_do_not_overflow() {
    let a: Vec<f64> = (0..2500).map(|e| if e / 50 == e % 50 { -1e6 } else { 0.0 }).collect();
    let factors = [Factor::dense(&a, 50, 50).unwrap(), Factor::identity(7).scaled(1e3)];
    let product = Kronecker::new(&factors, &Portable).unwrap();
    let found = product.determinant(&mut vec![0.0; product.factor_scratch_len()]).unwrap();
    // det = ((−1e6)^50)^7 · (1e3^7)^50 = 1e2100 · 1e1050.
    assert_eq!(found.sign, 1.0);
    assert!((found.ln_abs / (3150.0 * 10f64.ln()) - 1.0).abs() < 1e-14);
    assert_eq!(found.value(), f64::INFINITY);
}

#[test]
fn what_does_not_fit_is_an_error_with_both_numbers() {
    let a = numbers::<f64>(3, 4, 1);
    let wide = Factor::dense(&a, 3, 4).unwrap();
    let square = Factor::dense(&a[..4], 2, 2).unwrap();
    assert_eq!(Factor::dense(&a, 3, 3).unwrap_err(), Error::Length { expected: 9, found: 12 });
    let (list, squares) = ([wide, square], [square; 2]);
    let product = Kronecker::new(&list, &Portable).unwrap();
    let length = |expected, found| Error::Length { expected, found };
    let not_square = Error::Matrix { expected: (3, 3), found: (3, 4) };
    assert_eq!(product.trace().unwrap_err(), not_square);
    assert_eq!(product.effective_rank().unwrap_err(), not_square);
    assert_eq!(product.determinant(&mut [0.0; 20]).unwrap_err(), not_square);
    assert_eq!(product.partial_trace(0, &mut [Factor::ONE; 2]).unwrap_err(), not_square);
    assert_eq!(KroneckerSum::new(&list, &Portable).unwrap_err(), not_square);
    assert_eq!(product.partial_trace(2, &mut [Factor::ONE; 2]).unwrap_err(), Error::Range { limit: 2, found: 2 });
    let found = Kronecker::grouped(&list, [1, 1, 1], &Portable).unwrap_err();
    assert_eq!(found, length(2, 3));
    assert!(Kronecker::grouped(&list, [usize::MAX, 2, 1], &Portable).is_err());
    assert_eq!(product.partial_trace(1, &mut [Factor::ONE]).unwrap_err(), length(2, 1));
    assert_eq!(product.operator_norm(&mut [0.0; 14]).unwrap_err(), Error::Scratch { needed: 15, given: 14 });
    let both = Kronecker::new(&squares, &Portable).unwrap();
    let found = product.times(&both, &mut [Factor::ONE; 2], &mut [0.0; 100]).unwrap_err();
    assert_eq!(found, Error::Matrix { expected: (4, 2), found: (2, 2) });
    let found = both.inverse(&mut [Factor::ONE; 2], &mut [0.0; 7], &mut [0.0; 14]).unwrap_err();
    assert_eq!(found, length(4, 3));
    let found = both.square_root(&mut [Factor::ONE; 2], &mut [0.0; 8], &mut [0.0; 14]).unwrap_err();
    assert_eq!(found, Error::NotSymmetric { row: 1, column: 0 });
    let found = both.spectrum(&mut [Factor::ONE; 2], &mut [0.0; 8], &mut [0.0; 4], &mut [0.0; 8]).unwrap_err();
    assert_eq!(found, Error::NotSymmetric { row: 1, column: 0 });
    let huge = [Factor::<f64>::identity(usize::MAX / 2); 3];
    assert!(matches!(Kronecker::new(&huge, &Portable), Err(Error::Overflow { .. })));
    assert!(matches!(KroneckerSum::new(&huge, &Portable), Err(Error::Overflow { .. })));
    let zero = [Factor::<f64>::identity(2).scaled(0.0)];
    let zero = Kronecker::new(&zero, &Portable).unwrap();
    let found = zero.inverse(&mut [Factor::ONE], &mut [], &mut []).unwrap_err();
    assert_eq!(found, Error::Singular { size: 2 });
    let nan = [f64::NAN];
    let nan = [Factor::dense(&nan, 1, 1).unwrap()];
    let nan = Kronecker::new(&nan, &Portable).unwrap();
    assert_eq!(nan.rank(None, &mut [0.0; 2]).unwrap_err(), Error::NotFinite { place: 0 });
}
