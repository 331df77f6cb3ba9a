//! The weights of a recurrent layer, by PyTorch's names.

use super::Checkpoint;
use crate::error::{Error, Result};
use kpflow_core::model::{Cell, RecurrentWeights};
use kpflow_core::Scalar;

/// The weights of one recurrent layer.
pub struct Recurrent<T> {
    n_in: usize,
    hidden: usize,
    w_ih: Vec<T>,
    w_hh: Vec<T>,
    b_ih: Option<Vec<T>>,
    b_hh: Option<Vec<T>>,
}

impl<T: Scalar> Recurrent<T> {
    /// Reads the layer (`weight_ih_l0`) or cell (`weight_ih`) from a checkpoint, checking every shape.
    pub fn load(checkpoint: &Checkpoint, cell: &Cell) -> Result<Self> {
        let gates = cell.gates();
        // Whole names: a readout that is called `fc_l1` is none of this layer's.
        let beyond = ["weight_hh_l1", "weight_hh_l0_reverse", "weight_hr_l0"];
        if let Some(name) = checkpoint.names().iter().find(|n| beyond.contains(&n.as_str())) {
            let what = "stacked, bidirectional and projected layers are not in this version; one plain layer is";
            return Err(Error::input(checkpoint.path(), format!("has {name}: {what}")));
        }
        let Some(hh) = checkpoint.tensor::<T>(&["weight_hh_l0", "weight_hh"])? else {
            checkpoint.required::<T>(&["weight_hh_l0", "weight_hh"], &[])?;
            return Err(Error::input(checkpoint.path(), "has no recurrent weights"));
        };
        let hidden = hh.shape.last().copied().unwrap_or(0);
        if hidden == 0 || hh.shape != [gates * hidden, hidden] {
            let what = format!("tensor {} has shape {:?}; this kind has [{gates}·H, H]", hh.name, hh.shape);
            return Err(Error::input(checkpoint.path(), what));
        }
        let ih = checkpoint.tensor::<T>(&["weight_ih_l0", "weight_ih"])?;
        let n_in = ih.as_ref().and_then(|t| t.shape.get(1).copied()).unwrap_or(0);
        let w_ih = checkpoint.required::<T>(&["weight_ih_l0", "weight_ih"], &[gates * hidden, n_in])?.data;
        let bias = |layer: &str, cell: &str| -> Result<Option<Vec<T>>> {
            match checkpoint.tensor::<T>(&[layer, cell])? {
                None => Ok(None),
                Some(_) => Ok(Some(checkpoint.required::<T>(&[layer, cell], &[gates * hidden])?.data)),
            }
        };
        let (b_ih, b_hh) = (bias("bias_ih_l0", "bias_ih")?, bias("bias_hh_l0", "bias_hh")?);
        Ok(Self { n_in, hidden, w_ih, w_hh: hh.data, b_ih, b_hh })
    }

    /// The weights, borrowed.
    pub fn view(&self) -> RecurrentWeights<'_, T> {
        RecurrentWeights {
            n_in: self.n_in,
            hidden: self.hidden,
            w_ih: &self.w_ih,
            w_hh: &self.w_hh,
            b_ih: self.b_ih.as_deref(),
            b_hh: self.b_hh.as_deref(),
        }
    }

    /// The weights as mutable slices, in the order of θ.
    pub fn parts_mut(&mut self) -> impl Iterator<Item = &mut [T]> {
        [Some(&mut self.w_ih), self.b_ih.as_mut(), Some(&mut self.w_hh), self.b_hh.as_mut()]
            .into_iter()
            .flatten()
            .map(|v| v.as_mut_slice())
    }
}
