//! The two sides of A = F Fᵀ: A itself, and FᵀF.

use super::*;
use kpflow_core::machine::Portable;
use kpflow_core::operator::{Adjoint, Dense, Gram, Normal};
use kpflow_core::{Scalar, Shape};

const STATE: Shape = Shape::new(3, 4, 5);
const N: usize = 60;

/// Columns of decaying length that no coordinate knows of, the last `dead` of which are sums of others.
fn factor<T: Scalar>(m: usize, dead: usize, phase: f64) -> Vec<T> {
    let entry = |i: usize, j: usize| ((7 * i + 13 * j + i * j) as f64 * 0.37 + phase).sin() * 0.9f64.powi(j as i32);
    let mut f: Vec<f64> = (0..N * m).map(|k| entry(k / m, k % m)).collect();
    for row in f.chunks_mut(m) {
        (m - dead..m).for_each(|j| row[j] = row[0] - 2.0 * row[j - dead]);
    }
    f.into_iter().map(T::of).collect()
}

/// Calls `check` with A by its whole matrix, A by FᵀF, and the spaces of A and F.
fn both_sides<T: Scalar>(
    f: &[T],
    wanted: Wanted,
    check: impl FnOnce([DenseSpectrum; 2], &Problem<'_, T>, &Problem<'_, T>),
) {
    let m = f.len() / N;
    let op = Dense::new(f, Shape::new(1, 1, m), STATE).unwrap();
    let (gram, normal, machine) = (Gram(op), Normal(op), Portable);
    let a = Problem::new(&gram, &machine, (0, 3), 1, 7, &|_, _, _| ());
    let small = Problem::new(&normal, &machine, (0, 1), 1, 7, &|_, _, _| ());
    let forward = Problem::new(&op, &machine, (0, 1), 1, 7, &|_, _, _| ());
    let sides = [dense(&a, wanted).unwrap(), dense_of_factor(&small, N, wanted).unwrap()];
    assert_eq!([a.matvecs(), small.matvecs(), sides[0].trace().matvecs, sides[1].trace().matvecs], [N, m, N, m]);
    check(sides, &a, &forward);
}

fn near(x: f64, y: f64, tolerance: f64) -> bool {
    (x - y).abs() <= tolerance * y.abs()
}

fn sums_agree<T: Scalar>(m: usize, dead: usize, tolerance: f64) {
    let f = factor::<T>(m, dead, 0.0);
    both_sides(&f, Wanted::Values, |[state, weights], space, _| {
        let (x, y) = (weights.spectrum(), state.spectrum());
        assert_eq!((x.len(), y.len()), (N, N));
        assert!(x.iter().zip(&y).all(|(x, y)| (x - y).abs() <= tolerance * state.norm().value), "{x:?} {y:?}");
        let numbers = |s: &DenseSpectrum| {
            let values = s.spectrum();
            let sums = [s.trace(), s.frobenius(), s.norm(), s.effective_rank(), s.stable_rank()].map(|e| e.value);
            [sums.to_vec(), vec![entropy_rank_of(&values), log_det_of(&values, (0.5, 0))]].concat()
        };
        for (x, y) in numbers(&weights).iter().zip(&numbers(&state)) {
            assert!(near(*x, *y, 10.0 * tolerance), "{x} {y}");
        }
        // The zeros are counted, those of the shape and those of the numbers.
        let density = density_of(&weights.spectrum(), 101, space.epsilon(), m);
        let zeros = (N - (m - dead).min(N)) as f64 / N as f64;
        assert!((density.zero_mass - zeros).abs() < 1e-12, "{} {zeros}", density.zero_mass);
        let few = weights.eigenvalues(space, m + 3);
        assert_eq!((few.values.len(), few.vectors.vectors, few.matvecs), ((m + 3).min(N), 0, m));
        let gaps = few.values.iter().zip(&y).map(|(x, y)| (x - y).abs());
        assert!(gaps.zip(&few.residuals).all(|(gap, r)| gap <= (r + tolerance) * y[0]));
    });
}

