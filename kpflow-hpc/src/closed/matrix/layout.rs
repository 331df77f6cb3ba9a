//! The ways in which the matrix is made of the parts of θ, and where in memory what they need lies: sizes alone.

use kpflow_core::model::Form;
use kpflow_core::ntk::SiteSize;
use std::ops::Range;

/// Numbers, in double precision, that the features of all rows of a group of parts of θ have: what is more goes through one after the other.
const GROUP: usize = 1 << 25;
/// Flops of a pass over an entry of the matrix, near the processor.
const ENTRY: f64 = 8.0;
/// Products of single trajectories' small matrices are slower than those of panels, by this much.
const SMALL: f64 = 2.0;

/// The sizes of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixSize {
    /// Rows, on all ranks.
    pub rows: usize,
    /// Trajectories, on all ranks.
    pub trajectories: usize,
}

/// How it is made: as is cheapest, unless something else is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// The way of every part that has both.
    pub way: Option<Way>,
    /// Numbers that the features of all rows of a group have.
    pub group: usize,
}

impl Default for How {
    fn default() -> Self {
        Self { way: None, group: GROUP }
    }
}

/// How the entries that a part of θ contributes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Of the Gram matrix of what is read at each pair of positions, times that of the cotangents.
    Pairs,
    /// Of the Gram matrix of the changes of weights.
    Weights,
}

/// A part of θ.
#[derive(Clone, Debug)]
pub(super) struct PartOf {
    /// The sites that share it.
    pub sites: Vec<usize>,
    pub way: Way,
    /// Positions of all of them.
    pub positions: usize,
    pub size: SiteSize,
}

impl PartOf {
    /// Flops of a pair of rows, of trajectories of so many rows, if all of the matrix is made; and of a row by itself.
    fn flops(&self, way: Way, per_trajectory: f64) -> [f64; 2] {
        let Self { positions, size, .. } = self;
        let (p, m) = (*positions as f64, per_trajectory.max(1.0));
        let [reads, width, weights] = [size.reads, size.width, size.rows * size.units].map(|x| x as f64);
        match way {
            Way::Weights => [2.0 * weights, 2.0 * p * weights],
            Way::Pairs if *positions == 1 => [2.0 * width + 2.0 * reads / (m * m) + ENTRY, 0.0],
            Way::Pairs => [SMALL * 2.0 * p * (p * reads / (m * m) + p * width / m + width), 0.0],
        }
    }

    /// The cheaper way, or the one that is said.
    fn cheaper(&self, alike: bool, size: MatrixSize, said: Option<Way>) -> Way {
        let n = size.rows as f64;
        let all = |way| {
            let [pair, row] = self.flops(way, n / size.trajectories.max(1) as f64);
            n * (n * pair + row)
        };
        let cheaper = if all(Way::Pairs) < all(Way::Weights) { Way::Pairs } else { Way::Weights };
        if alike {
            said.unwrap_or(cheaper)
        } else {
            Way::Weights
        }
    }
}

/// What is held of a part of θ at a time: all of it, or some rows of its δW.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub part: usize,
    /// Rows of δW; none by pairs.
    pub rows: Range<usize>,
    /// Where its numbers are in a row's features.
    pub at: Range<usize>,
    /// Where those are that a trajectory's sites read; none by weights.
    pub reads: Range<usize>,
}

/// Pieces that are held together.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub pieces: Vec<Piece>,
    /// Numbers of a row's features.
    pub len: usize,
    /// Numbers that a trajectory's sites read.
    pub reads: usize,
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub parts: Vec<PartOf>,
    pub groups: Vec<Group>,
    pub sites: Vec<SiteSize>,
    size: MatrixSize,
}

impl Layout {
    pub fn new(sites: Vec<SiteSize>, size: MatrixSize, how: How) -> Self {
        let mut parts: Vec<PartOf> = Vec::new();
        let does = |s: &SiteSize| [s.positions, s.reads, s.width, s.rows, s.units].iter().all(|n| *n > 0);
        for (i, site) in sites.iter().enumerate().filter(|(_, site)| does(site)) {
            match parts.iter_mut().find(|p| p.size.part == site.part) {
                Some(part) => {
                    part.sites.push(i);
                    part.positions += site.positions;
                }
                None => {
                    parts.push(PartOf { sites: vec![i], way: Way::Weights, positions: site.positions, size: *site })
                }
            }
        }
        for part in &mut parts {
            // G is a matrix times I where all that a part of θ does is of one such form.
            let alike = |i: &usize| {
                let (a, b) = (&sites[*i], &part.size);
                a.form != Form::Gain && (a.form, a.reads, a.width) == (b.form, b.reads, b.width)
            };
            part.way = part.cheaper(part.sites.iter().all(alike), size, how.way);
        }
        let mut layout = Self { parts, groups: Vec::new(), sites, size };
        layout.cut(how.group);
        layout
    }

