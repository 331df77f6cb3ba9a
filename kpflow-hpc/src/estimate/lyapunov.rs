//! Finite-time Lyapunov exponents.

use crate::engine::{Engine, Real};
use crate::error::{fits, Error, Result};
use crate::progress;
use faer::Mat;
use kpflow_core::machine::Tasks;
use kpflow_core::model::Linearization;

/// What a direction shrinks to that a step loses altogether: a number, where a logarithm has none.
const LOST: f64 = 1e-300;

/// Computes the finite-time Lyapunov exponents of every trajectory of a recurrent model: (1/(T−1)) log|diag R|, QR = A_{T−1} … A_1, A_t = ∂z_t/∂z_{t−1}.
///
/// The product is never formed: a QR after each step keeps its columns apart (Benettin, Galgani, Giorgilli and Strelcyn 1980; Dieci, Russell and
/// Van Vleck 1997). **Shapes**: this rank's `[B, N]`, largest first within a trajectory; −∞ for a direction that is lost altogether.
/// **Cost**: about 6·T·N³ flops a trajectory; trajectories are divided among the lanes. **Accuracy**: to rounding.
/// **Errors**: the model is not one recurrence in which the state is read at the step before only; fewer than two steps.
pub fn lyapunov<T: Real>(lin: &Linearization<'_, T>, engine: &Engine) -> Result<Vec<f64>> {
    require_recurrence(lin)?;
    let (shape, graph) = (lin.shape(), lin.graph());
    let n = shape.units;
    let mut out = vec![0.0f64; shape.trajectories * n];
    let _steps = progress::work((shape.trajectories * (shape.steps - 1)) as u64, "steps");
    engine.for_each(shape.trajectories, &mut out, n, &mut [], 0, |b, logs, _: &mut [f64]| {
        let (mut a, mut work) = (vec![T::zero(); n * n], vec![T::zero(); graph.step_len()]);
        let mut q = Mat::<f64>::identity(n, n);
        for t in 1..shape.steps {
            fits(lin.step_jacobian(b, t, &mut a, &mut work, engine));
            let step = Mat::from_fn(n, n, |i, j| a[i * n + j].f64());
            let qr = (&step * &q).qr();
            q = qr.compute_Q();
            (0..n).for_each(|i| logs[i] += qr.R()[(i, i)].abs().max(LOST).ln());
            progress::did(1);
        }
        logs.iter_mut().for_each(|x| *x /= (shape.steps - 1) as f64);
        logs.sort_by(|x, y| y.total_cmp(x));
    });
    Ok(out)
}

/// Fails unless a model has Lyapunov exponents.
pub fn require_recurrence<T: Real>(lin: &Linearization<'_, T>) -> Result<()> {
    if !lin.graph().is_single_recurrence() {
        return Err(Error::usage("Lyapunov exponents are for a single recurrence; this model is not one"));
    }
    if lin.shape().steps < 2 {
        return Err(Error::usage("Lyapunov exponents need at least two steps, and there is one"));
    }
    Ok(())
}
