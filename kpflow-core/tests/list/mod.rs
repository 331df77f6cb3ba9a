//! The one list of all operators of the crate: what the contract, the property tests and the search for bad arguments run on.
//!
//! `every_operator_is_in_the_list` in `contract.rs` compares it with the sources.

use super::common::{dense, numbers, times, transposed};
use kpflow_core::kronecker::{Factor, Kronecker, KroneckerSum};
use kpflow_core::machine::{MatRef, Portable};
use kpflow_core::model::{Cell, GraphBuffer, Linearization, RecurrentWeights};
use kpflow_core::ntk::{
    Constraint, Coupling, KroneckerCore, Ntk, ParameterJacobian, ParameterOperator, Propagator, Side,
};
use kpflow_core::operator::*;
use kpflow_core::{Axis, BlockRef, LinearOperator, Scalar, Shape};
use std::fmt::Display;

/// What is done with every operator. `expected` is its matrix by definition, where it has one that is simpler than itself.
pub trait Visit<T: Scalar> {
    fn visit<A: LinearOperator<T> + Display>(&mut self, name: &str, op: &A, expected: Option<Vec<f64>>);
}

const AXES: [Axis; 3] = [Axis::Trajectory, Axis::Step, Axis::Unit];

fn sizes(shape: Shape) -> [usize; 3] {
    [shape.trajectories, shape.steps, shape.units]
}

fn shape([b, t, j]: [usize; 3]) -> Shape {
    Shape::new(b, t, j)
}

/// (b, t, j) of a flat index.
fn place(shape: Shape, i: usize) -> [usize; 3] {
    [i / shape.per_trajectory(), i / shape.units % shape.steps, i % shape.units]
}

/// The matrix from `from` to `to` whose entry between two places is `f(place in to, place in from)`.
fn matrix(to: Shape, from: Shape, f: impl Fn([usize; 3], [usize; 3]) -> f64) -> Vec<f64> {
    let (rows, cols) = (to.len(), from.len());
    (0..rows * cols).map(|e| f(place(to, e / cols), place(from, e % cols))).collect()
}

fn one(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

fn wide<T: Scalar>(x: &[T]) -> Vec<f64> {
    x.iter().map(|x| x.f64()).collect()
}

fn plus(a: &[f64], b: &[f64], factor: f64) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + factor * b).collect()
}

/// Visits every operator, on tensors of the shape `dims` or made from it; the numbers follow from the seed.
pub fn every<T: Scalar>(dims: [usize; 3], seed: u64, v: &mut impl Visit<T>) {
    let (p, q) = (shape(dims), Shape::new(dims[2], dims[0], dims[1]));
    let r = Shape::new(1, dims[0] + 1, 2);
    let any = |len: usize, salt: u32| numbers::<T>(len, seed, salt);
    let eye = matrix(p, p, |a, b| one(a == b));
    basic(p, r, seed, &eye, v);
    algebra(p, r, seed, &eye, v);
    moves(p, q, seed, v);
    low_rank(p, r, seed, v);
    blocks(p, seed, v);
    let (m, n) = (dims[0] + 1, dims[1]);
    let (a, b) = (any(m * n, 31), any(m * dims[2], 32));
    let factors = [Factor::dense(&a, m, n).unwrap(), Factor::dense(&b, m, dims[2]).unwrap()];
    let product = Kronecker::new(&factors, &Portable).unwrap();
    let (from, to) = (Shape::new(1, n, dims[2]), Shape::new(1, m, m));
    let entry = |x: [usize; 3], y: [usize; 3]| a[x[1] * n + y[1]].f64() * b[x[2] * dims[2] + y[2]].f64();
    v.visit("A ⊗ B", &product, Some(matrix(to, from, entry)));
    let with_identity = [Factor::identity(2), factors[0]];
    let entry = |x: [usize; 3], y: [usize; 3]| one(x[1] == y[1]) * a[x[2] * n + y[2]].f64();
    let expected = matrix(Shape::new(1, 2, m), Shape::new(1, 2, n), entry);
    v.visit("I ⊗ A", &Kronecker::new(&with_identity, &Portable).unwrap(), Some(expected));
    let (c, d) = (any(n * n, 33), any(m * m, 34));
    let terms = [Factor::dense(&c, n, n).unwrap(), Factor::dense(&d, m, m).unwrap()];
    let space = Shape::new(1, n, m);
    let entry = |x: [usize; 3], y: [usize; 3]| {
        one(x[2] == y[2]) * c[x[1] * n + y[1]].f64() + one(x[1] == y[1]) * d[x[2] * m + y[2]].f64()
    };
    v.visit("A ⊕ B", &KroneckerSum::new(&terms, &Portable).unwrap(), Some(matrix(space, space, entry)));
    // The square of a symmetric matrix from its eigenvectors.
    let s = [T::of(2.0), T::of(0.5), T::of(0.5), T::of(-1.0)];
    let symmetric = [Factor::dense(&s, 2, 2).unwrap()];
    let product = Kronecker::new(&symmetric, &Portable).unwrap();
    let len = product.spectrum_len();
    let (mut list, mut work) = ([Factor::ONE; 1], vec![0.0; len.scratch]);
    let (mut vectors, mut values) = (vec![T::zero(); len.vectors], vec![0.0; len.values]);
    let spectrum = product.spectrum(&mut list, &mut vectors, &mut values, &mut work).unwrap();
    v.visit("f(A)", &spectrum.map(|x| x * x), Some(vec![4.25, 0.5, 0.5, 1.25]));
    model(dims, seed, v);
}

