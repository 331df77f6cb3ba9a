//! Tensors that are as the state: error signals, vectors that an operator is applied to.

use super::{Array, Source};
use crate::error::Result;
use kpflow_core::Scalar;
use std::ops::Range;

/// Opens a tensor as the state [B, T, N]; where there may be `many`, [m, B, T, N] is right too.
pub fn open_signal(with: &Source, state: [usize; 3], many: bool) -> Result<Array> {
    let array = Array::open(with)?.written()?;
    let shape = array.shape();
    if shape == state || many && shape.len() == 4 && shape[0] > 0 && shape[1..] == state {
        return Ok(array);
    }
    let what = match many {
        true => format!(
            "vectors are as the state, {state:?}, or several of it, [m, {}, {}, {}]",
            state[0], state[1], state[2]
        ),
        false => format!("an error signal is as the state, {state:?}"),
    };
    Err(array.error(format!("has shape {:?}; {what}", array.shape())))
}

/// How many vectors a tensor has that was opened so.
pub fn vectors_of(array: &Array) -> usize {
    if array.shape().len() == 4 {
        array.shape()[0]
    } else {
        1
    }
}

/// Reads its part of these trajectories, vector after vector; behind their ends there are zeros.
pub fn read_signal<T: Scalar>(array: &Array, own: Range<usize>, lengths: Option<&[usize]>) -> Result<Vec<Vec<T>>> {
    if array.shape().len() == 3 {
        return Ok(vec![array.read_until(own, lengths)?]);
    }
    (0..array.shape()[0]).map(|v| array.read_of(Some(v), own.clone(), lengths)).collect()
}
