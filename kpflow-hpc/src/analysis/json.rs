//! All that is known of the quantities, for who makes an interface of it in another language.

use super::keys::{Kind, Unsaid, COMMON};
use super::{offers, Key, Operator, Output, Quantity, With, ALL};
use serde_json::{json, Value};

/// Every operator, and every quantity with its keys, methods and datasets.
pub fn all() -> Value {
    let operator = |(name, operator): &(&str, Operator)| {
        let about = operator.about();
        json!({ "name": name, "formula": about.formula, "symmetric": about.symmetric, "on_state": about.on_state })
    };
    json!({
        "operators": Operator::ALL.iter().map(operator).collect::<Vec<_>>(),
        "quantities": ALL.iter().map(|q| quantity(q)).collect::<Vec<_>>(),
    })
}

fn quantity(q: &Quantity) -> Value {
    let offers = offers(q);
    let fits = |(_, operator): &&(&str, Operator)| offers.iter().any(|o| (o.fits)(*operator));
    let operators: Vec<&str> = Operator::ALL.iter().filter(fits).map(|(name, _)| *name).collect();
    let keys: Vec<Value> = q.keys.iter().copied().chain(COMMON).map(key).collect();
    let with = q.with.map(|with| match with {
        With::Weights => "weights",
        With::State => "state",
        With::Vectors => "vectors",
    });
    json!({
        "name": q.name, "title": q.title, "formula": q.formula, "about": q.about, "with": with, "keys": keys,
        "methods": offers.iter().map(|o| o.name).collect::<Vec<_>>(), "operators": operators,
        "outputs": q.outputs.iter().map(output).collect::<Vec<_>>(),
    })
}

fn key(key: &Key) -> Value {
    let kind = match key.kind {
        Kind::Truth => "truth",
        Kind::Whole { .. } => "whole",
        Kind::Number { .. } => "number",
        Kind::Word(_) => "word",
        Kind::Axes => "axes",
        Kind::File => "file",
        Kind::Window => "window",
        Kind::Units => "units",
    };
    let words = if let Kind::Word(words) = key.kind { words } else { &[] };
    let default = match key.default {
        Unsaid::Required | Unsaid::Nothing => Value::Null,
        Unsaid::Truth(x) => x.into(),
        Unsaid::Whole(x) => x.into(),
        Unsaid::Number(x) => x.into(),
        Unsaid::Word(x) => x.into(),
    };
    json!({
        "name": key.name, "single": key.single, "kind": kind, "words": words, "default": default,
        "required": key.default == Unsaid::Required, "method": key.method, "about": key.about,
    })
}

fn output(o: &Output) -> Value {
    let dimensions: Vec<&str> = o.dimensions.iter().map(|d| d.name()).collect();
    let symbols: Vec<&str> = o.dimensions.iter().map(|d| d.symbol()).collect();
    json!({
        "name": o.name, "dimensions": dimensions, "symbols": symbols, "unit": o.unit, "error": o.error,
        "interval": o.interval, "asked": o.asked, "meaning": o.meaning,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_quantity_is_there() {
        let all = super::all();
        let quantities = all["quantities"].as_array().unwrap();
        assert_eq!(quantities.len(), super::ALL.len());
        for q in quantities {
            assert!(
                !q["operators"].as_array().unwrap().is_empty() && !q["methods"].as_array().unwrap().is_empty(),
                "{q}"
            );
        }
    }
}
