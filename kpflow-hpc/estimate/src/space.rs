//! The verbs that estimators are written in, and what they are given.
//!
//! An estimator knows nothing of numbers, threads or processes. It draws blocks of vectors, applies an operator to them, takes inner products, and decides by what
//! small problems say. [`Space`] has these verbs, and two implementations: a [`Problem`](crate::Problem) has numbers, a [`Ledger`](crate::Ledger) has sizes
//! alone and keeps account. What an estimate will need is thereby told by the estimator itself.

use crate::small::{eigen_len, Decompose};
use crate::split::Split;
use crate::whitener::Whitener;
use crate::{Error, Result};
use faer::Mat;
use kpflow_core::machine::{Kernel, Tasks};
use kpflow_core::operator::Properties;
use kpflow_core::probe::Distribution;
use kpflow_core::Shape;
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
    pub(crate) lengths: Option<&'a [usize]>,
    pub(crate) shape: Shape,
}

impl Extent<'_> {
    /// Those of trajectory `b` of all processes.
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

/// What stands for the solution of a small problem where there are no numbers.
pub trait Blank {
    /// It.
    fn blank() -> Self;
}

impl Blank for () {
    fn blank() -> Self {}
}
impl Blank for bool {
    fn blank() -> Self {
        false
    }
}
impl Blank for f64 {
    fn blank() -> Self {
        0.0
    }
}
impl<A> Blank for Option<A> {
    fn blank() -> Self {
        None
    }
}
impl<A> Blank for Vec<A> {
    fn blank() -> Self {
        Vec::new()
    }
}
impl Blank for Mat<f64> {
    fn blank() -> Self {
        Mat::new()
    }
}
impl<A: Blank, B: Blank> Blank for (A, B) {
    fn blank() -> Self {
        (A::blank(), B::blank())
    }
}
impl<A: Blank, B: Blank, C: Blank> Blank for (A, B, C) {
    fn blank() -> Self {
        (A::blank(), B::blank(), C::blank())
    }
}

/// What a small problem, whose numbers every process has, takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Small {
    /// Flops, in double precision.
    pub flops: f64,
    /// Numbers in double precision that it holds at its worst moment.
    pub numbers: usize,
}

impl Small {
    /// A problem of an m × m matrix: so many times m³ flops, and so many such matrices.
    pub fn of(m: usize, flops: f64, matrices: usize) -> Self {
        Self { flops: flops * (m as f64).powi(3), numbers: matrices * m * m }
    }
}

/// A block of vectors, spread over processes by trajectory.
pub trait Block {
    /// How many vectors.
    fn vectors(&self) -> usize;
}

/// An operator, the space that it acts on, and what estimators do there. Every process makes the same calls in the same order.
///
/// Where there are no numbers ([`Ledger`](crate::Ledger)) inner products are zeros, Gram matrices are empty, and small problems are not solved: they give what
/// [`Blank`] says. So nothing but [`may_stop`](Space::may_stop), and what is said in sizes, decides where an estimator goes.
pub trait Space {
    /// A block of vectors.
    type Block: Block;
    /// What small problems are solved with.
    type Machine: Tasks + Kernel<f64> + Decompose;
    /// Holds an account of small numbers that stay.
    type Held;

    /// This process's shape of the vectors that the operator reads.
    fn shape(&self) -> Shape;
    /// Trajectories on all processes.
    fn trajectories(&self) -> usize;
    /// n, the numbers of a vector on all processes.
    fn len(&self) -> usize;
    /// Whether vectors have no numbers.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// What is known of the operator, over all processes.
    fn properties(&self) -> Properties;
    /// Whether the operator is not what [`properties`](Space::properties) does not claim.
    fn is_told_in_full(&self) -> bool;
    /// The most that the operator's rank can be, at most n.
    fn rank(&self) -> usize {
        self.properties().rank_within(self.len())
    }
    /// Fails where the operator says that it is not symmetric.
    fn require_symmetric(&self) -> Result<()> {
        let unfit = self.is_told_in_full() && !self.properties().symmetric;
        if unfit {
            Err(Error::Unfit("symmetric"))
        } else {
            Ok(())
        }
    }
    /// Fails where the operator says that it is not positive semidefinite.
    fn require_semidefinite(&self) -> Result<()> {
        let unfit = self.is_told_in_full() && !self.properties().positive_semidefinite;
        if unfit {
            Err(Error::Unfit("positive semidefinite"))
        } else {
            Ok(())
        }
    }
    /// Vectors carried through at once.
    fn block(&self) -> usize;
    /// Products spent so far, as if no other estimate had been made before.
    fn matvecs(&self) -> usize;
    /// The products at which a sketch of at most so many is looked at.
    fn looks(&self, most: usize) -> Vec<usize>;
    /// Tells how far it is.
    fn tell(&self, value: f64, standard_error: f64);
    /// Whether to stop where numbers say that it is time. Without numbers it is noted, and the estimate goes on to the end of its budget; of rounds that are like
    /// each other, from one of these calls to the next, the last are then skipped: [`matvecs`](Self::matvecs) is what it would be after them.
    fn may_stop(&self, budget: &Budget, time: bool) -> bool;
    /// Does what numbers may turn out to call for, of which they say later whether they do: where there are none, for the memory that it takes.
    fn perhaps<R>(&self, run: impl FnOnce() -> Result<R>) -> Result<()>;
    /// A size that only numbers tell, at most `most`: where there are none it is that. With numbers it is not asked for.
    fn unknown(&self, most: usize) -> usize;
    /// ε of the products' precision.
    fn epsilon(&self) -> f64;
    /// How many of `wanted` vectors the next block has, within the budget.
    fn next_block(&self, budget: &Budget, wanted: usize) -> usize {
        self.block().min(wanted).min(budget.max_matvecs.saturating_sub(self.matvecs()))
    }

