//! What a job's files hold, as a network and its inputs.

use super::doubts::warn_of_indirect;
use super::Given;
use crate::comm::Grid;
use crate::engine::Real;
use crate::error::Result;
use crate::job::{Job, Kind};
use crate::kinds::{self, Tokens};
use crate::load::{Array, Checkpoint};
use crate::network::select::StateChoice;
use crate::network::FromFiles;
use crate::onnx;
use crate::progress;
use std::ops::Range;

/// Numbers that are read, or summed over ranks, at once.
const AT_ONCE: usize = 1 << 16;

/// Whole numbers up to here are exact in single precision.
const MOST_TOKENS: usize = 1 << 24;

/// The network of a job, for inputs of these shapes.
pub(super) fn network<T: Real>(
    job: &Job,
    arrays: &[Array],
    tokens: Tokens<'_>,
    masked: bool,
    outline: bool,
) -> Result<FromFiles<T>> {
    if job.model.kind == Kind::Onnx {
        let names: Vec<Option<String>> = job.inputs.iter().map(|(name, _)| name.clone()).collect();
        let shapes: Vec<&[usize]> = arrays.iter().map(|a| &a.shape()[1..]).collect();
        let mut network = onnx::build(&job.model.weights, &names, &shapes, &job.model.parameters)?;
        kinds::choose(&mut network, &job.model)?;
        warn_of_indirect(&mut network, job);
        return Ok(network);
    }
    let checkpoint = Checkpoint::open(&job.model.weights, &job.model.prefix)?;
    let checkpoint = if outline { checkpoint.outline() } else { checkpoint };
    let _reading = (!outline).then(|| progress::work(checkpoint.len_bytes(), "bytes"));
    let input = arrays.first().map(|a| &a.shape()[1..]);
    let input_file = job.inputs.first().map_or(job.path.as_path(), |(_, source)| source.path.as_path());
    let spec = &job.model;
    let mut network =
        kinds::build(&kinds::Source { spec, checkpoint: &checkpoint, input, input_file, tokens, masked })?;
    // Of a kind's own state MODELS.md says what K and P are.
    if spec.readout.is_some() || spec.state != StateChoice::Default {
        warn_of_indirect(&mut network, job);
    }
    Ok(network)
}

/// The tokens of an input that a rank has read.
pub(super) struct Read {
    /// Those of its own trajectories, in their order.
    pub own: Vec<usize>,
    /// The distinct ones of all trajectories, sorted.
    pub named: Vec<usize>,
}

impl Read {
    /// Reads these trajectories' tokens, and learns of the others' which there are. Collective.
    ///
    /// **Errors**: one is no whole number from 0.
    pub fn of(array: &Array, range: Range<usize>, grid: Grid) -> Result<Self> {
        let own = grid.agree(whole_numbers(array, range))?;
        let named = distinct(&own, grid);
        Ok(Self { own, named })
    }
}

/// The tokens of these trajectories: whole numbers from 0.
fn whole_numbers(array: &Array, range: Range<usize>) -> Result<Vec<usize>> {
    let whole = |x: f64| Some(x as usize).filter(|&t| t as f64 == x && t < MOST_TOKENS);
    let token = |x: f64| {
        let wrong = || array.error(format!("holds {x}; tokens are whole numbers from 0 to {}", MOST_TOKENS - 1));
        whole(x).ok_or_else(wrong)
    };
    let per: usize = array.shape()[1..].iter().product();
    let (step, end) = ((AT_ONCE / per.max(1)).max(1), range.end);
    let mut tokens = Vec::with_capacity(range.len() * per);
    for first in range.step_by(step) {
        for x in array.read_rows::<f64>(first..(first + step).min(end))? {
            tokens.push(token(x)?);
        }
    }
    Ok(tokens)
}

/// The distinct numbers of all ranks' lists, sorted. Collective.
fn distinct(own: &[usize], grid: Grid) -> Vec<usize> {
    let [end] = grid.world().most([own.iter().max().map_or(0, |most| *most as u64 + 1)]);
    let mut there = vec![false; end as usize];
    own.iter().for_each(|&t| there[t] = true);
    let mut found = Vec::new();
    for (part, there) in there.chunks(AT_ONCE).enumerate() {
        let mut holders: Vec<u64> = there.iter().map(|&t| u64::from(t)).collect();
        grid.sum(&mut holders);
        found.extend(holders.iter().enumerate().filter(|(_, &count)| count > 0).map(|(i, _)| part * AT_ONCE + i));
    }
    found
}

/// This rank's part of all inputs, by slot.
pub(super) fn read_inputs<T: Real>(network: &FromFiles<T>, given: &Given, range: Range<usize>) -> Result<Vec<Vec<T>>> {
    let Given { arrays, tokens, mask, lengths, .. } = given;
    let (tokens, mask) = (tokens.as_ref().map(|read| read.own.as_slice()), mask.as_ref());
    let mut inputs = Vec::new();
    for (slot, (positions, _)) in network.slots().into_iter().enumerate() {
        if let (Some(counted), Some(tokens)) = (network.counted.filter(|c| c.slot == slot), tokens) {
            let of = |trajectory| counted.positions(trajectory);
            inputs.push(tokens.chunks(positions.max(1)).flat_map(of).map(|p| T::of(p as f64)).collect());
            continue;
        }
        let Some(array) = arrays.get(slot).or(mask) else { continue };
        inputs.push(match (network.tokens.as_ref().zip(tokens), arrays.get(slot)) {
            (Some((rows, tokens)), Some(_)) => {
                let place = |t: &usize| T::of(rows.binary_search(t).unwrap_or(0) as f64);
                tokens.iter().map(place).collect()
            }
            (_, Some(_)) => array.read_until(range.clone(), lengths.as_deref())?,
            // What may not be read is −∞ before the softmax.
            (_, None) => {
                let read: Vec<T> = array.read_rows(range.clone())?;
                if let Some(x) = read.iter().find(|x| **x != T::zero() && **x != T::one()) {
                    return Err(
                        array.error(format!("holds {x}; a mask is 1 where a token may be read and 0 elsewhere"))
                    );
                }
                read.into_iter().map(|x| if x == T::zero() { T::neg_infinity() } else { T::zero() }).collect()
            }
        });
    }
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::Comm;

    #[test]
    fn distinct_tokens_are_sorted() {
        let alone = Grid::from(Comm::alone());
        assert_eq!(distinct(&[5, 2, 2, 70_000, 0, AT_ONCE, 5], alone), [0, 2, 5, AT_ONCE, 70_000]);
        assert_eq!(distinct(&[], alone), [0; 0]);
    }
}
