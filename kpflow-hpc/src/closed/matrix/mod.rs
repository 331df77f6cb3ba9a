//! The exact matrix of NTK or K, or some rows and columns of it, without products.
//!
//! One sweep back for each number of a trajectory that is a row, all trajectories at once, says what cotangent δ it has at every
//! weight site. With what the sites read, u, that is the matrix:
//! `A[(b,i),(b',j)] = Σ_sites Σ_{p,p'} ⟨u_p, u_p'⟩ ⟨δⁱ_p, δʲ_p'⟩`. Of a part of θ that acts once a trajectory the entries are those
//! of two Gram matrices, multiplied. Where it acts at many positions, they are contracted first: over those of one side, or, if the
//! part is small, over all: then it is the Gram matrix of the changes of weights.

mod features;
mod gram;
mod layout;
#[cfg(test)]
mod tests;

pub use layout::MatrixSize;

use crate::comm::shard;
use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::progress;
use features::at_once;
use gram::{lane_len, mirror, tasks, Features, Product};
use kpflow_core::machine::Reduce;
use kpflow_core::model::Linearization;
use kpflow_core::ntk::Cotangents;
use kpflow_estimate::{power_of, times_power};
use layout::{Group, How, Layout};

/// The powers of two of numbers whose fourth powers stay in the range.
const MILD: i32 = 75;

/// The largest number of rows that is made.
pub const MATRIX_LIMIT: usize = 30_000;

/// The matrix of an operator on some numbers of every trajectory's state: P K Pᵀ, or K.
#[derive(Clone, Copy)]
pub struct ExactMatrix<'a, T> {
    cotangents: Cotangents<'a, T>,
    lin: &'a Linearization<'a, T>,
    numbers: &'a [usize],
    /// Trajectories of all ranks.
    trajectories: usize,
    how: How,
}

/// This process's rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The number of the first.
    pub first: usize,
    /// Row-major, `[own][all columns]`.
    pub numbers: Vec<f64>,
}

impl<'a, T: Real> ExactMatrix<'a, T> {
    /// That of NTK, if `total`, or of K. Row `b·m + k` is `numbers[k]` of trajectory b, by its place `t·N + j` in the state.
    pub fn new(lin: &'a Linearization<'a, T>, total: bool, numbers: &'a [usize], trajectories: usize) -> Self {
        let cotangents = if total { Cotangents::total(lin) } else { Cotangents::immediate(lin) };
        Self { cotangents, lin, numbers, trajectories, how: How::default() }
    }

    fn layout(&self) -> Layout {
        let rows = self.trajectories * self.numbers.len();
        Layout::new(self.cotangents.sites().collect(), MatrixSize { rows, trajectories: self.trajectories }, self.how)
    }

    /// Flops of all of it on all ranks: those of the products and of the sweeps, of which there is one for each number and group of weights.
    pub fn flops(&self) -> f64 {
        self.flops_with(self)
    }

    /// The same of the matrix between this and another.
    pub fn flops_with(&self, other: &Self) -> f64 {
        let (layout, graph) = (self.layout(), self.lin.graph());
        let same = std::ptr::eq(self, other);
        // A product is two sweeps and what is between.
        let swept = self.trajectories + if same { 0 } else { other.trajectories };
        let sweeps = layout.groups.len() * self.numbers.len() * swept;
        let [pairs, rows] = layout.flops();
        let more = other.columns() as f64 / self.columns().max(1) as f64;
        pairs * more + rows * if same { 1.0 } else { 1.0 + more } + 0.5 * sweeps as f64 * graph.product_flops()
    }

    /// Rows that a trajectory has.
    pub fn rows_of_a_trajectory(&self) -> usize {
        self.numbers.len()
    }

    /// All rows, on all ranks.
    pub fn columns(&self) -> usize {
        self.trajectories * self.numbers.len()
    }

    /// Bytes that a process needs for its rows of the matrix between this and another (which may be this), they themselves among them, as one of so many
    /// processes, with so many threads.
    pub fn bytes_with(&self, other: &Self, processes: usize, lanes: usize) -> usize {
        let (layout, m, per) = (self.layout(), self.numbers.len(), other.numbers.len());
        let [len, reads] = layout.widest();
        let (own, theirs) = (self.lin.shape().trajectories, other.lin.shape().trajectories);
        let features = |trajectories: usize| trajectories * (m * len + reads);
        let both = features(own) + if std::ptr::eq(self, other) { 0 } else { features(theirs) };
        let gathered = if processes > 1 { features(other.trajectories) } else { 0 };
        let scratch = self.cotangents.scratch_len::<Engine>(at_once(m));
        let tile = features::tile_bytes(&layout, scratch, std::mem::size_of::<T>(), self.lin.tile(), m);
        let beside = (lanes * tile).max(8 * (gathered + lanes * lane_len(&layout, [m, per])));
        8 * (own * m * other.columns() + both) + beside
    }

