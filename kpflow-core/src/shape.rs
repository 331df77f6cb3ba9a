//! The shape of a state tensor.

/// The shape `[trajectory, step, unit]` of one vector that an operator acts on.
///
/// A vector is a tensor of this shape in C order: element `(b, t, j)` has the flat index
/// `(b·steps + t)·units + j`. A length beyond `usize` is `usize::MAX`, which no buffer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Shape {
    /// B, the number of trajectories (independent runs of the model) held here.
    pub trajectories: usize,
    /// T, the number of steps of a trajectory.
    pub steps: usize,
    /// N, the number of units of a step.
    pub units: usize,
}

impl Shape {
    /// Makes the shape `[trajectories, steps, units]`.
    pub const fn new(trajectories: usize, steps: usize, units: usize) -> Self {
        Self { trajectories, steps, units }
    }

    /// The numbers of one trajectory, T·N.
    pub const fn per_trajectory(&self) -> usize {
        self.steps.saturating_mul(self.units)
    }

    /// The numbers of one vector, B·T·N.
    pub const fn len(&self) -> usize {
        self.trajectories.saturating_mul(self.per_trajectory())
    }

    /// Whether a vector of this shape holds no number at all.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same shape with another number of trajectories.
    pub const fn with_trajectories(self, trajectories: usize) -> Self {
        Self { trajectories, ..self }
    }
}

/// An axis of a state tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axis {
    /// b.
    Trajectory,
    /// t.
    Step,
    /// j.
    Unit,
}

impl core::fmt::Display for Shape {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "[{}, {}, {}]", self.trajectories, self.steps, self.units)
    }
}
