//! The Kronecker core of a linearised model, exactly: marginals of K, the sites' sums, the modes of their Gram matrices.

use super::core_sums::{CoreSize, CoreSums, Diagonal};
use super::features::{bands, input_len};
use super::Features;
use crate::dense::{rank, singular_values, symmetric_eigen};
use crate::error::{enough, length};
use crate::{Axis, Error, Scalar};

impl<T: Scalar> Features<'_, T> {
    fn positions(&self, rows: &[T]) -> Result<usize, Error> {
        let len = self.row_len().max(1);
        length(rows.len().div_ceil(len) * len, rows.len())?;
        Ok(rows.len() / len)
    }

    fn row<'r>(&self, rows: &'r [T], p: usize) -> &'r [T] {
        &rows[p * self.row_len()..][..self.row_len()]
    }

    /// Computes a marginal (partial trace) of K onto an axis exactly, from the rows of whole trajectories.
    ///
    /// `M[b, b'] = Σ_{t,j} K[(b,t,j), (b',t,j)]`, `M[t, t'] = Σ_{b,j} K[(b,t,j), (b,t',j)]`, `M[j, j'] = Σ_{b,t} K[(b,t,j), (b,t,j')]`. Of several processes the trajectories'
    /// marginal needs the rows of all of them; the other two are sums of each one's. **Shapes**: `rows` of all trajectories' positions, `out` `[B, B]`, `[T, T]` or `[N, N]`,
    /// row-major; `scratch` N numbers. **Cost**: B²·T, B·T² or B·T pairs of rows, each of (Σ n_in + bands·H) flops. **Accuracy**: sums in doubles of products in T.
    /// **Errors**: [`Error::Length`], [`Error::Scratch`].
    pub fn marginal(&self, axis: Axis, rows: &[T], out: &mut [f64], scratch: &mut [T]) -> Result<(), Error> {
        let (steps, n) = (self.linearization().shape().steps, self.linearization().shape().units);
        let trajectories = self.positions(rows)? / steps.max(1);
        length(trajectories * steps * self.row_len(), rows.len())?;
        let d = match axis {
            Axis::Trajectory => trajectories,
            Axis::Step => steps,
            Axis::Unit => n,
        };
        length(d * d, out.len())?;
        enough(n, scratch.len())?;
        out.fill(0.0);
        let row = |b: usize, t: usize| self.row(rows, b * steps + t);
        if axis == Axis::Unit {
            for p in 0..trajectories * steps {
                self.diagonals(row(0, p), row(0, p), scratch, |ua, ub, e| {
                    e.iter().enumerate().for_each(|(i, e)| out[(ua + i) * n + ub + i] += e.f64());
                });
            }
            return Ok(());
        }
        for (i, k) in (0..d).flat_map(|i| (0..=i).map(move |k| (i, k))) {
            let mut sum = 0.0;
            let mut pair = |p: &[T], q: &[T]| {
                self.diagonals(p, q, scratch, |ua, ub, e| {
                    sum += if ua == ub { e.iter().map(|e| e.f64()).sum() } else { 0.0 };
                });
            };
            match axis {
                Axis::Step => (0..trajectories).for_each(|b| pair(row(b, i), row(b, k))),
                Axis::Trajectory | Axis::Unit => (0..steps).for_each(|t| pair(row(i, t), row(k, t))),
            }
            (out[i * d + k], out[k * d + i]) = (sum, sum);
        }
        Ok(())
    }

    /// How many weight sites there are; those whose inputs stand side by side and whose outputs are summed count as one.
    pub fn sites(&self) -> usize {
        self.linearization().graph().coupled().count()
    }

    /// The sizes of a site's [sums](CoreSums); `None` if there is no such site, or the state is not variables of one width.
    ///
    /// The 1 of a bias is one of the site's inputs.
    pub fn core_size(&self, site: usize, errors: bool) -> Option<CoreSize> {
        let graph = self.linearization().graph();
        let coupled = graph.coupled().nth(site)?;
        let hidden = bands(graph).next()?.width;
        let whole = |x: usize| hidden > 0 && x % hidden == 0;
        let fits = bands(graph).all(|b| b.width == hidden && whole(b.channel) && whole(b.unit));
        (fits && whole(coupled.width) && whole(self.linearization().shape().units)).then(|| CoreSize {
            inputs: input_len(&coupled),
            bias: false,
            hidden,
            gates: coupled.width / hidden,
            states: self.linearization().shape().units / hidden,
            errors,
        })
    }

    /// Adds the positions of all rows to a site's sums, as inference would have.
    ///
    /// **Shapes**: `rows` of any positions, `errors` `[positions, n_out]` at the site's outputs, or empty. **Errors**: [`Error::Range`] if there is no such
    /// site; [`Error::Length`] if the sums are of another size.
    pub fn accumulate(&self, site: usize, rows: &[T], errors: &[T], sums: &mut CoreSums<'_>) -> Result<(), Error> {
        let graph = self.linearization().graph();
        let coupled = self.site(site)?;
        let size = sums.size();
        let (positions, outputs) = (self.positions(rows)?, if size.errors { size.outputs() } else { 0 });
        length(positions * outputs, errors.len())?;
        let hidden = size.hidden.max(1);
        length(coupled.width, size.outputs())?;
        for p in 0..positions {
            let row = self.row(rows, p);
            let jacobian = bands(graph).filter(|b| b.site == site).map(|b| Diagonal {
                gate: b.channel / hidden,
                state: b.unit / hidden,
                values: &row[b.place..b.place + b.width],
            });
            sums.add(self.inputs(site, row), jacobian, &errors[p * outputs..][..outputs])?;
        }
        Ok(())
    }

    /// Numbers of modes, at most, and of scratch that [`modes`](Self::modes) needs for some rows.
    pub fn modes_len(&self, site: usize, positions: usize) -> Result<(usize, usize), Error> {
        let n = input_len(&self.site(site)?);
        Ok(if n <= positions { (n, 0) } else { (positions, positions * positions) })
    }

    /// Computes the eigenpairs of a site's Gram matrix G = U Uᵀ over positions, leading ones first; returns rank G.
    ///
    /// The leading modes are the directions that gradient descent learns first: the self-referential bias. With n ≤ positions they come from the singular values of
    /// U itself, otherwise from G. **Shapes**: for k = min(n, positions) `values` `[k]`; `modes` `[k, positions]`, orthonormal, zeros beyond the rank; `scratch` as
    /// [`modes_len`](Self::modes_len) tells. **Cost**: some 5 to 10 sweeps of 5·n²·positions flops, or of 6·positions³. **Accuracy**: a direction is seen
    /// down to max(n, positions)·ε (of T) of the strongest by singular values, down to its root from G. **Errors**: a buffer of another length; a number that is not finite.
    pub fn modes(
        &self,
        site: usize,
        rows: &[T],
        values: &mut [f64],
        modes: &mut [f64],
        scratch: &mut [f64],
    ) -> Result<usize, Error> {
        let positions = self.positions(rows)?;
        let n = input_len(&self.site(site)?);
        let (k, needed) = self.modes_len(site, positions)?;
        length(k, values.len())?;
        length(k * positions, modes.len())?;
        enough(needed, scratch.len())?;
        let u = |p: usize| self.inputs(site, self.row(rows, p));
        let tolerance = n.max(positions) as f64 * T::epsilon().f64();
        let found = if n <= positions {
            for p in 0..positions {
                u(p).iter().enumerate().for_each(|(i, x)| modes[i * positions + p] = x.f64());
            }
            singular_values(n, positions, modes, values)?;
            let found = rank(values, tolerance);
            for (value, mode) in values.iter_mut().zip(modes.chunks_exact_mut(positions.max(1))) {
                mode.iter_mut().for_each(|x| *x /= *value);
                *value *= *value;
            }
            found
        } else {
            let gram = &mut scratch[..needed];
            for (p, q) in (0..positions).flat_map(|p| (0..positions).map(move |q| (p, q))) {
                gram[p * positions + q] = u(p).iter().zip(u(q)).map(|(x, y)| x.f64() * y.f64()).sum();
            }
            symmetric_eigen(positions, gram, values, modes)?;
            rank(values, n.max(positions) as f64 * f64::EPSILON)
        };
        modes[found * positions..].fill(0.0);
        Ok(found)
    }

    fn site(&self, site: usize) -> Result<crate::model::Coupled, Error> {
        self.linearization().graph().coupled().nth(site).ok_or(Error::Range { limit: self.sites(), found: site })
    }
}

