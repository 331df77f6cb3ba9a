//! Maps that lie as pixels of channels, whatever their shape in the graph says: what can be done with them as they lie.

use super::reader::{Op, Reader};
use super::value::{Origin, Value};
use kpflow_core::model::mixing::{Run, Transpose};
use kpflow_core::model::VariableId;
use kpflow_core::Scalar;

impl<T: Scalar> Reader<T> {
    /// A variable whose columns, `[n]` numbers each, one behind the other are a tensor.
    pub fn columns(&mut self, value: &Value, n: usize) -> Op<VariableId> {
        match value {
            Value::Computed(c) if c.flipped && self.network.size(c.variable).0 == n => Ok(c.variable),
            Value::Known(_) | Value::Parameter(_) | Value::Computed(_) | Value::Sequence(_) => {
                let rows = self.rows(value, n)?;
                match self.network.size(rows.variable) {
                    (1, _) | (_, 1) => {
                        let count = self.network.size(rows.variable).0;
                        Ok(self.rows(value, count)?.variable)
                    }
                    (count, _) => self
                        .network
                        .mixing(Transpose { rows: count, width: count }, &[rows])
                        .ok_or_else(|| "has inputs that do not fit".into()),
                }
            }
        }
    }

    /// The pixels of a map `[1, C, …]`, if some of these tensors is one that lies as pixels of channels.
    pub fn pixels(&self, values: &[&Value], shape: &[usize]) -> Option<usize> {
        let is_map = |v: &&&Value| {
            let Value::Computed(c) = v else { return false };
            let size = self.network.size(c.variable);
            c.flipped && c.shape == shape && shape.len() > 2 && shape[0] == 1 && shape[1] == size.1
        };
        values.iter().find(is_map).map(|_| shape[2..].iter().product())
    }

    /// A tensor, broadcast to a map's shape, as pixels of channels.
    pub fn pixelwise(&mut self, value: &Value, shape: &[usize], pixels: usize) -> Op<VariableId> {
        let (channels, own) = (shape[1], value.shape());
        let rank = own.len();
        let by_channel = rank + 1 >= shape.len()
            && own[rank + 1 - shape.len()..].first() == Some(&channels)
            && own.iter().product::<usize>() == channels;
        if by_channel && value.shape() != shape {
            // One row, again and again.
            let input = self.rows(value, channels)?;
            let run = |p| Run { input: 0, from: (0, 0), to: (p, 0), len: channels, scale: T::one() };
            return Ok(self.network.sparse((0..pixels).map(run).collect(), &[input], (pixels, channels)));
        }
        let value = self.expanded(value, shape)?;
        self.columns(&value, pixels)
    }

    /// A map with its channels first or last, if this only says the other way what its variable is: pixels of channels.
    pub fn turned(&self, x: &Value, order: &[usize]) -> Option<Value> {
        let Value::Computed(c) = x else { return None };
        let (shape, rank) = (&c.shape, c.shape.len());
        let axes = order.iter().copied();
        if rank < 3 || shape[0] != 1 {
            return None;
        }
        let to = order.iter().map(|&a| shape[a]).collect();
        let (last, width) = (shape[rank - 1], self.network.size(c.variable).1);
        if c.flipped && shape[1] == width && axes.clone().eq((0..1).chain(2..rank).chain(1..2)) {
            return Some(self.computed(to, c.variable).typed(c.element));
        }
        let first = !c.flipped && last == width && axes.eq((0..1).chain(rank - 1..rank).chain(1..rank - 1));
        first.then(|| self.flipped(to, c.variable).typed(c.element))
    }

    /// A map of which numbers are moved, `from` in the order of the tensors, if every channel does what the first one does: runs of channels, from pixel to
    /// pixel (slices, padding, parts of the channels).
    pub fn by_rows(&mut self, x: &Value, shape: &[usize], from: &[Origin]) -> Option<Value> {
        let (Value::Computed(c), [1, channels, behind @ ..]) = (x, shape) else { return None };
        let (pixels, width) = self.network.size(c.variable);
        let count: usize = behind.iter().product();
        if !c.flipped || count == 0 || from.len() != channels * count {
            return None;
        }
        let mut runs = Vec::new();
        for (p, first) in from[..count].iter().enumerate() {
            let place = first.get().map(|(_, i)| i);
            let alike = |j: usize| from[j * count + p].get().map(|(_, i)| i) == place.map(|i| i + j * pixels);
            if place.is_some_and(|i| i / pixels + channels > width) || !(1..*channels).all(alike) {
                return None;
            }
            let run = |i: usize| Run {
                input: 0,
                from: (i % pixels, i / pixels),
                to: (p, 0),
                len: *channels,
                scale: T::one(),
            };
            runs.extend(place.map(run));
        }
        let input = self.network.read(c.variable);
        let y = self.network.sparse(runs, &[input], (count, *channels));
        Some(self.flipped(shape.to_vec(), y).typed(c.element))
    }

    /// Maps side by side, channels behind channels, if one of them lies as pixels of channels.
    pub fn side_by_side(&mut self, maps: &[Value], axis: usize) -> Op<Option<Value>> {
        let Some(first) = maps.first().filter(|v| axis == 1 && v.shape().len() > 2 && v.shape()[0] == 1) else {
            return Ok(None);
        };
        let (behind, element) = (first.shape()[2..].to_vec(), first.element());
        let alike = |v: &Value| v.shape().len() == behind.len() + 2 && v.shape()[0] == 1 && v.shape()[2..] == behind;
        let flipped = |v: &Value| matches!(v, Value::Computed(c) if c.flipped);
        let fixed = |v: &Value| matches!(v, Value::Sequence(_));
        if maps.len() < 2 || !maps.iter().all(alike) || !maps.iter().any(flipped) || maps.iter().any(fixed) {
            return Ok(None);
        }
        let (mut reads, mut channels) = (Vec::new(), 0);
        for map in maps {
            let variable = self.columns(map, behind.iter().product())?;
            reads.push(self.network.read(variable));
            channels += map.shape()[1];
        }
        let variable = self.network.concat(&reads);
        let shape = [&[1, channels], &behind[..]].concat();
        Ok(Some(self.flipped(shape, variable).typed(element)))
    }
}
