//! What a sweep carries, and which linear map it is.

use super::variable::Variable;

/// Where perturbations enter and how far they go: the variables that a sweep has to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They enter at the state.
    State,
    /// They enter at the site outputs and stop at the state.
    Immediate,
    /// They enter at the site outputs and go on through the state.
    Total,
}

impl Flow {
    pub(super) const ALL: [Flow; 3] = [Flow::State, Flow::Immediate, Flow::Total];

    pub(super) fn bit(self) -> u8 {
        1 << self as u8
    }
    /// Whether this flow passes through what reads `v`.
    #[inline]
    pub(super) fn carries(self, v: &Variable) -> bool {
        v.active & self.bit() != 0 && !(self == Flow::Immediate && v.watch.is_some())
    }
}

/// Which linear map a sweep applies; the adjoint of it when swept back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// P = (I − ∂F/∂z)⁻¹: state to state.
    Propagator,
    /// P⁻¹ = I − ∂F/∂z: state to state, local in time.
    Constraint,
    /// D = ∂F/∂s: site outputs to state, through no other state.
    Immediate,
    /// P D: site outputs to state.
    Total,
}

impl Mode {
    /// The flow of this map.
    pub fn flow(self) -> Flow {
        match self {
            Mode::Propagator | Mode::Constraint => Flow::State,
            Mode::Immediate => Flow::Immediate,
            Mode::Total => Flow::Total,
        }
    }
}