    /// Vectors of zeros.
    fn zeros(&self, vectors: usize) -> Self::Block;
    /// The probes `first ..` of a family.
    fn draw(&self, family: Family, first: usize, vectors: usize) -> Self::Block;
    /// A x, in blocks.
    fn apply(&self, x: &Self::Block) -> Result<Self::Block>;
    /// ⟨x_v, y_v⟩ of every column, over all processes.
    fn dots(&self, x: &Self::Block, y: &Self::Block) -> Result<Vec<f64>>;
    /// Xᵀ Y over all processes, row-major `[x.vectors, y.vectors]`, summed in double precision.
    fn gram(&self, x: &Self::Block, y: &Self::Block) -> Result<Vec<f64>>;
    /// [`dots`](Space::dots) of what the operator writes, which every process may hold whole: then nothing is summed.
    fn image_dots(&self, x: &Self::Block, y: &Self::Block) -> Result<Vec<f64>>;
    /// [`gram`](Space::gram) of what the operator writes.
    fn image_gram(&self, x: &Self::Block, y: &Self::Block) -> Result<Vec<f64>>;
    /// The columns `from ..` of an Xᵀ Y of which is known that it is symmetric.
    fn symmetric_gram(&self, x: &Self::Block, y: &Self::Block, from: usize) -> Result<Vec<f64>>;
    /// [`symmetric_gram`](Space::symmetric_gram) with every product in double precision.
    fn symmetric_gram_of_doubles(&self, x: &Self::Block, y: &Self::Block) -> Result<Vec<f64>>;
    /// F YᵀY Fᵀ for Y + νΩ in the place of Y, by way of the tall Y Fᵀ: what is below the square root of rounding is not lost. `whitener` has F; `None` where
    /// there are no numbers.
    fn gram_whitened(
        &self,
        y: &Self::Block,
        shifted: (f64, &Self::Block),
        whitener: Option<&Whitener>,
    ) -> Result<Mat<f64>>;
    /// R with RᵀR = XᵀX, to the accuracy of a QR.
    fn triangle(&self, x: &Self::Block) -> Result<Mat<f64>>;
    /// The sum over all processes of numbers that each has made of its own trajectories.
    fn sum(&self, numbers: &mut [f64]);

    /// The columns in `range`.
    fn columns(&self, x: &Self::Block, range: Range<usize>) -> Self::Block;
    /// A copy.
    fn copy(&self, x: &Self::Block) -> Self::Block {
        self.columns(x, 0..x.vectors())
    }
    /// Adds `more`'s columns after x's.
    fn append(&self, x: &mut Self::Block, more: Self::Block);
    /// X C, where C is row-major `[x.vectors, columns]`.
    fn product(&self, x: &Self::Block, c: &[f64], columns: usize) -> Self::Block;
    /// Adds α X C to y, where C is row-major `[x.vectors, y.vectors]`.
    fn add_product(&self, y: &mut Self::Block, alpha: f64, x: &Self::Block, c: &[f64]);
    /// x ← f_v x_v of every column; one factor is for all.
    fn scale(&self, x: &mut Self::Block, factors: &[f64]);
    /// y_v −= c_v x_v of every column.
    fn subtract(&self, y: &mut Self::Block, c: &[f64], x: &Self::Block);
    /// Σ_v (x_iv y_iv)^power of every number i: one vector.
    fn reduce(&self, x: &Self::Block, y: &Self::Block, power: i32) -> Self::Block;
    /// Number by number a function of those of several blocks of as many vectors; 0 behind the ends of trajectories.
    fn map(&self, blocks: &[&Self::Block], f: impl Fn(&[f64]) -> f64 + Sync) -> Self::Block;
    /// y + shift·x.
    fn shifted(&self, y: &Self::Block, shift: f64, x: &Self::Block) -> Self::Block;

