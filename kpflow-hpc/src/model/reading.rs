//! What a job's files hold, as a network and its inputs.

use super::doubts::warn_of_indirect;
use super::Given;
use crate::engine::Real;
use crate::error::Result;
use crate::job::{Job, Kind};
use crate::kinds;
use crate::load::{Array, Checkpoint};
use crate::network::select::StateChoice;
use crate::network::FromFiles;
use crate::onnx;
use crate::progress;
use std::ops::Range;

/// Whole numbers up to here are exact in single precision.
const MOST_TOKENS: usize = 1 << 24;

/// The network of a job, for inputs of these shapes.
pub(super) fn network<T: Real>(
    job: &Job,
    arrays: &[Array],
    tokens: &[usize],
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
    let mut tokens = tokens.to_vec();
    tokens.sort_unstable();
    tokens.dedup();
    let checkpoint = Checkpoint::open(&job.model.weights, &job.model.prefix)?;
    let checkpoint = if outline { checkpoint.outline() } else { checkpoint };
    let _reading = (!outline).then(|| progress::work(checkpoint.len_bytes(), "bytes"));
    let input = arrays.first().map(|a| &a.shape()[1..]);
    let input_file = job.inputs.first().map_or(job.path.as_path(), |(_, source)| source.path.as_path());
    let (spec, tokens) = (&job.model, &tokens);
    let mut network =
        kinds::build(&kinds::Source { spec, checkpoint: &checkpoint, input, input_file, tokens, masked })?;
    // Of a kind's own state MODELS.md says what K and P are.
    if spec.readout.is_some() || spec.state != StateChoice::Default {
        warn_of_indirect(&mut network, job);
    }
    Ok(network)
}

/// The tokens of all trajectories: whole numbers from 0.
pub(super) fn whole_numbers(array: &Array) -> Result<Vec<usize>> {
    let whole = |x: f64| Some(x as usize).filter(|&t| t as f64 == x && t < MOST_TOKENS);
    let read = array.read_rows::<f64>(0..array.shape()[0])?;
    read.into_iter()
        .map(|x| {
            whole(x).ok_or_else(|| {
                array.error(format!("holds {x}; tokens are whole numbers from 0 to {}", MOST_TOKENS - 1))
            })
        })
        .collect()
}

/// This rank's part of all inputs, by slot.
pub(super) fn read_inputs<T: Real>(network: &FromFiles<T>, given: &Given, range: Range<usize>) -> Result<Vec<Vec<T>>> {
    let Given { arrays, tokens, mask, lengths, .. } = given;
    let (tokens, mask) = (tokens.as_deref(), mask.as_ref());
    let mut inputs = Vec::new();
    for (slot, (positions, _)) in network.slots().into_iter().enumerate() {
        if let (Some(counted), Some(tokens)) = (network.counted.filter(|c| c.slot == slot), tokens) {
            let of = |b: usize| counted.positions(&tokens[b * positions..(b + 1) * positions]);
            inputs.push(range.clone().flat_map(of).map(|p| T::of(p as f64)).collect());
            continue;
        }
        let Some(array) = arrays.get(slot).or(mask) else { continue };
        inputs.push(match (network.tokens.as_ref().zip(tokens), arrays.get(slot)) {
            (Some((rows, tokens)), Some(_)) => {
                let place = |t: &usize| T::of(rows.binary_search(t).unwrap_or(0) as f64);
                tokens[range.start * positions..range.end * positions].iter().map(place).collect()
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
