//! Blocks of vectors as tall matrices: what sketches and Krylov bases are made of.

use crate::error::fits;
use crate::space::Block;
use crate::workers::Workers;
use kpflow_core::machine::{Gemm, MatMut, MatRef};
use kpflow_core::{Scalar, Shape};
use std::ops::Range;

/// A block of vectors that owns its numbers, `[trajectory][vector][step][unit]`: a tall matrix with the vectors as columns.
#[derive(Clone, Debug)]
pub struct Tall<T> {
    /// The shape of this rank's part of each vector.
    pub shape: Shape,
    /// The number of vectors.
    pub vectors: usize,
    /// The numbers.
    pub data: Vec<T>,
}

/// Numbers of a vector whose products are summed in the vectors' own precision before the sum goes on in double precision:
/// Gram matrices summed in single precision break CholeskyQR beyond a condition number of 4·10³.
const CHUNK: usize = 2048;

/// Rows of a product of blocks that a task makes.
const PANEL: usize = 128;

/// How many panels of rows, and shares of the vectors' numbers, make the tasks of an Xᵀ Y of m rows.
fn tasks(shape: Shape, m: usize) -> (usize, usize) {
    const TASKS: usize = 16;
    let panels = m.div_ceil(PANEL).max(1);
    (panels, TASKS.div_ceil(panels).min(shape.trajectories * shape.per_trajectory().div_ceil(CHUNK)))
}

/// Numbers in double precision that an Xᵀ Y of m rows and k columns holds.
pub(crate) fn gram_len(shape: Shape, m: usize, k: usize, lanes: usize) -> usize {
    let (panels, shares) = tasks(shape, m);
    let own = PANEL.min(m) * k;
    (shares * panels + lanes.min(shares * panels)) * own + m * k
}

impl<T: Scalar> Tall<T> {
    /// Vectors of zeros.
    pub fn zeros(shape: Shape, vectors: usize) -> Self {
        Self { shape, vectors, data: vec![T::zero(); vectors * shape.len()] }
    }

    /// The columns in `range`.
    pub fn columns(&self, range: Range<usize>, engine: &impl Workers<T>) -> Self {
        let mut out = Self::zeros(self.shape, range.len());
        self.copy_columns(range, &mut out.data, engine);
        out
    }

    /// Writes the columns in `range` to a block of their own.
    pub fn copy_columns(&self, range: Range<usize>, out: &mut [T], engine: &impl Workers<T>) {
        let (n, len) = (self.shape.per_trajectory(), range.len() * self.shape.per_trajectory());
        engine.for_each(self.shape.trajectories, out, len, &mut [], 0, |b, out, _: &mut [T]| {
            out.copy_from_slice(&self.data[(b * self.vectors + range.start) * n..][..len]);
        });
    }

    /// Adds `other`'s columns after this one's.
    pub fn append(&mut self, other: Self, engine: &impl Workers<T>) {
        if self.vectors == 0 {
            *self = other;
            return;
        }
        let (n, vectors) = (self.shape.per_trajectory(), self.vectors + other.vectors);
        let mut all = Self::zeros(self.shape, vectors);
        engine.for_each(self.shape.trajectories, &mut all.data, vectors * n, &mut [], 0, |b, to, _: &mut [T]| {
            let (old, new) = to.split_at_mut(self.vectors * n);
            old.copy_from_slice(&self.data[b * self.vectors * n..][..self.vectors * n]);
            new.copy_from_slice(&other.data[b * other.vectors * n..][..other.vectors * n]);
        });
        *self = all;
    }

    /// The numbers of column `v` in trajectory `b`.
    pub fn part(&self, b: usize, v: usize) -> &[T] {
        let n = self.shape.per_trajectory();
        &self.data[(b * self.vectors + v) * n..][..n]
    }

    /// The numbers of column `v` in trajectory `b`, to be written.
    pub fn part_mut(&mut self, b: usize, v: usize) -> &mut [T] {
        let n = self.shape.per_trajectory();
        &mut self.data[(b * self.vectors + v) * n..][..n]
    }

    /// Writes `vectors` columns over this one's, from column `first` on.
    pub fn set_columns_of(&mut self, first: usize, vectors: usize, data: &[T], engine: &impl Workers<T>) {
        let (n, count, stride) = (self.shape.per_trajectory(), self.shape.trajectories, self.vectors);
        engine.for_each(count, &mut self.data, stride * n, &mut [], 0, |b, to, _: &mut [T]| {
            to[first * n..][..vectors * n].copy_from_slice(&data[b * vectors * n..][..vectors * n]);
        });
    }

    /// The same numbers in double precision.
    pub fn doubles(&self) -> Tall<f64> {
        let data = self.data.iter().map(|x| x.f64()).collect();
        Tall { shape: self.shape, vectors: self.vectors, data }
    }

    /// This rank's part of Xᵀ Y for these columns of both.
    pub fn local_gram(
        &self,
        rows: Range<usize>,
        y: &Self,
        columns: Range<usize>,
        engine: &impl Workers<T>,
    ) -> Vec<f64> {
        let first = columns.start;
        self.panels(rows, y, columns, |_| first, engine)
    }

