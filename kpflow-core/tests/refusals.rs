//! No call of the core panics, whatever it is given: constructors, products and buffers with random, also absurd, sizes.

mod common;
mod list;

use common::numbers;
use kpflow_core::machine::{Diagonals, Gemm, Kernel, MatMut, MatRef, Portable, Reduce, Term};
use kpflow_core::model::{
    Activation, Cell, Cluster, Edge, Form, GraphBuffer, Linearization, Operand, RecurrentWeights, Scan, Unitwise,
    VariableId, Watch, Weight, WeightId,
};
use kpflow_core::ntk::{
    ntk_traces, ntk_traces_scratch_len, propagator_gram_traces, propagator_gram_traces_scratch_len, Features,
};
use kpflow_core::operator::*;
use kpflow_core::probe::{add_gram, hutchinson, power_iteration, Distribution, Probe};
use kpflow_core::{Axis, BlockMut, BlockRef, Error, LinearOperator, Shape};
use list::{every, Visit};
use proptest::prelude::*;
use std::fmt::Display;

/// 256 cases a property (proptest's own number), or as many as the variable PROPTEST_CASES says.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// Sizes that fit, and some that nothing fits.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        12 => 0usize..5,
        1 => Just(usize::MAX),
        1 => Just(usize::MAX / 2 + 1),
        1 => Just(isize::MAX as usize),
        1 => Just(1usize << 33),
        1 => Just(usize::MAX - 1),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    (size(), size(), size()).prop_map(|(b, t, j)| Shape::new(b, t, j))
}

fn axis() -> impl Strategy<Value = Axis> {
    prop_oneof![Just(Axis::Trajectory), Just(Axis::Step), Just(Axis::Unit)]
}

fn length(vectors: usize, shape: Shape) -> Option<usize> {
    let all = [shape.trajectories, shape.steps, shape.units, vectors];
    if all.contains(&0) {
        return Some(0);
    }
    all.into_iter().try_fold(1usize, usize::checked_mul)
}

/// Every operator with blocks and scratch of all sorts: what it says is what `check` says.
struct Misuse {
    shapes: [Shape; 2],
    vectors: [usize; 2],
    scratch: usize,
}