fn basic<T: Scalar>(p: Shape, r: Shape, seed: u64, eye: &[f64], v: &mut impl Visit<T>) {
    v.visit("I", &Identity(p), Some(eye.to_vec()));
    v.visit("0", &Zero { domain: p, codomain: r }, Some(vec![0.0; p.len() * r.len()]));
    let d = numbers::<T>(p.len(), seed, 1);
    let diagonal = (0..p.len() * p.len()).map(|e| eye[e] * d[e % p.len()].f64()).collect();
    v.visit("diag(d)", &Diagonal::new(p, &d).unwrap(), Some(diagonal));
    let m = numbers::<T>(p.len() * r.len(), seed, 2);
    v.visit("A", &Dense::new(&m, p, r).unwrap(), Some(wide(&m)));
    for axis in AXES {
        let (n, k) = (sizes(p)[axis as usize], 2);
        let m = numbers::<T>(k * n, seed, 3);
        let view = MatRef::new(&m, k, n, n).unwrap();
        let mut to = sizes(p);
        to[axis as usize] = k;
        let entry = |x: [usize; 3], y: [usize; 3]| {
            let others = (0..3).all(|i| i == axis as usize || x[i] == y[i]);
            one(others) * m[x[axis as usize] * n + y[axis as usize]].f64()
        };
        v.visit("on an axis", &OnAxis::new(p, axis, view).unwrap(), Some(matrix(shape(to), p, entry)));
        // The same by its transpose, stored the other way.
        let back = OnAxis::new(shape(to), axis, view.t()).unwrap();
        let entry = |x: [usize; 3], y: [usize; 3]| entry(y, x);
        v.visit("on an axis, transposed", &back, Some(matrix(p, shape(to), entry)));
    }
}

