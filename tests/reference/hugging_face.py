"""Transformers with the names of Hugging Face, checked against transformers (skipped where it is absent)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from case import Case, Weights, assert_same, conv1d, linear, norm
from torch import Tensor

try:
    import transformers
except ImportError:
    transformers = None


def layer_norm(p: Weights, name: str, x: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"], eps)


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int, allowed: Tensor) -> Tensor:
    """q, k, v [B, T, d]; allowed, of a shape that broadcasts to [B, heads, T, T]: which keys a query may see."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(~allowed, -math.inf)
    return (torch.softmax(scores, -1) @ v).transpose(1, 2).flatten(2)


def gpt2_states(p: Weights, ids: Tensor, layers: int, heads: int) -> list[Tensor]:
    """The embedding e, then of each block the residual stream after attention, m, and after the MLP, r."""
    t = ids.shape[1]
    causal = torch.ones(t, t, dtype=torch.bool).tril()
    x = p["wte.weight"][ids] + p["wpe.weight"][:t]
    states = [x]
    for i in range(layers):

        def affine(name: str, x: Tensor) -> Tensor:
            return x @ p[f"h.{i}.{name}.weight"] + p[f"h.{i}.{name}.bias"]

        q, k, v = affine("attn.c_attn", layer_norm(p, f"h.{i}.ln_1", x, 1e-5)).chunk(3, -1)
        x = x + affine("attn.c_proj", attention(q, k, v, heads, causal))
        states.append(x)
        hidden = F.gelu(affine("mlp.c_fc", layer_norm(p, f"h.{i}.ln_2", x, 1e-5)), approximate="tanh")
        x = x + affine("mlp.c_proj", hidden)
        states.append(x)
    return states


def bert_states(p: Weights, ids: Tensor, mask: Tensor, layers: int, heads: int, padding: int = -1) -> list[Tensor]:
    """The embedding e, then of each layer a (after attention.output.LayerNorm) and r (after output.LayerNorm).

    With a padding token, positions count from the number behind it, as RoBERTa's do.
    """
    allowed = mask.bool()[:, None, None]
    e = "embeddings"
    counted = ids != padding
    places = (counted.cumsum(1) * counted + padding) if padding >= 0 else torch.arange(ids.shape[1])
    x = p[f"{e}.word_embeddings.weight"][ids] + p[f"{e}.position_embeddings.weight"][places]
    x = layer_norm(p, f"{e}.LayerNorm", x + p[f"{e}.token_type_embeddings.weight"][0], 1e-12)
    states = [x]
    for i in range(layers):
        name = f"encoder.layer.{i}"

        def affine(part: str, x: Tensor) -> Tensor:
            return F.linear(x, p[f"{name}.{part}.weight"], p[f"{name}.{part}.bias"])

        q, k, v = (affine(f"attention.self.{part}", x) for part in ("query", "key", "value"))
        mixed = affine("attention.output.dense", attention(q, k, v, heads, allowed))
        x = layer_norm(p, f"{name}.attention.output.LayerNorm", x + mixed, 1e-12)
        states.append(x)
        hidden = F.gelu(affine("intermediate.dense", x))
        x = layer_norm(p, f"{name}.output.LayerNorm", x + affine("output.dense", hidden), 1e-12)
        states.append(x)
    return states


def gpt2_small() -> Case:
    layers, heads, d, vocabulary, positions = 2, 3, 12, 11, 9
    theta = {"wte.weight": torch.randn(vocabulary, d), "wpe.weight": torch.randn(positions, d)}
    for i in range(layers):
        theta |= norm(f"h.{i}.ln_1", d) | conv1d(f"h.{i}.attn.c_attn", d, 3 * d) | conv1d(f"h.{i}.attn.c_proj", d, d)
        theta |= norm(f"h.{i}.ln_2", d) | conv1d(f"h.{i}.mlp.c_fc", d, 4 * d) | conv1d(f"h.{i}.mlp.c_proj", 4 * d, d)
    constants = norm("ln_f", d)  # after the last state
    ids = torch.randint(vocabulary, (2, 5))

    if transformers is not None:
        config = transformers.GPT2Config(
            n_embd=d,
            n_head=heads,
            n_layer=layers,
            n_positions=positions,
            vocab_size=vocabulary,
            bos_token_id=None,
            eos_token_id=None,
            attn_implementation="eager",
        )
        net = transformers.GPT2Model(config).eval()
        net.load_state_dict(theta | constants)
        with torch.no_grad():
            theirs = net(ids, output_hidden_states=True).hidden_states
            ours = gpt2_states(theta, ids, layers, heads)[::2]
        ours[-1] = layer_norm(constants, "ln_f", ours[-1], 1e-5)  # theirs have the last one normalised
        assert_same(torch.stack(ours), torch.stack(theirs), "gpt2")

    def state(p: Weights) -> Tensor:
        return torch.cat(gpt2_states(p, ids, layers, heads), -1)

    return Case("gpt2", {"heads": heads}, theta, state, {"inputs": ids}, constants)


