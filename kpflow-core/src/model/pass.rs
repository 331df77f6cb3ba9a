//! How sweeps pass mixing blocks: trajectory by trajectory, each seeing its rows wherever they lie in the work memory.

use super::mixing::{Mixing, Point, Rows, RowsMut};
use super::node::MAX_INPUTS;
use super::rest::split;
use super::variable::{At, Operand, VariableId};
use super::Sweep;
use crate::machine::Kernel;
use crate::Scalar;

impl<T: Scalar, K: Kernel<T>> Sweep<'_, '_, T, K> {
    /// Rows of a variable's perturbations in trajectory `b` as a mixing block sees them; they begin at the place returned.
    fn mixing_rows(&self, o: &Operand, at: &At, b: usize) -> (usize, usize, (usize, usize)) {
        let v = &self.tile.graph.variables[o.variable];
        let (p, positions) = v.window(at);
        let place = self.place(o.variable, p, o.delayed) + b * self.vectors * v.width + o.offset;
        (place, positions, (self.rows() * v.width, v.width))
    }

    /// Calls `f(b, the point of linearisation in trajectory b)` for every trajectory.
    fn points(&self, inputs: &[Operand], output: VariableId, at: &At, mut f: impl FnMut(usize, &Point<'_, T>)) {
        for b in 0..self.tile.count {
            let mut x = [Rows::new(&[][..], 0, 0, 1, (0, 0)); MAX_INPUTS];
            for (x, o) in x.iter_mut().zip(inputs) {
                *x = self.tile.rows(o, at, b);
            }
            let width = self.tile.graph.variables[output].width;
            let output = self.tile.rows(&Operand { variable: output, offset: 0, width, delayed: false }, at, b);
            f(b, &Point { inputs: &x[..inputs.len()], output });
        }
    }

    pub(super) fn mixing_tangent(
        &self,
        function: &dyn Mixing<T>,
        inputs: &[Operand],
        output: VariableId,
        at: &At,
        work: &mut [T],
    ) {
        if !self.active(output) {
            return;
        }
        let (width, m) = (self.tile.graph.variables[output].width, self.vectors);
        let start = self.place(output, at.range.start, false);
        let (rest, out) = split(work, start..start + at.range.len() * self.rows() * width);
        self.points(inputs, output, at, |b, point| {
            let mut dx = [None; MAX_INPUTS];
            for (dx, o) in dx.iter_mut().zip(inputs) {
                if self.carries(o) && !self.initial(o, at.range.start) {
                    let (place, positions, strides) = self.mixing_rows(o, at, b);
                    *dx = Some(Rows::new(rest.from(place), positions, o.width, m, strides));
                }
            }
            let strides = (self.rows() * width, width);
            let dy = RowsMut::new(&mut out[b * m * width..], at.range.len(), width, m, strides);
            function.tangent(point, &dx[..inputs.len()], dy, self.kernel);
        });
    }

    pub(super) fn mixing_cotangent(
        &self,
        function: &dyn Mixing<T>,
        inputs: &[Operand],
        output: VariableId,
        at: &At,
        work: &mut [T],
    ) {
        if !self.active(output) {
            return;
        }
        let (width, m) = (self.tile.graph.variables[output].width, self.vectors);
        for (i, o) in inputs.iter().enumerate() {
            if !self.carries(o) || self.initial(o, at.range.start) {
                continue;
            }
            let v = &self.tile.graph.variables[o.variable];
            let (p, positions) = v.window(at);
            let start = self.place(o.variable, p, o.delayed);
            let from = self.place(output, at.range.start, false);
            let (rest, q) = split(work, start..start + positions * self.rows() * v.width);
            self.points(inputs, output, at, |b, point| {
                let strides = (self.rows() * width, width);
                let dy = Rows::new(&rest.from(from)[b * m * width..], at.range.len(), width, m, strides);
                let strides = (self.rows() * v.width, v.width);
                let dx = RowsMut::new(&mut q[b * m * v.width + o.offset..], positions, o.width, m, strides);
                function.cotangent(point, i, dy, dx, self.kernel);
            });
        }
    }
}
