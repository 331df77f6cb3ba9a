//! What a product takes, of each view of an operator.

use super::Planned;
use crate::analysis::{Factor, Operator, View};
use crate::engine::Real;
use crate::plan::books::Product;
use crate::plan::machine::Imagined;
use kpflow_core::ntk::{Coupling, Exchange, KroneckerCore, Side};
use kpflow_core::LinearOperator;

impl<T: Real> Planned<'_, T> {
    /// What a product with a vector takes.
    pub(super) fn product(&self, view: View, made: &dyn LinearOperator<T>) -> Product {
        let (rank, about) = (self.rank, self.asked.operator.about());
        let (graph, shape, total) = (self.graph(), rank.lin.shape(), rank.sizes.trajectories);
        let sweeps = super::super::sweep_flops(graph);
        let core = |coupling| match about.through_weights {
            true => super::super::product_flops(graph, coupling, rank.side, total) - sweeps,
            false => 0.0,
        };
        let local = shape.trajectories as f64;
        let flops = |coupling| local * (0.5 * about.sweeps * sweeps + core(coupling)).max(1.0);
        let lanes = (rank.machine.lanes, rank.lin.at_once());
        let exchange = match self.asked.operator {
            _ if self.asked.average => Exchange { summed: made.domain().per_trajectory(), ..Exchange::default() },
            Operator::Ntk | Operator::Parameter => rank.side.exchange(graph, 1),
            Operator::Core => {
                let machine = Imagined { ranks: rank.grid[0], trajectories: total, lanes: 1 };
                let summed = KroneckerCore::new(rank.lin, &machine).map_or(0, |op| op.scratch_len(1));
                Exchange { summed, ..Exchange::default() }
            }
            Operator::Propagator | Operator::PropagatorGram | Operator::Constraint => Exchange::default(),
        };
        let whole = Product {
            flops: flops(Coupling::All),
            rate: rank.speed.whole,
            exchange,
            out: made.codomain().len(),
            lanes,
            once: if exchange.gathers > 0 { rank.side.exchange(graph, 0).gathered } else { 0 },
            weight: 1.0,
        };
        // Changes of the weights are summed in one.
        let back = match about.factor {
            Some(Factor::Weights) => Exchange { pieces: 0, ..Side::Weight.exchange(graph, 1) },
            Some(Factor::State) | None => Exchange::default(),
        };
        let half = Product { flops: whole.flops / 2.0, weight: 0.5, ..whole };
        match view {
            View::All | View::Raw | View::RawAdjoint | View::Entries => whole,
            View::Diagonal if self.asked.operator == Operator::Core => Product { rate: rank.speed.blocks, ..whole },
            View::Diagonal if self.asked.average => Product { rate: rank.speed.blocks, ..whole },
            View::Diagonal => Product {
                flops: flops(Coupling::PerTrajectory),
                rate: rank.speed.blocks,
                exchange: Exchange::default(),
                once: 0,
                ..whole
            },
            // One budget for both: a pair of products is counted once.
            View::Other => Product { weight: 0.0, ..whole },
            View::Back | View::OtherBack => {
                let weight = if view == View::Back { 0.5 } else { 0.0 };
                Product { exchange: back, once: 0, weight, ..half }
            }
            View::Weights => Product { exchange: back, once: 0, ..whole },
            View::Forward => Product { exchange: Exchange::default(), once: 0, ..half },
            View::OtherForward => Product { exchange: Exchange::default(), once: 0, weight: 0.0, ..half },
            View::Gram => Product { flops: 2.0 * whole.flops, ..whole },
            View::Adjoint | View::Plain => Product { weight: 0.5, ..whole },
        }
    }
}
