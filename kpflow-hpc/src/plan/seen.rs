//! What a plan knows of an operator: what its products take, and what matrices of it are left.

use super::books::{Books, Product};
use crate::analysis::{Boxed, Side as Exact};
use crate::blas::symmetric_len;
use crate::comm::UNDER_WAY;
use crate::engine::Real;
use crate::products::product_len;
use kpflow_estimate::{symmetric_eigen_len, Costs, DenseSpectrum, Rounds, Work};
use std::cell::RefCell;
use std::rc::Rc;

/// One view of the operator: what is known of it, and where its work is written down.
pub(super) struct Seen<'a, T> {
    pub operator: Boxed<'a, T>,
    pub product: Product,
    pub groups: usize,
    pub journal: bool,
    /// Bytes that a sum over ranks holds beside, for so many vectors.
    pub sums: usize,
    pub books: &'a RefCell<Books>,
}

impl<T: Real> Costs for Seen<'_, T> {
    fn spend(&self, work: Work) {
        self.books.borrow_mut().spend(&self.product, work);
    }

    fn product_bytes(&self, vectors: usize, of: usize) -> usize {
        let share = vectors.div_ceil(self.groups);
        let [read, written] = [self.operator.domain(), self.operator.codomain()].map(|shape| shape.len());
        // A block that is all there is, and all a group's, is read and written where it stands.
        let copies = if vectors == of && self.groups == 1 { 0 } else { share * (read + written) };
        let exchanged = if self.groups > 1 { 2 * share * written } else { 0 };
        let kept = if self.journal && vectors < of { vectors * written } else { 0 };
        let scratch = product_len(&*self.operator, share);
        let sums = (self.sums * share).min(2 * UNDER_WAY / std::mem::size_of::<T>());
        (scratch + copies + exchanged + kept + sums) * std::mem::size_of::<T>()
    }

    fn eigen_len(&self, n: usize, vectors: bool) -> usize {
        symmetric_len(n, vectors).unwrap_or_else(|| symmetric_eigen_len(n, vectors))
    }

    fn may_stop(&self) {
        self.books.borrow_mut().may_stop();
    }

    fn skip(&self, matvecs: usize, most: usize, held: usize) -> Rounds {
        self.books.borrow_mut().skip(matvecs, most, held)
    }
}

/// An exact matrix that is left, of sizes and no numbers.
pub(super) struct Left {
    /// What its operator is known by, and the side.
    pub of: (String, Exact),
    pub matrix: Rc<DenseSpectrum>,
    /// Bytes.
    pub bytes: usize,
}
