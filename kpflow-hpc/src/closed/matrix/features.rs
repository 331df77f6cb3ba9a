//! What the rows of the matrix are made of: cotangents at the sites, or changes of weights, and what sites read.

use super::layout::{Group, Layout, PartOf, Piece, Way};
use crate::engine::{Engine, Real};
use crate::error::{fits, Result};
use kpflow_core::machine::{Gemm, Kernel, MatMut, MatRef, Tasks};
use kpflow_core::model::Form;
use kpflow_core::ntk::{Cotangents, Swept};
use std::sync::Mutex;

/// Numbers of a trajectory's state whose cotangents are swept back at a time.
const AT_ONCE: usize = 16;

/// How many numbers of so many are swept back at a time.
pub(super) fn at_once(numbers: usize) -> usize {
    numbers.min(AT_ONCE)
}

/// The features of this process's trajectories: `[b][i][group.len]` and `[b][group.reads]`, in double precision.
pub(super) fn write<T: Real>(
    cotangents: &Cotangents<'_, T>,
    (layout, group): (&Layout, &Group),
    (trajectories, tile): (usize, usize),
    numbers: &[usize],
    engine: &Engine,
) -> Result<[Vec<f64>; 2]> {
    let (m, tiles) = (numbers.len(), cotangents.tiles());
    let mut features = vec![0.0; trajectories * m * group.len];
    let mut reads = vec![0.0; trajectories * group.reads];
    let failed = Mutex::new(Ok(()));
    let (len, reads_len) = (tile * m * group.len, tile * group.reads);
    engine.for_each(tiles, &mut features, len, &mut reads, reads_len, |i, features, reads| {
        let one = Tile { cotangents, layout, group, tile: i, engine, m };
        if let Err(e) = one.write(numbers, features, reads) {
            if let Ok(mut failed) = failed.lock() {
                *failed = Err(e);
            }
        }
    });
    failed.into_inner().unwrap_or(Ok(())).map_err(crate::error::Error::from)?;
    Ok([features, reads])
}

/// A tile of trajectories.
struct Tile<'t, 'a, T> {
    cotangents: &'t Cotangents<'a, T>,
    layout: &'t Layout,
    group: &'t Group,
    tile: usize,
    engine: &'t Engine,
    /// Numbers of a trajectory, each of which is a row.
    m: usize,
}

/// What sites that share weights read, `[b][position][reads]`.
fn read<T: Real>(of: &Tile<'_, '_, T>, part: &PartOf) -> Vec<f64> {
    let count = of.cotangents.trajectories(of.tile).len();
    let (positions, n) = (part.positions, part.size.reads);
    // What is not written is the 1 of a bias.
    let mut all = vec![1.0; count * positions * n];
    let mut first = 0;
    for &site in &part.sites {
        of.cotangents.each_read(of.tile, site, |b, p, u| {
            let at = (b * positions + first + p) * n;
            all[at..at + u.len()].iter_mut().zip(u).for_each(|(x, u)| *x = u.f64());
        });
        first += of.layout.sites[site].positions;
    }
    all
}

impl<T: Real> Tile<'_, '_, T> {
    fn write(
        &self,
        numbers: &[usize],
        features: &mut [f64],
        reads: &mut [f64],
    ) -> std::result::Result<(), kpflow_core::Error> {
        let Self { cotangents, layout, group, m, .. } = *self;
        let mut scratch = vec![T::zero(); cotangents.scratch_len::<Engine>(at_once(m))];
        for (k, some) in numbers.chunks(AT_ONCE).enumerate() {
            let swept = cotangents.of_tile(self.tile, some, self.engine, &mut scratch)?;
            for piece in &group.pieces {
                let (part, rows) = (&layout.parts[piece.part], (k * AT_ONCE, some.len()));
                match part.way {
                    Way::Pairs => self.copy(&swept, (part, piece), rows, features),
                    Way::Weights => self.pull(&swept, (part, piece), rows, features),
                }
            }
        }
        for piece in group.pieces.iter().filter(|p| layout.parts[p.part].way == Way::Pairs) {
            let all = read(self, &layout.parts[piece.part]);
            for (out, own) in reads.chunks_mut(group.reads).zip(all.chunks(piece.reads.len().max(1))) {
                out[piece.reads.clone()].copy_from_slice(own);
            }
        }
        Ok(())
    }

    /// Where in the tile's features those of number i of trajectory b begin.
    fn row(&self, b: usize, i: usize, piece: &Piece) -> usize {
        (b * self.m + i) * self.group.len + piece.at.start
    }

