//! The unit-wise functions of the recurrent cells, in PyTorch's conventions: of pre-activations summed over input and recurrent weights.

use super::{Real, UnitWise};

/// The leaky integrator: z' = (1 − dt) z + dt s, where the recurrent weights have read φ(z).
#[derive(Clone, Copy, Debug)]
pub struct Leaky {
    /// The step of time.
    pub dt: f64,
}

impl UnitWise<2, 1> for Leaky {
    fn eval<R: Real>(&self, [s, z]: [R; 2]) -> [R; 1] {
        [R::constant(1.0 - self.dt) * z + R::constant(self.dt) * s]
    }
}

/// PyTorch's GRU: gates r, z, n; the reset gate multiplies W_hn h + b_hn.
#[derive(Clone, Copy, Debug)]
pub struct Gru;

impl UnitWise<5, 1> for Gru {
    fn eval<R: Real>(&self, [r, z, ni, nh, h]: [R; 5]) -> [R; 1] {
        let (r, z) = (r.sigmoid(), z.sigmoid());
        let n = (ni + r * nh).tanh();
        [n + z * (h - n)]
    }
}

/// PyTorch's LSTM: gates i, f, g, o; (h, c) from the pre-activations and the previous c.
#[derive(Clone, Copy, Debug)]
pub struct Lstm;

impl UnitWise<5, 2> for Lstm {
    fn eval<R: Real>(&self, [i, f, g, o, c]: [R; 5]) -> [R; 2] {
        let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
        [o.sigmoid() * c.tanh(), c]
    }
}
