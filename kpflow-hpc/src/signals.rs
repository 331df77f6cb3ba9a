//! Signals that ask a run to save its state and end: SIGTERM, as a batch system sends it, and SIGUSR1, as one can be asked to.

use crate::error::{Error, Result};
use signal_hook::consts::{SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::{flag, low_level};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The signals and their names.
const SIGNALS: [(i32, &str); 2] = [(SIGTERM, "SIGTERM"), (SIGUSR1, "SIGUSR1")];

/// Signals nearer to each other than this are one: mpirun sends SIGTERM twice.
const ONE: Duration = Duration::from_secs(1);

/// What this process was asked.
#[derive(Clone, Debug, Default)]
pub struct Signals(Arc<AtomicUsize>);

static LISTENING: OnceLock<Signals> = OnceLock::new();

impl Signals {
    /// Takes note of signals from now on. A second one, at least a second later, ends the process at once with status 1.
    pub fn listen() -> Result<Self> {
        let (signals, clock) = (LISTENING.get_or_init(Self::default).clone(), Instant::now());
        let first = Arc::new(AtomicUsize::new(0));
        for (signal, _) in SIGNALS {
            let (signals, first) = (signals.clone(), first.clone());
            let note = move || {
                let now = clock.elapsed().as_millis() as usize + 1;
                match first.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => signals.0.store(signal as usize, Ordering::Relaxed),
                    Err(before) if now - before > ONE.as_millis() as usize => low_level::exit(1),
                    Err(_) => {}
                }
            };
            // SAFETY: an atomic number, a clock and _exit are what a signal handler may use.
            unsafe { low_level::register(signal, note) }.map_err(not_heard)?;
        }
        // A file beyond `ulimit -f` is then an error of the write like any other.
        flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map_err(not_heard)?;
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

    /// Asks for an end as SIGTERM does: what a program does that calls the library.
    pub fn ask(&self) {
        self.0.store(SIGTERM as usize, Ordering::Relaxed);
    }
}

fn not_heard(e: std::io::Error) -> Error {
    Error::run(format!("signals cannot be listened to: {e}"))
}

/// Whether this process was asked to end.
pub fn asked_to_end() -> bool {
    LISTENING.get().is_some_and(|s| s.received() != [0, 0])
}
