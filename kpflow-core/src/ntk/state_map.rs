//! The propagator P and its inverse, the constraint.

use super::waves::{each_portion, run_wave, waves, Lanes};
use crate::machine::Machine;
use crate::model::{Linearization, Mode, Sweep};
use crate::operator::{check, Properties};
use crate::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};

/// Applies a map from state to state, or its adjoint, tile by tile.
fn apply<T: Scalar, M: Machine<T>>(
    lin: &Linearization<'_, T>,
    machine: &M,
    mode: Mode,
    adjoint: bool,
    x: BlockRef<'_, T>,
    y: BlockMut<'_, T>,
    scratch: &mut [T],
) -> Result<(), Error> {
    let m = x.vectors();
    check(lin.shape(), lin.shape(), scratch_len(lin, machine, mode, m), &x, &y, scratch)?;
    lin.require_values()?;
    if m == 0 {
        return Ok(());
    }
    let work = (scratch, lane_len(lin, machine, mode, m));
    each_portion(lin, machine, (0..m, m), work, y.into_data(), |lanes, vectors, work, mut y| {
        let work_len = work_len(lin, machine, mode, vectors.len());
        let (transposed, work) = work.split_at_mut(transposed_len(lin, machine, mode));
        if !adjoint {
            lin.graph().transpose(mode.flow(), machine, transposed);
        }
        for wave in waves(lin, lanes) {
            run_wave(lin, machine, &wave, work, work_len, &mut y, |tile, work, y| {
                let sweep = Sweep::new(lin.view(tile), mode, vectors.len(), machine).within(vectors.start, m);
                let x = x.tile(lin.tile_range(tile)).data();
                if adjoint {
                    sweep.cotangent(x, y, work);
                } else {
                    sweep.with_transposed(transposed).tangent(x, y, work);
                }
            });
        }
    });
    Ok(())
}

fn work_len<T: Scalar, M: Machine<T>>(lin: &Linearization<'_, T>, _: &M, mode: Mode, m: usize) -> usize {
    Sweep::<T, M>::work_len(lin.graph(), mode.flow(), m, lin.tile())
}

fn transposed_len<T: Scalar, M: Machine<T>>(lin: &Linearization<'_, T>, machine: &M, mode: Mode) -> usize {
    lin.graph().transposed_len(mode.flow(), machine)
}

/// Numbers of a lane's work memory, or of the lanes' that share tiles: transposed weights, and what their sweeps need.
fn lane_len<T: Scalar, M: Machine<T>>(lin: &Linearization<'_, T>, machine: &M, mode: Mode, m: usize) -> usize {
    let tiles = Lanes::of(m, machine.lanes(), lin.at_once()).work_len(lin, |m| work_len(lin, machine, mode, m));
    tiles.saturating_add(transposed_len(lin, machine, mode))
}

fn scratch_len<T: Scalar, M: Machine<T>>(lin: &Linearization<'_, T>, machine: &M, mode: Mode, m: usize) -> usize {
    Lanes::of(m, machine.lanes(), lin.at_once()).portions.saturating_mul(lane_len(lin, machine, mode, m))
}

macro_rules! state_map {
    ($(#[$doc:meta])* $name:ident, $mode:expr, $symbol:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name<'a, T, M> {
            lin: &'a Linearization<'a, T>,
            machine: &'a M,
        }

        impl<'a, T: Scalar, M: Machine<T>> $name<'a, T, M> {
            /// Makes the operator of a linearised model.
            pub fn new(lin: &'a Linearization<'a, T>, machine: &'a M) -> Self {
                Self { lin, machine }
            }
        }

        impl<T, M> core::fmt::Display for $name<'_, T, M> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str($symbol)
            }
        }

        impl<T: Scalar, M: Machine<T>> LinearOperator<T> for $name<'_, T, M> {
            fn domain(&self) -> Shape {
                self.lin.shape()
            }
            fn codomain(&self) -> Shape {
                self.lin.shape()
            }
            fn scratch_len(&self, vectors: usize) -> usize {
                scratch_len(self.lin, self.machine, $mode, vectors)
            }
            fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
                apply(self.lin, self.machine, $mode, false, x, y, scratch)
            }
            fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
                apply(self.lin, self.machine, $mode, true, x, y, scratch)
            }
            /// Of full rank: each is the other's inverse.
            fn properties(&self) -> Properties {
                Properties { block_diagonal: true, ..Properties::UNKNOWN }
            }
        }
    };
}

state_map! {
    /// The propagator `P = (I − ∂F/∂z)⁻¹`: how a perturbation of the state at one step moves all states after it.
    ///
    /// **Shapes**: `[B, T, N]` to itself, block diagonal over trajectories, causal. Its adjoint carries error signals back.
    /// **Cost**: one sweep: for a recurrent cell 2·gates·H² flops a position and vector, as products of `tile · m` rows.
    Propagator, Mode::Propagator, "P"
}

state_map! {
    /// The constraint `P⁻¹ = I − ∂F/∂z`: local in time, and no linear system is solved anywhere.
    ///
    /// **Shapes** and **cost** as the propagator's.
    Constraint, Mode::Constraint, "P⁻¹"
}
