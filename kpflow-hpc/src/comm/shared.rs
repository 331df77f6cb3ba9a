//! Sums and broadcasts through memory that all processes of a communicator share, where they are on one node: a copy or two instead of MPI's messages.

use super::{shard, world, Comm, Number};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Bytes of a process's slot, in each of two turns. Small enough for the second cache, and for the little shared memory that containers have.
const SLOT: usize = 1 << 19;

/// A window of two turns of slots, one a process, which are used in turns: who comes to the end of a turn has read all of the one before.
pub struct Shared {
    memory: world::Memory,
    base: *mut u8,
    comm: Comm,
    turn: Cell<usize>,
}

thread_local! {
    /// What each communicator has, once it was needed.
    static ALL: RefCell<Vec<(usize, Option<Rc<Shared>>)>> = const { RefCell::new(Vec::new()) };
}

/// Gives all of this memory back. Collective, before MPI is finalised.
pub fn clear() {
    ALL.with_borrow_mut(Vec::clear);
}

impl Comm {
    /// The shared memory of these processes, if they are on one node and it has room. Collective when it is first asked for.
    pub(super) fn shared(&self) -> Option<Rc<Shared>> {
        if self.size == 1 {
            return None;
        }
        if let Some(found) = ALL.with_borrow(|all| all.iter().find(|(id, _)| *id == self.id).map(|(_, s)| s.clone())) {
            return found;
        }
        let made = self.make();
        ALL.with_borrow_mut(|all| all.push((self.id, made.clone())));
        made
    }

    fn make(&self) -> Option<Rc<Shared>> {
        if !world::on_one_node(self.id) {
            return None;
        }
        let bytes = 2 * self.size * SLOT;
        // Memory that is not there cannot be had later: as all do what the root finds, none is left behind.
        let mut room = [u8::from(self.is_root() && left() / 8 >= bytes as u64)];
        world::broadcast(self.id, &mut room, 0);
        (room == [1]).then(|| {
            let (memory, base) = world::window(self.id, bytes);
            Rc::new(Shared { memory, base, comm: *self, turn: Cell::new(0) })
        })
    }
}

/// Bytes that are left where MPI makes shared memory.
pub fn left() -> u64 {
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: statvfs(3) takes a path that ends with 0, and writes to `found`, of which zeros are a value too.
    let found = unsafe {
        libc::statvfs(c"/dev/shm".as_ptr(), found.as_mut_ptr());
        found.assume_init()
    };
    found.f_bavail * found.f_frsize
}

impl Shared {
    /// Where the slot of a process begins, in this turn.
    fn slot<T>(&self, rank: usize) -> *mut T {
        // SAFETY: the window has two turns of slots.
        unsafe { self.base.add((self.turn.get() * self.comm.size + rank) * SLOT).cast() }
    }
    fn next_turn(&self) {
        self.turn.set(1 - self.turn.get());
    }

    /// Replaces `values` by their sum over the processes, added in the order of ranks: the same bits everywhere. Collective.
    ///
    /// Each writes its numbers, sums a part of everyone's, and reads the others' parts.
    pub fn sum<T: Number>(&self, values: &mut [T]) {
        let (rank, size) = (self.comm.rank, self.comm.size);
        for chunk in values.chunks_mut(SLOT / std::mem::size_of::<T>()) {
            let part = |r: usize| shard(chunk.len(), size, r);
            let (len, own) = (chunk.len(), part(rank));
            // SAFETY: a chunk fits a slot. Before the fence every process writes its own slot, which nobody reads; the next turn has other slots, and
            // those of this one are written again only when all have passed that one's fence.
            unsafe { std::ptr::copy_nonoverlapping(chunk.as_ptr(), self.slot(rank), len) };
            self.memory.fence();
            // SAFETY: between the fences a process reads its part of all slots, and writes it in its own; no other touches that part of any.
            unsafe {
                let sums = std::slice::from_raw_parts_mut(self.slot::<T>(rank).add(own.start), own.len());
                let of = |r: usize| std::slice::from_raw_parts(self.slot::<T>(r).add(own.start), own.len());
                let result = &mut chunk[own.clone()];
                if rank > 0 {
                    result.copy_from_slice(of(0));
                }
                for r in 1..size {
                    if r == rank {
                        result.iter_mut().zip(&*sums).for_each(|(a, b)| *a += *b);
                    } else {
                        result.iter_mut().zip(of(r)).for_each(|(a, b)| *a += *b);
                    }
                }
                sums.copy_from_slice(result);
            }
            self.memory.fence();
            for r in (0..size).filter(|&r| r != rank) {
                let part = shard(len, size, r);
                // SAFETY: after the second fence nobody writes the slots of this turn.
                let sums = unsafe { std::slice::from_raw_parts(self.slot::<T>(r).add(part.start), part.len()) };
                chunk[part].copy_from_slice(sums);
            }
            self.next_turn();
        }
    }

    /// Gives everyone the root's `len` numbers at the beginning of every `width` of `values`, or says that it cannot. Collective.
    pub fn broadcast_rows<T: Number>(&self, values: &mut [T], len: usize, width: usize, root: usize) -> bool {
        let fit = self.comm.size * SLOT / std::mem::size_of::<T>() / len.max(1);
        if fit == 0 {
            return false;
        }
        for rows in values.chunks_mut(width * fit) {
            for (i, row) in rows.chunks_mut(width).enumerate().filter(|_| self.comm.rank == root) {
                // SAFETY: that many rows fit the slots of a turn, which lie one behind the other. The root alone writes them, before the fence.
                unsafe { std::ptr::copy_nonoverlapping(row.as_ptr(), self.slot::<T>(0).add(i * len), len) };
            }
            self.memory.fence();
            for (i, row) in rows.chunks_mut(width).enumerate().filter(|_| self.comm.rank != root) {
                // SAFETY: as above; after the fence nobody writes the slots of this turn.
                let sent = unsafe { std::slice::from_raw_parts(self.slot::<T>(0).add(i * len), len) };
                row[..len].copy_from_slice(sent);
            }
            self.next_turn();
        }
        true
    }
}
