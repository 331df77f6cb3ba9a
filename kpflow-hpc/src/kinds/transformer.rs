//! `transformer` (the golden convention), `gpt2` and `bert` (Hugging Face names).
//!
//! State of a token: the residual stream, where it has been added to. `transformer`: m_l after attention and r_l after the MLP of every
//! block; `gpt2`: the embedding e before them; `bert`: e, and a_l, r_l, all after their LayerNorm.

use super::hugging_face::Positions;
use super::{dense, Source};
use crate::error::Result;
use crate::network::{Counted, FromFiles, Network, OwnedWeight};
use kpflow_core::model::functions::{Activation, Arithmetic, SumThen};
use kpflow_core::model::mixing::{Along, Normalize, Product, Softmax};
use kpflow_core::model::{Form, Operand, Scan, VariableId};
use kpflow_core::Scalar;

/// What the blocks of a model share.
struct Stream<'s, 'a, T> {
    source: &'s Source<'a>,
    network: Network<T>,
    positions: usize,
    width: usize,
    heads: usize,
    eps: f64,
    mask: Option<VariableId>,
    /// The input that is made of the tokens, if there is one.
    counted: Option<Counted>,
}

impl<'s, 'a, T: Scalar> Stream<'s, 'a, T> {
    fn new(source: &'s Source<'a>, positions: usize, width: usize, eps: f64) -> Result<Self> {
        let json = source.checkpoint.config()?;
        let config = |keys: [&str; 2]| keys.iter().find_map(|key| json.get(key)?.as_f64());
        let heads = source.spec.heads.or(config(["num_attention_heads", "n_head"]).map(|h| h as usize));
        let heads =
            heads.ok_or_else(|| source.wrong("does not tell the number of heads; the job has to say heads = …"))?;
        if heads == 0 || width % heads != 0 {
            return Err(source.wrong(format!("heads = {heads} does not divide the width {width}")));
        }
        let mut network = Network::default();
        network.segment(Scan::Parallel);
        let eps = source.spec.eps.or(config(["layer_norm_eps", "layer_norm_epsilon"])).unwrap_or(eps);
        Ok(Self { source, network, positions, width, heads, eps, mask: None, counted: None })
    }

    /// Position p reads positions up to p.
    fn causal(&mut self) {
        let t = self.positions;
        let mask = (0..t * t).map(|i| if i % t > i / t { T::neg_infinity() } else { T::zero() }).collect();
        self.mask = Some(self.network.constant(mask, t, t));
    }

    fn norm(&mut self, name: &str, x: VariableId) -> Result<VariableId> {
        let (group, eps) = (self.width, self.eps);
        let input = self.network.read(x);
        let y = self.network.mixing(Normalize { group, eps, centered: true }, &[input]);
        let y = y.ok_or_else(|| self.source.wrong(format!("{name} does not fit the width {group}")))?;
        let gain = self.network.weight(self.source.gain(name, self.width)?);
        let input = self.network.read(y);
        Ok(self.network.site(Form::Gain, gain, input))
    }

    fn linear(&mut self, name: &str, input: Operand, n_out: usize) -> Result<VariableId> {
        let weight = self.source.linear(name, n_out, input.width)?;
        Ok(dense(&mut self.network, weight, input))
    }

    /// softmax(q kᵀ / √d + mask) v, head by head.
    fn attention(&mut self, [q, k, v]: [Operand; 3], name: String) -> Result<VariableId> {
        let wrong = |s: &Source<'_>| s.wrong("queries, keys and values do not fit");
        let (groups, along) = (self.heads, [Along::Columns; 3]);
        let scores = self.network.mixing(Product { groups, along, transposed: true }, &[q, k]);
        let scores = scores.ok_or_else(|| wrong(self.source))?;
        let scale = ((self.width / self.heads) as f64).sqrt().recip();
        let softmax = Softmax { group: self.positions, scale, masked: self.mask.is_some() };
        let reads: Vec<Operand> =
            [Some(scores), self.mask].into_iter().flatten().map(|v| self.network.read(v)).collect();
        let weights = self.network.mixing(softmax, &reads).ok_or_else(|| wrong(self.source))?;
        self.network.name(weights, name);
        let reads = [self.network.read(weights), v];
        self.network.mixing(Product { groups, along, transposed: false }, &reads).ok_or_else(|| wrong(self.source))
    }

    fn add(&mut self, a: VariableId, b: VariableId) -> VariableId {
        let reads = [self.network.read(a), self.network.read(b)];
        self.network.cluster(Arithmetic::Add, reads)
    }

