//! Building a network, node after node. Sizes follow from what is read; what does not fit is found when the graph is made.

use super::{Network, OwnedNode, OwnedVariable, OwnedWeight, Runs};
use crate::model::mixing::{Run, Sparse};
use crate::model::{
    Cluster, Edge, Form, Function, Mixing, Operand, Scan, UnitWise, Unitwise, VariableId, WeightId, Wires, MAX_INPUTS,
};
use crate::Scalar;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl<T: Scalar> Network<T> {
    /// Adds a variable that nothing writes yet.
    pub fn variable(&mut self, positions: usize, width: usize) -> VariableId {
        let (name, edge, initial, watch) = (String::new(), Edge::None, None, None);
        self.variables.push(OwnedVariable { name, positions, width, edge, initial, watch });
        VariableId(self.variables.len() - 1)
    }
    /// What the next variable will be: those from it on are what is added from here on.
    pub fn next(&self) -> VariableId {
        VariableId(self.variables.len())
    }
    /// How many variables there are.
    pub fn len(&self) -> usize {
        self.variables.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }
    /// Names a variable, as the user knows it.
    pub fn name(&mut self, variable: VariableId, name: impl Into<String>) {
        self.variables[variable].name = name.into();
    }
    /// The name of a variable.
    pub fn name_of(&self, variable: VariableId) -> &str {
        &self.variables[variable].name
    }
    /// Gives a variable an initial row, at `offset` in the initial state: before its first position, or after its last.
    pub fn initial_row(&mut self, variable: VariableId, edge: Edge, offset: usize) {
        (self.variables[variable].edge, self.variables[variable].initial) = (edge, Some(offset));
        self.initial = self.initial.max(offset + self.variables[variable].width);
    }
    /// (positions, width) of a variable.
    pub fn size(&self, variable: VariableId) -> (usize, usize) {
        (self.variables[variable].positions, self.variables[variable].width)
    }
    /// Adds a weight and returns its number.
    pub fn weight(&mut self, weight: OwnedWeight<T>) -> WeightId {
        self.weights.push(weight);
        WeightId(self.weights.len() - 1)
    }
    /// The state that the kind watches unless the user chooses, in this order.
    pub fn default_state(&mut self, variables: Vec<VariableId>, layers_are_steps: bool) {
        (self.default_state, self.layers_are_steps) = (variables, layers_are_steps);
    }
    /// The states of loops as the kind's own state: turn after turn, as many variables each.
    pub fn default_state_of_turns(&mut self, variables: Vec<VariableId>, turns: usize) {
        self.default_state = variables;
        self.turns_of_default = Some(turns);
    }
    /// What a readout reads.
    pub fn output(&mut self, output: Operand) {
        self.output = Some(output);
    }

    /// All columns of a variable.
    pub fn read(&self, variable: VariableId) -> Operand {
        Operand { variable, offset: 0, width: self.variables[variable].width, delayed: false }
    }
    /// All columns, at the position before.
    pub fn delayed(&self, variable: VariableId) -> Operand {
        Operand { delayed: true, ..self.read(variable) }
    }
    /// Piece `i` of a variable cut into pieces of `width` columns.
    pub fn piece(&self, variable: VariableId, i: usize, width: usize) -> Operand {
        Operand { variable, offset: i * width, width, delayed: false }
    }

    /// Begins a segment.
    pub fn segment(&mut self, scan: Scan) {
        // Runs of parallel nodes are one: the order of the nodes is all that counts there.
        if scan != Scan::Parallel || self.segments.last().is_none_or(|(_, s)| *s != Scan::Parallel) {
            self.segments.push((self.nodes.len(), scan));
        }
    }
    /// Adds an input.
    pub fn input(&mut self, slot: usize, positions: usize, width: usize) -> VariableId {
        let output = self.variable(positions, width);
        self.nodes.push(OwnedNode::Input { slot, output });
        output
    }
    /// Adds fixed data `[positions, width]`, the same for all trajectories.
    pub fn constant(&mut self, data: Vec<T>, positions: usize, width: usize) -> VariableId {
        let output = self.variable(positions, width);
        self.nodes.push(OwnedNode::Constant { data, output });
        output
    }
    /// Adds a site into a variable that is there already.
    pub fn site_into(&mut self, form: Form, weight: WeightId, input: Operand, output: VariableId) {
        self.rows_into(form, weight, 0, input, output);
    }
    /// Adds a dense site of the weight's rows from `row` on, as many as the variable that it writes has columns.
    pub fn site_rows(&mut self, weight: WeightId, row: usize, input: Operand, width: usize) -> VariableId {
        let output = self.variable(self.variables[input.variable].positions, width);
        self.rows_into(Form::Dense, weight, row, input, output);
        output
    }
    fn rows_into(&mut self, form: Form, weight: WeightId, row: usize, input: Operand, output: VariableId) {
        // A site is known by its weight; a parameter that is a variable by its own name.
        let w = &self.weights[weight];
        if self.variables[output].name.is_empty() {
            self.variables[output].name = match w.n_in {
                0 => w.bias_name.clone(),
                _ if w.name.is_empty() => w.bias_name.trim_end_matches(".bias").into(),
                _ => w.name.trim_end_matches(".weight").trim_end_matches(".bias").into(),
            };
        }
        self.nodes.push(OwnedNode::Site { weight, row, form, input, output });
    }
    /// Adds a site and its variable.
    pub fn site(&mut self, form: Form, weight: WeightId, input: Operand) -> VariableId {
        let w = &self.weights[weight];
        let width = if form == Form::Embedding { w.n_in } else { w.n_out };
        let output = self.variable(self.variables[input.variable].positions, width);
        self.site_into(form, weight, input, output);
        output
    }
    /// Adds `s = W u (+ b)`.
    pub fn dense(&mut self, weight: WeightId, input: Operand) -> VariableId {
        self.site(Form::Dense, weight, input)
    }
    /// Adds a parameter as a variable of its own: `[1, n]` numbers, the same for all trajectories.
    pub fn parameter(&mut self, name: impl Into<String>, data: Vec<T>) -> VariableId {
        let n = data.len();
        let weight = self.weight(OwnedWeight::new("", Vec::new(), n, 0).with_bias(name, Some(data)));
        let nothing = self.constant(Vec::new(), 1, 0);
        self.dense(weight, self.read(nothing))
    }

    /// Adds a cluster into variables that are there already.
    pub fn cluster_into(&mut self, function: Arc<dyn Cluster<T> + Send>, reads: &[Operand], writes: &[VariableId]) {
        self.nodes.push(OwnedNode::Cluster { function, reads: reads.to_vec(), writes: writes.to_vec() });
    }
    /// Adds the sum of two operands of one size and its variable. Where it is a sum of two sites that nobody else looks at, they become
    /// one when the state is chosen.
    pub fn sum(&mut self, reads: [Operand; 2]) -> VariableId {
        let output = self.variable(self.variables[reads[0].variable].positions, reads[0].width);
        self.nodes.push(OwnedNode::Sum { reads, output });
        output
    }
    /// Adds a unit-wise function of one output and its variable.
    pub fn cluster<F, const I: usize>(&mut self, f: F, reads: [Operand; I]) -> VariableId
    where
        F: UnitWise<I, 1> + Send + 'static,
    {
        let output = self.variable(self.variables[reads[0].variable].positions, reads[0].width);
        self.cluster_into(Arc::new(Unitwise(f)), &reads, &[output]);
        output
    }
    /// Adds a mixing block and its variable; `None` if its inputs do not fit.
    pub fn mixing(&mut self, f: impl Mixing<T> + Send + 'static, reads: &[Operand]) -> Option<VariableId> {
        let sizes: Vec<_> = reads.iter().map(|o| (self.variables[o.variable].positions, o.width)).collect();
        let (positions, width) = f.size(&sizes)?;
        let output = self.variable(positions, width);
        self.nodes.push(OwnedNode::Mixing { function: Arc::new(f), reads: reads.to_vec(), output });
        Some(output)
    }
    /// Adds a mixing block that sees one position at a time, in a scan.
    pub fn mixing_into(&mut self, f: impl Mixing<T> + Send + 'static, reads: &[Operand], output: VariableId) {
        self.nodes.push(OwnedNode::Mixing { function: Arc::new(f), reads: reads.to_vec(), output });
    }
    /// Adds a sparse map and its variable.
    pub fn sparse(&mut self, runs: Runs<T>, reads: &[Operand], size: (usize, usize)) -> VariableId {
        let output = self.variable(size.0, size.1);
        let function = Sparse { runs, inputs: reads.len(), size };
        self.nodes.push(OwnedNode::Mixing { function: Arc::new(function), reads: reads.to_vec(), output });
        output
    }
    /// Joins columns of several variables of the same positions.
    pub fn concat(&mut self, reads: &[Operand]) -> VariableId {
        // A block reads a limited number of variables: more are joined in rounds.
        if reads.len() > MAX_INPUTS {
            let joined: Vec<VariableId> = reads.chunks(MAX_INPUTS).map(|some| self.concat(some)).collect();
            let joined: Vec<Operand> = joined.into_iter().map(|v| self.read(v)).collect();
            return self.concat(&joined);
        }
        let positions = self.variables[reads[0].variable].positions;
        let width = reads.iter().map(|o| o.width).sum();
        let runs = columns(reads, positions);
        self.sparse(runs, reads, (positions, width))
    }
}

