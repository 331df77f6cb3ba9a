//! Which kind of model a checkpoint holds, told by the names and shapes of its tensors.

use crate::spelling::number_of;

/// A part of a checkpoint that is a model of a kind, or may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// The kinds that it can be, the likeliest first.
    pub kinds: Vec<&'static str>,
    /// What the names of its tensors begin with.
    pub prefix: String,
    /// Its layers and sizes, for people.
    pub what: String,
    /// The keys that a job must say beside `kind`, `weights` and `prefix`.
    pub also: Vec<String>,
    /// The shape of one trajectory's input with which it can be tried; `None`: it needs none.
    pub input: Option<Vec<usize>>,
    /// The names of its tensors.
    pub tensors: Vec<String>,
    /// How many numbers a `readout` reads of its state at a step; none reads what the model does not write.
    pub width: usize,
}

/// Names, sorted, and shapes.
type Tensors<'a> = [(&'a str, &'a [usize])];

/// Every model that a checkpoint may hold, the largest first; then the linear layers that can be a `readout`.
pub fn guess(tensors: &Tensors<'_>) -> (Vec<Guess>, Vec<String>) {
    let mut found = Vec::new();
    for (name, shape) in tensors {
        let one = recurrent(tensors, name, shape).or_else(|| transformer(tensors, name, shape));
        found.extend(one);
    }
    let taken = |n: &str| found.iter().any(|g: &Guess| g.tensors.iter().any(|t| t == n));
    let rest: Vec<_> = tensors.iter().copied().filter(|(n, _)| !taken(n)).collect();
    let reads = |of: usize| found.iter().any(|g| g.width == of);
    let layers: Vec<String> = linear(&rest).filter(|l| reads(l.1[1])).map(|(n, _)| n.to_string()).collect();
    if found.is_empty() {
        found.extend(conv(&rest).or_else(|| mlp(&rest)));
        return (found, Vec::new());
    }
    found.sort_by_key(|g| std::cmp::Reverse(g.tensors.len()));
    (found, layers)
}

/// The linear layers `NAME.weight`: their names and shapes.
fn linear<'t>(tensors: &'t Tensors<'_>) -> impl Iterator<Item = (&'t str, [usize; 2])> {
    tensors.iter().filter_map(|(n, s)| Some((n.strip_suffix(".weight")?, <[usize; 2]>::try_from(*s).ok()?)))
}

fn shape<'a>(tensors: &Tensors<'a>, name: &str) -> Option<&'a [usize]> {
    tensors.iter().find(|t| t.0 == name).map(|t| t.1)
}

/// How many of `PREFIX l SUFFIX` there are from 0.
fn count(tensors: &Tensors<'_>, prefix: &str, suffix: &str) -> usize {
    (0..).take_while(|l| shape(tensors, &format!("{prefix}{l}{suffix}")).is_some()).count()
}

/// Names with a prefix of which `own` knows the rest.
fn own(tensors: &Tensors<'_>, prefix: &str, own: impl Fn(&str) -> bool) -> Vec<String> {
    tensors.iter().filter(|(n, _)| n.strip_prefix(prefix).is_some_and(&own)).map(|(n, _)| n.to_string()).collect()
}

/// A recurrent layer of PyTorch, or a cell: its hidden weights are [gates · H, H].
fn recurrent(tensors: &Tensors<'_>, name: &str, size: &[usize]) -> Option<Guess> {
    let (prefix, cell) = match (name.strip_suffix("weight_hh_l0"), name.strip_suffix("weight_hh")) {
        (Some(prefix), _) => (prefix, false),
        (None, prefix) => (prefix?, true),
    };
    let (&[rows, hidden], false) = (size, prefix.ends_with(|c: char| c.is_alphanumeric())) else { return None };
    let kinds = match rows.checked_div(hidden)? {
        1 if rows == hidden => vec!["rnn", "leaky_rnn"],
        3 if rows == 3 * hidden => vec!["gru"],
        4 if rows == 4 * hidden => vec!["lstm"],
        _ => return None,
    };
    let suffix = if cell { "" } else { "_l0" };
    let input = *shape(tensors, &format!("{prefix}weight_ih{suffix}"))?.get(1)?;
    let layers = count(tensors, &format!("{prefix}weight_hh_l"), "").max(1);
    let both = shape(tensors, &format!("{prefix}weight_hh_l0_reverse")).is_some();
    let way = if both { ", both directions" } else { "" };
    let what = format!("{}, hidden {hidden}, input {input}{way}", number_of(layers, "layer"));
    let starts = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
    let names = own(tensors, prefix, |n| starts.iter().any(|s| n.starts_with(s)) && !n.contains('.'));
    let width = hidden * (1 + usize::from(both));
    let input = Some(vec![1, input]);
    Some(Guess { kinds, prefix: prefix.into(), what, also: Vec::new(), input, tensors: names, width })
}

