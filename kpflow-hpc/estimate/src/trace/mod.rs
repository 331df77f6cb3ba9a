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
pub(crate) use one_sided::in_products;
pub use one_sided::one_sided;
pub use per_trajectory::per_trajectory;
pub use per_trajectory_xnystrace::{look, look_at, per_trajectory_xnystrace};
pub(crate) use range::Range;
pub use xnystrace::xnystrace;
pub use xtrace::xtrace;

use crate::factor::symmetric;
use crate::space::{Block, Family, Small, Space};
use crate::whitener::{Core, Whitener};
use crate::Result;
use faer::Mat;

/// Probes of a sketch in a space of n numbers, where memory is what bounds them: 2²⁷ numbers on all processes together, but so many at least and at most.
pub(crate) fn most_probes(n: usize, [least, most]: [usize; 2]) -> usize {
    const NUMBERS: usize = 1 << 27;
    (NUMBERS / n.max(1)).clamp(least, most)
}

/// Probes Ω of a family and the products Y = AΩ, more and more of them.
pub(crate) struct Sketch<S: Space> {
    family: Family,
    first: usize,
    /// Ω.
    pub omega: S::Block,
    /// A Ω.
    pub y: S::Block,
    /// ΩᵀΩ, ΩᵀY and, where it is wanted, YᵀY.
    grams: [Growing<S>; 3],
}

/// The Gram matrices of probes and their products.
struct Grams {
    /// ΩᵀΩ.
    own: Mat<f64>,
    /// ΩᵀY.
    form: Mat<f64>,
    /// ‖Y‖_F².
    squared: f64,
    /// What rounding makes of an entry of ΩᵀY, made symmetric.
    noise: f64,
}

/// The root mean square of the skew part of ΩᵀY, from pairs of entries that are equal but for rounding: what is left of an entry's rounding in the symmetric part.
/// At least what a product that is rounded once has.
pub(crate) fn noise_of(pairs: impl Iterator<Item = (f64, f64)>, epsilon: f64) -> f64 {
    let (mut squares, mut count, mut largest) = (0.0, 0.0, 0.0f64);
    for (a, b) in pairs {
        squares += 0.25 * (a - b) * (a - b);
        count += 1.0;
        largest = largest.max(a.abs());
    }
    let measured = if count > 0.0 { f64::sqrt(squares / count) } else { 0.0 };
    measured.max(0.1 * epsilon * largest)
}

/// What a Nyström approximation of A + ν, ν = ε‖Y‖_F/√n, is made of: with the shift its factors exist whatever the rank of A is.
pub(crate) struct Factors {
    /// Numbers of a vector.
    pub n: usize,
    /// ν.
    pub shift: f64,
    /// ΩᵀΩ.
    pub own: Mat<f64>,
    /// ΩᵀAΩ, where there are as many probes as numbers.
    pub form: Mat<f64>,
    /// What rounding makes of an entry of that.
    pub noise: f64,
    /// H = Ωᵀ(A + ν)Ω.
    pub core: Core,
    /// F with FᵀF = H⁺.
    pub root: Mat<f64>,
    /// F YᵀY Fᵀ, Y = (A + ν)Ω: its eigenvalues are those of the approximation YH⁺Yᵀ.
    pub inside: Mat<f64>,
}

/// Factors whose last part is still to be made.
struct Begun {
    grams: Grams,
    n: usize,
    shift: f64,
    core: Core,
    root: Mat<f64>,
    epsilon: f64,
}

/// How far above the norm of rounding a direction is seen.
const MARGIN: f64 = 5.0;

impl Grams {
    /// Begins the factors; `None` where products are not finite.
    fn begin(self, n: usize, epsilon: f64) -> Result<Option<Begun>> {
        let Grams { own, form, squared, noise } = &self;
        let m = own.nrows();
        if !squared.is_finite() {
            return Ok(None);
        }
        let shift = epsilon * (squared / n as f64).sqrt();
        // The norm of a symmetric matrix of such entries is 2√m of one.
        let noise = MARGIN * 2.0 * (m as f64).sqrt() * noise;
        let core = Core::new(&Mat::from_fn(m, m, |i, j| form[(i, j)] + shift * own[(i, j)]), noise, epsilon)?;
        let root = core.whiten(Mat::identity(m, m).as_ref());
        Ok(Some(Begun { grams: self, n, shift, core, root, epsilon }))
    }
}

impl Begun {
    /// Whether YᵀY is good enough for F YᵀY Fᵀ.
    fn is_mild(&self) -> bool {
        self.core.is_mild(self.epsilon)
    }

    /// F YᵀY Fᵀ of the shifted Y, from YᵀY.
    fn inside(&self, square: &Mat<f64>) -> Mat<f64> {
        let (Grams { own, form, .. }, shift, m) = (&self.grams, self.shift, self.root.ncols());
        let square = |i, j| square[(i, j)] + 2.0 * shift * form[(i, j)] + shift * shift * own[(i, j)];
        self.core.whiten(self.core.whiten(Mat::from_fn(m, m, square).as_ref()).transpose())
    }

    fn end(self, inside: Mat<f64>) -> Factors {
        let Self { grams, n, shift, core, root, .. } = self;
        let form = if grams.own.nrows() == n { grams.form } else { Mat::new() };
        Factors { n, shift, own: grams.own, form, noise: grams.noise, core, root, inside }
    }
}

