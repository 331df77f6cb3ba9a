//! Products that are there already.

use super::Tall;
use crate::comm::Comm;
use crate::engine::Real;
use kpflow_core::Shape;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use xxhash_rust::xxh3::Xxh3;

/// The products of one operator that the analyses of a job have computed so far, found by the vectors they were made of.
///
/// Estimators ask for what they need as if they were alone: the same probes and the same bases then cost nothing the second time, a tighter
/// tolerance continues from what is there, and no number depends on which analyses ran before. The first products are kept, up to the
/// capacity: those are the ones that others begin with.
pub struct Memo<T> {
    columns: RefCell<HashMap<(u64, u64), Vec<T>>>,
    capacity: usize,
    computed: Cell<usize>,
}

impl<T: Real> Memo<T> {
    /// Makes a memo of at most `capacity` vectors, the same number on every rank.
    pub fn new(capacity: usize) -> Self {
        Self { columns: RefCell::default(), capacity, computed: Cell::new(0) }
    }

    /// Products that were not here when they were asked for.
    pub fn computed(&self) -> usize {
        self.computed.get()
    }

    /// A x, `compute`d only for those columns that are not here. Collective: one sum of two numbers a column.
    pub(super) fn complete(
        &self,
        x: &Tall<T>,
        codomain: Shape,
        comm: Comm,
        compute: impl FnOnce(&Tall<T>) -> Tall<T>,
    ) -> Tall<T> {
        let keys = keys(x, comm);
        let mut columns = self.columns.borrow_mut();
        let missing: Vec<usize> = (0..x.vectors).filter(|&v| !columns.contains_key(&keys[v])).collect();
        self.computed.set(self.computed.get() + missing.len());
        if missing.len() == x.vectors {
            let y = compute(x);
            missing.iter().for_each(|&v| self.keep(&mut columns, keys[v], &y, v));
            return y;
        }
        let mut y = Tall::zeros(codomain, x.vectors);
        if !missing.is_empty() {
            let computed = compute(&select(x, &missing));
            for (i, &v) in missing.iter().enumerate() {
                (0..y.shape.trajectories).for_each(|b| y.part_mut(b, v).copy_from_slice(computed.part(b, i)));
                self.keep(&mut columns, keys[v], &computed, i);
            }
        }
        let n = codomain.per_trajectory();
        for v in (0..x.vectors).filter(|v| !missing.contains(v)) {
            let column = &columns[&keys[v]];
            (0..y.shape.trajectories).for_each(|b| y.part_mut(b, v).copy_from_slice(&column[b * n..][..n]));
        }
        y
    }

    fn keep(&self, columns: &mut HashMap<(u64, u64), Vec<T>>, key: (u64, u64), y: &Tall<T>, v: usize) {
        if columns.len() < self.capacity {
            columns.insert(key, (0..y.shape.trajectories).flat_map(|b| y.part(b, v)).copied().collect());
        }
    }
}

/// The columns of these numbers.
fn select<T: Real>(x: &Tall<T>, which: &[usize]) -> Tall<T> {
    let mut out = Tall::zeros(x.shape, which.len());
    for (i, &v) in which.iter().enumerate() {
        (0..x.shape.trajectories).for_each(|b| out.part_mut(b, i).copy_from_slice(x.part(b, v)));
    }
    out
}

/// What the columns are known by, the same on every rank: the sum of the hashes of all ranks' parts. 128 bits never agree by chance.
fn keys<T: Real>(x: &Tall<T>, comm: Comm) -> Vec<(u64, u64)> {
    let hash = |v: usize| {
        let mut hash = Xxh3::with_seed(comm.rank() as u64);
        for b in 0..x.shape.trajectories {
            let part = x.part(b, v);
            // SAFETY: numbers have no padding, and any byte is a u8.
            let bytes = unsafe { std::slice::from_raw_parts(part.as_ptr().cast::<u8>(), std::mem::size_of_val(part)) };
            hash.update(bytes);
        }
        let both = hash.digest128();
        [both as u64, (both >> 64) as u64]
    };
    let mut hashes: Vec<u64> = (0..x.vectors).flat_map(hash).collect();
    // Sums of unsigned numbers wrap.
    comm.sum(&mut hashes);
    hashes.chunks(2).map(|h| (h[0], h[1])).collect()
}
