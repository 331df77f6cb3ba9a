//! What the parts of θ of a group add to some rows of the matrix: two Gram matrices a part, multiplied entry by entry.

use super::layout::{Group, Layout, PartOf, Piece, Way};
use crate::engine::Engine;
use crate::error::fits;
use crate::progress;
use kpflow_core::machine::{Gemm, Kernel, MatMut, MatRef, Tasks};
use kpflow_core::model::Form;
use std::ops::Range;

/// Rows that a task makes.
const PANEL: usize = 128;
/// Columns of them at a time: what is made of them stays near the processor.
const COLUMNS: usize = 4 * PANEL;

/// What some rows of the matrix are made of.
#[derive(Clone, Copy)]
pub(super) struct Features<'f> {
    /// `[row][group.len]`.
    pub rows: &'f [f64],
    /// `[trajectory][group.reads]`.
    pub reads: &'f [f64],
    /// Rows of a trajectory.
    pub per: usize,
}

/// Some rows of the matrix times all of its columns.
pub(super) struct Product<'f> {
    pub layout: &'f Layout,
    pub group: &'f Group,
    /// Those of the rows.
    pub left: Features<'f>,
    /// Those of the columns.
    pub right: Features<'f>,
    /// Which columns these rows are, where the matrix is symmetric: what is left of the diagonal is not made.
    pub own: Option<Range<usize>>,
    /// The columns to make.
    pub columns: Range<usize>,
    /// What is made of rows alone is multiplied by, and what is made of what is read too.
    pub factors: [f64; 2],
    /// All columns.
    pub n: usize,
}

/// Tasks that so many rows are.
pub(super) fn tasks(rows: usize) -> usize {
    rows.div_ceil(PANEL)
}

/// Numbers that a lane holds, of so many rows a trajectory at the left and at the right.
pub(super) fn lane_len(layout: &Layout, [left, right]: [usize; 2]) -> usize {
    let trajectories = |rows: usize, per: usize| rows.div_ceil(per.max(1)) + 1;
    let of = |part: &PartOf| match part.way {
        Way::Weights => 0,
        Way::Pairs if part.positions == 1 => PANEL * COLUMNS + trajectories(PANEL, left) * trajectories(COLUMNS, right),
        Way::Pairs => part.positions * (part.positions + right * part.size.width),
    };
    layout.parts.iter().map(of).max().unwrap_or(0)
}

/// Some rows of `[row][ld]`, of which each has some numbers.
fn rows<'f>(all: &'f [f64], rows: &Range<usize>, ld: usize, at: &Range<usize>) -> MatRef<'f, f64> {
    let from = (rows.start * ld + at.start).min(all.len());
    fits(MatRef::new(&all[from..], rows.len(), at.len(), ld))
}

/// The trajectories that some rows are of.
fn trajectories(rows: &Range<usize>, per: usize) -> Range<usize> {
    rows.start / per..rows.end.div_ceil(per)
}

