//! A recurrent layer with a linear readout, and the gradient of its loss.

use super::batches::Memory;
use crate::engine::{Engine, Real};
use crate::error::{fits, some_of, Error, Result};
use crate::job::train::{wrong_model, TrainJob};
use crate::kinds::recurrent::{add_layer, cell, Layer};
use crate::load::Checkpoint;
use crate::network::{Network, OwnedWeight};
use crate::tasks::{Batch, Draw, Purpose, Sizes};
use crate::tiling;
use kpflow_core::machine::{Gemm, MatMut, MatRef, Tasks};
use kpflow_core::model::{Linearization, Run, Scan};
use kpflow_core::network::State;
use kpflow_core::ntk::ParameterJacobian;
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Shape};

/// z_t = h_t of the layer, y = W z + b.
pub struct Model<T> {
    network: Network<T>,
    /// W_ih with b_ih, W_hh with b_hh, in the order of the core's θ; then W with b.
    weights: [OwnedWeight<T>; 3],
    sizes: Sizes,
}

/// A tensor by its name and shape.
pub type Named<'a, T> = (&'a str, Vec<usize>, &'a [T]);

impl<T: Real> Model<T> {
    /// Makes the model of a job with its initial weights: those of a file, or uniform between ±1/√H as PyTorch's layers begin.
    pub fn new(job: &TrainJob, sizes: Sizes) -> Result<Self> {
        let spec = &job.model;
        let cell = cell(spec.kind, spec.activation, spec.dt);
        let checkpoint = spec.weights.as_ref().map(|path| Checkpoint::open(path, "")).transpose()?;
        let hidden = match (spec.hidden, &checkpoint) {
            (Some(hidden), _) => hidden,
            (None, Some(c)) => {
                let name = format!("{}weight_hh_l0", spec.prefix);
                let shape = c.shape(&name).ok_or_else(|| c.required::<T>(&[&name], &[]).err());
                let shape = shape.map_err(|e| e.unwrap_or_else(|| wrong_model(job, "hidden is missing")))?;
                shape.last().copied().unwrap_or(0)
            }
            (None, None) => return Err(wrong_model(job, "hidden is missing; it is required")),
        };
        if hidden == 0 {
            return Err(wrong_model(job, "the initial weights have no hidden unit; there is at least one"));
        }
        let (rows, bound, mut drawn) = (cell.gates() * hidden, 1.0 / (hidden as f64).sqrt(), 0);
        let mut tensor = |name: &str, shape: &[usize]| -> Result<Vec<T>> {
            if let Some(checkpoint) = &checkpoint {
                return checkpoint.required(&[name], shape).map(|t| t.data);
            }
            let mut draw = Draw::new(job.seed, Purpose::Weights, drawn, 0);
            drawn += 1;
            let count = shape.iter().product();
            Ok((0..count).map(|_| T::of(bound * (2.0 * draw.uniform() - 1.0))).collect())
        };
        let mut weight = |matrix: String, bias: Option<String>, n_out: usize, n_in: usize| -> Result<OwnedWeight<T>> {
            let data = tensor(&matrix, &[n_out, n_in])?;
            let numbers = bias.as_ref().map(|bias| tensor(bias, &[n_out])).transpose()?;
            Ok(OwnedWeight::new(matrix, data, n_out, n_in).with_bias(bias.unwrap_or_default(), numbers))
        };
        let layer = |what: &str| format!("{}{what}_l0", spec.prefix);
        let bias = |what: &str| spec.bias.then(|| layer(what));
        let weights = [
            weight(layer("weight_ih"), bias("bias_ih"), rows, sizes.n_in)?,
            weight(layer("weight_hh"), bias("bias_hh"), rows, hidden)?,
            weight(format!("{}.weight", spec.readout), Some(format!("{}.bias", spec.readout)), sizes.n_out, hidden)?,
        ];
        if let Some(checkpoint) = &checkpoint {
            let left: Vec<&str> = checkpoint.unread().into_iter().filter(|n| n.starts_with(&spec.prefix)).collect();
            if !left.is_empty() {
                let what = "has tensors that this training would not read and not write";
                let right = "it trains one layer in one direction, and a readout";
                return Err(Error::input(checkpoint.path(), format!("{what}: {}; {right}", some_of(&left))));
            }
        }
        let mut network = Network::default();
        network.segment(Scan::Parallel);
        let x = network.input(0, sizes.steps, sizes.n_in);
        let (ih, hh) = (network.weight(weights[0].clone()), network.weight(weights[1].clone()));
        let layer = Layer { ih, hh, hidden, reverse: false, initial: 0 };
        let x = network.read(x);
        let (h, _) = add_layer(&mut network, cell, layer, x, ("h", "c"));
        network.output(network.read(h));
        // The loss sees h alone: what an LSTM's c does to it is P's affair.
        network.default_state(vec![h], false);
        network.watch(State::Default).map_err(|e| wrong_model(job, e))?;
        Ok(Self { network, weights, sizes })
    }

