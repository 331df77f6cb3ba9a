//! The algebra of operators: every piece keeps the contract and equals its definition on matrices.

mod common;

use common::{assert_algebra, assert_contract, dense, distance, norm, random};
use kpflow_core::machine::Portable;
use kpflow_core::operator::{
    check, Adjoint, Compose, Dense, Gram, Identity, Restriction, Scaled, Select, Sum, TrajectorySum,
};
use kpflow_core::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Shapes with different numbers of trajectories, so that the order of a block's axes matters on both sides.
const P: Shape = Shape::new(3, 2, 2);
const Q: Shape = Shape::new(2, 3, 3);
const R: Shape = Shape::new(1, 1, 5);

fn matrix<T: Scalar>(rows: Shape, cols: Shape, stream: u32) -> Vec<T> {
    random(Shape::new(1, rows.len(), cols.len()), 1, stream)
}

/// X Y, row-major, r × k times k × c.
fn times<T: Scalar>(x: &[T], y: &[T], k: usize) -> Vec<T> {
    let c = y.len() / k;
    (0..x.len() / k * c).map(|i| (0..k).map(|p| x[i / c * k + p] * y[p * c + i % c]).sum()).collect()
}

fn transpose<T: Scalar>(x: &[T], cols: usize) -> Vec<T> {
    let rows = x.len() / cols;
    (0..x.len()).map(|i| x[i % rows * cols + i / rows]).collect()
}

fn assert_is<T: Scalar>(name: &str, op: &dyn LinearOperator<T>, matrix: &[T], tolerance: f64) {
    assert_contract(name, op, tolerance);
    let off = distance(&dense(op), matrix);
    assert!(off <= tolerance * norm(matrix), "{name}: differs from the matrix by {off:e}");
}

fn algebra<T: Scalar>(tolerance: f64) {
    let (m, n, s) = (matrix::<T>(Q, P, 1), matrix::<T>(R, Q, 2), matrix::<T>(Q, P, 3));
    let (a, b, c) = (Dense::new(&m, P, Q).unwrap(), Dense::new(&n, Q, R).unwrap(), Dense::new(&s, P, Q).unwrap());
    let eye = |n: usize| (0..n * n).map(|i| if i / n == i % n { T::one() } else { T::zero() }).collect::<Vec<T>>();
    let plus: Vec<T> = m.iter().zip(&s).map(|(x, y)| *x + *y).collect();
    let half: Vec<T> = m.iter().map(|x| T::of(-0.5) * *x).collect();

    assert_is("Dense", &a, &m, tolerance);
    assert_is("Identity", &Identity(P), &eye(P.len()), tolerance);
    assert_is("Adjoint", &Adjoint(a), &transpose(&m, P.len()), tolerance);
    assert_is("Scaled", &Scaled::new(T::of(-0.5), a), &half, tolerance);
    assert_is("Sum", &Sum::new(a, c).unwrap(), &plus, tolerance);
    assert_is("Compose", &Compose::new(b, a).unwrap(), &times(&n, &m, Q.len()), tolerance);
    assert_is("Gram", &Gram(a), &times(&m, &transpose(&m, P.len()), P.len()), tolerance);

    // Steps 1 and 2 of three, units 2 and 0 of three; the block of B Bᵀ that belongs to them is R B (R B)ᵀ.
    let part = Restriction::new(Q, [Select::All, (1..3).into(), Select::List(&[2, 0])]).unwrap();
    let row = |i: usize| i / 4 * 9 + (1 + i / 2 % 2) * 3 + [2, 0][i % 2];
    let selection: Vec<T> = (0..8 * 18).map(|i| if row(i / 18) == i % 18 { T::one() } else { T::zero() }).collect();
    assert_is("Restriction", &part, &selection, tolerance);
    let block = times(&selection, &m, Q.len());
    assert_is("R A", &Compose::new(part, a).unwrap(), &block, tolerance);
    let sum: Vec<T> = (0..4 * 12).map(|i| if i / 12 == i % 12 % 4 { T::one() } else { T::zero() }).collect();
    assert_is("TrajectorySum", &TrajectorySum::new(P, true, &Portable), &sum, tolerance);

    // An expression of all of them, one operand through a reference and one through a trait object.
    let object: &dyn LinearOperator<T> = &c;
    let inner = Compose::new(b, Sum::new(&a, Scaled::new(T::of(2.0), object)).unwrap()).unwrap();
    let whole = Sum::new(Gram(inner), Scaled::new(T::of(3.0), Identity(R))).unwrap();
    let sum: Vec<T> = m.iter().zip(&s).map(|(x, y)| *x + T::of(2.0) * *y).collect();
    let f = times(&n, &sum, Q.len());
    let mut expected = times(&f, &transpose(&f, P.len()), P.len());
    expected.iter_mut().zip(eye(R.len())).for_each(|(x, e)| *x += T::of(3.0) * e);
    assert_is("B(A + 2C)(…)ᵀ + 3I", &whole, &expected, tolerance);
}

