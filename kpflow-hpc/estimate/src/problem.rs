//! The space where there are numbers: an operator, its share of the vectors, and what they are computed with.

use crate::error::fits;
use crate::product::{Applied, Product, Sums};
use crate::space::{Extent, Space, TESTS};
use crate::workers::Workers;
use crate::{Result, Tall};
use kpflow_core::machine::Portable;
use kpflow_core::operator::Properties;
use kpflow_core::probe::{Distribution, Probe};
use kpflow_core::{BlockMut, LinearOperator, Scalar, Shape};
use std::cell::Cell;
use std::ops::Range;

/// An operator on vectors that are spread over processes by trajectory.
pub struct Problem<'a, T, M = Portable> {
    pub(crate) product: Box<dyn Product<T> + 'a>,
    /// Kernels and threads.
    pub machine: &'a M,
    pub(crate) sums: Box<dyn Sums + 'a>,
    /// The number of this process's first trajectory.
    pub first: usize,
    /// Trajectories of all processes.
    pub trajectories: usize,
    /// The key of the probes.
    pub seed: u64,
    /// Vectors carried through at once; the same on any number of processes.
    pub block: usize,
    /// Called with (products, value, standard error) as the estimate goes on.
    pub(crate) progress: &'a dyn Fn(usize, f64, f64),
    /// Where a sketch is looked at; empty: where it has grown by half.
    pub(crate) looks: &'a [usize],
    /// Whether every process holds all of what the operator writes.
    pub(crate) replicated: bool,
    /// Products are those of 2^-exponent A.
    pub(crate) exponent: i32,
    /// The steps of every trajectory of all processes, where they differ: what is behind an end is no part of the space.
    pub(crate) lengths: Option<&'a [usize]>,
    /// What the operator is, where it is said in the place of the product.
    pub(crate) told: Option<Properties>,
    pub(crate) matvecs: Cell<usize>,
}

impl<'a, T: Scalar> Problem<'a, T> {
    /// A problem of one process and one thread.
    pub fn alone(product: impl Product<T> + 'a, seed: u64) -> Self {
        let trajectories = product.domain().trajectories;
        Self::of(Box::new(product), &Portable, (0, trajectories), seed, 16, &|_, _, _| ())
    }
}

impl<'a, T: Scalar, M: Workers<T>> Problem<'a, T, M> {
    /// Makes a problem of an operator of the core; no product is spent yet.
    pub fn new(
        operator: &'a dyn LinearOperator<T>,
        machine: &'a M,
        share: (usize, usize),
        seed: u64,
        block: usize,
        progress: &'a dyn Fn(usize, f64, f64),
    ) -> Self {
        Self::of(Box::new(Applied::new(operator)), machine, share, seed, block, progress)
    }

    /// Makes a problem of a block product, of which this process has the trajectories from the first of these numbers on, of as many as the second says.
    pub fn of(
        product: Box<dyn Product<T> + 'a>,
        machine: &'a M,
        (first, trajectories): (usize, usize),
        seed: u64,
        block: usize,
        progress: &'a dyn Fn(usize, f64, f64),
    ) -> Self {
        Self {
            product,
            machine,
            sums: Box::new(()),
            first,
            trajectories,
            seed,
            block: block.max(1),
            progress,
            looks: &[],
            replicated: false,
            exponent: 0,
            lengths: None,
            told: None,
            matvecs: Cell::new(0),
        }
    }

    /// Adds up over processes.
    pub fn with_sums(self, sums: impl Sums + 'a) -> Self {
        Self { sums: Box::new(sums), ..self }
    }

    /// At how many products a sketch is looked at on its way to the budget, rather than where it has grown by half.
    pub fn with_looks(self, looks: &'a [usize]) -> Self {
        Self { looks, ..self }
    }

    /// Says that every process holds all of what the operator writes.
    pub fn with_replicated_image(self, replicated: bool) -> Self {
        Self { replicated, ..self }
    }

    /// Makes it a problem of 2^-k A: what leaves the range when it is squared is brought near 1.
    pub fn with_exponent(self, k: i32) -> Self {
        Self { exponent: k, ..self }
    }

    /// Says how many steps of each trajectory of all processes there are, where they differ. Behind an end the operator has rows and columns of zeros, and vectors
    /// have zeros; no estimate counts those numbers.
    pub fn with_lengths(self, lengths: Option<&'a [usize]>) -> Self {
        Self { lengths, ..self }
    }

