//! The contract of every operator of the crate, on generated shapes: see `list`.

mod common;
mod list;

use common::{assert_contract, dense, distance, norm};
use kpflow_core::{LinearOperator, Scalar};
use list::{every, Visit};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;

/// The contract, and the matrix that the operator stands for.
struct Contract {
    tolerance: f64,
    seen: BTreeSet<String>,
}

/// The name of a type without its path and parameters.
fn name_of(type_name: &str) -> String {
    let name = type_name.split('<').next().unwrap_or_default();
    if type_name.starts_with('&') {
        return "&A".into();
    }
    name.rsplit("::").next().unwrap_or_default().into()
}

impl<T: Scalar> Visit<T> for Contract {
    fn visit<A: LinearOperator<T> + Display>(&mut self, name: &str, op: &A, expected: Option<Vec<f64>>) {
        self.seen.insert(name_of(std::any::type_name::<A>()));
        let name = format!("{name} ({op}), {} to {}", op.domain(), op.codomain());
        assert!(!op.to_string().is_empty(), "{name} prints nothing");
        assert_contract(&name, op, self.tolerance);
        if let Some(expected) = expected {
            let found: Vec<f64> = dense(op).iter().map(|x| x.f64()).collect();
            let off = distance(&found, &expected);
            assert!(off <= self.tolerance * (1.0 + norm(&expected)), "{name}: differs from its definition by {off:e}");
        }
    }
}

fn run<T: Scalar>(dims: [usize; 3], seed: u64, tolerance: f64) -> BTreeSet<String> {
    let mut contract = Contract { tolerance, seen: BTreeSet::new() };
    every::<T>(dims, seed, &mut contract);
    contract.seen
}

#[test]
fn every_operator_keeps_the_contract() {
    run::<f64>([3, 4, 2], 1, 1e-11);
    run::<f32>([3, 4, 2], 1, 1e-3);
}

// 256 cases (proptest's own number), or as many as the variable PROPTEST_CASES says.
proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_operator_keeps_the_contract_on_any_shape(dims in [0usize..4, 0..4, 0..4], seed: u64, single: bool) {
        match single {
            true => run::<f32>(dims, seed, 1e-3),
            false => run::<f64>(dims, seed, 1e-10),
        };
    }
}

fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, text),
            false => *text += &std::fs::read_to_string(&path).unwrap(),
        }
    }
}

/// The first identifier of a text.
fn identifier(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || "_&$".contains(*c)).collect()
}

/// Every type for which the sources implement `LinearOperator`, by hand or by a macro.
fn implemented() -> BTreeSet<String> {
    let mut text = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    // Documentation and its examples do not count.
    let text: String = text.lines().filter(|l| !l.trim_start().starts_with("//")).flat_map(|l| [l, "\n"]).collect();
    let mut names: BTreeSet<String> = text.split("LinearOperator<T> for ").skip(1).map(identifier).collect();
    // What a macro implements for its argument: the first type in each of its calls, behind generics in brackets if it has them.
    for definition in text.split("macro_rules! ").skip(1) {
        let name = identifier(definition);
        if !definition[..definition.find("\n}").unwrap_or(definition.len())].contains("LinearOperator<T> for $") {
            continue;
        }
        for call in text.split(&format!("{name}!")).skip(1) {
            let call = call.trim_start_matches([' ', '(', '{', '\n']);
            let call = if call.starts_with('[') { call.split_once(']').map_or("", |(_, rest)| rest) } else { call };
            names.insert(identifier(call));
        }
    }
    names.retain(|n| !n.is_empty() && !n.starts_with('$'));
    names
}

/// An operator that somebody adds and does not test would be missing here.
#[test]
fn every_operator_is_in_the_list() {
    let (seen, implemented) = (run::<f64>([2, 2, 2], 0, 1e-11), implemented());
    assert!(implemented.len() > 25, "the sources are not understood: {implemented:?}");
    let missing: Vec<_> = implemented.difference(&seen).collect();
    assert!(missing.is_empty(), "not in tests/list: {missing:?}; found in the sources: {implemented:?}");
}
