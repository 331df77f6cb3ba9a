//! How long something takes.

use std::time::{Duration, Instant};

/// How long something is measured.
const LONG: Duration = Duration::from_millis(200);
/// Times `f`, which does so many flops, until there is enough of it.
pub(super) fn rate(flops: f64, mut f: impl FnMut()) -> f64 {
    f();
    let (clock, mut times) = (Instant::now(), 0);
    while times == 0 || clock.elapsed() < LONG {
        f();
        times += 1;
    }
    flops * f64::from(times) / clock.elapsed().as_secs_f64()
}
