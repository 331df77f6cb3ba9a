//! `neural_ode`: x_t = x_{t−1} + dt Φ(x_{t−1}, u_t), Φ one step of Euler, the midpoint rule or RK4 of an MLP's vector field f([x, u]).
//!
//! Weights as an [`mlp`](super::mlp)'s; φ between the layers, the last one linear. The drive u_t is constant during a step. State: x.
//! The layers are weight sites at every stage of a step: their weights are shared by all of them.

use super::layers::layer_names;
use super::Source;
use crate::error::Result;
use crate::job::Solver;
use crate::network::Network;
use kpflow_core::model::functions::{Arithmetic, RungeKutta4};
use kpflow_core::model::mixing::Sparse;
use kpflow_core::model::{Activation, Edge, Form, Operand, Scan, UnitWise, Unitwise, WeightId};
use kpflow_core::network::columns;
use kpflow_core::Scalar;
use std::sync::Arc;

/// The vector field, stage after stage.
struct Field {
    weights: Vec<WeightId>,
    widths: Vec<usize>,
    steps: usize,
    activation: Activation,
    drive: Option<Operand>,
}

fn unit<T: Scalar, F, const I: usize>(network: &mut Network<T>, f: F, reads: [Operand; I]) -> Operand
where
    F: UnitWise<I, 1> + Send + 'static,
{
    let y = network.cluster(f, reads);
    network.read(y)
}

impl Field {
    /// f([x, u]).
    fn at<T: Scalar>(&self, network: &mut Network<T>, x: Operand) -> Operand {
        let mut a = match self.drive {
            None => x,
            Some(u) => {
                let (reads, width) = ([x, u], x.width + u.width);
                let both = network.variable(self.steps, width);
                let one = Sparse { runs: columns(&reads, 1), inputs: 2, size: (1, width) };
                network.mixing_into(one, &reads, both);
                network.read(both)
            }
        };
        for (l, (&weight, &width)) in self.weights.iter().zip(&self.widths).enumerate() {
            let s = network.variable(self.steps, width);
            network.site_into(Form::Dense, weight, a, s);
            a = network.read(s);
            if l + 1 < self.weights.len() {
                a = unit(network, self.activation, [a]);
            }
        }
        a
    }
}

/// Builds the network.
pub fn build<T: Scalar>(source: &Source<'_>) -> Result<Network<T>> {
    let spec = source.spec;
    let names = layer_names(source)?;
    let units = source.axis(&format!("{}.weight", names[names.len() - 1]), 0)?;
    let n_in = source.axis(&format!("{}.weight", names[0]), 1)?;
    let Some(driven) = n_in.checked_sub(units) else {
        return Err(source
            .wrong(format!("the vector field reads {n_in} numbers and gives {units}; it reads x and, perhaps, u")));
    };
    let mut network = Network::default();
    network.segment(Scan::Parallel);
    let (steps, drive) = match (driven, source.input) {
        (0, None) => match spec.steps {
            Some(steps) => (steps, None),
            None => return Err(source.wrong("the vector field has no input; the job has to say steps = T")),
        },
        _ => {
            let [steps, width] = source.input_shape(&format!("[B, T, {driven}]"))?;
            if width != driven || spec.steps.is_some_and(|s| s != steps) {
                return Err(source.wrong_input(&format!("[B, T, {driven}] (with T = steps, where the job says it)")));
            }
            let u = network.input(0, steps, width);
            (steps, Some(network.read(u)))
        }
    };
    let mut field = Field {
        weights: Vec::new(),
        widths: Vec::new(),
        steps,
        activation: spec.activation.unwrap_or(Activation::Tanh),
        drive,
    };
    let mut width = n_in;
    for name in &names {
        let n_out = source.axis(&format!("{name}.weight"), 0)?;
        field.weights.push(network.weight(source.linear(name, n_out, width)?));
        field.widths.push(n_out);
        width = n_out;
    }
    let x = network.variable(steps, units);
    network.initial_row(x, Edge::First, 0);
    network.name(x, "x");
    network.segment(Scan::Forward);
    let (dt, past) = (spec.dt.unwrap_or(1.0), network.delayed(x));
    let k1 = field.at(&mut network, past);
    let ahead = |network: &mut Network<T>, k: Operand, part: f64| unit(network, Arithmetic::Step(part * dt), [past, k]);
    match spec.solver.unwrap_or(Solver::Euler) {
        Solver::Euler => network.cluster_into(Arc::new(Unitwise(Arithmetic::Step(dt))), &[past, k1], &[x]),
        Solver::Midpoint => {
            let half = ahead(&mut network, k1, 0.5);
            let k2 = field.at(&mut network, half);
            network.cluster_into(Arc::new(Unitwise(Arithmetic::Step(dt))), &[past, k2], &[x]);
        }
        Solver::Rk4 => {
            let second = ahead(&mut network, k1, 0.5);
            let k2 = field.at(&mut network, second);
            let third = ahead(&mut network, k2, 0.5);
            let k3 = field.at(&mut network, third);
            let fourth = ahead(&mut network, k3, 1.0);
            let k4 = field.at(&mut network, fourth);
            network.cluster_into(Arc::new(Unitwise(RungeKutta4 { dt })), &[past, k1, k2, k3, k4], &[x]);
        }
    }
    network.output(network.read(x));
    network.default_state(vec![x], false);
    Ok(network)
}
