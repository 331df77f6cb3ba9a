//! Unit-wise clusters: any scalar function of several inputs, unit by unit.

use super::{Dual, Real};
use crate::error::length;
use crate::{Error, Scalar};

/// A function of `I` scalars with `O` results, applied at every unit alike.
///
/// Written once, generic over [`Real`]; nobody differentiates it by hand. A cell of one's own:
/// ```
/// use kpflow_core::model::{Cluster, Real, UnitWise, Unitwise};
/// struct Gate;
/// impl UnitWise<2, 1> for Gate {
///     fn eval<R: Real>(&self, [a, b]: [R; 2]) -> [R; 1] {
///         [a.sigmoid() * b.tanh()]
///     }
/// }
/// let (mut y, mut d) = ([0.0], [0.0; 2]);
/// Unitwise(Gate).linearize(&[0.0, 0.3_f64], &mut y, &mut d)?;
/// assert!((y[0] - 0.5 * 0.3_f64.tanh()).abs() < 1e-15);
/// assert!((d[1] - 0.5 * (1.0 - 0.3_f64.tanh().powi(2))).abs() < 1e-15);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
pub trait UnitWise<const I: usize, const O: usize>: Sync {
    /// Computes the results at one unit.
    fn eval<R: Real>(&self, x: [R; I]) -> [R; O];
}

/// A unit-wise function as a graph's node sees it, its numbers of inputs and outputs no longer part of its type.
pub trait Cluster<T: Scalar>: Sync {
    /// I, the number of inputs.
    fn inputs(&self) -> usize;
    /// O, the number of outputs.
    fn outputs(&self) -> usize;
    /// Computes the outputs `y[o]` at one unit and all derivatives `d[o·I + i] = ∂y[o]/∂x[i]`.
    ///
    /// **Errors**: unless there are I, O and I·O numbers. A model whose cluster refuses has NaN for its outputs.
    fn linearize(&self, x: &[T], y: &mut [T], d: &mut [T]) -> Result<(), Error>;
}

/// Makes a [`UnitWise`] function a [`Cluster`].
#[derive(Clone, Copy, Debug)]
pub struct Unitwise<F, const I: usize, const O: usize>(pub F);

impl<T: Scalar, F: UnitWise<I, O>, const I: usize, const O: usize> Cluster<T> for Unitwise<F, I, O> {
    fn inputs(&self) -> usize {
        I
    }
    fn outputs(&self) -> usize {
        O
    }
    fn linearize(&self, x: &[T], y: &mut [T], d: &mut [T]) -> Result<(), Error> {
        length(I, x.len())?;
        length(O, y.len())?;
        length(I * O, d.len())?;
        let out = self.0.eval::<Dual<T, I>>(core::array::from_fn(|i| Dual::argument(x[i], i)));
        for (o, r) in out.iter().enumerate() {
            y[o] = r.value;
            d[o * I..(o + 1) * I].copy_from_slice(&r.partials);
        }
        Ok(())
    }
}
