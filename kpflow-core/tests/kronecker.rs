//! Kronecker products and sums as operators: the contract, scratch, errors, known answers.

mod common;
mod generated;

use common::{assert_contract, random};
use generated::{entries, grouped, spec};
use kpflow_core::kronecker::{Eigenpair, Factor, Kronecker, KroneckerSum};
use kpflow_core::machine::{Gemm, Kernel, MatRef, Portable};
use kpflow_core::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

fn numbers<T: Scalar>(rows: usize, cols: usize, stream: u32) -> Vec<T> {
    random(Shape::new(1, rows, cols), 1, stream)
}

fn contract<T: Scalar>(tolerance: f64) {
    let (a, b, c) = (numbers::<T>(3, 4, 1), numbers::<T>(5, 7, 2), numbers::<T>(3, 3, 3));
    let dense = |data, rows, cols| Factor::<T>::dense(data, rows, cols).unwrap();
    let view = |data, rows, cols, ld| Factor::from(MatRef::new(data, rows, cols, ld).unwrap());
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
    // Matrices of no numbers may be as long as they like.
    let long = [Factor::dense(&[0.0; 0], usize::MAX, 0).unwrap()];
    let long = Kronecker::new(&long, &Portable).unwrap();
    assert_eq!((long.frobenius_norm(), long.scratch_len(usize::MAX), long.derived_scratch_len()), (0.0, 0, usize::MAX));
    assert_eq!(long.operator_norm(&mut []), Ok(0.0));
    assert!(long.trace().is_err() && long.axis_sum(0, &mut [Factor::ONE]).unwrap().at(0, 0) == 0.0);
    let zero = [Factor::<f64>::identity(2).scaled(0.0)];
    let zero = Kronecker::new(&zero, &Portable).unwrap();
    let found = zero.inverse(&mut [Factor::ONE], &mut [], &mut []).unwrap_err();
    assert_eq!(found, Error::Singular { size: 2 });
    let nan = [f64::NAN];
    let nan = [Factor::dense(&nan, 1, 1).unwrap()];
    let nan = Kronecker::new(&nan, &Portable).unwrap();
    assert_eq!(nan.rank(None, &mut [0.0; 2]).unwrap_err(), Error::NotFinite { place: 0 });
}

/// A kernel that counts the flops and the products it is asked for.
#[derive(Default)]
struct Counting {
    flops: AtomicUsize,
    products: AtomicUsize,
}

impl Kernel<f64> for Counting {
    fn gemm(&self, alpha: f64, gemm: Gemm<'_, f64>, beta: f64) {
        let (a, b, c) = gemm.into_parts();
        self.flops.fetch_add(2 * a.rows() * a.cols() * b.cols(), Relaxed);
        self.products.fetch_add(1, Relaxed);
        Portable.gemm(alpha, Gemm::new(a, b, c).unwrap(), beta);
    }
}

