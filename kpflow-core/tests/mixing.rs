//! The contract on graphs with every form of site and every mixing block, and their linearisation against finite differences.

mod common;
#[path = "common/twins.rs"]
mod twins;

use common::{assert_contract, product, random};
use kpflow_core::machine::Portable;
use kpflow_core::model::functions::{Activation, Arithmetic};
use kpflow_core::model::mixing::{Along, LogSoftmax, LogSumExp, Normalize, Product, Run, Softmax, Sparse};
use kpflow_core::model::{
    BuildError, Edge, Form, Graph, GraphBuffer, Linearization, LinearizeError, Mixing, Scan, Unitwise, Watch, Weight,
    WeightId,
};
use kpflow_core::ntk::{Constraint, Coupling, Ntk, ParameterJacobian, ParameterOperator, Propagator};
use kpflow_core::{BlockMut, LinearOperator, Scalar, Shape};

const D: usize = 4;
const T: usize = 3;
const TOKENS: usize = 5;
/// Two residual streams.
const N: usize = 2 * D;

/// Blocks and functions without weights.
struct Parts<S> {
    norm: Normalize,
    rms: Normalize,
    scores: Product,
    soft: Softmax,
    mix: Product,
    shift: Sparse<Vec<Run<S>>>,
    pool: Sparse<Vec<Run<S>>>,
    gelu: Unitwise<Activation, 1, 1>,
    add: Unitwise<Arithmetic, 2, 1>,
    mask: Vec<S>,
}

impl<S: Scalar> Parts<S> {
    fn new() -> Self {
        let run = |input, from, to, len, scale: f64| Run { input, from, to, len, scale: S::of(scale) };
        let all = |f: &dyn Fn(usize) -> Run<S>| (0..T).map(f).collect::<Vec<_>>();
        let mut shift = all(&|p| run(0, (p, 0), ((p + 1) % T, 1), D - 1, 0.5));
        shift.extend(all(&|p| run(1, (p, 1), (p, 0), 2, 1.0)));
        let pool = (0..T * T).map(|i| run(0, (i / T, 0), (i % T, 0), D, 1.0 / T as f64)).collect();
        let mask = (0..T * T).map(|i| if i % T > i / T { S::neg_infinity() } else { S::zero() }).collect();
        let columns = [Along::Columns; 3];
        Self {
            norm: Normalize { group: D, eps: 1e-5, centered: true },
            rms: Normalize { group: 2, eps: 1e-3, centered: false },
            scores: Product { groups: 2, along: columns, transposed: true },
            soft: Softmax { group: T, scale: 0.7, masked: true },
            mix: Product { groups: 2, along: columns, transposed: false },
            shift: Sparse { runs: shift, inputs: 2, size: (T, D) },
            pool: Sparse { runs: pool, inputs: 1, size: (T, D) },
            gelu: Unitwise(Activation::GeluTanh),
            add: Unitwise(Arithmetic::Add),
            mask,
        }
    }
}

/// Sizes of the weights: embedding, gain, dense (q, k, v), dense out, a free parameter, a tied dense read-out of the embedding.
const WEIGHTS: [(usize, usize, bool); 5] =
    [(TOKENS, D, false), (D, 1, true), (3 * D, D, true), (D, D, false), (D, 0, true)];

