//! The recurrent cells as graphs: `rnn`, `leaky_rnn`, `gru`, `lstm`.

use super::cells::{Gru, Leaky, Lstm, Rnn};
use super::{
    Activation, BuildError, Cluster, Edge, Graph, GraphBuffer, Operand, Scan, Unitwise, Watch, Weight, MAX_INPUTS,
};
use crate::Scalar;

/// A recurrent cell: how one step's state follows from the last one's and the input.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    /// h_t = φ(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh). State: h.
    Rnn(Unitwise<Rnn, 2, 1>),
    /// z_t = (1 − dt) z_{t−1} + dt (W_hh φ(z_{t−1}) + W_ih x_t). State: z.
    Leaky(Unitwise<Leaky, 3, 1>, Unitwise<Activation, 1, 1>),
    /// PyTorch's GRU, gates r, z, n. State: h.
    Gru(Unitwise<Gru, 7, 1>),
    /// PyTorch's LSTM, gates i, f, g, o. State: (h, c), N = 2H; h does not read the recorded c.
    Lstm(Unitwise<Lstm, 9, 2>),
}

impl Cell {
    /// Elman's cell.
    pub fn rnn(activation: Activation) -> Self {
        Cell::Rnn(Unitwise(Rnn(activation)))
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
    /// s_ih = W_ih x + b_ih, `[gates·H]`.
    pub ih: usize,
    /// s_hh = W_hh h + b_hh, `[gates·H]`.
    pub hh: usize,
    /// h, of which the step before is read.
    pub h: usize,
    /// The LSTM's c, of which the step before is read.
    pub c: Option<usize>,
    /// H.
    pub hidden: usize,
}

impl Cell {
    /// What the cell's function reads, in the order of its arguments: the gates of s_ih, those of s_hh, and what it remembers.
    pub fn reads(&self, inputs: CellInputs) -> impl Iterator<Item = Operand> {
        let CellInputs { ih, hh, h, c, hidden: width } = inputs;
        let gates = self.gates();
        let piece =
            move |variable| (0..gates).map(move |i| Operand { variable, offset: i * width, width, delayed: false });
        let memory = match self {
            Cell::Rnn(_) => None,
            Cell::Leaky(..) | Cell::Gru(_) => Some(h),
            Cell::Lstm(_) => c,
        };
        let past = memory.map(|variable| Operand { variable, offset: 0, width, delayed: true });
        piece(ih).chain(piece(hh)).chain(past)
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
    /// **Errors**: [`BuildError::Size`] if a weight is not of its size.
    pub fn graph<'s, 'a: 's, T: Scalar>(
        &'a self,
        weights: RecurrentWeights<'a, T>,
        steps: usize,
        buffer: &'s mut GraphBuffer<'a, T, 8>,
    ) -> Result<Graph<'s, T>, BuildError> {
        let RecurrentWeights { n_in, hidden, w_ih, w_hh, b_ih, b_hh } = weights;
        let (gates, units) = (self.gates(), self.states() * hidden);
        let mut g = buffer.builder();
        let ih = g.weight(Weight::new(w_ih, b_ih, gates * hidden, n_in));
        let hh = g.weight(Weight::new(w_hh, b_hh, gates * hidden, hidden));
        let x = g.variable(steps, n_in, Edge::None, None);
        let s_ih = g.variable(steps, gates * hidden, Edge::None, None);
        let s_hh = g.variable(steps, gates * hidden, Edge::None, None);
        let h = g.variable(steps, hidden, Edge::First, Some(Watch { offset: 0, stride: units }));
        let c = matches!(self, Cell::Lstm(_))
            .then(|| g.variable(steps, hidden, Edge::First, Some(Watch { offset: hidden, stride: units })));
        // What the input drives does not wait for time: all positions in one product.
        g.segment(Scan::Parallel);
        g.input(0, x);
        g.site(ih, g.read(x), s_ih);
        g.segment(Scan::Forward);
        let (mut reads, mut count) = ([g.read(h); MAX_INPUTS], 0);
        for read in self.reads(CellInputs { ih: s_ih, hh: s_hh, h, c, hidden }) {
            (reads[count], count) = (read, count + 1);
        }
        if let Some(rate) = self.rate() {
            let r = g.variable(steps, hidden, Edge::None, None);
            g.cluster(rate, &[g.delayed(h)], &[r]);
            g.site(hh, g.read(r), s_hh);
        } else {
            g.site(hh, g.delayed(h), s_hh);
        }
        let writes = [h, c.unwrap_or(h)];
        g.cluster(self.function(), &reads[..count], &writes[..self.states()]);
        g.finish(steps, units)
    }
}