impl Visit<f64> for Misuse {
    fn visit<A: LinearOperator<f64> + Display>(&mut self, name: &str, op: &A, _: Option<Vec<f64>>) {
        let (domain, codomain) = (op.domain(), op.codomain());
        for adjoint in [false, true] {
            let (from, to) = if adjoint { (codomain, domain) } else { (domain, codomain) };
            for (x_shape, y_shape) in [(from, to), (self.shapes[0], to), (from, self.shapes[1]), (to, from)] {
                let [m, k] = self.vectors;
                let (Some(x_len), Some(y_len)) = (length(m, x_shape), length(k, y_shape)) else { continue };
                if x_len > 10_000 || y_len > 10_000 {
                    continue;
                }
                let (x, mut y) = (vec![0.5; x_len], vec![0.0; y_len]);
                let (x, mut y) = (BlockRef::new(x_shape, m, &x).unwrap(), BlockMut::new(y_shape, k, &mut y).unwrap());
                let needed = op.scratch_len(m);
                for length in [self.scratch.min(10_000), needed.min(10_000), needed.saturating_sub(1).min(10_000)] {
                    let mut scratch = vec![0.0; length];
                    let expected = check(from, to, needed, &x, &y, &scratch);
                    let found = match adjoint {
                        true => op.apply_adjoint(x, y.reborrow(), &mut scratch),
                        false => op.apply(x, y.reborrow(), &mut scratch),
                    };
                    // Pieces of an expression check for themselves, so that the place of the mistake may be said otherwise.
                    assert_eq!(found.is_ok(), expected.is_ok(), "{name}: {found:?}, not {expected:?}");
                }
            }
        }
        for m in [0, 3, usize::MAX / 2, usize::MAX] {
            assert!(op.scratch_len(m) >= op.scratch_len(m / 2), "{name}: the scratch of many vectors overflows");
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn products_refuse_what_does_not_fit(
        dims in [0usize..4, 0..4, 0..4], seed: u64, shapes in [shape(), shape()], vectors in [size(), size()], scratch in size(),
        same in any::<bool>(),
    ) {
        let vectors = if same { [vectors[0]; 2] } else { vectors };
        every::<f64>(dims, seed, &mut Misuse { shapes, vectors, scratch });
    }

    #[test]
    fn blocks_and_matrices_refuse_what_does_not_fit(
        shape in shape(), vectors in size(), len in 0usize..40, at in [size(), size()], matrix in [size(), size(), size()],
    ) {
        let mut data = vec![1.0; len];
        let fits = length(vectors, shape) == Some(len);
        let block = BlockRef::new(shape, vectors, &data);
        prop_assert_eq!(block.is_ok(), fits);
        if let Ok(block) = block {
            let inside = at[0] < shape.trajectories && at[1] < vectors;
            prop_assert_eq!(block.part(at[0], at[1]).is_ok(), inside);
            prop_assert_eq!(block.trajectories(at[0]..at[1]).is_ok(), at[0] <= at[1] && at[1] <= shape.trajectories);
            let mut sums = vec![0.0; len];
            let fits = vectors.checked_mul(vectors) == Some(len);
            prop_assert_eq!(add_gram(block, block, &mut sums).is_ok(), fits);
        }
        let block = BlockMut::new(shape, vectors, &mut data);
        prop_assert_eq!(block.is_ok(), fits);
        if let Ok(mut block) = block {
            let _ = block.part(at[0], at[1]);
            let probe = Probe { seed: 1, stream: at[0] as u32, distribution: Distribution::Rademacher };
            let _ = probe.fill(at[0], at[1], block);
        }
        let [rows, cols, ld] = matrix;
        let inside = rows == 0 || cols == 0 || (ld >= cols || rows == 1)
            && (rows - 1).checked_mul(ld).and_then(|end| end.checked_add(cols)).is_some_and(|end| end <= len);
        prop_assert_eq!(MatRef::new(&data, rows, cols, ld).is_ok(), inside);
        prop_assert_eq!(MatMut::new(&mut data, rows, cols, ld).is_ok(), inside);
    }

    #[test]
    fn kernels_refuse_what_does_not_fit(
        a in [size(), size(), size()], b in [size(), size(), size()], c in [size(), size(), size()], t: bool, rows in size(),
        lens in [0usize..20, 0..20, 0..20], strides in [size(), size()],
    ) {
        let (x, mut y) = ([0.5; 40], [0.5; 40]);
        let view = |[rows, cols, ld]: [usize; 3]| MatRef::new(&x, rows, cols, ld);
        if let (Ok(a), Ok(b), Ok(c)) = (view(a), view(b), MatMut::new(&mut y, c[0], c[1], c[2])) {
            let b = if t { b.t() } else { b };
            let fits = a.rows() == c.rows() && a.cols() == b.rows() && b.cols() == c.cols();
            let product = Gemm::new(a, b, c);
            prop_assert_eq!(product.is_ok(), fits);
            if let Some(product) = product.ok().filter(|_| fits) {
                Portable.gemm(1.0, product, 0.5);
            }
        }
        let terms = [Term { c: &x[..lens[0]], x: &x[..lens[1]], stride: strides[0] }; 2];
        if let Ok(sum) = Diagonals::new(&terms, &mut y[..lens[2]], strides[1], rows, true) {
            Portable.combine(sum);
        }
        prop_assert_eq!(Portable.gather(&x[..lens[0]], &mut y[..lens[1]]).is_ok(), lens[0] == lens[1]);
    }

    #[test]
    fn constructors_refuse_what_does_not_fit(
        p in shape(), q in shape(), len in 0usize..30, axis in axis(), order in [axis(), axis(), axis()], k in size(), by: isize,
        window in (size(), size()), list in prop::collection::vec(size(), 0..4), select in 0usize..3,
    ) {
        let data = numbers::<f64>(len, 3, 1);
        let (pn, qn) = (length(1, p), length(1, q));
        prop_assert_eq!(Diagonal::new(p, &data).is_ok(), pn == Some(len));
        let full = pn.zip(qn).and_then(|(p, q)| p.checked_mul(q));
        // A space too large to count times an empty one is empty.
        prop_assert_eq!(Dense::new(&data, p, q).is_ok(), full.or((pn == Some(0) || qn == Some(0)).then_some(0)) == Some(len));
        let (i, j) = (Identity(p), Identity(q));
        prop_assert_eq!(i.compose::<f64, _>(j).is_ok(), p == q);
        prop_assert_eq!(i.then::<f64, _>(j).is_ok(), p == q);
        prop_assert_eq!(i.plus::<f64, _>(j).is_ok(), p == q);
        prop_assert_eq!(i.minus::<f64, _>(j).is_ok(), p == q);
        prop_assert_eq!(i.within::<f64, _>(AxisSum::new(q, axis)).is_ok(), p == q);
        let zero = Zero { domain: p, codomain: q };
        prop_assert_eq!(zero.symmetric_part::<f64>().is_ok(), p == q);
        prop_assert_eq!(zero.partial_trace::<f64>(axis).is_ok(), p == q);
        prop_assert_eq!(zero.partial_average::<f64>(axis).is_ok(), p == q);
        prop_assert_eq!(zero.compose::<f64, _>(zero).err(), (p != q).then_some(Error::Space { expected: p, found: q }));
        let _ = (Reshape::new(p, q), TimeShift::new(p, by), PermuteAxes::new(p, order));
        if let Ok(view) = MatRef::new(&data, k, list.len(), list.len()) {
            let _ = OnAxis::new(p, axis, view);
        }
        let selects = [Select::All, Select::Window { start: window.0, end: window.1 }, Select::List(&list)];
        let r = Restriction::new(p, [selects[select], selects[(select + 1) % 3], selects[(select + 2) % 3]]);
        if let Ok(r) = r {
            prop_assert!(r.part().len() <= p.len());
        }
        let _ = RankOne::new(p, &data, q, &data);
        if let (Ok(u), Ok(v)) = (BlockRef::new(p, k, &data), BlockRef::new(q, list.len(), &data)) {
            prop_assert_eq!(LowRank::new(u, &data, v).is_ok(), k == list.len() && k == len);
            let _ = (Identity(q).deflated(&data, u), Projection::new(u));
        }
        prop_assert_eq!(BlockDiagonal::new::<f64>(&[i, j]).is_ok(), p.steps == q.steps && p.units == q.units);
        prop_assert!(BlockDiagonal::<Identity>::new::<f64>(&[]).is_err());
        // Checks and estimators with buffers of the wrong lengths.
        let probe = Probe { seed: 1, stream: 0, distribution: Distribution::Gaussian };
        let (mut x, mut y, mut work) = (data.clone(), data.clone(), data.clone());
        let _ = (contract::linearity(&zero, &probe, &mut work), contract::symmetry(&zero, &probe, &mut work));
        let _ = (contract::semidefiniteness(&zero, &probe, &mut work), contract::adjointness(&zero, &probe, &mut work));
        let _ = contract::materialise(&zero, &mut x, &mut work);
        let _ = contract::dot_test(&zero, &data, &data, &mut x, &mut y, &mut work);
        let _ = power_iteration(&zero, &probe, 2, 1e-3, &mut x, &mut y, &mut work);
        if p.is_empty() || k < 100 {
            let _ = hutchinson(&zero, &probe, 0..k.min(100), window.0, &mut x, &mut y, &mut work);
        }
    }

    #[test]
    fn models_refuse_what_does_not_fit(
        sizes in [size(), size(), size()], lens in [0usize..40, 0..40, 0..40], fit: bool, b in size(), tile in size(),
        memory in 0usize..400, nodes in prop::collection::vec((0usize..7, size(), size(), size(), size()), 0..7),
    ) {
        let [steps, hidden, n_in] = sizes;
        let data = numbers::<f64>(400, 5, 1);
        // Half of the times what a cell of small sizes needs.
        let needs = [4 * hidden.min(5) * n_in.min(5), 4 * hidden.min(5) * hidden.min(5), 4 * hidden.min(5)];
        let cut = |i: usize| &data[..if fit { needs[i] } else { lens[i] }];
        let (cell, mut buffer) = (Cell::lstm(), GraphBuffer::default());
        let weights =
            RecurrentWeights { n_in, hidden, w_ih: cut(0), w_hh: cut(1), b_ih: None, b_hh: Some(cut(2)) };
        if let Ok(graph) = cell.graph(weights, steps, &mut buffer) {
            linearise(&graph, [b, tile, memory], &data[..(b.min(5) * steps.min(5) * n_in.min(5)).min(400)]);
        }
        // A graph of anything.
        let relu = Unitwise(Activation::Relu);
        let mut buffer = GraphBuffer::<f64, 6>::default();
        let mut g = buffer.builder();
        for (kind, i, j, k, l) in nodes {
            let read = Operand { variable: VariableId(i), offset: j, width: k, delayed: l % 2 == 0 };
            match kind {
                0 => {
                    let edge = [Edge::None, Edge::First, Edge::Last][i % 3];
                    g.variable(i, j, edge, (k != 1).then_some(Watch { offset: k, stride: l }));
                }
                1 => {
                    g.weight(Weight::new(cut(0), (i == 0).then_some(cut(1)), j, k));
                }
                2 => g.segment([Scan::Parallel, Scan::Forward, Scan::Backward][i % 3]),
                3 => g.site_of([Form::Dense, Form::Gain, Form::Embedding][l % 3], WeightId(i), read, VariableId(j)),
                4 => g.cluster(&relu, &[read], &[VariableId(l)]),
                5 => {
                    g.input(i, VariableId(j));
                    g.beside(g.read(VariableId(k)), g.delayed(VariableId(l)));
                }
                _ => {
                    g.initial(VariableId(i), j);
                    g.initial_width(k);
                    g.constant(cut(2), VariableId(l));
                }
            }
        }
        if let Ok(graph) = g.finish(steps, hidden) {
            linearise(&graph, [b, tile, memory], cut(0));
        }
        let (mut y, mut d) = (data.clone(), data.clone());
        prop_assert_eq!(relu.linearize(&data[..lens[0]], &mut y[..lens[1]], &mut d[..lens[2]]).is_ok(), lens == [1; 3]);
    }

    #[test]
    fn closed_forms_refuse_what_does_not_fit(rows in 0usize..60, all in 0usize..60, scratch in 0usize..400, spare in 0usize..3, out in 0usize..9, at in [size(), size()]) {
        let (b, t, h) = (2, 3, 2);
        let w = numbers::<f64>(3 * h * h, 1, 1);
        let (cell, mut buffer) = (Cell::gru(), GraphBuffer::default());
        let weights = RecurrentWeights { n_in: h, hidden: h, w_ih: &w, w_hh: &w, b_ih: None, b_hh: None };
        let graph = cell.graph(weights, t, &mut buffer).unwrap();
        let mut arena = vec![0.0; Linearization::arena_len(&graph, b)];
        let mut work = vec![0.0; Linearization::scratch_len(&graph, b, 1, &Portable)];
        let inputs = numbers::<f64>(b * t * h, 1, 2);
        let lin = Linearization::new(&graph, &[&inputs], None, b, 1, &mut arena, &mut work, &Portable).unwrap();
        let features = Features::new(&lin).unwrap();
        let numbers = vec![0.5; rows.max(all)];
        let (mut work, mut traces) = (vec![0.0; scratch], vec![0.0; out]);
        prop_assert_eq!(features.trace(&numbers[..rows]).is_ok(), rows % features.row_len() == 0);
        let whole = rows % features.row_len() == 0 && all % features.row_len() == 0 && spare > 0;
        let mut pairs = vec![0.0; features.frobenius_scratch_len() + spare - 1];
        let squared = features.frobenius_squared(&numbers[..rows], &numbers[..all], &Portable, &mut pairs);
        prop_assert_eq!(squared.is_ok(), whole);
        let fits = rows == features.rows() * features.row_len();
        prop_assert_eq!(features.write(&mut vec![0.0; rows]).is_ok(), fits);
        let fits = fits && out == b && scratch >= ntk_traces_scratch_len(&lin, &Portable);
        let ntk = ntk_traces(&features, &numbers[..rows], 0..b, &Portable, &mut traces, &mut work);
        prop_assert_eq!(ntk, if fits { Ok(true) } else { ntk });
        prop_assert_eq!(ntk.is_ok(), fits);
        let fits = out == b && scratch >= propagator_gram_traces_scratch_len(&lin, &Portable);
        let gram = propagator_gram_traces(&lin, 0..b, &Portable, &mut traces, &mut work);
        prop_assert_eq!(gram, if fits { Ok(true) } else { gram });
        prop_assert_eq!(gram.is_ok(), fits);
        let mut a = vec![0.0; out];
        let fits = at[0] < b && at[1] < t && out == h * h && scratch >= graph.step_len();
        prop_assert_eq!(lin.step_jacobian(at[0], at[1], &mut a, &mut work, &Portable).is_ok(), fits);
        let mut state = vec![0.0; rows];
        if let Ok(block) = BlockMut::new(Shape::new(b, at[0], at[1]), 1, &mut state) {
            let _ = lin.state(block);
        }
    }
}

/// Runs a graph with memory and inputs of some lengths, those that fit among them.
fn linearise(graph: &kpflow_core::model::Graph<'_, f64>, [b, tile, memory]: [usize; 3], input: &[f64]) {
    let _ = (graph.parameters(), graph.product_flops(), graph.is_single_recurrence(), graph.step_len());
    let needed = [Linearization::arena_len(graph, b), Linearization::scratch_len(graph, b, tile, &Portable)];
    for [arena, scratch] in [[memory; 2], needed.map(|n| n.min(100_000))] {
        let (mut arena, mut scratch) = (vec![0.0; arena], vec![0.0; scratch]);
        let slots = [input; 6];
        let lin = Linearization::new(graph, &slots, None, b, tile, &mut arena, &mut scratch, &Portable);
        let Ok(lin) = lin else { continue };
        // What runs is an operator like any other.
        let (shape, p) = (lin.shape(), kpflow_core::ntk::Propagator::new(&lin, &Portable));
        if shape.len() > 10_000 || p.scratch_len(1) > 100_000 {
            continue;
        }
        let (x, mut y, mut scratch) = (vec![1.0; shape.len()], vec![0.0; shape.len()], vec![0.0; p.scratch_len(1)]);
        let (x, y) = (BlockRef::new(shape, 1, &x).unwrap(), BlockMut::new(shape, 1, &mut y).unwrap());
        p.apply(x, y, &mut scratch).unwrap();
    }
}
