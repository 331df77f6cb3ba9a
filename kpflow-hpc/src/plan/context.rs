//! What an analysis works with in a plan: operators of outlines, whose products have sizes and no numbers.

mod exact;
mod product;

use super::books::Books;
use super::machine::Imagined;
use super::seen::{Left, Seen};
use super::speed::Speed;
use crate::analysis::{self, Asked, Boxed, Context, Form, Operator, Side as Exact, Tensor, View};
use crate::closed;
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::job::Analysis;
use crate::load::signal::{open_signal, vectors_of};
use crate::model::Sizes;
use kpflow_core::model::{Graph, Linearization};
use kpflow_core::ntk::{Coupling, Features, Side};
use kpflow_estimate::{
    Account, Costs, DenseSpectrum, Estimate, Held, Ledger, Outline, Sizes as BlockSizes, Space, StopReason, Wanted,
};
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

/// What all analyses of a plan have in common, on a rank.
pub(super) struct Rank<'a, T> {
    pub lin: &'a Linearization<'a, T>,
    pub machine: &'a Imagined,
    pub sizes: Sizes,
    pub side: Side,
    pub grid: [usize; 2],
    pub speed: &'a Speed,
    /// Numbers of a trajectory whose products are counted, and the variables of the state.
    pub parts: (Vec<usize>, usize),
    /// Whether products are written down.
    pub journal: bool,
    /// MiB of a tensor beyond which it is written in parts.
    pub most_of_a_tensor: f64,
    /// Bytes of another model beside this one.
    pub model: usize,
    /// The steps of every trajectory of all ranks, where they differ.
    pub lengths: Option<&'a [usize]>,
    /// Trajectories of other inputs, on all ranks.
    pub others: Option<usize>,
    /// Exact matrices that analyses before have left to those that follow.
    pub left: RefCell<Vec<Left>>,
}

impl<T> Rank<'_, T> {
    /// Frees the exact matrices of an operator.
    pub fn forget(&self, a: &Analysis) {
        self.left.borrow_mut().retain(|left| left.of.0 != a.known_as());
    }
}

/// What one analysis has to do with.
pub(super) struct Planned<'a, T> {
    rank: &'a Rank<'a, T>,
    asked: Asked,
    analysis: &'a Analysis,
    account: &'a Account,
    books: &'a RefCell<Books>,
    views: [OnceCell<Seen<'a, T>>; View::COUNT],
    /// Whether the product was made that tells the power of two by which the operator, and another's, is scaled.
    scaled: [Cell<bool>; 2],
    /// The exact matrices that it has looked at, and what those hold that it has made.
    exact: [OnceCell<Rc<DenseSpectrum>>; Exact::COUNT],
    held: RefCell<Vec<Held<'a>>>,
    /// Products that no memo keeps.
    unkept: Cell<usize>,
}

impl<'a, T: Real> Planned<'a, T> {
    pub fn new(
        rank: &'a Rank<'a, T>,
        (analysis, asked): (&'a Analysis, Asked),
        account: &'a Account,
        books: &'a RefCell<Books>,
    ) -> Self {
        Self {
            rank,
            asked,
            analysis,
            account,
            books,
            views: Default::default(),
            scaled: Default::default(),
            exact: Default::default(),
            held: RefCell::default(),
            unkept: Cell::new(0),
        }
    }

    /// Goes through the analysis; returns the name of the method.
    pub fn run(&self) -> Result<(&'static str, StopReason)> {
        let rank = self.rank;
        let (a, sizes) = (self.analysis, (rank.sizes.trajectories, rank.lengths));
        analysis::check(a.quantity, a.method.name, &self.asked, &a.part, sizes, rank.lin)?;
        let _other = match a.quantity.with {
            Some(analysis::With::Weights) => Some(self.account.hold(rank.model)),
            Some(analysis::With::State | analysis::With::Vectors) | None => None,
        };
        let found = analysis::run(a.quantity, a.method, self)?;
        // Tensors are collected, or written in parts.
        for Tensor { block, .. } in &found.tensors {
            let (space, number) = (self.space(View::All)?, std::mem::size_of::<T>());
            let vectors = kpflow_estimate::Block::vectors(block);
            let own = vectors * space.shape().len() * number;
            let whole = vectors * space.trajectories() * space.shape().per_trajectory() * number;
            if whole as f64 <= rank.most_of_a_tensor * 1048576.0 {
                self.account.pass(2 * whole);
                self.books.borrow_mut().gather(own);
            } else {
                self.account.pass(own);
            }
        }
        Ok((found.method, found.stop))
    }

    /// Products that no memo keeps.
    pub fn unkept(&self) -> usize {
        self.unkept.get()
    }

    fn graph(&self) -> &Graph<'a, T> {
        self.rank.lin.graph()
    }

