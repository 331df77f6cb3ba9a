//! Forecasts of a linear system of low rank, seen through noise (the setting of Kalman, Journal of Basic Engineering 1960).
//!
//! A latent state of `rank` numbers turns and fades while it is driven, and is seen in `inputs` numbers:
//!
//! ```text
//! s_0 ~ N(0, I)    s_{t+1} = A s_t + √(1 − ρ²) w_t    x_t = C s_t + σ v_t    y_t = C A^h s_t,    w, v ~ N(0, I)
//! ```
//!
//! so that s is stationary with covariance I, and y_t is the best forecast of x_{t+h} that the state allows. A = ρ ⊕ rotations by ω_k (one number
//! alone if the rank is odd), ω_k uniform in (0, π/4); C is `[inputs, rank]` of normal numbers over √rank. A and C follow from the seed. The mask is 1.

use super::{real, whole, Description, Draw, Purpose, Sizes, Task, Trajectory, MOST_STEPS, MOST_UNITS};

pub(super) const DESCRIPTION: Description = Description {
    name: "low_rank_forecast",
    about: "forecast a noisy linear system of low rank",
    parameters: &[
        whole("inputs", 8, 1, MOST_UNITS),
        whole("rank", 4, 1, MOST_UNITS),
        whole("steps", 50, 1, MOST_STEPS),
        whole("horizon", 5, 0, MOST_STEPS),
        real("decay", 0.98, 0.0, 1.0),
        real("noise", 0.5, 0.0, 1e3),
    ],
    make: |v, seed| {
        let [inputs, rank, steps, horizon] = std::array::from_fn(|i| v[i] as usize);
        if rank > inputs {
            return Err(format!("rank = {rank} is above inputs = {inputs}; it is at most that"));
        }
        let mut draw = Draw::new(seed, Purpose::Task, 0, 0);
        let turns = (0..rank / 2).map(|_| draw.uniform() * std::f64::consts::FRAC_PI_4).collect();
        let scale = 1.0 / (rank as f64).sqrt();
        let seen = (0..inputs * rank).map(|_| scale * draw.normal()).collect();
        Ok(Box::new(Forecast { steps, rank, horizon, decay: v[4], noise: v[5], turns, seen }))
    },
};

#[derive(Debug)]
struct Forecast {
    steps: usize,
    rank: usize,
    horizon: usize,
    decay: f64,
    noise: f64,
    /// The angles ω_k.
    turns: Vec<f64>,
    /// C.
    seen: Vec<f64>,
}

impl Forecast {
    /// Replaces s by A^n s.
    fn advance(&self, s: &mut [f64], n: usize) {
        let fade = self.decay.powi(n as i32);
        s.iter_mut().for_each(|x| *x *= fade);
        for (pair, turn) in s.chunks_exact_mut(2).zip(&self.turns) {
            let (sin, cos) = (turn * n as f64).sin_cos();
            (pair[0], pair[1]) = (cos * pair[0] - sin * pair[1], sin * pair[0] + cos * pair[1]);
        }
    }

    /// C s.
    fn see(&self, s: &[f64], out: &mut [f64]) {
        for (out, row) in out.iter_mut().zip(self.seen.chunks(self.rank)) {
            *out = row.iter().zip(s).map(|(c, s)| c * s).sum();
        }
    }
}

impl Task for Forecast {
    fn sizes(&self) -> Sizes {
        let n = self.seen.len() / self.rank;
        Sizes { steps: self.steps, n_in: n, n_out: n }
    }

    fn draw(&self, draw: &mut Draw, out: Trajectory<'_>) {
        let n = self.sizes().n_in;
        let drive = (1.0 - self.decay * self.decay).sqrt();
        let mut s: Vec<f64> = (0..self.rank).map(|_| draw.normal()).collect();
        let mut later = s.clone();
        for (x, y) in out.inputs.chunks_mut(n).zip(out.targets.chunks_mut(n)) {
            self.see(&s, x);
            x.iter_mut().for_each(|x| *x += self.noise * draw.normal());
            later.copy_from_slice(&s);
            self.advance(&mut later, self.horizon);
            self.see(&later, y);
            self.advance(&mut s, 1);
            s.iter_mut().for_each(|s| *s += drive * draw.normal());
        }
        out.mask.fill(1.0);
    }
}