    /// Cuts the parts into pieces, and groups these, so many numbers of all rows at most.
    fn cut(&mut self, group_len: usize) {
        let most = group_len / self.size.rows.max(1);
        let per = self.size.rows.div_ceil(self.size.trajectories.max(1)).max(1);
        let mut group = Group::default();
        for (i, part) in self.parts.iter().enumerate() {
            let SiteSize { rows, units, reads, width, .. } = part.size;
            let mut add = |rows: Range<usize>, len: usize, reads: usize| {
                let of = |len: usize, reads: usize| len + reads.div_ceil(per);
                if !group.pieces.is_empty() && of(group.len + len, group.reads + reads) > most {
                    self.groups.push(std::mem::take(&mut group));
                }
                let (at, reads) = (group.len..group.len + len, group.reads..group.reads + reads);
                (group.len, group.reads) = (at.end, reads.end);
                group.pieces.push(Piece { part: i, rows, at, reads });
            };
            match part.way {
                Way::Pairs => add(0..0, part.positions * width, part.positions * reads),
                Way::Weights => {
                    let some = (most / units.max(1)).clamp(1, rows.max(1));
                    (0..rows).step_by(some).map(|at| at..(at + some).min(rows)).for_each(|r| {
                        let len = r.len() * units;
                        add(r, len, 0);
                    });
                }
            }
        }
        if !group.pieces.is_empty() {
            self.groups.push(group);
        }
    }

    /// Flops of all pairs of rows, and of all rows by themselves, without the sweeps.
    pub fn flops(&self) -> [f64; 2] {
        let n = self.size.rows as f64;
        let of = |part: &PartOf| part.flops(part.way, n / self.size.trajectories.max(1) as f64);
        let add = |[pairs, rows]: [f64; 2], [pair, row]: [f64; 2]| [pairs + n * n * pair, rows + n * row];
        self.parts.iter().map(of).fold([0.0; 2], add)
    }

    /// The most numbers of a row's features, and those that a trajectory's sites read beside them.
    pub fn widest(&self) -> [usize; 2] {
        let most = |of: fn(&Group) -> usize| self.groups.iter().map(of).max().unwrap_or(0);
        [most(|g| g.len), most(|g| g.reads)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(part: usize, [positions, reads, width]: [usize; 3]) -> SiteSize {
        SiteSize { form: Form::Dense, part, positions, reads, width, rows: reads, units: width, bias: false }
    }

    #[test]
    fn the_cheaper_way() {
        let size = MatrixSize { rows: 5000, trajectories: 500 };
        // One position: two Gram matrices. Many: the changes of weights.
        let sites = vec![dense(0, [1, 785, 256]), dense(1, [400, 64, 64]), dense(2, [2, 1000, 1000])];
        let layout = Layout::new(sites, size, How::default());
        assert_eq!(layout.parts.iter().map(|p| p.way).collect::<Vec<_>>(), [Way::Pairs, Way::Weights, Way::Pairs]);
        let gain = SiteSize { form: Form::Gain, rows: 2, ..dense(0, [9, 4, 4]) };
        assert_eq!(Layout::new(vec![gain], size, How::default()).parts[0].way, Way::Weights);
    }

    #[test]
    fn all_of_it_is_held_once() {
        let size = MatrixSize { rows: 20_000, trajectories: 20_000 };
        let sites =
            vec![dense(0, [1, 30, 20]), dense(7, [90, 300, 500]), dense(0, [1, 30, 20]), dense(9, [80, 50, 60])];
        let layout = Layout::new(sites, size, How::default());
        assert_eq!(layout.parts.len(), 3);
        assert_eq!(layout.parts[0].sites, [0, 2]);
        let of = |part: usize| layout.groups.iter().flat_map(|g| &g.pieces).filter(move |p| p.part == part);
        assert_eq!(of(1).map(|p| p.rows.len()).sum::<usize>(), 300);
        assert_eq!(of(2).map(|p| p.rows.len()).sum::<usize>(), 50);
        assert!(layout.groups.len() > 80 && layout.groups.iter().all(|g| g.len * size.rows <= GROUP));
        for group in &layout.groups {
            assert_eq!(group.pieces.iter().map(|p| p.at.len()).sum::<usize>(), group.len);
        }
    }
}
