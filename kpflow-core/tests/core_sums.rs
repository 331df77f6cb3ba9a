//! Sums over positions against K formed by its definition.

mod common;

use common::{allocations, distance, norm, random};
use kpflow_core::dense::{singular_values, symmetric_eigen};
use kpflow_core::ntk::{core_numbers, core_numbers_scratch_len, energy_shares, CoreSize, CoreSums, Diagonal};
use kpflow_core::{Error, Scalar, Shape};

/// A site with everything that inference would pass: u, D as `[position][gate][state][unit]`, δ.
struct Site<T> {
    size: CoreSize,
    u: Vec<T>,
    d: Vec<T>,
    error: Vec<T>,
}

impl<T: Scalar> Site<T> {
    fn new(size: CoreSize, positions: usize, stream: u32) -> Self {
        let some = |n: usize, s: u32| random(Shape::new(1, positions, n), 1, stream + s);
        let (u, d) = (some(size.inputs, 0), some(size.gates * size.states * size.hidden, 1));
        Self { size, u, d, error: some(if size.errors { size.outputs() } else { 0 }, 2) }
    }
    fn positions(&self) -> usize {
        self.d.len() / self.size.gates / self.size.states / self.size.hidden
    }
    fn column(&self, p: usize, i: usize) -> f64 {
        if i < self.size.inputs {
            self.u[p * self.size.inputs + i].f64()
        } else {
            1.0
        }
    }
    /// ∂(state variable s, unit j)/∂(gate g, unit j) at p.
    fn derivative(&self, p: usize, g: usize, s: usize, j: usize) -> f64 {
        let CoreSize { gates, states, hidden, .. } = self.size;
        self.d[((p * gates + g) * states + s) * hidden + j].f64()
    }
    fn add(&self, sums: &mut CoreSums<'_>, p: usize) -> Result<(), Error> {
        let CoreSize { inputs, gates, states, hidden, errors, .. } = self.size;
        let pairs = (0..gates).flat_map(move |gate| (0..states).map(move |state| (gate, state)));
        let jacobian = pairs.map(|(gate, state)| Diagonal {
            gate,
            state,
            values: &self.d[((p * gates + gate) * states + state) * hidden..][..hidden],
        });
        let outputs = if errors { self.size.outputs() } else { 0 };
        sums.add(&self.u[p * inputs..][..inputs], jacobian, &self.error[p * outputs..][..outputs])
    }
    fn gram(&self, p: usize, q: usize) -> f64 {
        (0..self.size.columns()).map(|i| self.column(p, i) * self.column(q, i)).sum()
    }
    /// G, or the site's part of K: row and column (p, state, unit).
    fn dense_gram(&self) -> Vec<f64> {
        let n = self.positions();
        (0..n * n).map(|e| self.gram(e / n, e % n)).collect()
    }
    fn dense_k(&self) -> Vec<f64> {
        let (states, hidden) = (self.size.states, self.size.hidden);
        let per = states * hidden;
        let n = self.positions() * per;
        let entry = |r: usize, c: usize| {
            let ((p, a, i), (q, b, j)) =
                ((r / per, r / hidden % states, r % hidden), (c / per, c / hidden % states, c % hidden));
            let gates = 0..if i == j { self.size.gates } else { 0 };
            let sum: f64 = gates.map(|g| self.derivative(p, g, a, i) * self.derivative(q, g, b, j)).sum();
            self.gram(p, q) * sum
        };
        (0..n * n).map(|e| entry(e / n, e % n)).collect()
    }
}

fn near(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs(), "{what}: {found} against {expected}");
}

