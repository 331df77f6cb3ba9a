//! How times are taken.

use std::time::Instant;

/// For how long something is measured.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    pub seconds: f64,
}

/// Calls that are measured, at least, and how many where one takes longer than the time for all.
const LEAST: (usize, usize) = (5, 3);

/// The time of one call.
pub fn once(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64()
}

/// The times of calls, after one that is not measured.
pub fn times(clock: Clock, mut f: impl FnMut()) -> Vec<f64> {
    f();
    repeated(clock, |first| if first > clock.seconds { LEAST.1 } else { LEAST.0 }, f)
}

/// The times of calls, of `least` where the first took so many seconds.
pub fn repeated(clock: Clock, least: impl Fn(f64) -> usize, mut f: impl FnMut()) -> Vec<f64> {
    let (start, mut times) = (Instant::now(), Vec::new());
    loop {
        times.push(once(&mut f));
        let long = start.elapsed().as_secs_f64() >= clock.seconds;
        if long && times.len() >= least(times[0]) {
            return times;
        }
    }
}

/// The middle of some times.
pub fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The median time of a call.
pub fn median(clock: Clock, f: impl FnMut()) -> f64 {
    middle(times(clock, f))
}
