//! What the window of a convolution reads at each of its positions.

use super::{Mixing, Point, Rows, RowsMut};
use crate::machine::Kernel;
use crate::Scalar;

/// Where windows stand: for every position of the output and every place of its window, the row of the map that is read there.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a> {
    /// `[positions][places]`, [`PADDING`](Self::PADDING) where the window stands outside of the map.
    pub rows: &'a [u32],
    /// Places of a window.
    pub places: usize,
    /// Into how many groups the map's columns are cut.
    pub groups: usize,
}

impl<'a> Windows<'a> {
    /// No row of the map: zeros.
    pub const PADDING: u32 = u32::MAX;

    /// Positions of the output.
    pub fn positions(&self) -> usize {
        self.rows.len() / self.places.max(1)
    }

    /// The places of the window at a position and the rows that are read there, if any.
    #[inline]
    pub fn at(&self, position: usize) -> impl Iterator<Item = (usize, Option<usize>)> + 'a {
        let rows = &self.rows[position * self.places..][..self.places];
        rows.iter().enumerate().map(|(k, &row)| (k, Some(row as usize).filter(|_| row != Self::PADDING)))
    }
}

/// The patches of a map: `y[p] = [group][place][column of the group]`, x's rows at the places of the window of p, zeros in its padding.
///
/// A dense site that reads them is a convolution (a group's columns of them, a grouped one), a [gain](crate::model::Form::Gain) of as many rows as places a
/// depthwise one, in any number of dimensions. Sweeps do not make the patches of tangents and cotangents where only such sites read them:
/// those read the map itself, some positions at a time. **Cost** elsewhere: places × width a position and vector.
#[derive(Clone, Copy, Debug)]
pub struct Patches<R> {
    /// As of [`Windows`].
    pub rows: R,
    /// As of [`Windows`].
    pub places: usize,
    /// As of [`Windows`].
    pub groups: usize,
}

impl<R: AsRef<[u32]>> Patches<R> {
    fn of(&self) -> Windows<'_> {
        Windows { rows: self.rows.as_ref(), places: self.places, groups: self.groups }
    }

    /// Calls `f(position, row, column of the patch, column of the map, columns)` for everything that is read.
    fn each(&self, width: usize, mut f: impl FnMut(usize, usize, usize, usize, usize)) {
        let windows = self.of();
        let per = width / self.groups;
        for p in 0..windows.positions() {
            for (k, row) in windows.at(p) {
                let Some(row) = row else { continue };
                (0..self.groups).for_each(|g| f(p, row, (g * self.places + k) * per, g * per, per));
            }
        }
    }
}

impl<T: Scalar, R: AsRef<[u32]> + Sync> Mixing<T> for Patches<R> {
    fn inputs(&self) -> usize {
        1
    }
    fn size(&self, inputs: &[(usize, usize)]) -> Option<(usize, usize)> {
        let (windows, [(positions, width)]) = (self.of(), inputs) else { return None };
        let within = |&row: &u32| row == Windows::PADDING || (row as usize) < *positions;
        let cut = self.places > 0 && self.groups > 0 && width % self.groups == 0;
        let whole = cut && windows.rows.len() % self.places == 0 && windows.rows.iter().all(within);
        Some((windows.positions(), self.places.checked_mul(*width)?)).filter(|_| whole)
    }
    fn windows(&self) -> Option<Windows<'_>> {
        Some(self.of())
    }
    fn forward(&self, inputs: &[Rows<'_, T>], mut output: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        output.clear();
        let x = &inputs[0];
        self.each(x.width, |p, row, to, from, len| {
            output.row(p, 0)[to..to + len].copy_from_slice(&x.row(row, 0)[from..from + len]);
        });
    }
    fn tangent(&self, _: &Point<'_, T>, dx: &[Option<Rows<'_, T>>], mut dy: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        dy.clear();
        let Some(dx) = &dx[0] else { return };
        self.each(dx.width, |p, row, to, from, len| {
            for v in 0..dx.vectors {
                dy.row(p, v)[to..to + len].copy_from_slice(&dx.row(row, v)[from..from + len]);
            }
        });
    }
    fn cotangent(&self, _: &Point<'_, T>, _: usize, dy: Rows<'_, T>, mut dx: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        self.each(dx.width, |p, row, from, to, len| {
            for v in 0..dy.vectors {
                let dx = &mut dx.row(row, v)[to..to + len];
                dx.iter_mut().zip(&dy.row(p, v)[from..from + len]).for_each(|(dx, dy)| *dx += *dy);
            }
        });
    }
}
