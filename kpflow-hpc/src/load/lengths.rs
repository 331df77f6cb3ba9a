//! Trials of different length: how many steps each trajectory has.

use super::{Array, Source};
use crate::error::Result;

/// Numbers of a mask that are read at a time, or a row.
const AT_ONCE: usize = 1 << 18;

/// The steps of each trajectory of some inputs, where lengths or a recurrent model's mask say them.
pub fn of_inputs(inputs: &Array, lengths: Option<&Source>, mask: Option<Array>) -> Result<Option<Vec<usize>>> {
    // Inputs of another form are refused for that.
    let &[trajectories, steps, ..] = inputs.shape() else { return Ok(None) };
    match (lengths, mask) {
        (Some(source), _) => of_numbers(&Array::open(source)?, trajectories, steps).map(Some),
        (None, Some(mask)) => of_mask(&mask, trajectories, steps).map(Some),
        (None, None) => Ok(None),
    }
}

/// The steps of each trajectory that an array `[B]` tells: whole numbers from 1 to `steps`.
pub fn of_numbers(array: &Array, trajectories: usize, steps: usize) -> Result<Vec<usize>> {
    if array.shape() != [trajectories] {
        let what = format!("has shape {:?}; lengths are [{trajectories}], the steps of each trajectory", array.shape());
        return Err(array.error(what));
    }
    let read = array.read_rows::<f64>(0..trajectories)?;
    let whole = |(b, x): (usize, f64)| {
        let length = Some(x as usize).filter(|l| *l as f64 == x && (1..=steps).contains(l));
        length.ok_or_else(|| {
            array.error(format!("holds {x} for trajectory {b}; a length is a whole number from 1 to {steps}"))
        })
    };
    read.into_iter().enumerate().map(whole).collect()
}

/// The steps of each trajectory that a mask `[B, T]` tells: 1 up to a trajectory's end, and 0 behind it.
pub fn of_mask(array: &Array, trajectories: usize, steps: usize) -> Result<Vec<usize>> {
    if array.shape() != [trajectories, steps] {
        let what = format!("has shape {:?}; a mask of these inputs is [{trajectories}, {steps}]", array.shape());
        return Err(array.error(what));
    }
    let mut lengths = Vec::with_capacity(trajectories);
    let step = (AT_ONCE / steps.max(1)).max(1);
    for first in (0..trajectories).step_by(step) {
        let rows = array.read_rows::<f64>(first..(first + step).min(trajectories))?;
        for row in rows.chunks(steps) {
            lengths.push(length(row).map_err(|what| array.error(what(lengths.len())))?);
        }
    }
    Ok(lengths)
}

/// How many ones a row of a mask begins with, of which it has no others; or what is wrong with a trajectory of such a mask.
fn length(row: &[f64]) -> std::result::Result<usize, Box<dyn Fn(usize) -> String>> {
    if let Some(x) = row.iter().copied().find(|x| *x != 0.0 && *x != 1.0) {
        return Err(Box::new(move |b| {
            format!("holds {x} for trajectory {b}; a mask is 1 up to a trajectory's end and 0 behind it")
        }));
    }
    let ones = row.iter().take_while(|x| **x == 1.0).count();
    match row[ones..].iter().position(|x| *x == 1.0).map(|again| ones + again) {
        Some(again) if ones == 0 => Err(Box::new(move |b| {
            format!("is 0 at the first step of trajectory {b} and 1 at step {again}; a recurrent model begins at the first step: move such trials to their front")
        })),
        Some(again) => Err(Box::new(move |b| {
            format!("is 0 at step {ones} of trajectory {b} and 1 again at step {again}; a recurrent model goes through all steps up to a trajectory's end, so its mask is ones and then zeros")
        })),
        None if ones == 0 => {
            Err(Box::new(|b| format!("is 0 at all steps of trajectory {b}; a trajectory has at least one")))
        }
        None => Ok(ones),
    }
}
