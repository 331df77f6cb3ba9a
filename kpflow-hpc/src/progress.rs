//! Progress on standard error: a bar on a terminal, elsewhere a line, or with `--log json` an object, every so many seconds.
//!
//! A thread of its own speaks, so that what takes long without a word of its own (reading, a closed form, one large product) is seen to go on.

use crate::events;
use crate::words::seconds;
use indicatif::{ProgressBar, ProgressStyle};
use kpflow_estimate::Z;
use serde_json::json;
use std::fmt;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a bar is drawn.
const DRAW: Duration = Duration::from_millis(200);
/// The rate is that of at least so long: products that were there already are no measure of those to come.
const WINDOW: Duration = Duration::from_secs(3);

/// Seconds between two lines.
static EVERY: AtomicU64 = AtomicU64::new(10);

/// Says a line this often where there is no terminal.
pub fn every(seconds: u64) {
    EVERY.store(seconds.max(1), Ordering::Relaxed);
}

/// Work that is counted where it is done, far from who tells of it: bytes read, trajectories gone through.
struct Work {
    unit: &'static str,
    total: u64,
    done: AtomicU64,
}

static WORK: Mutex<Option<Arc<Work>>> = Mutex::new(None);

/// The work that is under way, until this is dropped.
pub struct UnderWay;

/// Begins work of so many units.
pub fn work(total: u64, unit: &'static str) -> UnderWay {
    let work = Arc::new(Work { unit, total, done: AtomicU64::new(0) });
    *lock(&WORK) = Some(work);
    UnderWay
}

