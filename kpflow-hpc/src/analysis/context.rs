//! What an analysis works with: spaces, closed forms, error signals. A run has them with numbers, a plan without.

use super::{rows, Asked, Facts, Found, Operator, Reads, Side};
use crate::closed::{Closed, Rows, MATRIX_LIMIT};
use crate::error::Result;
use kpflow_estimate::{self as estimate, Block, Budget, DenseSpectrum, Estimate, Space, Wanted, DENSE_LIMIT};
use std::rc::Rc;

/// Which space of an analysis's operator A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// A.
    All,
    /// Its block diagonal over trajectories.
    Diagonal,
    /// Fᵀ, where A = F Fᵀ.
    Back,
    /// F.
    Forward,
    /// A Aᵀ, of an operator that is not symmetric.
    Gram,
    /// Aᵀ.
    Adjoint,
    /// A, kept apart from the products of A Aᵀ.
    Plain,
    /// A as it is, whatever its exponent.
    Raw,
    /// Its adjoint so.
    RawAdjoint,
    /// The same operator of the other model.
    Other,
    /// Its Fᵀ.
    OtherBack,
    /// Its F.
    OtherForward,
    /// A, whose products with unit vectors are of no use to others.
    Entries,
    /// FᵀF, on the weights.
    Weights,
}

impl View {
    /// How many there are: the last one is named here.
    pub const COUNT: usize = Self::Weights as usize + 1;
}

/// A closed form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A trace.
    Trace(Closed),
    /// ‖K‖_F.
    Frobenius,
}

/// What one analysis has to do with. Collective, as every method of a space is.
pub trait Context: Sized {
    /// A block of vectors.
    type Block: Block;
    /// A space.
    type Space<'s>: Space<Block = Self::Block>
    where
        Self: 's;

    /// What the job says.
    fn asked(&self) -> &Asked;
    /// A space of 2^-k A, k its [exponent](Context::exponent).
    fn space(&self, view: View) -> Result<Self::Space<'_>>;
    /// k: what leaves the range when it is squared is brought near 1 by it. Found once, where it is asked for.
    fn exponent(&self) -> Result<i32>;
    /// δ: products are known to this of their size, beyond what they tell themselves
    /// ([`Rounds`](super::outputs::Rounds)); 0 without numbers.
    fn delta(&self) -> f64;
    /// [B, T, N].
    fn shape(&self) -> [usize; 3];
    /// Flops of a product of NTK with one vector, on all ranks.
    fn product_flops(&self) -> f64;
    /// Flops of a closed form on all ranks, where this model has it.
    fn closed_flops(&self, form: Form) -> Option<f64>;
    /// Computes a closed form, of A itself.
    fn closed(&self, form: Form) -> Result<Estimate>;
    /// The exponents of every trajectory, `[B, N]`; empty where there are no numbers.
    fn lyapunov(&self) -> Result<Vec<f64>>;
    /// The error signal times 2^-k, and k: one vector, or one for each unit where the operator acts on positions.
    fn signal(&self) -> Result<(Self::Block, i32)>;
    /// Which watched variable each number of a trajectory belongs to, and how many there are.
    fn parts(&self) -> (Vec<usize>, usize);
    /// The user's vectors as they are, and whether they are a single tensor.
    fn vectors(&self) -> Result<(Self::Block, bool)>;

    /// Flops of the exact matrix on all ranks, where the operator has one ([`crate::closed::ExactMatrix`]): NTK and K, of all of the state or a part of it.
    fn exact_flops(&self) -> Option<f64>;
    /// This process's rows of 2^-k A, exact and without products, `[own][n]` with zeros behind the ends of trajectories. Collective. Without numbers they are
    /// empty, and what makes them is taken into account, they themselves only while they are made.
    fn exact_rows(&self) -> Result<Rows>;
    /// Whether so many bytes of a result are kept as one array on every process; more are written in parts.
    fn keeps_whole(&self, bytes: usize) -> bool;
    /// Whether the job has other inputs.
    fn has_other_inputs(&self) -> bool;
    /// The rows of 2^-k A(x, y), y the other inputs, and how many columns there are. Collective.
    fn exact_other_rows(&self) -> Result<(Rows, usize)>;
    /// A block of so many vectors, vector i of which is column i of this process's rows.
    fn rows_block(&self, rows: Rows, columns: usize) -> Result<Self::Block>;

    /// The budget.
    fn budget(&self) -> Budget {
        self.asked().budget
    }

    /// The exact matrix of a side: as an analysis before has left it, or made, and left to those that follow.
    fn kept(
        &self,
        side: Side,
        wanted: Wanted,
        make: impl FnOnce() -> Result<DenseSpectrum>,
    ) -> Result<Rc<DenseSpectrum>>;

    /// The rows of the exact matrix of a side; of A = F Fᵀ with F from the weights both have one.
    fn rows_of(&self, side: Side) -> Result<Option<usize>> {
        let asked = self.asked();
        Ok(match side {
            Side::State => Some(self.space(View::Diagonal)?.len()),
            Side::Weights if asked.whole && asked.operator.from_weights() => Some(self.space(View::Weights)?.len()),
            Side::Weights => None,
            Side::Cotangents => self.exact_flops().map(|_| self.space(View::Diagonal).map(|s| s.len())).transpose()?,
        })
    }

    /// Flops of making the exact matrix of a side, where the operator has it.
    fn making(&self, side: Side) -> Result<Option<f64>> {
        // K's products go through no state.
        let product = self.product_flops() * if self.asked().operator.about().sweeps > 0.0 { 1.0 } else { 0.5 };
        Ok(match side {
            Side::State | Side::Weights => self.rows_of(side)?.map(|m| m as f64 * product),
            Side::Cotangents => self.exact_flops(),
        })
    }

