//! Preconditioned conjugate gradients of several right-hand sides side by side.

use super::preconditioner::Preconditioner;
use super::{finish, Noise, Scaled, Shifted, Solution};
use crate::space::{Block, Budget, Small, Space};
use crate::{Result, StopReason};

/// Residuals that did not fall by half, after which one is taken for what rounding leaves.
const STRIKES: usize = 2;

/// Steps without a preconditioner, after which is seen how many more it would take: not many more products than a first
/// sketch.
fn trial_of(block: usize, m: usize) -> usize {
    (2 * block / m.max(1)).clamp(3, 8)
}

/// Solves (A + σ²) X = B of a symmetric positive semidefinite A by conjugate gradients with a randomised Nyström
/// preconditioner. Collective.
///
/// The right-hand sides share the preconditioner and go side by side, each with its own coefficients, until it is
/// solved. A few steps are made without a preconditioner. Where they promise that many more are needed a sketch is
/// drawn, of as many products as are expected to pay off, at most half of them.
/// **Cost**: the sketch's products, one for every vector and step, and one for every vector and measured residual;
/// 2·n·k numbers for a sketch of k, eight blocks of the right-hand sides.
/// **Accuracy**: every residual is that of a product with the x that is returned. The recurrence's residual is replaced
/// by the true one whenever it has fallen by √ε (van der Vorst and Ye 2000), so that it ends near what rounding allows,
/// ε‖A‖‖x‖/‖b‖; where two in a row have not fallen by half the run says that it has stagnated. ‖x − x*‖ is at most
/// ‖r‖/σ². bᵀ(A + σ²)⁻¹b lies between bᵀx + xᵀr and ‖r‖²/σ² more.
/// **Errors**: the operator says that it is not positive semidefinite.
pub fn solve<S: Space>(space: &S, budget: &Budget, b: &S::Block, noise: Noise) -> Result<Solution<S::Block>> {
    space.require_semidefinite()?;
    let mut run = Run::new(space, budget, b, noise)?;
    let steps = trial_of(space.block(), b.vectors());
    let trial = Budget { max_matvecs: budget.max_matvecs.min((steps + 1) * b.vectors()), ..*budget };
    run.advance(&Preconditioner::none(space), &trial)?;
    let left = run.expected(steps);
    let size = Preconditioner::<S>::first_size(space, budget, left);
    let preconditioner = match size {
        0 => Preconditioner::none(space),
        _ => Preconditioner::new(space, budget, (run.operator.shift / run.operator.unit, b.vectors(), left), size)?,
    };
    if !preconditioner.is_none() {
        run.begin_anew(preconditioner.largest);
    }
    run.advance(&preconditioner, budget)?;
    run.end()
}

/// The same without a preconditioner. Collective.
pub fn solve_plainly<S: Space>(space: &S, budget: &Budget, b: &S::Block, noise: Noise) -> Result<Solution<S::Block>> {
    space.require_semidefinite()?;
    let mut run = Run::new(space, budget, b, noise)?;
    run.advance(&Preconditioner::none(space), budget)?;
    run.end()
}

/// What is known of a right-hand side.
#[derive(Clone, Copy, Debug)]
struct Column {
    /// Which it is.
    place: usize,
    norm: f64,
    /// rᵀz of the step before; 0 where there is no direction to go on from.
    rz: f64,
    /// The last residual that was measured, and the recurrence's.
    measured: f64,
    now: f64,
    strikes: usize,
}

/// Some right-hand sides, each a column of every block.
struct Columns<B> {
    of: Vec<Column>,
    /// x, r, p and b.
    blocks: [B; 4],
}

impl<B: Block> Columns<B> {
    fn none<S: Space<Block = B>>(space: &S) -> Self {
        Self { of: Vec::new(), blocks: [(); 4].map(|()| space.zeros(0)) }
    }

    fn len(&self) -> usize {
        self.blocks[0].vectors()
    }

    /// Takes those out for which `leaves` says so.
    fn take<S: Space<Block = B>>(&mut self, space: &S, leaves: impl Fn(&Column) -> bool) -> Result<Self> {
        let (out, stay): (Vec<usize>, Vec<usize>) = (0..self.of.len()).partition(|i| leaves(&self.of[*i]));
        if out.is_empty() {
            return Ok(Self::none(space));
        }
        if stay.is_empty() {
            return Ok(std::mem::replace(self, Self::none(space)));
        }
        let left = self.chosen(space, &out)?;
        *self = self.chosen(space, &stay)?;
        Ok(left)
    }

