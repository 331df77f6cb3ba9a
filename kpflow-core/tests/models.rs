//! The contract on every operator of every cell: P, P⁻¹, J, PJ, K, NTK on both sides and per trajectory, the Kronecker core.

mod common;
#[path = "common/twins.rs"]
mod twins;

use common::{assert_contract, random};
use kpflow_core::machine::Portable;
use kpflow_core::model::{Activation, Cell, GraphBuffer, Linearization, RecurrentWeights};
use kpflow_core::ntk::{
    scratch_len, Constraint, Coupling, KroneckerCore, Ntk, ParameterJacobian, ParameterOperator, Propagator, Side,
};
use kpflow_core::operator::{Compose, Gram};
use kpflow_core::{LinearOperator, Scalar, Shape};

/// B, T, H, n_in: no two of them equal, so that no index can stand for another.
const SIZES: (usize, usize, usize, usize) = (3, 4, 2, 5);

fn on_all_operators<T: Scalar>(name: &str, cell: &Cell, tile: usize, bias: bool, tolerance: f64) {
    let (b, t, h, n_in) = SIZES;
    let (rows, n) = (cell.gates() * h, cell.states() * h);
    let numbers = |count, stream| random::<T>(Shape::new(1, 1, count), 1, stream);
    let (w_ih, w_hh) = (numbers(rows * n_in, 1), numbers(rows * h, 2));
    let (b_ih, b_hh) = (numbers(rows, 3), numbers(rows, 4));
    let (inputs, initial) = (numbers(b * t * n_in, 5), numbers(b * n, 6));
    let weights = RecurrentWeights {
        n_in,
        hidden: h,
        w_ih: &w_ih,
        w_hh: &w_hh,
        b_ih: bias.then_some(&b_ih),
        b_hh: bias.then_some(&b_hh),
    };
    let mut buffer = GraphBuffer::default();
    let graph = cell.graph(weights, t, &mut buffer).unwrap();
    let mut arena = vec![T::nan(); Linearization::arena_len(&graph, b)];
    let mut scratch = vec![T::nan(); Linearization::scratch_len(&graph, b, tile, &Portable)];
    let initial = Some(&initial[..]);
    let lin = Linearization::new(&graph, &[&inputs], initial, b, tile, &mut arena, &mut scratch, &Portable).unwrap();
    let (lin, m) = (&lin, &Portable);
    for (coupling, side) in
        [(Coupling::All, Side::Weight), (Coupling::All, Side::Gram), (Coupling::PerTrajectory, Side::Gram)]
    {
        let planned = scratch_len(&graph, b, tile, m, coupling, side, 3);
        let needed = [
            Propagator::new(lin, m).scratch_len(3),
            Constraint::new(lin, m).scratch_len(3),
            ParameterOperator::with(lin, m, coupling, side).scratch_len(3),
            Ntk::with(lin, m, coupling, side).scratch_len(3),
        ];
        assert_eq!(Some(&planned), needed.iter().max(), "{name}, {coupling:?} {side:?}");
    }
    twins::twice_of_two(name, lin, tolerance);
    let check = |what: &str, op: &dyn LinearOperator<T>| assert_contract(&format!("{name} {what}"), op, tolerance);
    check("P", &Propagator::new(lin, m));
    check("P⁻¹", &Constraint::new(lin, m));
    check("P P⁻¹", &Compose::new(Propagator::new(lin, m), Constraint::new(lin, m)).unwrap());
    check("P Pᵀ", &Gram(Propagator::new(lin, m)));
    check("J", &ParameterJacobian::immediate(lin, m));
    check("PJ", &ParameterJacobian::total(lin, m));
    check("core", &KroneckerCore::new(lin, m).unwrap());
    for (coupling, side) in
        [(Coupling::All, Side::Weight), (Coupling::All, Side::Gram), (Coupling::PerTrajectory, Side::Gram)]
    {
        check(&format!("K {coupling:?} {side:?}"), &ParameterOperator::with(lin, m, coupling, side));
        check(&format!("NTK {coupling:?} {side:?}"), &Ntk::with(lin, m, coupling, side));
    }
}

#[test]
fn every_cell_passes_the_contract() {
    let cells = [
        ("rnn tanh", Cell::rnn(Activation::Tanh)),
        ("rnn relu", Cell::rnn(Activation::Relu)),
        ("leaky_rnn", Cell::leaky(Activation::Tanh, 0.3)),
        ("leaky_rnn linear", Cell::leaky(Activation::Linear, 0.3)),
        ("gru", Cell::gru()),
        ("lstm", Cell::lstm()),
    ];
    for (name, cell) in &cells {
        for tile in [1, 2, 3] {
            on_all_operators::<f64>(name, cell, tile, tile != 2, 1e-11);
            on_all_operators::<f32>(name, cell, tile, tile != 2, 1e-3);
        }
    }
}
