//! What a finished analysis was made of: numbers by their hashes, keys by what they say.
//!
//! Two analyses that are made of the same are the same to rounding, whatever the job's comments,
//! its formatting, the order of its
//! analyses, or the number of ranks. Where they are not, the difference has a name.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What the hash of an array or a file begins with.
const HASH: &str = "xxh3:";
/// The key of the precision: in another one every number has another hash.
const PRECISION: &str = "precision";

/// What something was made of, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MadeOf(BTreeMap<String, String>);

impl MadeOf {
    /// Adds what a key says.
    pub fn say(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Adds numbers, by their hash.
    pub fn hold(&mut self, name: &str, hash: u64) {
        self.say(name, format!("{HASH}{hash:016x}"));
    }

    /// What a name says.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// This and more.
    pub fn and(&self, more: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let mut all = self.clone();
        more.into_iter().for_each(|(name, value)| all.say(name, value));
        all
    }

    /// As one line of JSON, for the result file.
    pub fn to_json(&self) -> String {
        let all = self.0.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        Value::Object(all.collect::<Map<_, _>>()).to_string()
    }

    /// What [`to_json`](Self::to_json) wrote.
    pub fn from_json(text: &str) -> Option<Self> {
        let Ok(Value::Object(map)) = serde_json::from_str(text) else { return None };
        map.into_iter().map(|(name, value)| Some((name, value.as_str()?.to_string()))).collect::<Option<_>>().map(Self)
    }

    /// Only what another has a name for too.
    pub fn shared_with(&self, other: &Self) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(name, _)| other.0.contains_key(*name))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect(),
        )
    }

    /// What is other now, each in words.
    pub fn changes(&self, now: &Self) -> Vec<String> {
        let names: std::collections::BTreeSet<&String> = self.0.keys().chain(now.0.keys()).collect();
        let precise = self.0.get(PRECISION) == now.0.get(PRECISION);
        let mut out = Vec::new();
        for name in names {
            let [then, now] = [self, now].map(|m| m.0.get(name).map(String::as_str));
            let hashed = [then, now].into_iter().flatten().any(|v| v.starts_with(HASH));
            match (then, now) {
                _ if then == now || (hashed && !precise) => {}
                (Some(_), Some(_)) if hashed => out.push(format!("other {name}")),
                (Some(_), None) if hashed => out.push(format!("{name} then and none now")),
                (None, Some(_)) if hashed => out.push(format!("{name} now and none then")),
                _ => {
                    let [then, now] = [then, now].map(|v| v.unwrap_or("unsaid"));
                    out.push(format!("{name} = {then} then and {now} now"));
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(weights: u64, rtol: &str, precision: &str) -> MadeOf {
        let mut m = MadeOf::default();
        m.hold("weights", weights);
        m.say("rtol", rtol);
        m.say("precision", precision);
        m
    }

    #[test]
    fn a_change_has_a_name() {
        let then = made(1, "0.001", "f64");
        assert_eq!(then.changes(&made(1, "0.001", "f64")), Vec::<String>::new());
        assert_eq!(then.changes(&made(2, "0.001", "f64")), ["other weights"]);
        assert_eq!(then.changes(&made(1, "0.1", "f64")), ["rtol = 0.001 then and 0.1 now"]);
        // In another precision the weights have another hash, which says nothing.
        assert_eq!(then.changes(&made(2, "0.001", "f32")), ["precision = f64 then and f32 now"]);
        let more = then.and([("noise", "2".to_string())]);
        assert_eq!(then.changes(&more), ["noise = unsaid then and 2 now"]);
        assert_eq!(more.shared_with(&then), then);
        let mut mask = then.clone();
        mask.hold("mask", 3);
        assert_eq!(then.changes(&mask), ["mask now and none then"]);
        assert_eq!(mask.changes(&then), ["mask then and none now"]);
    }

    #[test]
    fn as_text_and_back() {
        let m = made(7, "a \"quoted\" é", "f64");
        assert_eq!(MadeOf::from_json(&m.to_json()), Some(m));
        assert!(["", "[]", "{\"a\":1}", "{"].iter().all(|t| MadeOf::from_json(t).is_none()));
    }
}