#[test]
fn every_piece_keeps_the_contract() {
    algebra::<f64>(1e-13);
    algebra::<f32>(1e-5);
}

#[test]
fn scratch_is_what_lives_together() {
    let m = matrix::<f64>(Q, P, 1);
    let a = Dense::new(&m, P, Q).unwrap();
    let gram = Gram(a);
    assert_eq!(LinearOperator::<f64>::scratch_len(&Identity(P), 4), 0);
    assert_eq!(gram.scratch_len(4), 4 * P.len());
    // The block between, and the larger of the two factors' own needs.
    assert_eq!(Compose::new(gram, a).unwrap().scratch_len(2), 2 * Q.len() + 2 * P.len());
    assert_eq!(Sum::new(gram, Identity(Q)).unwrap().scratch_len(1), Q.len() + P.len());
}

#[test]
fn factors_that_do_not_fit_are_refused() {
    let m = matrix::<f64>(Q, P, 1);
    let a = Dense::new(&m, P, Q).unwrap();
    assert_eq!(Compose::new::<f64>(a, a).unwrap_err(), Error::Space { expected: P, found: Q });
    assert_eq!(Sum::new::<f64>(a, Adjoint(a)).unwrap_err(), Error::Space { expected: P, found: Q });
    assert_eq!(Dense::new(&m, P, R).unwrap_err(), Error::Length { expected: 12 * 5, found: 12 * 18 });
    for (window, units, error) in [
        (0..4, &[0usize][..], Error::Range { limit: 4, found: 4 }),
        (0..1, &[3], Error::Range { limit: 3, found: 3 }),
        (0..1, &[1, 1], Error::Repeated { first: 0, again: 1 }),
    ] {
        assert_eq!(Restriction::new(Q, [Select::All, window.into(), units.into()]).unwrap_err(), error);
    }
}

/// A wrong operator of each kind: the contract must see it.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Adjoint,
    Constant,
    Elementwise,
    Accumulates,
    ReadsScratch,
    VectorsMixed,
}

struct Faulty(Fault);

impl LinearOperator<f64> for Faulty {
    fn domain(&self) -> Shape {
        P
    }
    fn codomain(&self) -> Shape {
        P
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        vectors
    }
    fn apply(&self, x: BlockRef<'_, f64>, mut y: BlockMut<'_, f64>, scratch: &mut [f64]) -> Result<(), Error> {
        check(P, P, x.vectors(), &x, &y, scratch)?;
        let (m, n) = (x.vectors(), P.per_trajectory());
        for i in 0..x.data().len() {
            let v = i / n % m;
            let value = match self.0 {
                Fault::Constant => x.data()[i] + 1.0,
                Fault::Elementwise => x.data()[i] * x.data()[i],
                Fault::Accumulates => x.data()[i] + 0.0 * y.data()[i],
                Fault::ReadsScratch => x.data()[i] + 0.0 * scratch[v],
                Fault::VectorsMixed => x.data()[i] * (1.0 + v as f64),
                // One step earlier, both there and back.
                Fault::Adjoint => {
                    if i % n < 2 {
                        0.0
                    } else {
                        x.data()[i - 2]
                    }
                }
            };
            y.data()[i] = value;
        }
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, f64>, y: BlockMut<'_, f64>, scratch: &mut [f64]) -> Result<(), Error> {
        self.apply(x, y, scratch)
    }
}

#[test]
fn the_contract_sees_every_fault() {
    for fault in [
        Fault::Adjoint,
        Fault::Constant,
        Fault::Elementwise,
        Fault::Accumulates,
        Fault::ReadsScratch,
        Fault::VectorsMixed,
    ] {
        let run = catch_unwind(AssertUnwindSafe(|| assert_algebra("faulty", &Faulty(fault), 1e-12)));
        assert!(run.is_err(), "{fault:?} is not seen");
    }
}

struct Allocating;

impl LinearOperator<f64> for Allocating {
    fn domain(&self) -> Shape {
        P
    }
    fn codomain(&self) -> Shape {
        P
    }
    fn scratch_len(&self, _vectors: usize) -> usize {
        0
    }
    fn apply(&self, x: BlockRef<'_, f64>, mut y: BlockMut<'_, f64>, scratch: &mut [f64]) -> Result<(), Error> {
        check(P, P, 0, &x, &y, scratch)?;
        let copy = std::hint::black_box(Box::<[f64]>::from(x.data()));
        y.data().copy_from_slice(&copy);
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, f64>, y: BlockMut<'_, f64>, scratch: &mut [f64]) -> Result<(), Error> {
        self.apply(x, y, scratch)
    }
}

#[test]
fn allocations_are_seen() {
    assert_algebra("allocating", &Allocating, 1e-12);
    assert!(catch_unwind(|| common::assert_no_allocation("allocating", &Allocating)).is_err());
}
