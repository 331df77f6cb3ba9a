//! `kpflow check`: is what this program computes of this job right?

pub(crate) mod outputs;

use crate::comm::Comm;
use crate::engine::Engine;
use crate::error::{fits, Error, Result};
use crate::job::Job;
use crate::load::zero_behind;
use crate::model::Loaded;
use kpflow_core::model::Linearization;
use kpflow_core::ntk::{
    Constraint, Coupling, KroneckerCore, Ntk, ParameterJacobian, ParameterOperator, Propagator, Side,
};
use kpflow_core::operator::contract::dot_test;
use kpflow_core::operator::Compose;
use kpflow_core::probe::{Distribution, Probe};
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Shape};
use std::path::Path;

/// Rounding alone makes dot tests of this size, in double precision.
const ROUNDING: f64 = 1e-12;

/// Whether a vector is spread over the ranks or whole on each.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    State,
    Parameters,
}

/// Checks of one job, with what was found printed as they go.
struct Check<'a> {
    loaded: &'a Loaded<f64>,
    engine: &'a Engine,
    seed: u64,
    failed: Vec<String>,
}

/// Checks the operators of a job, in double precision whatever the job says. Collective.
pub fn check(path: &Path, threads: Option<usize>, comm: Comm) -> Result<()> {
    let run = comm.agree(Job::read(path))?;
    let job = run.at(0);
    let engine = comm.agree(Engine::new(comm, crate::threads::threads(threads)?))?;
    if let Some(first) = run.stages.first() {
        crate::run::stages::check::<f64>(&run, comm)?;
        if comm.is_root() {
            println!("of {} stages the first, {}: the others have the same tensors", run.runs(), first.name);
        }
    }
    let loaded = Loaded::<f64>::load(&job, &engine)?;
    if engine.grid().is_root() {
        loaded.warnings().iter().for_each(|w| crate::events::warning(w));
    }
    let heaviest = run.heaviest();
    engine.grid().agree(loaded.require_with(&heaviest))?;
    let mut check = Check { loaded: &loaded, engine: &engine, seed: job.seed, failed: Vec::new() };
    loaded.linearized(loaded.weights(), &engine, |lin| {
        engine.grid().agree(crate::run::memory_of(&heaviest, &loaded, lin, &engine))?;
        check.dot_tests(lin);
        check.inverse(lin);
        check.sides(lin);
        check.finite_differences(lin)?;
        check.gradient_step(lin)
    })??;
    let outcomes = outputs::compare(&job, &engine)?;
    for outcome in &outcomes {
        check.report(&outcome.name, outcome.found.clone(), outcome.good);
    }
    if let Some(error) = outputs::failed(path, &outcomes) {
        return Err(error);
    }
    match check.failed.len() {
        0 => Ok(()),
        n => Err(Error::run(format!(
            "{n} checks of {} failed: {}; please report this",
            path.display(),
            check.failed.join(", ")
        ))),
    }
}

