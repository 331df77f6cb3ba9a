#!/usr/bin/env python3
"""Writes a checkpoint of zeros that takes no room: a header and a hole. `kpflow plan` needs no more.

    make_empty_checkpoint.py gpt2 FILE.safetensors LAYERS WIDTH VOCABULARY CONTEXT
    make_empty_checkpoint.py rnn|gru|lstm FILE.safetensors UNITS INPUTS
"""
import json, struct, sys

kind, path, sizes = sys.argv[1], sys.argv[2], [int(x) for x in sys.argv[3:]]
if kind == "gpt2":
    layers, d, vocabulary, context = sizes
    shapes = {"wte.weight": [vocabulary, d], "wpe.weight": [context, d], "ln_f.weight": [d], "ln_f.bias": [d]}
    for l in range(layers):
        for name, a, b in [("attn.c_attn", d, 3 * d), ("attn.c_proj", d, d), ("mlp.c_fc", d, 4 * d), ("mlp.c_proj", 4 * d, d)]:
            shapes |= {f"h.{l}.{name}.weight": [a, b], f"h.{l}.{name}.bias": [b]}
        for name in ["ln_1", "ln_2"]:
            shapes |= {f"h.{l}.{name}.weight": [d], f"h.{l}.{name}.bias": [d]}
else:
    h, n = sizes
    rows = {"rnn": 1, "gru": 3, "lstm": 4}[kind] * h
    shapes = {"weight_ih_l0": [rows, n], "weight_hh_l0": [rows, h], "bias_ih_l0": [rows], "bias_hh_l0": [rows]}
header, at = {}, 0
for name, shape in shapes.items():
    size = 4
    for axis in shape:
        size *= axis
    header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
    at += size
text = json.dumps(header).encode()
with open(path, "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text)
    f.truncate(8 + len(text) + at)
