//! A network that owns what it builds is the same model as the graph in lent memory, to the last bit.

mod common;

use common::{numbers, product, random};
use kpflow_core::machine::Portable;
use kpflow_core::model::{Activation, Cell, Edge, GraphBuffer, Layer, Linearization, RecurrentWeights, Run, Scan};
use kpflow_core::network::{Network, OwnedWeight, State, WatchError};
use kpflow_core::ntk::{Ntk, ParameterOperator, Propagator};
use kpflow_core::{LinearOperator, Scalar};

const B: usize = 3;
const T: usize = 4;
const H: usize = 2;
const N_IN: usize = 3;

/// P, K and NTK times a few vectors, and the shape of the state.
fn products<S: Scalar>(lin: &Linearization<'_, S>) -> Vec<Vec<S>> {
    let x = random::<S>(lin.shape(), 2, 1);
    let m = &Portable;
    let operators: [&dyn LinearOperator<S>; 3] =
        [&Propagator::new(lin, m), &ParameterOperator::new(lin, m), &Ntk::new(lin, m)];
    operators.iter().map(|op| product(*op, 2, &x)).collect()
}

/// One layer of a cell as a network, its state watched.
fn network<S: Scalar>(cell: &Cell, [w_ih, w_hh, b_ih, b_hh]: [&[S]; 4]) -> Network<S> {
    let mut network = Network::default();
    network.segment(Scan::Parallel);
    let x = network.input(0, T, N_IN);
    let weight =
        |w: &[S], b: &[S], n_in| OwnedWeight::new("w", w.to_vec(), b.len(), n_in).with_bias("b", Some(b.to_vec()));
    let (ih, hh) = (network.weight(weight(w_ih, b_ih, N_IN)), network.weight(weight(w_hh, b_hh, H)));
    let mut state = |i: usize| {
        let v = network.variable(T, H);
        network.initial_row(v, Edge::First, i * H);
        v
    };
    let (h, c) = (state(0), (cell.states() == 2).then(|| state(1)));
    let input = network.read(x);
    cell.wire(&mut network, Layer { ih, hh, input, hidden: H, h, c, reverse: false });
    let state: Vec<_> = [h].into_iter().chain(c).collect();
    network.watch(State::Variables(&state)).unwrap();
    network
}

fn same_as_in_lent_memory<S: Scalar>() {
    for cell in [Cell::rnn(Activation::Tanh), Cell::leaky(Activation::Tanh, 0.3), Cell::gru(), Cell::lstm()] {
        let rows = cell.gates() * H;
        let weights =
            [rows * N_IN, rows * H, rows, rows].into_iter().zip(1..).map(|(n, salt)| numbers::<S>(n, 7, salt));
        let [w_ih, w_hh, b_ih, b_hh] = <[Vec<S>; 4]>::try_from(weights.collect::<Vec<_>>()).unwrap();
        let (x, start) = (numbers::<S>(B * T * N_IN, 7, 5), numbers::<S>(B * H * cell.states(), 7, 6));
        let inputs = [&x[..]];
        for lengths in [&[][..], &[2, 4, 1]] {
            let run = Run { initial: Some(&start), lengths, tile: 2, ..Run::new(&inputs, B) };
            let network = network(&cell, [&w_ih, &w_hh, &b_ih, &b_hh]);
            let owned = network.graph(network.weights()).unwrap();
            let lin = owned.linearize(&run, &Portable).unwrap();

            let weights = RecurrentWeights {
                n_in: N_IN,
                hidden: H,
                w_ih: &w_ih,
                w_hh: &w_hh,
                b_ih: Some(&b_ih),
                b_hh: Some(&b_hh),
            };
            let mut buffer = GraphBuffer::default();
            let graph = cell.graph(weights, T, &mut buffer).unwrap();
            let mut arena = vec![S::nan(); Linearization::arena_len(&graph, B)];
            let mut scratch = vec![S::nan(); Linearization::scratch_len(&graph, B, 2, &Portable)];
            let lent = Linearization::of(&graph, &run, &mut arena, &mut scratch, &Portable).unwrap();

            assert_eq!(lin.view().shape(), lent.shape());
            assert_eq!(products(&lin.view()), products(&lent), "{cell:?}, lengths {lengths:?}");
            assert_eq!(products(&lin.with_at_once(1).view()), products(&lent.with_at_once(1)), "{cell:?}");
        }
    }
}

#[test]
fn every_cell_is_the_same_in_lent_memory() {
    same_as_in_lent_memory::<f64>();
    same_as_in_lent_memory::<f32>();
}

#[test]
fn a_state_without_weights_is_refused() {
    let mut network = Network::<f64>::default();
    network.segment(Scan::Parallel);
    let x = network.input(0, 1, 2);
    let input = network.read(x);
    let y = network.cluster(Activation::Tanh, [input]);
    assert_eq!(network.watch(State::Sites), Err(WatchError::Nothing));
    assert_eq!(network.watch(State::Variables(&[y])), Err(WatchError::Untrained));
}