    /// The tensors, in the order of the gradient.
    pub fn tensors(&self) -> Vec<Named<'_, T>> {
        let mut all: Vec<Named<'_, T>> = Vec::new();
        for w in &self.weights {
            all.push((&w.name, vec![w.n_out, w.n_in], &w.matrix[..]));
            all.extend(w.bias.iter().map(|bias| (w.bias_name.as_str(), vec![w.n_out], &bias[..])));
        }
        all
    }

    /// The numbers of all tensors, in the order of the gradient.
    pub fn parts_mut(&mut self) -> impl Iterator<Item = &mut [T]> {
        self.weights.iter_mut().flat_map(OwnedWeight::parts_mut)
    }

    /// How many numbers are trained.
    pub fn parameters(&self) -> usize {
        self.weights.iter().map(OwnedWeight::parameters).sum()
    }

    /// How many of them are the readout's, the last ones.
    pub fn readout_parameters(&self) -> usize {
        self.weights[2].parameters()
    }

    /// The loss of this rank's `count` trajectories and its gradient, both times N = Σ mask · n_out of all ranks.
    ///
    /// ```text
    /// N·L = Σ mask (y − target)²    δ = N ∂L/∂y = 2 mask (y − target)    e = N ∂L/∂z = Wᵀ δ
    /// N ∂L/∂θ = Jᵀ Pᵀ e    N ∂L/∂W = Σ δ zᵀ    N ∂L/∂b = Σ δ
    /// ```
    ///
    /// Of the gradient θ's part is summed over ranks, the readout's is this rank's. Returns N·L and Σ mask of this rank. Collective.
    /// **Cost**: one inference, one sweep back; a sum of n_θ numbers over ranks.
    pub fn gradient(
        &self,
        batch: &Batch<T>,
        count: usize,
        memory: &mut Memory<T>,
        engine: &Engine,
        gradient: &mut [T],
    ) -> Result<[f64; 2]> {
        let [cell @ .., readout] = &self.weights;
        let (rows, n_out, hidden) = (count * self.sizes.steps, readout.n_out, readout.n_in);
        let Memory { arena, work, state, error, output } = memory;
        let graph = self.network.graph(cell).map_err(Error::run)?;
        let graph = graph.view();
        let tile = tiling::tiling(&graph, 1, count, engine.lanes(), true).trajectories;
        arena.resize(Linearization::arena_len(&graph, count), T::zero());
        let needed = Linearization::scratch_len(&graph, count, tile, engine);
        work.resize(work.len().max(needed), T::zero());
        let (inputs, lengths) = ([&batch.inputs[..]], &batch.lengths[..]);
        let run = Run { inputs: &inputs, initial: None, lengths, trajectories: count, tile };
        let lin = Linearization::of(&graph, &run, arena, work, engine).map_err(Error::run)?;
        let shape = Shape::new(count, self.sizes.steps, hidden);
        state.resize(shape.len(), T::zero());
        error.resize(shape.len(), T::zero());
        output.resize(rows * n_out, T::zero());
        fits(BlockMut::new(shape, 1, state).and_then(|block| lin.state(block)));

        let bias = readout.bias.as_deref().unwrap_or(&[]);
        output.chunks_mut(n_out).for_each(|y| y.copy_from_slice(bias));
        let (z, w) = (view(state, rows, hidden), view(&readout.matrix, n_out, hidden));
        multiply(z, w.t(), output, [rows, n_out], T::one());
        let (mut loss, mut weight) = (0.0, 0.0);
        for ((y, target), &mask) in output.chunks_mut(n_out).zip(batch.targets.chunks(n_out)).zip(&batch.mask) {
            weight += mask.f64();
            for (y, target) in y.iter_mut().zip(target) {
                let off = *y - *target;
                loss += mask.f64() * off.f64() * off.f64();
                *y = T::of(2.0) * mask * off;
            }
        }
        let delta = view(output, rows, n_out);
        multiply(delta, w, error, [rows, hidden], T::zero());

        let (theta, rest) = gradient.split_at_mut(cell.iter().map(OwnedWeight::parameters).sum());
        let (matrix, bias) = rest.split_at_mut(n_out * hidden);
        multiply(delta.t(), z, matrix, [n_out, hidden], T::zero());
        bias.fill(T::zero());
        output.chunks(n_out).for_each(|delta| bias.iter_mut().zip(delta).for_each(|(b, d)| *b += *d));
        let jacobian = ParameterJacobian::total(&lin, engine);
        let needed = jacobian.scratch_len(1);
        work.resize(work.len().max(needed), T::zero());
        let e = fits(BlockRef::new(shape, 1, error));
        let into = fits(BlockMut::new(jacobian.domain(), 1, theta));
        fits(jacobian.apply_adjoint(e, into, work));
        Ok([loss, weight])
    }
}

fn view<T>(data: &[T], rows: usize, cols: usize) -> MatRef<'_, T> {
    fits(MatRef::new(data, rows, cols, cols))
}

/// C ← A B + β C.
fn multiply<T: Real>(a: MatRef<'_, T>, b: MatRef<'_, T>, c: &mut [T], [rows, cols]: [usize; 2], beta: T) {
    let c = fits(MatMut::new(c, rows, cols, cols));
    T::gemm(T::one(), fits(Gemm::new(a, b, c)), beta);
}
