//! Memory of a rank, and what its analyses spend: the analyses themselves, gone through without numbers.

use super::books::Books;
use super::context::{Planned, Rank};
use super::machine::Imagined;
use super::network::Network;
use super::speed::Speed;
use super::Planned as Entry;
use crate::analysis::{capacity, Operator};
use crate::engine::{is_single, Real};
use crate::error::{Error, Kind, Result};
use crate::job::{Analysis, Job};
use crate::journal::BUFFER;
use crate::load::Array;
use crate::model::Sizes;
use crate::network::{parts, Watched};
use crate::run::rounding::VECTORS;
use kpflow_core::model::Linearization;
use kpflow_core::ntk::{Coupling, Side};
use kpflow_estimate::Account;
use std::cell::RefCell;

/// Bytes of the program's own code and tables that are not in memory yet when it begins (measured: 5 to 9 MiB, least under mpirun).
const LATER: usize = 7 << 20;
/// Bytes that a thread's matrix products take outside of the program's own memory: BLAS copies operands there, never
/// more than there is of them (measured with OpenBLAS: up to 2.2 MiB).
const THREAD: usize = 5 << 19;
/// Bytes of MPI, with shared memory, in a rank, where it was not started for this process (measured: 10 to 13 MiB).
const MPI: usize = 12 << 20;
/// Sums of one number that making the operators of an analysis takes.
const SUMS_OF_OPERATORS: usize = 7;

/// Bytes of an analysis's small things: names, histories, what a message is made of (measured: up to 60 KiB).
const SMALL_THINGS: usize = 1 << 17;

/// A rank that a plan goes through.
pub(super) struct Going<'a, T> {
    pub job: &'a Job,
    pub lin: &'a Linearization<'a, T>,
    pub machine: &'a Imagined,
    pub sizes: Sizes,
    pub lengths: Option<&'a [usize]>,
    pub watched: Vec<Watched>,
    pub grid: [usize; 2],
    pub network: &'a Network,
    pub speed: &'a Speed,
}