    /// This rank's part of the columns `from ..` of an Xᵀ Y that is symmetric over all ranks: what is below its diagonal is what is above it.
    ///
    /// **Cost**: half of the flops of [`Self::local_gram`] where vectors are more than a panel of 128.
    pub(crate) fn local_symmetric_gram(&self, y: &Self, from: usize, engine: &impl Workers<T>) -> Vec<f64> {
        let m = y.vectors;
        let mut out = self.panels(0..m, y, from..m, |panel| panel.max(from), engine);
        let width = m - from;
        for i in from..m {
            (from..i).for_each(|j| out[i * width + j - from] = out[j * width + i - from]);
        }
        out
    }

    /// Panels of rows of Xᵀ Y, of which one that begins at row i has the columns from `first(i)` on, and zeros before them.
    ///
    /// A task is a panel and a share of the vectors' numbers; shares are added up in their order, and there are as many on any
    /// number of threads, so that the sum is the same. Where there are panels enough for all threads there is one share.
    fn panels(
        &self,
        rows: Range<usize>,
        y: &Self,
        columns: Range<usize>,
        first: impl Fn(usize) -> usize + Sync,
        engine: &impl Workers<T>,
    ) -> Vec<f64> {
        let (m, k, n) = (rows.len(), columns.len(), self.shape.per_trajectory());
        if m == 0 || k == 0 || n == 0 {
            return vec![0.0; m * k];
        }
        let (panels, shares) = tasks(self.shape, m);
        let chunks = n.div_ceil(CHUNK);
        let pieces = self.shape.trajectories * chunks;
        let own = PANEL.min(m) * k;
        let mut sums = vec![0.0; shares * panels * own];
        engine.for_each(shares * panels, &mut sums, own, &mut [], 0, |i, sum, _: &mut [f64]| {
            let (share, panel) = (i / panels, i % panels * PANEL);
            let height = PANEL.min(m - panel);
            let start = first(rows.start + panel);
            let width = columns.end - start;
            let mut g = vec![T::zero(); height * width];
            for piece in (share..pieces).step_by(shares) {
                let (b, c) = (piece / chunks, piece % chunks * CHUNK);
                let len = CHUNK.min(n - c);
                let x = MatRef::new(&self.data[(b * self.vectors + rows.start + panel) * n + c..], height, len, n);
                let y = MatRef::new(&y.data[(b * y.vectors + start) * n + c..], width, len, n);
                let product = Gemm::new(fits(x), fits(y).t(), fits(MatMut::new(&mut g, height, width, width)));
                engine.gemm(T::one(), fits(product), T::zero());
                for (sum, g) in sum.chunks_mut(k).zip(g.chunks(width)) {
                    let sum = sum[start - columns.start..].iter_mut().zip(g);
                    if piece == share {
                        sum.for_each(|(s, x)| *s = x.f64());
                    } else {
                        sum.for_each(|(s, x)| *s += x.f64());
                    }
                }
            }
        });
        let mut out = vec![0.0; m * k];
        for (i, sum) in sums.chunks(own).enumerate() {
            let to = &mut out[i % panels * PANEL * k..];
            to.iter_mut().zip(sum).for_each(|(o, s)| *o += s);
        }
        out
    }

    /// Adds α X C to this, where C is row-major `[x.vectors, self.vectors]`. Of a triangle the zeros cost nothing.
    pub fn add_product(&mut self, alpha: f64, x: &Self, c: &[f64], engine: &impl Workers<T>) {
        self.set_product(alpha, x, c, T::one(), engine);
    }

    /// α X C, and β times what is here.
    fn set_product(&mut self, alpha: f64, x: &Self, c: &[f64], beta: T, engine: &impl Workers<T>) {
        let (m, k, n) = (x.vectors, self.vectors, self.shape.per_trajectory());
        if m == 0 || k == 0 || n == 0 {
            return;
        }
        let c: Vec<T> = c.iter().map(|&x| T::of(alpha * x)).collect();
        // Rows of C below which a panel of its columns has zeros alone.
        let is_zero = |row: usize, panel: usize| c[row * k..][panel..k.min(panel + PANEL)].iter().all(T::is_zero);
        let known = |panel| (0..m).rev().find(|&row| !is_zero(row, panel)).map_or(0, |row| row + 1);
        let panels: Vec<(usize, usize)> = (0..k).step_by(PANEL).map(|panel| (panel, known(panel))).collect();
        engine.for_each(self.shape.trajectories, &mut self.data, k * n, &mut [], 0, |b, y, _: &mut [T]| {
            for &(panel, known) in &panels {
                let height = PANEL.min(k - panel);
                let x = fits(MatRef::new(&x.data[b * m * n..], known, n, n));
                let c = fits(MatRef::new(&c[panel..], known, height, k));
                let y = fits(MatMut::new(&mut y[panel * n..], height, n, n));
                engine.gemm(T::one(), fits(Gemm::new(c.t(), x, y)), beta);
            }
        });
    }

    /// X C, where C is row-major `[self.vectors, columns]`.
    pub fn product(&self, c: &[f64], columns: usize, engine: &impl Workers<T>) -> Self {
        // New memory is written before it is read: a page of zeros that is read first is given twice, and every core waits for it.
        let mut y = Self::zeros(self.shape, columns);
        y.set_product(1.0, self, c, T::zero(), engine);
        y
    }
}

impl<T> Block for Tall<T> {
    fn vectors(&self) -> usize {
        self.vectors
    }
}
