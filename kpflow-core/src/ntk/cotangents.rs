//! What every weight site reads, and the cotangents that single numbers of the state have there: all that the matrices of K and NTK are made of.

use crate::error::enough;
use crate::machine::{Kernel, Slab};
use crate::model::{Coupled, Flow, Form, Linearization, Mode, Sweep, Tile};
use crate::{Error, Scalar};
use core::ops::Range;

/// The sizes of a weight site, or of several whose inputs stand side by side and whose outputs are summed.
///
/// Its changes of weights are δW, `[rows, units]`: one row for every column that it reads, the last one that of a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteSize {
    /// How the weight acts.
    pub form: Form,
    /// Which part of θ: sites of the same part share their weights.
    pub part: usize,
    /// Positions of a trajectory at which it acts.
    pub positions: usize,
    /// Numbers that it reads at a position: of a dense site with the 1 of its bias, of an embedding the token.
    pub reads: usize,
    /// Numbers that it writes at a position.
    pub width: usize,
    /// Rows of δW.
    pub rows: usize,
    /// Columns of δW.
    pub units: usize,
    /// Whether the last row of a gain's δW is a bias.
    pub bias: bool,
}

/// What every weight site reads, and the cotangents of single numbers of the state there.
///
/// With u_p what a site reads at position p and δⁱ_p the cotangent of number i of the state there,
/// `A[(b,i),(b',j)] = Σ_sites Σ_{p,p'} ⟨u_p, u_p'⟩ ⟨δⁱ_p, δʲ_p'⟩` is the matrix of NTK, or of K: no product with the operator is needed.
#[derive(Clone, Copy)]
pub struct Cotangents<'a, T> {
    lin: &'a Linearization<'a, T>,
    mode: Mode,
}

impl<'a, T: Scalar> Cotangents<'a, T> {
    /// Those of NTK.
    pub fn total(lin: &'a Linearization<'a, T>) -> Self {
        Self { lin, mode: Mode::Total }
    }

    /// Those of K, which pass through no other state.
    pub fn immediate(lin: &'a Linearization<'a, T>) -> Self {
        Self { lin, mode: Mode::Immediate }
    }

    fn coupled(&self) -> impl Iterator<Item = Coupled> + Clone + 'a {
        self.lin.graph().coupled()
    }

    /// The sites.
    pub fn sites(&self) -> impl Iterator<Item = SiteSize> + 'a {
        self.coupled().map(|c| {
            let one = usize::from(c.bias);
            let reads = if c.form == Form::Dense { c.rows + one } else { c.input.width };
            SiteSize {
                form: c.form,
                part: c.place,
                positions: c.positions,
                reads,
                width: c.width,
                rows: c.rows + one,
                units: c.units,
                bias: c.bias,
            }
        })
    }

    /// How many tiles of trajectories there are.
    pub fn tiles(&self) -> usize {
        self.lin.tiles()
    }

    /// The trajectories of a tile.
    pub fn trajectories(&self, tile: usize) -> Range<usize> {
        self.lin.tile_range(tile)
    }

    /// Calls `visit(b, p, u)` for every trajectory b of a tile and position: what site number `site` reads there, without the 1 of a bias.
    pub fn each_read(&self, tile: usize, site: usize, mut visit: impl FnMut(usize, usize, &[T])) {
        let view = self.lin.view(tile);
        if let Some(c) = self.coupled().nth(site) {
            for (p, b) in (0..c.positions).flat_map(|p| (0..view.count()).map(move |b| (p, b))) {
                visit(b, p, view.row(c.input, p, b));
            }
        }
    }

    /// The row of an embedding that a token names.
    pub fn row_of(&self, site: usize, token: T) -> Option<usize> {
        let c = self.coupled().nth(site)?;
        self.lin.graph().weights()[c.weight].row(token)
    }

    /// Numbers of scratch that [`of_tile`](Self::of_tile) needs for so many numbers of the state.
    pub fn scratch_len<K: Kernel<T>>(&self, numbers: usize) -> usize {
        let (graph, tile) = (self.lin.graph(), self.lin.tile());
        let unit = numbers.saturating_mul(tile).saturating_mul(self.lin.shape().per_trajectory());
        unit.saturating_add(Sweep::<T, K>::work_len(graph, self.mode.flow(), numbers, tile))
    }

    /// Sweeps the cotangents of these numbers of every trajectory's state, by their places `t·N + j`, back through a tile.
    ///
    /// **Cost**: a sweep back with as many vectors. **Errors**: [`Error::Scratch`]; [`Error::Range`] if the state has no such number.
    pub fn of_tile<'w, K: Kernel<T>>(
        &self,
        tile: usize,
        numbers: &[usize],
        kernel: &K,
        scratch: &'w mut [T],
    ) -> Result<Swept<'w, 'a, T>, Error> {
        self.lin.require_values()?;
        let (m, per, view) = (numbers.len(), self.lin.shape().per_trajectory(), self.lin.view(tile));
        enough(self.scratch_len::<K>(m), scratch.len())?;
        if let Some(&found) = numbers.iter().find(|&&i| i >= per) {
            return Err(Error::Range { limit: per, found });
        }
        let (x, work) = scratch.split_at_mut(view.count() * m * per);
        x.fill(T::zero());
        for (r, x) in x.chunks_exact_mut(per.max(1)).enumerate() {
            x[numbers[r % m]] = T::one();
        }
        Sweep::new(view, self.mode, m, kernel).cotangent(x, Slab::nothing(), work);
        Ok(Swept { view, flow: self.mode.flow(), numbers: m, work })
    }
}

/// The cotangents of some numbers of the state at every site of a tile.
pub struct Swept<'w, 'a, T> {
    view: Tile<'a, T>,
    flow: Flow,
    numbers: usize,
    work: &'w [T],
}

impl<T: Scalar> Swept<'_, '_, T> {
    /// Calls `visit(b, p, δ)` for every trajectory b of the tile and position of site number `site`: δ is `[numbers][width]`.
    pub fn each(&self, site: usize, mut visit: impl FnMut(usize, usize, &[T])) {
        let (view, count) = (&self.view, self.view.count());
        if let Some(c) = view.graph().coupled().nth(site) {
            let (s, columns) = (&self.work[view.span(c.output, self.flow, self.numbers)], self.numbers * c.width);
            for (p, b) in (0..c.positions).flat_map(|p| (0..count).map(move |b| (p, b))) {
                visit(b, p, &s[(p * count + b) * columns..][..columns]);
            }
        }
    }
}