fn build<'s, 'a: 's, S: Scalar>(
    parts: &'a Parts<S>,
    weights: &'a [(Vec<S>, Vec<S>)],
    frozen: bool,
    buffer: &'s mut GraphBuffer<'a, S, 32>,
) -> Result<Graph<'s, S>, BuildError> {
    let mut g = buffer.builder();
    let w: Vec<WeightId> = WEIGHTS
        .iter()
        .zip(weights)
        .map(|(&(n_out, n_in, bias), (matrix, b))| {
            let mut weight = Weight::new(matrix, bias.then_some(&b[..]), n_out, n_in);
            (weight.train_matrix, weight.train_bias) = (!frozen || n_out != 3 * D, !frozen || n_in != 1);
            g.weight(weight)
        })
        .collect();
    let var = |g: &mut kpflow_core::model::GraphBuilder<'s, 'a, S>, width| g.variable(T, width, Edge::None, None);
    g.segment(Scan::Parallel);
    let tokens = var(&mut g, 1);
    g.input(0, tokens);
    let e = var(&mut g, D);
    g.site_of(Form::Embedding, w[0], g.read(tokens), e);
    let free = var(&mut g, D);
    g.site(w[4], g.piece(tokens, 0, 0), free);
    let x = var(&mut g, D);
    g.cluster(&parts.add, &[g.read(e), g.read(free)], &[x]);
    let n = var(&mut g, D);
    g.mixing(&parts.norm, &[g.read(x)], n);
    let gain = var(&mut g, D);
    g.site_of(Form::Gain, w[1], g.read(n), gain);
    let qkv = var(&mut g, 3 * D);
    g.site(w[2], g.read(gain), qkv);
    let mask = var(&mut g, T);
    g.constant(&parts.mask, mask);
    let (scores, soft) = (var(&mut g, 2 * T), var(&mut g, 2 * T));
    g.mixing(&parts.scores, &[g.piece(qkv, 0, D), g.piece(qkv, 1, D)], scores);
    g.mixing(&parts.soft, &[g.read(scores), g.read(mask)], soft);
    let mixed = var(&mut g, D);
    g.mixing(&parts.mix, &[g.read(soft), g.piece(qkv, 2, D)], mixed);
    let out = var(&mut g, D);
    g.site(w[3], g.read(mixed), out);
    let m = g.variable(T, D, Edge::None, Some(Watch { offset: 0, stride: N }));
    g.cluster(&parts.add, &[g.read(x), g.read(out)], &[m]);
    let rms = var(&mut g, D);
    g.mixing(&parts.rms, &[g.read(m)], rms);
    let act = var(&mut g, D);
    g.cluster(&parts.gelu, &[g.read(rms)], &[act]);
    let (shift, pool) = (var(&mut g, D), var(&mut g, D));
    g.mixing(&parts.shift, &[g.read(act), g.read(m)], shift);
    g.mixing(&parts.pool, &[g.read(shift)], pool);
    // The same weights once more: a second gain, a second dense use.
    let (gain2, again) = (var(&mut g, D), var(&mut g, D));
    g.site_of(Form::Gain, w[1], g.read(pool), gain2);
    g.site(w[3], g.read(gain2), again);
    let r = g.variable(T, D, Edge::None, Some(Watch { offset: D, stride: N }));
    g.cluster(&parts.add, &[g.read(m), g.read(again)], &[r]);
    g.finish(T, N)
}

fn weights<S: Scalar>() -> Vec<(Vec<S>, Vec<S>)> {
    let numbers = |n, stream| random::<S>(Shape::new(1, 1, n), 1, stream);
    let some = WEIGHTS.iter().enumerate();
    some.map(|(i, &(n_out, n_in, _))| (numbers(n_out * n_in, i as u32), numbers(n_out, 20 + i as u32))).collect()
}

fn tokens<S: Scalar>(b: usize) -> Vec<S> {
    (0..b * T).map(|i| S::of((i * 7 % 3 + i % 2) as f64)).collect()
}