impl Check<'_> {
    fn report(&mut self, name: &str, found: String, good: bool) {
        if self.engine.grid().is_root() {
            println!("{} {name}: {found}", if good { "ok    " } else { "FAILED" });
        }
        if !good {
            self.failed.push(name.into());
        }
    }

    /// A random vector. Parameters are the same on every rank; states are spread over them.
    fn random(&self, shape: Shape, stream: u32) -> Vec<f64> {
        let first = if shape == self.loaded.shape { self.loaded.first } else { 0 };
        let probe = Probe { seed: self.seed, stream, distribution: Distribution::Gaussian };
        // A probe has at most 2²⁶ units a step, and a model may have more parameters: they go over several steps.
        let most = 1 << 20;
        let drawn = match shape.units > most {
            true => Shape::new(1, shape.len().div_ceil(most), most),
            false => shape,
        };
        let mut x = vec![0.0; drawn.len()];
        fits(BlockMut::new(drawn, 1, &mut x).and_then(|block| probe.fill(first, 0, block)));
        x.truncate(shape.len());
        // Behind a trajectory's end the state has no numbers.
        if let Some(lengths) = self.loaded.lengths().filter(|_| shape == self.loaded.shape) {
            zero_behind(&mut x, shape.steps, &lengths[first..first + shape.trajectories]);
        }
        x
    }

    fn norm(&self, x: &[f64]) -> f64 {
        self.engine.grid().sum_one(x.iter().map(|x| x * x).sum()).sqrt()
    }

    fn apply(&self, op: &dyn LinearOperator<f64>, x: &[f64], adjoint: bool) -> Vec<f64> {
        let (from, to) = if adjoint { (op.codomain(), op.domain()) } else { (op.domain(), op.codomain()) };
        let (mut y, mut scratch) = (vec![0.0; to.len()], vec![0.0; op.scratch_len(1)]);
        let (x, y_block) = (fits(BlockRef::new(from, 1, x)), fits(BlockMut::new(to, 1, &mut y)));
        fits(match adjoint {
            true => op.apply_adjoint(x, y_block, &mut scratch),
            false => op.apply(x, y_block, &mut scratch),
        });
        y
    }

    fn dot_tests(&mut self, lin: &Linearization<'_, f64>) {
        let engine = self.engine;
        self.dot_test("propagator", &Propagator::new(lin, engine), Space::State, Space::State);
        self.dot_test("constraint", &Constraint::new(lin, engine), Space::State, Space::State);
        self.dot_test(
            "parameter Jacobian J",
            &ParameterJacobian::immediate(lin, engine),
            Space::Parameters,
            Space::State,
        );
        self.dot_test("total Jacobian PJ", &ParameterJacobian::total(lin, engine), Space::Parameters, Space::State);
        self.dot_test("parameter operator K", &ParameterOperator::new(lin, engine), Space::State, Space::State);
        self.dot_test("NTK", &Ntk::new(lin, engine), Space::State, Space::State);
        if let Some(core) = KroneckerCore::new(lin, engine) {
            self.dot_test("Kronecker core", &core, Space::State, Space::State);
        }
    }

    fn dot_test(&mut self, name: &str, op: &dyn LinearOperator<f64>, from: Space, to: Space) {
        let (x, y) = (self.random(op.domain(), 8), self.random(op.codomain(), 9));
        let (mut ax, mut aty) = (vec![0.0; op.codomain().len()], vec![0.0; op.domain().len()]);
        let mut scratch = vec![0.0; op.scratch_len(1)];
        let mut test = fits(dot_test(op, &x, &y, &mut ax, &mut aty, &mut scratch));
        let grid = self.engine.grid();
        // States are spread over ranks and their sums are parts; parameters are whole on every rank.
        let whole = |sum: &mut f64, spread: bool| *sum = if spread { grid.sum_one(*sum) } else { *sum };
        let (domain, codomain) = (from == Space::State, Space::State == to);
        let spread = [domain, codomain, codomain, domain];
        test.squares.iter_mut().zip(spread).for_each(|(s, spread)| whole(s, spread));
        whole(&mut test.forward, codomain);
        whole(&mut test.backward, domain);
        let error = test.error();
        self.report(&format!("dot test of {name}"), format!("{error:.1e}"), error <= ROUNDING);
    }

    fn inverse(&mut self, lin: &Linearization<'_, f64>) {
        let both = fits(Compose::new(Propagator::new(lin, self.engine), Constraint::new(lin, self.engine)));
        let x = self.random(self.loaded.shape, 10);
        let y = self.apply(&both, &x, false);
        let difference: Vec<f64> = y.iter().zip(&x).map(|(a, b)| a - b).collect();
        let error = self.norm(&difference) / self.norm(&x);
        self.report("P P⁻¹ = I", format!("{error:.1e}"), error <= 1e-9);
    }

    /// The two ways to apply the Kronecker core are equal up to rounding.
    fn sides(&mut self, lin: &Linearization<'_, f64>) {
        let x = self.random(self.loaded.shape, 13);
        let weight_side = self.apply(&Ntk::with(lin, self.engine, Coupling::All, Side::Weight), &x, false);
        let gram_side = self.apply(&Ntk::with(lin, self.engine, Coupling::All, Side::Gram), &x, false);
        let error = self.relative(&gram_side, &weight_side);
        self.report("NTK on the Gram side = on the weight side", format!("{error:.1e}"), error <= 1e-9);
    }

    /// The state with weights θ + h w.
    fn moved(&self, w: &[f64], h: f64) -> Result<Vec<f64>> {
        let mut weights = self.loaded.weights().to_vec();
        let mut rest = w;
        for part in weights.iter_mut().flat_map(|w| w.parts_mut()) {
            let (now, next) = rest.split_at(part.len());
            part.iter_mut().zip(now).for_each(|(p, w)| *p += h * w);
            rest = next;
        }
        self.loaded.run(&weights, self.engine)
    }

    /// ‖a − b‖ / ‖b‖.
    fn relative(&self, a: &[f64], b: &[f64]) -> f64 {
        let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        self.norm(&difference) / self.norm(b).max(f64::MIN_POSITIVE)
    }

    /// Central differences of the state against PJ w: their error falls by four when the step is halved.
    fn finite_differences(&mut self, lin: &Linearization<'_, f64>) -> Result<()> {
        let jacobian = ParameterJacobian::total(lin, self.engine);
        let w = self.random(jacobian.domain(), 11);
        let predicted = self.apply(&jacobian, &w, false);
        let error = |h: f64| -> Result<f64> {
            let (a, b) = (self.moved(&w, h)?, self.moved(&w, -h)?);
            let difference: Vec<f64> = a.iter().zip(&b).map(|(a, b)| (a - b) / (2.0 * h)).collect();
            Ok(self.relative(&difference, &predicted))
        };
        let step = 1e-3 / self.scale(lin);
        let (coarse, fine) = (error(step)?, error(step / 2.0)?);
        let ratio = coarse / fine;
        // At a kink of a relu, or at rounding, the error no longer falls: then it has to be small already.
        let good = fine < 1e-8 || (ratio > 3.0 && ratio < 5.0 && fine < 1e-2);
        self.report(
            "PJ against central differences",
            format!("{coarse:.1e}, at half the step {fine:.1e}: order {:.2}", ratio.log2()),
            good,
        );
        Ok(())
    }

    /// How far a unit step in the weights can go: large where the dynamics amplifies.
    fn scale(&self, lin: &Linearization<'_, f64>) -> f64 {
        let jacobian = ParameterJacobian::total(lin, self.engine);
        let w = self.random(jacobian.domain(), 11);
        let moved = self.norm(&self.apply(&jacobian, &w, false));
        let n = self.loaded.numbers() as f64;
        (moved / n.sqrt()).max(1.0)
    }

    /// A real step of gradient descent on ⟨e, z⟩ against −η NTK e: to first order, so their difference halves with η.
    fn gradient_step(&mut self, lin: &Linearization<'_, f64>) -> Result<()> {
        let (jacobian, ntk) = (ParameterJacobian::total(lin, self.engine), Ntk::new(lin, self.engine));
        let e = self.random(self.loaded.shape, 12);
        let (gradient, moved) = (self.apply(&jacobian, &e, true), self.apply(&ntk, &e, false));
        let state = self.loaded.state(lin);
        let error = |eta: f64| -> Result<f64> {
            let after = self.moved(&gradient, -eta)?;
            let change: Vec<f64> = after.iter().zip(&state).map(|(a, b)| (a - b) / -eta).collect();
            Ok(self.relative(&change, &moved))
        };
        let n = self.loaded.numbers() as f64;
        let eta = 1e-5 * n.sqrt() / self.norm(&moved).max(f64::MIN_POSITIVE);
        let (coarse, fine) = (error(eta)?, error(eta / 2.0)?);
        let ratio = coarse / fine;
        let good = fine < 1e-6 || (ratio > 1.6 && ratio < 2.4 && fine < 1e-2);
        self.report(
            "gradient step against −η·NTK·∂L/∂z",
            format!("{coarse:.1e}, at half the rate {fine:.1e}: order {:.2}", ratio.log2()),
            good,
        );
        Ok(())
    }
}
