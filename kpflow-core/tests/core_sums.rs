//! Sums over positions against K formed by its definition.

mod common;

use common::{allocations, distance, norm, random};
use kpflow_core::dense::{singular_values, symmetric_eigen};
use kpflow_core::machine::Portable;
use kpflow_core::model::{Cell, Cluster, GraphBuffer, Linearization, RecurrentWeights};
use kpflow_core::ntk::{core_numbers, core_numbers_scratch_len, energy_shares, CoreSize, CoreSums, Diagonal, Features};
use kpflow_core::{Axis, Error, Scalar, Shape};

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
    let huge = CoreSize { inputs: usize::MAX, hidden: usize::MAX, ..size };
    assert!(CoreSums::new(huge, &mut memory).is_err());
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

/// A GRU run by hand, one position after another, as a microcontroller would, gives the sums that its linearised model gives.
fn streamed<T: Scalar>(tolerance: f64) {
    const H: usize = 4;
    const X: usize = 3;
    const STEPS: usize = 6;
    let cell = Cell::gru();
    let some = |rows: usize, cols: usize, stream| -> Vec<T> {
        random::<f64>(Shape::new(1, rows, cols), 1, stream).iter().map(|x| T::of(0.5 * x)).collect()
    };
    let (w_ih, w_hh) = (some(3 * H, X, 1), some(3 * H, H, 2));
    let (b_ih, b_hh, x) = (some(3 * H, 1, 3), some(3 * H, 1, 4), some(STEPS, X, 5));
    let weights =
        RecurrentWeights { n_in: X, hidden: H, w_ih: &w_ih, w_hh: &w_hh, b_ih: Some(&b_ih), b_hh: Some(&b_hh) };
    let mut buffer = GraphBuffer::default();
    let graph = cell.graph(weights, STEPS, &mut buffer).unwrap();
    let mut arena = vec![T::zero(); Linearization::arena_len(&graph, 1)];
    let mut scratch = vec![T::zero(); Linearization::scratch_len(&graph, 1, 1, &Portable)];
    let lin = Linearization::new(&graph, &[&x], None, 1, 1, &mut arena, &mut scratch, &Portable).unwrap();
    let features = Features::new(&lin).unwrap();
    let mut rows = vec![T::zero(); features.rows() * features.row_len()];
    features.write(&mut rows).unwrap();

    // r and z read x and h together; n reads them apart.
    let size = |inputs, gates| CoreSize { inputs, bias: true, hidden: H, gates, states: 1, errors: false };
    let sizes = [size(X + 1 + H, 2), size(X, 1), size(H, 1)];
    let mut memory = sizes.map(|s| vec![0.0; s.memory_len()]);
    let [m0, m1, m2] = &mut memory;
    let mut sums = [(sizes[0], m0), (sizes[1], m1), (sizes[2], m2)].map(|(s, m)| CoreSums::new(s, m).unwrap());
    let mut h = vec![T::zero(); H];
    for x in x.chunks_exact(X) {
        let gate = |w: &[T], b: &[T], u: &[T], r: usize| -> T {
            b[r] + w[r * u.len()..][..u.len()].iter().zip(u).map(|(w, u)| *w * *u).sum()
        };
        let (mut next, mut d) = ([T::zero(); H], [[T::zero(); H]; 4]);
        for j in 0..H {
            let (ih, hh) = (|g: usize| gate(&w_ih, &b_ih, x, g * H + j), |g: usize| gate(&w_hh, &b_hh, &h, g * H + j));
            let (mut y, mut by) = ([T::zero()], [T::zero(); 5]);
            let function: &dyn Cluster<T> = cell.function();
            function.linearize(&[ih(0) + hh(0), ih(1) + hh(1), ih(2), hh(2), h[j]], &mut y, &mut by).unwrap();
            next[j] = y[0];
            (0..4).for_each(|i| d[i][j] = by[i]);
        }
        let both: Vec<T> = x.iter().copied().chain([T::one()]).chain(h.iter().copied()).collect();
        let diagonal = |gate: usize, values| Diagonal { gate, state: 0, values };
        sums[0].add(&both, [diagonal(0, &d[0][..]), diagonal(1, &d[1])].into_iter(), &[]).unwrap();
        sums[1].add(x, [diagonal(0, &d[2][..])].into_iter(), &[]).unwrap();
        sums[2].add(&h, [diagonal(0, &d[3][..])].into_iter(), &[]).unwrap();
        h.copy_from_slice(&next);
    }

    let numbers = core_numbers(&sums, &mut vec![0.0; core_numbers_scratch_len(&sums)]).unwrap();
    near("tr K", numbers.trace, features.trace(&rows).unwrap(), tolerance);
    let mut work = vec![T::nan(); features.frobenius_scratch_len()];
    let mut squared = |rows: &[T], all: &[T]| features.frobenius_squared(rows, all, &Portable, &mut work).unwrap();
    let frobenius = squared(&rows, &rows).sqrt();
    // More positions than a tile has, on both sides.
    near(
        "‖K‖_F of 40 times 50 copies",
        squared(&rows.repeat(40), &rows.repeat(50)),
        2000.0 * frobenius.powi(2),
        tolerance,
    );
    assert!(numbers.frobenius.0 <= frobenius && frobenius <= numbers.frobenius.1);
    let (mut streamed, mut exact) = (vec![0.0; H * H], vec![0.0; H * H]);
    sums.iter().for_each(|s| s.add_unit_marginal(&mut streamed).unwrap());
    features.marginal(Axis::Unit, &rows, &mut exact, &mut [T::zero(); H]).unwrap();
    assert!(distance(&streamed, &exact) <= tolerance * norm(&exact));
    // The same sites, in whatever order and with whatever order of their inputs.
    let found = (0..features.sites()).map(|site| {
        let size = features.core_size(site, false).unwrap();
        let mut memory = vec![0.0; size.memory_len()];
        let mut sums = CoreSums::new(size, &mut memory).unwrap();
        features.accumulate(site, &rows, &[], &mut sums).unwrap();
        (size.gates, sums.trace(), sums.gram_frobenius())
    });
    let mut found: Vec<_> = found.collect();
    let mut expected: Vec<_> = sums.iter().map(|s| (s.size().gates, s.trace(), s.gram_frobenius())).collect();
    for list in [&mut found, &mut expected] {
        list.sort_by(|a, b| a.partial_cmp(b).unwrap());
    }
    for (x, y) in found.iter().zip(&expected) {
        assert_eq!(x.0, y.0);
        near("a site's trace", x.1, y.1, tolerance);
        near("a site's ‖G‖_F", x.2, y.2, tolerance);
    }
    // What does not fit the model's rows is an error.
    let errors: [Result<(), Error>; 4] = [
        features.marginal(Axis::Step, &rows, &mut exact, &mut [T::zero(); H]),
        features.marginal(Axis::Unit, &rows[1..], &mut exact, &mut [T::zero(); H]),
        features.marginal(Axis::Unit, &rows, &mut exact, &mut [T::zero(); H - 1]),
        features.modes(9, &rows, &mut [], &mut [], &mut []).map(|_| ()),
    ];
    let length = |expected, found| Err(Error::Length { expected, found });
    let len = features.row_len();
    assert_eq!(errors[0], length(STEPS * STEPS, H * H));
    assert_eq!(errors[1], length(STEPS * len, STEPS * len - 1));
    assert_eq!(errors[2], Err(Error::Scratch { needed: H, given: H - 1 }));
    assert_eq!(errors[3], Err(Error::Range { limit: 3, found: 9 }));
}

#[test]
fn inference_by_hand_gives_the_sums_of_the_linearised_model() {
    streamed::<f64>(1e-12);
    streamed::<f32>(1e-5);
}
