//! What the specification says of attributes: which there are, and their defaults.

use rten_onnx::onnx::{AttributeProto, AttributeType};

/// One line for each attribute of each version of an operator: operator, version, attribute, type, default (`?` none, `-` required).
/// Written by tests/reference/make_attributes.py.
pub(super) const TABLE: &str = include_str!("attributes.txt");

/// An attribute of a version of an operator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed<'a> {
    /// The operator.
    pub operator: &'a str,
    /// The opset since which it is so.
    pub since: i64,
    /// The attribute.
    pub name: &'a str,
    /// Its default.
    pub default: &'a str,
}

/// All lines.
pub(super) fn listed() -> impl Iterator<Item = Listed<'static>> {
    TABLE.lines().filter_map(|line| {
        let mut words = line.splitn(5, ' ');
        let (operator, since, name) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
        Some(Listed { operator, since, name, default: words.nth(1)? })
    })
}

/// Whether an attribute says what would hold without it.
pub(super) fn is_default(operator: &str, opset: i64, a: &AttributeProto) -> bool {
    let name = a.name.as_deref().unwrap_or_default();
    // What the first versions called so lets memory be used again.
    if name == "consumed_inputs" {
        return true;
    }
    let of = || listed().filter(|l| l.operator == operator && l.since <= opset);
    let Some(version) = of().map(|l| l.since).max() else { return false };
    let default = of().filter(|l| l.since == version && l.name == name).map(|l| l.default).next();
    let float = |d: &str| a.f.is_some() && d.parse::<f32>().ok() == shown(a).parse().ok();
    default.is_some_and(|d| shown(a) == d || float(d))
}

/// The value of an attribute, for people.
pub(super) fn shown(a: &AttributeProto) -> String {
    fn list<V: ToString>(all: &[V]) -> String {
        all.iter().map(V::to_string).collect::<Vec<_>>().join(",")
    }
    // Writers may leave out what is zero.
    let (text, integer, float) = (AttributeType::STRING, AttributeType::INT, AttributeType::FLOAT);
    match (&a.s, a.i, a.f) {
        _ if a.r#type == Some(integer) => a.i.unwrap_or(0).to_string(),
        _ if a.r#type == Some(float) => a.f.unwrap_or(0.0).to_string(),
        _ if a.r#type == Some(text) => a.s.clone().unwrap_or_default(),
        (Some(s), _, _) => s.clone(),
        (_, Some(i), _) => i.to_string(),
        (_, _, Some(f)) => f.to_string(),
        _ if !a.ints.is_empty() => list(&a.ints),
        _ if !a.floats.is_empty() => list(&a.floats),
        _ if !a.strings.is_empty() => list(&a.strings),
        _ if a.g.is_some() => "a graph".into(),
        _ if a.t.is_some() => "a tensor".into(),
        _ => "nothing".into(),
    }
}
