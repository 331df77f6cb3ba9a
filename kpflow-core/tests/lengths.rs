//! Trajectories of different length: every operator is that of the shorter trajectories, embedded, and closed forms count nothing behind an end.

mod common;
#[path = "common/twins.rs"]
mod twins;

use common::{assert_contract, dense, distance, norm, random};
use kpflow_core::machine::Portable;
use kpflow_core::model::{
    functions::SumThen, Activation, Cell, Edge, Graph, GraphBuffer, Linearization, LinearizeError, RecurrentWeights,
    Run, Scan, Unitwise, Watch, Weight,
};
use kpflow_core::ntk::{
    ntk_traces, ntk_traces_scratch_len, propagator_gram_traces, propagator_gram_traces_scratch_len, Constraint,
    Coupling, Features, KroneckerCore, Ntk, ParameterJacobian, ParameterOperator, Propagator, Side,
};
use kpflow_core::operator::{Compose, Gram};
use kpflow_core::{Axis, BlockMut, LinearOperator, Scalar, Shape};

/// T, H, n_in.
const SIZES: (usize, usize, usize) = (5, 2, 3);
/// The first, a middle and the last step; one trajectory has all of them.
const LENGTHS: [usize; 4] = [3, 5, 1, 4];

/// Inputs and initial states of all trajectories. Behind an end stands what must not be read.
struct Data<T> {
    inputs: Vec<T>,
    initial: Vec<T>,
}

impl<T: Scalar> Data<T> {
    fn new(n: usize) -> Self {
        let (t, _, n_in) = SIZES;
        let numbers = |count, stream| random::<T>(Shape::new(1, 1, count), 1, stream);
        let mut inputs = numbers(LENGTHS.len() * t * n_in, 5);
        for (b, length) in LENGTHS.iter().enumerate() {
            inputs[(b * t + length) * n_in..(b + 1) * t * n_in].fill(T::nan());
        }
        Self { inputs, initial: numbers(LENGTHS.len() * n, 6) }
    }

    /// Those of trajectory b alone, cut at its end.
    fn cut(&self, b: usize) -> (Vec<T>, Vec<T>) {
        let ((t, _, n_in), n) = (SIZES, self.initial.len() / LENGTHS.len());
        let inputs = self.inputs[b * t * n_in..][..LENGTHS[b] * n_in].to_vec();
        (inputs, self.initial[b * n..][..n].to_vec())
    }
}

/// Calls `f` with the linearisation of a graph.
fn linearized<T: Scalar, R>(
    graph: &Graph<'_, T>,
    inputs: &[T],
    initial: &[T],
    lengths: &[usize],
    (count, tile): (usize, usize),
    f: impl FnOnce(&Linearization<'_, T>) -> R,
) -> R {
    let mut arena = vec![T::nan(); Linearization::arena_len(graph, count)];
    let mut scratch = vec![T::nan(); Linearization::scratch_len(graph, count, tile, &Portable)];
    let (arena, scratch) = (&mut arena, &mut scratch);
    let initial = Some(initial);
    let run = Run { inputs: &[inputs], initial, lengths, trajectories: count, tile };
    f(&Linearization::of(graph, &run, arena, scratch, &Portable).unwrap())
}

/// A matrix per trajectory, its rows `[step][unit]`, and, of maps from the state, its columns too.
struct Cut {
    state: Vec<f64>,
    p: Vec<f64>,
    inverse: Vec<f64>,
    immediate: Vec<f64>,
    total: Vec<f64>,
    /// U of every site, side by side.
    u: Vec<f64>,
}

fn doubles<T: Scalar>(x: &[T]) -> Vec<f64> {
    x.iter().map(|x| x.f64()).collect()
}

fn state<T: Scalar>(lin: &Linearization<'_, T>) -> Vec<f64> {
    let mut state = vec![T::nan(); lin.shape().len()];
    lin.state(BlockMut::new(lin.shape(), 1, &mut state).unwrap()).unwrap();
    doubles(&state)
}

fn cut_of<T: Scalar>(lin: &Linearization<'_, T>) -> Cut {
    let m = &Portable;
    let of = |op: &dyn LinearOperator<T>| doubles(&dense(op));
    let core = KroneckerCore::new(lin, m).map_or(Vec::new(), |core| of(&core));
    Cut {
        state: state(lin),
        p: of(&Propagator::new(lin, m)),
        inverse: of(&Constraint::new(lin, m)),
        immediate: of(&ParameterJacobian::immediate(lin, m)),
        total: of(&ParameterJacobian::total(lin, m)),
        u: core,
    }
}

/// Puts rows (and columns, of square blocks) of every trajectory where they stand among those of T steps.
fn embed(blocks: &[&Vec<f64>], per_step: usize, square: bool, columns: usize) -> Vec<f64> {
    let per = SIZES.0 * per_step;
    let columns = if square { blocks.len() * per } else { columns };
    let mut out = vec![0.0; blocks.len() * per * columns];
    for (b, block) in blocks.iter().enumerate() {
        let rows = LENGTHS[b] * per_step;
        let width = if square { rows } else { columns };
        for (i, row) in block.chunks(width).enumerate() {
            let start = (b * per + i) * columns + if square { b * per } else { 0 };
            out[start..start + width].copy_from_slice(row);
        }
    }
    out
}

/// X Xᵀ, row-major.
fn gram(x: &[f64], rows: usize) -> Vec<f64> {
    let n = x.len() / rows;
    let dot = |i: usize, j: usize| x[i * n..][..n].iter().zip(&x[j * n..][..n]).map(|(a, b)| a * b).sum();
    (0..rows * rows).map(|k| dot(k / rows, k % rows)).collect()
}

/// Keeps the blocks of a trajectory with itself.
fn diagonal_blocks(a: &[f64], per: usize) -> Vec<f64> {
    let n = LENGTHS.len() * per;
    (0..a.len()).map(|k| if k / n / per == k % n / per { a[k] } else { 0.0 }).collect()
}

/// Calls a function with a model's graph of so many steps.
type WithGraph<'g, T> = dyn Fn(usize, &mut dyn FnMut(&Graph<'_, T>)) + 'g;