#[test]
fn both_sides_say_the_same() {
    for (m, dead) in [(20, 0), (20, 4), (1, 0), (80, 0)] {
        sums_agree::<f64>(m, dead, 1e-13);
    }
    sums_agree::<f32>(20, 0, 1e-6);
}

fn pairs_agree<T: Scalar>(dead: usize, tolerance: f64) {
    let f = factor::<T>(20, dead, 0.0);
    both_sides(&f, Wanted::Vectors, |[state, weights], space, forward| {
        let before = forward.matvecs();
        let pairs = weights.eigenpairs(space, Some(forward), 20).unwrap();
        let k = pairs.values.len();
        // No vector is made of rounding.
        assert_eq!((k, forward.matvecs() - before, pairs.matvecs), (20 - dead, k, 20 + k.div_ceil(2)));
        let truth = state.eigenpairs(space, None, k).unwrap();
        assert!(pairs.values.iter().zip(&truth.values).all(|(x, y)| (x - y).abs() <= tolerance * truth.values[0]));
        let v = &pairs.vectors;
        let image = space.apply(v).unwrap();
        let mut rest = image.clone();
        let diagonal = |values: &[f64]| (0..k * k).map(|i| if i / k == i % k { values[i / k] } else { 0.0 }).collect();
        let lambda: Vec<f64> = diagonal(&pairs.values);
        space.add_product(&mut rest, -1.0, v, &lambda);
        let measured = space.dots(&rest, &rest).unwrap();
        for (square, told) in measured.iter().zip(&pairs.residuals) {
            let measured = square.sqrt() / pairs.values[0];
            assert!(measured <= told + tolerance && *told <= tolerance, "{measured} {told}");
        }
        let gram = space.gram(v, v).unwrap();
        let one: Vec<f64> = diagonal(&vec![1.0; k]);
        // To what is left of the smallest one's digits.
        let loose = tolerance * pairs.values[0] / pairs.values[k - 1];
        assert!(gram.iter().zip(&one).all(|(x, y)| (x - y).abs() <= loose), "{gram:?}");
    });
}

#[test]
fn vectors_of_the_small_side_are_the_operators() {
    pairs_agree::<f64>(0, 1e-13);
    pairs_agree::<f64>(5, 1e-13);
    pairs_agree::<f32>(0, 1e-5);
}

#[test]
fn residuals_of_the_whole_matrix_are_measured() {
    both_sides(&factor::<f64>(20, 0, 0.0), Wanted::Vectors, |[state, _], space, _| {
        let pairs = state.eigenpairs(space, None, N + 1).unwrap();
        assert_eq!((pairs.values.len(), pairs.vectors.vectors, pairs.matvecs), (N, N, N));
        assert!(pairs.residuals.iter().all(|r| *r > 0.0 && *r < 1e-13), "{:?}", pairs.residuals);
        let bound = state.eigenvalues(space, 2);
        assert!(bound.residuals.iter().all(|r| *r > 0.0 && *r < 1e-13) && bound.values == pairs.values[..2]);
    });
}

fn chosen_agree<T: Scalar>(tolerance: f64) {
    // Sixteen are not 0.
    both_sides(&factor::<T>(20, 4, 0.0), Wanted::Vectors, |[state, weights], space, forward| {
        let all = state.spectrum();
        for which in [Which::Smallest, Which::Near(all[6]), Which::Near(0.0), Which::Near(2.0 * all[0])] {
            let chosen = Selection { which, count: 3, delta: 0.0 };
            let expected = chosen.among(&all, 16);
            for (side, forward) in [(&state, None), (&weights, Some(forward))] {
                let pairs = side.eigenpairs(space, forward, chosen).unwrap();
                let alone = side.eigenvalues(space, chosen);
                let largest = all[expected.start];
                for (i, truth) in all[expected.clone()].iter().enumerate() {
                    let near = |x: f64, r: f64| (x - truth).abs() <= r * largest + tolerance * all[0];
                    assert!(near(pairs.values[i], pairs.residuals[i]), "{which:?}: {} {truth}", pairs.values[i]);
                    assert!(near(alone.values[i], alone.residuals[i]), "{which:?}: {} {truth}", alone.values[i]);
                }
                assert_eq!((pairs.values.len(), alone.values.len()), (3, 3), "{which:?}");
                let mut rest = space.apply(&pairs.vectors).unwrap();
                space.subtract(&mut rest, &pairs.values, &pairs.vectors);
                for (square, told) in space.dots(&rest, &rest).unwrap().iter().zip(&pairs.residuals) {
                    let (measured, beside) = (square.sqrt() / largest, tolerance * all[0] / largest);
                    assert!(measured <= told + beside, "{which:?}: {measured}, told {told}");
                }
                let more = side.eigenvalues(space, Selection { count: 60, ..chosen });
                assert_eq!(more.values.len(), 16, "{which:?}: zeros are none of them");
            }
        }
    });
}

