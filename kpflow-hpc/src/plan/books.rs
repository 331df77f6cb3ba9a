//! What an analysis spends: products, flops, bytes, messages, seconds.

use super::network::Network;
use super::rounds::{History, Period};
use super::speed::Speed;
use crate::closed::frobenius_blocks;
use crate::comm::{calls_of_piece, calls_of_share, calls_of_sum};
use crate::journal::{record_len, BUFFER};
use kpflow_core::ntk::{vectors_at_once, Exchange};
use kpflow_core::probe::Distribution;
use kpflow_estimate::{Rounds, Work};

/// One product with a block of vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
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
    /// What it counts for: half of one where it is one sweep of two.
    pub weight: f64,
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
    /// So many times as much.
    fn times(&self, times: f64) -> Self {
        Self {
            products: times * self.products,
            flops: times * self.flops,
            bytes: times * self.bytes,
            messages: times * self.messages,
            computing: times * self.computing,
            sending: times * self.sending,
        }
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
#[derive(Clone)]
pub(super) struct Books {
    pub spent: Spending,
    /// What was spent when the estimate could stop first.
    pub least: Option<Spending>,
    /// Numbers of a vector on all ranks.
    pub total: usize,
    /// The numbers of a vector, and the trajectories, on this rank.
    n: usize,
    trajectories: usize,
    number: usize,
    /// Ranks of a group, and groups.
    grid: [usize; 2],
    network: Network,
    speed: Speed,
    /// Bytes that are written down so far: of products, and on the root of sums too.
    pub kept: f64,
    rounds: History<(Product, Work)>,
}

impl Books {
    pub fn new(
        (n, trajectories, total): (usize, usize, usize),
        number: usize,
        grid: [usize; 2],
        network: Network,
        speed: Speed,
    ) -> Self {
        let (spent, least) = (Spending::default(), None);
        Self { spent, least, total, n, trajectories, number, grid, network, speed, kept: 0.0, rounds: History::new() }
    }

    /// Takes note that the estimate may stop here.
    pub fn may_stop(&mut self) {
        self.least.get_or_insert(self.spent);
    }

    /// Takes note of products that an analysis before has made, and which cost nothing.
    pub fn read(&mut self, products: usize) {
        self.spent.products += products as f64;
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
            self.copy(m.div_ceil(groups) * numbers);
        }
    }

    /// `Grid::exchange` of rows of doubles, of which each group has made some columns.
    pub fn exchange_rows(&mut self, rows: usize, columns: usize) {
        let groups = self.grid[1];
        if groups > 1 {
            let bytes = 8 * rows * columns;
            self.spent.bytes += bytes.div_ceil(groups) as f64;
            self.spent.messages += groups as f64;
            self.spent.sending += groups as f64 * self.network.share(bytes.div_ceil(groups) as f64, groups);
        }
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

    /// Ends a round of an estimator, of which so many products would be the most. Where rounds repeat, those that are left are taken note of at once.
    pub fn skip(&mut self, matvecs: usize, most: usize, held: usize) -> Rounds {
        let Some(Period { works, matvecs: each, bytes }) = self.rounds.end(matvecs, held) else {
            return Rounds::default();
        };
        let times = most.saturating_sub(matvecs) / each;
        works.iter().for_each(|(product, work)| self.enter_again(product, *work, times));
        Rounds { matvecs: times * each, bytes: times.saturating_mul(bytes) }
    }

    /// The same work so many times.
    fn enter_again(&mut self, product: &Product, work: Work, times: usize) {
        let (before, kept, times) = (self.spent, self.kept, times as f64);
        self.enter(product, work);
        let (once, bytes) = (self.spent, self.kept - kept);
        self.spent = before.and(&once.and(&before.times(-1.0)).times(times));
        self.kept = kept + bytes * times;
        // Written all along, from where the buffer is full.
        if kept + bytes <= BUFFER as f64 && self.kept > BUFFER as f64 {
            self.spent.computing += bytes * times * self.speed.write;
        }
    }

    /// Takes note of some work of an estimator, whose products are these.
    pub fn spend(&mut self, product: &Product, work: Work) {
        self.rounds.push((*product, work));
        self.enter(product, work);
    }

    fn enter(&mut self, product: &Product, work: Work) {
        match work {
            Work::Begin { vectors } => self.begin(product, vectors),
            Work::Product { vectors } => self.product(product, vectors),
            Work::Draw { numbers, distribution } => {
                let seconds = match distribution {
                    Distribution::Gaussian => self.speed.normals,
                    Distribution::Rademacher => self.speed.signs,
                };
                self.spent.computing += numbers as f64 * seconds;
            }
            Work::Sum { numbers } => {
                self.sum(numbers);
                self.kept += record_len(numbers, 0) as f64;
            }
            Work::Gather { own } => self.gather(8 * own),
            Work::Tall { flops } => self.at(flops, self.speed.tall),
            Work::Small { flops } | Work::Looks { flops } => self.at(flops, self.speed.small),
            Work::Pass { numbers } => self.go_through(numbers, self.speed.dots),
            Work::Loop { numbers } => self.go_through(numbers, self.speed.dot),
            Work::Copy { numbers } => self.spent.computing += (numbers * self.number) as f64 * self.speed.copy,
            Work::Append { numbers } => self.spent.computing += (numbers * self.number) as f64 * self.speed.append,
        }
    }

    /// Flops at some rate.
    fn at(&mut self, flops: f64, rate: f64) {
        self.spent.flops += flops;
        self.spent.computing += flops / rate;
    }

    /// A pass over numbers of two blocks, of so many seconds a number.
    fn go_through(&mut self, numbers: usize, seconds: f64) {
        self.spent.flops += (2 * numbers) as f64;
        self.spent.computing += numbers as f64 * seconds;
    }

    /// Products with m vectors begin.
    fn begin(&mut self, product: &Product, m: usize) {
        self.spent.products += m as f64 * product.weight;
        self.copy(m * product.out);
        self.keep(m * product.out);
        // The names of the columns, when they are asked for and when they are there.
        self.kept += 2.0 * record_len(2 * m + 5, 0) as f64;
    }

    /// A block of them.
    fn product(&mut self, product: &Product, all: usize) {
        // The names of the columns, and four numbers of news.
        self.sum_all(2 * all + 4);
        // The first group has the largest share.
        let block = all.div_ceil(self.grid[1]);
        self.at(product.flops * block as f64, product.rate);
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
    }

    /// Products are named by what they are made of, and written down: nothing is in a file before there is enough of it.
    fn keep(&mut self, numbers: usize) {
        let (bytes, before) = ((numbers * self.number) as f64, self.kept);
        self.kept += bytes;
        self.spent.computing += bytes * (self.speed.hash + self.speed.record);
        if self.kept > BUFFER as f64 {
            let new = if before > BUFFER as f64 { bytes } else { self.kept };
            self.spent.computing += new * self.speed.write;
        }
    }

    /// Numbers are written to new memory.
    fn copy(&mut self, numbers: usize) {
        self.spent.computing += (numbers * self.number) as f64 * self.speed.copy;
    }
}