    fn named(&mut self, v: VariableId, name: String) -> VariableId {
        self.network.name(v, name);
        v
    }

    /// The rows of an embedding that are read: `rows` in their order, of a tensor `[…, d]`.
    fn embedding(&mut self, name: &str, rows: &[usize]) -> Result<OwnedWeight<T>> {
        let (all, d) = (self.source.axis(name, 0)?, self.width);
        if let Some(beyond) = rows.iter().find(|&&r| r >= all) {
            return Err(self.source.wrong(format!("tensor {name} has {all} rows; row {beyond} is asked for")));
        }
        let tensor = self.source.checkpoint.rows::<T>(name, &[all, d], rows)?;
        let weight = OwnedWeight::new(tensor.name, tensor.data, rows.len(), d);
        Ok(OwnedWeight { unread: (all - rows.len()) * d, ..weight })
    }

    /// Looks up one row for each position: `at[p]` is the place among the rows held.
    fn look_up(&mut self, weight: OwnedWeight<T>, at: impl Fn(usize) -> usize) -> VariableId {
        let data = (0..self.positions).map(|p| T::of(at(p) as f64)).collect();
        let (index, weight) = (self.network.constant(data, self.positions, 1), self.network.weight(weight));
        let index = self.network.read(index);
        self.network.site(Form::Embedding, weight, index)
    }

    /// Each token's row of the table of positions.
    fn place(&mut self, name: &str, positions: Positions) -> Result<VariableId> {
        let steps = self.positions;
        match positions {
            Positions::FromZero => {
                let rows = self.embedding(name, &(0..steps).collect::<Vec<_>>())?;
                Ok(self.look_up(rows, |p| p))
            }
            // Which row depends on where the padding stands: an input that is made of the tokens.
            Positions::After { padding } => {
                let rows = self.embedding(name, &(0..=steps + padding).collect::<Vec<_>>())?;
                let slot = self.network.slots().len();
                let (weight, index) = (self.network.weight(rows), self.network.input(slot, steps, 1));
                self.counted = Some(Counted { slot, padding });
                let index = self.network.read(index);
                Ok(self.network.site(Form::Embedding, weight, index))
            }
        }
    }

    fn finish(mut self, state: Vec<VariableId>, output: VariableId) -> FromFiles<T> {
        self.network.output(self.network.read(output));
        self.network.default_state(state, false);
        let mut network = FromFiles::from(self.network);
        network.counted = self.counted;
        network
    }

    /// A block of `transformer` or `gpt2`: returns m and r.
    fn pre_norm(&mut self, l: usize, x: VariableId, names: &PreNorm, transposed: bool) -> Result<[VariableId; 2]> {
        let (d, block) = (self.width, names.block);
        let name = |s: &str| format!("{}{l}.{s}", block);
        let layer = |this: &mut Self, part: &str, input: VariableId, n_out: usize| -> Result<VariableId> {
            let input = this.network.read(input);
            if transposed {
                let weight = this.source.conv1d(&name(part), n_out, input.width)?;
                return Ok(dense(&mut this.network, weight, input));
            }
            this.linear(&name(part), input, n_out)
        };
        let n = self.norm(&name("ln_1"), x)?;
        let qkv = match names.qkv {
            Some(qkv) => layer(self, qkv, n, 3 * d)?,
            None => {
                let weight = self.source.in_proj(&name("attn"), d)?;
                let input = self.network.read(n);
                dense(&mut self.network, weight, input)
            }
        };
        let parts = [0, 1, 2].map(|i| self.network.piece(qkv, i, d));
        let mixed = self.attention(parts, format!("attn_{l}"))?;
        let out = layer(self, names.out, mixed, d)?;
        let m = self.add(x, out);
        let m = self.named(m, format!("m_{l}"));
        let n = self.norm(&name("ln_2"), m)?;
        let inner = match transposed {
            true => self.source.axis(&name("mlp.c_fc.weight"), 1)?,
            false => self.source.axis(&name("mlp.c_fc.weight"), 0)?,
        };
        let fc = layer(self, "mlp.c_fc", n, inner)?;
        let input = self.network.read(fc);
        let act = self.network.cluster(Activation::GeluTanh, [input]);
        let out = layer(self, "mlp.c_proj", act, d)?;
        let r = self.add(m, out);
        Ok([m, self.named(r, format!("r_{l}"))])
    }
}

/// What the tensors of a block are called.
struct PreNorm {
    block: &'static str,
    /// `None`: `attn.in_proj_weight`, `attn.in_proj_bias`.
    qkv: Option<&'static str>,
    out: &'static str,
}