    /// Copies cotangents, `[position][width]` a row.
    fn copy(
        &self,
        swept: &Swept<'_, '_, T>,
        (part, piece): (&PartOf, &Piece),
        (first, count): (usize, usize),
        features: &mut [f64],
    ) {
        let width = part.size.width;
        let mut before = 0;
        for &site in &part.sites {
            swept.each(site, |b, p, s| {
                for (i, s) in s.chunks_exact(width.max(1)).enumerate().take(count) {
                    let at = self.row(b, first + i, piece) + (before + p) * width;
                    features[at..at + width].iter_mut().zip(s).for_each(|(x, s)| *x = s.f64());
                }
            });
            before += self.layout.sites[site].positions;
        }
    }

    /// Sums changes of weights over positions: some rows of δW = Uᵀ S, which is U's columns times S.
    fn pull(
        &self,
        swept: &Swept<'_, '_, T>,
        (part, piece): (&PartOf, &Piece),
        (first, count): (usize, usize),
        features: &mut [f64],
    ) {
        let rows = &piece.rows;
        for &site in &part.sites {
            let size = &self.layout.sites[site];
            let (n, width, units, positions) = (size.reads, size.width, size.units, size.positions);
            let alone = PartOf { sites: vec![site], positions, size: *size, ..part.clone() };
            let u = read(self, &alone);
            match size.form {
                Form::Dense => {
                    let trajectories = self.cotangents.trajectories(self.tile).len();
                    let mut s_all = vec![0.0; trajectories * count * positions * width];
                    swept.each(site, |b, p, s| {
                        for (i, s) in s.chunks_exact(width.max(1)).enumerate().take(count) {
                            let at = ((b * count + i) * positions + p) * width;
                            s_all[at..at + width].iter_mut().zip(s).for_each(|(x, s)| *x = s.f64());
                        }
                    });
                    for (b, i) in (0..trajectories).flat_map(|b| (0..count).map(move |i| (b, i))) {
                        let u = &u[b * positions * n + rows.start..(b + 1) * positions * n];
                        let s = &s_all[(b * count + i) * positions * width..][..positions * width];
                        let at = self.row(b, first + i, piece);
                        let (u, s) = (
                            fits(MatRef::new(u, positions, rows.len(), n)),
                            fits(MatRef::new(s, positions, width, width)),
                        );
                        let dw = fits(MatMut::new(&mut features[at..at + piece.at.len()], rows.len(), width, units));
                        self.engine.gemm(1.0, fits(Gemm::new(u.t(), s, dw)), 1.0);
                    }
                }
                Form::Gain => swept.each(site, |b, p, s| {
                    let u = &u[(b * positions + p) * n..][..n];
                    for (i, s) in s.chunks_exact(width.max(1)).enumerate().take(count) {
                        let at = self.row(b, first + i, piece);
                        for (row, out) in rows.clone().zip(features[at..at + piece.at.len()].chunks_mut(units.max(1))) {
                            let bias = size.bias && row + 1 == size.rows;
                            match bias {
                                true => out.iter_mut().zip(s).for_each(|(x, s)| *x += s.f64()),
                                false => {
                                    let pairs = out.iter_mut().zip(s).zip(&u[row * units..]);
                                    pairs.for_each(|((x, s), u)| *x += s.f64() * u);
                                }
                            }
                        }
                    }
                }),
                Form::Embedding => swept.each(site, |b, p, s| {
                    let Some(token) = self.cotangents.row_of(site, T::of(u[(b * positions + p) * n])) else { return };
                    for (i, s) in s.chunks_exact(width.max(1)).enumerate().take(count) {
                        let at = self.row(b, first + i, piece);
                        for (k, row) in rows.clone().enumerate() {
                            features[at + k * units + token] += s[row].f64();
                        }
                    }
                }),
            }
        }
    }
}

/// Bytes that a tile's work takes beside the features, in one lane: of numbers of `number` bytes, for so many rows a trajectory.
pub(super) fn tile_bytes(layout: &Layout, scratch: usize, number: usize, tile: usize, numbers: usize) -> usize {
    let of = |part: &PartOf| {
        let one = |i: &usize| {
            let s = &layout.sites[*i];
            let cotangents = if s.form == Form::Dense { at_once(numbers) * s.width } else { 0 };
            s.positions * (s.reads + cotangents)
        };
        match part.way {
            Way::Pairs => part.positions * part.size.reads,
            Way::Weights => part.sites.iter().map(one).max().unwrap_or(0),
        }
    };
    scratch * number + 8 * tile * layout.parts.iter().map(of).max().unwrap_or(0)
}
