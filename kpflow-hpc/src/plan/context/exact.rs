//! The exact matrix of an analysis's operator, without numbers.

use super::{Planned, Rank};
use crate::analysis::matrix;
use crate::closed::ExactMatrix;
use crate::engine::Real;
use kpflow_core::model::Linearization;

impl<T: Real> Planned<'_, T> {
    /// Takes the rows of a matrix into account as they are made.
    fn make_rows(&self, here: &ExactMatrix<'_, T>, other: &ExactMatrix<'_, T>) {
        let (rank, mut books) = (self.rank, self.books.borrow_mut());
        let (own, all) = (rank.lin.shape().trajectories as f64, rank.sizes.trajectories.max(1) as f64);
        self.account.pass(here.bytes_with(other, rank.grid[0], rank.machine.lanes));
        books.work(here.flops_with(other) * own / all / rank.grid[1] as f64);
        let same = std::ptr::eq(here, other);
        for sent in other.bytes_sent() {
            // Both sides are agreed on, and how large their numbers are.
            for _ in 0..if same { 1 } else { 2 } {
                books.agree();
                books.sum_all(2 * rank.grid[0] * rank.grid[1]);
            }
            sent.into_iter().for_each(|bytes| books.gather(bytes));
        }
        books.exchange_rows(own as usize * here.rows_of_a_trajectory(), other.columns());
    }

    /// Takes the rows into account as they are made.
    pub(super) fn matrix_rows(&self) {
        let Rank { lin, sizes, .. } = self.rank;
        let numbers = self.analysis.part.numbers(lin.shape());
        let exact = matrix::made_of(&self.asked, lin, &numbers, sizes.trajectories);
        self.make_rows(&exact, &exact);
    }

    /// Takes the rows of A(x, y) into account, y the other inputs; returns how many columns there are.
    pub(super) fn matrix_rows_with_others(&self) -> usize {
        let Rank { lin, sizes, grid, model, .. } = self.rank;
        let numbers = self.analysis.part.numbers(lin.shape());
        let (total, own) = (self.rank.others.unwrap_or(0), lin.shape().trajectories.max(1));
        let local = total.div_ceil(grid[0]);
        // The same model once more, on as many trajectories as there are.
        let _model = self.account.hold(model.div_ceil(own) * local.max(own));
        let other = Linearization::outline(lin.graph(), local, lin.tile());
        let here = matrix::made_of(&self.asked, lin, &numbers, sizes.trajectories);
        self.make_rows(&here, &matrix::made_of(&self.asked, &other, &numbers, total));
        total * numbers.len()
    }
}
