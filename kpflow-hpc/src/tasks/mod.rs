//! Tasks to train on: inputs, targets and a mask, drawn trajectory by trajectory.
//!
//! Every number of a trajectory is a function of (seed, batch, trajectory) and the task's parameters alone: any rank can draw any
//! trajectory by itself, and a training is the same on any number of ranks.

mod draw;
mod flip_flop;
mod line_attractor;
mod low_rank_forecast;
mod memory_pro;

pub use draw::{Draw, Purpose};

use std::fmt::Debug;
use std::ops::Range;

/// The sizes of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// T.
    pub steps: usize,
    /// Numbers of an input.
    pub n_in: usize,
    /// Numbers of a target.
    pub n_out: usize,
}

/// One trajectory that is being drawn, zeros at first: inputs `[T, n_in]`, targets `[T, n_out]`, mask `[T]`.
pub struct Trajectory<'a> {
    /// Its inputs.
    pub inputs: &'a mut [f64],
    /// Its targets.
    pub targets: &'a mut [f64],
    /// The weight of every step's error.
    pub mask: &'a mut [f64],
}

/// A task: how a trajectory is drawn.
pub trait Task: Debug + Send + Sync {
    /// Its sizes.
    fn sizes(&self) -> Sizes;
    /// Draws a trajectory.
    fn draw(&self, draw: &mut Draw, out: Trajectory<'_>);
}

/// A number that a user may give a task.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its key in `[task]`.
    pub key: &'static str,
    /// What it is where the user does not say.
    pub default: f64,
    /// The smallest it may be.
    pub least: f64,
    /// The largest it may be.
    pub most: f64,
    /// Whether it is an integer.
    pub whole: bool,
}

const fn whole(key: &'static str, default: u32, least: u32, most: u32) -> Parameter {
    Parameter { key, default: default as f64, least: least as f64, most: most as f64, whole: true }
}

const fn real(key: &'static str, default: f64, least: f64, most: f64) -> Parameter {
    Parameter { key, default, least, most, whole: false }
}

/// The most steps of a trajectory, and the most inputs.
const MOST_STEPS: u32 = 1 << 20;
const MOST_UNITS: u32 = 1 << 12;

/// Makes a task from a value of each parameter and the seed; an error says which values do not go together.
pub type Make = fn(&[f64], u64) -> Result<Box<dyn Task>, String>;

/// A kind of task.
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// Makes it.
    pub make: Make,
}

/// All tasks.
pub const ALL: [&Description; 4] =
    [&flip_flop::DESCRIPTION, &memory_pro::DESCRIPTION, &line_attractor::DESCRIPTION, &low_rank_forecast::DESCRIPTION];

/// The names of all tasks.
pub fn names() -> [&'static str; ALL.len()] {
    ALL.map(|task| task.name)
}

/// Inputs `[B, T, n_in]`, targets `[B, T, n_out]` and mask `[B, T]` of some trajectories.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch<T> {
    /// The inputs.
    pub inputs: Vec<T>,
    /// The targets.
    pub targets: Vec<T>,
    /// The weight of every position's error.
    pub mask: Vec<T>,
    /// The steps of each trajectory; none where all have all of them.
    pub lengths: Vec<usize>,
}

/// Draws the trajectories `range` of a batch.
pub fn batch(task: &dyn Task, seed: u64, number: u32, range: Range<usize>) -> Batch<f64> {
    let Sizes { steps, n_in, n_out } = task.sizes();
    let count = range.len() * steps;
    let (mut inputs, mut targets, mut mask) = (vec![0.0; count * n_in], vec![0.0; count * n_out], vec![0.0; count]);
    for (i, b) in range.enumerate() {
        let part = |per: usize| i * steps * per..(i + 1) * steps * per;
        let out = Trajectory {
            inputs: &mut inputs[part(n_in)],
            targets: &mut targets[part(n_out)],
            mask: &mut mask[part(1)],
        };
        task.draw(&mut Draw::new(seed, Purpose::Trajectory, number, b as u32), out);
    }
    Batch { inputs, targets, mask, lengths: Vec::new() }
}

/// Adds σ times a standard normal to every number.
fn add_noise(sigma: f64, draw: &mut Draw, values: &mut [f64]) {
    if sigma > 0.0 {
        values.iter_mut().for_each(|x| *x += sigma * draw.normal());
    }
}

#[cfg(test)]
mod tests;
