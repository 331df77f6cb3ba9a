//! Products of the runner's operators: in chunks that fit memory, shared among groups of ranks, kept, and written down.

mod memo;

pub use memo::Memo;

use crate::engine::{Engine, Real};
use crate::error::{fits, Result};
use crate::journal::{Journal, Rows};
use kpflow_core::operator::Properties;
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Shape};
use kpflow_estimate::{Product, Sums, Tall};
use std::cell::RefCell;
use std::ops::Range;

/// Bytes of scratch that a product may take: more vectors than fit go through in chunks.
const MOST_SCRATCH: usize = 8 << 30;

/// How many of `vectors` go through an operator at once: all, unless what it needs for them (changes of large weights, a set for each) is beyond 8 GiB.
/// Does not depend on the machine, so that all ranks take the same chunks.
pub fn chunk<T: Real>(operator: &dyn LinearOperator<T>, vectors: usize) -> usize {
    let fits = |m: &usize| operator.scratch_len(*m).saturating_mul(std::mem::size_of::<T>()) <= MOST_SCRATCH;
    std::iter::successors(Some(vectors), |&m| (m > 1).then(|| m.div_ceil(2))).find(fits).unwrap_or(1)
}

/// Numbers of scratch that a group's share of a block needs.
pub fn product_len<T: Real>(operator: &dyn LinearOperator<T>, share: usize) -> usize {
    operator.scratch_len(chunk(operator, share.max(1)))
}

/// The block product of an operator on this rank's trajectories. Collective.
pub struct Products<'a, T> {
    operator: &'a dyn LinearOperator<T>,
    engine: &'a Engine,
    memo: Option<&'a Memo<T>>,
    /// Which rows of what the operator reads and of what it writes this rank holds.
    rows: [Rows; 2],
    scratch: RefCell<Vec<T>>,
}

impl<'a, T: Real> Products<'a, T> {
    /// Makes products of an operator; what the memo has is not computed again.
    pub fn new(
        operator: &'a dyn LinearOperator<T>,
        engine: &'a Engine,
        memo: Option<&'a Memo<T>>,
        rows: [Rows; 2],
    ) -> Self {
        Self { operator, engine, memo, rows, scratch: RefCell::default() }
    }

    /// The products of some columns of x, written to those of y from `to` on: every group makes its share of them, and is given the others'.
    fn compute(&self, x: &Tall<T>, from: Range<usize>, y: &mut Tall<T>, to: usize) {
        let grid = self.engine.grid();
        let mut scratch = self.scratch.borrow_mut();
        let mine = grid.share(from.len());
        let step = chunk(self.operator, mine.len().max(1));
        for first in mine.clone().step_by(step) {
            let m = step.min(mine.end - first);
            let (read, write) = (from.start + first, to + first);
            // A block of its own is read, or written, where it stands.
            let x_len = if m == x.vectors { 0 } else { m * x.shape.len() };
            let y_len = if m == y.vectors { 0 } else { m * y.shape.len() };
            let needed = x_len + y_len + self.operator.scratch_len(m);
            if scratch.len() < needed {
                // What was in it is of no use: memory that grows in place is there twice for a moment.
                *scratch = Vec::new();
                *scratch = vec![T::zero(); needed];
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
}

impl<T: Real> Product<T> for Products<'_, T> {
    fn domain(&self) -> Shape {
        self.operator.domain()
    }
    fn codomain(&self) -> Shape {
        self.operator.codomain()
    }
    fn apply(&self, x: &Tall<T>, columns: Range<usize>, y: &mut Tall<T>) -> kpflow_estimate::Result<()> {
        match self.memo {
            Some(memo) => {
                let compute = |x: &Tall<T>, from, y: &mut Tall<T>, to| self.compute(x, from, y, to);
                memo.complete((x, y), columns, self.rows, self.engine.grid(), compute)?;
            }
            None => self.compute(x, columns.clone(), y, columns.start),
        }
        Ok(())
    }
    /// Of the operators of a model: over all ranks.
    fn properties(&self) -> Properties {
        self.operator.properties()
    }
    fn is_told_in_full(&self) -> bool {
        true
    }
}

/// Sums over ranks; in a replay, as they were.
pub struct OverRanks<'a> {
    engine: &'a Engine,
    journal: Option<&'a Journal>,
}

impl<'a> OverRanks<'a> {
    /// Sums that are written down, if there is where.
    pub fn new(engine: &'a Engine, journal: Option<&'a Journal>) -> Self {
        Self { engine, journal }
    }
}

impl Sums for OverRanks<'_> {
    fn sum(&self, numbers: &mut [f64]) {
        self.engine.grid().sum(numbers);
    }
    fn place(&self) -> (usize, usize) {
        (self.engine.grid().rank(), self.engine.grid().size())
    }
    fn gather(&self, own: &[f64], _: usize, all: &mut [f64]) {
        self.engine.grid().gather(own, all);
    }
    fn recall(&self, length: usize, make: &mut dyn FnMut() -> Vec<f64>) -> kpflow_estimate::Result<Vec<f64>> {
        match self.journal {
            Some(journal) => {
                let sums: Result<Vec<f64>> = journal.sums(length, make).map_err(Into::into);
                Ok(sums?)
            }
            None => Ok(make()),
        }
    }
}

#[cfg(test)]
mod tests_journal;
