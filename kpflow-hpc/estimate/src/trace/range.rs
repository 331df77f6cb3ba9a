//! The range of an operator as a sketch sees it, and what the operator does there.

use super::Sketch;
use crate::factor::symmetric;
use crate::qr::orthogonalise;
use crate::space::{Block, Small, Space, SKETCHES};
use crate::Result;
use faer::Mat;

/// Q = orth(AΩ) and AQ, for more and more probes; Q only ever gains columns, so no product with it is lost.
pub(crate) struct Range<S: Space> {
    /// Ω and AΩ.
    pub sketch: Sketch<S>,
    /// Q.
    pub q: S::Block,
    /// A Q.
    pub aq: S::Block,
    /// R `[rank, probes]`: AΩ = QR.
    pub r: Mat<f64>,
    /// The largest norm of a column of AΩ.
    size: f64,
    held: Option<S::Held>,
}

impl<S: Space> Range<S> {
    pub fn new(space: &S) -> Self {
        let none = || space.zeros(0);
        let (sketch, r) = (Sketch::new(space, SKETCHES), Mat::zeros(0, 0));
        Self { sketch, q: none(), aq: none(), r, size: 0.0, held: None }
    }

    /// Goes on to `probes` probes; says whether all is finite. Collective.
    pub fn extend(&mut self, space: &S, probes: usize) -> Result<bool> {
        let there = self.sketch.y.vectors();
        if probes <= there {
            return Ok(true);
        }
        self.sketch.extend(space, probes)?;
        let y = space.columns(&self.sketch.y, there..probes);
        let squares = space.dots(&y, &y)?;
        if squares.iter().any(|s| !s.is_finite()) {
            return Ok(false);
        }
        self.size = squares.into_iter().fold(self.size.powi(2), f64::max).sqrt();
        let o = orthogonalise(space, &[&self.q], y, self.size, self.size * space.epsilon())?;
        let (old, new, more) = (self.q.vectors(), o.q.vectors(), probes - there);
        let before = std::mem::replace(&mut self.r, Mat::new());
        self.r = space.small(Small { flops: 0.0, numbers: (old + new) * probes }, |_| {
            Ok(Mat::from_fn(old + new, probes, |i, j| match (i < old, j < there) {
                (true, true) => before[(i, j)],
                (true, false) => o.c[i * more + j - there],
                (false, true) => 0.0,
                (false, false) => o.r[(i - old) * more + j - there],
            }))
        })?;
        self.held = Some(space.hold((old + new) * probes));
        let aq = space.apply(&o.q)?;
        space.append(&mut self.q, o.q);
        space.append(&mut self.aq, aq);
        Ok(true)
    }

    /// Whether Q spans all that A has: fewer directions than probes, or as many as there are at all.
    ///
    /// In single precision a Gram matrix cannot tell what is nothing from what is 10⁻² of the largest; there the rest is sampled.
    pub fn spans(&self, space: &S) -> bool {
        let deficient = self.q.vectors() < self.sketch.y.vectors() && space.epsilon() < 1e-10;
        deficient || self.q.vectors() == space.len()
    }

    /// QᵀAQ.
    pub fn project(&self, space: &S) -> Result<Mat<f64>> {
        let (gram, m) = (space.symmetric_gram(&self.q, &self.aq, 0)?, self.q.vectors());
        space.small(Small::of(m, 0.0, 2), |_| Ok(symmetric(&gram, m)))
    }

    /// Qᵀ X.
    pub fn coordinates(&self, space: &S, x: &S::Block) -> Result<Mat<f64>> {
        let c = space.gram(&self.q, x)?;
        let (k, m) = (self.q.vectors(), x.vectors());
        space.small(Small { flops: 0.0, numbers: 2 * k * m }, |_| Ok(Mat::from_fn(k, m, |i, j| c[i * m + j])))
    }
}