impl Source<'_> {
    /// GPT-2's Conv1D: `[n_in, n_out]`.
    fn conv1d<T: Scalar>(&self, name: &str, n_out: usize, n_in: usize) -> Result<OwnedWeight<T>> {
        let weight = self.tensor::<T>(&format!("{name}.weight"), &[n_in, n_out])?;
        let matrix = self.checkpoint.reordered(&weight.data, n_out * n_in, |i| i % n_in * n_out + i / n_in);
        self.with_bias(OwnedWeight::new(weight.name, matrix, n_out, n_in), &format!("{name}.bias"))
    }

    /// PyTorch's stacked q, k, v.
    fn in_proj<T: Scalar>(&self, name: &str, d: usize) -> Result<OwnedWeight<T>> {
        let weight = self.tensor::<T>(&format!("{name}.in_proj_weight"), &[3 * d, d])?;
        self.with_bias(OwnedWeight::new(weight.name, weight.data, 3 * d, d), &format!("{name}.in_proj_bias"))
    }
}

/// `transformer`: pre-LayerNorm, causal, MLP with GELU (tanh); inputs `[B, T, d]` enter the residual stream.
pub fn plain<T: Scalar>(source: &Source<'_>) -> Result<FromFiles<T>> {
    let layers = source.layers("blocks.", ".ln_1.weight")?;
    let d = source.axis("blocks.0.ln_1.weight", 0)?;
    let [steps, width] = source.input_shape(&format!("[B, T, {d}]"))?;
    if width != d {
        return Err(source.wrong_input(&format!("[B, T, {d}]")));
    }
    let mut s = Stream::new(source, steps, d, 1e-5)?;
    let mut x = s.network.input(0, steps, d);
    s.causal();
    let (mut state, names) = (Vec::new(), PreNorm { block: "blocks.", qkv: None, out: "attn.out_proj" });
    for l in 0..layers {
        let [m, r] = s.pre_norm(l, x, &names, false)?;
        state.extend([m, r]);
        x = r;
    }
    Ok(s.finish(state, x))
}

/// `gpt2`: inputs are tokens `[B, T]`. `final` is the stream after ln_f; `logits`, if asked for, what lm_head (or wte) makes of it.
pub fn gpt2<T: Scalar>(source: &Source<'_>) -> Result<FromFiles<T>> {
    let layers = source.layers("h.", ".ln_1.weight")?;
    source.model_is_one_of(&["gpt2"])?;
    source.same_as_config(&[
        ("n_layer", &[layers.into()]),
        ("num_hidden_layers", &[layers.into()]),
        ("activation_function", &["gelu_new".into(), "gelu_pytorch_tanh".into()]),
        ("scale_attn_weights", &[true.into()]),
        ("scale_attn_by_inverse_layer_idx", &[false.into()]),
    ])?;
    let d = source.axis("wte.weight", 1)?;
    let [steps] = source.input_shape("[B, T] (tokens)")?;
    let mut s = Stream::<T>::new(source, steps, d, 1e-5)?;
    let tokens = s.network.input(0, steps, 1);
    s.causal();
    let logits = source.spec.readout.as_deref() == Some("logits");
    // Only the rows of the tokens that occur are held, unless the same matrix makes the logits too.
    let vocabulary = source.axis("wte.weight", 0)?;
    let named = source.tokens.rows(vocabulary);
    let rows: Vec<usize> = if logits { (0..vocabulary).collect() } else { named.clone() };
    if let Some(beyond) = named.last().filter(|&&t| t >= vocabulary) {
        return Err(source.wrong(format!("has {vocabulary} tokens (wte.weight); the inputs name token {beyond}")));
    }
    let wte = s.embedding("wte.weight", &rows)?;
    let wte = s.network.weight(wte);
    let input = s.network.read(tokens);
    let token = s.network.site(Form::Embedding, wte, input);
    let wpe = s.embedding("wpe.weight", &(0..steps).collect::<Vec<_>>())?;
    let position = s.look_up(wpe, |p| p);
    let e = s.add(token, position);
    let mut x = s.named(e, "e".into());
    let mut state = vec![x];
    let names = PreNorm { block: "h.", qkv: Some("attn.c_attn"), out: "attn.c_proj" };
    for l in 0..layers {
        let [m, r] = s.pre_norm(l, x, &names, true)?;
        state.extend([m, r]);
        x = r;
    }
    if source.checkpoint.shape("ln_f.weight").is_some() {
        x = s.norm("ln_f", x)?;
        s.network.name(x, "final");
    }
    if logits {
        // The head lies outside of the prefix that the stack has in Hugging Face's files.
        let whole = source.checkpoint.whole();
        let inside = source.optional::<T>("lm_head.weight", &[vocabulary, d])?;
        let head = match (inside, whole.shape("lm_head.weight")) {
            (Some(head), _) => Some(head),
            (None, Some(_)) => Some(whole.required(&["lm_head.weight"], &[vocabulary, d])?),
            (None, None) => None,
        };
        let head = match head {
            Some(head) => s.network.weight(OwnedWeight::new(head.name, head.data, vocabulary, d)),
            None => wte,
        };
        let input = s.network.read(x);
        let y = s.network.dense(head, input);
        s.network.name(y, "logits");
    }
    let mut network = s.finish(state, x);
    network.tokens = Some(rows);
    Ok(network)
}

