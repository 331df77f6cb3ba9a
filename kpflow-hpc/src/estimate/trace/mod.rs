//! Estimators of the trace, one file an algorithm.

mod auto;
mod hutchinson;
mod hutchpp;
mod nystrompp;
mod one_sided;
mod per_trajectory;
mod per_trajectory_xnystrace;
mod range;
mod xnystrace;
mod xtrace;

pub use auto::{auto, Exact};
pub use hutchinson::hutchinson;
pub use hutchpp::hutchpp;
pub use nystrompp::nystrompp;
pub(super) use one_sided::in_products;
pub use one_sided::{forward, reverse};
pub use per_trajectory::per_trajectory;
pub use per_trajectory_xnystrace::{largest_sketch, per_trajectory_xnystrace};
pub(super) use range::Range;
pub use xnystrace::xnystrace;
pub use xtrace::xtrace;

use super::factor::{columns, symmetric, trace};
use super::whitening::{gram_whitened, Core, Whitener};
use super::{Family, Problem, Tall};
use crate::engine::Real;
use crate::error::Result;
use faer::Mat;

/// Probes Ω of a family and the products Y = AΩ, more and more of them.
pub(super) struct Sketch<T> {
    family: Family,
    first: usize,
    /// Ω.
    pub omega: Tall<T>,
    /// A Ω.
    pub y: Tall<T>,
    grams: Grams,
}

/// The Gram matrices of probes and their products.
#[derive(Clone)]
struct Grams {
    /// ΩᵀΩ.
    own: Mat<f64>,
    /// ΩᵀY, symmetrised.
    form: Mat<f64>,
    /// YᵀY.
    square: Mat<f64>,
}

/// What a Nyström approximation of A + ν, ν = ε‖Y‖_F/√n, is made of: with the shift its factors exist whatever the rank of A is.
pub(super) struct Factors {
    /// Numbers of a vector.
    pub n: usize,
    /// ν.
    pub shift: f64,
    /// ΩᵀΩ.
    pub own: Mat<f64>,
    /// H = Ωᵀ(A + ν)Ω.
    pub core: Core,
    /// F with FᵀF = H⁺.
    pub root: Mat<f64>,
    /// F YᵀY Fᵀ, Y = (A + ν)Ω: its eigenvalues are those of the approximation YH⁺Yᵀ.
    pub inside: Mat<f64>,
}

impl Grams {
    /// The factors; `whitened(ν, H, F)` makes F YᵀY Fᵀ where a Gram matrix is not good enough for it. `None` where products are not finite.
    fn factors(
        self,
        n: usize,
        epsilon: f64,
        whitened: impl FnOnce(f64, &Core, &Mat<f64>) -> Mat<f64>,
    ) -> Result<Option<Factors>> {
        let Grams { own, form, square } = self;
        let m = own.nrows();
        let squared = trace(&square);
        if !squared.is_finite() {
            return Ok(None);
        }
        let shift = epsilon * (squared / n as f64).sqrt();
        let core = Core::new(&Mat::from_fn(m, m, |i, j| form[(i, j)] + shift * own[(i, j)]), epsilon)?;
        let root = core.whiten(Mat::identity(m, m).as_ref());
        let inside = if core.is_mild(epsilon) {
            let square = |i, j| square[(i, j)] + 2.0 * shift * form[(i, j)] + shift * shift * own[(i, j)];
            core.whiten(core.whiten(Mat::from_fn(m, m, square).as_ref()).transpose())
        } else {
            whitened(shift, &core, &root)
        };
        Ok(Some(Factors { n, shift, own, core, root, inside }))
    }
}

impl<T: Real> Sketch<T> {
    pub fn new(problem: &Problem<'_, T>, family: Family) -> Self {
        Self::from(problem, family, 0)
    }

    /// A sketch of the probes number `first ..`.
    pub fn from(problem: &Problem<'_, T>, family: Family, first: usize) -> Self {
        let grams = Grams { own: Mat::zeros(0, 0), form: Mat::zeros(0, 0), square: Mat::zeros(0, 0) };
        Self { family, first, omega: Tall::zeros(problem.shape(), 0), y: Tall::zeros(problem.shape(), 0), grams }
    }

    /// Goes on to `total` probes. Collective.
    pub fn extend(&mut self, problem: &Problem<'_, T>, total: usize) {
        let there = self.omega.vectors;
        if total > there {
            let more = problem.draw(self.family, self.first + there, total - there);
            self.y = self.y.beside(&problem.apply(&more));
            self.omega = self.omega.beside(&more);
        }
    }

    /// (A + ν) Ω.
    pub fn shifted(&self, shift: f64) -> Tall<T> {
        let mut y = self.y.clone();
        let shift = T::of(shift);
        y.data.iter_mut().zip(&self.omega.data).for_each(|(y, x)| *y += shift * *x);
        y
    }

    /// The factors of the Nyström approximation that one trajectory's part of this sketch makes of its diagonal block.
    pub fn factors_of(&self, b: usize) -> Result<Option<Factors>> {
        let (omega, y) = (columns(&self.omega, b), columns(&self.y, b));
        let form = omega.transpose() * &y;
        let form = Mat::from_fn(form.nrows(), form.ncols(), |i, j| 0.5 * (form[(i, j)] + form[(j, i)]));
        let grams = Grams { own: omega.transpose() * &omega, form, square: y.transpose() * &y };
        grams.factors(omega.nrows(), T::epsilon().f64(), |shift, _, root| {
            let z = (y + faer::Scale(shift) * &omega) * root.transpose();
            z.transpose() * &z
        })
    }

    /// The factors of the Nyström approximation that this sketch makes; `None` where products are not finite. Collective.
    ///
    /// Gram matrices grow with the sketch: what is known of its first probes is not computed again.
    pub fn factors(&mut self, problem: &Problem<'_, T>) -> Result<Option<Factors>> {
        let m = self.omega.vectors;
        let grow = |old: &Mat<f64>, x: &Tall<T>, y: &Tall<T>| {
            let (k, all) = (old.nrows(), problem.gram_of(x, 0..m, y, old.nrows()..m));
            let new = |i: usize, j: usize| all[i * (m - k) + j - k];
            Mat::from_fn(m, m, |i, j| match (i < k, j < k) {
                (true, true) => old[(i, j)],
                (true, false) => new(i, j),
                (false, true) => new(j, i),
                (false, false) => 0.5 * (new(i, j) + new(j, i)),
            })
        };
        if self.grams.own.nrows() < m {
            let own = grow(&self.grams.own, &self.omega, &self.omega);
            let form = grow(&self.grams.form, &self.omega, &self.y);
            let square = grow(&self.grams.square, &self.y, &self.y);
            self.grams = Grams { own, form, square };
        }
        let mut grams = self.grams.clone();
        if T::epsilon().f64() > f64::EPSILON && 2 * m > problem.len() {
            // So many probes that ΩᵀΩ is next to singular: single precision is not enough for it.
            let omega = self.omega.doubles();
            grams.own = symmetric(&problem.gram(&omega, &omega), m);
            grams.form = symmetric(&problem.gram(&omega, &self.y.doubles()), m);
        }
        grams.factors(problem.len(), T::epsilon().f64(), |shift, core, root| {
            gram_whitened(problem, &self.y, (shift, &self.omega), &Whitener::new(core, root))
        })
    }
}
