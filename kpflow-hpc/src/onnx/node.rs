//! A node of a graph, and which of its attributes and inputs were looked at.

use super::file::Array;
use super::reader::Op;
use super::value::{self, Value};
use super::{attributes, Scope};
use rten_onnx::onnx::{AttributeProto, AttributeType, NodeProto};
use std::cell::RefCell;
use std::collections::HashSet;

/// A node and the tensors that it can read.
pub struct Node<'a> {
    /// The node.
    pub node: &'a NodeProto,
    /// The tensors.
    pub scope: &'a Scope,
    /// The version of the operator set.
    pub opset: i64,
    /// The attributes and inputs that were looked at: what is not is passed over, which only defaults may be.
    seen: RefCell<Seen<'a>>,
}

/// What of a node was looked at.
#[derive(Default)]
struct Seen<'a> {
    attributes: HashSet<&'a str>,
    inputs: HashSet<usize>,
}

impl<'a> Node<'a> {
    /// A node of which nothing was looked at yet.
    pub fn new(node: &'a NodeProto, scope: &'a Scope, opset: i64) -> Self {
        Self { node, scope, opset, seen: RefCell::default() }
    }
    /// The operator.
    pub fn kind(&self) -> &'a str {
        self.node.op_type.as_deref().unwrap_or_default()
    }
    /// Input number i, if it is there.
    pub fn optional(&self, i: usize) -> Op<Option<&'a Value>> {
        self.seen.borrow_mut().inputs.insert(i);
        match self.node.input.get(i).filter(|n| !n.is_empty()) {
            None => Ok(None),
            Some(name) => match self.scope.get(name) {
                Some(value) => Ok(Some(value)),
                None => Err(format!("reads {name}, which nothing before it makes")),
            },
        }
    }
    /// Input number i.
    pub fn input(&self, i: usize) -> Op<&'a Value> {
        self.optional(i)?.ok_or_else(|| format!("has no input number {i}"))
    }
    /// All inputs.
    pub fn inputs(&self) -> Op<Vec<Value>> {
        self.inputs_from(0)
    }
    /// All inputs from number i on.
    pub fn inputs_from(&self, i: usize) -> Op<Vec<Value>> {
        (i..self.node.input.len()).map(|i| self.input(i).cloned()).collect()
    }
    /// Input number i, whose numbers have to be known.
    pub fn known(&self, i: usize, what: &str) -> Op<Option<&'a Array>> {
        match self.optional(i)? {
            None => Ok(None),
            Some(Value::Known(a)) => Ok(Some(a)),
            Some(_) => Err(format!(
                "has {what} that depend on the data or the parameters; only fixed ones are in this version"
            )),
        }
    }
    /// An attribute, which then counts as looked at.
    pub fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        let found = self.node.attribute.iter().find(|a| a.name.as_deref() == Some(name))?;
        self.seen.borrow_mut().attributes.extend(found.name.as_deref());
        Some(found)
    }
    /// Says of attributes that nothing that is made here depends on them.
    pub fn without_effect(&self, names: &[&str]) {
        names.iter().for_each(|name| _ = self.attribute(name));
    }
    /// Both inputs of an operation of two, that of old opsets with `broadcast` aligned at its axis.
    pub fn aligned(&self) -> Op<(Value, Value)> {
        let (a, b) = (self.input(0)?.clone(), self.input(1)?.clone());
        if self.opset >= 7 || self.integer("broadcast", 0) == 0 {
            return Ok((a, b));
        }
        let Some(axis) = self.attribute("axis").and_then(|a| a.i) else { return Ok((a, b)) };
        let (rank, mut shape) = (a.shape().len(), b.shape().to_vec());
        let axis = value::axis(axis, rank).filter(|axis| axis + shape.len() <= rank);
        shape.resize(rank - axis.ok_or("broadcasts along an axis that is not there")?, 1);
        Ok((a, b.reshaped(shape)))
    }
    /// Fails if an attribute that is not its default, or an input, was not looked at: it would be passed over.
    pub fn all_seen(&self) -> Op<()> {
        let seen = self.seen.borrow();
        for a in self.node.attribute.iter().filter(|a| !a.name.as_deref().is_none_or(|n| seen.attributes.contains(n))) {
            if !attributes::is_default(self.kind(), self.opset, a) {
                let (name, value) = (a.name.as_deref().unwrap_or_default(), attributes::shown(a));
                return Err(format!("has {name} = {value}, which is not in this version"));
            }
        }
        let there = |i: &usize| !self.node.input[*i].is_empty() && !seen.inputs.contains(i);
        match (0..self.node.input.len()).find(there) {
            Some(i) => Err(format!("has an input number {i} ({}), which is not in this version", self.node.input[i])),
            None => Ok(()),
        }
    }
    /// An attribute of this type; one of another counts as not looked at.
    fn typed(&self, name: &str, kind: AttributeType) -> Option<&'a AttributeProto> {
        let found = self.node.attribute.iter().find(|a| a.name.as_deref() == Some(name))?;
        found.r#type.is_none_or(|t| t == kind).then(|| self.attribute(name))?
    }
    /// An integer. Writers may leave out what is zero.
    pub fn integer(&self, name: &str, default: i64) -> i64 {
        self.typed(name, AttributeType::INT).map_or(default, |a| a.i.unwrap_or(0))
    }
    /// A floating-point number.
    pub fn float(&self, name: &str, default: f64) -> f64 {
        self.typed(name, AttributeType::FLOAT).map_or(default, |a| written(a.f.unwrap_or(0.0)))
    }
    /// A text.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.typed(name, AttributeType::STRING).map(|a| a.s.as_deref().unwrap_or_default())
    }
    /// A list of integers.
    pub fn integers(&self, name: &str) -> Option<&'a [i64]> {
        self.typed(name, AttributeType::INTS).map(|a| a.ints.as_slice())
    }
    /// A list that newer opsets give as input number i and older ones as an attribute.
    pub fn list(&self, i: usize, name: &str) -> Op<Option<Vec<i64>>> {
        Ok(match self.known(i, name)? {
            Some(a) => Some(a.integers()),
            None => self.integers(name).map(<[i64]>::to_vec),
        })
    }
    /// An axis of a tensor.
    pub fn axis(&self, default: i64, rank: usize) -> Op<usize> {
        let axis = self.integer("axis", default);
        value::axis(axis, rank).ok_or_else(|| format!("has axis {axis} of a tensor of {rank} axes"))
    }
}

/// The number that an attribute, single precision by the standard, is meant to be: 0.01 was
/// written, where 0.00999999977 is nearest to it. scripts/export_torch.py has the same rule.
fn written(attribute: f32) -> f64 {
    // Hard sigmoid's, and selu's two.
    let known = [1.0 / 6.0, 1.673_263_242_354_377_2, 1.050_700_987_355_480_5];
    let decimal = || attribute.to_string().parse().unwrap_or(attribute.into());
    known.into_iter().find(|&x| x as f32 == attribute).unwrap_or_else(decimal)
}

#[test]
fn attributes_are_read_as_they_were_written() {
    for x in [1e-5, 0.01, 0.37, -1.3e-7, 0.0, 20.0, 1.0 / 1024.0, 1.0 / 6.0, 1.673_263_242_354_377_2] {
        assert_eq!(written(x as f32), x);
    }
    assert!(written(f32::INFINITY).is_infinite() && written(f32::NAN).is_nan());
}
