//! Convolutions read a map through windows: the same operators as of patches that are made, in every form of site.

mod common;
#[path = "common/twins.rs"]
mod twins;

use common::{assert_contract, distance, norm, product, random};
use kpflow_core::machine::Portable;
use kpflow_core::model::mixing::{Patches, Run as Copied, Windows};
use kpflow_core::model::{Activation, Form, Operand, Run, Scan, VariableId};
use kpflow_core::network::{Network, OwnedWeight, State};
use kpflow_core::ntk::{Constraint, Coupling, Ntk, ParameterJacobian, ParameterOperator, Propagator};
use kpflow_core::{LinearOperator, Scalar, Shape};

const TRAJECTORIES: usize = 3;
/// Height and width of the map, and its channels.
const MAP: (usize, usize, usize) = (3, 2, 2);

/// The windows of size 3 × 3, padded by 1.
fn windows(height: usize, width: usize, stride: usize) -> Vec<u32> {
    let mut rows = Vec::new();
    for (y, x) in (0..height).step_by(stride).flat_map(|y| (0..width).step_by(stride).map(move |x| (y, x))) {
        for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
            let inside = (1..=height).contains(&(y + i)) && (1..=width).contains(&(x + j));
            rows.push(if inside { ((y + i - 1) * width + x + j - 1) as u32 } else { Windows::PADDING });
        }
    }
    rows
}

/// The patches of a map: by the block, or by a sparse map that sites cannot read through.
fn patches<S: Scalar>(n: &mut Network<S>, map: VariableId, rows: &[u32], groups: usize, made: bool) -> VariableId {
    let (input, width) = (n.read(map), n.size(map).1);
    if !made {
        return n.mixing(Patches { rows: rows.to_vec(), places: 9, groups }, &[input]).unwrap();
    }
    let per = width / groups;
    let run = |(i, &row): (usize, &u32), g: usize| {
        let to = (i / 9, (g * 9 + i % 9) * per);
        Copied { input: 0, from: (row as usize, g * per), to, len: per, scale: S::one() }
    };
    let there = rows.iter().enumerate().filter(|(_, &row)| row != Windows::PADDING);
    let runs = there.flat_map(|at| (0..groups).map(move |g| run(at, g))).collect();
    n.sparse(runs, &[input], (rows.len() / 9, 9 * width))
}

/// A dense convolution, a depthwise one of stride 2, one of two groups with biases; a tanh after each. What the state is, `watched` says.
fn network<S: Scalar>(made: bool, frozen: bool, watched: usize) -> (Network<S>, usize) {
    let (height, width, channels) = MAP;
    let numbers = |seed: u32, n: usize| -> Vec<S> {
        random(Shape::new(1, 1, n), 1, seed).iter().map(|x: &S| *x * S::of(0.4)).collect()
    };
    let mut n = Network::default();
    n.segment(Scan::Parallel);
    let input = n.input(0, height * width, channels);
    let tanh = |n: &mut Network<S>, v: VariableId| n.cluster(Activation::Tanh, [n.read(v)]);

    let dense = n.weight(OwnedWeight::new("dense", numbers(1, 4 * 18), 4, 18).with_bias("b", Some(numbers(2, 4))));
    let first = patches(&mut n, input, &windows(height, width, 1), 1, made);
    let s = n.dense(dense, n.read(first));
    let a = tanh(&mut n, s);

    let gain = n.weight(OwnedWeight::new("gain", numbers(3, 9 * 4), 4, 9).with_bias("c", Some(numbers(4, 4))));
    let second = patches(&mut n, a, &windows(height, width, 2), 1, made);
    let s = n.site(Form::Gain, gain, n.read(second));
    let b = tanh(&mut n, s);

    let third = patches(&mut n, b, &windows(2, 1, 1), 2, made);
    let mut outputs: Vec<Operand> = Vec::new();
    for g in 0..2 {
        let bias = (g == 1).then(|| numbers(7, 2));
        let w = n.weight(OwnedWeight::new(format!("g{g}"), numbers(5 + g as u32, 2 * 18), 2, 18).with_bias("d", bias));
        let s = n.dense(w, n.piece(third, g, 18));
        outputs.push(n.read(s));
    }
    let joined = n.concat(&outputs);
    let c = tanh(&mut n, joined);
    if frozen {
        n.train(|name| !matches!(name, "dense" | "gain" | "c"));
    }
    let mirrors = [n.mirror(a, MAP.1), n.mirror(b, 1)];
    let states: [&[VariableId]; 5] = [&[c], &[a, b, c], &[a, second, c], &[a, b], &[mirrors[0], mirrors[1]]];
    n.watch(State::Variables(states[watched])).unwrap();
    let parameters = n.parameters();
    (n, parameters)
}

