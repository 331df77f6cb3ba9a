//! Finite-time Lyapunov exponents.

use crate::engine::{Engine, Real};
use crate::error::{fits, Error, Result};
use crate::progress;
use faer::Mat;
use kpflow_core::machine::{Machine, Tasks};
use kpflow_core::model::Linearization;
use kpflow_core::ntk::Constraint;
use kpflow_core::{BlockMut, BlockRef, LinearOperator};

/// Units whose columns are found at once, where steps are not those of a scan.
const AT_ONCE: usize = 16;

/// Computes the finite-time Lyapunov exponents of every trajectory of a recurrent model: (1/(T−1)) log|diag R|, QR = A_{T−1} … A_1, A_t = ∂z_t/∂z_{t−1},
/// T the trajectory's own steps.
///
/// The product is never formed: a QR after each step keeps its columns apart (Benettin, Galgani, Giorgilli and Strelcyn 1980; Dieci, Russell and
/// Van Vleck 1997). A direction that a step loses is left out from there on, and its exponent is
/// −∞: the columns that depend on those before
/// them, as many as the rank falls by. **Shapes**: this rank's `[B, N]`, largest first within a
/// trajectory.
/// **Cost**: about 6·T·N³ flops a trajectory; trajectories are divided among the lanes. Where steps are not those of a scan (turns of a loop,
/// layers), N sweeps of P⁻¹ before, and N times the state in memory.
/// **Accuracy**: to rounding; what is below N·ε of the
/// largest, with every row and column brought to its size, is lost.
/// **Errors**: the model is not one recurrence in which the state is read at the step before only, nor a state each of whose variables
/// lies in one step and is read at the next only; fewer than two steps.
pub fn lyapunov<T: Real>(lin: &Linearization<'_, T>, engine: &Engine) -> Result<Vec<f64>> {
    require_recurrence(lin)?;
    let (shape, graph) = (lin.shape(), lin.graph());
    let n = shape.units;
    let mut out = vec![f64::NEG_INFINITY; shape.trajectories * n];
    let single = graph.is_single_recurrence();
    let columns = if single { Vec::new() } else { columns(lin, engine)? };
    let _steps = progress::work((shape.trajectories * (shape.steps - 1)) as u64, "steps");
    engine.for_each(shape.trajectories, &mut out, n, &mut [], 0, |b, logs, _: &mut [f64]| {
        let (mut a, mut work) = (vec![T::zero(); n * n], vec![T::zero(); graph.step_len()]);
        let mut frame = Frame::new(n);
        for t in 1..lin.steps_of(b) {
            // Where all is lost there is nothing to follow.
            if !frame.logs.is_empty() {
                let jacobian = if single {
                    fits(lin.step_jacobian(b, t, &mut a, &mut work, engine));
                    Mat::from_fn(n, n, |i, j| a[i * n + j].f64())
                } else {
                    Mat::from_fn(n, n, |i, j| columns[((b * n + j) * shape.steps + t) * n + i].f64())
                };
                frame.advance(&jacobian, T::epsilon().f64());
            }
            progress::did(1);
        }
        logs.iter_mut().zip(&frame.logs).for_each(|(x, sum)| *x = sum / (lin.steps_of(b) - 1) as f64);
        logs.sort_by(|x, y| y.total_cmp(x));
    });
    Ok(out)
}

/// Flops of a trajectory's exponents.
pub fn lyapunov_flops<T: Real>(lin: &Linearization<'_, T>) -> f64 {
    6.0 * lin.shape().steps as f64 * (lin.shape().units as f64).powi(3)
}

/// Bytes that [`lyapunov`] holds: in every lane a step's Jacobian, twice in double precision, and what a QR is made of.
pub fn lyapunov_len<T: Real, M: Machine<T>>(lin: &Linearization<'_, T>, machine: &M) -> usize {
    let (shape, n, lanes) = (lin.shape(), lin.shape().units, machine.lanes());
    let own = std::mem::size_of::<T>() * (n * n + lin.graph().step_len()) + 8 * 8 * n * n;
    let block = AT_ONCE.min(n);
    // The columns, two blocks, and what a sweep needs.
    let numbers = || (n + 2 * block) * shape.len() + Constraint::new(lin, machine).scratch_len(block);
    let steps = if lin.graph().is_single_recurrence() { 0 } else { size_of::<T>() * numbers() };
    lanes.min(shape.trajectories) * own + 8 * shape.trajectories * n + steps
}

/// Whether each variable of the state lies in one step: the turns of a loop, or layers of one width.
fn is_of_steps<T: Real>(lin: &Linearization<'_, T>) -> bool {
    let units = lin.graph().units();
    lin.graph().variables().iter().filter_map(|v| Some((v, v.watch?))).all(|(v, w)| {
        let last = w.offset + v.positions.saturating_sub(1) * w.stride + v.width;
        v.positions > 0 && w.offset / units.max(1) == last.saturating_sub(1) / units.max(1)
    })
}

