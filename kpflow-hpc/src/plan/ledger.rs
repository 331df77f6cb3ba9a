//! What an analysis spends: products, flops, bytes, messages, seconds.

use super::network::Network;
use super::speed::{look_flops, Speed};
use crate::comm::{calls_of_piece, calls_of_share, calls_of_sum};
use crate::estimate::frobenius_blocks;
use crate::journal::BUFFER;
use kpflow_core::ntk::{vectors_at_once, Exchange};

/// One product with a block of vectors.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Product {
    /// Flops of one vector on this rank.
    pub flops: f64,
    /// Flops a second.
    pub rate: f64,
    /// What is sent for a vector.
    pub exchange: Exchange,
    /// Lanes, and vectors that one carries at once, at most.
    pub lanes: (usize, usize),
    /// Numbers of a trajectory that are gathered whatever the vectors are.
    pub once: usize,
    /// Numbers of a vector that it writes on this rank.
    pub out: usize,
}

/// What is spent so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spending {
    /// Products with the operator.
    pub products: f64,
    /// Flops of this rank.
    pub flops: f64,
    /// Bytes that it gives to collective calls.
    pub bytes: f64,
    /// Those calls.
    pub messages: f64,
    /// Seconds of computing.
    pub computing: f64,
    /// Seconds of sending.
    pub sending: f64,
}

impl Spending {
    /// Seconds in all.
    pub fn seconds(&self) -> f64 {
        self.computing + self.sending
    }
    /// The sum of both.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            products: self.products + other.products,
            flops: self.flops + other.flops,
            bytes: self.bytes + other.bytes,
            messages: self.messages + other.messages,
            computing: self.computing + other.computing,
            sending: self.sending + other.sending,
        }
    }
}

/// Keeps account of one rank, call by call, as the estimators make them.
pub(super) struct Ledger<'a> {
    pub spent: Spending,
    /// What was spent when the estimate could stop first.
    pub least: Option<Spending>,
    /// Vectors of a block.
    pub block: usize,
    /// Numbers of a vector on all ranks.
    pub total: usize,
    /// The numbers of a vector, and the trajectories, on this rank.
    n: usize,
    trajectories: usize,
    number: usize,
    /// Ranks of a group, and groups.
    grid: [usize; 2],
    network: &'a Network,
    speed: &'a Speed,
    /// Bytes of products so far.
    kept: f64,
}

impl<'a> Ledger<'a> {
    pub fn new(
        (n, trajectories, total): (usize, usize, usize),
        number: usize,
        block: usize,
        grid: [usize; 2],
        network: &'a Network,
        speed: &'a Speed,
    ) -> Self {
        let (spent, least) = (Spending::default(), None);
        Self { spent, least, block, total, n, trajectories, number, grid, network, speed, kept: 0.0 }
    }

    /// Takes note that the estimate may stop here.
    pub fn may_stop(&mut self) {
        self.least.get_or_insert(self.spent);
    }

    /// `Comm::sum` of numbers of so many bytes each.
    pub fn sum_of(&mut self, numbers: usize, bytes: usize, ranks: usize) {
        if ranks == 1 || numbers == 0 {
            return;
        }
        let (calls, size) = (calls_of_sum(numbers), (numbers * bytes) as f64);
        self.spent.bytes += size;
        self.spent.messages += calls as f64;
        self.spent.sending += self.network.sum(size, calls == 2, ranks);
    }

    /// `Grid::sum` of numbers in double precision: the first group's, told to the others.
    pub fn sum(&mut self, numbers: usize) {
        let [ranks, groups] = self.grid;
        self.sum_of(numbers, 8, ranks);
        if groups > 1 && numbers > 0 {
            let size = (8 * numbers) as f64;
            self.spent.bytes += size;
            self.spent.messages += calls_of_share(numbers) as f64;
            self.spent.sending += self.network.share(size, groups);
        }
    }

    /// `Comm::sum_pieces`: planned as if nothing of it were hidden behind other work.
    fn sum_pieces(&mut self, numbers: usize, pieces: usize) {
        let ranks = self.grid[0];
        if ranks > 1 {
            let size = (numbers * self.number) as f64;
            self.spent.bytes += size;
            self.spent.messages += (pieces * calls_of_piece(numbers.div_ceil(pieces))) as f64;
            self.spent.sending += self.network.sum(size, false, ranks);
        }
    }

