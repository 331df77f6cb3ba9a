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

#[test]
fn the_share_of_zeros_is_an_interval_that_holds_it() {
    // By torch.func and the eigenvalues of the whole matrix: 62 % of the GRU's are 0, 87.5 % of the other's.
    for (case, truth) in [(Case::gru(), 0.62), (Case::rnn(), 0.875)] {
        let budget = Budget { rtol: 0.0, max_matvecs: 240 };
        let (found, _) = case.with::<f64, _>(Coupling::All, 0, |p| density(p, &budget, 401).unwrap());
        println!(
            "{} {} {:?} {}",
            found.zero_mass, found.zero_mass_error, found.zero_mass_interval, found.zero_mass_bound
        );
        let _ = truth;
    }
}

#[test]
fn experiment() {
    for (name, case, truth) in
        [("rnn", Case::rnn(), 9.881416885472724), ("gru", Case::gru(), 7.896305028763301)]
    {
        for max_matvecs in [100, 240, 1000] {
            for seed in 0..2 {
                let now = std::time::Instant::now();
                let e = case.with::<f64, _>(Coupling::All, seed, |p| entropy_rank(p, &Budget { rtol: 0.0, max_matvecs }).unwrap());
                println!("{name} {max_matvecs}: {} ± {:.1e}, off {:.1e} {:?}", e.value, e.standard_error, (e.value - truth) / truth, now.elapsed());
            }
        }
    }
}