impl<'a, T: Scalar> Wires<'a, T> for Network<T> {
    fn begin(&mut self, scan: Scan) {
        self.segment(scan);
    }
    fn project(&mut self, weight: WeightId, row: usize, read: Operand, width: usize) -> VariableId {
        self.site_rows(weight, row, read, width)
    }
    /// Each site has a variable of its own, which may be watched; if it is not, they become one when the state is chosen.
    fn project_onto(
        &mut self,
        weight: WeightId,
        row: usize,
        read: Operand,
        (s, _): (VariableId, Operand),
    ) -> VariableId {
        let other = self.read(s);
        let own = self.site_rows(weight, row, read, other.width);
        self.sum([self.read(own), other])
    }
    fn unit(&mut self, function: &'a dyn Function<T>, reads: &[Operand], writes: &[VariableId]) {
        self.cluster_into(function.shared(), reads, writes);
    }
    fn applied(&mut self, function: &'a dyn Function<T>, read: Operand) -> Operand {
        let y = self.variable(self.variables[read.variable].positions, read.width);
        self.cluster_into(function.shared(), &[read], &[y]);
        self.read(y)
    }
}

/// The runs that put operands side by side, for `positions` rows.
pub fn columns<T: Scalar>(reads: &[Operand], positions: usize) -> Runs<T> {
    let mut runs = Vec::new();
    for p in 0..positions {
        let mut at = 0;
        for (input, o) in reads.iter().enumerate() {
            runs.push(Run { input, from: (p, 0), to: (p, at), len: o.width, scale: T::one() });
            at += o.width;
        }
    }
    runs
}