    /// The side of fewer rows; A's own where more vectors are asked for than the other has.
    fn side(&self) -> Result<Side> {
        let [state, weights] = [self.rows_of(Side::State)?, self.rows_of(Side::Weights)?];
        let (Some(n), Some(m)) = (state, weights) else { return Ok(Side::State) };
        let all = self.asked().vectors && self.asked().count > m && n <= DENSE_LIMIT;
        Ok(if m < n && !all { Side::Weights } else { Side::State })
    }

    /// Whether the exact matrix of a side, for what one reads of it, costs no more than estimates may: those of all its readers.
    fn affords(&self, side: Side, reads: Reads) -> Result<bool> {
        let (Some(m), Some(making)) = (self.rows_of(side)?, self.making(side)?) else { return Ok(false) };
        let (readers, _) = self.asked().readers.of(side, self.side()?);
        let products = if side == Side::Cotangents { 0 } else { m };
        let within = products <= self.budget().max_matvecs.saturating_mul(readers);
        // Of rows that are summed there is no decomposition, and no process holds all.
        let summed = side == Side::Cotangents && reads == Reads::spectrum(Wanted::Sums);
        let (most, decomposed) = match summed && m > DENSE_LIMIT {
            true => (MATRIX_LIMIT.min(SUMMED), 0.0),
            false => (DENSE_LIMIT, 4.0 * (m as f64).powi(3)),
        };
        Ok(within && (m <= SMALL || m <= most && making + decomposed <= CHEAP))
    }

    /// The side whose matrix costs least, of A's own `entries` or of either; only of those that are `afforded`, if asked.
    fn least(&self, reads: Reads, afforded: bool) -> Result<Option<Side>> {
        let mut least: Option<(Side, f64)> = None;
        for side in [if reads.entries { Side::State } else { self.side()? }, Side::Cotangents] {
            let Some(cost) = self.making(side)? else { continue };
            if least.is_none_or(|(_, other)| cost < other) && (!afforded || self.affords(side, reads)?) {
                least = Some((side, cost));
            }
        }
        Ok(least.map(|(side, _)| side))
    }

    /// The exact matrix that costs least, if it costs no more than estimates may.
    fn cheapest(&self, reads: Reads) -> Result<Option<Side>> {
        self.least(reads, true)
    }

    /// The exact matrix of a side.
    fn exact_of(&self, side: Side) -> Result<Rc<DenseSpectrum>> {
        // Of 2^-k A, whoever has made it.
        self.exponent()?;
        let (_, wanted) = self.asked().readers.of(side, self.side()?);
        let most = self.rows_of(side)?.is_some_and(|m| m > DENSE_LIMIT);
        let wanted = if most && side == Side::Cotangents { Wanted::Sums } else { wanted };
        self.kept(side, wanted, || {
            Ok(match side {
                Side::Cotangents => rows::spectrum(&self.space(View::All)?, self.exact_rows()?, wanted)?,
                Side::State => estimate::dense(&self.space(View::Entries)?, wanted)?,
                Side::Weights => {
                    estimate::dense_of_factor(&self.space(View::Weights)?, self.space(View::All)?.len(), wanted)?
                }
            })
        })
    }
}

/// Up to this many rows an exact matrix is made without asking what its products cost.
pub const SMALL: usize = 512;

/// Flops up to which larger ones are: some ten seconds.
const CHEAP: f64 = 3e11;

/// Rows of which sums are made unasked, some 2 GiB in all.
const SUMMED: usize = 16_384;

/// A method of a quantity, and how it is found by it.
pub struct Way<C: Context> {
    /// Its name in the job file.
    pub name: &'static str,
    /// Which operators it is for.
    pub fits: fn(Operator) -> bool,
    /// Whether the operator has to be of all of the state.
    pub whole: bool,
    /// Whether it needs more trajectories than the one of an average.
    pub by_trajectory: bool,
    /// What it reads of an exact matrix, if it forms one; it is refused where that is too large.
    pub reads: Option<Reads>,
    /// Fails where this model does not have what the method needs.
    pub require: fn(&Asked, &Facts) -> Result<()>,
    /// Finds the quantity.
    pub run: fn(&C) -> Result<Found<C::Block>>,
}

impl<C: Context> Way<C> {
    /// A method for these operators.
    pub const fn new(name: &'static str, fits: fn(Operator) -> bool, run: fn(&C) -> Result<Found<C::Block>>) -> Self {
        Self { name, fits, whole: false, by_trajectory: false, reads: None, require: Facts::nothing, run }
    }
    /// Makes it one for all of the state only.
    pub const fn of_all(self) -> Self {
        Self { whole: true, ..self }
    }
    /// Makes it one that needs trajectories.
    pub const fn of_trajectories(self) -> Self {
        Self { by_trajectory: true, ..self }
    }
    /// Makes it one that needs something of the model.
    pub const fn requiring(self, require: fn(&Asked, &Facts) -> Result<()>) -> Self {
        Self { require, ..self }
    }
    /// Makes it one that forms the matrix of A for its entries.
    pub const fn of_matrix(self) -> Self {
        Self { reads: Some(Reads::entries(Wanted::Sums)), ..self }
    }
    /// Makes it one that needs its eigenvalues too.
    pub const fn of_values(self) -> Self {
        Self { reads: Some(Reads::entries(Wanted::Values)), ..self }
    }
    /// Makes it one that reads what the smaller side tells.
    pub const fn of_spectrum(self, wanted: Wanted) -> Self {
        Self { reads: Some(Reads::spectrum(wanted)), ..self }
    }
}
