//! `kpflow plan`: memory, bytes, flops and time of a job before anything runs.
//!
//! Only headers and shapes are read: the model is built of weights that have sizes and no numbers, its operators of linearisations without
//! values. A row of the table is a number of ranks, divided as a run would.

mod books;
mod clock;
mod context;
mod machine;
mod memory;
mod network;
mod rounds;
mod seen;
mod speed;
mod table;
mod trial;

pub use books::Spending;
pub use memory::memory;
pub use network::Network;
pub use speed::Speed;
pub use table::{of_run, of_run_json};

use crate::cli;
use crate::comm::{Comm, Grid};
use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::job::{Job, Precision};
use crate::model::{Opened, Sizes};
use crate::tiling;
use kpflow_core::model::{Graph, Linearization};
use kpflow_core::ntk::{Coupling, Side};
use kpflow_core::Scalar;
use machine::Imagined;
use memory::Going;

/// The largest number of ranks of the table.
const MOST_RANKS: usize = 4096;
/// More ranks have to be faster by this much to be worth it.
const WORTH: f64 = 0.95;

/// A job whose files have been looked at.
pub struct Setup<'g, T> {
    job: &'g Job,
    opened: &'g Opened<T>,
    graph: Graph<'g, T>,
    block: usize,
}

/// What one analysis needs of a rank.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its name, operator and quantity.
    pub name: [String; 3],
    /// The method that it would take.
    pub method: &'static str,
    /// What it spends if its tolerance is reached as soon as can be.
    pub least: Spending,
    /// What it spends at most.
    pub most: Spending,
    /// Bytes beside the model.
    pub memory: f64,
    /// Bytes of exact matrices that analyses before have left.
    pub before: f64,
    /// Products that are not kept for others.
    pub unkept: f64,
    /// Bytes that a run writes down of it.
    pub written: f64,
}

/// What the job needs on so many ranks, of the rank that has most to do.
#[derive(Clone, Debug)]
pub struct Column {
    /// The process grid, trajectories × probes.
    pub grid: [usize; 2],
    /// Trajectories of a rank at most.
    pub trajectories: usize,
    /// Parts of θ of which positions are gathered, not changes of the weights summed; and all parts.
    pub gram_parts: (usize, usize),
    /// Bytes of memory.
    pub memory: f64,
    /// What every run spends, whatever its analyses are.
    pub setup: Spending,
    /// The analyses.
    pub analyses: Vec<Planned>,
}

impl Column {
    /// Ranks of the whole grid.
    pub fn ranks(&self) -> usize {
        self.grid[0] * self.grid[1]
    }
    /// All analyses, each going all the way.
    pub fn most(&self) -> Spending {
        self.analyses.iter().fold(self.setup, |sum, a| sum.and(&a.most))
    }
    /// All analyses, each reaching its tolerance at once.
    pub fn least(&self) -> Spending {
        self.analyses.iter().fold(self.setup, |sum, a| sum.and(&a.least))
    }
}

/// A whole plan.
pub struct Plan {
    /// What the job is about, for people.
    pub model: String,
    /// [B, T, N].
    pub shape: [usize; 3],
    /// n_θ.
    pub parameters: usize,
    /// f32 or f64.
    pub precision: &'static str,
    /// Threads of a rank.
    pub threads: usize,
    /// Vectors carried through at once.
    pub block: usize,
    /// How fast a rank is.
    pub speed: Speed,
    /// How fast ranks talk.
    pub network: Network,
    /// A row of the table each.
    pub columns: Vec<Column>,
    /// Which of them is best, and which is told in detail.
    pub best: usize,
    /// Stages of a training run, each of which needs this at most.
    pub stages: usize,
    /// The number of the column that is told in detail.
    pub chosen: usize,
    /// A grid of as many ranks that is faster than what a run takes by itself, and its seconds.
    pub faster: Option<([usize; 2], f64)>,
}

/// Plans a job. Collective: under mpirun the ranks measure their network, and one speaks.
pub fn plan(options: &cli::Plan, comm: Comm) -> Result<()> {
    let run = comm.agree(Job::read(&options.job))?;
    let job = run.heaviest();
    let engine = comm.agree(crate::threads::threads(options.threads).and_then(|threads| Engine::new(comm, threads)))?;
    let plan = match job.precision {
        Precision::F64 => plan_in::<f64>(&job, options, &engine),
        Precision::F32 => plan_in::<f32>(&job, options, &engine),
    };
    let plan = comm.agree(plan)?;
    if comm.is_root() {
        print!("{}", if options.json { table::json(&plan) } else { table::text(&plan) });
    }
    Ok(())
}

