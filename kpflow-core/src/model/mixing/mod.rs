//! Mixing blocks: what is neither a weight nor unit-wise. Rows and columns of the output may depend on all of the inputs'.
//!
//! Each is a few lines of linear algebra in three directions: values forward, tangents forward, cotangents back. What a sweep needs of
//! the linearisation it finds again in the values of the inputs and the output; nothing else is kept.
//!
//! What networks call by other names is made of these, of sites and of clusters:
//!
//! | block | made of |
//! |---|---|
//! | attention with heads and masks | [`Product`] (q kᵀ, heads [`Along::Columns`]), [`Softmax`] with its mask, [`Product`] |
//! | convolution | [`Patches`], a dense site over pixels; depthwise, a gain |
//! | LayerNorm, RMSNorm | [`Normalize`], a [gain](super::Form::Gain) |
//! | BatchNorm in inference | [`MultiplyAdd`](super::functions::MultiplyAdd) with constants, a gain |
//! | mean pooling, concatenation, slices | [`Sparse`] |
//! | max pooling | [`Sparse`] (windows), [`MaxOf`](super::functions::MaxOf) |
//! | residual sum | [`Arithmetic::Add`](super::functions::Arithmetic) |

mod log_softmax;
mod normalize;
mod patches;
mod product;
mod softmax;
mod sparse;
mod transpose;

pub use log_softmax::{LogSoftmax, LogSumExp};
pub use normalize::Normalize;
pub use patches::{Patches, Windows};
pub use product::{Along, Product};
pub use softmax::Softmax;
pub use sparse::{Run, Sparse};
pub use transpose::Transpose;

use crate::error::below;
use crate::machine::Kernel;
use crate::{Error, Scalar};

/// One trajectory's rows of a variable (a range of its columns), for several vectors, wherever they lie in memory.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    data: &'a [T],
    /// Rows.
    pub positions: usize,
    /// Columns.
    pub width: usize,
    /// Vectors.
    pub vectors: usize,
    pub(super) position_stride: usize,
    pub(super) vector_stride: usize,
}

/// [`Rows`] to be written.
#[derive(Debug)]
pub struct RowsMut<'a, T> {
    data: &'a mut [T],
    /// Rows.
    pub positions: usize,
    /// Columns.
    pub width: usize,
    /// Vectors.
    pub vectors: usize,
    pub(super) position_stride: usize,
    pub(super) vector_stride: usize,
}

impl<'a, T> Rows<'a, T> {
    /// Views rows whose positions lie `strides.0` apart and whose vectors lie `strides.1` apart.
    pub(crate) fn new(data: &'a [T], positions: usize, width: usize, vectors: usize, strides: (usize, usize)) -> Self {
        let (position_stride, vector_stride) = strides;
        Self { data, positions, width, vectors, position_stride, vector_stride }
    }
    /// The row of one position and vector.
    ///
    /// **Errors**: if there is none.
    pub fn get(&self, p: usize, v: usize) -> Result<&'a [T], Error> {
        below(self.positions, p)?;
        below(self.vectors, v)?;
        let start = p.saturating_mul(self.position_stride).saturating_add(v.saturating_mul(self.vector_stride));
        let found = self.data.len().saturating_sub(start);
        let row = self.data.get(start..start.saturating_add(self.width));
        row.ok_or(Error::Length { expected: self.width, found })
    }
    /// The same where there is one.
    #[inline]
    pub(crate) fn row(&self, p: usize, v: usize) -> &'a [T] {
        &self.data[p * self.position_stride + v * self.vector_stride..][..self.width]
    }
    /// All numbers from that row's on.
    #[inline]
    fn from(&self, p: usize, v: usize, column: usize) -> &'a [T] {
        self.data.get(p * self.position_stride + v * self.vector_stride + column..).unwrap_or(&[])
    }
    /// Whether all positions and vectors together are the rows of one matrix.
    fn is_matrix(&self) -> bool {
        self.position_stride == self.vectors * self.vector_stride
    }
}

impl<'a, T: Scalar> RowsMut<'a, T> {
    /// Views rows whose positions lie `strides.0` apart and whose vectors lie `strides.1` apart.
    pub(crate) fn new(
        data: &'a mut [T],
        positions: usize,
        width: usize,
        vectors: usize,
        strides: (usize, usize),
    ) -> Self {
        let (position_stride, vector_stride) = strides;
        Self { data, positions, width, vectors, position_stride, vector_stride }
    }
    /// The row of one position and vector.
    ///
    /// **Errors**: if there is none.
    pub fn get(&mut self, p: usize, v: usize) -> Result<&mut [T], Error> {
        below(self.positions, p)?;
        below(self.vectors, v)?;
        let start = p.saturating_mul(self.position_stride).saturating_add(v.saturating_mul(self.vector_stride));
        let found = self.data.len().saturating_sub(start);
        let row = self.data.get_mut(start..start.saturating_add(self.width));
        row.ok_or(Error::Length { expected: self.width, found })
    }
    /// The same where there is one.
    #[inline]
    pub(crate) fn row(&mut self, p: usize, v: usize) -> &mut [T] {
        &mut self.data[p * self.position_stride + v * self.vector_stride..][..self.width]
    }
    #[inline]
    fn from(&mut self, p: usize, v: usize, column: usize) -> &mut [T] {
        self.data.get_mut(p * self.position_stride + v * self.vector_stride + column..).unwrap_or(&mut [])
    }
    fn is_matrix(&self) -> bool {
        self.position_stride == self.vectors * self.vector_stride
    }
    /// Sets all to zero.
    pub fn clear(&mut self) {
        for (p, v) in pairs(self.positions, self.vectors) {
            self.row(p, v).fill(T::zero());
        }
    }
}

/// All (position, vector).
fn pairs(positions: usize, vectors: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..positions).flat_map(move |p| (0..vectors).map(move |v| (p, v)))
}

/// The point at which a block is linearised.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a, T> {
    /// The values of the inputs, each with one vector.
    pub inputs: &'a [Rows<'a, T>],
    /// The values of the output.
    pub output: Rows<'a, T>,
}

/// A block whose output mixes rows or columns of its inputs, trajectory by trajectory. In a scan over time it sees one position.
///
/// What a graph gives to it has the sizes that [`size`](Mixing::size) agreed to.
pub trait Mixing<T: Scalar>: Sync {
    /// The number of inputs.
    fn inputs(&self) -> usize;

    /// The (positions, width) of the output for inputs of these sizes; `None` where they do not fit.
    fn size(&self, inputs: &[(usize, usize)]) -> Option<(usize, usize)>;

    /// Where it only gathers rows of its input, those: then sites can read through it.
    fn windows(&self) -> Option<Windows<'_>> {
        None
    }

    /// Computes the output.
    fn forward(&self, inputs: &[Rows<'_, T>], output: RowsMut<'_, T>, kernel: &dyn Kernel<T>);

    /// Writes the output's tangents `dy = Σ_i (∂y/∂x_i) dx_i`, over the inputs that have any.
    fn tangent(&self, at: &Point<'_, T>, dx: &[Option<Rows<'_, T>>], dy: RowsMut<'_, T>, kernel: &dyn Kernel<T>);

    /// Adds input number i's cotangents: `dx += (∂y/∂x_i)ᵀ dy`.
    fn cotangent(&self, at: &Point<'_, T>, i: usize, dy: Rows<'_, T>, dx: RowsMut<'_, T>, kernel: &dyn Kernel<T>);
}
