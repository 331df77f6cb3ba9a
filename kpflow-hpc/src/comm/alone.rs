//! One process: nothing to send.

pub trait Sendable {}
impl<T> Sendable for T {}

pub struct Guard;

/// No MPI.
pub fn version() -> String {
    "none".into()
}

/// Refuses to be one of several: each would do the whole job, and all would write the same file.
pub fn initialize() -> Result<Guard, String> {
    super::launcher::require_connected(
        "this kpflow was built without MPI; run it alone, or build it with the feature mpi",
    )?;
    Ok(Guard)
}
pub fn is_connected() -> bool {
    false
}
pub fn rank_and_size() -> (usize, usize) {
    (0, 1)
}
pub fn split(_comm: usize, _color: usize) -> (usize, usize, usize) {
    (0, 0, 1)
}
pub fn node() -> (usize, usize, usize) {
    (0, 0, 1)
}
pub fn on_one_node(_comm: usize) -> bool {
    true
}
#[derive(Debug)]
pub struct Memory(Vec<u128>);
pub fn window(_comm: usize, bytes: usize) -> (Memory, *mut u8) {
    let mut memory = vec![0u128; bytes.div_ceil(16)];
    let base = memory.as_mut_ptr().cast();
    (Memory(memory), base)
}
impl Memory {
    pub fn fence(&self) {
        let _ = &self.0;
    }
}
pub fn sum<T: Sendable>(_comm: usize, _values: &mut [T], _same_bits: bool) {}
pub struct Pending<T>(std::marker::PhantomData<T>);
/// # Safety
/// None is needed: nothing is started.
pub unsafe fn start_sum<T: Sendable>(_comm: usize, _values: &mut [T]) -> Pending<T> {
    Pending(std::marker::PhantomData)
}
pub fn progress() {}
pub fn gather<T: Sendable>(_comm: usize, _local: &[T], _all: &mut [T], _counts: &[i32]) {}
pub fn broadcast<T: Sendable>(_comm: usize, _values: &mut [T], _root: usize) {}
pub fn broadcast_strided<T: Sendable>(_comm: usize, _values: &mut [T], _pieces: [usize; 3], _root: usize) {}
pub fn meet(_limit: std::time::Duration) -> bool {
    true
}
pub fn abort(_code: i32) {}
