//! The unit-wise functions of the recurrent cells, in PyTorch's conventions.

use super::{Activation, Real, UnitWise};

/// Elman's unit: h = φ(s_ih + s_hh).
#[derive(Clone, Copy, Debug)]
pub struct Rnn(pub Activation);

impl UnitWise<2, 1> for Rnn {
    fn eval<R: Real>(&self, [ih, hh]: [R; 2]) -> [R; 1] {
        [self.0.of(ih + hh)]
    }
}

/// The leaky integrator: z' = (1 − dt) z + dt (s_ih + s_hh), where s_hh has read φ(z).
#[derive(Clone, Copy, Debug)]
pub struct Leaky {
    /// The step of time.
    pub dt: f64,
}

impl UnitWise<3, 1> for Leaky {
    fn eval<R: Real>(&self, [ih, hh, z]: [R; 3]) -> [R; 1] {
        [R::constant(1.0 - self.dt) * z + R::constant(self.dt) * (ih + hh)]
    }
}

/// PyTorch's GRU: gates r, z, n; the reset gate multiplies W_hn h + b_hn.
#[derive(Clone, Copy, Debug)]
pub struct Gru;

impl UnitWise<7, 1> for Gru {
    fn eval<R: Real>(&self, [ri, zi, ni, rh, zh, nh, h]: [R; 7]) -> [R; 1] {
        let r = (ri + rh).sigmoid();
        let z = (zi + zh).sigmoid();
        let n = (ni + r * nh).tanh();
        [n + z * (h - n)]
    }
}

/// PyTorch's LSTM: gates i, f, g, o; (h, c) from the pre-activations and the previous c.
#[derive(Clone, Copy, Debug)]
pub struct Lstm;

impl UnitWise<9, 2> for Lstm {
    fn eval<R: Real>(&self, [ii, fi, gi, oi, ih, fh, gh, oh, c]: [R; 9]) -> [R; 2] {
        let c = (fi + fh).sigmoid() * c + (ii + ih).sigmoid() * (gi + gh).tanh();
        [(oi + oh).sigmoid() * c.tanh(), c]
    }
}
