//! Networks that went wrong, each with what is right: numbers from automatic differentiation, or of the whole matrix.

use super::*;
use kpflow_core::machine::Portable;
use kpflow_core::model::{Activation, Cell, GraphBuffer, Linearization, RecurrentWeights};
use kpflow_core::ntk::{Coupling, Ntk, Side};
use kpflow_core::{LinearOperator, Scalar};

/// A recurrent network and its inputs, all numbers one after the other: W_ih, W_hh, b_ih, b_hh, inputs.
struct Case {
    cell: Cell,
    numbers: Vec<f64>,
    /// Trajectories, steps, inputs, hidden units.
    sizes: [usize; 4],
    biases: bool,
}

fn singles(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
}

fn doubles(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
}

impl Case {
    /// A trained network of 16 tanh units.
    fn rnn() -> Self {
        let numbers = singles(include_bytes!("../tests/cases/rnn.f32"));
        Self { cell: Cell::rnn(Activation::Tanh), numbers, sizes: [8, 20, 3, 16], biases: true }
    }
    /// A trained GRU of 16 units.
    fn gru() -> Self {
        let numbers = singles(include_bytes!("../tests/cases/gru.f32"));
        Self { cell: Cell::gru(), numbers, sizes: [8, 20, 3, 16], biases: true }
    }
    /// A trained LSTM of 16 units, 32 states.
    fn lstm() -> Self {
        let numbers = singles(include_bytes!("../tests/cases/lstm.f32"));
        Self { cell: Cell::lstm(), numbers, sizes: [8, 20, 3, 16], biases: true }
    }
    /// 200 steps of 8 units, without biases.
    fn scan() -> Self {
        let numbers = singles(include_bytes!("../tests/cases/scan.f32"));
        Self { cell: Cell::rnn(Activation::Tanh), numbers, sizes: [4, 200, 3, 8], biases: false }
    }
    /// One trajectory of a chaotic network of 8 units.
    fn chaos() -> Self {
        let numbers = doubles(include_bytes!("../tests/cases/chaos.f64"));
        Self { cell: Cell::rnn(Activation::Tanh), numbers, sizes: [1, 40, 2, 8], biases: true }
    }

    /// Calls `f` with the NTK, or its block diagonal over trajectories.
    fn ntk<T: Scalar, R>(&self, coupling: Coupling, f: impl FnOnce(&dyn LinearOperator<T>) -> R) -> R {
        let numbers: Vec<T> = self.numbers.iter().map(|x| T::of(*x)).collect();
        let [trajectories, steps, n_in, hidden] = self.sizes;
        let rows = hidden * self.cell.gates();
        let (w_ih, rest) = numbers.split_at(rows * n_in);
        let (w_hh, rest) = rest.split_at(rows * hidden);
        let (biases, x) = rest.split_at(if self.biases { 2 * rows } else { 0 });
        assert_eq!(x.len(), trajectories * steps * n_in);
        let b = |i: usize| self.biases.then(|| &biases[i * rows..][..rows]);
        let weights = RecurrentWeights { n_in, hidden, w_ih, w_hh, b_ih: b(0), b_hh: b(1) };
        let mut buffer = GraphBuffer::default();
        let graph = self.cell.graph(weights, steps, &mut buffer).unwrap();
        let mut arena = vec![T::zero(); Linearization::arena_len(&graph, trajectories)];
        let mut scratch = vec![T::zero(); Linearization::scratch_len(&graph, trajectories, 1, &Portable)];
        let lin =
            Linearization::new(&graph, &[x], None, trajectories, 1, &mut arena, &mut scratch, &Portable).unwrap();
        f(&Ntk::with(&lin, &Portable, coupling, Side::Weight))
    }

