//! Random numbers of one trajectory, one after the other.

use kpflow_core::probe::philox4x32;

/// What random numbers are for: each purpose has numbers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A trajectory of a batch.
    Trajectory = 1,
    /// What all trajectories of a task share.
    Task = 2,
    /// The weights that a training begins with.
    Weights = 3,
}

/// The numbers of one (purpose, batch, trajectory): Philox4x32-10 with the counter (call, trajectory, batch, purpose) and the seed as key.
#[derive(Clone, Debug)]
pub struct Draw {
    key: [u32; 2],
    counter: [u32; 4],
    words: [u32; 4],
    used: usize,
}

/// Sets these numbers apart from those of probes, which have the same generator and may have the same seed.
const APART: u64 = 0x7461_736b_7461_736b;

impl Draw {
    /// Begins.
    pub fn new(seed: u64, purpose: Purpose, batch: u32, trajectory: u32) -> Self {
        let key = seed ^ APART;
        let counter = [0, trajectory, batch, purpose as u32];
        Self { key: [key as u32, (key >> 32) as u32], counter, words: [0; 4], used: 4 }
    }

    fn word(&mut self) -> u64 {
        if self.used == 4 {
            (self.words, self.used) = (philox4x32(self.counter, self.key), 0);
            self.counter[0] = self.counter[0].wrapping_add(1);
        }
        self.used += 1;
        self.words[self.used - 1].into()
    }

    /// A number between 0 and 1, neither of them: the middle of one of 2⁵² equal intervals.
    pub fn uniform(&mut self) -> f64 {
        let bits = (self.word() << 20) | (self.word() >> 12);
        (bits as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// A whole number from 0 to `most`.
    pub fn up_to(&mut self, most: usize) -> usize {
        ((self.uniform() * (most + 1) as f64) as usize).min(most)
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// +1 or −1.
    pub fn sign(&mut self) -> f64 {
        if self.happens(0.5) {
            1.0
        } else {
            -1.0
        }
    }

    /// A standard normal number, by Box and Muller's transform (1958).
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}