    /// Whether the operator is that of a part.
    fn part(&self, operator: Boxed<'a, T>) -> Result<Boxed<'a, T>> {
        match self.asked.whole {
            true => Ok(operator),
            false => {
                let (total, machine) = (self.rank.sizes.trajectories, self.rank.machine);
                analysis::of_part(operator, &self.analysis.part, total, true, machine)
            }
        }
    }

    fn see(&self, view: View) -> Result<Seen<'a, T>> {
        let (rank, operator) = (self.rank, self.asked.operator);
        let (lin, machine, about) = (rank.lin, rank.machine, operator.about());
        let make = |coupling| operator.make(lin, machine, coupling);
        let none = || Error::usage("is for operators that have a factor, or are not symmetric");
        let average = self.asked.average;
        let all = if average { Coupling::PerTrajectory } else { Coupling::All };
        let gram = |i: usize| {
            let made = operator.gram_and_adjoint(lin, machine).ok_or_else(none);
            made.map(|[gram, adjoint]| if i == 0 { gram } else { adjoint })
        };
        let made = match view {
            View::All | View::Plain | View::Raw | View::Entries => self.part(make(all)?)?,
            View::Diagonal => self.part(make(Coupling::PerTrajectory)?)?,
            View::Other => make(Coupling::All)?,
            View::Back | View::OtherBack => operator.factor_adjoint(lin, machine).ok_or_else(none)?,
            View::Forward | View::OtherForward => operator.factor(lin, machine).ok_or_else(none)?,
            View::Weights => operator.normal(lin, machine).ok_or_else(none)?,
            View::Gram => gram(0)?,
            View::Adjoint | View::RawAdjoint => gram(1)?,
        };
        let product = self.product(view, &*made);
        let through = about.through_weights && rank.grid[0] > 1;
        let summed = match view {
            View::All
            | View::Plain
            | View::Raw
            | View::Other
            | View::Back
            | View::OtherBack
            | View::Entries
            | View::Weights => through,
            View::Diagonal | View::Forward | View::OtherForward | View::Gram | View::Adjoint | View::RawAdjoint => {
                false
            }
        };
        // The core has no block diagonal of its own.
        let summed = if operator == Operator::Core { rank.grid[0] > 1 } else { summed };
        // Copied as it is sent, and once more by MPI, less what is not written yet of the product.
        let sums = if summed { (2 * product.exchange.summed).saturating_sub(made.codomain().len()) } else { 0 };
        let (groups, journal) = (rank.sizes.groups, rank.journal);
        Ok(Seen { operator: made, product, groups, journal, sums, books: self.books })
    }

    /// Makes the one product that tells by which power of two the operator is scaled, before the first of its others.
    fn scale(&self, other: bool) -> Result<()> {
        if !self.scaled[usize::from(other)].replace(true) {
            let seen = self.see(View::Diagonal)?;
            let both = seen.operator.domain().len() + seen.operator.codomain().len();
            self.account.pass(both * std::mem::size_of::<T>() + seen.product_bytes(1, 1));
        }
        Ok(())
    }
}

impl<'a, T: Real> Context for Planned<'a, T> {
    type Block = BlockSizes<'a>;
    type Space<'s>
        = Ledger<'s, 'a>
    where
        Self: 's;

    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn space(&self, view: View) -> Result<Ledger<'_, 'a>> {
        let (rank, cell) = (self.rank, &self.views[view as usize]);
        if !matches!(view, View::Raw | View::RawAdjoint) {
            self.scale(matches!(view, View::Other | View::OtherBack | View::OtherForward))?;
        }
        if cell.get().is_none() {
            let _ = cell.set(self.see(view)?);
        }
        let seen = cell.get().ok_or_else(|| Error::run("a view was not made"))?;
        let (domain, codomain) = (seen.operator.domain(), seen.operator.codomain());
        let of_weights = self.asked.operator.from_weights();
        let replicated = of_weights && matches!(view, View::Back | View::OtherBack | View::Weights);
        let weights = of_weights && matches!(view, View::Forward | View::OtherForward | View::Weights);
        let trajectories = if self.asked.average || weights { 1 } else { rank.sizes.trajectories };
        let steps: usize = match rank.lengths {
            Some(lengths) if !weights => self.analysis.part.lengths(lengths).iter().sum(),
            Some(_) | None => trajectories * domain.steps,
        };
        let outline = Outline {
            domain,
            codomain,
            trajectories,
            len: steps * domain.units,
            block: rank.sizes.block,
            replicated,
            looks: &[],
            lanes: rank.machine.lanes,
            processes: rank.grid[0],
            number: std::mem::size_of::<T>(),
            properties: seen.operator.properties(),
            told_in_full: true,
        };
        Ok(Ledger::new(outline, self.account, seen))
    }

    fn exponent(&self) -> Result<i32> {
        self.scale(false).map(|()| 0)
    }

    fn delta(&self) -> f64 {
        0.0
    }

    fn shape(&self) -> [usize; 3] {
        let shape = self.rank.lin.shape();
        [self.rank.sizes.trajectories, shape.steps, shape.units]
    }

