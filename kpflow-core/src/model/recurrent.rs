//! The recurrent cells as graphs: `rnn`, `leaky_rnn`, `gru`, `lstm`.

use super::cells::{Gru, Leaky, Lstm};
use super::{
    Activation, BuildError, Cluster, Edge, Graph, GraphBuffer, GraphBuilder, Operand, Scan, Unitwise, Watch, Weight,
    MAX_INPUTS,
};
use crate::Scalar;

/// A recurrent cell: how one step's state follows from the last one's and the input.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    /// h_t = φ(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh). State: h.
    Rnn(Unitwise<Activation, 1, 1>),
    /// z_t = (1 − dt) z_{t−1} + dt (W_hh φ(z_{t−1}) + W_ih x_t). State: z.
    Leaky(Unitwise<Leaky, 2, 1>, Unitwise<Activation, 1, 1>),
    /// PyTorch's GRU, gates r, z, n. State: h.
    Gru(Unitwise<Gru, 5, 1>),
    /// PyTorch's LSTM, gates i, f, g, o. State: (h, c), N = 2H; h does not read the recorded c.
    Lstm(Unitwise<Lstm, 5, 2>),
}

impl Cell {
    /// Elman's cell.
    pub fn rnn(activation: Activation) -> Self {
        Cell::Rnn(Unitwise(activation))
    }
    /// The leaky integrator with step of time `dt`.
    pub fn leaky(activation: Activation, dt: f64) -> Self {
        Cell::Leaky(Unitwise(Leaky { dt }), Unitwise(activation))
    }
    /// The gated recurrent unit.
    pub fn gru() -> Self {
        Cell::Gru(Unitwise(Gru))
    }
    /// The long short-term memory.
    pub fn lstm() -> Self {
        Cell::Lstm(Unitwise(Lstm))
    }
    /// The number of gates: rows of W_hh over H.
    pub fn gates(&self) -> usize {
        match self {
            Cell::Rnn(_) | Cell::Leaky(..) => 1,
            Cell::Gru(_) => 3,
            Cell::Lstm(_) => 4,
        }
    }
    /// How many of the gates, the first ones, act on W_ih x + W_hh h alone. A GRU's n takes the two apart.
    pub fn summed(&self) -> usize {
        match self {
            Cell::Gru(_) => 2,
            _ => self.gates(),
        }
    }
    /// N over H: how many state variables a hidden unit has.
    pub fn states(&self) -> usize {
        match self {
            Cell::Lstm(_) => 2,
            _ => 1,
        }
    }
}

/// The variables that a cell's function reads.
#[derive(Clone, Copy, Debug)]
pub struct CellInputs {
    /// W_ih x + b_ih + W_hh h + b_hh of the gates that are summed.
    pub sum: usize,
    /// W_ih x + b_ih and W_hh h + b_hh of the other gates, if there are any.
    pub apart: Option<(usize, usize)>,
    /// h, of which the step before is read.
    pub h: usize,
    /// The LSTM's c, of which the step before is read.
    pub c: Option<usize>,
    /// H.
    pub hidden: usize,
}

impl Cell {
    /// What the cell's function reads, in the order of its arguments: the gates, and what it remembers.
    pub fn reads(&self, inputs: CellInputs) -> impl Iterator<Item = Operand> {
        let CellInputs { sum, apart, h, c, hidden: width } = inputs;
        let gate =
            move |variable, i: usize| Operand { variable, offset: i.saturating_mul(width), width, delayed: false };
        let summed = (0..self.summed()).map(move |i| gate(sum, i));
        let others = 0..self.gates() - self.summed();
        let apart =
            apart.into_iter().flat_map(move |(ih, hh)| others.clone().flat_map(move |i| [gate(ih, i), gate(hh, i)]));
        let memory = match self {
            Cell::Rnn(_) => None,
            Cell::Leaky(..) | Cell::Gru(_) => Some(h),
            Cell::Lstm(_) => c,
        };
        summed.chain(apart).chain(memory.map(|variable| Operand { variable, offset: 0, width, delayed: true }))
    }
    /// The cell's function: h (and c) of the step from its arguments.
    pub fn function<T: Scalar>(&self) -> &dyn Cluster<T> {
        match self {
            Cell::Rnn(f) => f,
            Cell::Leaky(f, _) => f,
            Cell::Gru(f) => f,
            Cell::Lstm(f) => f,
        }
    }
    /// φ of a leaky integrator, whose recurrent weights read φ(z) instead of z.
    pub fn rate<T: Scalar>(&self) -> Option<&dyn Cluster<T>> {
        match self {
            Cell::Leaky(_, phi) => Some(phi),
            _ => None,
        }
    }
}