/// So many more units of the work under way are done.
pub fn did(units: u64) {
    if let Some(work) = &*lock(&WORK) {
        work.done.fetch_add(units, Ordering::Relaxed);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        *lock(&WORK) = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far it is.
struct State {
    done: u64,
    /// What parts that began to count again had done before.
    before: u64,
    words: String,
    value: f64,
    error: f64,
    /// Two moments and what was done then: the rate is measured from the first.
    marks: [(Instant, u64); 2],
    over: bool,
}

struct Shared {
    name: String,
    unit: &'static str,
    total: u64,
    rtol: Option<f64>,
    started: Instant,
    state: Mutex<State>,
    ended: Condvar,
}

/// The progress of one analysis, of a training, or of reading.
pub struct Progress {
    shared: Arc<Shared>,
    bar: Option<ProgressBar>,
    speaker: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins an analysis, which counts products; says nothing unless `speak`.
    pub fn new(name: &str, budget: usize, speak: bool) -> Self {
        Self::of(name, "products", budget, speak)
    }

    /// Begins what counts something else; a budget of 0 is not known.
    pub fn of(name: &str, unit: &'static str, budget: usize, speak: bool) -> Self {
        Self::toward(name, unit, budget, None, speak)
    }

    /// Begins an estimate whose error falls as the root of the products, down to a relative one.
    pub fn toward(name: &str, unit: &'static str, budget: usize, rtol: Option<f64>, speak: bool) -> Self {
        let now = Instant::now();
        let shared = Arc::new(Shared {
            name: name.into(),
            unit,
            total: budget as u64,
            rtol,
            started: now,
            state: Mutex::new(State::new(now)),
            ended: Condvar::new(),
        });
        let bar = (speak && std::io::stderr().is_terminal() && !events::is_json()).then(|| bar(name));
        let speaker = speak.then(|| {
            let (shared, bar) = (shared.clone(), bar.clone());
            std::thread::spawn(move || shared.speak(bar.as_ref()))
        });
        Self { shared, bar, speaker }
    }

    /// Tells how far it is; a value that is not known yet is NaN.
    pub fn tell(&self, done: usize, value: f64, error: f64) {
        let mut s = lock(&self.shared.state);
        if value.is_finite() {
            (s.value, s.error) = (value, error);
            s.words = format!("{value:.6e} ± {error:.1e}");
        }
        s.count(done as u64);
    }

    /// Tells how far it is, in these words.
    pub fn say(&self, done: usize, so_far: String) {
        let mut s = lock(&self.shared.state);
        s.words = so_far;
        s.count(done as u64);
    }

    /// For those who look from another thread.
    pub fn watch(&self) -> Watch {
        Watch(self.shared.clone())
    }

    /// Does something that prints, with the bar out of the way.
    pub fn hidden<R>(&self, f: impl FnOnce() -> R) -> R {
        match &self.bar {
            Some(bar) => bar.suspend(f),
            None => f(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        lock(&self.shared.state).over = true;
        self.shared.ended.notify_all();
        if let Some(speaker) = self.speaker.take() {
            let _ = speaker.join();
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::new(1000);
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(name.to_string());
    bar
}

impl State {
    fn new(begun: Instant) -> Self {
        let (words, marks) = (String::new(), [(begun, 0); 2]);
        Self { done: 0, before: 0, words, value: f64::NAN, error: f64::NAN, marks, over: false }
    }

    fn count(&mut self, done: u64) {
        // An analysis in parts counts each part from the beginning.
        if done + self.before < self.done {
            self.before = self.done;
        }
        self.done = done + self.before;
    }
}

/// Progress as another thread sees it, which asks when it likes.
#[derive(Clone)]
pub struct Watch(Arc<Shared>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.0.name).finish()
    }
}

impl Watch {
    /// How far it is; nothing once it is over.
    pub fn look(&self) -> Option<Seen> {
        let mut state = lock(&self.0.state);
        if state.over {
            return None;
        }
        let now = self.0.moment(&mut state);
        let total = now.needed.unwrap_or(now.total);
        Some(Seen { done: now.done, total, unit: now.unit, seconds: now.seconds, words: state.words.clone() })
    }
}

/// How far work is.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Units that are done.
    pub done: u64,
    /// Those of all of it, as far as one can tell: an estimate may end before; 0 where nobody knows.
    pub total: u64,
    /// What is counted.
    pub unit: &'static str,
    /// Since it began.
    pub seconds: f64,
    /// What is found so far, or nothing.
    pub words: String,
}

/// What is said at one moment.
struct Moment {
    done: u64,
    total: u64,
    /// How many are needed by the error so far, if that can be told: fewer than the total.
    needed: Option<u64>,
    unit: &'static str,
    seconds: f64,
    left: Option<f64>,
}

impl Shared {
    fn speak(&self, bar: Option<&ProgressBar>) {
        let pause = if bar.is_some() { DRAW } else { Duration::from_secs(EVERY.load(Ordering::Relaxed)) };
        let mut state = lock(&self.state);
        loop {
            let waited = self.ended.wait_timeout_while(state, pause, |s| !s.over);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.over {
                return;
            }
            let now = self.moment(&mut state);
            let words = state.words.clone();
            match bar {
                Some(bar) => {
                    bar.set_position((1000 * now.done.min(now.total)).checked_div(now.total).unwrap_or(0));
                    bar.set_message(format!("{} {words}", now.text()));
                }
                None if events::is_json() => {
                    let fields = json!({
                        "name": self.name, "done": now.done, "total": now.total, "unit": now.unit, "seconds": now.seconds,
                        "seconds_left": now.left, "value": state.value, "standard_error": state.error,
                    });
                    events::emit("progress", fields);
                }
                None if words.is_empty() => eprintln!("{}: {}", self.name, now.text()),
                None => eprintln!("{}: {}; {words}", self.name, now.text()),
            }
        }
    }

    fn moment(&self, s: &mut State) -> Moment {
        let (now, work) = (Instant::now(), lock(&WORK).clone());
        // Products that are counted say more than the work inside of one of them.
        let (done, total, unit) = match &work {
            Some(w) if s.done == 0 => (w.done.load(Ordering::Relaxed), w.total, w.unit),
            _ => (s.done, self.total, self.unit),
        };
        if now - s.marks[1].0 >= WINDOW {
            s.marks = [s.marks[1], (now, done)];
        }
        let ((from, then), seconds) = (s.marks[0], (now - self.started).as_secs_f64());
        let rate = done.saturating_sub(then) as f64 / (now - from).as_secs_f64();
        let needed = self.rtol.map(|rtol| done as f64 * (Z * s.error / (rtol * s.value.abs())).powi(2));
        let needed = needed.filter(|&n| n > done as f64 && n < total as f64);
        let left = (needed.unwrap_or(total as f64) - done as f64) / rate;
        Moment {
            done,
            total,
            unit,
            seconds,
            needed: needed.map(|n| n.ceil() as u64),
            left: Some(left).filter(|l| l.is_finite() && *l >= 0.0),
        }
    }
}

impl Moment {
    fn text(&self) -> String {
        let count = match (self.total, self.unit) {
            (0, _) => String::new(),
            (total, "bytes") => {
                let mib = |n: u64| n as f64 / 1048576.0;
                format!("{:.0} of {:.0} MiB, ", mib(self.done), mib(total))
            }
            // An exact matrix that several analyses pay for.
            (total, unit) if self.done > total => format!("{} {unit}, ", self.done),
            (total, unit) => format!("{} of at most {total} {unit}, ", self.done),
        };
        let left = self.left.map_or(String::new(), |left| {
            let bound = if self.needed.is_some() { "about" } else { "at most" };
            format!(", {bound} {} left", seconds(left))
        });
        format!("{count}{}{left}", seconds(self.seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(total: u64, rtol: Option<f64>, ago: f64) -> Shared {
        let started = Instant::now() - Duration::from_secs_f64(ago);
        Shared {
            name: "a".into(),
            unit: "products",
            total,
            rtol,
            started,
            state: Mutex::new(State::new(started)),
            ended: Condvar::new(),
        }
    }

    #[test]
    fn time_left() {
        let s = shared(1000, None, 20.0);
        lock(&s.state).count(100);
        let now = s.moment(&mut lock(&s.state));
        assert_eq!(now.text(), "100 of at most 1000 products, 20.0 s, at most 3.0 min left");
        let beyond = Moment { done: 1001, left: None, ..now };
        assert_eq!(beyond.text(), "1001 products, 20.0 s");
        // An interval twice as wide as is asked for needs four times the products.
        let s = shared(1000, Some(0.01), 20.0);
        (lock(&s.state).value, lock(&s.state).error) = (10.0, 0.2 / Z);
        lock(&s.state).count(100);
        let now = s.moment(&mut lock(&s.state));
        assert_eq!(now.text(), "100 of at most 1000 products, 20.0 s, about 60.0 s left");
        let seen = Watch(Arc::new(s)).look().unwrap();
        assert_eq!((seen.done, seen.total, seen.unit), (100, 400, "products"));
        let now = shared(0, None, 5.0);
        assert_eq!(now.moment(&mut lock(&now.state)).text(), "5.0 s");
    }

    #[test]
    fn who_looks_sees_it_until_it_is_over() {
        let progress = Progress::new("a", 10, false);
        progress.tell(3, 2.0, 0.5);
        let watch = progress.watch();
        let seen = watch.look().unwrap();
        assert_eq!((seen.done, seen.total, seen.words.as_str()), (3, 10, "2.000000e0 ± 5.0e-1"));
        drop(progress);
        assert_eq!(watch.look(), None);
    }

    #[test]
    fn parts_that_count_again_are_added() {
        let s = shared(100, None, 1.0);
        let mut state = lock(&s.state);
        for (done, sum) in [(10, 10), (30, 30), (5, 35), (20, 50), (4, 54)] {
            state.count(done);
            assert_eq!(state.done, sum);
        }
    }
}
