//! Progress on standard error: a bar on a terminal, a line every ten seconds in a batch log.

use indicatif::{ProgressBar, ProgressStyle};
use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(10);

/// The progress of one analysis, or of a training.
pub struct Progress {
    name: String,
    unit: &'static str,
    budget: usize,
    bar: Option<ProgressBar>,
    speak: bool,
    started: Instant,
    said: Cell<Instant>,
}

impl Progress {
    /// Begins an analysis, which counts products; says nothing unless `speak`.
    pub fn new(name: &str, budget: usize, speak: bool) -> Self {
        Self::of(name, "products", budget, speak)
    }

    /// Begins what counts something else.
    pub fn of(name: &str, unit: &'static str, budget: usize, speak: bool) -> Self {
        let bar = (speak && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(budget as u64);
            let style = ProgressStyle::with_template(&format!(
                "{{prefix}} {{wide_bar}} {{pos}}/{{len}} {unit} {{msg}} [{{elapsed}}]"
            ));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(name.to_string());
            bar
        });
        let now = Instant::now();
        Self { name: name.into(), unit, budget, bar, speak, started: now, said: Cell::new(now) }
    }

    /// Tells how far it is.
    pub fn tell(&self, matvecs: usize, value: f64, error: f64) {
        self.say(matvecs, if value.is_finite() { format!("{value:.6e} ± {error:.1e}") } else { String::new() });
    }

    /// Does something that prints, with the bar out of the way.
    pub fn hidden<R>(&self, f: impl FnOnce() -> R) -> R {
        match &self.bar {
            Some(bar) => bar.suspend(f),
            None => f(),
        }
    }

    /// Tells how far it is, in these words.
    pub fn say(&self, done: usize, so_far: String) {
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            bar.set_message(so_far);
        } else if self.speak && self.said.get().elapsed() >= EVERY {
            self.said.set(Instant::now());
            let seconds = self.started.elapsed().as_secs();
            eprintln!("{}: {done} of at most {} {}, {seconds} s {so_far}", self.name, self.budget, self.unit);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