/// Writes the share of an error signal's energy in each mode over positions, `‖v_iᵀ E‖² / ‖E‖_F²`.
///
/// **Shapes**: `modes` `[k, positions]`, orthonormal ([`Features::modes`]); `error` `[positions, anything]`: at a site's outputs, or ∂L/∂z `[B, T, N]` as it is; `shares` `[k]`.
/// A signal of zeros has shares of 0. **Cost**: 2·k numbers of `error` flops. **Errors**: [`Error::Length`].
///
/// ```
/// use kpflow_core::ntk::energy_shares;
/// let mut shares = [0.0];
/// energy_shares(2, &[0.6, 0.8], &[3.0, 4.0], &mut shares)?;
/// assert_eq!(shares, [1.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
pub fn energy_shares<T: Scalar>(positions: usize, modes: &[f64], error: &[T], shares: &mut [f64]) -> Result<(), Error> {
    length(shares.len().saturating_mul(positions), modes.len())?;
    let width = error.len() / positions.max(1);
    length(width * positions, error.len())?;
    let total: f64 = error.iter().map(|e| e.f64() * e.f64()).sum();
    for (share, mode) in shares.iter_mut().zip(modes.chunks_exact(positions.max(1))) {
        let along = |j: usize| mode.iter().enumerate().map(|(p, v)| v * error[p * width + j].f64()).sum::<f64>();
        let energy: f64 = (0..width).map(|j| along(j) * along(j)).sum();
        *share = if total > 0.0 { energy / total } else { 0.0 };
    }
    Ok(())
}