    /// Bytes of this process that all of them are given for each group of weights: of what its rows are, and of what is read.
    pub fn bytes_sent(&self) -> Vec<[usize; 2]> {
        let (layout, own) = (self.layout(), self.lin.shape().trajectories);
        layout.groups.iter().map(|g| [self.numbers.len() * g.len, g.reads].map(|n| 8 * own * n)).collect()
    }

    /// Makes this process's rows of 2^-k A. Collective.
    ///
    /// **Cost**: [`flops`](Self::flops), shared by ranks and threads; a gather of numbers and what is read for each group of weights.
    /// **Accuracy**: cotangents in the precision of T; all else in double precision.
    pub fn rows(&self, engine: &Engine, k: i32) -> Result<Rows> {
        self.against(self, true, engine, k)
    }

    /// Makes this process's rows of 2^-k F Gᵀ, where F is the factor of this matrix, A = F Fᵀ, and G that of another: NTK(x, y).
    ///
    /// **Errors**: the other model's sites are not of the same sizes.
    pub fn rows_with(&self, other: &Self, engine: &Engine, k: i32) -> Result<Rows> {
        self.against(other, false, engine, k)
    }

    fn against(&self, other: &Self, same: bool, engine: &Engine, k: i32) -> Result<Rows> {
        if !self.cotangents.sites().eq(other.cotangents.sites()) {
            return Err(Error::usage("other_inputs are of another size: a trajectory's should be as of inputs"));
        }
        let (layout, grid) = (self.layout(), engine.grid());
        let (m, per) = (self.numbers.len(), other.numbers.len());
        let n = other.trajectories * per;
        let own = shard(self.trajectories, grid.size(), grid.rank());
        let mut out = vec![0.0; own.len() * m * n];
        let columns = grid.share(n);
        let _panels = progress::work((layout.groups.len() * tasks(own.len() * m)) as u64, "panels of rows");
        for group in &layout.groups {
            let left = self.features(&layout, group, engine)?;
            let theirs = if same { None } else { Some(other.features(&layout, group, engine)?) };
            let right = theirs.as_ref().unwrap_or(&left);
            let factors = left.factors(right, k);
            // All of the other side's: of several processes they are gathered.
            let all = other.gathered(right, group, engine)?;
            let all = all.as_ref().map_or([&right.rows, &right.reads], |[rows, reads]| [rows, reads]);
            let left = Features { rows: &left.rows, reads: &left.reads, per: m };
            let right = Features { rows: all[0], reads: all[1], per };
            let diagonal = same.then(|| own.start * m..own.end * m);
            Product { layout: &layout, group, left, right, own: diagonal, columns: columns.clone(), factors, n }
                .add(&mut out, engine);
        }
        grid.exchange(&mut out, 0..n, n, 1);
        if same {
            mirror(&mut out, n, &(own.start * m..own.end * m));
        }
        Ok(Rows { first: own.start * m, numbers: out })
    }

    /// What this process's rows are made of, and the power of two by which their products are too small.
    fn features(&self, layout: &Layout, group: &Group, engine: &Engine) -> Result<Made> {
        let own = (self.lin.shape().trajectories, self.lin.tile());
        let made = features::write(&self.cotangents, (layout, group), own, self.numbers, engine);
        let [mut rows, mut reads] = engine.grid().agree(made)?;
        let mut powers = [0; 2];
        // A process of another group has the same trajectories, but all agree.
        let largest = |x: &[f64]| x.iter().fold(0.0, |m: f64, x| m.max(x.abs())).to_bits();
        let most = engine.grid().world().most([largest(&rows), largest(&reads)]);
        for ((numbers, most), power) in [&mut rows, &mut reads].into_iter().zip(most).zip(&mut powers) {
            *power = power_of(f64::from_bits(most), MILD);
            numbers.iter_mut().filter(|_| *power != 0).for_each(|x| *x = times_power(*x, -*power));
        }
        Ok(Made { rows, reads, powers })
    }

    /// Those of all processes of a group, if there are several.
    fn gathered(&self, own: &Made, group: &Group, engine: &Engine) -> Result<Option<[Vec<f64>; 2]>> {
        if engine.grid().size() == 1 {
            return Ok(None);
        }
        let numbers = |per: usize| vec![0.0; self.trajectories * per];
        let mut all = [numbers(self.numbers.len() * group.len), numbers(group.reads)];
        for (own, all) in [&own.rows, &own.reads].into_iter().zip(&mut all) {
            Reduce::<f64>::gather(engine, own, all)?;
        }
        Ok(Some(all))
    }
}

/// What rows are made of.
struct Made {
    rows: Vec<f64>,
    reads: Vec<f64>,
    /// Both are times 2^-power of what is meant.
    powers: [i32; 2],
}

impl Made {
    /// What entries of 2^-k A are to be multiplied by that are made of these rows alone, and of what is read too.
    fn factors(&self, other: &Self, k: i32) -> [f64; 2] {
        let [rows, reads] = std::array::from_fn(|i| self.powers[i] + other.powers[i]);
        [rows, rows + reads].map(|power| times_power(1.0, power - k))
    }
}