/// Calls `f` with the operators of the network and their names.
fn operators<S: Scalar>(network: &Network<S>, tile: usize, mut f: impl FnMut(&str, &dyn LinearOperator<S>)) {
    let graph = network.graph(network.weights()).unwrap();
    let x: Vec<S> = random(Shape::new(TRAJECTORIES, MAP.0 * MAP.1, MAP.2), 1, 11);
    let inputs: [&[S]; 1] = [&x];
    let lin = graph.linearize(&Run { tile, ..Run::new(&inputs, TRAJECTORIES) }, &Portable).unwrap();
    let (lin, m) = (&lin.view(), &Portable);
    twins::twice_of_two("convolutions", lin, S::epsilon().f64() * 1e5);
    f("P", &Propagator::new(lin, m));
    f("P⁻¹", &Constraint::new(lin, m));
    f("J", &ParameterJacobian::immediate(lin, m));
    f("PJ", &ParameterJacobian::total(lin, m));
    for coupling in [Coupling::All, Coupling::PerTrajectory] {
        for side in twins::sides(lin.graph()) {
            f(&format!("K {coupling:?} {side:?}"), &ParameterOperator::with(lin, m, coupling, side));
            f(&format!("NTK {coupling:?} {side:?}"), &Ntk::with(lin, m, coupling, side));
        }
    }
}

/// The products of all operators with two vectors, and with ten: strips of several positions and of one.
fn products<S: Scalar>(network: &Network<S>, tile: usize) -> Vec<(String, Vec<S>)> {
    let mut all = Vec::new();
    operators(network, tile, |name, op| {
        for vectors in [2, 70] {
            all.push((name.into(), product(op, vectors, &random(op.domain(), vectors, 5))));
        }
    });
    all
}

#[test]
fn reading_through_windows_is_reading_patches() {
    for (watched, frozen, tile) in [(0, false, 2), (1, false, 1), (1, true, 3), (2, false, 2), (0, true, 1)] {
        let [(through, n), (made, also)] = [false, true].map(|made| network::<f64>(made, frozen, watched));
        assert_eq!(n, also);
        for ((name, x), (_, y)) in products(&through, tile).iter().zip(products(&made, tile)) {
            let off = distance(x, &y) / norm(&y).max(1e-300);
            assert!(off < 1e-13, "{name}, state {watched}, frozen {frozen}, tile {tile}: {off:e}");
        }
    }
}

#[test]
fn convolutions_pass_the_contract() {
    for tile in [1, 3] {
        for watched in 0..5 {
            let (network, _) = network::<f64>(false, false, watched);
            operators(&network, tile, |name, op| assert_contract(&format!("{name}, tile {tile}"), op, 1e-11));
        }
        let (network, _) = network::<f32>(false, true, 1);
        operators(&network, tile, |name, op| assert_contract(&format!("{name}, tile {tile}"), op, 2e-3));
    }
}

/// A state that lies transposed is the same state in another order.
#[test]
fn mirrors_are_the_state_in_another_order() {
    let norms = [3, 4].map(|watched| {
        let (network, _) = network::<f64>(false, false, watched);
        let mut all = Vec::new();
        operators(&network, 2, |name, op| {
            let n = op.domain().len();
            let units: Vec<f64> = (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 }).collect();
            let shape = op.domain();
            let per = shape.per_trajectory();
            // A block lies [trajectory][vector][number].
            let block: Vec<f64> =
                (0..n * n).map(|i| units[(i / per % n) * n + i / (per * n) * per + i % per]).collect();
            all.push((name.to_string(), norm(&product(op, n, &block))));
        });
        all
    });
    for ((name, a), (_, b)) in norms[0].iter().zip(&norms[1]) {
        assert!((a - b).abs() <= 1e-12 * a, "{name}: {a} and {b}");
    }
}

/// A sweep holds no patches of tangents, only a strip of them.
#[test]
fn sweeps_hold_maps_and_no_patches() {
    let [through, made] = [false, true].map(|made| {
        let (network, _) = network::<f64>(made, false, 0);
        let mut numbers = 0;
        operators(&network, 1, |name, op| numbers = if name == "PJ" { op.scratch_len(400) } else { numbers });
        numbers
    });
    assert!(through < made, "{through} numbers through windows, {made} with patches");
}
