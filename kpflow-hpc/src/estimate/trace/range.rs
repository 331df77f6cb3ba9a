//! The range of an operator as a sketch sees it, and what the operator does there.

use super::Sketch;
use crate::engine::Real;
use crate::estimate::factor::symmetric;
use crate::estimate::qr::orthogonalise;
use crate::estimate::{Problem, Tall, SKETCHES};
use faer::Mat;

/// Q = orth(AΩ) and AQ, for more and more probes; Q only ever gains columns, so no product with it is lost.
pub(in crate::estimate) struct Range<T> {
    /// Ω and AΩ.
    pub sketch: Sketch<T>,
    /// Q.
    pub q: Tall<T>,
    /// A Q.
    pub aq: Tall<T>,
    /// R `[rank, probes]`: AΩ = QR.
    pub r: Mat<f64>,
    /// The largest norm of a column of AΩ.
    size: f64,
}

impl<T: Real> Range<T> {
    pub fn new(problem: &Problem<'_, T>) -> Self {
        let none = || Tall::zeros(problem.shape(), 0);
        Self { sketch: Sketch::new(problem, SKETCHES), q: none(), aq: none(), r: Mat::zeros(0, 0), size: 0.0 }
    }

    /// Goes on to `probes` probes; says whether all is finite. Collective.
    pub fn extend(&mut self, problem: &Problem<'_, T>, probes: usize) -> bool {
        let there = self.sketch.y.vectors;
        if probes <= there {
            return true;
        }
        self.sketch.extend(problem, probes);
        let y = self.sketch.y.columns(there..probes, problem.engine);
        let squares = problem.dots(&y, &y);
        if squares.iter().any(|s| !s.is_finite()) {
            return false;
        }
        self.size = squares.into_iter().fold(self.size.powi(2), f64::max).sqrt();
        let o = orthogonalise(problem, &[&self.q], y, self.size, self.size * T::epsilon().f64());
        let (old, new, more) = (self.q.vectors, o.q.vectors, probes - there);
        self.r = Mat::from_fn(old + new, probes, |i, j| match (i < old, j < there) {
            (true, true) => self.r[(i, j)],
            (true, false) => o.c[i * more + j - there],
            (false, true) => 0.0,
            (false, false) => o.r[(i - old) * more + j - there],
        });
        let aq = problem.apply(&o.q);
        self.q.append(o.q, problem.engine);
        self.aq.append(aq, problem.engine);
        true
    }

    /// Whether Q spans all that A has: fewer directions than probes, or as many as there are at all.
    ///
    /// In single precision a Gram matrix cannot tell what is nothing from what is 10⁻² of the largest; there the rest is sampled.
    pub fn spans(&self, problem: &Problem<'_, T>) -> bool {
        let deficient = self.q.vectors < self.sketch.y.vectors && T::epsilon().f64() < 1e-10;
        deficient || self.q.vectors == problem.len()
    }

    /// QᵀAQ.
    pub fn project(&self, problem: &Problem<'_, T>) -> Mat<f64> {
        symmetric(&problem.symmetric_gram(&self.q, &self.aq, 0), self.q.vectors)
    }

    /// Qᵀ X.
    pub fn coordinates(&self, problem: &Problem<'_, T>, x: &Tall<T>) -> Mat<f64> {
        let c = problem.gram(&self.q, x);
        Mat::from_fn(self.q.vectors, x.vectors, |i, j| c[i * x.vectors + j])
    }
}
