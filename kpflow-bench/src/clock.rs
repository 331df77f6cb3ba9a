//! How times are taken.

use std::time::Instant;

/// For how long something is measured.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    pub seconds: f64,
}

/// The median time of a call, of at least five and as many as fit the time.
pub fn median(clock: Clock, mut f: impl FnMut()) -> f64 {
    f();
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.len() < 5 || start.elapsed().as_secs_f64() < clock.seconds {
        let one = Instant::now();
        f();
        times.push(one.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