fn check<T: Scalar>(states: usize, positions: usize, tolerance: f64) {
    let size = |inputs, bias, gates| CoreSize { inputs, bias, hidden: 3, gates, states, errors: true };
    let sites = [size(4, true, 2), size(2, false, 1), size(3, true, 1)];
    let sites: Vec<Site<T>> =
        sites.into_iter().enumerate().map(|(i, s)| Site::new(s, positions, 10 * i as u32)).collect();
    let mut memory: Vec<Vec<f64>> = sites.iter().map(|s| vec![f64::NAN; s.size.memory_len()]).collect();
    let mut other = memory.clone();
    let mut sums: Vec<CoreSums<'_>> =
        sites.iter().zip(&mut memory).map(|(s, m)| CoreSums::new(s.size, m).unwrap()).collect();
    // The second half elsewhere, then together.
    for ((site, sums), other) in sites.iter().zip(&mut sums).zip(&mut other) {
        let mut other = CoreSums::new(site.size, other).unwrap();
        let half = positions / 2;
        assert_eq!(allocations(|| (0..half).for_each(|p| site.add(sums, p).unwrap())), 0);
        (half..positions).for_each(|p| site.add(&mut other, p).unwrap());
        sums.merge(&other).unwrap();
        assert_eq!(sums.positions(), positions);
    }

    let n = positions * states * 3;
    let mut k = vec![0.0; n * n];
    sites.iter().for_each(|s| k.iter_mut().zip(s.dense_k()).for_each(|(k, x)| *k += x));
    let trace: f64 = (0..n).map(|i| k[i * n + i]).sum();
    let units = states * 3;
    let (mut marginal, mut expected) = (vec![0.0; units * units], vec![0.0; units * units]);
    sums.iter().for_each(|s| s.add_unit_marginal(&mut marginal).unwrap());
    for (e, x) in expected.iter_mut().enumerate() {
        *x = (0..positions).map(|p| k[(p * units + e / units) * n + p * units + e % units]).sum();
    }
    assert!(distance(&marginal, &expected) <= tolerance * norm(&expected));

    let (mut bound, mut core_trace, mut core_square) = (0, 0.0, 0.0);
    for (site, sums) in sites.iter().zip(&sums) {
        let (gram, columns, outputs) = (site.dense_gram(), site.size.columns(), site.size.outputs());
        near("‖G‖_F", sums.gram_frobenius(), norm(&gram), tolerance);
        near("tr G", sums.gram_trace(), (0..positions).map(|p| gram[p * positions + p]).sum(), tolerance);
        let (mut values, mut vectors) = (vec![0.0; positions], vec![0.0; positions * positions]);
        symmetric_eigen(positions, &mut gram.clone(), &mut values, &mut vectors).unwrap();
        let (mut found, mut patterns) = (vec![0.0; columns], vec![0.0; columns * columns]);
        sums.modes(&mut found, &mut patterns, &mut vec![f64::NAN; columns * columns]).unwrap();
        for (x, y) in found.iter().zip(&values) {
            assert!((x - y).abs() <= tolerance * values[0], "{found:?} {values:?}");
        }
        let rank = sums.rank(&found);
        assert_eq!(rank, columns.min(positions));
        bound += outputs * rank;
        core_trace += outputs as f64 * values.iter().sum::<f64>();
        core_square += outputs as f64 * values.iter().map(|x| x * x).sum::<f64>();
        let mut shares = vec![0.0; rank];
        energy_shares(positions, &vectors[..rank * positions], &site.error, &mut shares).unwrap();
        for count in 0..=columns {
            let expected: f64 = shares.iter().take(count).sum();
            let share = sums.error_share(&found, &patterns, count).unwrap();
            assert!((share - expected).abs() <= 1e3 * tolerance, "{count}: {share} against {expected}");
        }
    }
    let mut scratch = vec![f64::NAN; core_numbers_scratch_len(&sums)];
    let numbers = core_numbers(&sums, &mut scratch).unwrap();
    near("tr K", numbers.trace, trace, tolerance);
    near("tr core", numbers.core_trace, core_trace, tolerance);
    near("‖core‖_F", numbers.core_frobenius, core_square.sqrt(), tolerance);
    near("effective rank", numbers.core_effective_rank, core_trace * core_trace / core_square, tolerance);
    assert_eq!(numbers.rank_bound, bound);
    let (low, high) = numbers.frobenius;
    assert!(low <= norm(&k) && norm(&k) <= high && high > 0.0, "{low} {} {high}", norm(&k));
    let mut singular = vec![0.0; n];
    singular_values(n, n, &mut k.clone(), &mut singular).unwrap();
    assert!(kpflow_core::dense::rank(&singular, 1e-10) <= bound);
    assert_eq!(
        core_numbers(&sums, &mut scratch[1..]),
        Err(Error::Scratch { needed: scratch_len(&sums), given: scratch_len(&sums) - 1 })
    );
}

