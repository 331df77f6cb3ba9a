//! What every estimator is given: an operator, its share of the vectors, and a budget.

use super::sampling::sketch_sizes;
use super::{Memo, Tall};
use crate::comm::Grid;
use crate::engine::{Engine, Real};
use crate::error::fits;
use crate::journal::Rows;
use kpflow_core::machine::Tasks;
use kpflow_core::probe::{Distribution, Probe};
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Shape};
use std::cell::{Cell, RefCell};
use std::ops::Range;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// The relative error to reach.
    pub rtol: f64,
    /// The products that may be spent.
    pub max_matvecs: usize,
}

/// A family of probes, shared by all estimators so that they share products too.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The stream of the counter-based generator.
    pub stream: u32,
    /// The distribution of the numbers.
    pub distribution: Distribution,
}

/// The probes of sample means: signs have the smallest variance.
pub const TESTS: Family = Family { stream: 0, distribution: Distribution::Rademacher };
/// The probes of sketches and Krylov spaces: normal ones are independent whatever the size, and no direction is special.
pub const SKETCHES: Family = Family { stream: 1, distribution: Distribution::Gaussian };

/// How many numbers a trajectory's part of a vector has: the first ones of those that are held. The others, behind the trajectory's end, are zero.
#[derive(Clone, Copy, Debug)]
pub struct Extent<'a> {
    lengths: Option<&'a [usize]>,
    shape: Shape,
}

impl Extent<'_> {
    /// Those of trajectory `b` of all ranks.
    pub fn of(&self, b: usize) -> usize {
        self.lengths.map_or(self.shape.steps, |lengths| lengths[b]) * self.shape.units
    }
    /// Those of all `trajectories`.
    pub fn of_all(&self, trajectories: usize) -> usize {
        match self.lengths {
            Some(lengths) => lengths.iter().sum::<usize>() * self.shape.units,
            None => trajectories * self.shape.per_trajectory(),
        }
    }
    /// Where in a whole vector of all `trajectories`, `[B, T, N]`, they are.
    pub fn places(self, trajectories: usize) -> impl Iterator<Item = usize> {
        let per = self.shape.per_trajectory();
        let of: Vec<usize> = (0..trajectories).map(|b| self.of(b)).collect();
        of.into_iter().enumerate().flat_map(move |(b, numbers)| b * per..b * per + numbers)
    }
}

/// An operator on vectors that are spread over ranks by trajectory.
pub struct Problem<'a, T> {
    /// The operator on this rank's trajectories; its product is collective.
    pub operator: &'a dyn LinearOperator<T>,
    /// Kernels, threads and ranks.
    pub engine: &'a Engine,
    /// The number of this rank's first trajectory.
    pub first: usize,
    /// Trajectories of all ranks.
    pub trajectories: usize,
    /// The key of the probes.
    pub seed: u64,
    /// Vectors carried through at once; the same on any number of ranks.
    pub block: usize,
    /// Called with (products, value, standard error) as the estimate goes on.
    pub progress: &'a dyn Fn(usize, f64, f64),
    memo: Option<&'a Memo<T>>,
    /// Where a sketch is looked at; empty: where it has grown by half.
    looks: &'a [usize],
    /// Which rows of what the operator reads and of what it writes this rank holds.
    rows: [Rows; 2],
    /// Products are those of 2^-exponent A.
    exponent: i32,
    /// The steps of every trajectory of all ranks, where they differ: what is behind an end is no part of the space.
    lengths: Option<&'a [usize]>,
    scratch: RefCell<Vec<T>>,
    matvecs: Cell<usize>,
}

/// Bytes of scratch that a product may take: more vectors than fit go through in chunks.
const MOST_SCRATCH: usize = 8 << 30;

/// How many of `vectors` go through an operator at once: all, unless what it needs for them (changes of large weights, a set for each) is beyond 8 GiB.
/// Does not depend on the machine, so that all ranks take the same chunks.
pub fn chunk<T: Real>(operator: &dyn LinearOperator<T>, vectors: usize) -> usize {
    let fits = |m: &usize| operator.scratch_len(*m).saturating_mul(std::mem::size_of::<T>()) <= MOST_SCRATCH;
    std::iter::successors(Some(vectors), |&m| (m > 1).then(|| m.div_ceil(2))).find(fits).unwrap_or(1)
}

impl<'a, T: Real> Problem<'a, T> {
    /// Makes a problem; no product is spent yet.
    pub fn new(
        operator: &'a dyn LinearOperator<T>,
        engine: &'a Engine,
        (first, trajectories): (usize, usize),
        seed: u64,
        block: usize,
        progress: &'a dyn Fn(usize, f64, f64),
    ) -> Self {
        let scratch = RefCell::default();
        let rows = Rows { first, total: trajectories, own: engine.grid().is_first() };
        Self {
            operator,
            engine,
            first,
            trajectories,
            seed,
            block: block.max(1),
            progress,
            memo: None,
            looks: &[],
            rows: [rows, rows],
            exponent: 0,
            lengths: None,
            scratch,
            matvecs: Cell::new(0),
        }
    }

