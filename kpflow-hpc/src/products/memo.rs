//! Products that are there already.

use crate::comm::Grid;
use crate::engine::Real;
use crate::error::Result;
use crate::journal::{bytes, bytes_mut, Journal, Key, Rows};
use kpflow_core::Shape;
use kpflow_estimate::Tall;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use xxhash_rust::xxh3::{xxh3_128_with_seed, xxh3_64};

/// The products of one operator that the analyses of a job have computed so far, found by the vectors they were made of.
///
/// Estimators ask for what they need as if they were alone: the same probes and the same bases then cost nothing the second time, a tighter
/// tolerance continues from what is there, and no number depends on which analyses ran before. The first products are kept, up to the
/// capacity: those are the ones that others begin with.
///
/// With a journal the products are written down too, and those of earlier runs are here.
pub struct Memo<T> {
    columns: RefCell<HashMap<Key, Vec<T>>>,
    capacity: usize,
    computed: Cell<usize>,
    journal: Option<Rc<Journal>>,
    /// What tells the products of one operator from another's.
    identity: u64,
}

impl<T: Real> Memo<T> {
    /// Makes a memo of at most `capacity` vectors, the same number on every rank.
    pub fn new(capacity: usize) -> Self {
        Self { columns: RefCell::default(), capacity, computed: Cell::new(0), journal: None, identity: 0 }
    }

    /// Makes a memo of the operator that is known by this name in a journal.
    pub fn journaled(capacity: usize, journal: &Rc<Journal>, name: &str) -> Self {
        Self { journal: Some(journal.clone()), identity: xxh3_64(name.as_bytes()), ..Self::new(capacity) }
    }

    /// Products that were not here when they were asked for.
    pub fn computed(&self) -> usize {
        self.computed.get()
    }