fn on_all<S: Scalar>(tile: usize, frozen: bool, tolerance: f64) {
    let (b, parts, weights) = (3, Parts::<S>::new(), weights::<S>());
    let mut buffer = GraphBuffer::default();
    let graph = build(&parts, &weights, frozen, &mut buffer).unwrap();
    let mut arena = vec![S::nan(); Linearization::arena_len(&graph, b)];
    let tokens = tokens::<S>(b);
    let lin = Linearization::new(
        &graph,
        &[&tokens],
        None,
        b,
        tile,
        &mut arena,
        &mut vec![Default::default(); Linearization::scratch_len(&graph, b, tile, &Portable)],
        &Portable,
    )
    .unwrap();
    let (lin, m) = (&lin, &Portable);
    let check = |what: &str, op: &dyn LinearOperator<S>| {
        assert_contract(&format!("{what}, tile {tile}, frozen {frozen}"), op, tolerance)
    };
    check("P", &Propagator::new(lin, m));
    check("P⁻¹", &Constraint::new(lin, m));
    check("J", &ParameterJacobian::immediate(lin, m));
    check("PJ", &ParameterJacobian::total(lin, m));
    let x = random::<S>(lin.shape(), 2, 77);
    let there = product(&Propagator::new(lin, m), 2, &product(&Constraint::new(lin, m), 2, &x));
    assert!(common::distance(&there, &x) <= tolerance * common::norm(&x), "P P⁻¹ = I");
    for coupling in [Coupling::All, Coupling::PerTrajectory] {
        for side in twins::sides(&graph) {
            check(&format!("K {coupling:?} {side:?}"), &ParameterOperator::with(lin, m, coupling, side));
            check(&format!("NTK {coupling:?} {side:?}"), &Ntk::with(lin, m, coupling, side));
        }
    }
    twins::twice_of_two("a graph of all blocks", lin, tolerance);
    assert!(frozen || twins::sides(&graph).count() == 3, "a choice that takes both sides");
    // The sides are the same operator, and all are P J (P J)ᵀ.
    let jacobian = ParameterJacobian::total(lin, m);
    let by_jacobian = product(&kpflow_core::operator::Gram(jacobian), 2, &x);
    for side in twins::sides(&graph) {
        let y = product(&Ntk::with(lin, m, Coupling::All, side), 2, &x);
        assert!(common::distance(&y, &by_jacobian) <= tolerance * common::norm(&y), "{side:?} is P J Jᵀ Pᵀ");
    }
}

#[test]
fn every_block_passes_the_contract() {
    for tile in [1, 2, 3] {
        for frozen in [false, true] {
            on_all::<f64>(tile, frozen, 1e-11);
        }
        on_all::<f32>(tile, false, 2e-3);
    }
}

/// dz/dθ by central differences, θ in the order of the graph.
#[test]
fn tangents_are_the_derivatives_of_the_forward_pass() {
    let (b, parts, base) = (2, Parts::<f64>::new(), weights::<f64>());
    let tokens = tokens::<f64>(b);
    let run = |weights: &[(Vec<f64>, Vec<f64>)], direction: &[f64]| -> (Vec<f64>, Vec<f64>) {
        let mut buffer = GraphBuffer::default();
        let graph = build(&parts, weights, false, &mut buffer).unwrap();
        let mut arena = vec![0.0; Linearization::arena_len(&graph, b)];
        let lin = Linearization::new(
            &graph,
            &[&tokens],
            None,
            b,
            2,
            &mut arena,
            &mut vec![Default::default(); Linearization::scratch_len(&graph, b, 2, &Portable)],
            &Portable,
        )
        .unwrap();
        let mut state = vec![0.0; lin.shape().len()];
        lin.state(BlockMut::new(lin.shape(), 1, &mut state).unwrap()).unwrap();
        (state, product(&ParameterJacobian::total(&lin, &Portable), 1, direction))
    };
    let count = WEIGHTS.iter().map(|&(n_out, n_in, bias)| n_out * (n_in + usize::from(bias))).sum();
    let direction: Vec<f64> = random(Shape::new(1, 1, count), 1, 99);
    let moved = |h: f64| -> Vec<(Vec<f64>, Vec<f64>)> {
        let (mut at, mut out) = (0, base.clone());
        for ((matrix, b), &(_, _, bias)) in out.iter_mut().zip(&WEIGHTS) {
            for x in matrix.iter_mut().chain(b.iter_mut().take(if bias { usize::MAX } else { 0 })) {
                *x += h * direction[at];
                at += 1;
            }
        }
        out
    };
    let h = 1e-5;
    let ((plus, _), (minus, _)) = (run(&moved(h), &direction), run(&moved(-h), &direction));
    let difference: Vec<f64> = plus.iter().zip(&minus).map(|(a, b)| (a - b) / (2.0 * h)).collect();
    let tangent = run(&base, &direction).1;
    let off = common::distance(&difference, &tangent) / common::norm(&tangent);
    assert!(off < 1e-8, "the tangent differs from central differences by {off:e}");
}