    /// A sum of numbers in double precision over all ranks of all groups.
    pub fn sum_all(&mut self, numbers: usize) {
        let [ranks, groups] = self.grid;
        self.sum_of(numbers, 8, ranks * groups);
    }

    /// `Grid::agree`: a number of every rank.
    pub fn agree(&mut self) {
        let [ranks, groups] = self.grid;
        self.sum_all(ranks * groups);
    }

    /// `Comm::gather` of so many bytes of this rank within its group.
    pub fn gather(&mut self, bytes: usize) {
        let ranks = self.grid[0];
        if ranks == 1 {
            return;
        }
        self.sum_of(ranks, 8, ranks);
        self.spent.bytes += bytes as f64;
        self.spent.messages += 1.0;
        self.spent.sending += self.network.gather((bytes * ranks) as f64, ranks);
    }

    /// `Grid::exchange` of m vectors of so many numbers, of which this rank has a share.
    fn exchange(&mut self, m: usize, numbers: usize) {
        let groups = self.grid[1];
        if groups > 1 {
            let bytes = numbers * self.number;
            self.spent.bytes += (m.div_ceil(groups) * bytes) as f64;
            self.spent.messages += groups.min(m) as f64;
            self.spent.sending += groups as f64 * self.network.share((m.div_ceil(groups) * bytes) as f64, groups);
            self.copy(m.div_ceil(groups));
        }
    }

    /// Flops at the rate of products of tall matrices.
    fn tall(&mut self, flops: f64) {
        self.spent.flops += flops;
        self.spent.computing += flops / self.speed.tall;
    }

    /// A closed form of so many flops on all ranks, at some rate, of which this rank's are in `pieces` that the groups share. The sum is one number.
    fn closed_form(&mut self, flops: f64, pieces: usize, rate: f64) {
        let of_group = flops * self.n as f64 / self.total.max(1) as f64;
        let own = of_group * pieces.div_ceil(self.grid[1]) as f64 / pieces.max(1) as f64;
        self.spent.flops += own;
        self.spent.computing += own / rate;
        self.sum_all(1);
    }

    /// A closed form by Gramians, trajectory by trajectory.
    pub fn gramians(&mut self, flops: f64) {
        self.closed_form(flops, self.trajectories, self.speed.gramians);
    }

    /// A closed form by pairs of positions, of trajectories of so many steps, block by block.
    pub fn pairs(&mut self, flops: f64, steps: usize) {
        self.closed_form(flops, frobenius_blocks(self.trajectories * steps), self.speed.pairs);
    }

    /// Flops at the rate of matrix products.
    pub fn work(&mut self, flops: f64) {
        self.spent.flops += flops;
        self.spent.computing += flops / self.speed.flops;
    }

    /// Flops of small matrices, in double precision whatever the products are in.
    pub fn small(&mut self, flops: f64) {
        self.spent.flops += flops;
        self.spent.computing += flops / self.speed.small;
    }

    /// A product with m vectors, in blocks; `weight` of one where it is part of a product only.
    pub fn apply(&mut self, product: &Product, m: usize, weight: f64) {
        // The names of the columns, and four numbers of news.
        self.sum_all(2 * m + 4);
        self.spent.products += m as f64 * weight;
        self.copy(m);
        self.keep(m);
        let mut left = m;
        while left > 0 {
            let all = self.block.min(left);
            // The first group has the largest share.
            let block = all.div_ceil(self.grid[1]);
            let flops = product.flops * block as f64;
            self.spent.flops += flops;
            self.spent.computing += flops / product.rate;
            let (Exchange { summed, gathered, gathers, .. }, pieces) =
                (product.exchange, product.exchange.pieces_of(block));
            if pieces == 0 {
                self.sum_of(summed * block, self.number, self.grid[0]);
            } else {
                self.sum_pieces(summed * block, pieces);
            }
            // Every lane that has vectors of its own has them gathered by themselves.
            let (lanes, most) = product.lanes;
            let together = if pieces == 0 { block } else { vectors_at_once(block, lanes, false, most).0 };
            for _ in 0..gathers * block.div_ceil(together) {
                let numbers = product.once + (gathered - product.once) * together;
                self.gather(numbers * self.trajectories * self.number / gathers);
            }
            self.exchange(all, product.out);
            left -= all;
        }
    }

    /// Vectors of random signs are drawn.
    pub fn draw(&mut self, m: usize) {
        self.spent.computing += (self.n * m) as f64 * self.speed.signs;
    }

