//! Eigenvectors and other blocks as large as the state: collected by the root, or written in parts.

use crate::analysis::outputs::Degree;
use crate::analysis::{Quantity, Tensor};
use crate::comm::Grid;
use crate::engine::Real;
use crate::error::Result;
use crate::job::Job;
use crate::results::{parts, Parts};
use kpflow_estimate::{times_power, Tall};

/// Makes the numbers of tensors of 2^-k A those of A, by their degrees. Says whether one that was finite is not any more, or has lost its digits.
pub(super) fn restore<T: Real>(tensors: &mut [Tensor<Tall<T>>], quantity: &Quantity, k: i32) -> bool {
    let mut left = false;
    for Tensor { name, block, .. } in tensors {
        let Some(Degree::Power(d)) = quantity.output(name).map(|o| o.degree) else { continue };
        if d * k == 0 {
            continue;
        }
        let largest = |x: &[T]| x.iter().fold(0.0, |m: f64, x| m.max(x.f64().abs()));
        let before = largest(&block.data);
        block.data.iter_mut().for_each(|x| *x = T::of(times_power(x.f64(), d * k)));
        let after = largest(&block.data);
        left |= before.is_finite() && (after.is_infinite() || before > 0.0 && !T::of(after).is_normal());
    }
    left
}

/// The shape of all ranks' parts of a block: [k, B, T, N].
pub(super) fn tensor_shape<T: Real>(v: &Tall<T>, grid: Grid) -> [usize; 4] {
    let mut trajectories = [v.shape.trajectories as u64];
    grid.sum(&mut trajectories);
    [v.vectors, trajectories[0] as usize, v.shape.steps, v.shape.units]
}

/// This rank's trajectories of a block, as [k, b, T, N].
fn own<T: Real>(v: &Tall<T>) -> Vec<T> {
    (0..v.vectors).flat_map(|k| (0..v.shape.trajectories).flat_map(move |b| v.part(b, k))).copied().collect()
}

/// Writes this rank's part of a tensor of this shape, and says where all of them are. Collective.
pub(super) fn write_part<T: Real>(
    job: &Job,
    analysis: &str,
    (name, v): (&'static str, &Tall<T>),
    shape: [usize; 4],
    grid: Grid,
) -> Result<Parts<T>> {
    let mut counts = vec![0u64; grid.size()];
    counts[grid.rank()] = v.shape.trajectories as u64;
    grid.sum(&mut counts);
    let [k, _, t, n] = shape;
    let written = match v.shape.trajectories {
        0 => Ok(()),
        _ if !grid.is_first() => Ok(()),
        b => parts::write(&job.output, (analysis, name), grid.rank(), [k, b, t, n], own(v)),
    };
    grid.agree(written)?;
    let ends: Vec<usize> = counts.iter().scan(0, |at, &c| Some(std::mem::replace(at, *at + c as usize))).collect();
    let trajectories = ends.iter().zip(&counts).map(|(&first, &c)| first..first + c as usize).collect();
    Ok(Parts { name, shape, trajectories, missing: T::nan() })
}

/// All trajectories of a block, as [k, B, T, N].
pub(super) fn collect<T: Real>(v: &Tall<T>, grid: Grid) -> Vec<T> {
    let (k, b, per) = (v.vectors, tensor_shape(v, grid)[1], v.shape.per_trajectory());
    let mut all = vec![T::zero(); k * b * per];
    grid.gather(&v.data, &mut all);
    let mut out = vec![T::zero(); all.len()];
    for (i, part) in all.chunks(per.max(1)).enumerate() {
        out[((i % k) * b + i / k) * per..][..per].copy_from_slice(part);
    }
    out
}
