//! Calls with random sizes and lengths: ok exactly where all is right, and never a panic.
//!
//! Also for Miri, on a target where libm has no inline assembly: `cargo +nightly miri test -p kpflow-c --test random --target riscv64gc-unknown-linux-gnu`.

use kpflow_c::{kpflow_apply_f32, kpflow_linearize_f32, kpflow_sizes_f32, kpflow_trace_f32};
use kpflow_c::{Model, Sizes, Slice, SliceMut, Status, Trace};
use kpflow_core::probe::philox4x32;

/// Small random numbers.
struct Random(u32);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 += 1;
        philox4x32([self.0, 0, 0, 0], [6, 0])[0] as usize % end
    }
    /// `len`, or now and then another length near it; then `right` is not.
    fn near(&mut self, len: usize, right: &mut bool, longer_is_right: bool) -> usize {
        let found = match self.below(24) {
            0 => len.saturating_sub(1),
            1 => len + 1,
            2 => self.below(len + 1),
            _ => len,
        };
        *right &= found == len || (longer_is_right && found > len);
        found
    }
}

fn read(data: &[f32]) -> Slice<f32> {
    Slice { data: data.as_ptr(), len: data.len() }
}
fn write(data: &mut [f32]) -> SliceMut<f32> {
    SliceMut { data: data.as_mut_ptr(), len: data.len() }
}

#[test]
fn random_calls_are_ok_exactly_where_all_is_right() {
    let mut r = Random(0);
    let (mut good, mut bad) = (0, 0);
    // Miri, which watches every pointer, takes a second for each.
    let count = if cfg!(miri) { 30 } else { 3000 };
    for _ in 0..count {
        let size = |r: &mut Random| if r.below(40) == 0 { 0 } else { 1 + r.below(5) };
        let [n_in, hidden, steps, trajectories, vectors] = std::array::from_fn(|_| size(&mut r));
        let (cell, gates) = [(0, 1), (1, 3), (2, 4)][r.below(3)];
        let (op, activation) = (r.below(6) as u32, r.below(3) as u32);
        let mut right = ![n_in, hidden, steps, trajectories, vectors].contains(&0);
        let numbers = vec![0.25f32; 4 * 6 * 6 + 8];
        let mut weight = |len: usize, right: &mut bool| read(&numbers[..r.near(len, right, false)]);
        let (rows, mut sizes) = (gates * hidden, Sizes::default());
        let model = Model {
            cell,
            activation,
            n_in,
            hidden,
            steps,
            trajectories,
            w_ih: weight(rows * n_in, &mut right),
            w_hh: weight(rows * hidden, &mut right),
            b_ih: weight(rows, &mut right),
            b_hh: Slice { data: std::ptr::null(), len: 0 },
        };
        // SAFETY: all slices are of live vectors.
        let status = unsafe { kpflow_sizes_f32(&model, vectors, &mut sizes) };
        assert_eq!(status == Status::Ok, right, "{status:?} {model:?}");
        if !right {
            bad += 1;
            continue;
        }
        let mut vector = |len: usize, longer: bool| vec![0.5f32; r.near(len, &mut right, longer)];
        let (inputs, mut arena, mut scratch) =
            (vector(sizes.inputs, false), vector(sizes.arena, true), vector(sizes.linearize_scratch, true));
        let none = Slice { data: std::ptr::null(), len: 0 };
        // SAFETY: the same.
        let status =
            unsafe { kpflow_linearize_f32(&model, read(&inputs), none, write(&mut arena), write(&mut scratch)) };
        assert_eq!(status == Status::Ok, right, "{status:?} {model:?}");
        if !right {
            bad += 1;
            continue;
        }
        let mut vector = |len: usize, longer: bool| vec![0.5f32; r.near(len, &mut right, longer)];
        let (x, mut y) = (vector(vectors * sizes.state, false), vector(vectors * sizes.state, false));
        // All operators together need so much; one of them may do with less.
        let mut scratch = vec![0.0; sizes.apply_scratch];
        // SAFETY: the same.
        let status = unsafe {
            kpflow_apply_f32(&model, read(&arena), op, vectors, read(&x), write(&mut y), write(&mut scratch))
        };
        assert_eq!(status == Status::Ok, right, "{status:?} {model:?}");
        let mut trace = Trace::default();
        let mut scratch = vec![0.0; r.below(sizes.trace_scratch + 1)];
        // SAFETY: the same.
        let status =
            unsafe { kpflow_trace_f32(&model, read(&arena), op, 0, 3, vectors, write(&mut scratch), &mut trace) };
        assert!(matches!(status, Status::Ok | Status::Length), "{status:?} {model:?}");
        good += 1;
    }
    assert!(good > count / 3 && bad > count / 6, "{good} and {bad}");
}