    /// These, in this order.
    fn chosen<S: Space<Block = B>>(&self, space: &S, which: &[usize]) -> Result<Self> {
        let m = self.len();
        let c = space.small(Small { flops: 0.0, numbers: m * which.len() }, |_| {
            Ok((0..m).flat_map(|i| which.iter().map(move |j| f64::from(u8::from(i == *j)))).collect::<Vec<f64>>())
        })?;
        let blocks = [0, 1, 2, 3].map(|k| space.product(&self.blocks[k], &c, which.len()));
        Ok(Self { of: which.iter().filter_map(|i| self.of.get(*i)).copied().collect(), blocks })
    }

    /// Adds others.
    fn add<S: Space<Block = B>>(&mut self, space: &S, more: Self) {
        self.of.extend(more.of);
        self.blocks.iter_mut().zip(more.blocks).filter(|(_, m)| m.vectors() > 0).for_each(|(b, m)| space.append(b, m));
    }

    /// r ← b − (A + σ²) x. Collective.
    fn measure<S: Space<Block = B>>(&mut self, space: &S, operator: Shifted) -> Result<Vec<f64>> {
        let [x, r, _, b] = &mut self.blocks;
        *r = operator.residual(space, b, x)?;
        Ok(space.dots(r, r)?.into_iter().map(f64::sqrt).collect())
    }
}

/// A run on its way.
struct Run<'s, S: Space> {
    space: &'s S,
    budget: Budget,
    operator: Shifted,
    scaled: Scaled<S::Block>,
    going: Columns<S::Block>,
    /// Those that wait to be measured.
    paused: Columns<S::Block>,
    done: Columns<S::Block>,
    /// What is known of bᵀx and of the relative residual, by place.
    forms: Vec<f64>,
    worst: Vec<f64>,
    /// ‖A‖, as far as it is known.
    norm: f64,
    history: Vec<[f64; 3]>,
    /// Whether there are no numbers: then they decide nothing.
    blind: bool,
}

impl<'s, S: Space> Run<'s, S> {
    fn new(space: &'s S, budget: &Budget, b: &S::Block, noise: Noise) -> Result<Self> {
        let (operator, m, scaled) = (Shifted::new(noise), b.vectors(), Scaled::new(space, b)?);
        let (rz, strikes) = (0.0, 0);
        let column = |(place, &norm): (usize, &f64)| Column { place, norm, rz, measured: norm, now: norm, strikes };
        let blocks = [space.zeros(m), space.copy(&scaled.b), space.zeros(m), space.copy(&scaled.b)];
        let mut going = Columns { of: scaled.norms.iter().enumerate().map(column).collect(), blocks };
        let blind = space.unknown(1) > 0;
        let done = if blind { Columns::none(space) } else { going.take(space, |c| c.norm == 0.0)? };
        let mut worst = vec![0.0; m];
        going.of.iter().for_each(|c| worst[c.place] = 1.0);
        let (paused, forms, history) = (Columns::none(space), vec![0.0; m], Vec::new());
        Ok(Self {
            space,
            budget: *budget,
            operator,
            scaled,
            going,
            paused,
            done,
            forms,
            worst,
            norm: 0.0,
            history,
            blind,
        })
    }

    /// Goes on until all are solved, nothing more can be had, or so many products are spent.
    fn advance(&mut self, preconditioner: &Preconditioner<S>, until: &Budget) -> Result<()> {
        let (space, m) = (self.space, self.forms.len());
        while self.going.len() + self.paused.len() > 0 {
            let open = self.going.len() + self.paused.len();
            if self.going.len() == 0 {
                if space.matvecs() + open > until.max_matvecs {
                    break;
                }
                self.measure()?;
                continue;
            }
            // Products are kept back to measure with, but where there would be no step.
            let kept = if self.budget.max_matvecs >= 2 * m { open } else { 0 };
            if space.matvecs() + self.going.len() + kept > until.max_matvecs {
                break;
            }
            self.step(preconditioner)?;
            let (form, largest) = (self.forms.iter().sum(), self.worst.iter().fold(0.0, |m: f64, r| m.max(*r)));
            self.history.push([space.matvecs() as f64, form, largest]);
            space.tell(form, largest);
            space.may_stop(until, false);
            if m > 1 {
                space.perhaps(|| self.going.chosen(space, &(0..m).collect::<Vec<_>>()))?;
            }
        }
        Ok(())
    }

