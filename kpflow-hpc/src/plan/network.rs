//! What it costs to send: a latency and a bandwidth.

use crate::comm::Comm;
use crate::error::{Error, Result};
use std::time::Instant;

/// An α-β network: a message of b bytes takes latency + b / bandwidth seconds.
#[derive(Clone, Debug)]
pub struct Network {
    /// Seconds.
    pub latency: f64,
    /// Bytes a second.
    pub bandwidth: f64,
    /// Where the two come from.
    pub source: &'static str,
}

impl Network {
    /// As the user says it, `"latency_us,GB/s"`; measured, where there are several ranks; or that of a common cluster.
    pub fn new(text: Option<&str>, comm: Comm) -> Result<Self> {
        match text {
            Some(text) => Self::parse(text),
            None if comm.size() > 1 => Ok(Self::measure(comm)),
            None => Ok(Self::assumed()),
        }
    }

    /// That of a common cluster.
    pub fn assumed() -> Self {
        Self { latency: 2e-6, bandwidth: 10e9, source: "assumed; --network, or plan under mpirun" }
    }

    fn parse(text: &str) -> Result<Self> {
        let numbers: Vec<f64> = text.split(',').filter_map(|x| x.trim().parse().ok()).collect();
        match numbers[..] {
            [us, gb] if text.split(',').count() == 2 && us >= 0.0 && gb > 0.0 && us.is_finite() && gb.is_finite() => {
                Ok(Self { latency: us * 1e-6, bandwidth: gb * 1e9, source: "given" })
            }
            _ => Err(Error::usage(format!(
                "--network \"{text}\" is not a network; it is latency in µs and bandwidth in GB/s, as \"2,10\""
            ))),
        }
    }

    /// From sums of one number and of many. Collective.
    fn measure(comm: Comm) -> Self {
        const MANY: usize = 1 << 20;
        let time = |len: usize, times: usize| {
            let mut values = vec![0.0f64; len];
            comm.sum(&mut values);
            let clock = Instant::now();
            (0..times).for_each(|_| comm.sum(&mut values));
            // The slowest rank's, so that every rank plans the same.
            let nanoseconds = clock.elapsed().as_nanos() as u64 / times as u64;
            comm.most([nanoseconds])[0] as f64 * 1e-9
        };
        let (short, long) = (time(1, 200), time(MANY, 5));
        let (steps, ranks) = (depth(comm.size()), comm.size() as f64);
        let bytes = 2.0 * (8 * MANY) as f64 * (ranks - 1.0) / ranks;
        let source = "measured between the ranks here";
        Self { latency: short / (2.0 * steps), bandwidth: bytes / (long - short).max(1e-9), source }
    }

    /// Seconds of [`Comm::sum`] of so many bytes.
    pub fn sum(&self, bytes: f64, short: bool, ranks: usize) -> f64 {
        let (steps, r) = (2.0 * depth(ranks), ranks as f64);
        // Short ones go up a tree and down again; long ones are cut, so that all links work at once (Rabenseifner 2004).
        let sent = if short { steps * bytes } else { 2.0 * bytes * (r - 1.0) / r };
        steps * self.latency + sent / self.bandwidth
    }

    /// Seconds of a broadcast of so many bytes.
    pub fn share(&self, bytes: f64, ranks: usize) -> f64 {
        depth(ranks) * (self.latency + bytes / self.bandwidth)
    }

    /// Seconds of a gather of so many bytes in all.
    pub fn gather(&self, bytes: f64, ranks: usize) -> f64 {
        depth(ranks) * self.latency + bytes * (ranks as f64 - 1.0) / ranks as f64 / self.bandwidth
    }
}

/// Steps of a tree of so many ranks.
fn depth(ranks: usize) -> f64 {
    f64::from(ranks.max(1).next_power_of_two().trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_two_numbers() {
        let n = Network::parse("1.5, 25").unwrap();
        assert!((n.latency - 1.5e-6).abs() < 1e-12 && (n.bandwidth - 25e9).abs() < 1.0);
        for wrong in ["", "2", "2,0", "2,x", "-1,2", "1,2,3", "inf,1"] {
            assert_eq!(Network::parse(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }

    #[test]
    fn longer_and_further_is_slower() {
        let n = Network::parse("1,1").unwrap();
        assert_eq!(n.sum(8.0, true, 1), 0.0);
        assert!(n.sum(1e6, false, 4) > n.sum(1e5, false, 4) && n.sum(1e6, false, 64) > n.sum(1e6, false, 4));
    }
}
