//! An operator of two processes, without a second process.

use crate::common::random;
use kpflow_core::machine::{Gemm, Kernel, Portable, Reduce, Tasks};
use kpflow_core::model::{Graph, Linearization};
use kpflow_core::ntk::{Costs, Coupling, Ntk, ParameterJacobian, Propagator, Side};
use kpflow_core::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};

/// Two processes that hold the same trajectories, of three lanes each, of which this is one. Its products want weights transposed.
struct Twins;

impl<T: Scalar> Kernel<T> for Twins {
    fn gemm(&self, alpha: T, gemm: Gemm<'_, T>, beta: T) {
        Portable.gemm(alpha, gemm, beta);
    }
    fn prefers_plain(&self, _inner: usize, _cols: usize) -> bool {
        true
    }
}

impl<T: Scalar> Reduce<T> for Twins {
    fn sum(&self, values: &mut [T]) {
        values.iter_mut().for_each(|x| *x = *x + *x);
    }
    /// A piece is summed as late as can be.
    fn sum_pieces<L, F, G>(&self, values: &mut [T], pieces: usize, length: L, mut make: F, mut take: G)
    where
        L: Fn(usize) -> usize,
        F: FnMut(usize, &mut [T]),
        G: FnMut(usize, &[T]),
    {
        let start = |i: usize| (0..i).map(&length).sum::<usize>();
        assert_eq!(start(pieces), values.len());
        (0..pieces).for_each(|i| make(i, &mut values[start(i)..start(i + 1)]));
        for i in 0..pieces {
            let piece = &mut values[start(i)..start(i + 1)];
            Reduce::sum(self, piece);
            take(i, piece);
        }
    }
    fn gather(&self, local: &[T], all: &mut [T]) -> Result<(), Error> {
        let (one, other) = all.split_at_mut(local.len());
        one.copy_from_slice(local);
        other.copy_from_slice(local);
        Ok(())
    }
    fn sum_count(&self, count: usize) -> usize {
        2 * count
    }
}

impl Tasks for Twins {
    fn lanes(&self) -> usize {
        3
    }
    fn for_each<T: Scalar, F>(&self, count: usize, a: &mut [T], a_len: usize, b: &mut [T], b_len: usize, task: F)
    where
        F: Fn(usize, &mut [T], &mut [T]) + Sync,
    {
        Portable.for_each(count, a, a_len, b, b_len, task);
    }
}

/// y = A x from buffers of NaN.
fn applied<T: Scalar>(op: &dyn LinearOperator<T>, m: usize, x: &[T]) -> Vec<T> {
    let (mut y, mut scratch) = (vec![T::nan(); m * op.codomain().len()], vec![T::nan(); op.scratch_len(m)]);
    let input = BlockRef::new(op.domain(), m, x).unwrap();
    op.apply(input, BlockMut::new(op.codomain(), m, &mut y).unwrap(), &mut scratch).unwrap();
    y
}

/// The sides there are: both, and if the graph allows it a choice that takes one at some parts of θ and the other at the rest.
pub fn sides<T: Scalar>(graph: &Graph<'_, T>) -> impl Iterator<Item = Side> {
    // Any costs are allowed: few trajectories on many processes make either side dear.
    let at = |i| Side::Cheaper(Costs { trajectories: 1, processes: 100, number: 2f64.powi(i), message: 0.0 });
    let grams = Side::Gram.parts(graph).0;
    let mixed = (-20..40).map(at).find(|side| (1..grams).contains(&side.parts(graph).0));
    [Side::Weight, Side::Gram].into_iter().chain(mixed)
}

/// Trajectories that are there twice move the weights twice as far: A of two processes is twice A of one. What does not go through θ is the same. However few
/// vectors are carried through at once.
pub fn twice_of_two<T: Scalar>(name: &str, lin: &Linearization<'_, T>, tolerance: f64) {
    for m in [1, 3, 24] {
        let x = random::<T>(lin.shape(), m, 9);
        let theta = random::<T>(Shape::new(1, 1, lin.graph().parameters()), m, 9);
        let agree = |what: &str, times: f64, x: &[T], one: &dyn LinearOperator<T>, two: &dyn LinearOperator<T>| {
            let (one, two) = (applied(one, m, x), applied(two, m, x));
            let scale = one.iter().fold(0.0, |a: f64, x| a.max(x.f64().abs()));
            for (a, b) in one.iter().zip(&two) {
                assert!((times * a.f64() - b.f64()).abs() <= tolerance * scale, "{name} {what} {m}: {a} {b}");
            }
        };
        for at_once in [2, 5, usize::MAX] {
            let few = &lin.with_at_once(at_once);
            for side in sides(lin.graph()) {
                for (coupling, times) in [(Coupling::All, 2.0), (Coupling::PerTrajectory, 1.0)] {
                    let one = Ntk::with(lin, &Portable, coupling, side);
                    agree("NTK", times, &x, &one, &Ntk::with(few, &Twins, coupling, side));
                }
            }
            agree("P", 1.0, &x, &Propagator::new(lin, &Portable), &Propagator::new(few, &Twins));
            let one = ParameterJacobian::total(lin, &Portable);
            agree("P J", 1.0, &theta, &one, &ParameterJacobian::total(few, &Twins));
        }
    }
}