fn algebra<T: Scalar>(p: Shape, r: Shape, seed: u64, eye: &[f64], v: &mut impl Visit<T>) {
    let any = |len: usize, salt: u32| numbers::<T>(len, seed, salt);
    let (n, k) = (p.len(), r.len());
    let (m, s, t) = (any(k * n, 4), any(k * n, 5), any(n * n, 6));
    let (a, b) = (Dense::new(&m, p, r).unwrap(), Dense::new(&s, p, r).unwrap());
    let square = Dense::new(&t, p, p).unwrap();
    let (m, s, t) = (wide(&m), wide(&s), wide(&t));
    let (mt, tt) = (transposed(&m, k, n), transposed(&t, n, n));
    v.visit("A B", &a.compose(square).unwrap(), Some(times(&m, &t, [k, n, n])));
    v.visit("A + B", &a.plus(b).unwrap(), Some(plus(&m, &s, 1.0)));
    v.visit("A − B", &a.minus(b).unwrap(), Some(plus(&m, &s, -1.0)));
    v.visit("α A", &a.scaled(T::of(-0.5)), Some(m.iter().map(|x| -0.5 * x).collect()));
    v.visit("Aᵀ", &a.adjoint(), Some(mt.clone()));
    v.visit("A Aᵀ", &a.gram(), Some(times(&m, &mt, [k, n, k])));
    v.visit("Aᵀ A", &a.normal(), Some(times(&mt, &m, [n, k, n])));
    let half: Vec<f64> = plus(&t, &tt, 1.0).iter().map(|x| 0.5 * x).collect();
    v.visit("sym(A)", &square.symmetric_part().unwrap(), Some(half));
    v.visit("named", &a.named("W"), Some(m.clone()));
    v.visit("R A Rᵀ", &square.within(a).unwrap(), Some(times(&times(&m, &t, [k, n, n]), &mt, [k, n, k])));
    // What is symmetric, and semidefinite of no full rank, on the way through the algebra.
    let normal = a.normal();
    let carried = normal.scaled(T::of(2.0)).plus(square.within(square).unwrap().symmetric_part().unwrap()).unwrap();
    let inner = times(&times(&t, &t, [n, n, n]), &tt, [n, n, n]);
    let inner: Vec<f64> = plus(&inner, &transposed(&inner, n, n), 1.0).iter().map(|x| 0.5 * x).collect();
    v.visit("2 Aᵀ A + sym(B B Bᵀ)", &carried, Some(plus(&inner, &times(&mt, &m, [n, k, n]), 2.0)));
    // An expression of several, one operand through a reference and one through a trait object.
    struct Object<'a, T>(&'a dyn LinearOperator<T>);
    let object = Object(&b);
    let inner = a.plus(object.0.scaled(T::of(2.0))).unwrap();
    v.visit("&A", &&a, Some(m.clone()));
    let sum = plus(&m, &s, 2.0);
    let whole = square.gram().plus(Gram(Adjoint(&inner))).unwrap().plus(Identity(p).scaled(T::of(3.0)));
    let gram = plus(&times(&t, &tt, [n, n, n]), &times(&transposed(&sum, k, n), &sum, [n, k, n]), 1.0);
    let whole = whole.unwrap();
    v.visit_hidden("A Aᵀ + (B + 2C)ᵀ(…) + 3I", &whole, Some(plus(&gram, eye, 3.0)));
}

/// An operator without a `Display`, since a trait object is in it.
trait Hidden<T: Scalar>: Visit<T> {
    fn visit_hidden<A: LinearOperator<T>>(&mut self, name: &str, op: &A, expected: Option<Vec<f64>>) {
        self.visit(name, &op.named("…"), expected);
    }
}
impl<T: Scalar, V: Visit<T>> Hidden<T> for V {}

fn moves<T: Scalar>(p: Shape, q: Shape, seed: u64, v: &mut impl Visit<T>) {
    let same = matrix(q, p, |_, _| 0.0).len();
    let flat = (0..same).map(|e| one(e / p.len() == e % p.len())).collect();
    v.visit("reshape", &Reshape::new(p, q).unwrap(), Some(flat));
    for order in [[0, 1, 2], [1, 2, 0], [2, 1, 0], [0, 2, 1]] {
        let to = shape(order.map(|i| sizes(p)[i]));
        let entry = |x: [usize; 3], y: [usize; 3]| one((0..3).all(|i| x[i] == y[order[i]]));
        let permute = PermuteAxes::new(p, order.map(|i| AXES[i])).unwrap();
        v.visit("permute", &permute, Some(matrix(to, p, entry)));
    }
    for by in [-2, -1, 0, 1, 3, isize::MAX, isize::MIN] {
        let entry = |x: [usize; 3], y: [usize; 3]| {
            one(x[0] == y[0] && x[2] == y[2] && x[1] as i128 - by as i128 == y[1] as i128)
        };
        v.visit("shift", &TimeShift::new(p, by), Some(matrix(p, p, entry)));
    }
    // Every second unit from the last on, all but the first step, the trajectories from one of them on around.
    let units: Vec<usize> = (0..p.units).rev().step_by(2).collect();
    let turned: Vec<usize> = (0..p.trajectories).map(|b| (b + seed as usize % 7) % p.trajectories).collect();
    let first = p.steps.min(1);
    for trajectories in [Select::All, Select::List(&turned), Select::from(0..p.trajectories / 2)] {
        let selects = [trajectories, Select::from(first..p.steps), Select::List(&units)];
        let restriction = Restriction::new(p, selects).unwrap();
        let entry = |x: [usize; 3], y: [usize; 3]| {
            let b = if trajectories == Select::List(&turned) { turned[x[0]] } else { x[0] };
            one([b, first + x[1], units[x[2]]] == y)
        };
        v.visit("R", &restriction, Some(matrix(restriction.part(), p, entry)));
    }
    for axis in AXES {
        let mut to = sizes(p);
        to[axis as usize] = 1;
        let entry = |x: [usize; 3], y: [usize; 3]| one((0..3).all(|i| i == axis as usize || x[i] == y[i]));
        v.visit("Σ", &AxisSum::new(p, axis), Some(matrix(shape(to), p, entry)));
    }
    let entry = |x: [usize; 3], y: [usize; 3]| one(x[1..] == y[1..]);
    v.visit("E", &TrajectorySum::new(p, true, &Portable), Some(matrix(p.with_trajectories(1), p, entry)));
}