@dataclass
class Encoder:
    """The sizes of a model of BERT's shape."""

    layers: int
    heads: int
    d: int
    intermediate: int
    vocabulary: int
    positions: int
    types: int

    def weights(self) -> Weights:
        sizes = {"word": self.vocabulary, "position": self.positions, "token_type": self.types}
        theta = {f"embeddings.{k}_embeddings.weight": torch.randn(v, self.d) for k, v in sizes.items()}
        theta |= norm("embeddings.LayerNorm", self.d)
        for i in range(self.layers):
            name = f"encoder.layer.{i}"
            for part in ("self.query", "self.key", "self.value", "output.dense"):
                theta |= linear(f"{name}.attention.{part}", self.d, self.d)
            theta |= norm(f"{name}.attention.output.LayerNorm", self.d) | norm(f"{name}.output.LayerNorm", self.d)
            theta |= linear(f"{name}.intermediate.dense", self.d, self.intermediate)
            theta |= linear(f"{name}.output.dense", self.intermediate, self.d)
        return theta

    def case(self, family: str, options: dict, theta: Weights, ids: Tensor, mask: Tensor, padding: int = -1) -> Case:
        """A case of these weights, whose states are those of transformers' model of this family."""

        def states(p: Weights) -> list[Tensor]:
            return bert_states(p, ids, mask, self.layers, self.heads, padding)

        if transformers is not None:
            config = getattr(transformers, f"{family}Config")(
                hidden_size=self.d,
                num_attention_heads=self.heads,
                num_hidden_layers=self.layers,
                intermediate_size=self.intermediate,
                vocab_size=self.vocabulary,
                max_position_embeddings=self.positions,
                type_vocab_size=self.types,
                pad_token_id=max(padding, 0),
                layer_norm_eps=1e-12,
                attn_implementation="eager",
            )
            net = getattr(transformers, f"{family}Model")(config, add_pooling_layer=False).eval()
            net.load_state_dict(theta)
            with torch.no_grad():
                theirs = net(ids, attention_mask=mask, output_hidden_states=True).hidden_states
                assert_same(torch.stack(states(theta)[::2]), torch.stack(theirs), family)

        options = {"heads": self.heads} | options
        data = {"inputs": ids, "mask": mask}
        return Case("bert", options, theta, lambda p: torch.cat(states(p), -1), data)


def bert_small() -> Case:
    encoder = Encoder(layers=2, heads=3, d=12, intermediate=20, vocabulary=11, positions=9, types=2)
    theta = encoder.weights()
    ids = torch.randint(encoder.vocabulary, (2, 6))
    mask = torch.ones(2, 6, dtype=torch.int64)
    mask[1, -2:] = 0  # no keys there, but states still
    return encoder.case("Bert", {}, theta, ids, mask)


def roberta_small() -> Case:
    encoder = Encoder(layers=2, heads=2, d=8, intermediate=12, vocabulary=13, positions=10, types=1)
    theta = encoder.weights()
    ids = torch.randint(2, encoder.vocabulary, (3, 6))
    ids[1, -2:] = 1  # padding, which has a position of its own
    ids[2, 2] = 1  # and in the middle: those behind it count on
    mask = (ids != 1).to(torch.int64)
    return encoder.case("Roberta", {"model_type": "roberta", "eps": 1e-12}, theta, ids, mask, padding=1)