    /// Takes products from, and leaves them in, what other problems of the same operator have computed.
    pub fn with_memo(self, memo: Option<&'a Memo<T>>) -> Self {
        Self { memo, ..self }
    }

    /// At how many products a sketch is looked at on its way to the budget, rather than where it has grown by half.
    pub fn with_looks(self, looks: &'a [usize]) -> Self {
        Self { looks, ..self }
    }

    /// The products at which a sketch of at most so many is looked at.
    pub fn looks(&self, most: usize) -> Vec<usize> {
        match self.looks {
            [] => sketch_sizes(self.block, most).collect(),
            looks => looks.iter().copied().filter(|&l| l < most).chain((most > 0).then_some(most)).collect(),
        }
    }

    /// Says which rows this rank holds where what is read, or what is written, is not as the problem's own vectors.
    pub fn with_rows(self, domain: Rows, codomain: Rows) -> Self {
        Self { rows: [domain, codomain], ..self }
    }

    /// Makes it a problem of 2^-k A: what leaves the range when it is squared is brought near 1.
    /// The memo has A's own products.
    pub fn with_exponent(self, k: i32) -> Self {
        Self { exponent: k, ..self }
    }

    /// Says how many steps of each trajectory of all ranks there are, where they differ. Behind an end the operator has rows and columns of zeros, and vectors
    /// have zeros; no estimate counts those numbers.
    pub fn with_lengths(self, lengths: Option<&'a [usize]>) -> Self {
        Self { lengths, ..self }
    }

    /// The same problem with no product spent.
    pub fn afresh(&self) -> Self {
        let Self {
            operator,
            engine,
            first,
            trajectories,
            seed,
            block,
            progress,
            memo,
            looks,
            rows,
            exponent,
            lengths,
            ..
        } = *self;
        let new = Self::new(operator, engine, (first, trajectories), seed, block, progress);
        new.with_memo(memo).with_looks(looks).with_rows(rows[0], rows[1]).with_exponent(exponent).with_lengths(lengths)
    }

