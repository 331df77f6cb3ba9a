//! The core's [network](kpflow_core::network), and what only the runner knows of it: what its inputs are made of, the user's choices by
//! name, memory that processes share, and what the user should be told.

mod parts;
pub mod select;

pub use parts::parts;

use crate::comm::{Comm, Number};
use kpflow_core::network::Numbers;
pub use kpflow_core::network::{Network, OwnedWeight, Watched};
use kpflow_core::Scalar;
use std::ops::{Deref, DerefMut};

/// An input that is made of the tokens: their positions, as RoBERTa counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Its slot.
    pub slot: usize,
    /// The padding token: it is at the position of its own number, the others count from the next one.
    pub padding: usize,
}

impl Counted {
    /// The positions of a trajectory's tokens.
    pub fn positions<'t>(&self, tokens: &'t [usize]) -> impl Iterator<Item = usize> + 't {
        let padding = self.padding;
        tokens.iter().scan(padding, move |last, &token| {
            *last += usize::from(token != padding);
            Some(if token == padding { padding } else { *last })
        })
    }
}

/// A network that was read from files, and what they say of it beside.
#[derive(Clone)]
pub struct FromFiles<T> {
    network: Network<T>,
    /// Sorted distinct tokens, where the input is tokens: an embedding holds their rows alone.
    pub tokens: Option<Vec<usize>>,
    /// The input that is made of the tokens, if there is one.
    pub counted: Option<Counted>,
    /// Bytes that reading it took, at most, beside its weights.
    pub reading: usize,
    /// What the user should know before trusting a number of this model.
    warnings: Vec<String>,
}

impl<T> From<Network<T>> for FromFiles<T> {
    fn from(network: Network<T>) -> Self {
        Self { network, tokens: None, counted: None, reading: 0, warnings: Vec::new() }
    }
}

impl<T> Deref for FromFiles<T> {
    type Target = Network<T>;
    fn deref(&self) -> &Self::Target {
        &self.network
    }
}

impl<T> DerefMut for FromFiles<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.network
    }
}

impl<T: Scalar> FromFiles<T> {
    /// Moves the weights to memory that the processes of a node share: the first one's numbers, of which the others have the sizes. Collective.
    pub fn share(&mut self, node: Comm)
    where
        T: Number,
    {
        let mut arrays: Vec<&mut Numbers<T>> = self.network.arrays_mut().collect();
        let mut window = node.window(arrays.iter().map(|a| a.len()).sum());
        // One's own memory is given back as it is copied.
        let moved = |array: &mut &mut Numbers<T>| {
            let range = window.push(array);
            **array = Vec::new().into();
            range
        };
        let ranges: Vec<_> = arrays.iter_mut().map(moved).collect();
        let closed = window.close();
        arrays.into_iter().zip(ranges).for_each(|(array, range)| *array = Numbers::Shared(closed.clone(), range));
    }
    /// Adds a sentence that the user should read before trusting a number of this model. The run prints it, and the result file keeps it.
    pub fn warn(&mut self, sentence: impl Into<String>) {
        self.warnings.push(sentence.into());
    }
    /// The sentences that the user should read.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What is to be said of K and P where the parameters act through more than the watched variables.
    pub fn indirect(&self) -> Option<String> {
        // What a turn of a loop hands on is what P moves; what its parameters act through on the way is K's.
        let through = self.acts_through().filter(|_| self.turns().is_none())?;
        let watched = self.watched();
        let names: Vec<&str> = watched.iter().map(|w| w.name.as_str()).take(3).collect();
        let more = if watched.len() > names.len() { ", …" } else { "" };
        Some(format!(
            "K and P are of the watched variables alone ({}{more}), and the parameters also act through others ({through}, …): K \
             holds all that passes there, P nothing of it; [model] state = [\"…\"] watches more (the NTK is the same)",
            names.join(", ")
        ))
    }
}

/// What is said of the variables that a state is: of many the first ones.
pub fn names_of(variables: &[Watched]) -> String {
    const MOST: usize = 3;
    let names: Vec<&str> = variables.iter().map(|v| v.name.as_str()).filter(|n| !n.is_empty()).take(MOST).collect();
    let more = if variables.len() > names.len() { ", …" } else { "" };
    match names.is_empty() {
        true => String::new(),
        false => format!(" of {}{more}", names.join(", ")),
    }
}