#[test]
fn the_smallest_and_the_nearest_are_those_of_both_sides() {
    chosen_agree::<f64>(1e-14);
    chosen_agree::<f32>(1e-6);
}

#[test]
fn alignment_by_factors_is_that_of_the_matrices() {
    let (f, e) = (factor::<f64>(20, 0, 0.0), factor::<f64>(20, 3, 0.4));
    let weights = Shape::new(1, 1, 20);
    let [f, e] = [&f, &e].map(|m| Dense::new(m, weights, STATE).unwrap());
    let (adjoints, machine) = ([Adjoint(f), Adjoint(e)], Portable);
    let whole = [Gram(f), Gram(e)].map(|a| {
        let problem = Problem::new(&a, &machine, (0, 3), 1, 7, &|_, _, _| ());
        dense(&problem, Wanted::Sums).unwrap()
    });
    let inner: f64 = whole[0].matrix.iter().zip(&whole[1].matrix).map(|(x, y)| x * y).sum();
    let truth = inner / whole.iter().map(|a| a.frobenius().value).product::<f64>();
    let normal = Normal(f);
    let small = Problem::new(&normal, &machine, (0, 1), 1, 7, &|_, _, _| ());
    let own = dense_of_factor(&small, N, Wanted::Sums).unwrap();
    let [back, back_other] =
        [0, 1].map(|i| Problem::new(&adjoints[i], &machine, (0, 3), 1, 7, &|_, _, _| ()).with_replicated_image(true));
    let forward = Problem::new(&e, &machine, (0, 1), 1, 7, &|_, _, _| ());
    let found = alignment_of_factors(&own, &back, &forward, &back_other).unwrap();
    assert!(near(found.value, truth, 1e-13) && truth < 0.999, "{} {truth}", found.value);
    assert_eq!((found.matvecs, forward.matvecs(), found.standard_error), (30, 20, 0.0));
}

/// A library's answers are used as they come.
#[test]
fn what_a_machine_has_is_used() {
    struct Library(std::cell::Cell<usize>);
    impl Decompose for Library {
        fn symmetric(&self, a: &mut [f64], n: usize, vectors: bool) -> Option<Vec<f64>> {
            self.0.set(self.0.get() + 1);
            let (mut values, mut rows) = small::eigen(a, n);
            values.reverse();
            rows = rows.chunks(n).rev().flatten().copied().collect();
            a.copy_from_slice(if vectors { &rows } else { &[f64::NAN; 25][..n * n] });
            // Too large for it.
            (n < 5).then_some(values)
        }
    }
    let library = Library(std::cell::Cell::new(0));
    for n in [1, 2, 3, 4, 5] {
        let a: Vec<f64> = (0..n * n).map(|i| 1.0 / (1 + i / n + i % n) as f64).collect();
        let (values, vectors) = small::eigen(&a, n);
        assert_eq!(small::decompose(&library, &a, n, true), (values.clone(), vectors));
        let (found, none) = small::decompose(&library, &a, n, false);
        assert!(none.is_empty() && found.iter().zip(&values).all(|(x, y)| (x - y).abs() < 1e-14));
    }
    assert_eq!(library.0.get(), 10);
}
