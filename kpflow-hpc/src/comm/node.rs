//! Memory that the processes of a node share.

use super::{world, Comm, Number};
use std::ops::Range;
use std::sync::Arc;

impl Comm {
    /// The processes that share this one's memory, of all there are (`MPI_Comm_split_type`, MPI-4.1 § 7.4.2). Collective over all processes.
    pub fn node() -> Self {
        let (id, rank, size) = world::node();
        Self { id, rank, size }
    }

    /// Memory for so many numbers, once for these processes, which have to be of one node (`MPI_Win_allocate_shared`, MPI-4.1 § 12.2.3). All zeros. Freed
    /// when the last part of it is dropped, which is collective too.
    pub fn window<T: Number>(&self, len: usize) -> Window<T> {
        let (memory, base) = world::window(self.id, len * std::mem::size_of::<T>());
        Window { memory, base: base.cast(), len, taken: 0, writes: self.is_root() }
    }
}

/// Shared memory that is being filled.
pub struct Window<T> {
    memory: world::Memory,
    base: *mut T,
    len: usize,
    taken: usize,
    writes: bool,
}

impl<T: Number> Window<T> {
    /// Puts the first process's numbers behind those that are there; the others' count for their length alone.
    pub fn push(&mut self, numbers: &[T]) -> Range<usize> {
        let range = self.taken..self.taken + numbers.len();
        assert!(range.end <= self.len, "the window is as long as all that is put there");
        if self.writes {
            // SAFETY: the memory has `len` numbers; the first process alone writes, and nobody reads before `close`.
            unsafe { std::ptr::copy_nonoverlapping(numbers.as_ptr(), self.base.add(range.start), numbers.len()) };
        }
        self.taken = range.end;
        range
    }

    /// Ends the writing: from here on all processes may read.
    pub fn close(self) -> Arc<Closed<T>> {
        self.memory.fence();
        Arc::new(Closed { _memory: self.memory, base: self.base, len: self.len })
    }
}

/// Shared memory that nobody writes any more.
#[derive(Debug)]
pub struct Closed<T> {
    _memory: world::Memory,
    base: *const T,
    len: usize,
}

// SAFETY: it is only read, and freed by the thread that talks to others: networks, which hold it, live there.
unsafe impl<T: Send> Send for Closed<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Closed<T> {}

impl<T> AsRef<[T]> for Closed<T> {
    fn as_ref(&self) -> &[T] {
        // SAFETY: the memory has `len` numbers, lives as long as `self`, and nobody writes there.
        unsafe { std::slice::from_raw_parts(self.base, self.len) }
    }
}
