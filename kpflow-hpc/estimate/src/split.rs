//! The axes of a state, split into those that a partial trace keeps and those that it traces out.

use kpflow_core::Shape;

/// Which axes of [trajectory, step, unit] are left; the others are traced out.
pub type Kept = [bool; 3];

/// The indices of a state split into those that are kept and those that are traced out.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// That of all processes.
    pub shape: Shape,
    /// Which axes are kept.
    pub kept: Kept,
}

impl Split {
    /// The indices of the kept axes, or of the others.
    pub fn count(&self, kept: bool) -> usize {
        let sizes = [self.shape.trajectories, self.shape.steps, self.shape.units];
        sizes.iter().zip(self.kept).filter(|(_, k)| *k == kept).map(|(s, _)| s).product()
    }
    /// The number among the kept, or among the others, of the state's number (b, t, j).
    pub(crate) fn index(&self, kept: bool, at: [usize; 3]) -> usize {
        let sizes = [self.shape.trajectories, self.shape.steps, self.shape.units];
        (0..3).filter(|&a| self.kept[a] == kept).fold(0, |i, a| i * sizes[a] + at[a])
    }
    /// The numbers of a trajectory's places among the kept and among the others.
    pub(crate) fn places(&self) -> Places {
        let units = self.shape.units;
        let at = |i: usize| [0, i / units, i % units];
        let pairs =
            (0..self.shape.per_trajectory()).map(|i| (self.index(true, at(i)), self.index(false, at(i)))).collect();
        Places { pairs, next: [true, false].map(|kept| self.index(kept, [1, 0, 0])) }
    }
}

/// Where a trajectory's numbers are among the kept and among the others.
pub(crate) struct Places {
    /// Of the first trajectory.
    pub pairs: Vec<(usize, usize)>,
    /// What another trajectory adds to both.
    pub next: [usize; 2],
}

impl Places {
    /// Calls `f(number, kept, other)` for each of trajectory b's first numbers.
    pub fn each<I: IntoIterator>(&self, b: usize, numbers: I, mut f: impl FnMut(I::Item, usize, usize)) {
        let [kept, other] = self.next.map(|n| b * n);
        numbers.into_iter().zip(&self.pairs).for_each(|(x, (k, r))| f(x, kept + k, other + r));
    }
}