fn low_rank<T: Scalar>(p: Shape, r: Shape, seed: u64, v: &mut impl Visit<T>) {
    let any = |len: usize, salt: u32| numbers::<T>(len, seed, salt);
    let vector = |block: BlockRef<'_, T>, i: usize| wide(&super::common::vector(block, i));
    for k in [0, 1, 3] {
        let (u, s, w) = (any(k * r.len(), 7), any(k, 8), any(k * p.len(), 9));
        let (u, w) = (BlockRef::new(r, k, &u).unwrap(), BlockRef::new(p, k, &w).unwrap());
        let sum = |a: BlockRef<'_, T>, s: &dyn Fn(usize) -> f64, b: BlockRef<'_, T>| {
            let (rows, cols) = (a.shape().len(), b.shape().len());
            let mut sum = vec![0.0; rows * cols];
            for i in 0..k {
                let (x, y) = (vector(a, i), vector(b, i));
                sum.iter_mut().enumerate().for_each(|(e, z)| *z += s(i) * x[e / cols] * y[e % cols]);
            }
            sum
        };
        let s_of = |i: usize| s[i].f64();
        v.visit("U S Vᵀ", &LowRank::new(u, &s, w).unwrap(), Some(sum(u, &s_of, w)));
        v.visit("Q Qᵀ", &Projection::new(w), Some(sum(w, &|_| 1.0, w)));
        let a = any(p.len() * p.len(), 10);
        let deflated = Dense::new(&a, p, p).unwrap().deflated(&s, w).unwrap();
        v.visit("A − V Λ Vᵀ", &deflated, Some(plus(&wide(&a), &sum(w, &s_of, w), -1.0)));
    }
    let (u, w) = (any(r.len(), 11), any(p.len(), 12));
    let outer = (0..r.len() * p.len()).map(|e| u[e / p.len()].f64() * w[e % p.len()].f64()).collect();
    v.visit("u vᵀ", &RankOne::new(r, &u, p, &w).unwrap(), Some(outer));
}

fn blocks<T: Scalar>(p: Shape, seed: u64, v: &mut impl Visit<T>) {
    // Two blocks: of one trajectory and of all of p's.
    let to = |from: Shape| Shape::new(from.trajectories + 1, 2, 1);
    let (first, second) = (p.with_trajectories(1), p);
    let a = numbers::<T>(first.len() * to(first).len(), seed, 13);
    let b = numbers::<T>(second.len() * to(second).len(), seed, 14);
    let pair = [Dense::new(&a, first, to(first)).unwrap(), Dense::new(&b, second, to(second)).unwrap()];
    let (rows, cols) = (to(first).len() + to(second).len(), first.len() + second.len());
    let whole = (0..rows * cols).map(|e| {
        let ((i, j), (k, n)) = ((e / cols, e % cols), (to(first).len(), first.len()));
        match (i < k, j < n) {
            (true, true) => a[i * n + j].f64(),
            (false, false) => b[(i - k) * second.len() + j - n].f64(),
            _ => 0.0,
        }
    });
    v.visit("⊕ A", &BlockDiagonal::new(&pair).unwrap(), Some(whole.collect()));
    let m = numbers::<T>(p.len() * p.len(), seed, 15);
    let a = Dense::new(&m, p, p).unwrap();
    for axis in AXES {
        let (places, mut part) = (sizes(p)[axis as usize], sizes(p));
        part[axis as usize] = 1;
        let flat = |[b, t, j]: [usize; 3]| (b * p.steps + t) * p.units + j;
        let entry = |mut x: [usize; 3], mut y: [usize; 3]| -> f64 {
            let block = |i: usize| {
                (x[axis as usize], y[axis as usize]) = (i, i);
                m[flat(x) * p.len() + flat(y)].f64()
            };
            (0..places).map(block).sum()
        };
        let trace = matrix(shape(part), shape(part), entry);
        v.visit("tr(A)", &a.partial_trace(axis).unwrap(), Some(trace.clone()));
        let mean = trace.iter().map(|x| x / places.max(1) as f64).collect();
        v.visit("avg(A)", &a.partial_average(axis).unwrap(), Some(mean));
    }
}