/// All of one model: `graph(steps, f)` calls `f` with its graph of so many steps.
fn check<T: Scalar>(name: &str, n: usize, tolerance: f64, graph: &WithGraph<'_, T>) {
    let (data, m, b) = (Data::<T>::new(n), &Portable, LENGTHS.len());
    let cuts: Vec<Cut> = (0..b)
        .map(|b| {
            let (inputs, initial) = data.cut(b);
            let mut cut = None;
            graph(LENGTHS[b], &mut |g| cut = Some(linearized(g, &inputs, &initial, &[], (1, 1), |lin| cut_of(lin))));
            cut.unwrap()
        })
        .collect();
    let near = |what: &str, found: &[f64], expected: &[f64]| {
        let off = distance(found, expected);
        assert!(off <= tolerance * (1.0 + norm(expected)), "{name}: {what} is off by {off:e}");
    };
    let rows = |f: &dyn Fn(&Cut) -> &Vec<f64>| cuts.iter().map(f).collect::<Vec<_>>();
    let parameters = cuts[0].total.len() / (LENGTHS[0] * n);
    let total = embed(&rows(&|c| &c.total), n, false, parameters);
    let immediate = embed(&rows(&|c| &c.immediate), n, false, parameters);
    let (p, inverse) = (embed(&rows(&|c| &c.p), n, true, 0), embed(&rows(&|c| &c.inverse), n, true, 0));
    let size = b * SIZES.0 * n;
    let (ntk, k, pp) = (gram(&total, size), gram(&immediate, size), gram(&p, size));
    let trace = |a: &[f64]| (0..size).map(|i| a[i * size + i]).sum::<f64>();
    for tile in 1..=b {
        graph(SIZES.0, &mut |g| {
            linearized(g, &data.inputs, &data.initial, &LENGTHS, (b, tile), |lin| {
                near("state", &state(lin), &embed(&rows(&|c| &c.state), n, false, 1));
                let is = |what: &str, op: &dyn LinearOperator<T>, expected: &[f64]| {
                    assert_contract(&format!("{name} {what}, tiles of {tile}"), op, tolerance);
                    near(what, &doubles(&dense(op)), expected);
                };
                is("P", &Propagator::new(lin, m), &p);
                is("P⁻¹", &Constraint::new(lin, m), &inverse);
                is("P Pᵀ", &Gram(Propagator::new(lin, m)), &pp);
                is("J", &ParameterJacobian::immediate(lin, m), &immediate);
                is("P J", &ParameterJacobian::total(lin, m), &total);
                for side in twins::sides(g) {
                    is("K", &ParameterOperator::with(lin, m, Coupling::All, side), &k);
                    is("NTK", &Ntk::with(lin, m, Coupling::All, side), &ntk);
                }
                let per = SIZES.0 * n;
                let apart =
                    |what: &str, op: &dyn LinearOperator<T>, all: &[f64]| is(what, op, &diagonal_blocks(all, per));
                apart("⊕K", &ParameterOperator::with(lin, m, Coupling::PerTrajectory, Side::Gram), &k);
                apart("⊕NTK", &Ntk::with(lin, m, Coupling::PerTrajectory, Side::Gram), &ntk);
                // What the inverse undoes is all that the state has.
                let both = dense(&Compose::new(Propagator::new(lin, m), Constraint::new(lin, m)).unwrap());
                let steps = |i: usize| (i / per, i % per / n);
                let one = |i: usize| {
                    f64::from(u8::from(i / size == i % size && steps(i / size).1 < LENGTHS[steps(i / size).0]))
                };
                near("P P⁻¹", &doubles(&both), &(0..size * size).map(one).collect::<Vec<_>>());
                twins::twice_of_two(name, lin, tolerance);
                closed_forms(name, lin, [trace(&ntk), trace(&pp)], &k, tolerance);
                if let Some(core) = KroneckerCore::new(lin, m) {
                    let found = doubles(&dense(&core));
                    assert_contract(&format!("{name} core"), &core, tolerance);
                    near("core", &diagonal_blocks(&found, SIZES.0), &embed(&rows(&|c| &c.u), 1, true, 0));
                    let behind = |i: usize| i % SIZES.0 >= LENGTHS[i / SIZES.0];
                    let rows = b * SIZES.0;
                    let outside = |i: usize| behind(i / rows) || behind(i % rows);
                    assert!((0..rows * rows).all(|i| !outside(i) || found[i] == 0.0), "{name}: core behind an end");
                }
            });
        });
    }
}

