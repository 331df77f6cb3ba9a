//! The flip-flop: remember the sign of the last pulse on each of several channels (Sussillo and Barak, Neural Computation 2013).
//!
//! x_t,i = ±1 with probability p, each sign alike, otherwise 0; x_0,i is always a pulse, so that there is something to remember.
//! y_t,i = x_s,i of the last s ≤ t with x_s,i ≠ 0. What is trained sees x + σ · normal. The mask is 1.
//! A network that solves it has 2^bits fixed points.

use super::{add_noise, real, whole, Description, Draw, Sizes, Task, Trajectory, MOST_STEPS, MOST_UNITS};

pub(super) const DESCRIPTION: Description = Description {
    name: "flip_flop",
    about: "remember the sign of the last pulse on each channel",
    parameters: &[
        whole("bits", 3, 1, MOST_UNITS),
        whole("steps", 60, 1, MOST_STEPS),
        real("probability", 0.1, 0.0, 1.0),
        real("noise", 0.0, 0.0, 1e3),
    ],
    make: |v, _| Ok(Box::new(FlipFlop { bits: v[0] as usize, steps: v[1] as usize, probability: v[2], noise: v[3] })),
};

#[derive(Debug)]
struct FlipFlop {
    bits: usize,
    steps: usize,
    probability: f64,
    noise: f64,
}

impl Task for FlipFlop {
    fn sizes(&self) -> Sizes {
        Sizes { steps: self.steps, n_in: self.bits, n_out: self.bits }
    }

    fn draw(&self, draw: &mut Draw, out: Trajectory<'_>) {
        let mut last = vec![0.0; self.bits];
        for (t, (x, y)) in out.inputs.chunks_mut(self.bits).zip(out.targets.chunks_mut(self.bits)).enumerate() {
            for (x, last) in x.iter_mut().zip(&mut last) {
                // Both are always drawn, so that no channel depends on what another did.
                let (pulse, sign) = (draw.happens(self.probability), draw.sign());
                if pulse || t == 0 {
                    (*x, *last) = (sign, sign);
                }
            }
            y.copy_from_slice(&last);
        }
        add_noise(self.noise, draw, out.inputs);
        out.mask.fill(1.0);
    }
}