    fn with<T: Scalar, R>(&self, coupling: Coupling, seed: u64, f: impl Fn(&Problem<'_, T>) -> R) -> R {
        let trajectories = self.sizes[0];
        self.ntk(coupling, |a| f(&Problem::new(a, &Portable, (0, trajectories), seed, 16, &|_, _, _| ())))
    }
}

/// By torch.func and the eigenvalues of the whole matrix; the rank's bound alone says 0.606 and 0.869.
#[test]
fn the_share_of_zeros_is_an_interval_that_holds_it() {
    for (case, known, truth) in [(Case::gru(), 0.60625, 0.62), (Case::rnn(), 0.86875, 0.875)] {
        let budget = Budget { rtol: 0.0, max_matvecs: 240 };
        for seed in 0..3 {
            let (found, _) = case.with::<f64, _>(Coupling::All, seed, |p| density(p, &budget, 401).unwrap());
            let [least, most] = found.zero_mass_interval;
            println!("{} ± {} in {least}..{most}", found.zero_mass, found.zero_mass_error);
            assert!(least == known && found.zero_mass == known && found.zero_mass_bound == most);
            assert!(truth < most && most < 0.97 && found.zero_mass + 1.96 * found.zero_mass_error >= most - 1e-9);
        }
    }
}

/// Where the density over decades has its weight, against that of all eigenvalues: without the atom nothing piles up where nothing is.
#[test]
fn a_density_is_of_what_is_not_zero() {
    let case = Case::chaos();
    let spectrum = case.with::<f64, _>(Coupling::All, 0, |p| dense(p).unwrap());
    let (n, rank) = (320, case.ntk::<f64, _>(Coupling::All, |a| a.properties().rank_bound));
    let exact = density_of(&spectrum.values, 401, f64::EPSILON, rank);
    let below = |d: &Density, x: f64| {
        let step = d.log_grid[1] - d.log_grid[0];
        d.log_grid.iter().zip(&d.log_density).filter(|(g, _)| **g < x).map(|(_, y)| y * step).sum::<f64>()
    };
    for max_matvecs in [240, 1000] {
        let budget = Budget { rtol: 0.0, max_matvecs };
        let (found, _) = case.with::<f64, _>(Coupling::All, 1, |p| density(p, &budget, 401).unwrap());
        let [least, most] = found.zero_mass_interval;
        println!("{max_matvecs}: {} in {least}..{most}, exactly {}", found.zero_mass, exact.zero_mass);
        assert!(least == 1.0 - rank as f64 / n as f64 && (least..=most).contains(&exact.zero_mass));
        for decade in -6..6 {
            let (a, b) = (below(&found, decade.into()), below(&exact, decade.into()));
            println!("  below 1e{decade}: {a:.3}, exactly {b:.3}");
        }
    }
}

/// 25 seeds at the default covered 88 % and were off by up to 7.2 for 9.88; values from torch.func and all eigenvalues.
#[test]
fn an_entropy_rank_of_few_modes() {
    for (case, truth) in [(Case::rnn(), 9.881416885472724), (Case::gru(), 7.896305028763301)] {
        let at = |max_matvecs: usize, seed: u64| {
            let budget = Budget { rtol: 0.0, max_matvecs };
            case.with::<f64, _>(Coupling::All, seed, |p| entropy_rank(p, &budget).unwrap())
        };
        for (max_matvecs, seeds, within) in [(100, 6, 0.1), (240, 4, 0.02), (1000, 1, 1e-4)] {
            for seed in 0..seeds {
                let e = at(max_matvecs, seed);
                println!("{max_matvecs}: {} ± {:.1e}, {truth}", e.value, e.standard_error);
                let off = (e.value - truth).abs();
                assert!(e.matvecs <= max_matvecs && off <= within * truth && off <= 3.0 * e.standard_error, "{e:?}");
            }
        }
    }
}

#[test]
fn experiment() {
    use kpflow_core::operator::Dense;
    let median = |mut v: Vec<f64>| { v.sort_by(f64::total_cmp); v[v.len() / 2] };
    let m: usize = std::env::var("M").map_or(100, |x| x.parse().unwrap());
    let budget = Budget { rtol: 0.0, max_matvecs: m };
    let show = |name: &str, truth: [f64; 2], es: Vec<[Estimate; 2]>| {
        for i in 0..2 {
            let off: Vec<f64> = es.iter().map(|e| (e[i].value - truth[i]).abs() / truth[i]).collect();
            let said: Vec<f64> = es.iter().map(|e| e[i].standard_error / truth[i]).collect();
            let covered = es.iter().filter(|e| (e[i].value - truth[i]).abs() <= 1.96 * e[i].standard_error).count();
            println!("{name} {}: off {:.1e} said {:.1e} covered {covered} of {}", ["entropy", "log det"][i], median(off), median(said), es.len());
        }
    };
    for (name, values) in [("1/k2", (1..=300).map(|k| 1.0 / (k * k) as f64).collect::<Vec<_>>()), ("1/k", (1..=300).map(|k| 1.0 / k as f64).collect()), ("flat", (1..=300).map(|k| 1.0 + 0.1 * (k as f64).sin()).collect()), ("rank7", (1..=300).map(|k| if k < 8 { 1.0 / k as f64 } else { 0.0 }).collect())] {
        let noise = (std::env::var("NOISE").map_or(0.01, |x| x.parse().unwrap()), 0);
        let a = super::tests::hidden(&values);
        let shape = kpflow_core::Shape::new(3, 1, 100);
        let op = Dense::new(&a, shape, shape).unwrap();
        let es = (0..std::env::var("SEEDS").map_or(12, |x| x.parse().unwrap())).map(|seed| { let p = || Problem::new(&op, &Portable, (0, 3), seed, 8, &|_, _, _| ()); [entropy_rank(&p(), &budget).unwrap(), log_det(&p(), &budget, noise).unwrap()] }).collect();
        show(name, [entropy_rank_of(&values), log_det_of(&values, noise)], es);
    }
    if std::env::var("ONLY").is_ok() { return; }
    for (name, case) in [("chaos", Case::chaos()), ("rnn", Case::rnn()), ("gru", Case::gru())] {
        let (values, trace) = if name == "chaos" { let d = case.with::<f64, _>(Coupling::All, 0, |p| dense(p).unwrap()); (d.values.clone(), d.trace().value) } else { (vec![], 0.0) };
        let noise = (if trace > 0.0 { 1e-4 * trace } else { 1.0 }, 0);
        let truth = match name { "rnn" => [9.881416885472724, 1.0], "gru" => [7.896305028763301, 1.0], _ => [entropy_rank_of(&values), log_det_of(&values, noise)] };
        let es = (0..std::env::var("SEEDS").map_or(12, |x| x.parse().unwrap())).map(|seed| case.with::<f64, _>(Coupling::All, seed, |p| entropy_rank(p, &budget).unwrap())).map(|e| [e.clone(), e]).collect::<Vec<_>>();
        let es = if name == "chaos" { (0..std::env::var("SEEDS").map_or(12, |x| x.parse().unwrap())).map(|seed| [es[seed as usize][0].clone(), case.with::<f64, _>(Coupling::All, seed, |p| log_det(p, &budget, noise).unwrap())]).collect() } else { es };
        show(name, truth, es);
    }
}
