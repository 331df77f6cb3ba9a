//! Adam and stochastic gradient descent, step by step as PyTorch defines them.

use crate::job::train::Optimizer;
use kpflow_core::Scalar;

/// An optimiser and what it remembers, in the order of the gradient.
#[derive(Clone, Debug)]
pub struct State<T> {
    optimizer: Optimizer,
    learning_rate: f64,
    /// What is remembered of every parameter, by PyTorch's names: Adam's moments, or SGD's velocity.
    pub memory: Vec<(&'static str, Vec<T>)>,
}

impl<T: Scalar> State<T> {
    /// Begins with nothing to remember.
    pub fn new(optimizer: Optimizer, learning_rate: f64, parameters: usize) -> Self {
        let names: &[&str] = match optimizer {
            Optimizer::Adam { .. } => &["exp_avg", "exp_avg_sq"],
            Optimizer::Sgd { momentum } if momentum > 0.0 => &["momentum_buffer"],
            Optimizer::Sgd { .. } => &[],
        };
        let memory = names.iter().map(|name| (*name, vec![T::zero(); parameters])).collect();
        Self { optimizer, learning_rate, memory }
    }

    /// Changes the weights by the gradient g, the `step`-th time (from 1).
    ///
    /// Adam (Kingma and Ba 2015): m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², θ ← θ − η m̂ / (√v̂ + ε) with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).
    /// SGD: u ← μ u + g, θ ← θ − η u.
    pub fn step<'w>(&mut self, step: usize, gradient: &[T], weights: impl Iterator<Item = &'w mut [T]>) {
        let weights = weights.flatten().zip(gradient);
        match (self.optimizer, &mut self.memory[..]) {
            (Optimizer::Adam { betas: [b1, b2], eps }, [(_, first), (_, second)]) => {
                // The power of a double, as PyTorch computes it: a count of steps may pass an i32.
                let (c1, c2) = (1.0 - b1.powf(step as f64), 1.0 - b2.powf(step as f64));
                let (rate, root) = (T::of(self.learning_rate / c1), T::of(c2.sqrt()));
                let (keep, eps) = (T::of(b2), T::of(eps));
                let (new1, new2) = (T::of(1.0 - b1), T::of(1.0 - b2));
                for (((w, &g), m), v) in weights.zip(first).zip(second) {
                    *m += (g - *m) * new1;
                    *v = *v * keep + g * g * new2;
                    *w -= rate * *m / (v.sqrt() / root + eps);
                }
            }
            (Optimizer::Sgd { momentum }, [(_, velocity)]) => {
                let (rate, momentum) = (T::of(self.learning_rate), T::of(momentum));
                for ((w, &g), u) in weights.zip(velocity) {
                    *u = momentum * *u + g;
                    *w -= rate * *u;
                }
            }
            _ => {
                let rate = T::of(self.learning_rate);
                weights.for_each(|(w, &g)| *w -= rate * g);
            }
        }
    }
}

/// Scales a gradient of this norm down to `most`, as `torch.nn.utils.clip_grad_norm_` does: by most / (norm + 1e-6), if that is below 1.
pub fn clip<T: Scalar>(gradient: &mut [T], norm: f64, most: f64) {
    let scale = most / (norm + 1e-6);
    if scale < 1.0 {
        gradient.iter_mut().for_each(|g| *g *= T::of(scale));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What torch 2 gives for θ = (1, −2), g = (0.5, −0.25), then g = (−1, 0.125); every step's weights.
    #[test]
    fn equals_torch() {
        let adam = Optimizer::Adam { betas: [0.9, 0.999], eps: 1e-8 };
        let cases = [
            (adam, [[0.900000002, -1.9000000039999998], [0.9366103542405654, -1.8733663013817325]]),
            (Optimizer::Sgd { momentum: 0.0 }, [[0.95, -1.975], [1.05, -1.9875]]),
            (Optimizer::Sgd { momentum: 0.9 }, [[0.95, -1.975], [1.005, -1.965]]),
        ];
        for (optimizer, expected) in cases {
            let (mut weights, mut state) = ([1.0f64, -2.0], State::new(optimizer, 0.1, 2));
            for (i, (gradient, expected)) in [[0.5, -0.25], [-1.0, 0.125]].iter().zip(expected).enumerate() {
                let (a, b) = weights.split_at_mut(1);
                state.step(i + 1, gradient, [a, b].into_iter());
                for (w, e) in weights.iter().zip(expected) {
                    assert!((w - e).abs() < 1e-15, "{optimizer:?} {weights:?}");
                }
            }
        }
    }

    #[test]
    fn clips_the_norm() {
        let mut g = [3.0f64, 4.0];
        clip(&mut g, 5.0, 6.0);
        assert_eq!(g, [3.0, 4.0]);
        clip(&mut g, 5.0, 1.0);
        assert!((g[0] - 3.0 / (5.0 + 1e-6)).abs() < 1e-16);
    }
}
