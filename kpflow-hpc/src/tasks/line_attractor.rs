//! The line attractor: add up pulses of evidence and hold the sum (the integrator of Seung, PNAS 1996; of evidence, Mante, Sussillo, Shenoy and
//! Newsome, Nature 2013).
//!
//! x_t = a_t with probability p, otherwise 0; a_t is uniform between −amplitude and amplitude. y_t = Σ_{s ≤ t} x_s. What is trained sees
//! x + σ · normal. The mask is 1. Between pulses a network that solves it must stay wherever it is: a line of fixed points.

use super::{add_noise, real, whole, Description, Draw, Sizes, Task, Trajectory, MOST_STEPS};

pub(super) const DESCRIPTION: Description = Description {
    name: "line_attractor",
    about: "add up pulses and hold the sum",
    parameters: &[
        whole("steps", 60, 1, MOST_STEPS),
        real("probability", 0.1, 0.0, 1.0),
        real("amplitude", 0.5, 0.0, 1e3),
        real("noise", 0.0, 0.0, 1e3),
    ],
    make: |v, _| Ok(Box::new(LineAttractor { steps: v[0] as usize, probability: v[1], amplitude: v[2], noise: v[3] })),
};

#[derive(Debug)]
struct LineAttractor {
    steps: usize,
    probability: f64,
    amplitude: f64,
    noise: f64,
}

impl Task for LineAttractor {
    fn sizes(&self) -> Sizes {
        Sizes { steps: self.steps, n_in: 1, n_out: 1 }
    }

    fn draw(&self, draw: &mut Draw, out: Trajectory<'_>) {
        let mut sum = 0.0;
        for (x, y) in out.inputs.iter_mut().zip(out.targets) {
            let (pulse, size) = (draw.happens(self.probability), self.amplitude * (2.0 * draw.uniform() - 1.0));
            *x = if pulse { size } else { 0.0 };
            sum += *x;
            *y = sum;
        }
        add_noise(self.noise, draw, out.inputs);
        out.mask.fill(1.0);
    }
}