/// Beyond the table, below it, between two rows: an error that says which, whatever the tile; the last row is read.
#[test]
fn tokens_that_are_no_row_are_refused() {
    let (b, parts, weights) = (3, Parts::<f32>::new(), weights::<f32>());
    let mut buffer = GraphBuffer::default();
    let graph = build(&parts, &weights, false, &mut buffer).unwrap();
    for (token, tile) in [(TOKENS as f32, 1), (1e9, 2), (-1.0, 3), (-0.5, 2), (1.5, 1), (f32::NAN, 1)] {
        let mut tokens = tokens::<f32>(b);
        let mut arena = vec![0.0; Linearization::arena_len(&graph, b)];
        tokens[T] = TOKENS as f32 - 1.0;
        assert!(Linearization::new(
            &graph,
            &[&tokens],
            None,
            b,
            tile,
            &mut arena,
            &mut vec![Default::default(); Linearization::scratch_len(&graph, b, tile, &Portable)],
            &Portable
        )
        .is_ok());
        tokens[2 * T + 1] = token;
        let error = Linearization::new(
            &graph,
            &[&tokens],
            None,
            b,
            tile,
            &mut arena,
            &mut vec![Default::default(); Linearization::scratch_len(&graph, b, tile, &Portable)],
            &Portable,
        )
        .err();
        match error {
            Some(LinearizeError::Token { weight: 0, trajectory: 2, token: found, rows: TOKENS }) => {
                assert!(found == f64::from(token) || found.is_nan() && token.is_nan());
            }
            other => panic!("{token} gives {other:?}"),
        }
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let softmax = Softmax { group: 3, scale: 1.0, masked: true };
    assert_eq!(Mixing::<f64>::size(&softmax, &[(2, 6), (2, 3)]), Some((2, 6)));
    assert_eq!(Mixing::<f64>::size(&softmax, &[(2, 6), (2, 6)]), None);
    assert_eq!(Mixing::<f64>::size(&softmax, &[(2, 7), (2, 3)]), None);
    assert_eq!(Mixing::<f64>::size(&LogSoftmax { group: 3 }, &[(2, 6)]), Some((2, 6)));
    assert_eq!(Mixing::<f64>::size(&LogSumExp { group: 3 }, &[(2, 6)]), Some((2, 2)));
    assert_eq!(Mixing::<f64>::size(&LogSoftmax { group: 0 }, &[(2, 6)]), None);
    assert_eq!(Mixing::<f64>::size(&LogSumExp { group: 4 }, &[(2, 6)]), None);
    let product = Product { groups: 2, along: [Along::Rows, Along::Shared, Along::Columns], transposed: false };
    assert_eq!(Mixing::<f64>::size(&product, &[(6, 4), (4, 5)]), Some((3, 10)));
    assert_eq!(Mixing::<f64>::size(&product, &[(5, 4), (4, 5)]), None);
    assert_eq!(Mixing::<f64>::size(&product, &[(6, 4), (3, 5)]), None);
    let run = Run { input: 0, from: (1, 2), to: (0, 0), len: 3, scale: 1.0 };
    let sparse = |size| Sparse { runs: vec![run], inputs: 1, size };
    assert_eq!(sparse((1, 3)).size(&[(2, 5)]), Some((1, 3)));
    assert_eq!(sparse((1, 2)).size(&[(2, 5)]), None);
    assert_eq!(sparse((1, 3)).size(&[(2, 4)]), None);
}