    /// Measures the residuals of those that are paused.
    fn measure(&mut self) -> Result<()> {
        let (space, rtol) = (self.space, self.budget.rtol);
        let measured = self.paused.measure(space, self.operator)?;
        for (column, now) in self.paused.of.iter_mut().zip(measured) {
            let falls = now <= 0.5 * column.measured;
            column.strikes += usize::from(!falls);
            // A recurrence that has left the truth begins anew.
            if now > 2.0 * column.now || !falls {
                column.rz = 0.0;
            }
            (column.measured, column.now) = (now, now);
            self.worst[column.place] = now / column.norm;
        }
        let ends = |c: &Column| c.now <= rtol * c.norm || c.strikes >= STRIKES || !c.now.is_finite();
        let ended = self.paused.take(space, ends)?;
        self.done.add(space, ended);
        std::mem::swap(&mut self.going, &mut self.paused);
        Ok(())
    }

    /// One step of all that go on.
    fn step(&mut self, preconditioner: &Preconditioner<S>) -> Result<()> {
        let (space, Shifted { unit, shift, .. }) = (self.space, self.operator);
        let [x, r, p, _] = &mut self.going.blocks;
        let z = preconditioner.apply(space, r)?;
        let rz = space.dots(r, &z)?;
        let beta = |(c, new): (&Column, &f64)| if c.rz > 0.0 { new / c.rz } else { 0.0 };
        let beta: Vec<f64> = self.going.of.iter().zip(&rz).map(beta).collect();
        space.scale(p, &beta);
        space.subtract(p, &vec![-1.0; beta.len()], &z);
        drop(z);
        let y = self.operator.apply(space, p)?;
        let py = space.dots(p, &y)?;
        if preconditioner.is_none() {
            let pp = space.dots(p, p)?;
            let quotient = |(y, p): (&f64, &f64)| if *p > 0.0 { (y / p - shift) / unit } else { 0.0 };
            self.norm = py.iter().zip(&pp).map(quotient).fold(self.norm, f64::max);
        }
        let alpha: Vec<f64> = rz.iter().zip(&py).map(|(rz, py)| if *py > 0.0 { rz / py } else { 0.0 }).collect();
        space.subtract(x, &alpha.iter().map(|a| -a).collect::<Vec<_>>(), p);
        space.subtract(r, &alpha, &y);
        drop(y);
        let rr = space.dots(r, r)?;
        for (i, column) in self.going.of.iter_mut().enumerate() {
            (column.rz, column.now) = (rz[i], rr[i].sqrt());
            self.forms[column.place] += alpha[i] * rz[i] * unit / self.scaled.factors[column.place].powi(2);
            self.worst[column.place] = column.now / column.norm;
            if py[i].is_nan() || py[i] <= 0.0 {
                // Rounding has made A + σ² what it is not.
                column.strikes = STRIKES;
            }
        }
        if !self.blind {
            let (rtol, fall) = (self.budget.rtol, space.epsilon().sqrt());
            let pauses = |c: &Column| {
                let target = (0.5 * rtol * c.norm).max(fall * c.measured);
                c.now <= target || c.strikes >= STRIKES || !c.now.is_finite()
            };
            let ready = self.going.take(space, pauses)?;
            self.paused.add(space, ready);
        }
        Ok(())
    }

    /// How many more products it will take at the pace of the first `steps`; 0 where all are solved.
    fn expected(&self, steps: usize) -> f64 {
        let one = |c: &Column| {
            let pace = (c.norm / c.now).ln().max(1e-3) / steps as f64;
            let target = self.budget.rtol.max(self.space.epsilon()) * c.norm;
            (c.now / target).ln().max(0.0) / pace
        };
        self.going.of.iter().map(one).sum()
    }

    /// Has every direction begin anew, as that of another preconditioner.
    fn begin_anew(&mut self, norm: f64) {
        self.norm = self.norm.max(norm);
        self.going.of.iter_mut().chain(&mut self.paused.of).for_each(|c| c.rz = 0.0);
    }

    /// What was found, every residual measured.
    fn end(self) -> Result<Solution<S::Block>> {
        let Self { space, budget, operator, scaled, mut going, paused, done, norm, history, .. } = self;
        let spent = going.len() + paused.len() > 0;
        going.add(space, paused);
        if going.len() > 0 && space.matvecs() + going.len() <= budget.max_matvecs {
            going.measure(space, operator)?;
        }
        going.add(space, done);
        let stagnated = going.of.iter().any(|c| c.strikes >= STRIKES);
        let stop = match (spent, stagnated) {
            (true, _) => StopReason::Budget,
            (false, true) => StopReason::Stagnated,
            (false, false) => StopReason::Tolerance,
        };
        if going.of.iter().enumerate().any(|(i, c)| c.place != i) {
            let mut order: Vec<usize> = (0..going.len()).collect();
            order.sort_by_key(|i| going.of[*i].place);
            going = going.chosen(space, &order)?;
        }
        let [x, r, _, _] = going.blocks;
        finish(space, (operator, &scaled, norm), x, &r, (budget.rtol, stop, history))
    }
}