/// P, P⁻¹, J, P J, K, NTK and the core of a GRU, where there is one of this size.
fn model<T: Scalar>([b, t, h]: [usize; 3], seed: u64, v: &mut impl Visit<T>) {
    let any = |len: usize, salt: u32| numbers::<T>(len, seed, salt);
    let (n_in, tile) = (2, 1 + seed as usize % 3);
    let (w_ih, w_hh, b_ih, b_hh) = (any(3 * h * n_in, 20), any(3 * h * h, 21), any(3 * h, 22), any(3 * h, 23));
    let (w_ih, w_hh, b_ih, b_hh) = (&w_ih[..], &w_hh[..], Some(&b_ih[..]), Some(&b_hh[..]));
    let (cell, mut buffer) = (Cell::gru(), GraphBuffer::default());
    let Ok(graph) = cell.graph(RecurrentWeights { n_in, hidden: h, w_ih, w_hh, b_ih, b_hh }, t, &mut buffer) else {
        return;
    };
    let (inputs, initial) = (any(b * t * n_in, 24), any(b * h, 25));
    let mut arena = vec![T::nan(); Linearization::arena_len(&graph, b)];
    let mut scratch = vec![T::nan(); Linearization::scratch_len(&graph, b, tile, &Portable)];
    let lin =
        Linearization::new(&graph, &[&inputs], Some(&initial), b, tile, &mut arena, &mut scratch, &Portable).unwrap();
    let (lin, m) = (&lin, &Portable);
    let (p, inverse) = (Propagator::new(lin, m), Constraint::new(lin, m));
    v.visit("P", &p, None);
    v.visit("P⁻¹", &inverse, None);
    v.visit("P P⁻¹", &p.compose::<T, _>(inverse).unwrap(), Some(matrix(lin.shape(), lin.shape(), |x, y| one(x == y))));
    let (j, pj) = (ParameterJacobian::immediate(lin, m), ParameterJacobian::total(lin, m));
    v.visit("J", &j, None);
    let n = [lin.shape().len(), graph.parameters(), lin.shape().len()];
    let direct = wide(&dense(&pj));
    v.visit("P J", &pj, Some(times(&wide(&dense(&p)), &wide(&dense(&j)), [n[0], n[0], n[1]])));
    v.visit("G", &KroneckerCore::new(lin, m).unwrap(), None);
    let gram = |j: &[f64]| times(j, &transposed(j, n[0], n[1]), n);
    let alone = |a: Vec<f64>| {
        matrix(lin.shape(), lin.shape(), |x, y| one(x[0] == y[0])).iter().zip(a).map(|(x, y)| x * y).collect()
    };
    for (coupling, side) in
        [(Coupling::All, Side::Weight), (Coupling::All, Side::Gram), (Coupling::PerTrajectory, Side::Gram)]
    {
        let of = |a: Vec<f64>| if coupling == Coupling::All { a } else { alone(a) };
        let k = ParameterOperator::with(lin, m, coupling, side);
        v.visit(&format!("K {coupling:?} {side:?}"), &k, Some(of(gram(&wide(&dense(&j))))));
        v.visit(&format!("NTK {coupling:?} {side:?}"), &Ntk::with(lin, m, coupling, side), Some(of(gram(&direct))));
    }
}
