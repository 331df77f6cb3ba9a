//! A slice of which a piece is written while the rest is read.

use core::ops::Range;

/// What is left of a slice when a piece of it is borrowed to be written.
pub(super) struct Rest<'a, T> {
    pub(super) left: &'a [T],
    pub(super) right: &'a [T],
    pub(super) end: usize,
}

impl<'a, T> Rest<'a, T> {
    /// The numbers from `start` to the end of the side that it lies on; none where only a variable without numbers can begin.
    #[inline]
    pub(super) fn from(&self, start: usize) -> &'a [T] {
        if start < self.left.len() {
            &self.left[start..]
        } else {
            self.right.get(start.saturating_sub(self.end)..).unwrap_or(&[])
        }
    }
}

/// Borrows a piece of `data` to be written and the rest to be read, at once.
#[inline]
pub(super) fn split<T>(data: &mut [T], piece: Range<usize>) -> (Rest<'_, T>, &mut [T]) {
    let (left, rest) = data.split_at_mut(piece.start);
    let (out, right) = rest.split_at_mut(piece.len());
    (Rest { left, right, end: piece.end }, out)
}