impl<T: Real> Going<'_, T> {
    pub fn books(&self) -> Books {
        let shape = self.lin.shape();
        let sizes = (shape.len(), shape.trajectories, self.sizes.steps * shape.units);
        Books::new(sizes, std::mem::size_of::<T>(), self.grid, self.network.clone(), *self.speed)
    }

    /// Bytes of the model and its inputs.
    fn model(&self) -> usize {
        let arena = Linearization::arena_len(self.lin.graph(), self.lin.shape().trajectories);
        arena * std::mem::size_of::<T>() + self.sizes.bytes
    }

    /// What the analyses need.
    pub fn analyses(&self) -> Result<Vec<Entry>> {
        let Self { job, lin, machine, sizes, lengths, grid, speed, .. } = self;
        let others = job.other_inputs.first().map(|(_, source)| Array::open(source)).transpose()?;
        let others = others.and_then(|array| array.shape().first().copied());
        let rank = Rank {
            lin,
            others,
            machine,
            sizes: *sizes,
            side: Side::cheaper(sizes.trajectories, machine.ranks),
            grid: *grid,
            speed,
            parts: parts(&self.watched, lin.shape().per_trajectory()),
            journal: job.checkpoint.is_some(),
            most_of_a_tensor: job.parts,
            model: self.model(),
            lengths: *lengths,
            left: RefCell::default(),
        };
        // Nothing has run: whatever is wrong is the job's.
        let wrong = |a: &Analysis, e: Error| Error { kind: Kind::Input, ..e.in_analysis(&job.path, &a.name) };
        let one = |(i, a): (usize, &Analysis)| {
            let before = rank.left.borrow().iter().map(|left| left.bytes).sum::<usize>();
            let entry = self.one(a, &rank).map_err(|e| wrong(a, e))?;
            if !job.analyses[i + 1..].iter().any(|b| b.may_read_after(a)) {
                rank.forget(a);
            }
            Ok(Entry { before: before as f64, ..entry })
        };
        job.analyses.iter().enumerate().map(one).collect()
    }

    fn one(&self, a: &Analysis, rank: &Rank<'_, T>) -> Result<Entry> {
        let account = Account::default();
        let mut books = self.books();
        books.total = self.sizes.steps * if a.operator.about().on_state { self.lin.shape().units } else { 1 };
        // Making its operators takes sums of counts; that it is done is agreed on.
        (0..SUMS_OF_OPERATORS).for_each(|_| books.sum_of(1, 8, self.grid[0]));
        books.agree();
        let books = RefCell::new(books);
        let (method, unkept) = {
            let planned = Planned::new(rank, (a, self.job.asked(a)), &account, &books);
            (planned.run()?.0, planned.unkept() as f64)
        };
        let Books { spent, least, kept: written, .. } = books.into_inner();
        Ok(Entry {
            name: [a.name.clone(), a.operator.name().into(), a.quantity.name.into()],
            method,
            least: least.unwrap_or(spent),
            most: spent,
            memory: (account.most() + SMALL_THINGS) as f64,
            before: 0.0,
            unkept,
            written,
        })
    }

    /// Bytes that a run will need on this rank: the program, the model, what analyses keep for each other, and the greatest of what each needs.
    pub fn memory(&self, analyses: &[Entry]) -> f64 {
        let (number, shape) = (std::mem::size_of::<T>(), self.lin.shape());
        let graph = self.lin.graph();
        let running = Linearization::scratch_len(graph, shape.trajectories, self.lin.tile(), self.machine) * number;
        // The state is looked at, and collected where it is written.
        let all = self.sizes.trajectories * shape.per_trajectory();
        let state = (shape.len() + if self.job.keep_state { 2 * all } else { 0 }) * number;
        let products: Vec<f64> = analyses.iter().map(|a| a.most.products - a.unkept).collect();
        let written: f64 = analyses.iter().map(|a| a.written).sum();
        let journal = self.job.checkpoint.map_or(0, |_| BUFFER.min(written.ceil() as usize));
        let mpi = if self.grid[0] * self.grid[1] > 1 && !crate::comm::is_connected() { MPI } else { 0 };
        let program = crate::engine::bytes_at_start() + mpi + LATER;
        // Before a run begins its model was read, when there was nothing else.
        let read = (self.sizes.reading + self.sizes.bytes).saturating_sub(self.model());
        let first = running.max(state).max(self.rounding()).max(read) as f64;
        let most = analyses.iter().map(|a| a.before + a.memory).fold(first, f64::max);
        let threads = self.machine.lanes * THREAD.min(self.model() + most as usize);
        most + (program + threads + self.model() + self.kept(&products) + journal) as f64
    }

    /// Bytes of the model and its products on one trajectory in f64, beside which a run in f32 begins.
    fn rounding(&self) -> usize {
        if !is_single::<T>() {
            return 0;
        }
        let graph = self.lin.graph();
        let (lin, machine) =
            (Linearization::<T>::outline(graph, 1, 1), Imagined { ranks: 1, trajectories: 1, ..*self.machine });
        let inputs = self.sizes.bytes / std::mem::size_of::<T>() - self.sizes.weights;
        let model = self.sizes.weights
            + inputs.div_ceil(self.lin.shape().trajectories.max(1))
            + Linearization::arena_len(graph, 1)
            + Linearization::scratch_len(graph, 1, 1, &machine);
        let product = |a: &Analysis| {
            let op = a.operator.make(&lin, &machine, Coupling::PerTrajectory).ok()?;
            Some(op.scratch_len(VECTORS) + 2 * VECTORS * op.domain().len())
        };
        let kept = self.job.analyses.len() * VECTORS * lin.shape().len();
        let product = self.job.analyses.iter().filter_map(product).max().unwrap_or(0);
        let read = std::mem::size_of::<f64>() * self.sizes.weights + self.sizes.reading;
        read.max(std::mem::size_of::<f64>() * (model + 2 * kept + product))
    }

    /// Bytes of products that analyses keep for each other.
    fn kept(&self, products: &[f64]) -> usize {
        let n = self.lin.shape().len();
        let of = |operator: Operator| {
            let sharing =
                || self.job.analyses.iter().zip(products).filter(|(a, _)| a.operator == operator && a.part.is_all());
            match sharing().count() {
                0 | 1 => 0,
                _ => (sharing().map(|(_, p)| p).sum::<f64>().ceil() as usize).min(capacity::<T>(n)),
            }
        };
        Operator::ALL.iter().map(|&(_, operator)| of(operator)).sum::<usize>() * n * std::mem::size_of::<T>()
    }
}

/// Bytes that a run will need on a rank of a grid, of a linearisation of its sizes. Nothing is computed, nothing is sent.
///
/// **Errors**: an analysis asks for what this model does not have.
pub fn memory<T: Real>(
    job: &Job,
    sizes: Sizes,
    (lin, lanes): (&Linearization<'_, T>, usize),
    (lengths, watched): (Option<&[usize]>, Vec<Watched>),
    grid: [usize; 2],
) -> Result<f64> {
    let machine = Imagined { ranks: grid[0].min(sizes.trajectories), trajectories: sizes.trajectories, lanes };
    let (network, speed) = (Network::assumed(), Speed::given(1.0)?);
    let outline = Linearization::outline(lin.graph(), lin.shape().trajectories, lin.tile());
    let outline = outline.with_at_once(lin.at_once());
    let (network, speed, lin, machine) = (&network, &speed, &outline, &machine);
    let going = Going { job, lin, machine, sizes, lengths, watched, grid, network, speed };
    let analyses = going.analyses()?;
    Ok(going.memory(&analyses))
}
