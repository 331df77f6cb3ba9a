//! The matrix product of two activations: attention's scores and its weighted sums.

use super::{Mixing, Point, Rows, RowsMut};
use crate::machine::{Gemm, Kernel, MatMut, MatRef};
use crate::Scalar;

/// Where the matrices of a group lie in a variable's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// One below the other.
    Rows,
    /// Side by side, as the heads of attention do.
    Columns,
    /// All groups use the same one (inputs only).
    Shared,
}

/// `C_g = A_g B_g`, or `A_g B_gᵀ`, for `groups` pairs of matrices (heads).
///
/// **Cost**: twice the forward product's flops a vector, in either direction.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// The number of pairs.
    pub groups: usize,
    /// Where A, B and C of a group lie.
    pub along: [Along; 3],
    /// Whether B is transposed.
    pub transposed: bool,
}

/// A group's matrix in a variable: its first row and column, rows and columns.
#[derive(Clone, Copy)]
struct Part {
    row: usize,
    column: usize,
    rows: usize,
    cols: usize,
}

impl Part {
    /// The matrix of one vector.
    fn of<'m, T: Scalar>(&self, x: &Rows<'m, T>, v: usize) -> MatRef<'m, T> {
        MatRef::of(x.from(self.row, v, self.column), self.rows, self.cols, x.position_stride)
    }
    fn of_mut<'m, T: Scalar>(&self, x: &'m mut RowsMut<'_, T>, v: usize) -> MatMut<'m, T> {
        let ld = x.position_stride;
        MatMut::of(x.from(self.row, v, self.column), self.rows, self.cols, ld)
    }
    /// The matrices of all vectors, a row a (position, vector): for rows that are one matrix.
    fn all<'m, T: Scalar>(&self, x: &Rows<'m, T>) -> MatRef<'m, T> {
        MatRef::of(x.from(self.row, 0, self.column), self.rows * x.vectors, self.cols, x.vector_stride)
    }
    fn all_mut<'m, T: Scalar>(&self, x: &'m mut RowsMut<'_, T>) -> MatMut<'m, T> {
        let (rows, ld) = (self.rows * x.vectors, x.vector_stride);
        MatMut::of(x.from(self.row, 0, self.column), rows, self.cols, ld)
    }
}

fn flip<T>(m: MatRef<'_, T>, transposed: bool) -> MatRef<'_, T> {
    if transposed {
        m.t()
    } else {
        m
    }
}

impl Product {
    /// The size of one group's matrix in a variable of this size.
    fn group(&self, which: usize, (positions, width): (usize, usize)) -> Option<(usize, usize)> {
        match self.along[which] {
            Along::Rows => (positions % self.groups == 0).then_some((positions / self.groups, width)),
            Along::Columns => (width % self.groups == 0).then_some((positions, width / self.groups)),
            Along::Shared => Some((positions, width)),
        }
    }

    fn part(&self, which: usize, size: (usize, usize), g: usize) -> Part {
        let (rows, cols) = self.group(which, size).unwrap_or((0, 0));
        let (row, column) = match self.along[which] {
            Along::Rows => (g * rows, 0),
            Along::Columns => (0, g * cols),
            Along::Shared => (0, 0),
        };
        Part { row, column, rows, cols }
    }

    /// `dC += dA B` of all vectors.
    fn add_from_a<T: Scalar>(
        &self,
        b: &Rows<'_, T>,
        da: &Rows<'_, T>,
        dc: &mut RowsMut<'_, T>,
        kernel: &dyn Kernel<T>,
    ) {
        let one = T::one();
        for g in 0..self.groups {
            let pa = self.part(0, (da.positions, da.width), g);
            let pc = self.part(2, (dc.positions, dc.width), g);
            let b = flip(self.part(1, (b.positions, b.width), g).of(b, 0), self.transposed);
            if da.is_matrix() && dc.is_matrix() {
                kernel.gemm(one, Gemm::of(pa.all(da), b, pc.all_mut(dc)), one);
            } else {
                (0..da.vectors).for_each(|v| kernel.gemm(one, Gemm::of(pa.of(da, v), b, pc.of_mut(dc, v)), one));
            }
        }
    }

    /// `dC += A dB`.
    fn add_from_b<T: Scalar>(
        &self,
        a: &Rows<'_, T>,
        db: &Rows<'_, T>,
        dc: &mut RowsMut<'_, T>,
        kernel: &dyn Kernel<T>,
    ) {
        for (g, v) in super::pairs(self.groups, db.vectors) {
            let a = self.part(0, (a.positions, a.width), g).of(a, 0);
            let db = flip(self.part(1, (db.positions, db.width), g).of(db, v), self.transposed);
            let pc = self.part(2, (dc.positions, dc.width), g);
            kernel.gemm(T::one(), Gemm::of(a, db, pc.of_mut(dc, v)), T::one());
        }
    }
}

impl<T: Scalar> Mixing<T> for Product {
    fn inputs(&self) -> usize {
        2
    }
    fn size(&self, inputs: &[(usize, usize)]) -> Option<(usize, usize)> {
        if self.groups == 0 || self.along[2] == Along::Shared {
            return None;
        }
        let (a, mut b) = (self.group(0, *inputs.first()?)?, self.group(1, *inputs.get(1)?)?);
        if self.transposed {
            b = (b.1, b.0);
        }
        let (rows, cols) = (a.1 == b.0).then_some((a.0, b.1))?;
        Some(match self.along[2] {
            Along::Rows => (rows.saturating_mul(self.groups), cols),
            Along::Columns | Along::Shared => (rows, cols.saturating_mul(self.groups)),
        })
    }
    fn forward(&self, inputs: &[Rows<'_, T>], mut output: RowsMut<'_, T>, kernel: &dyn Kernel<T>) {
        output.clear();
        self.add_from_a(&inputs[1], &inputs[0], &mut output, kernel);
    }
    fn tangent(&self, at: &Point<'_, T>, dx: &[Option<Rows<'_, T>>], mut dy: RowsMut<'_, T>, kernel: &dyn Kernel<T>) {
        dy.clear();
        if let Some(da) = &dx[0] {
            self.add_from_a(&at.inputs[1], da, &mut dy, kernel);
        }
        if let Some(db) = &dx[1] {
            self.add_from_b(&at.inputs[0], db, &mut dy, kernel);
        }
    }
    fn cotangent(&self, at: &Point<'_, T>, i: usize, dy: Rows<'_, T>, mut dx: RowsMut<'_, T>, kernel: &dyn Kernel<T>) {
        let one = T::one();
        for g in 0..self.groups {
            let pc = self.part(2, (dy.positions, dy.width), g);
            let px = self.part(i, (dx.positions, dx.width), g);
            let other = &at.inputs[1 - i];
            let po = self.part(1 - i, (other.positions, other.width), g).of(other, 0);
            if i == 0 && dy.is_matrix() && dx.is_matrix() {
                kernel.gemm(one, Gemm::of(pc.all(&dy), flip(po, !self.transposed), px.all_mut(&mut dx)), one);
                continue;
            }
            for v in 0..dy.vectors {
                let (dc, out) = (pc.of(&dy, v), px.of_mut(&mut dx, v));
                match (i, self.transposed) {
                    (0, transposed) => kernel.gemm(one, Gemm::of(dc, flip(po, !transposed), out), one),
                    (_, false) => kernel.gemm(one, Gemm::of(po.t(), dc, out), one),
                    (_, true) => kernel.gemm(one, Gemm::of(dc.t(), po, out), one),
                }
            }
        }
    }
}