    /// Where they are written down.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_deref()
    }

    /// Writes A x of some columns, the same ones of y, `compute`d only for those that are not here. Collective: one sum of two numbers a column and four more.
    ///
    /// `compute(x, from, y, to)` writes the products of the columns `from` of x to those of y from `to` on.
    pub(super) fn complete(
        &self,
        (x, y): (&Tall<T>, &mut Tall<T>),
        range: Range<usize>,
        [domain, codomain]: [Rows; 2],
        grid: Grid,
        compute: impl FnOnce(&Tall<T>, Range<usize>, &mut Tall<T>, usize),
    ) -> Result<()> {
        let (first, shape) = (range.start, y.shape);
        let keys = self.keys(x, range.clone(), domain, grid)?;
        let mut columns = self.columns.borrow_mut();
        let before = self.before(&keys, &columns, codomain, shape, grid);
        let missing: Vec<usize> =
            (0..keys.len()).filter(|&v| !columns.contains_key(&keys[v]) && !before.contains_key(&keys[v])).collect();
        self.computed.set(self.computed.get() + missing.len());
        let n = shape.per_trajectory();
        if !missing.is_empty() {
            let at: Vec<usize> = missing.iter().map(|v| first + v).collect();
            if missing.len() == keys.len() {
                compute(x, range, y, first);
            } else {
                let mut computed = Tall::zeros(shape, missing.len());
                compute(&select(x, &at), 0..missing.len(), &mut computed, 0);
                for (i, &v) in at.iter().enumerate() {
                    (0..shape.trajectories).for_each(|b| y.part_mut(b, v).copy_from_slice(computed.part(b, i)));
                }
            }
            let names: Vec<Key> = missing.iter().map(|&v| keys[v]).collect();
            self.write(&names, y, &at, codomain);
            names.iter().zip(&at).for_each(|(&key, &v)| self.keep(&mut columns, key, || column(y, v)));
        }
        for v in (0..keys.len()).filter(|v| !missing.contains(v)) {
            let column = before.get(&keys[v]).unwrap_or_else(|| &columns[&keys[v]]);
            (0..shape.trajectories).for_each(|b| y.part_mut(b, first + v).copy_from_slice(&column[b * n..][..n]));
        }
        before.into_iter().for_each(|(key, column)| self.keep(&mut columns, key, || column));
        Ok(())
    }

    /// What the columns are known by, the same on any number of ranks: the sum of the hashes of all trajectories' parts.
    fn keys(&self, x: &Tall<T>, range: Range<usize>, rows: Rows, grid: Grid) -> Result<Vec<Key>> {
        let mut sums = vec![0u64; 2 * range.len()];
        for (v, key) in sums.chunks_exact_mut(2).enumerate() {
            for b in (0..x.shape.trajectories).filter(|_| rows.own) {
                let both =
                    xxh3_128_with_seed(bytes(x.part(b, range.start + v)), self.identity ^ (rows.first + b) as u64);
                key[0] = key[0].wrapping_add(both as u64);
                key[1] = key[1].wrapping_add((both >> 64) as u64);
            }
        }
        sums.extend(self.journal().map_or([0; 4], Journal::news));
        // Sums of unsigned numbers wrap. All groups have news.
        grid.world().sum(&mut sums);
        let news = sums.split_off(2 * range.len());
        let keys: Vec<Key> = sums.chunks_exact(2).map(|h| (h[0], h[1])).collect();
        if let Some(journal) = self.journal() {
            journal.hear(&news)?;
            journal.asked(&keys)?;
        }
        Ok(keys)
    }

    /// This rank's part of those columns that only an earlier run has computed.
    fn before(
        &self,
        keys: &[Key],
        columns: &HashMap<Key, Vec<T>>,
        rows: Rows,
        shape: Shape,
        grid: Grid,
    ) -> HashMap<Key, Vec<T>> {
        let mut found = HashMap::new();
        let Some(journal) = self.journal() else { return found };
        let mut failed = [0u64];
        for key in keys.iter().filter(|k| !columns.contains_key(k) && journal.has(k)) {
            let mut column = vec![T::zero(); shape.len()];
            let row = std::mem::size_of::<T>() * shape.per_trajectory();
            failed[0] += u64::from(journal.rows(key, rows, row, bytes_mut(&mut column)).is_err());
            found.insert(*key, column);
        }
        if !found.is_empty() {
            grid.world().sum(&mut failed);
        }
        // What one rank cannot read all compute.
        if failed[0] > 0 {
            HashMap::new()
        } else {
            found
        }
    }

    /// Writes down what is not written down yet of products that stand at these columns of y.
    fn write(&self, keys: &[Key], y: &Tall<T>, at: &[usize], rows: Rows) {
        let Some(journal) = self.journal() else { return };
        let new = journal.unwritten(keys);
        if new.is_empty() {
            return;
        }
        let row = std::mem::size_of::<T>() * y.shape.per_trajectory();
        if new.len() == y.vectors {
            return journal.keep(keys, rows, row, bytes(&y.data));
        }
        let (names, at): (Vec<Key>, Vec<usize>) = new.iter().map(|&v| (keys[v], at[v])).unzip();
        journal.keep(&names, rows, row, bytes(&select(y, &at).data));
    }

    fn keep(&self, columns: &mut HashMap<Key, Vec<T>>, key: Key, column: impl FnOnce() -> Vec<T>) {
        if columns.len() < self.capacity {
            columns.entry(key).or_insert_with(column);
        }
    }
}

/// One column's numbers, trajectory after trajectory.
fn column<T: Real>(y: &Tall<T>, v: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(y.shape.len());
    (0..y.shape.trajectories).for_each(|b| out.extend_from_slice(y.part(b, v)));
    out
}

/// The columns of these numbers.
fn select<T: Real>(x: &Tall<T>, which: &[usize]) -> Tall<T> {
    let mut out = Tall::zeros(x.shape, which.len());
    for (i, &v) in which.iter().enumerate() {
        (0..x.shape.trajectories).for_each(|b| out.part_mut(b, i).copy_from_slice(x.part(b, v)));
    }
    out
}