/// The weights of one recurrent layer, in PyTorch's layout.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentWeights<'a, T> {
    /// n_in, the numbers of an input.
    pub n_in: usize,
    /// H, the hidden units.
    pub hidden: usize,
    /// W_ih `[gates·H, n_in]`.
    pub w_ih: &'a [T],
    /// W_hh `[gates·H, H]`.
    pub w_hh: &'a [T],
    /// b_ih `[gates·H]`.
    pub b_ih: Option<&'a [T]>,
    /// b_hh `[gates·H]`.
    pub b_hh: Option<&'a [T]>,
}

impl Cell {
    /// Builds the graph of one layer of this cell over `steps` steps.
    ///
    /// Inputs of its linearisation: slot 0, x `[B, T, n_in]`; initial state `[B, N]`. θ = W_ih, b_ih, W_hh, b_hh.
    ///
    /// **Errors**: [`BuildError::Weight`] if a weight is not of its size.
    pub fn graph<'s, 'a: 's, T: Scalar>(
        &'a self,
        weights: RecurrentWeights<'a, T>,
        steps: usize,
        buffer: &'s mut GraphBuffer<'a, T, 8>,
    ) -> Result<Graph<'s, T>, BuildError> {
        let RecurrentWeights { n_in, hidden, w_ih, w_hh, b_ih, b_hh } = weights;
        let (gates, units) = (self.gates(), hidden.saturating_mul(self.states()));
        let mut g = buffer.builder();
        let ih = g.weight(Weight::new(w_ih, b_ih, hidden.saturating_mul(gates), n_in));
        let hh = g.weight(Weight::new(w_hh, b_hh, hidden.saturating_mul(gates), hidden));
        let x = g.variable(steps, n_in, Edge::None, None);
        let (summed, others) = (hidden.saturating_mul(self.summed()), hidden.saturating_mul(gates - self.summed()));
        let sum = g.variable(steps, summed, Edge::None, None);
        let mut other = || (others > 0).then(|| g.variable(steps, others, Edge::None, None));
        let apart = other().zip(other());
        let h = g.variable(steps, hidden, Edge::First, Some(Watch { offset: 0, stride: units }));
        let c = matches!(self, Cell::Lstm(_))
            .then(|| g.variable(steps, hidden, Edge::First, Some(Watch { offset: hidden, stride: units })));
        let rate = self.rate().map(|phi| (phi, g.variable(steps, hidden, Edge::None, None)));
        let (input, before) = (g.read(x), rate.map_or(g.delayed(h), |(_, r)| g.read(r)));
        g.beside(before, input);
        let sites = |g: &mut GraphBuilder<'_, 'a, T>, weight, read, apart: Option<usize>| {
            g.site(weight, read, sum);
            if let Some(apart) = apart {
                g.site_rows(weight, summed, read, apart);
            }
        };
        // What the input drives does not wait for time: all positions in one product.
        g.segment(Scan::Parallel);
        g.input(0, x);
        sites(&mut g, ih, input, apart.map(|a| a.0));
        g.segment(Scan::Forward);
        if let Some((phi, r)) = rate {
            g.cluster(phi, &[g.delayed(h)], &[r]);
        }
        sites(&mut g, hh, before, apart.map(|a| a.1));
        let (mut reads, mut count) = ([before; MAX_INPUTS], 0);
        for read in self.reads(CellInputs { sum, apart, h, c, hidden }) {
            (reads[count], count) = (read, count + 1);
        }
        let writes = [h, c.unwrap_or(h)];
        g.cluster(self.function(), &reads[..count], &writes[..self.states()]);
        g.finish(steps, units)
    }
}