/// `bert` and its family: inputs are tokens `[B, T]`, all of type 0; a mask `[B, T]` says which of them may be read.
pub fn bert<T: Scalar>(source: &Source<'_>) -> Result<FromFiles<T>> {
    let layer = |l: usize, s: &str| format!("encoder.layer.{l}.{s}");
    let positions = source.positions()?;
    let layers = source.layers("encoder.layer.", ".attention.self.query.weight")?;
    source.same_as_config(&[
        ("num_hidden_layers", &[layers.into()]),
        ("hidden_act", &["gelu".into()]),
        ("position_embedding_type", &["absolute".into()]),
        ("is_decoder", &[false.into()]),
    ])?;
    let said = source.spec.eps.is_some() || !source.checkpoint.config()?.is_null();
    if matches!(positions, Positions::After { .. }) && !said {
        // Published ones have 1e-5, those of transformers' defaults 1e-12.
        return Err(source.wrong(
            "has no config.json beside it that tells LayerNorm's eps; say eps (roberta-base: 1e-5) in [model]",
        ));
    }
    let d = source.axis("embeddings.word_embeddings.weight", 1)?;
    let [steps] = source.input_shape("[B, T] (tokens)")?;
    let mut s = Stream::<T>::new(source, steps, d, 1e-12)?;
    let tokens = s.network.input(0, steps, 1);
    if source.masked {
        s.mask = Some(s.network.input(1, 1, steps));
    }
    let rows = source.tokens.rows(source.axis("embeddings.word_embeddings.weight", 0)?);
    let words = s.embedding("embeddings.word_embeddings.weight", &rows)?;
    let (words, input) = (s.network.weight(words), s.network.read(tokens));
    let word = s.network.site(Form::Embedding, words, input);
    let place = s.place("embeddings.position_embeddings.weight", positions)?;
    let types = s.embedding("embeddings.token_type_embeddings.weight", &[0])?;
    let kind = s.look_up(types, |_| 0);
    let reads = [word, place, kind].map(|v| s.network.read(v));
    let sum = s.network.cluster(SumThen(Activation::Linear), reads);
    let e = s.norm("embeddings.LayerNorm", sum)?;
    let mut x = s.named(e, "e".into());
    let mut state = vec![x];
    for l in 0..layers {
        let input = s.network.read(x);
        let mut parts = [input; 3];
        for (part, name) in parts.iter_mut().zip(["query", "key", "value"]) {
            let y = s.linear(&layer(l, &format!("attention.self.{name}")), input, d)?;
            *part = s.network.read(y);
        }
        let mixed = s.attention(parts, format!("attn_{l}"))?;
        let mixed = s.network.read(mixed);
        let out = s.linear(&layer(l, "attention.output.dense"), mixed, d)?;
        let sum = s.add(x, out);
        let a = s.norm(&layer(l, "attention.output.LayerNorm"), sum)?;
        let a = s.named(a, format!("a_{l}"));
        let inner = source.axis(&layer(l, "intermediate.dense.weight"), 0)?;
        let input = s.network.read(a);
        let fc = s.linear(&layer(l, "intermediate.dense"), input, inner)?;
        let input = s.network.read(fc);
        let act = s.network.cluster(Activation::Gelu, [input]);
        let input = s.network.read(act);
        let out = s.linear(&layer(l, "output.dense"), input, d)?;
        let sum = s.add(a, out);
        let r = s.norm(&layer(l, "output.LayerNorm"), sum)?;
        x = s.named(r, format!("r_{l}"));
        state.extend([a, x]);
    }
    let mut network = s.finish(state, x);
    network.tokens = Some(rows);
    Ok(network)
}