    /// This rank's shape of the vectors.
    pub fn shape(&self) -> Shape {
        self.operator.domain()
    }
    /// Trajectories on all ranks.
    pub fn trajectories(&self) -> usize {
        self.trajectories
    }
    /// n, the numbers of a vector on all ranks.
    pub fn len(&self) -> usize {
        self.extent().of_all(self.trajectories)
    }
    /// How much of what is held of a trajectory is part of the space.
    pub fn extent(&self) -> Extent<'a> {
        Extent { lengths: self.lengths, shape: self.shape() }
    }
    /// Whether the vectors have no numbers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The processes that share the vectors.
    pub fn grid(&self) -> Grid {
        self.engine.grid()
    }
    /// Products spent so far, as if no other estimate had been made before: what stops a run does not depend on the memo.
    pub fn matvecs(&self) -> usize {
        self.matvecs.get()
    }
    /// How many of `wanted` vectors the next block has, within the budget.
    pub fn next_block(&self, budget: &Budget, wanted: usize) -> usize {
        self.block.min(wanted).min(budget.max_matvecs.saturating_sub(self.matvecs()))
    }

    /// The probes `first_vector ..` of a stream.
    pub fn probes(&self, distribution: Distribution, stream: u32, first_vector: usize, vectors: usize) -> Tall<T> {
        let mut x = Tall::zeros(self.shape(), vectors);
        let probe = Probe { seed: self.seed, stream, distribution };
        let (shape, first, n) = (self.shape(), self.first, self.shape().per_trajectory());
        // Every number is a function of where it is: whoever makes it makes the same.
        let (one, extent) = (Shape::new(1, shape.steps, shape.units), self.extent());
        self.engine.for_each(shape.trajectories * vectors, &mut x.data, n, &mut [], 0, |i, part, _: &mut [T]| {
            let (b, v) = (i / vectors, i % vectors);
            fits(BlockMut::new(one, 1, &mut *part).and_then(|block| probe.fill(first + b, first_vector + v, block)));
            part[extent.of(first + b)..].fill(T::zero());
        });
        x
    }

    /// The probes `first ..` of a family.
    pub fn draw(&self, family: Family, first: usize, vectors: usize) -> Tall<T> {
        self.probes(family.distribution, family.stream, first, vectors)
    }

    /// A x, in blocks; what the memo has is not computed again. Collective.
    pub fn apply(&self, x: &Tall<T>) -> Tall<T> {
        self.matvecs.set(self.matvecs.get() + x.vectors);
        let codomain = self.operator.codomain();
        let mut y = Tall::zeros(codomain, x.vectors);
        // A block at a time: what is written down is not more than a block behind.
        for first in (0..x.vectors).step_by(self.block) {
            let columns = first..(first + self.block).min(x.vectors);
            let end = columns.end;
            match self.memo {
                Some(memo) => {
                    let compute = |x: &Tall<T>, from, y: &mut Tall<T>, to| self.compute(x, from, y, to);
                    memo.complete((x, &mut y), columns, self.rows, self.grid(), compute);
                }
                None => self.compute(x, columns, &mut y, first),
            }
            self.note(x.vectors - end);
        }
        self.scale(&mut y);
        y
    }

    /// Makes A's products those of 2^-k A.
    fn scale(&self, y: &mut Tall<T>) {
        let (mut left, n) = (self.exponent, y.shape.per_trajectory());
        while left != 0 {
            // A factor that the precision holds.
            let step = left.clamp(-100, 100);
            let factor = T::of(f64::from(-step).exp2());
            self.engine.for_each(y.data.len() / n.max(1), &mut y.data, n, &mut [], 0, |_, part, _: &mut [T]| {
                part.iter_mut().for_each(|x| *x *= factor);
            });
            left -= step;
        }
    }

    /// Sums over ranks, so many numbers; in a replay, as they were.
    pub(super) fn sums(&self, length: usize, make: impl FnOnce() -> Vec<f64>) -> Vec<f64> {
        match self.memo.and_then(Memo::journal) {
            Some(journal) => journal.sums(length, make),
            None => make(),
        }
    }

    /// Tells how far it is: all products that were begun but so many.
    fn note(&self, left: usize) {
        (self.progress)(self.matvecs().saturating_sub(left), f64::NAN, f64::NAN);
    }

    /// The products of some columns of x, written to those of y from `to` on: every group makes its share of them, and is given the others'.
    fn compute(&self, x: &Tall<T>, from: Range<usize>, y: &mut Tall<T>, to: usize) {
        let grid = self.grid();
        let mut scratch = self.scratch.borrow_mut();
        let mine = grid.share(from.len());
        let step = chunk(self.operator, self.block.min(mine.len()).max(1));
        for first in mine.clone().step_by(step) {
            let m = step.min(mine.end - first);
            let (read, write) = (from.start + first, to + first);
            // A block of its own is read, or written, where it stands.
            let x_len = if m == x.vectors { 0 } else { m * x.shape.len() };
            let y_len = if m == y.vectors { 0 } else { m * y.shape.len() };
            let needed = x_len + y_len + self.operator.scratch_len(m);
            if scratch.len() < needed {
                scratch.resize(needed, T::zero());
            }
            let (part, rest) = scratch.split_at_mut(x_len);
            let (out, rest) = rest.split_at_mut(y_len);
            if x_len > 0 {
                x.copy_columns(read..read + m, part, self.engine);
            }
            let input = if x_len > 0 { &*part } else { &x.data };
            let output = if y_len > 0 { &mut *out } else { &mut y.data };
            let (input, output) = (BlockRef::new(x.shape, m, input), BlockMut::new(y.shape, m, output));
            fits(self.operator.apply(fits(input), fits(output), rest));
            if y_len > 0 {
                y.set_columns_of(write, m, out, self.engine);
            }
        }
        let (vectors, numbers) = (y.vectors, y.shape.per_trajectory());
        grid.exchange(&mut y.data, to..to + from.len(), vectors, numbers);
    }

    /// ⟨x_v, y_v⟩ of every column, over all ranks.
    pub fn dots(&self, x: &Tall<T>, y: &Tall<T>) -> Vec<f64> {
        if x.vectors == 0 {
            return Vec::new();
        }
        self.sums(x.vectors, || {
            let (m, n) = (x.vectors, x.shape.per_trajectory());
            let mut parts = vec![0.0; x.shape.trajectories * m];
            self.engine.for_each(parts.len(), &mut parts, 1, &mut [], 0, |i, part, _: &mut [f64]| {
                let (x, y) = (&x.data[i * n..][..n], &y.data[i * n..][..n]);
                part[0] = x.iter().zip(y).map(|(a, b)| a.f64() * b.f64()).sum();
            });
            let mut sums = vec![0.0; m];
            parts.chunks(m).for_each(|part| sums.iter_mut().zip(part).for_each(|(s, p)| *s += p));
            self.grid().sum(&mut sums);
            sums
        })
    }

    /// Xᵀ Y over all ranks, row-major `[x.vectors, y.vectors]`, summed in double precision.
    pub fn gram<S: Real>(&self, x: &Tall<S>, y: &Tall<S>) -> Vec<f64> {
        self.sums(x.vectors * y.vectors, || {
            let mut g = x.local_gram(0..x.vectors, y, 0..y.vectors, self.engine);
            self.grid().sum(&mut g);
            g
        })
    }

    /// The columns `from ..` of an Xᵀ Y of which is known that it is symmetric.
    pub fn symmetric_gram<S: Real>(&self, x: &Tall<S>, y: &Tall<S>, from: usize) -> Vec<f64> {
        let m = y.vectors;
        self.sums(m * (m - from), || {
            let mut g = x.local_symmetric_gram(y, from, self.engine);
            self.grid().sum(&mut g);
            g
        })
    }
}