    /// Vectors go on from some to `total` tests, which are signs.
    pub fn test(&mut self, product: &Product, there: usize, total: usize) {
        if total > there {
            self.draw(total - there);
            self.apply(product, total - there, 1.0);
            self.append(there, total);
        }
    }

    /// Products are named by what they are made of, and written down: nothing is in a file before there is enough of it.
    fn keep(&mut self, m: usize) {
        let (bytes, before) = ((self.n * m * self.number) as f64, self.kept);
        self.kept += bytes;
        self.spent.computing += bytes * (self.speed.hash + self.speed.record);
        if self.kept > BUFFER as f64 {
            let new = if before > BUFFER as f64 { bytes } else { self.kept };
            self.spent.computing += new * self.speed.write;
        }
    }

    /// Vectors are written to new memory.
    pub fn copy(&mut self, m: usize) {
        self.spent.computing += (self.n * m * self.number) as f64 * self.speed.copy;
    }

    /// Two blocks of vectors go on from some to `total`: the first ones need no copy.
    pub fn append(&mut self, there: usize, total: usize) {
        if there > 0 {
            self.spent.computing += (self.n * 2 * total * self.number) as f64 * self.speed.append;
        }
    }

    /// A sketch goes on from some normal probes to `total`.
    pub fn extend(&mut self, product: &Product, there: usize, total: usize) {
        if total > there {
            self.spent.computing += (self.n * (total - there)) as f64 * self.speed.normals;
            self.apply(product, total - there, 1.0);
            self.append(there, total);
        }
    }

    /// Inner products of m columns.
    pub fn dots(&mut self, m: usize) {
        self.sum(m);
        self.passes(m);
    }

    /// A pass over two blocks of m vectors.
    pub fn passes(&mut self, m: usize) {
        self.spent.flops += (2 * self.n * m) as f64;
        self.spent.computing += (self.n * m) as f64 * self.speed.dots;
    }

    /// Subtracts a combination of k vectors from m others.
    pub fn combine(&mut self, k: usize, m: usize) {
        self.tall(2.0 * (self.n * k) as f64 * m as f64);
    }

    /// A loop over the numbers of m vectors, in one thread.
    pub fn loops(&mut self, m: usize) {
        self.spent.flops += (2 * self.n * m) as f64;
        self.spent.computing += (self.n * m) as f64 * self.speed.dot;
    }

    /// Xᵀ Y.
    pub fn gram(&mut self, a: usize, b: usize) {
        self.sum(a * b);
        self.tall(2.0 * (self.n * a) as f64 * b as f64);
    }

    /// Flops of a symmetric or triangular product of m vectors, the columns from `from` on: in panels of 128.
    fn half(&self, m: usize, from: usize) -> f64 {
        let more = m.saturating_sub(from);
        2.0 * self.n as f64 * more as f64 * (from as f64 + 0.5 * (more + 128).min(2 * more) as f64)
    }

    /// The columns `from ..` of a symmetric Xᵀ Y.
    pub fn symmetric_gram(&mut self, m: usize, from: usize) {
        self.sum(m * m.saturating_sub(from));
        self.tall(self.half(m, from));
    }

    /// Whitens m columns: two triangles of a Gram matrix, which where H is mild are not needed, as it often is in double precision. In single precision,
    /// where H is seldom of full rank, two full ones in double precision, less what its rank is below m.
    pub fn whiten(&mut self, m: usize) {
        self.sum(m * m);
        let share = if self.number == 4 { 3.0 } else { 0.5 };
        self.tall(share * 2.0 * (self.n * m) as f64 * m as f64);
    }

    /// Orthogonalises m columns against a basis of so many columns in `blocks`: two rounds.
    pub fn orthogonalise(&mut self, basis: usize, blocks: usize, m: usize) {
        for _ in 0..2 {
            for i in 0..blocks {
                let columns = basis * (i + 1) / blocks - basis * i / blocks;
                self.gram(columns, m);
                self.combine(columns, m);
            }
            self.copy(m);
            self.symmetric_gram(m, 0);
            self.tall(self.half(m, 0));
        }
    }

    /// A sketch of `m` probes is looked at trajectory by trajectory.
    pub fn ladder(&mut self, m: usize) {
        let per = self.n / self.trajectories.max(1);
        self.small(self.trajectories as f64 * look_flops(per, m));
        self.sum(4);
    }
}
