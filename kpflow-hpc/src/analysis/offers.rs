//! The methods that there are, without running one.

use super::{ways, Asked, Context, Facts, Form, Operator, Quantity, Reads, Side, View, ALL};
use crate::closed::Rows;
use crate::error::Result;
use kpflow_estimate::{DenseSpectrum, Estimate, Ledger, Sizes, Wanted};
use std::rc::Rc;

/// The name of the method that forms the whole matrix.
pub const DENSE: &str = "dense";

/// A way to find a quantity, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// What the job file calls it.
    pub name: &'static str,
}

impl Method {
    /// The best of those there are.
    pub const AUTO: Self = Self { name: "auto" };

    /// The method of a name, if some quantity has it.
    pub fn named(name: &str) -> Option<Self> {
        methods().into_iter().find(|method| method.name == name)
    }

    /// Whether its samples are means of the numbers themselves.
    pub fn is_sampled(self) -> bool {
        ["hutchinson", "one_sided"].contains(&self.name)
    }
}

/// What is known of a method of a quantity.
#[derive(Clone, Copy)]
pub struct Offer {
    /// Its name.
    pub name: &'static str,
    /// Which operators it is for.
    pub fits: fn(Operator) -> bool,
    /// Whether the operator has to be of all of the state.
    pub whole: bool,
    /// Whether it needs trajectories.
    pub by_trajectory: bool,
    /// What it reads of an exact matrix, if it forms one.
    pub reads: Option<Reads>,
    /// Fails where this model does not have what it needs.
    pub require: fn(&Asked, &Facts<'_>) -> Result<()>,
}

/// The methods of a quantity.
pub fn offers(quantity: &Quantity) -> Vec<Offer> {
    let offer = |way: super::Way<Nobody>| {
        let super::Way { name, fits, whole, by_trajectory, reads, require, .. } = way;
        Offer { name, fits, whole, by_trajectory, reads, require }
    };
    ways::<Nobody>(quantity).into_iter().map(offer).collect()
}

/// Every method, each once.
pub fn methods() -> Vec<Method> {
    let mut all: Vec<Method> = Vec::new();
    for offer in ALL.iter().flat_map(|q| offers(q)) {
        if all.iter().all(|m| m.name != offer.name) {
            all.push(Method { name: offer.name });
        }
    }
    all
}

/// Nobody runs anything.
enum Nobody {}

impl Context for Nobody {
    type Block = Sizes<'static>;
    type Space<'s> = Ledger<'s, 'static>;

    fn asked(&self) -> &Asked {
        match *self {}
    }
    fn space(&self, _: View) -> Result<Self::Space<'_>> {
        match *self {}
    }
    fn exponent(&self) -> Result<i32> {
        match *self {}
    }
    fn delta(&self) -> f64 {
        match *self {}
    }
    fn shape(&self) -> [usize; 3] {
        match *self {}
    }
    fn product_flops(&self) -> f64 {
        match *self {}
    }
    fn closed_flops(&self, _: Form) -> Option<f64> {
        match *self {}
    }
    fn closed(&self, _: Form) -> Result<Estimate> {
        match *self {}
    }
    fn lyapunov(&self) -> Result<Vec<f64>> {
        match *self {}
    }
    fn signal(&self) -> Result<(Self::Block, i32)> {
        match *self {}
    }
    fn parts(&self) -> (Vec<usize>, usize) {
        match *self {}
    }
    fn vectors(&self) -> Result<(Self::Block, bool)> {
        match *self {}
    }
    fn exact_flops(&self) -> Option<f64> {
        match *self {}
    }
    fn exact_rows(&self) -> Result<Rows> {
        match *self {}
    }
    fn keeps_whole(&self, _: usize) -> bool {
        match *self {}
    }
    fn has_other_inputs(&self) -> bool {
        match *self {}
    }
    fn exact_other_rows(&self) -> Result<(Rows, usize)> {
        match *self {}
    }
    fn rows_block(&self, _: Rows, _: usize) -> Result<Self::Block> {
        match *self {}
    }
    fn kept(&self, _: Side, _: Wanted, _: impl FnOnce() -> Result<DenseSpectrum>) -> Result<Rc<DenseSpectrum>> {
        match *self {}
    }
}
