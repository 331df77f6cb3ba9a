//! MemoryPro: see an angle, remember it, point at it when told to (Yang et al., Nature Neuroscience 2019, the memory-guided "Delay Pro";
//! Driscoll, Shenoy and Sussillo, Nature Neuroscience 2024).
//!
//! θ is uniform on the circle. The steps are a stimulus, a memory and a response:
//!
//! ```text
//! stimulus   x = (1, cos θ, sin θ)    y = (1, 0, 0)
//! memory     x = (1, 0, 0)            y = (1, 0, 0)
//! response   x = (0, 0, 0)            y = (0, cos θ, sin θ)
//! ```
//!
//! The first number is the fixation. Stimulus and memory each end up to `vary` steps earlier, by a uniform number of steps of its own, and the response is
//! longer by as much. What is trained sees x + σ · normal. The mask is 1 but for the first `grace` steps of the response, where it is 0.

use super::{add_noise, real, whole, Description, Draw, Sizes, Task, Trajectory, MOST_STEPS};

pub(super) const DESCRIPTION: Description = Description {
    name: "memory_pro",
    about: "see an angle, remember it, point at it when told to",
    parameters: &[
        whole("stimulus", 30, 1, MOST_STEPS),
        whole("memory", 30, 0, MOST_STEPS),
        whole("response", 30, 1, MOST_STEPS),
        whole("vary", 0, 0, MOST_STEPS),
        whole("grace", 0, 0, MOST_STEPS),
        real("noise", 0.0, 0.0, 1e3),
    ],
    make: |v, _| {
        let [stimulus, memory, response, vary, grace] = std::array::from_fn(|i| v[i] as usize);
        if vary >= stimulus || vary > memory {
            return Err(format!("vary = {vary} leaves no stimulus or no memory; it is below {}", stimulus.min(memory)));
        }
        if grace >= response {
            return Err(format!("grace = {grace} leaves nothing of the response; it is below {response}"));
        }
        Ok(Box::new(MemoryPro { periods: [stimulus, memory, response], vary, grace, noise: v[5] }))
    },
};

#[derive(Debug)]
struct MemoryPro {
    periods: [usize; 3],
    vary: usize,
    grace: usize,
    noise: f64,
}

impl Task for MemoryPro {
    fn sizes(&self) -> Sizes {
        Sizes { steps: self.periods.iter().sum(), n_in: 3, n_out: 3 }
    }

    fn draw(&self, draw: &mut Draw, out: Trajectory<'_>) {
        let (sin, cos) = (std::f64::consts::TAU * draw.uniform()).sin_cos();
        let unseen = self.periods[0] - draw.up_to(self.vary);
        let go = unseen + self.periods[1] - draw.up_to(self.vary);
        for (t, (x, y)) in out.inputs.chunks_mut(3).zip(out.targets.chunks_mut(3)).enumerate() {
            x.copy_from_slice(&match t {
                t if t < unseen => [1.0, cos, sin],
                t if t < go => [1.0, 0.0, 0.0],
                _ => [0.0; 3],
            });
            y.copy_from_slice(&if t < go { [1.0, 0.0, 0.0] } else { [0.0, cos, sin] });
            out.mask[t] = if (go..go + self.grace).contains(&t) { 0.0 } else { 1.0 };
        }
        add_noise(self.noise, draw, out.inputs);
    }
}
