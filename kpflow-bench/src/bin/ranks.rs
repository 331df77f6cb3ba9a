//! How well ranks share the work: blocks of NTK products of gru_paper on one rank and on all, each of one thread.
//!
//! `cargo build --release -p kpflow-bench --features mpi`, then `mpirun -n R target/release/ranks [PROBES [SECONDS]]`
//! on a grid of R/PROBES × PROBES. One rank works while the others sleep, then all do, in turns; what is compared, round by round, are the slowest rank's times.
//! What sums cost is told, round by round, by the same product with sums that nothing else goes on beside, and with none at all. `scripts/two-hosts.sh --rate 1gbit`
//! in place of mpirun has the sums go through a cable.

use kpflow_core::machine::{Diagonals, Gemm, Kernel, MatMut, MatRef, Portions, Reduce, Slab, Tasks};
use kpflow_core::ntk::Ntk;
use kpflow_core::{Error, Scalar};
use kpflow_estimate::{Problem, Space, Tall, SKETCHES};
use kpflow_hpc::comm::{Comm, Grid, World};
use kpflow_hpc::engine::Engine;
use kpflow_hpc::error::{fits, Result};

use kpflow_hpc::job::Job;
use kpflow_hpc::journal::Rows;
use kpflow_hpc::model::Loaded;
use kpflow_hpc::products::Products;
use std::path::Path;
use std::time::{Duration, Instant};

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The same machine, whose sums wait for all to be made and are waited for; or are left out.
struct Plain<'e> {
    engine: &'e Engine,
    sums: bool,
}

impl Kernel<f64> for Plain<'_> {
    fn gemm(&self, alpha: f64, gemm: Gemm<'_, f64>, beta: f64) {
        self.engine.gemm(alpha, gemm, beta);
    }
    fn combine(&self, sum: Diagonals<'_, f64>) {
        Kernel::<f64>::combine(self.engine, sum);
    }
    fn prefers_plain(&self, inner: usize, cols: usize) -> bool {
        Kernel::<f64>::prefers_plain(self.engine, inner, cols)
    }
}

impl Reduce<f64> for Plain<'_> {
    fn sum(&self, values: &mut [f64]) {
        if self.sums {
            self.engine.sum(values);
        }
    }
    fn gather(&self, local: &[f64], all: &mut [f64]) -> std::result::Result<(), Error> {
        self.engine.gather(local, all)
    }
    fn sum_count(&self, count: usize) -> usize {
        Reduce::<f64>::sum_count(self.engine, count)
    }
}

impl Tasks for Plain<'_> {
    fn lanes(&self) -> usize {
        self.engine.lanes()
    }
    fn for_each<T: Scalar, F>(&self, count: usize, a: &mut [T], a_len: usize, b: &mut [T], b_len: usize, task: F)
    where
        F: Fn(usize, &mut [T], &mut [T]) + Sync,
    {
        self.engine.for_each(count, a, a_len, b, b_len, task);
    }
    fn for_each_portion<T: Scalar, F>(&self, portions: &Portions, work: &mut [T], work_len: usize, y: &mut [T], task: F)
    where
        F: Fn(usize, &mut [T], Slab<'_, '_, T>) + Sync,
    {
        self.engine.for_each_portion(portions, work, work_len, y, task);
    }
}

/// Square products that say how much two cores are more than one at all.
const SIDE: usize = 512;
const PRODUCTS: usize = 4;