/// The plan of a job whose precision is that of `T`. Collective.
pub(crate) fn plan_in<T: Real>(job: &Job, options: &cli::Plan, engine: &Engine) -> Result<Plan> {
    let comm = engine.grid().world();
    if options.ranks == Some(0) {
        return Err(Error::usage("--ranks 0 leaves nobody to work; it is at least 1"));
    }
    let network = Network::new(options.network.as_deref(), comm)?;
    let opened = Opened::<T>::open(job, true)?;
    opened.require_with(job)?;
    let graph = opened.network.graph(opened.network.weights()).map_err(Error::run)?;
    let graph = graph.view();
    let block = job.block.unwrap_or(tiling::block(&graph));
    let setup = Setup { job, opened: &opened, graph, block };
    let speed = match options.gflops {
        Some(gflops) => Speed::given(gflops)?,
        None => Speed::measure(&setup, engine)?,
    };
    let threads = kpflow_core::machine::Tasks::lanes(engine);
    let asked_grid = options.grid.or(job.grid);
    let of_grid = asked_grid.map(|[t, p]| t * p);
    let asked = options.ranks.or(of_grid).or((comm.size() > 1).then_some(comm.size()));
    let counts = rank_counts(opened.trajectories, block, asked);
    let groups = |ranks| Grid::groups(ranks, opened.trajectories, job.block);
    let grid = |&ranks: &usize| match asked_grid {
        Some(grid) if of_grid == Some(ranks) => grid,
        _ => [ranks / groups(ranks), groups(ranks)],
    };
    let column = |grid| setup.column(grid, threads, &network, &speed);
    let columns = counts.iter().map(|ranks| column(grid(ranks))).collect::<Result<Vec<_>>>()?;
    let mut best = 0;
    for (i, c) in columns.iter().enumerate() {
        if c.most().seconds() < WORTH * columns[best].most().seconds() {
            best = i;
        }
    }
    let chosen = asked.and_then(|ranks| counts.iter().position(|&r| r == ranks)).unwrap_or(best);
    let mut faster = None;
    let (ranks, mut least) = (columns[chosen].ranks(), WORTH * columns[chosen].most().seconds());
    for probes in (1..=ranks.min(block)).filter(|p| ranks % p == 0 && ranks / p <= opened.trajectories) {
        let other = column([ranks / probes, probes])?;
        if other.most().seconds() < least {
            least = other.most().seconds();
            faster = Some((other.grid, least));
        }
    }
    let (steps, units) = opened.network.state_shape();
    Ok(Plan {
        model: job.model.kind.name().into(),
        shape: [opened.trajectories, steps, units],
        parameters: opened.network.parameters(),
        precision: job.precision.name(),
        threads,
        block,
        speed,
        network,
        columns,
        best,
        stages: job.runs(),
        chosen,
        faster,
    })
}

/// 1, 2, 4 … and as many as there are trajectories and trajectories times vectors of a block: more ranks do nothing. And what was asked for.
fn rank_counts(trajectories: usize, block: usize, asked: Option<usize>) -> Vec<usize> {
    let (trajectories, most) = (trajectories.max(1), trajectories.saturating_mul(block).clamp(1, MOST_RANKS));
    let mut counts: Vec<usize> = std::iter::successors(Some(1), |r| Some(2 * r)).take_while(|&r| r <= most).collect();
    counts.extend([trajectories.min(most), most].into_iter().chain(asked));
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// Flops of a product of NTK, or of its block diagonal, a trajectory and vector.
fn product_flops<T: Scalar>(graph: &Graph<'_, T>, coupling: Coupling, side: Side, trajectories: usize) -> f64 {
    let core = match coupling {
        Coupling::All => side.flops(graph, trajectories),
        Coupling::PerTrajectory => Side::Weight.flops(graph, 1).min(Side::Gram.flops(graph, 1)),
    };
    core + sweep_flops(graph)
}

/// Flops of a sweep back and one forward.
fn sweep_flops<T: Scalar>(graph: &Graph<'_, T>) -> f64 {
    (graph.product_flops() - Side::Weight.flops(graph, 1)).max(0.0)
}

impl<T: Real> Setup<'_, T> {
    /// The largest rank's part where there are so many.
    fn column(&self, grid: [usize; 2], threads: usize, network: &Network, speed: &Speed) -> Result<Column> {
        let (total, ranks) = (self.opened.trajectories, grid[0]);
        let local = total.div_ceil(ranks);
        let tiling = tiling::tiling(&self.graph, self.block.div_ceil(grid[1]), local, threads, ranks == 1);
        let lin = Linearization::outline(&self.graph, local, tiling.trajectories).with_at_once(tiling.vectors);
        let machine = Imagined { ranks: ranks.min(total), trajectories: total, lanes: threads };
        let sizes = Sizes { groups: grid[1], ..self.opened.sizes(self.block, local) };
        let side = Side::cheaper(total, machine.ranks);
        let going = Going {
            job: self.job,
            lin: &lin,
            machine: &machine,
            sizes,
            lengths: self.opened.lengths(),
            watched: self.opened.network.watched(),
            grid,
            network,
            speed,
        };
        let mut setup = going.books();
        // What ranks agree on before the first analysis and after the last, and one inference.
        (0..AGREEMENTS).for_each(|_| setup.agree());
        setup.work(local as f64 * sweep_flops(&self.graph) / 2.0);
        let analyses = going.analyses()?;
        let memory = going.memory(&analyses);
        let gram_parts = side.parts(&self.graph);
        Ok(Column { grid, trajectories: local, gram_parts, memory, setup: setup.spent, analyses })
    }
}

/// Sums of a number a rank that a run makes beside its analyses.
const AGREEMENTS: usize = 24;

#[cfg(test)]
mod tests {
    use super::rank_counts;

    #[test]
    fn more_ranks_than_trajectories_times_vectors_do_nothing() {
        assert_eq!(rank_counts(15, 2, None), [1, 2, 4, 8, 15, 16, 30]);
        assert_eq!(rank_counts(8, 1, Some(3)), [1, 2, 3, 4, 8]);
        assert_eq!(rank_counts(1 << 20, 16, None).last(), Some(&4096));
        assert_eq!(rank_counts(0, 16, None), [1]);
    }
}