impl Product<'_> {
    /// Adds them to `out`, `[row][all columns]`.
    pub fn add(&self, out: &mut [f64], engine: &Engine) {
        let (n, lane) = (self.n, lane_len(self.layout, [self.left.per, self.right.per]));
        if out.is_empty() || self.columns.is_empty() || self.group.len == 0 {
            return;
        }
        let mut scratch = vec![0.0; lane * engine.lanes()];
        engine.for_each_in_turn(tasks(out.len() / n), out, PANEL * n, &mut scratch, lane, |i, work, out| {
            self.panel(i * PANEL..i * PANEL + out.len() / n, out, work, engine);
            progress::did(1);
        });
    }

    /// Whether these columns of these rows are left of the diagonal, all of them.
    fn mirrored(&self, rows: &Range<usize>, columns: &Range<usize>) -> bool {
        let left = |own: &Range<usize>| columns.start >= own.start && columns.end <= own.start + rows.start;
        self.own.as_ref().is_some_and(left)
    }

    fn panel(&self, rows: Range<usize>, out: &mut [f64], work: &mut [f64], engine: &Engine) {
        let own = self.own.clone().unwrap_or(0..0);
        let Range { start, end } = self.columns.clone();
        for (from, to) in
            [(start, end.min(own.start)), (start.max(own.start), end.min(own.end)), (start.max(own.end), end)]
        {
            for first in (from..to.max(from)).step_by(COLUMNS) {
                let columns = first..(first + COLUMNS).min(to);
                if self.mirrored(&rows, &columns) {
                    continue;
                }
                self.weights(&rows, &columns, out, engine);
                for piece in self.group.pieces.iter().filter(|p| self.layout.parts[p.part].positions == 1) {
                    self.one_position(piece, &rows, &columns, out, work, engine);
                }
            }
        }
        for piece in self.group.pieces.iter().filter(|p| self.layout.parts[p.part].positions != 1) {
            if self.layout.parts[piece.part].way == Way::Pairs {
                self.positions(piece, &rows, out, work, engine);
            }
        }
    }

    /// What is made of the changes of weights: one product for all that stand side by side.
    fn weights(&self, of: &Range<usize>, columns: &Range<usize>, out: &mut [f64], engine: &Engine) {
        let (n, ld) = (self.n, self.group.len);
        let mut runs: Vec<Range<usize>> = Vec::new();
        for piece in self.group.pieces.iter().filter(|p| self.layout.parts[p.part].way == Way::Weights) {
            match runs.last_mut().filter(|run| run.end == piece.at.start) {
                Some(run) => run.end = piece.at.end,
                None => runs.push(piece.at.clone()),
            }
        }
        for at in runs {
            let (a, b) = (rows(self.left.rows, of, ld, &at), rows(self.right.rows, columns, ld, &at));
            let out = fits(MatMut::new(&mut out[columns.start..], of.len(), columns.len(), n));
            engine.gemm(self.factors[0], fits(Gemm::new(a, b.t(), out)), 1.0);
        }
    }

    /// By what the products of a part's cotangents are multiplied: tokens have no size.
    fn factor(&self, part: &PartOf) -> f64 {
        self.factors[usize::from(part.size.form != Form::Embedding)]
    }

    /// What a part adds that acts once a trajectory: ⟨u_b, u_b'⟩ ⟨δⁱ_b, δʲ_b'⟩.
    fn one_position(
        &self,
        piece: &Piece,
        of: &Range<usize>,
        columns: &Range<usize>,
        out: &mut [f64],
        work: &mut [f64],
        engine: &Engine,
    ) {
        let part = &self.layout.parts[piece.part];
        if part.way != Way::Pairs {
            return;
        }
        let (n, ld) = (self.n, self.group.len);
        let (d, g) = work.split_at_mut(PANEL * COLUMNS);
        let d = &mut d[..of.len() * columns.len()];
        let (a, b) = (rows(self.left.rows, of, ld, &piece.at), rows(self.right.rows, columns, ld, &piece.at));
        engine.gemm(
            self.factor(part),
            fits(Gemm::new(a, b.t(), fits(MatMut::new(d, of.len(), columns.len(), columns.len())))),
            0.0,
        );
        let (above, beside) = (trajectories(of, self.left.per), trajectories(columns, self.right.per));
        let g = &mut g[..above.len() * beside.len()];
        self.reads_gram(part, piece, [above.clone(), beside.clone()], g, engine);
        let per = self.right.per;
        for (k, d) in d.chunks_exact(columns.len()).enumerate() {
            let g = &g[((of.start + k) / self.left.per - above.start) * beside.len()..][..beside.len()];
            let out = &mut out[k * n + columns.start..][..columns.len()];
            if per == 1 {
                out.iter_mut().zip(d).zip(g).for_each(|((x, d), g)| *x += d * g);
                continue;
            }
            let mut at = 0;
            for (b, g) in beside.clone().zip(g) {
                let to = ((b + 1) * per).min(columns.end) - columns.start;
                out[at..to].iter_mut().zip(&d[at..to]).for_each(|(x, d)| *x += d * g);
                at = to;
            }
        }
    }

    /// The Gram matrix of what is read in some trajectories at one position, or in one at all of them.
    fn reads_gram(
        &self,
        part: &PartOf,
        piece: &Piece,
        [above, beside]: [Range<usize>; 2],
        g: &mut [f64],
        engine: &Engine,
    ) {
        let ld = self.group.reads;
        // A row a position: of several trajectories each has one.
        let view = |side: &Features<'_>, b: &Range<usize>| {
            let from = b.start * ld + piece.reads.start;
            let (count, ld) = if part.positions == 1 { (b.len(), ld) } else { (part.positions, part.size.reads) };
            (from, count, ld, side.reads.len())
        };
        let (a, b) = (view(&self.left, &above), view(&self.right, &beside));
        if part.size.form == Form::Embedding {
            let token = |reads: &[f64], (from, _, ld, _): (usize, usize, usize, usize), i: usize| reads[from + i * ld];
            for (i, g) in g.iter_mut().enumerate() {
                let same = token(self.left.reads, a, i / b.1) == token(self.right.reads, b, i % b.1);
                *g = f64::from(u8::from(same));
            }
            return;
        }
        let u = fits(MatRef::new(&self.left.reads[a.0.min(a.3)..], a.1, part.size.reads, a.2));
        let v = fits(MatRef::new(&self.right.reads[b.0.min(b.3)..], b.1, part.size.reads, b.2));
        engine.gemm(1.0, fits(Gemm::new(u, v.t(), fits(MatMut::new(g, a.1, b.1, b.1)))), 0.0);
    }

    /// What a part adds that acts at several positions, contracted over those of the right first.
    fn positions(&self, piece: &Piece, of: &Range<usize>, out: &mut [f64], work: &mut [f64], engine: &Engine) {
        let part = &self.layout.parts[piece.part];
        let (n, ld, p, width) = (self.n, self.group.len, part.positions, part.size.width);
        let (g, h) = work.split_at_mut(p * p);
        let per = self.right.per;
        let h = &mut h[..per * p * width];
        for above in trajectories(of, self.left.per) {
            let segment = (above * self.left.per).max(of.start)..((above + 1) * self.left.per).min(of.end);
            for beside in trajectories(&self.columns, per) {
                let columns = beside * per..(beside + 1) * per;
                if self.mirrored(of, &columns) {
                    continue;
                }
                let some = columns.start.max(self.columns.start)..columns.end.min(self.columns.end);
                self.reads_gram(part, piece, [above..above + 1, beside..beside + 1], g, engine);
                let g = fits(MatRef::new(g, p, p, p));
                for (i, h) in some.clone().zip(h.chunks_exact_mut((p * width).max(1))) {
                    let delta = &self.right.rows[i * ld + piece.at.start..][..p * width];
                    let (delta, h) = (fits(MatRef::new(delta, p, width, width)), fits(MatMut::new(h, p, width, width)));
                    engine.gemm(1.0, fits(Gemm::new(g, delta, h)), 0.0);
                }
                let a = rows(self.left.rows, &segment, ld, &piece.at);
                let h = fits(MatRef::new(h, some.len(), p * width, p * width));
                let out = &mut out[(segment.start - of.start) * n + some.start..];
                let out = fits(MatMut::new(out, segment.len(), some.len(), n));
                engine.gemm(self.factor(part), fits(Gemm::new(a, h.t(), out)), 1.0);
            }
        }
    }
}

/// Writes what is left of the diagonal of the square block of columns `own` of some rows from what is right of it.
pub(super) fn mirror(out: &mut [f64], n: usize, own: &Range<usize>) {
    const TILE: usize = 64;
    let tiles = |to: usize| (0..to).step_by(TILE).map(move |at| at..(at + TILE).min(to));
    for rows in tiles(own.len()) {
        for columns in tiles(rows.end) {
            for i in rows.clone() {
                for j in columns.start..columns.end.min(i) {
                    out[i * n + own.start + j] = out[j * n + own.start + i];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_left_of_the_diagonal_is_what_is_right_of_it() {
        // Rows 2 .. 202 of a matrix of 300 columns.
        let (n, own) = (300, 2..202);
        let value = |i: usize, j: usize| (i * 1000 + j) as f64;
        let mut out: Vec<f64> = (0..200 * n).map(|k| value(k / n + 2, k % n)).collect();
        super::mirror(&mut out, n, &own);
        for (k, x) in out.iter().enumerate() {
            let (i, j) = (k / n + 2, k % n);
            let right = if own.contains(&j) { (i.min(j), i.max(j)) } else { (i, j) };
            assert_eq!(*x, value(right.0, right.1), "{i} {j}");
        }
    }
}
