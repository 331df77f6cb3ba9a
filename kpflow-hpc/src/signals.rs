//! Signals that ask a run to save its state and end: SIGTERM, as a batch system sends it, and SIGUSR1, as one asks it to.

use crate::error::{Error, Result};
use signal_hook::consts::{SIGTERM, SIGUSR1};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;

/// The signals and their names.
const SIGNALS: [(i32, &str); 2] = [(SIGTERM, "SIGTERM"), (SIGUSR1, "SIGUSR1")];

/// What this process was asked.
#[derive(Clone, Debug, Default)]
pub struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Takes note of signals from now on. A second one ends the process at once, with status 1.
    pub fn listen() -> Result<Self> {
        let (first, signals) = (Arc::new(AtomicBool::new(false)), Self::default());
        for (signal, _) in SIGNALS {
            // In this order: the first signal finds the flag down, and raises it.
            flag::register_conditional_shutdown(signal, 1, first.clone())
                .and_then(|_| flag::register(signal, first.clone()))
                .and_then(|_| flag::register_usize(signal, signals.0.clone(), signal as usize))
                .map_err(|e| Error::run(format!("signals cannot be listened to: {e}")))?;
        }
        Ok(signals)
    }

    /// What this process was asked, as numbers that can be summed over ranks: one a signal.
    pub fn received(&self) -> [u64; 2] {
        let received = self.0.load(Ordering::Relaxed);
        SIGNALS.map(|(signal, _)| u64::from(received == signal as usize))
    }

    /// The name of the signal that any rank received.
    pub fn name(sums: &[u64]) -> Option<&'static str> {
        SIGNALS.iter().zip(sums).find(|(_, &count)| count > 0).map(|(s, _)| s.1)
    }

    /// Makes believe that SIGTERM was received.
    #[cfg(test)]
    pub fn pretend(&self) {
        self.0.store(SIGTERM as usize, Ordering::Relaxed);
    }
}