    /// Says what the operator is: symmetric, positive semidefinite, block diagonal, of a rank of at most so much over all processes. What is not claimed is
    /// denied: an estimator that needs it refuses.
    ///
    /// ```
    /// # use kpflow_estimate::*;
    /// // uuᵀ.
    /// let u = |i: usize| (i as f64).sin();
    /// let a = Function::new(200, |x: &[f64], y: &mut [f64]| {
    ///     let c: f64 = x.iter().enumerate().map(|(i, x)| u(i) * x).sum();
    ///     y.iter_mut().enumerate().for_each(|(i, y)| *y = u(i) * c);
    /// });
    /// let said = Properties { symmetric: true, positive_semidefinite: true, block_diagonal: true, rank_bound: 1 };
    /// let problem = Problem::alone(&a, 0).with_properties(said);
    /// assert_eq!((problem.rank(), problem.len()), (1, 200));
    /// // 199 of 200 eigenvalues are 0: that costs no product.
    /// let (found, _) = density(&problem, &Budget { rtol: 0.0, max_matvecs: 40 }, 101)?;
    /// assert!((found.zero_mass - 0.995).abs() < 1e-12);
    /// let skew = Problem::alone(&a, 0).with_properties(Properties::UNKNOWN);
    /// assert!(entropy_rank(&skew, &Budget { rtol: 0.1, max_matvecs: 40 }).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn with_properties(self, properties: Properties) -> Self {
        Self { told: Some(properties), ..self }
    }

    /// How much of what is held of a trajectory is part of the space.
    pub fn extent(&self) -> Extent<'a> {
        Extent { lengths: self.lengths, shape: self.shape() }
    }

    /// The probes `first_vector ..` of a stream.
    pub(crate) fn probes(
        &self,
        distribution: Distribution,
        stream: u32,
        first_vector: usize,
        vectors: usize,
    ) -> Tall<T> {
        let mut x = Tall::zeros(self.shape(), vectors);
        let probe = Probe { seed: self.seed, stream, distribution };
        let (shape, first, n) = (self.shape(), self.first, self.shape().per_trajectory());
        // Every number is a function of where it is: whoever makes it makes the same.
        let (one, extent) = (Shape::new(1, shape.steps, shape.units), self.extent());
        self.machine.for_each(shape.trajectories * vectors, &mut x.data, n, &mut [], 0, |i, part, _: &mut [T]| {
            let (b, v) = (i / vectors, i % vectors);
            fits(BlockMut::new(one, 1, &mut *part).and_then(|block| probe.fill(first + b, first_vector + v, block)));
            part[extent.of(first + b)..].fill(T::zero());
        });
        x
    }

    /// Numbers that all processes have alike.
    pub(crate) fn recall(&self, length: usize, make: impl FnOnce() -> Vec<f64>) -> Result<Vec<f64>> {
        let mut make = Some(make);
        self.sums.recall(length, &mut || make.take().map_or_else(Vec::new, |make| make()))
    }

    pub(crate) fn sums(&self) -> &dyn Sums {
        &*self.sums
    }

    pub(crate) fn local_dots(&self, x: &Tall<T>, y: &Tall<T>) -> Vec<f64> {
        let m = x.vectors;
        let mut sums = vec![0.0; m];
        let parts = self.dots_by_trajectory(x, y);
        parts.chunks(m.max(1)).for_each(|part| sums.iter_mut().zip(part).for_each(|(s, p)| *s += p));
        sums
    }

    pub(crate) fn each_part(&self, x: &mut Tall<T>, f: impl Fn(usize, &mut [T]) + Sync) {
        let (n, m) = (x.shape.per_trajectory(), x.vectors);
        self.machine.for_each(x.shape.trajectories * m, &mut x.data, n, &mut [], 0, |i, part, _: &mut [T]| f(i, part));
    }
}

impl<T: Scalar, M: Workers<T>> Problem<'_, T, M> {
    /// Which of the places of a whole vector are this process's.
    pub(crate) fn own(&self, places: &[usize]) -> Range<usize> {
        let per = self.shape().per_trajectory();
        let at = |b: usize| places.partition_point(|p| *p < b * per);
        at(self.first)..at(self.first + self.shape().trajectories)
    }

    /// The probes of signs.
    pub(crate) fn sign_probe(&self) -> Probe {
        Probe { seed: self.seed, stream: TESTS.stream, distribution: TESTS.distribution }
    }
}
