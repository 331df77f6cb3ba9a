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
pub use per_trajectory_xnystrace::{largest_sketch, look_at, per_trajectory_xnystrace};
pub(super) use range::Range;
pub use xnystrace::xnystrace;
pub use xtrace::xtrace;

use super::factor::{columns, symmetric};
use super::whitening::{gram_whitened, Core, Whitener};
use super::{Family, Problem, Tall, SKETCHES};
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
    /// ΩᵀΩ, ΩᵀY and, where it is wanted, YᵀY.
    grams: [Growing; 3],
}

/// The Gram matrices of probes and their products.
struct Grams {
    /// ΩᵀΩ.
    own: Mat<f64>,
    /// ΩᵀY.
    form: Mat<f64>,
    /// ‖Y‖_F².
    squared: f64,
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
    /// The factors. `square()` makes YᵀY, and `whitened(ν, H, F)` makes F YᵀY Fᵀ where that is not good enough for it.
    /// `None` where products are not finite.
    fn factors(
        self,
        n: usize,
        epsilon: f64,
        square: impl FnOnce() -> Mat<f64>,
        whitened: impl FnOnce(f64, &Core, &Mat<f64>) -> Mat<f64>,
    ) -> Result<Option<Factors>> {
        let Grams { own, form, squared } = self;
        let m = own.nrows();
        if !squared.is_finite() {
            return Ok(None);
        }
        let shift = epsilon * (squared / n as f64).sqrt();
        let core = Core::new(&Mat::from_fn(m, m, |i, j| form[(i, j)] + shift * own[(i, j)]), epsilon)?;
        let root = core.whiten(Mat::identity(m, m).as_ref());
        let inside = if core.is_mild(epsilon) {
            let square = square();
            let square = |i, j| square[(i, j)] + 2.0 * shift * form[(i, j)] + shift * shift * own[(i, j)];
            core.whiten(core.whiten(Mat::from_fn(m, m, square).as_ref()).transpose())
        } else {
            whitened(shift, &core, &root)
        };
        Ok(Some(Factors { n, shift, own, core, root, inside }))
    }
}

/// A symmetric Xᵀ Y that grows with its columns: what is known of the first ones is not computed again.
struct Growing(Mat<f64>);

impl Growing {
    /// All of it. Collective.
    fn grow<S: Real>(&mut self, problem: &Problem<'_, S>, x: &Tall<S>, y: &Tall<S>) -> &Mat<f64> {
        let (old, k, m) = (&self.0, self.0.nrows(), y.vectors);
        if k < m {
            let new = problem.symmetric_gram(x, y, k);
            let at = |i: usize, j: usize| if j < k { old[(i, j)] } else { new[i * (m - k) + j - k] };
            self.0 = Mat::from_fn(m, m, |i, j| at(i.min(j), i.max(j)));
        }
        &self.0
    }
}

impl<T: Real> Sketch<T> {
    pub fn new(problem: &Problem<'_, T>, family: Family) -> Self {
        Self::from(problem, family, 0)
    }

    /// A sketch of the probes number `first ..`.
    pub fn from(problem: &Problem<'_, T>, family: Family, first: usize) -> Self {
        let none = || Tall::zeros(problem.shape(), 0);
        Self { family, first, ..Self::of(none(), none()) }
    }

    /// A sketch of these probes and their products.
    fn of(omega: Tall<T>, y: Tall<T>) -> Self {
        Self { family: SKETCHES, first: 0, omega, y, grams: [(); 3].map(|()| Growing(Mat::new())) }
    }

    /// Goes on to `total` probes. Collective.
    pub fn extend(&mut self, problem: &Problem<'_, T>, total: usize) {
        let there = self.omega.vectors;
        if total > there {
            let more = problem.draw(self.family, self.first + there, total - there);
            self.y.append(problem.apply(&more), problem.engine);
            self.omega.append(more, problem.engine);
        }
    }

    /// (A + ν) Ω.
    pub fn shifted(&self, shift: f64) -> Tall<T> {
        let mut y = self.y.clone();
        let shift = T::of(shift);
        y.data.iter_mut().zip(&self.omega.data).for_each(|(y, x)| *y += shift * *x);
        y
    }

    /// The factors of the Nyström approximation that one trajectory's part of this sketch, of `numbers` numbers, makes of its diagonal block.
    ///
    /// More probes than there are numbers say nothing more of it.
    pub fn factors_of(&self, b: usize, numbers: usize) -> Result<Option<Factors>> {
        let own = |x| columns(x, b).get(..numbers, ..x.vectors.min(numbers)).to_owned();
        let (omega, y): (Mat<f64>, Mat<f64>) = (own(&self.omega), own(&self.y));
        let form = omega.transpose() * &y;
        let form = Mat::from_fn(form.nrows(), form.ncols(), |i, j| 0.5 * (form[(i, j)] + form[(j, i)]));
        let grams = Grams { own: omega.transpose() * &omega, form, squared: y.squared_norm_l2() };
        let square = || y.transpose() * &y;
        grams.factors(omega.nrows(), T::epsilon().f64(), square, |shift, _, root| {
            let z = (&y + faer::Scale(shift) * &omega) * root.transpose();
            z.transpose() * &z
        })
    }

    /// The factors of the Nyström approximation that this sketch makes; `None` where products are not finite. Collective.
    pub fn factors(&mut self, problem: &Problem<'_, T>) -> Result<Option<Factors>> {
        let Self { omega, y, grams: [own, form, square], .. } = self;
        let squared = problem.dots(y, y).iter().sum();
        let grams = if T::epsilon().f64() > f64::EPSILON && 2 * y.vectors > problem.len() {
            // So many probes that ΩᵀΩ is next to singular: single precision is not enough for it.
            let (omega, y) = (omega.doubles(), y.doubles());
            let exact = |y| symmetric(&problem.symmetric_gram(&omega, y, 0), omega.vectors);
            Grams { own: exact(&omega), form: exact(&y), squared }
        } else {
            Grams { own: own.grow(problem, omega, omega).clone(), form: form.grow(problem, omega, y).clone(), squared }
        };
        let square = || square.grow(problem, y, y).clone();
        grams.factors(problem.len(), T::epsilon().f64(), square, |shift, core, root| {
            gram_whitened(problem, y, (shift, omega), &Whitener::new(core, root))
        })
    }
}