/// The exact traces and ‖K‖_F, and marginals of K, from inference and Gramians.
fn closed_forms<T: Scalar>(name: &str, lin: &Linearization<'_, T>, traces: [f64; 2], k: &[f64], tolerance: f64) {
    let (m, shape) = (&Portable, lin.shape());
    let size = shape.len();
    let near = |what: &str, found: f64, expected: f64| {
        assert!((found - expected).abs() <= tolerance * (1.0 + expected.abs()), "{name} {what}: {found} {expected}");
    };
    let mut out = vec![T::nan(); shape.trajectories];
    let mut scratch = vec![T::nan(); propagator_gram_traces_scratch_len(lin, m)];
    if propagator_gram_traces(lin, 0..shape.trajectories, m, &mut out, &mut scratch).unwrap() {
        near("tr P Pᵀ", out.iter().map(|x| x.f64()).sum(), traces[1]);
    }
    let Some(features) = Features::new(lin) else { return };
    let mut rows = vec![T::nan(); features.rows() * features.row_len()];
    features.write(&mut rows).unwrap();
    near("tr K", features.trace(&rows).unwrap(), (0..size).map(|i| k[i * size + i]).sum());
    let mut scratch = vec![T::nan(); features.frobenius_scratch_len()];
    let square = features.frobenius_squared(&rows, &rows, m, &mut scratch).unwrap();
    near("‖K‖²", square, k.iter().map(|x| x * x).sum());
    let mut scratch = vec![T::nan(); shape.units];
    let place = |axis: Axis, i: usize| match axis {
        Axis::Trajectory => i / shape.per_trajectory(),
        Axis::Step => i / shape.units % shape.steps,
        Axis::Unit => i % shape.units,
    };
    for (axis, d) in [(Axis::Trajectory, shape.trajectories), (Axis::Step, shape.steps), (Axis::Unit, shape.units)] {
        let mut found = vec![f64::NAN; d * d];
        features.marginal(axis, &rows, &mut found, &mut scratch).unwrap();
        let mut expected = vec![0.0; d * d];
        for (i, j) in (0..size).flat_map(|i| (0..size).map(move |j| (i, j))) {
            let others = [Axis::Trajectory, Axis::Step, Axis::Unit].into_iter().filter(|a| *a != axis);
            if others.into_iter().all(|a| place(a, i) == place(a, j)) {
                expected[place(axis, i) * d + place(axis, j)] += k[i * size + j];
            }
        }
        found.iter().zip(&expected).for_each(|(f, e)| near("marginal of K", *f, *e));
    }
    let mut scratch = vec![T::nan(); ntk_traces_scratch_len(lin, m)];
    if ntk_traces(&features, &rows, 0..shape.trajectories, m, &mut out, &mut scratch).unwrap() {
        near("tr NTK", out.iter().map(|x| x.f64()).sum(), traces[0]);
    }
}

