//! What a model and its inputs are known by: hashes of their numbers, the same on any number of
//! ranks.

use super::{Inputs, Loaded};
use crate::comm::Grid;
use crate::engine::Real;
use crate::error::Result;
use crate::job::Job;
use crate::journal::bytes;
use crate::network::OwnedWeight;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Hashes of all that a model is given; 0 for what is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Of the weights.
    pub weights: u64,
    /// Of the inputs.
    pub inputs: u64,
    /// Of the initial state.
    pub initial_state: u64,
    /// Of the mask, or of the lengths.
    pub mask: u64,
}

/// The hash of a model's weights, in their order.
fn of_weights<T: Real>(weights: &[OwnedWeight<T>]) -> u64 {
    let one = |seed: u64, w: &OwnedWeight<T>| {
        // The trained part is another one where the same numbers are chosen in another way.
        let sizes = [w.n_out, w.n_in, usize::from(w.train_matrix), usize::from(w.train_bias)];
        let sizes: Vec<u8> = sizes.iter().flat_map(|n| n.to_le_bytes()).collect();
        let seed = xxh3_64_with_seed(&sizes, seed);
        w.arrays().fold(seed, |seed, a| xxh3_64_with_seed(bytes(a), seed))
    };
    weights.iter().fold(0, one)
}

/// The sum of the hashes of all trajectories' parts: it does not depend on which rank holds which.
fn of_trajectories<T: Real>(all: &[T], count: usize, first: usize, slot: usize) -> u64 {
    if all.is_empty() {
        return 0;
    }
    let seed = |b: usize| ((slot + 1) << 40) as u64 + (first + b) as u64;
    let parts = all.chunks(all.len() / count.max(1)).enumerate();
    parts.fold(0, |sum, (b, part)| sum.wrapping_add(xxh3_64_with_seed(bytes(part), seed(b))))
}

impl<T: Real> Inputs<T> {
    /// The hash of the weights that a job names, as a model on these inputs reads them.
    pub fn weights_of(&self, job: &Job) -> Result<u64> {
        Ok(of_weights(self.given.network::<T>(job, false)?.weights()))
    }
}

impl<T: Real> Loaded<T> {
    /// What another model or other inputs would not have, the same on any number of ranks.
    /// Collective.
    pub fn content(&self, grid: Grid) -> Content {
        let (count, first, inputs) = (self.shape.trajectories, self.first, &self.inputs);
        let of = |slot: usize, all: &[T]| of_trajectories(all, count, first, slot);
        let arrays = inputs.given.arrays.len();
        let mut sums = [0u64; 4];
        if grid.is_root() {
            sums[0] = of_weights(self.weights());
            // Where trajectories end, which a mask says of a recurrent model.
            let ends: Vec<u8> = self.lengths().into_iter().flatten().flat_map(|length| length.to_le_bytes()).collect();
            sums[3] = if ends.is_empty() { 0 } else { xxh3_64_with_seed(&ends, 1) };
        }
        // Positions that are made of the tokens say nothing of their own.
        let made = |slot: &usize| self.network.counted.is_some_and(|c| c.slot == *slot);
        for (slot, all) in inputs.slots.iter().enumerate().filter(|(slot, _)| !made(slot)) {
            let which = if slot < arrays { 1 } else { 3 };
            sums[which] = sums[which].wrapping_add(of(slot, all));
        }
        sums[2] = inputs.initial.as_ref().map_or(0, |all| of(0, all));
        // Sums of unsigned numbers wrap.
        grid.sum(&mut sums);
        let [weights, inputs, initial_state, mask] = sums;
        Content { weights, inputs, initial_state, mask }
    }
}