fn transformer(tensors: &Tensors<'_>, name: &str, size: &[usize]) -> Option<Guess> {
    let models: [(&'static str, &str, &str, &str, &[&str]); 3] = [
        ("transformer", "blocks.0.attn.in_proj_weight", "blocks.", ".attn.in_proj_weight", &["blocks."]),
        ("gpt2", "wte.weight", "h.", ".attn.c_attn.weight", &["h.", "wte.", "wpe.", "ln_f."]),
        (
            "bert",
            "embeddings.word_embeddings.weight",
            "encoder.layer.",
            ".attention.self.query.weight",
            &["embeddings.", "encoder."],
        ),
    ];
    for (kind, mark, layer, suffix, parts) in models {
        let Some(prefix) = name.strip_suffix(mark) else { continue };
        let layers = count(tensors, &format!("{prefix}{layer}"), suffix);
        let &[rows, width] = size else { continue };
        if layers == 0 || !(prefix.is_empty() || prefix.ends_with('.')) {
            continue;
        }
        let words = if kind == "transformer" { String::new() } else { format!(", {rows} tokens") };
        let what = format!("{}, width {width}{words}", number_of(layers, "layer"));
        let names = own(tensors, prefix, |n| parts.iter().any(|p| n.starts_with(p)));
        let also = vec!["heads = …".into()];
        let input = Some(if kind == "transformer" { vec![1, width] } else { vec![2] });
        return Some(Guess { kinds: vec![kind], prefix: prefix.into(), what, also, input, tensors: names, width });
    }
    None
}

/// What the names of all these layers begin with, up to a dot.
fn common(names: &[&str]) -> String {
    let Some(first) = names.first() else { return String::new() };
    let ends = first.char_indices().filter(|(_, c)| *c == '.').map(|(i, _)| i + 1).rev();
    let shared = ends.into_iter().find(|&end| names.iter().all(|n| n.starts_with(&first[..end])));
    first[..shared.unwrap_or(0)].to_string()
}

fn conv(tensors: &Tensors<'_>) -> Option<Guess> {
    let maps: Vec<_> = tensors.iter().filter(|(n, s)| s.len() == 4 && n.ends_with(".weight")).collect();
    let layers: Vec<&str> = tensors.iter().filter_map(|(n, _)| n.strip_suffix(".weight")).collect();
    let channels = maps.first()?.1[1];
    // A list of layers has convolutions, linear layers and BatchNorm: what has anything else is another net.
    let known = |(name, shape): &(&str, &[usize])| {
        let (module, tensor) = name.rsplit_once('.').unwrap_or(("", name));
        let moments = tensors.iter().any(|t| t.0 == format!("{module}.running_mean"));
        match (tensor, shape.len()) {
            ("weight", 2 | 4) | ("running_mean" | "running_var" | "bias", 1) | ("num_batches_tracked", _) => true,
            ("weight", 1) => moments,
            _ => false,
        }
    };
    if !tensors.iter().all(known) {
        return None;
    }
    let what =
        format!("{}, {}", number_of(maps.len(), "convolution"), number_of(linear(tensors).count(), "linear layer"));
    let also = vec![format!("layers = [ … ], as they follow each other (first input: {channels} channels a group)")];
    let names = tensors.iter().map(|t| t.0.to_string()).collect();
    Some(Guess { kinds: vec!["conv"], prefix: common(&layers), what, also, input: None, tensors: names, width: 0 })
}

/// Layers of which each reads what the one before writes.
fn mlp(tensors: &Tensors<'_>) -> Option<Guess> {
    let names: Vec<&str> = linear(tensors).map(|l| l.0).collect();
    let prefix = common(&names);
    // The kind wants `layers.0.weight`, or numbers: a prefix may end before either.
    let prefix = prefix.strip_suffix("layers.").map_or(prefix.clone(), String::from);
    let mut layers: Vec<(&str, [usize; 2])> = linear(tensors).filter(|(n, _)| n.starts_with(&prefix)).collect();
    let number =
        |n: &str| -> Vec<usize> { n.split(|c: char| !c.is_ascii_digit()).filter_map(|d| d.parse().ok()).collect() };
    layers.sort_by_key(|(n, _)| number(n));
    let fits = layers.windows(2).all(|w| w[1].1[1] == w[0].1[0]);
    let (first, _) = (layers.first()?, layers.last()?);
    if !fits {
        return None;
    }
    let sizes: Vec<String> =
        [first.1[1]].into_iter().chain(layers.iter().map(|l| l.1[0])).map(|n| n.to_string()).collect();
    let what = format!("{}, {}", number_of(layers.len(), "layer"), sizes.join(" → "));
    let there = |n: &String| tensors.iter().any(|t| t.0 == n);
    let both = layers.iter().flat_map(|(l, _)| [format!("{l}.weight"), format!("{l}.bias")]);
    let tensors = both.filter(there).collect();
    let input = Some(vec![1, first.1[1]]);
    Some(Guess { kinds: vec!["mlp", "neural_ode"], prefix, what, also: Vec::new(), input, tensors, width: 0 })
}

#[cfg(test)]
mod tests {
    use super::guess;

    fn of(tensors: &[(&str, &[usize])]) -> (Vec<String>, Vec<String>) {
        let mut sorted = tensors.to_vec();
        sorted.sort();
        let (found, readouts) = guess(&sorted);
        (found.iter().map(|g| format!("{} {:?} {}", g.kinds.join("|"), g.prefix, g.what)).collect(), readouts)
    }

    #[test]
    fn kinds_and_prefixes() {
        let gru = [
            ("rnn.weight_hh_l0", &[9, 3][..]),
            ("rnn.weight_ih_l0", &[9, 2]),
            ("encoder.weight", &[2, 5]),
            ("fc.weight", &[1, 3]),
            ("fc.bias", &[1]),
        ];
        assert_eq!(of(&gru), (vec!["gru \"rnn.\" 1 layer, hidden 3, input 2".into()], vec!["fc".into()]));
        let cell = [("cell.weight_hh", &[4, 4][..]), ("cell.weight_ih", &[4, 1])];
        assert_eq!(of(&cell).0, ["rnn|leaky_rnn \"cell.\" 1 layer, hidden 4, input 1"]);
        let mlp =
            [("net.0.weight", &[5, 2][..]), ("net.0.bias", &[5]), ("net.10.weight", &[1, 5]), ("net.10.bias", &[1])];
        assert_eq!(of(&mlp).0, ["mlp|neural_ode \"net.\" 2 layers, 2 → 5 → 1"]);
        let conv = [("0.weight", &[4, 1, 3, 3][..]), ("3.weight", &[10, 36])];
        assert_eq!(of(&conv).0, ["conv \"\" 1 convolution, 1 linear layer"]);
        // Neither a hidden weight of no known gates nor layers that do not follow each other are a guess.
        assert_eq!(of(&[("weight_hh_l0", &[7, 3][..]), ("weight_ih_l0", &[7, 3])]).0.len(), 0);
        assert_eq!(of(&[("a.weight", &[7, 3][..]), ("b.weight", &[7, 3])]).0.len(), 0);
        assert_eq!(of(&[]), (vec![], vec![]));
    }
}
