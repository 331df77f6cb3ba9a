//! What the algebra of operators refuses, and that the contract sees every fault.

mod common;

use common::{assert_algebra, random};
use kpflow_core::operator::{check, Adjoint, Compose, Dense, Gram, Identity, Restriction, Select, Sum};
use kpflow_core::operator::{contract, Expression, LowRank, Projection, Properties, Zero};
use kpflow_core::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Shapes with different numbers of trajectories, so that the order of a block's axes matters on both sides.
const P: Shape = Shape::new(3, 2, 2);
const Q: Shape = Shape::new(2, 3, 3);
const R: Shape = Shape::new(1, 1, 5);

fn matrix<T: Scalar>(rows: Shape, cols: Shape, stream: u32) -> Vec<T> {
    random(Shape::new(1, rows.len(), cols.len()), 1, stream)
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
    for (steps, units, error) in [
        (Select::from(0..4), &[0usize][..], Error::Range { limit: 4, found: 4 }),
        (Select::All, &[3], Error::Range { limit: 3, found: 3 }),
        (Select::from(0..1), &[1, 1], Error::Repeated { first: 0, again: 1 }),
    ] {
        assert_eq!(Restriction::new(Q, [Select::All, steps, Select::List(units)]).unwrap_err(), error);
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

/// An operator that says what it is not.
struct Boasting<A>(A, Properties);

impl<A: LinearOperator<f64>> LinearOperator<f64> for Boasting<A> {
    fn domain(&self) -> Shape {
        self.0.domain()
    }
    fn codomain(&self) -> Shape {
        self.0.codomain()
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        self.0.scratch_len(vectors)
    }
    fn apply(&self, x: BlockRef<'_, f64>, y: BlockMut<'_, f64>, scratch: &mut [f64]) -> Result<(), Error> {
        self.0.apply(x, y, scratch)
    }
    fn apply_adjoint(&self, x: BlockRef<'_, f64>, y: BlockMut<'_, f64>, scratch: &mut [f64]) -> Result<(), Error> {
        self.0.apply_adjoint(x, y, scratch)
    }
    fn properties(&self) -> Properties {
        self.1
    }
}

#[test]
fn the_contract_sees_every_claim_that_does_not_hold() {
    let (m, k) = (matrix::<f64>(P, P, 1), matrix::<f64>(Q, P, 2));
    let (square, other) = (Dense::new(&m, P, P).unwrap(), Dense::new(&k, P, Q).unwrap());
    let symmetric = square.symmetric_part().unwrap();
    let nothing = Properties::UNKNOWN;
    let asymmetric = Properties { symmetric: true, ..nothing };
    let indefinite = Properties { positive_semidefinite: true, ..asymmetric };
    let coupled = Properties { block_diagonal: true, ..nothing };
    let full = Properties { rank_bound: P.len() - 1, ..nothing };
    let refused = |op: &dyn LinearOperator<f64>, said: Properties| {
        assert_algebra("as it is", &op, 1e-12);
        let run = catch_unwind(AssertUnwindSafe(|| assert_algebra("boasting", &Boasting(op, said), 1e-12)));
        assert!(run.is_err(), "{said:?} is not seen");
    };
    refused(&square, asymmetric);
    refused(&symmetric, indefinite);
    refused(&square, coupled);
    refused(&square, full);
    // Between different spaces.
    refused(&other, asymmetric);
    refused(&other, coupled);
    refused(&other, full);
}

/// That claims hold is the contract's; here, that they are made.
#[test]
fn the_algebra_carries_what_operators_are() {
    let (m, k) = (matrix::<f64>(P, P, 1), matrix::<f64>(Q, P, 2));
    let (square, other) = (Dense::new(&m, P, P).unwrap(), Dense::new(&k, P, Q).unwrap());
    let of = |op: &dyn LinearOperator<f64>| op.properties();
    let unknown = |rank_bound| Properties { rank_bound, ..Properties::UNKNOWN };
    let gram = |rank_bound| Properties { symmetric: true, positive_semidefinite: true, ..unknown(rank_bound) };
    let symmetric = |rank_bound| Properties { symmetric: true, ..unknown(rank_bound) };
    let diagonal = Properties { block_diagonal: true, ..gram(usize::MAX) };
    assert_eq!((of(&square), of(&other)), (unknown(12), unknown(12)));
    assert_eq!((of(&other.gram()), of(&other.adjoint().normal())), (gram(12), gram(12)));
    assert_eq!(of(&square.compose(square).unwrap()), unknown(12));
    // A part of a Gram operator is one; of what is not symmetric it is not.
    let part = Restriction::new(P, [Select::All, (0..1).into(), Select::All]).unwrap();
    assert_eq!(of(&square.gram().within::<f64, _>(part).unwrap()), gram(12));
    assert_eq!(of(&square.within::<f64, _>(part).unwrap()), unknown(12));
    assert_eq!(of(&Identity(P).within::<f64, _>(part).unwrap()), diagonal);
    // Signs.
    let (normal, eye) = (square.normal(), Identity(P));
    assert_eq!(of(&normal.plus::<f64, _>(eye.scaled(2.0)).unwrap()), gram(usize::MAX));
    assert_eq!(of(&normal.scaled(-2.0)), symmetric(12));
    assert_eq!(of(&normal.scaled(0.0)), gram(0));
    assert_eq!(of(&normal.minus(normal).unwrap()), symmetric(24));
    assert_eq!(of(&normal.minus(normal).unwrap()).rank_within(P.len()), 12);
    assert_eq!(of(&square.symmetric_part().unwrap()), symmetric(24));
    assert_eq!(of(&normal.symmetric_part().unwrap()), gram(12));
    // Few vectors.
    let basis = BlockRef::new(P, 2, &m[..24]).unwrap();
    assert_eq!(of(&Projection::new(basis)), gram(2));
    assert_eq!(of(&LowRank::new(basis, &[1.0, -1.0], basis).unwrap()), symmetric(2));
    assert_eq!(of(&LowRank::new(basis, &[1.0, 0.0], BlockRef::new(P, 2, &m[24..48]).unwrap()).unwrap()), unknown(2));
    assert_eq!(of(&normal.deflated(&[1.0, 2.0], basis).unwrap()), symmetric(14));
    assert_eq!(of(&Zero { domain: P, codomain: Q }), unknown(0));
    assert_eq!(of(&(&eye).named("I")), diagonal);
    let mut work = vec![0.0; contract::claims_len::<f64>(&eye)];
    let two: Vec<f64> = (0..144).map(|e| if e / 12 == e % 12 { 2.0 } else { 0.0 }).collect();
    assert_eq!(contract::claims::<f64>(&eye, &two, &mut work), Ok(contract::Claims::default()));
    assert!(contract::claims::<f64>(&eye, &m, &mut work).unwrap().largest() > 0.1);
}
