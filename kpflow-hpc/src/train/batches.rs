//! The trajectories of every step, and the memory that a step needs.

use crate::engine::Real;
use crate::error::{Error, Result};
use crate::job::train::{TrainData, TrainJob};
use crate::load::lengths::of_numbers;
use crate::load::{padding, zero_behind, Array};
use crate::tasks::{self, Batch, Sizes, Task};
use std::ops::Range;
use std::sync::Arc;

/// Memory of a step, kept from one to the next.
#[derive(Default)]
pub struct Memory<T> {
    pub(super) arena: Vec<T>,
    pub(super) work: Vec<T>,
    pub(super) state: Vec<T>,
    pub(super) error: Vec<T>,
    pub(super) output: Vec<T>,
}

/// Trajectories of a file that are looked at for padding.
const LOOKED_AT: usize = 256;

enum From {
    Task(Arc<dyn Task>, u64),
    Files(Box<Files>),
}

/// Arrays of `total` trajectories.
struct Files {
    inputs: Array,
    targets: Array,
    mask: Option<Array>,
    /// The steps of every trajectory, where they differ.
    lengths: Option<Vec<usize>>,
    total: usize,
}

/// Where the trajectories of every step come from.
pub struct Batches<T> {
    from: From,
    /// The sizes of a trajectory.
    pub sizes: Sizes,
    /// Trajectories of a step, on all ranks.
    pub batch: usize,
    /// The last batch, and which it is: where the step begins, and this rank in it.
    last: Batch<T>,
    key: Option<(usize, usize)>,
}

impl<T: Real> Batches<T> {
    /// Opens and checks what a job is trained on.
    pub fn open(job: &TrainJob) -> Result<Self> {
        let (inputs, targets, mask, lengths) = match &job.data {
            TrainData::Task(_, task) => {
                let (from, sizes) = (From::Task(task.clone(), job.seed), task.sizes());
                return Ok(Self { from, sizes, batch: job.batch.unwrap_or(1), last: Batch::default(), key: None });
            }
            TrainData::Files { inputs, targets, mask, lengths } => (inputs, targets, mask, lengths),
        };
        let (inputs, targets) = (Array::open(inputs)?.written()?, Array::open(targets)?.written()?);
        let mask = mask.as_ref().map(Array::open).transpose()?;
        let &[total, steps, n_in] = inputs.shape() else {
            return Err(inputs.error(format!("has shape {:?}; inputs are [trajectories, T, n_in]", inputs.shape())));
        };
        if total * steps * n_in == 0 {
            return Err(inputs.error(format!("has shape {:?}; it should hold numbers", inputs.shape())));
        }
        let n_out = match *targets.shape() {
            [b, t, n] if (b, t) == (total, steps) && n > 0 => n,
            _ => {
                let what = format!("has shape {:?}; targets are [{total}, {steps}, n_out]", targets.shape());
                return Err(targets.error(what));
            }
        };
        if let Some(mask) = mask.as_ref().filter(|mask| mask.shape() != [total, steps]) {
            return Err(mask.error(format!("has shape {:?}; a mask is [{total}, {steps}]", mask.shape())));
        }
        let lengths = lengths.as_ref().map(Array::open).transpose()?;
        let lengths = lengths.map(|array| of_numbers(&array, total, steps)).transpose()?;
        let batch = job.batch.unwrap_or(total);
        if batch > total {
            let what = format!("in [training]: batch = {batch} is more than the {total} trajectories of [data]");
            return Err(Error::input(&job.path, format!("{what}; it is at most that")));
        }
        Ok(Self {
            from: From::Files(Box::new(Files { inputs, targets, mask, lengths, total })),
            sizes: Sizes { steps, n_in, n_out },
            batch,
            last: Batch::default(),
            key: None,
        })
    }

    /// What the user is told where trajectories of a file look padded, by the first ones of it, and nothing says where they end.
    pub fn warning(&self) -> Result<Option<String>> {
        let From::Files(files) = &self.from else { return Ok(None) };
        if files.mask.is_some() || files.lengths.is_some() {
            return Ok(None);
        }
        let (first, steps) = (files.total.min(LOOKED_AT), self.sizes.steps);
        let inputs = files.inputs.read_rows::<T>(0..first)?;
        Ok(padding::sentence(&padding::ends(&inputs, first, 0..first, steps), steps))
    }

    /// The trajectories `range` of the batch of a step, counted from 0.
    pub fn get(&mut self, step: usize, range: Range<usize>) -> Result<&Batch<T>> {
        let start = match &self.from {
            From::Task(..) => step,
            // Steps come round to the same trajectories: all of a file's in every step, perhaps.
            From::Files(files) => self.row(step, files.total),
        };
        let key = Some((start, range.start));
        if self.key != key {
            (self.last, self.key) = (self.read(step, range)?, key);
        }
        Ok(&self.last)
    }

    /// The first row of a step, of a file of `total` rows.
    fn row(&self, step: usize, total: usize) -> usize {
        step % total * (self.batch % total) % total
    }

    fn read(&self, step: usize, range: Range<usize>) -> Result<Batch<T>> {
        match &self.from {
            From::Task(task, seed) => {
                let drawn = tasks::batch(&**task, *seed, step as u32, range);
                let rounded = |all: Vec<f64>| all.into_iter().map(T::of).collect();
                let (inputs, targets, mask) = (rounded(drawn.inputs), rounded(drawn.targets), rounded(drawn.mask));
                Ok(Batch { inputs, targets, mask, lengths: drawn.lengths })
            }
            From::Files(files) => {
                let Files { inputs, targets, mask, lengths, total } = &**files;
                let (mut rows, mut i) = (Vec::new(), range.start);
                while i < range.end {
                    let row = (self.row(step, *total) + i) % total;
                    let end = (row + range.end - i).min(*total);
                    rows.push(row..end);
                    i += end - row;
                }
                let read = |array: &Array| -> Result<Vec<T>> {
                    let parts = rows.iter().map(|rows| array.read_until::<T>(rows.clone(), lengths.as_deref()));
                    Ok(parts.collect::<Result<Vec<_>>>()?.concat())
                };
                let own = |all: &Vec<usize>| rows.iter().flat_map(|rows| all[rows.clone()].to_vec()).collect();
                let lengths: Vec<usize> = lengths.as_ref().map_or(Vec::new(), own);
                let weights = match mask {
                    None => {
                        let mut ones = vec![T::one(); range.len() * self.sizes.steps];
                        zero_behind(&mut ones, self.sizes.steps, &lengths);
                        ones
                    }
                    Some(mask) => {
                        let weights = read(mask)?;
                        if let Some(x) = weights.iter().find(|x| **x < T::zero()) {
                            return Err(mask.error(format!("holds {x}; the weight of an error is 0 or more")));
                        }
                        weights
                    }
                };
                Ok(Batch { inputs: read(inputs)?, targets: read(targets)?, mask: weights, lengths })
            }
        }
    }
}