fn run(world: Comm) -> Result<()> {
    let arguments: Vec<f64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let (probes, seconds) = (arguments.first().map_or(1, |&p| p as usize), arguments.get(1).copied().unwrap_or(20.0));
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let text =
        "[model]\nkind = \"gru\"\nweights = \"gru_paper.safetensors\"\n[data]\ninputs = \"gru_paper.h5:/inputs\"\n\
                [[analysis]]\nname = \"x\"\nquantity = \"trace\"\n";
    let job = Job::parse(&golden.join("job.toml"), text.into())?;
    let (grid, root) = (Grid::new(world, probes)?, world.is_root());
    let (alone, all) = (Engine::new(Comm::alone(), 1)?, Engine::new(grid, 1)?);
    let (whole, part) = (Loaded::<f64>::load(&job, &alone)?, Loaded::<f64>::load(&job, &all)?);
    let (blocking, silent) = (Plain { engine: &all, sums: true }, Plain { engine: &all, sums: false });
    let mut times = [const { Vec::new() }; 6];
    let (a, mut c) = (vec![1.0f64; SIDE * SIDE], vec![0.0f64; SIDE * SIDE]);
    let mut products = || {
        let clock = Instant::now();
        for _ in 0..PRODUCTS {
            let (a, b) = (fits(MatRef::new(&a, SIDE, SIDE, SIDE)), fits(MatRef::new(&a, SIDE, SIDE, SIDE)));
            alone.gemm(1.0, fits(Gemm::new(a, b, fits(MatMut::new(&mut c, SIDE, SIDE, SIDE)))), 0.0);
        }
        clock.elapsed().as_nanos() as u64
    };
    whole.linearized(whole.weights(), &alone, |lin| {
        let one = Ntk::new(lin, &alone);
        part.linearized(part.weights(), &all, |lin| {
            let (several, waiting, without) = (Ntk::new(lin, &all), Ntk::new(lin, &blocking), Ntk::new(lin, &silent));
            let quiet = |_: usize, _: f64, _: f64| ();
            let m = part.block;
            let rows = |first| [Rows { first, total: part.trajectories, own: true }; 2];
            let problem = |op, engine, first| {
                Problem::of(
                    Box::new(Products::new(op, engine, None, rows(first))),
                    engine,
                    (first, part.trajectories),
                    1,
                    m,
                    &quiet,
                )
            };
            let (one, several) = (problem(&one, &alone, 0), problem(&several, &all, part.first));
            let (waiting, without) = (problem(&waiting, &all, part.first), problem(&without, &all, part.first));
            let time = |p: &Problem<'_, f64, Engine>, x: &Tall<f64>| {
                let clock = Instant::now();
                drop(p.apply(x));
                clock.elapsed().as_nanos() as u64
            };
            let (x, y) = (one.draw(SKETCHES, 0, m), several.draw(SKETCHES, 0, m));
            let start = Instant::now();
            let mut more = true;
            while more {
                // The others sleep about as long as the root works: MPI's own waiting takes a core.
                let rest = |before: &[f64]| {
                    std::thread::sleep(Duration::from_secs_f64(0.95 * before.last().copied().unwrap_or(0.1)));
                    0
                };
                let mine = if root { time(&one, &x) } else { rest(&times[0]) };
                times[0].push(world.most([mine])[0] as f64 * 1e-9);
                for (i, problem) in [(1, &several), (4, &waiting), (5, &without)] {
                    times[i].push(world.most([time(problem, &y)])[0] as f64 * 1e-9);
                }
                let mine = if root { products() } else { rest(&times[2]) };
                times[2].push(world.most([mine])[0] as f64 * 1e-9);
                times[3].push(world.most([products()])[0] as f64 * 1e-9);
                more = world.sum_one(if root && start.elapsed().as_secs_f64() < seconds { 1.0 } else { 0.0 }) > 0.0;
            }
        })
    })??;
    let rounds = times[0].len();
    // Round by round: the machine is not always as fast.
    let more = |i: usize, j: usize| middle(times[i].iter().zip(&times[j]).skip(1).map(|(a, b)| a - b).collect());
    let (hidden, taken) = (more(4, 1), more(4, 5));
    let ratio = |i: usize, j: usize| middle(times[i].iter().zip(&times[j]).skip(1).map(|(a, b)| a / b).collect());
    let (speedup, machine) = (ratio(0, 1), ratio(2, 3));
    let [one, several, _, _, waiting, without] = times.map(|t| middle(t[1..].to_vec()));
    if root {
        let ranks = world.size() as f64;
        println!(
            "gru_paper, a block of {} of NTK, grid {}x{}, medians of {} rounds: {:.1} ms on one rank, {:.1} ms on {ranks}: efficiency {:.2} \
             (matrix products, each rank its own: {:.2})",
            part.block,
            grid.size(),
            grid.probes(),
            rounds - 1,
            1e3 * one,
            1e3 * several,
            speedup / ranks,
            machine
        );
        println!(
            "sums beside other work: {:.1} ms; waited for: {:.1} ms; left out: {:.1} ms; in the middle round {:.1} of {:.1} ms are hidden, {:.0} %",
            1e3 * several,
            1e3 * waiting,
            1e3 * without,
            1e3 * hidden,
            1e3 * taken,
            100.0 * hidden / taken
        );
    }
    Ok(())
}

/// Blocks begin at a line of the cache: products are faster so.
#[global_allocator]
static MEMORY: kpflow_hpc::memory::Lines = kpflow_hpc::memory::Lines;

fn main() {
    kpflow_hpc::blas::choose_kernels();
    let result = World::new().and_then(|world| run(world.comm()));
    if let Err(e) = result {
        eprintln!("error: {e}");
        std::process::exit(1);
    }
}
