//! What a ledger keeps: the work that is spent, and the bytes that are held.

use crate::small::eigen_len;
use crate::space::Block;
use kpflow_core::operator::Properties;
use kpflow_core::probe::Distribution;
use kpflow_core::Shape;
use std::cell::Cell;

/// One piece of work of this process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// So many vectors are given to the operator, in blocks that follow.
    Begin {
        /// Vectors.
        vectors: usize,
    },
    /// A block of them goes through it.
    Product {
        /// Vectors.
        vectors: usize,
    },
    /// Random numbers are drawn.
    Draw {
        /// How many.
        numbers: usize,
        /// Of which kind.
        distribution: Distribution,
    },
    /// Numbers in double precision are summed over processes.
    Sum {
        /// How many.
        numbers: usize,
    },
    /// Numbers in double precision of every process are given to all.
    Gather {
        /// How many of this process.
        own: usize,
    },
    /// Products of blocks of vectors with small matrices, or with each other.
    Tall {
        /// Flops.
        flops: f64,
    },
    /// Small problems, in double precision.
    Small {
        /// Flops.
        flops: f64,
    },
    /// Small problems, one a trajectory, in all lanes.
    Looks {
        /// Flops of all of them.
        flops: f64,
    },
    /// Numbers of two blocks are gone through once, in all lanes.
    Pass {
        /// Numbers of one.
        numbers: usize,
    },
    /// The same in one lane.
    Loop {
        /// Numbers of one.
        numbers: usize,
    },
    /// Numbers are written to new memory, in one lane.
    Copy {
        /// How many.
        numbers: usize,
    },
    /// The same in all lanes.
    Append {
        /// How many.
        numbers: usize,
    },
}

/// Who is told of the work, and knows what a product takes.
pub trait Costs {
    /// Takes note of some work.
    fn spend(&self, work: Work);
    /// Bytes that the products of a block, of so many vectors at a time, hold beside the vectors, from the first product to the end of the space.
    fn product_bytes(&self, vectors: usize, of: usize) -> usize;
    /// Numbers in double precision that this process's machine takes to decompose a symmetric matrix of n rows, beside it.
    fn eigen_len(&self, n: usize, vectors: bool) -> usize {
        eigen_len(n, vectors)
    }
    /// Takes note that the estimate may end here.
    fn may_stop(&self);
    /// Told at the end of a round, after so many products, with so many bytes held: what rounds like those before would add up to at most `most` products, if
    /// they need not be gone through one by one. Their work is taken note of here.
    fn skip(&self, _matvecs: usize, _most: usize, _held: usize) -> Rounds {
        Rounds::default()
    }
}

/// What rounds that are like others add.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rounds {
    /// Products.
    pub matvecs: usize,
    /// Bytes that stay.
    pub bytes: usize,
}

/// Bytes that are held, and the most so far.
#[derive(Debug, Default)]
pub struct Account {
    now: Cell<usize>,
    most: Cell<usize>,
}

impl Account {
    /// The bytes that are held now.
    pub fn now(&self) -> usize {
        self.now.get()
    }

    /// The most bytes that were held at once.
    pub fn most(&self) -> usize {
        self.most.get()
    }

    /// Takes bytes into account until what is returned is dropped.
    pub fn hold(&self, bytes: usize) -> Held<'_> {
        self.now.set(self.now.get() + bytes);
        self.most.set(self.most.get().max(self.now.get()));
        Held { account: self, bytes }
    }

    /// Bytes that are there for a moment.
    pub fn pass(&self, bytes: usize) {
        drop(self.hold(bytes));
    }
}

/// Bytes of an account.
#[derive(Debug)]
pub struct Held<'a> {
    account: &'a Account,
    pub(crate) bytes: usize,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.account.now.set(self.account.now.get() - self.bytes);
    }
}

/// The size of a block of vectors.
#[derive(Debug)]
pub struct Sizes<'a> {
    pub(crate) shape: Shape,
    pub(crate) vectors: usize,
    _held: Held<'a>,
}

impl<'a> Sizes<'a> {
    /// A block of vectors of numbers of so many bytes each, which an account holds.
    pub(crate) fn new(shape: Shape, vectors: usize, number: usize, account: &'a Account) -> Self {
        let bytes = shape.len().saturating_mul(vectors).saturating_mul(number);
        Self { shape, vectors, _held: account.hold(bytes) }
    }
}

impl Block for Sizes<'_> {
    fn vectors(&self) -> usize {
        self.vectors
    }
}

/// What a ledger is about.
#[derive(Clone, Copy, Debug)]
pub struct Outline<'a> {
    /// This process's shape of what the operator reads.
    pub domain: Shape,
    /// This process's shape of what it writes.
    pub codomain: Shape,
    /// Trajectories of all processes.
    pub trajectories: usize,
    /// Numbers of a vector of all processes.
    pub len: usize,
    /// Vectors carried through at once.
    pub block: usize,
    /// Whether every process holds all of what the operator writes.
    pub replicated: bool,
    /// Where a sketch is looked at; empty: where it has grown by half.
    pub looks: &'a [usize],
    /// Lanes of this process.
    pub lanes: usize,
    /// Processes that share the trajectories.
    pub processes: usize,
    /// Bytes of a number.
    pub number: usize,
    /// What the operator is.
    pub properties: Properties,
    /// Whether it is not what that does not claim.
    pub told_in_full: bool,
}