    fn product_flops(&self) -> f64 {
        self.graph().product_flops() * self.rank.sizes.trajectories as f64
    }

    fn closed_flops(&self, form: Form) -> Option<f64> {
        match form {
            Form::Trace(which) => closed::exact_trace_flops(self.rank.lin, self.rank.sizes.trajectories, which),
            Form::Frobenius => closed::exact_frobenius_flops(self.rank.lin, self.rank.sizes.trajectories),
        }
    }

    fn closed(&self, form: Form) -> Result<Estimate> {
        let Rank { lin, machine, sizes, .. } = self.rank;
        let flops = self.closed_flops(form).unwrap_or(0.0);
        let number = std::mem::size_of::<T>();
        let mut books = self.books.borrow_mut();
        match form {
            Form::Trace(which) => {
                self.account.pass(closed::exact_trace_len(lin, *machine, which) * number);
                books.gramians(flops);
            }
            Form::Frobenius => {
                self.account.pass(closed::exact_frobenius_len(lin, *machine, sizes.trajectories) * number);
                books.gather(Features::new(lin).map_or(0, |f| f.rows() * f.row_len()) * number);
                books.pairs(flops, lin.shape().steps);
            }
        }
        Ok(Estimate::exact(0.0, 0))
    }

    fn lyapunov(&self) -> Result<Vec<f64>> {
        let Rank { lin, machine, sizes, .. } = self.rank;
        let (shape, all) = (lin.shape(), sizes.trajectories * lin.shape().units);
        self.account.pass(closed::lyapunov_len(lin, *machine) + 8 * all);
        let mut books = self.books.borrow_mut();
        books.work(shape.trajectories as f64 * closed::lyapunov_flops(lin));
        books.gather(8 * shape.trajectories * shape.units);
        Ok(Vec::new())
    }

    fn signal(&self) -> Result<(BlockSizes<'a>, i32)> {
        let shape = self.rank.lin.shape();
        // As it is read, and by units where the operator acts on positions.
        self.account.pass(2 * shape.len() * std::mem::size_of::<T>());
        let vectors = if self.asked.operator.about().on_state { 1 } else { shape.units };
        Ok((self.space(View::All)?.zeros(vectors), 0))
    }

    fn parts(&self) -> (Vec<usize>, usize) {
        self.rank.parts.clone()
    }

    fn vectors(&self) -> Result<(BlockSizes<'a>, bool)> {
        let Some(with) = &self.analysis.with else { return Err(Error::usage("with is missing")) };
        let array = open_signal(with, self.shape(), true)?;
        let vectors = vectors_of(&array);
        // As they are read, and in their place.
        self.account.pass(2 * vectors * self.rank.lin.shape().len() * std::mem::size_of::<T>());
        Ok((self.space(View::Raw)?.zeros(vectors), array.shape().len() == 3))
    }

    fn exact_flops(&self) -> Option<f64> {
        analysis::matrix::flops(&self.asked, &self.analysis.part, self.rank.lin, self.rank.sizes.trajectories)
    }

    fn exact_rows(&self) -> Result<closed::Rows> {
        self.scale(false)?;
        self.matrix_rows();
        Ok(closed::Rows::default())
    }

    fn keeps_whole(&self, bytes: usize) -> bool {
        bytes as f64 <= self.rank.most_of_a_tensor * 1048576.0
    }

    fn has_other_inputs(&self) -> bool {
        self.rank.others.is_some()
    }

    fn exact_other_rows(&self) -> Result<(closed::Rows, usize)> {
        Ok((closed::Rows::default(), self.matrix_rows_with_others()))
    }

    fn rows_block(&self, _: closed::Rows, columns: usize) -> Result<BlockSizes<'a>> {
        let space = self.space(View::All)?;
        let _rows = self.account.hold(8 * space.shape().len() * columns);
        Ok(space.zeros(columns))
    }

    fn kept(
        &self,
        side: Exact,
        wanted: Wanted,
        make: impl FnOnce() -> Result<DenseSpectrum>,
    ) -> Result<Rc<DenseSpectrum>> {
        let cell = &self.exact[side as usize];
        if let Some(found) = cell.get() {
            return Ok(found.clone());
        }
        let of = (self.analysis.known_as(), side);
        let left = self.rank.left.borrow().iter().find(|left| left.of == of).map(|left| left.matrix.clone());
        let found = match left {
            Some(found) => {
                self.books.borrow_mut().read(found.trace().matvecs);
                found
            }
            None => {
                let matrix = Rc::new(make()?);
                let bytes = 8 * DenseSpectrum::numbers(matrix.places.len(), wanted);
                self.held.borrow_mut().push(self.account.hold(bytes));
                self.rank.left.borrow_mut().push(Left { of, matrix: matrix.clone(), bytes });
                matrix
            }
        };
        self.unkept.set(self.unkept.get() + found.trace().matvecs);
        let _ = cell.set(found.clone());
        Ok(found)
    }
}
