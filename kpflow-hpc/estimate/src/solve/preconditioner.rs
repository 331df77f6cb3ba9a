//! A preconditioner from a randomised Nyström approximation.

use crate::error::unless_stopped;
use crate::nystrom::nystrom;
use crate::qr::orthogonalise;
use crate::small::{eigen, multiply};
use crate::space::{Block, Budget, Small, Space, SKETCHES};
use crate::trace::{most_probes, Sketch};
use crate::Result;

/// Probes beyond the rank that make a sketch know all there is.
const OVERSAMPLING: usize = 10;

/// P⁻¹ = (λ_k + σ²) U (Λ + σ²)⁻¹ Uᵀ + 1 − U Uᵀ for U Λ Uᵀ ≈ A (Frangella, Tropp and Udell 2023, SIAM J. Matrix Anal.
/// Appl. 44); 1 where nothing is known.
pub(super) struct Preconditioner<S: Space> {
    /// U, orthonormal to rounding.
    u: S::Block,
    /// (λ_k + σ²)/(λ_i + σ²) − 1.
    less: Vec<f64>,
    /// λ_1, as far as it is known.
    pub largest: f64,
    held: Option<S::Held>,
}

impl<S: Space> Preconditioner<S> {
    /// None: the identity.
    pub fn none(space: &S) -> Self {
        Self { u: space.zeros(0), less: Vec::new(), largest: 0.0, held: None }
    }

    /// Whether it is the identity.
    pub fn is_none(&self) -> bool {
        self.u.vectors() == 0
    }

    /// Probes of a first sketch, where about so many products are `left` to be made without one: none where that is not
    /// many times as much.
    pub fn first_size(space: &S, budget: &Budget, left: f64) -> usize {
        /// Fewer products than this are not worth it.
        const LEAST: usize = 4;
        let size = space.block().min(budget.max_matvecs / 4).min(Self::most(space, budget));
        let pays = space.unknown(1) > 0 || left > (4 * size) as f64;
        if size >= LEAST && pays {
            size
        } else {
            0
        }
    }

    /// Probes of a sketch, at most.
    fn most(space: &S, budget: &Budget) -> usize {
        let n = space.len();
        let rank = space.rank().saturating_add(OVERSAMPLING);
        let left = budget.max_matvecs.saturating_sub(space.matvecs());
        (left / 2).min(most_probes(n, [32, 512])).min(n).min(rank)
    }

    /// Makes one for (A + σ²) X = B of as many right-hand sides, which would take about so many products without: a
    /// sketch of `size` probes is doubled while that is expected to save more products of the iteration than it costs.
    /// None where the sketch sees no decay. Collective.
    ///
    /// Iterations are expected as Chebyshev's bound has them, ½ √κ log(2/rtol), where κ = 1 + λ_m/σ² is what a sketch
    /// of m products leaves, and λ_m as the decay within the sketch says.
    pub fn new(space: &S, budget: &Budget, of: (f64, usize, f64), size: usize) -> Result<Self> {
        let (most, mut size, shift) = (Self::most(space, budget), size, of.0);
        let found = Self::none(space);
        let mut sketch = Sketch::new(space, SKETCHES);
        loop {
            sketch.extend(space, size)?;
            let squares = space.dots(&sketch.y, &sketch.y)?;
            if squares.iter().any(|s| !s.is_finite()) {
                return Ok(Self::none(space));
            }
            let Some((values, vectors)) = unless_stopped(nystrom(space, &mut sketch, size))? else {
                return Ok(found);
            };
            let next = (2 * size).min(most);
            let saved = saved(&values, (size, next), of, budget.rtol.max(space.epsilon()));
            // Without numbers as large as it may be.
            let grows = next > size && (space.unknown(1) == 1 || saved > (next - size) as f64);
            if !grows {
                let ends = [values.first(), values.last()].map(|v| v.map_or(0.0, |v| v.max(0.0)) + shift);
                // Of a cluster that is larger than the sketch Nyström's values are all too small: worse than nothing.
                let flat = space.unknown(1) == 0 && values.len() == size && ends[1] > 0.2 * ends[0];
                return if flat { Ok(found) } else { found.of(space, &values, vectors, shift) };
            }
            size = next;
        }
    }

    /// With these pairs.
    fn of(self, space: &S, values: &[f64], vectors: S::Block, shift: f64) -> Result<Self> {
        let m = vectors.vectors();
        let o = orthogonalise(space, &[], vectors, 1.0, 0.5)?;
        let rank = o.q.vectors();
        // Q (R Λ Rᵀ) Qᵀ: what was not quite orthonormal is brought in order.
        let (c, values) = space.small(Small::of(m, 12.0, 5), |_| {
            let scaled: Vec<f64> = o.r.iter().enumerate().map(|(i, r)| r * values[i % m]).collect();
            let transposed: Vec<f64> = (0..m * rank).map(|i| o.r[i % rank * m + i / rank]).collect();
            let inner = multiply(&kpflow_core::machine::Portable, &scaled, &transposed, [rank, m, rank]);
            let (values, y) = eigen(&inner, rank);
            let c: Vec<f64> = (0..rank * rank).map(|i| y[i % rank * rank + i / rank]).collect();
            Ok((c, values))
        })?;
        let u = space.product(&o.q, &c, rank);
        let held = Some(space.hold(rank));
        let last = values.last().map_or(0.0, |v| v.max(0.0)) + shift;
        // U is orthonormal to rounding alone: P⁻¹ stays positive definite.
        let least = 32.0 * space.epsilon();
        let less = values.iter().map(|v| (last / (v.max(0.0) + shift)).clamp(least, 1.0) - 1.0).collect();
        Ok(Self { u, less, largest: values.first().map_or(0.0, |v| v.max(0.0)), held })
    }

    /// P⁻¹ r. Collective.
    pub fn apply(&self, space: &S, r: &S::Block) -> Result<S::Block> {
        let mut z = space.copy(r);
        let (k, m) = (self.u.vectors(), r.vectors());
        if k > 0 {
            let _held = &self.held;
            let c = space.gram(&self.u, r)?;
            let c = space.small(Small { flops: (k * m) as f64, numbers: k * m }, |_| {
                Ok(c.iter().enumerate().map(|(i, c)| c * self.less[i / m]).collect::<Vec<f64>>())
            })?;
            space.add_product(&mut z, 1.0, &self.u, &c);
        }
        Ok(z)
    }
}

/// How many products of the iteration a sketch of `next` probes saves against one of `size`, whose eigenvalues are
/// `values`.
fn saved(values: &[f64], (size, next): (usize, usize), (shift, columns, left): (f64, usize, f64), rtol: f64) -> f64 {
    // What was cut off is rounding: the rank is found.
    if values.len() < size || size < 4 {
        return 0.0;
    }
    // The ends of a sketch's own spectrum are too small, its middle is right: as much decay from there to its end as to
    // the middle from a quarter.
    let (quarter, half) = (values[size / 4], values[size / 2]);
    let decay = if quarter > 0.0 { (half / quarter).min(1.0) } else { 0.0 };
    let now = half * decay;
    let then = now * decay.powf((next as f64 / size as f64).log2());
    let products = |value: f64| columns as f64 * 0.5 * (1.0 + value / shift).sqrt() * (2.0 / rtol).ln();
    products(now).min(left) - products(then)
}