/// The factors of the Nyström approximation that one trajectory's probes and products make of its diagonal block; `None` where products are not finite.
pub(crate) fn factors_of(omega: &Mat<f64>, y: &Mat<f64>, epsilon: f64) -> Result<Option<Factors>> {
    let form = omega.transpose() * y;
    let m = form.nrows();
    let noise =
        noise_of((0..m).flat_map(|i| (0..i).map(|j| (form[(i, j)], form[(j, i)])).collect::<Vec<_>>()), epsilon);
    let form = Mat::from_fn(m, m, |i, j| 0.5 * (form[(i, j)] + form[(j, i)]));
    let grams = Grams { own: omega.transpose() * omega, form, squared: y.squared_norm_l2(), noise };
    let Some(begun) = grams.begin(omega.nrows(), epsilon)? else { return Ok(None) };
    let inside = if begun.is_mild() {
        begun.inside(&(y.transpose() * y))
    } else {
        let z = (y + faer::Scale(begun.shift) * omega) * begun.root.transpose();
        z.transpose() * &z
    };
    Ok(Some(begun.end(inside)))
}

/// [`noise_of`] ΩᵀY, of which `form` was made above the diagonal alone: some entries once more, from below. Collective.
fn noise<S: Space>(space: &S, omega: &S::Block, y: &S::Block, form: &Mat<f64>) -> Result<f64> {
    /// Columns.
    const SOME: usize = 8;
    let m = y.vectors();
    let first = m.saturating_sub(SOME);
    let below = space.gram(&space.columns(omega, first..m), y)?;
    space.small(Small::default(), |_| {
        let entry = |i: usize, j: usize| (form[(j, i)], below[(i - first) * m + j]);
        Ok(noise_of((first..m).flat_map(|i| (0..i).map(move |j| entry(i, j))), space.epsilon()))
    })
}

/// A symmetric Xᵀ Y that grows with its columns: what is known of the first ones is not computed again.
struct Growing<S: Space> {
    gram: Mat<f64>,
    size: usize,
    held: Option<S::Held>,
}

impl<S: Space> Growing<S> {
    fn new() -> Self {
        Self { gram: Mat::new(), size: 0, held: None }
    }

    /// All of it. Collective.
    fn grow(&mut self, space: &S, x: &S::Block, y: &S::Block) -> Result<&Mat<f64>> {
        let (k, m) = (self.size, y.vectors());
        if k < m {
            let new = space.symmetric_gram(x, y, k)?;
            let old = std::mem::replace(&mut self.gram, Mat::new());
            self.held = None;
            self.gram = space.small(Small { flops: 0.0, numbers: k * k + m * m + m * (m - k) }, |_| {
                let at = |i: usize, j: usize| if j < k { old[(i, j)] } else { new[i * (m - k) + j - k] };
                Ok(Mat::from_fn(m, m, |i, j| at(i.min(j), i.max(j))))
            })?;
            (self.size, self.held) = (m, Some(space.hold(m * m)));
        }
        Ok(&self.gram)
    }
}

impl<S: Space> Sketch<S> {
    pub fn new(space: &S, family: Family) -> Self {
        Self::from(space, family, 0)
    }

    /// A sketch of the probes number `first ..`.
    pub fn from(space: &S, family: Family, first: usize) -> Self {
        let none = || space.zeros(0);
        Self { family, first, omega: none(), y: none(), grams: [(); 3].map(|()| Growing::new()) }
    }

    /// Goes on to `total` probes. Collective.
    pub fn extend(&mut self, space: &S, total: usize) -> Result<()> {
        let there = self.omega.vectors();
        if total > there {
            let more = space.draw(self.family, self.first + there, total - there);
            let products = space.apply(&more)?;
            space.append(&mut self.y, products);
            space.append(&mut self.omega, more);
        }
        Ok(())
    }

    /// (A + ν) Ω.
    pub fn shifted(&self, space: &S, shift: f64) -> S::Block {
        space.shifted(&self.y, shift, &self.omega)
    }

    /// The factors of the Nyström approximation that this sketch makes; `None` where products are not finite, or where there are no numbers. Collective.
    pub fn factors(&mut self, space: &S) -> Result<Option<Factors>> {
        let Self { omega, y, grams: [own, form, square], .. } = self;
        let (n, m, epsilon) = (space.len(), y.vectors(), space.epsilon());
        let squared = space.dots(y, y)?.iter().sum();
        let (own, form) = if epsilon > f64::EPSILON && 2 * m > n {
            // So many probes that ΩᵀΩ is next to singular: single precision is not enough for it.
            let own = space.symmetric_gram_of_doubles(omega, omega)?;
            let form = space.symmetric_gram_of_doubles(omega, y)?;
            space.small(Small::of(m, 0.0, 4), |_| Ok((symmetric(&own, m), symmetric(&form, m))))?
        } else {
            (own.grow(space, omega, omega)?.clone(), form.grow(space, omega, y)?.clone())
        };
        let noise = noise(space, omega, y, &form)?;
        // A factor, a root of its inverse, and whitened Gram matrices.
        let begun = space.small(Small::of(m, 2.0, 6), |_| Grams { own, form, squared, noise }.begin(n, epsilon))?;
        let inside = match &begun {
            Some(begun) if begun.is_mild() => {
                let square = square.grow(space, y, y)?;
                space.small(Small::of(m, 2.0, 8), |_| Ok(begun.inside(square)))?
            }
            // The costlier way, where numbers do not say.
            Some(_) | None => {
                let whitener = begun.as_ref().map(|b| Whitener::new(&b.core, &b.root));
                let _held = space.hold(5 * m * m);
                space.gram_whitened(y, (begun.as_ref().map_or(0.0, |b| b.shift), omega), whitener.as_ref())?
            }
        };
        Ok(begun.map(|begun| begun.end(inside)))
    }
}