/// The columns of all A_t, `[trajectory][column][step][unit]`, of a state of steps: what P⁻¹ = I − A makes of one unit at every step.
/// At a step's own place stands 0.
fn columns<T: Real>(lin: &Linearization<'_, T>, engine: &Engine) -> Result<Vec<T>> {
    let (shape, operator) = (lin.shape(), Constraint::new(lin, engine));
    let (n, of) = (shape.units, shape.trajectories * shape.steps * shape.units);
    let apply = |x: &[T], vectors: usize| -> Vec<T> {
        let mut y = vec![T::zero(); x.len()];
        let mut scratch = vec![T::zero(); operator.scratch_len(vectors)];
        let both = BlockRef::new(shape, vectors, x).and_then(|x| Ok((x, BlockMut::new(shape, vectors, &mut y)?)));
        fits(both.and_then(|(x, y)| operator.apply(x, y, &mut scratch)));
        y
    };
    // Of units at every third step nothing is seen two steps on, where each step reads the one before alone.
    for phase in 0..3 {
        let step = |i: usize| i / n % shape.steps;
        let sign = |i: usize| if i * 7 % 5 < 2 { T::one() } else { -T::one() };
        let x: Vec<T> = (0..of).map(|i| if step(i) % 3 == phase { sign(i) } else { T::zero() }).collect();
        let mut seen = apply(&x, 1).into_iter().enumerate().filter(|(i, _)| step(*i) % 3 == (phase + 2) % 3);
        if seen.any(|(_, y)| y != T::zero()) {
            return Err(Error::run(
                "Lyapunov exponents are for steps that read the one before alone; here some read earlier ones",
            ));
        }
    }
    let (per, mut all) = (shape.steps * n, vec![T::zero(); n * of]);
    for first in (0..n).step_by(AT_ONCE) {
        let m = AT_ONCE.min(n - first);
        // One unit at every step, a vector for each unit.
        let one = |i: usize| if first + i / per % m == i % n { T::one() } else { T::zero() };
        let x: Vec<T> = (0..m * of).map(one).collect();
        let y = apply(&x, m);
        for (v, (x, y)) in x.chunks_exact(per).zip(y.chunks_exact(per)).enumerate() {
            let (b, j) = (v / m, first + v % m);
            for ((a, x), y) in all[(b * n + j) * per..][..per].iter_mut().zip(x).zip(y) {
                *a = *x - *y;
            }
        }
    }
    Ok(all)
}

/// Fails unless a model has Lyapunov exponents.
pub fn require_recurrence<T: Real>(lin: &Linearization<'_, T>) -> Result<()> {
    if !lin.graph().is_single_recurrence() && !is_of_steps(lin) {
        let what = "Lyapunov exponents are for a single recurrence, or a state of the turns of a loop or of layers of one width";
        return Err(Error::usage(format!("{what}; this model's is neither")));
    }
    if lin.shape().steps < 2 {
        return Err(Error::usage("Lyapunov exponents need at least two steps, and there is one"));
    }
    Ok(())
}

/// The directions that are left, and the sums of their logarithms.
struct Frame {
    q: Mat<f64>,
    logs: Vec<f64>,
}

/// The power of two that brings a number near 1.
fn near_one(x: f64) -> f64 {
    match x > 0.0 && x.is_finite() {
        // Neither it nor its reciprocal leaves the normal numbers.
        true => x.log2().round().clamp(-1020.0, 1020.0).exp2(),
        false => 1.0,
    }
}

/// The largest magnitude of some numbers.
fn largest(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, |m, x| m.max(x.abs()))
}

impl Frame {
    /// All directions.
    fn new(n: usize) -> Self {
        Self { q: Mat::identity(n, n), logs: vec![0.0; n] }
    }

    /// Goes a step, of this Jacobian.
    fn advance(&mut self, a: &Mat<f64>, epsilon: f64) {
        let m = a * &self.q;
        let n = m.nrows();
        let tolerance = n as f64 * epsilon;
        // Large rows first: small ones keep their digits (Cox and Higham 1998). Columns near 1
        // neither overflow nor vanish.
        let row = |i: usize| largest((0..m.ncols()).map(|j| m[(i, j)]));
        let mut order: Vec<(f64, usize)> = (0..n).map(|i| (row(i), i)).collect();
        order.sort_by(|x, y| y.0.total_cmp(&x.0));
        let scale: Vec<f64> = (0..m.ncols()).map(|j| near_one(largest((0..n).map(|i| m[(i, j)])))).collect();
        let sorted = |kept: &[usize]| Mat::from_fn(n, kept.len(), |i, j| m[(order[i].1, kept[j])] / scale[kept[j]]);
        let mut kept: Vec<usize> = (0..m.ncols()).collect();
        let mut qr = sorted(&kept).qr();
        let size = |qr: &faer::linalg::solvers::Qr<f64>, j: usize| qr.R()[(j, j)].abs();
        // Whether a direction is lost is looked at where one may be.
        if kept.iter().any(|&j| size(&qr, j) <= tolerance.sqrt()) {
            let independent = independent(&m, tolerance);
            if independent.len() < kept.len() {
                kept = independent;
                qr = sorted(&kept).qr();
            }
        }
        let q = qr.compute_thin_Q();
        let mut place = vec![0; n];
        order.iter().enumerate().for_each(|(i, (_, from))| place[*from] = i);
        self.q = Mat::from_fn(n, kept.len(), |i, j| q[(place[i], j)]);
        let log = |(j, &k): (usize, &usize)| self.logs[k] + size(&qr, j).ln() + scale[k].ln();
        self.logs = kept.iter().enumerate().map(log).collect();
    }
}

