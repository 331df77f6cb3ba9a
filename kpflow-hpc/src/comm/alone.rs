//! One process: nothing to send.

pub trait Sendable {}
impl<T> Sendable for T {}

pub struct Guard;

pub fn initialize() -> Option<Guard> {
    Some(Guard)
}
pub fn rank_and_size() -> (usize, usize) {
    (0, 1)
}
pub fn sum<T: Sendable>(_values: &mut [T], _same_bits: bool) {}
pub fn gather<T: Sendable>(_local: &[T], _all: &mut [T], _counts: &[i32]) {}
pub fn broadcast<T: Sendable>(_values: &mut [T], _root: usize) {}
pub fn abort(_code: i32) {}
