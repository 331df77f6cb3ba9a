//! The recurrent cells as graphs: `rnn`, `leaky_rnn`, `gru`, `lstm`.

use super::cells::{Gru, Leaky, Lstm};
use super::wires::{Function, Wires};
use super::{
    Activation, BuildError, Cluster, Edge, Graph, GraphBuffer, Operand, Scan, Unitwise, VariableId, Watch, Weight,
    WeightId, MAX_INPUTS,
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
    /// What the cell is: its one entry.
    fn entry<T: Scalar>(&self) -> Entry<'_, T> {
        match self {
            Cell::Rnn(f) => Entry { gates: 1, summed: 1, states: 1, memory: None, function: f, rate: None },
            Cell::Leaky(f, phi) => {
                Entry { gates: 1, summed: 1, states: 1, memory: Some(Memory::H), function: f, rate: Some(phi) }
            }
            Cell::Gru(f) => Entry { gates: 3, summed: 2, states: 1, memory: Some(Memory::H), function: f, rate: None },
            Cell::Lstm(f) => Entry { gates: 4, summed: 4, states: 2, memory: Some(Memory::C), function: f, rate: None },
        }
    }
    /// The number of gates: rows of W_hh over H.
    pub fn gates(&self) -> usize {
        self.entry::<f64>().gates
    }
    /// How many of the gates, the first ones, act on W_ih x + W_hh h alone. A GRU's n takes the two apart.
    pub fn summed(&self) -> usize {
        self.entry::<f64>().summed
    }
    /// N over H: how many state variables a hidden unit has.
    pub fn states(&self) -> usize {
        self.entry::<f64>().states
    }
    /// The cell's function: h (and c) of the step from the gates and what it remembers.
    pub fn function<T: Scalar>(&self) -> &dyn Cluster<T> {
        self.entry().function.cluster()
    }
}

/// What a cell is made of: all that its wiring depends on.
struct Entry<'c, T> {
    /// Gates, in the order of the rows of W_ih and W_hh.
    gates: usize,
    /// How many of them, the first ones, act on W_ih x + W_hh h; of the others the function reads both apart.
    summed: usize,
    /// Variables of the state, of H units each: h and, of two, c.
    states: usize,
    /// Which of them the function reads of the step before, besides what the weights read.
    memory: Option<Memory>,
    /// The states from the summed gates, the others' two parts gate by gate, and what is remembered.
    function: &'c dyn Function<T>,
    /// φ, if the recurrent weights read φ(h) instead of h.
    rate: Option<&'c dyn Function<T>>,
}

/// A state variable that a cell's function reads.
#[derive(Clone, Copy)]
enum Memory {
    H,
    C,
}

/// One layer to be wired: its weights, what it reads, and the variables that it writes.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// The weight W_ih, b_ih, `[gates·H, n_in]`.
    pub ih: WeightId,
    /// The weight W_hh, b_hh, `[gates·H, H]`.
    pub hh: WeightId,
    /// x, n_in wide.
    pub input: Operand,
    /// H.
    pub hidden: usize,
    /// The variable h, H wide, with an initial row.
    pub h: VariableId,
    /// The variable c of a cell of two states, H wide, with an initial row.
    pub c: Option<VariableId>,
    /// Whether time runs backward.
    pub reverse: bool,
}

impl Cell {
    /// Adds one layer to a graph: the sites of both weights and the cell's function. Every cell is wired here, by whichever builder.
    ///
    /// What the input drives does not wait for time: all positions in one product.
    pub fn wire<'a, T: Scalar>(&'a self, to: &mut impl Wires<'a, T>, layer: Layer) {
        let Layer { ih, hh, input, hidden, h, c, reverse } = layer;
        let Entry { gates, summed, memory, function, rate, .. } = self.entry();
        let (first, others) = (hidden.saturating_mul(summed), hidden.saturating_mul(gates - summed));
        let delayed = |variable: VariableId| Operand { variable, offset: 0, width: hidden, delayed: true };
        to.begin(Scan::Parallel);
        let driven = to.project(ih, 0, input, first);
        let apart = (others > 0).then(|| to.project(ih, first, input, others));
        to.begin(if reverse { Scan::Backward } else { Scan::Forward });
        let before = rate.map_or(delayed(h), |phi| to.applied(phi, delayed(h)));
        let sum = to.project_onto(hh, 0, before, (driven, input));
        let apart = apart.map(|driven| (driven, to.project(hh, first, before, others)));
        let gate = |variable: VariableId, i: usize| Operand {
            variable,
            offset: i.saturating_mul(hidden),
            width: hidden,
            delayed: false,
        };
        let two = |(x, h): (VariableId, VariableId)| (0..gates - summed).flat_map(move |i| [gate(x, i), gate(h, i)]);
        let remembered = memory.and_then(|memory| match memory {
            Memory::H => Some(h),
            Memory::C => c,
        });
        let all = (0..summed).map(|i| gate(sum, i)).chain(apart.into_iter().flat_map(two));
        let (mut reads, mut count) = ([before; MAX_INPUTS], 0);
        for read in all.chain(remembered.map(delayed)).take(MAX_INPUTS) {
            (reads[count], count) = (read, count + 1);
        }
        let writes = [h, c.unwrap_or(h)];
        to.unit(function, &reads[..count], &writes[..1 + usize::from(c.is_some())]);
    }

    /// What a layer above reads of this one: h, or φ(h) of a cell whose recurrent weights read that.
    pub fn read_above<'a, T: Scalar>(&'a self, to: &mut impl Wires<'a, T>, h: Operand) -> Operand {
        self.entry().rate.map_or(h, |phi| to.applied(phi, h))
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
        let (rows, units) = (hidden.saturating_mul(self.gates()), hidden.saturating_mul(self.states()));
        let mut g = buffer.builder();
        let ih = g.weight(Weight::new(w_ih, b_ih, rows, n_in));
        let hh = g.weight(Weight::new(w_hh, b_hh, rows, hidden));
        let x = g.variable(steps, n_in, Edge::None, None);
        let mut state = |i: usize| {
            let watch = Watch { offset: i.saturating_mul(hidden), stride: units };
            g.variable(steps, hidden, Edge::First, Some(watch))
        };
        let (h, c) = (state(0), (self.states() == 2).then(|| state(1)));
        g.segment(Scan::Parallel);
        g.input(0, x);
        let input = g.read(x);
        self.wire(&mut g, Layer { ih, hh, input, hidden, h, c, reverse: false });
        g.finish(steps, units)
    }
}