    /// ⟨x_v, y_v⟩ of every column in every trajectory of this process, `[trajectory][vector]`. Not summed.
    fn dots_by_trajectory(&self, x: &Self::Block, y: &Self::Block) -> Vec<f64>;
    /// The sum over all trajectories of what `f` makes of two blocks' columns in each, in double precision: `small` says what one takes beside them.
    fn by_trajectory<const K: usize>(
        &self,
        x: &Self::Block,
        y: &Self::Block,
        small: Small,
        f: impl Fn(&Self::Machine, Mat<f64>, Mat<f64>) -> [f64; K] + Sync,
    ) -> [f64; K];
    /// The probes `first ..` of a family on those numbers of every trajectory whose part is `part`; zeros elsewhere.
    fn draw_part(&self, family: Family, vectors: Range<usize>, part_of: &[usize], part: usize) -> Self::Block;
    /// ‖y_v‖² on each of `parts` parts and ⟨x_v, y_v⟩ behind them, `[vector][parts + 1]`, over all processes.
    fn energies(&self, x: &Self::Block, y: &Self::Block, part_of: &[usize], parts: usize) -> Vec<f64>;
    /// Unit vectors at these places of a whole vector.
    fn units(&self, places: &[usize]) -> Self::Block;
    /// The matrix whose column v, of those `from ..`, is what the block has at the places of the space; `rows` is this process's part, `[own, n]`.
    fn keep_rows(&self, rows: &mut Vec<f64>, from: usize, y: &Self::Block);
    /// All rows of all processes.
    fn gather_rows(&self, rows: Vec<f64>) -> Vec<f64>;
    /// The numbers of every process's part of a block, `[place][vector]`; `held`: every process has all of them
    /// already.
    fn numbers(&self, x: &Self::Block, held: bool) -> Vec<f64>;
    /// Where in a whole vector the numbers of the space are.
    fn places(&self) -> Vec<usize>;
    /// A block that has these columns of a matrix at the places of the space, `[vector][place]`.
    fn at_places(&self, columns: &[f64], places: &[usize], vectors: usize) -> Self::Block;
    /// Σ_rest x[k, rest] y[k', rest] of every pair of columns, x the probes `first ..` of signs, over all processes: `[vector][k][k']`.
    fn contract(&self, split: &Split, first: usize, x: &Self::Block, y: &Self::Block) -> Vec<f64>;
    /// Σ over columns and over what is traced out of x[k, rest] y[k', rest], over all processes: `[k][k']`.
    fn contract_pairs(&self, split: &Split, x: &Self::Block, y: &Self::Block) -> Vec<f64>;
    /// In every trajectory by itself, an orthonormal basis of what y's columns have outside of the orthonormal columns of q, of which some may be 0; columns that have
    /// nothing there become 0. Not summed.
    fn orthonormal_parts(&self, q: &Self::Block, y: Self::Block) -> Self::Block;
    /// y −= Z Qᵀ X in every trajectory by itself. Not summed.
    fn subtract_parts(&self, y: &mut Self::Block, z: &Self::Block, q: &Self::Block, x: &Self::Block);
    /// The signs of probe `first` along what is traced out.
    fn signs(&self, split: &Split, first: usize) -> Vec<f64>;
    /// e_k ⊗ signs for some kept indices k.
    fn structured(&self, split: &Split, signs: &[f64], kept: Range<usize>) -> Self::Block;
    /// `Σ_rest signs[rest] y[k, rest]` of every column, `[vector][k]`, of this process's trajectories.
    fn contract_columns(&self, split: &Split, signs: &[f64], y: &Self::Block) -> Vec<f64>;

    /// Solves a small problem, whose numbers every process has. Without numbers it gives a blank.
    fn small<R: Blank>(&self, small: Small, solve: impl FnOnce(&Self::Machine) -> Result<R>) -> Result<R>;
    /// Numbers in double precision that a decomposition takes beside a symmetric matrix of n rows, where they are told.
    fn eigen_len(&self, n: usize, vectors: bool) -> usize {
        eigen_len(n, vectors)
    }
    /// Takes so many numbers in double precision into account as long as what is returned lives.
    fn hold(&self, numbers: usize) -> Self::Held;
}