/// The columns that do not depend on those before them, as many as the rank is: of a matrix whose
/// rows and columns are brought to one size, so that what
/// is small by itself (a gate that is nearly shut) is not taken for what is lost.
fn independent(m: &Mat<f64>, tolerance: f64) -> Vec<usize> {
    let (rows, columns) = (m.nrows(), m.ncols());
    let by_row: Vec<f64> = (0..rows).map(|i| near_one(largest((0..columns).map(|j| m[(i, j)])))).collect();
    let even = Mat::from_fn(rows, columns, |i, j| m[(i, j)] / by_row[i]);
    let norms: Vec<f64> = (0..columns).map(|j| (0..rows).map(|i| even[(i, j)].powi(2)).sum::<f64>().sqrt()).collect();
    let live: Vec<usize> = (0..columns).filter(|&j| norms[j] > 0.0).collect();
    if live.is_empty() {
        return live;
    }
    let even = Mat::from_fn(rows, live.len(), |i, j| even[(i, live[j])] / norms[live[j]]);
    let pivoted = even.col_piv_qr();
    let r = |i: usize| pivoted.R()[(i, i)].abs();
    let rank = (0..rows.min(live.len())).take_while(|&i| r(i) > tolerance * r(0)).count();
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let mut kept = Vec::new();
    for (j, &of) in live.iter().enumerate() {
        if kept.len() == rank {
            break;
        }
        let mut v: Vec<f64> = (0..rows).map(|i| even[(i, j)]).collect();
        // Twice is enough (Kahan; Parlett 1980).
        for _ in 0..2 {
            for q in &basis {
                let along: f64 = q.iter().zip(&v).map(|(a, b)| a * b).sum();
                v.iter_mut().zip(q).for_each(|(x, q)| *x -= along * q);
            }
        }
        let left = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        if left > tolerance {
            basis.push(v.iter().map(|x| x / left).collect());
            kept.push(of);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(steps: &[Mat<f64>]) -> Vec<f64> {
        let mut frame = Frame::new(steps[0].nrows());
        for a in steps {
            if !frame.logs.is_empty() {
                frame.advance(a, f64::EPSILON);
            }
        }
        frame.logs
    }

    fn matrix<const N: usize>(rows: [[f64; N]; N]) -> Mat<f64> {
        Mat::from_fn(N, N, |i, j| rows[i][j])
    }

    #[test]
    fn what_is_small_is_not_lost() {
        // A unit that forgets to 1e-40 a step, and numbers whose squares no number holds.
        let a = matrix([[1.0, 0.5], [0.0, 1e-40]]);
        let found = logs(&[a.clone(), a.clone(), a]);
        assert!((found[0]).abs() < 1e-15 && (found[1] - 3.0 * 1e-40f64.ln()).abs() < 1e-12, "{found:?}");
        let a = matrix([[1e200, 0.0], [0.0, 1e-200]]);
        let found = logs(&[a]);
        assert!((found[0] - 1e200f64.ln()).abs() < 1e-12 && (found[1] - 1e-200f64.ln()).abs() < 1e-12, "{found:?}");
        // The small row before the large one.
        let turn = matrix([[0.6, -0.8], [0.8, 0.6]]);
        let found = logs(&[turn, matrix([[1e-30, 2e-30], [3.0, 4.0]])]);
        let first = (1.0f64 * (3.0 * 0.6 + 4.0 * 0.8)).abs().ln();
        // |det| = 2e-30.
        assert!((found[0] - first).abs() < 1e-14 && (found[0] + found[1] - 2e-30f64.ln()).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn what_depends_on_others_is_lost() {
        assert_eq!(logs(&[matrix([[0.0; 3]; 3])]).len(), 0);
        // The first column is lost, the second is not, though R has a zero at its place.
        let found = logs(&[matrix([[0.0, 2.0], [0.0, 0.0]])]);
        assert_eq!(found, [2f64.ln()]);
        // Nilpotent: every step loses one.
        let shift = matrix([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]);
        assert_eq!([1, 2, 3].map(|k| logs(&vec![shift.clone(); k]).len()), [2, 1, 0]);
        // Rank 2 but for rounding, with columns that are nearly parallel.
        let (u, v) =
            ([[0.3, -0.7], [0.11, 0.9], [-0.6, 0.2], [0.5, 0.4]], [[1.0, 1.001, 0.3, -2.0], [0.5, 0.501, 0.9, 0.1]]);
        let a = Mat::from_fn(4, 4, |i, j| u[i][0] * v[0][j] + u[i][1] * v[1][j]);
        assert_eq!(logs(&[a.clone(), a.clone(), a]).len(), 2);
    }
}