/// The fewest flops of all orders of applying factors of these (rows, cols) to `size` numbers.
fn fewest(left: &[(usize, usize)], size: usize) -> usize {
    let cost = |k: usize| {
        let (rows, cols) = left[k];
        let rest: Vec<_> = left.iter().enumerate().filter(|(i, _)| *i != k).map(|(_, f)| *f).collect();
        2 * size * rows + fewest(&rest, size / cols * rows)
    };
    (0..left.len()).map(cost).min().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The order in which factors are applied is the cheapest of all, and a factor at either end of the block is one product.
    #[test]
    fn the_order_of_factors_is_the_cheapest(sizes in prop::collection::vec((1usize..7, 1usize..7), 1..5), m in 1usize..4) {
        let data = [0.5; 36];
        let factors: Vec<_> = sizes.iter().map(|(r, c)| Factor::dense(&data[..r * c], *r, *c).unwrap()).collect();
        let kernel = Counting::default();
        let product = Kronecker::new(&factors, &kernel).unwrap();
        let (x, mut y) = (vec![1.0; m * product.domain().len()], vec![0.0; m * product.codomain().len()]);
        let mut scratch = vec![0.0; product.scratch_len(m)];
        let (from, to) = (product.domain(), product.codomain());
        product.apply(BlockRef::new(from, m, &x).unwrap(), BlockMut::new(to, m, &mut y).unwrap(), &mut scratch).unwrap();
        prop_assert_eq!(kernel.flops.load(Relaxed), fewest(&sizes, m * from.len()));
        // With two factors on steps and units: one product for the units, one a vector for the steps.
        if sizes.len() == 2 && sizes[1].0 > 1 && sizes[1].1 > 1 {
            prop_assert_eq!(kernel.products.load(Relaxed), 1 + m);
        }
    }

    /// Whatever the shapes and the lengths of the buffers, a call answers; and with buffers that are too short it answers no.
    #[test]
    fn no_call_panics(
        (specs, groups) in grouped(spec),
        (others, other_groups) in grouped(spec),
        lens in prop::array::uniform5(0usize..80),
        k in 0usize..6,
        tamper in any::<[u8; 3]>(),
    ) {
        factors!(specs, f64, data, factors);
        factors!(others, f64, other_data, other_factors);
        let product = Kronecker::grouped(&factors, groups, &Portable).unwrap();
        let other = Kronecker::grouped(&other_factors, other_groups, &Portable).unwrap();
        let [list, memory, scratch, values, index] = lens;
        let list = if tamper[0] < 200 { specs.len() } else { list % 6 };
        let mut numbers = vec![f64::NAN; scratch];
        let ones = || vec![Factor::ONE; list];
        let (square, right) = (product.trace().is_ok(), list == specs.len());

        let fits = product.partial_trace(k, &mut ones()).is_ok();
        prop_assert!(!fits || (right && k < specs.len()));
        prop_assert_eq!(product.axis_sum(k, &mut ones()).is_ok(), right && k < specs.len());
        let enough = scratch >= product.factor_scratch_len();
        prop_assert_eq!(product.operator_norm(&mut numbers).is_ok() || !enough, true);
        prop_assert_eq!(product.rank(None, &mut numbers).is_ok() || !enough, true);
        prop_assert!(product.determinant(&mut numbers).is_err() || square);
        let fits = product.times(&other, &mut ones(), &mut vec![0.0; memory]).is_ok();
        prop_assert!(!fits || (right && memory >= product.times_len(&other) && product.domain() == other.codomain()));
        let enough = right && square && memory >= product.dense_len() && scratch >= product.derived_scratch_len();
        prop_assert!(product.inverse(&mut ones(), &mut vec![0.0; memory], &mut numbers).is_err() || enough);
        prop_assert_eq!(product.power(3, &mut ones(), &mut vec![0.0; memory], &mut numbers).is_ok(), enough);
        prop_assert!(product.square_root(&mut ones(), &mut vec![0.0; memory], &mut numbers).is_err() || enough);
        prop_assert!(product.at(index, k).is_finite() && product.at(usize::MAX, index) == 0.0);

        let len = product.spectrum_len();
        let (vectors, values) = (if tamper[1] < 200 { len.vectors } else { memory }, if tamper[2] < 200 { len.values } else { values });
        let (mut list, mut vectors, mut values) = (ones(), vec![0.0; vectors], vec![0.0; values]);
        if let Ok(spectrum) = product.spectrum(&mut list, &mut vectors, &mut values, &mut numbers) {
            let (mut pairs, mut room) = (vec![Eigenpair::default(); k], vec![Eigenpair::default(); index]);
            prop_assert_eq!(spectrum.largest(&mut pairs, &mut room).is_ok(), index >= 4 * k);
            prop_assert!(spectrum.vector(index, &mut vec![0.0; memory]).is_err() || (memory == spectrum.count() && index < memory));
            prop_assert_eq!(spectrum.value(index).is_some(), index < spectrum.count());
        }
        if let Ok(sum) = KroneckerSum::grouped(&factors, groups, &Portable) {
            prop_assert!(square);
            prop_assert_eq!(sum.partial_trace(k, &mut ones()).is_ok(), right && k < specs.len());
            let (mut list, mut values) = (ones(), vec![0.0; len.values]);
            prop_assert!(sum.spectrum(&mut list, &mut vec![0.0; memory], &mut values, &mut numbers).is_err() || memory == len.vectors);
        }
    }
}