fn scratch_len(sums: &[CoreSums<'_>]) -> usize {
    core_numbers_scratch_len(sums)
}

#[test]
fn sums_say_what_k_says() {
    for (states, positions) in [(1, 9), (2, 9), (1, 3), (2, 1)] {
        check::<f64>(states, positions, 1e-12);
        check::<f32>(states, positions, 1e-12);
    }
}

/// One site with D = I and orthogonal inputs: all of K's block j has one eigenvalue, and the lower bound is met; with one position the upper one.
#[test]
fn bounds_of_the_frobenius_norm_are_met() {
    let size = CoreSize { inputs: 4, bias: false, hidden: 2, gates: 1, states: 1, errors: false };
    for (positions, place) in [(4, 0), (1, 1)] {
        let mut memory = vec![0.0; size.memory_len()];
        let mut sums = CoreSums::new(size, &mut memory).unwrap();
        for p in 0..positions {
            let u: [f64; 4] = std::array::from_fn(|i| if i == p { 3.0 } else { 0.0 });
            sums.add(&u, [Diagonal { gate: 0, state: 0, values: &[1.0, 1.0] }].into_iter(), &[]).unwrap();
        }
        let sums = [sums];
        let numbers = core_numbers(&sums, &mut vec![0.0; core_numbers_scratch_len(&sums)]).unwrap();
        let truth = 9.0 * (2.0 * positions as f64).sqrt();
        near("‖K‖_F", [numbers.frobenius.0, numbers.frobenius.1][place], truth, 1e-14);
    }
}

#[test]
fn what_does_not_fit_is_an_error_and_adds_nothing() {
    let size = CoreSize { inputs: 2, bias: true, hidden: 2, gates: 2, states: 1, errors: true };
    let mut memory = vec![0.0; size.memory_len()];
    let length = |expected, found| Err(Error::Length { expected, found });
    assert_eq!(CoreSums::new(size, &mut memory[1..]).map(|_| ()), length(size.memory_len(), size.memory_len() - 1));
    let mut sums = CoreSums::new(size, &mut memory).unwrap();
    let (u, d, e) = ([1.0, 2.0], [1.0; 2], [1.0; 4]);
    let one = |gate, state| [Diagonal { gate, state, values: &d[..] }].into_iter();
    assert_eq!(sums.add(&u[..1], one(0, 0), &e), length(2, 1));
    assert_eq!(sums.add(&u, one(0, 0), &e[..3]), length(4, 3));
    assert_eq!(sums.add(&u, one(2, 0), &e), Err(Error::Range { limit: 2, found: 2 }));
    assert_eq!(sums.add(&u, one(0, 1), &e), Err(Error::Range { limit: 1, found: 1 }));
    let short = [Diagonal { gate: 0, state: 0, values: &d[..1] }].into_iter();
    assert_eq!(sums.add(&u, short, &e), length(2, 1));
    assert!(sums.numbers().iter().all(|x| *x == 0.0));
    assert_eq!(sums.error_share(&[0.0; 3], &[0.0; 9], 4), Err(Error::Range { limit: 3, found: 4 }));
    assert_eq!(sums.error_share(&[0.0; 3], &[0.0; 9], 3), Ok(0.0));
    assert_eq!(energy_shares(2, &[1.0; 3], &[1.0; 4], &mut [0.0; 2]), length(4, 3));
    assert_eq!(energy_shares(2, &[1.0; 4], &[1.0; 5], &mut [0.0; 2]), length(4, 5));
    assert_eq!(core_numbers(&[], &mut []).unwrap().rank_bound, 0);
}