fn cells() -> [(&'static str, Cell); 5] {
    [
        ("rnn", Cell::rnn(Activation::Tanh)),
        ("rnn relu", Cell::rnn(Activation::Relu)),
        ("leaky_rnn", Cell::leaky(Activation::Tanh, 0.3)),
        ("gru", Cell::gru()),
        ("lstm", Cell::lstm()),
    ]
}

fn every_cell<T: Scalar>(tolerance: f64) {
    let (_, h, n_in) = SIZES;
    for (name, cell) in &cells() {
        let rows = cell.gates() * h;
        let numbers = |count, stream| random::<T>(Shape::new(1, 1, count), 1, stream);
        let (w_ih, w_hh) = (numbers(rows * n_in, 1), numbers(rows * h, 2));
        let (b_ih, b_hh) = (numbers(rows, 3), numbers(rows, 4));
        let (b_ih, b_hh) = (Some(&b_ih[..]), Some(&b_hh[..]));
        let weights = RecurrentWeights { n_in, hidden: h, w_ih: &w_ih, w_hh: &w_hh, b_ih, b_hh };
        check::<T>(name, cell.states() * h, tolerance, &|steps, f| {
            f(&cell.graph(weights, steps, &mut GraphBuffer::default()).unwrap());
        });
    }
}

#[test]
fn every_cell_is_that_of_shorter_trajectories() {
    every_cell::<f64>(1e-11);
    every_cell::<f32>(1e-3);
}

/// What runs backward begins at the trajectory's own end: two layers of h ← tanh(x + V h), one forward in time and one backward that reads it, and the site
/// outputs among what is watched.
#[test]
fn backward_in_time() {
    let (_, h, n_in) = SIZES;
    let numbers = |count, stream| random::<f64>(Shape::new(1, 1, count), 1, stream);
    let (u, v, w) = (numbers(h * n_in, 1), numbers(h * h, 2), numbers(h * h, 3));
    let (bias, tanh) = (numbers(h, 4), Unitwise::<_, 2, 1>(SumThen(Activation::Tanh)));
    for watched in [2, 3] {
        let units = watched * h;
        check::<f64>(&format!("both ways, {watched} watched"), units, 1e-11, &|steps, f| {
            let mut memory = GraphBuffer::<f64, 16>::default();
            let mut g = memory.builder();
            let watch = |i: usize| (i < watched).then_some(Watch { offset: i * h, stride: units });
            let first = g.weight(Weight::new(&u, Some(&bias), h, n_in));
            let forward = g.weight(Weight::new(&v, Some(&bias), h, h));
            let backward = g.weight(Weight::new(&w, None, h, h));
            let x = g.variable(steps, n_in, Edge::None, None);
            let s = g.variable(steps, h, Edge::None, watch(2));
            let there = g.variable(steps, h, Edge::First, watch(0));
            let [own, read, before] = [0; 3].map(|_| g.variable(steps, h, Edge::None, None));
            let back = g.variable(steps, h, Edge::Last, watch(1));
            g.initial(there, 0);
            g.initial(back, h);
            g.initial_width(units);
            g.segment(Scan::Parallel);
            g.input(0, x);
            g.site(first, g.read(x), s);
            g.segment(Scan::Forward);
            g.site(forward, g.delayed(there), own);
            g.cluster(&tanh, &[g.read(s), g.read(own)], &[there]);
            g.segment(Scan::Backward);
            g.site(forward, g.read(there), read);
            g.site(backward, g.delayed(back), before);
            g.cluster(&tanh, &[g.read(read), g.read(before)], &[back]);
            f(&g.finish(steps, units).unwrap());
        });
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let (t, h, n_in) = SIZES;
    let cell = Cell::rnn(Activation::Tanh);
    let (w_ih, w_hh, x) = (vec![0.1; h * n_in], vec![0.1; h * h], vec![0.1; 2 * t * n_in]);
    let weights = RecurrentWeights { n_in, hidden: h, w_ih: &w_ih, w_hh: &w_hh, b_ih: None, b_hh: None };
    let mut buffer = GraphBuffer::default();
    let graph = cell.graph(weights, t, &mut buffer).unwrap();
    let inputs = [&x[..]];
    for (lengths, trajectory) in [(&[3][..], 1), (&[3, 0], 1), (&[6, 3], 0), (&[1, 2, 3], 3)] {
        let mut arena = vec![0.0; Linearization::arena_len(&graph, 2)];
        let mut scratch = vec![0.0; Linearization::scratch_len(&graph, 2, 1, &Portable)];
        let run = Run { lengths, ..Run::new(&inputs, 2) };
        let made = Linearization::of(&graph, &run, &mut arena, &mut scratch, &Portable);
        let expected = LinearizeError::Lengths { expected: 2, found: lengths.len(), trajectory, steps: t };
        assert_eq!(made.err(), Some(expected));
        assert!(expected.to_string().contains("length"));
    }
}
