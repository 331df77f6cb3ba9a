#!/usr/bin/env python3
"""Make tests/reference/checkpoints: the golden GRU's weights as training scripts save them, and files that hold no plain weights.

    python3 tests/reference/make_checkpoints.py

nested.pt         {"epoch", "model_state_dict", "optimizer", "args"}: Adam's state and a Namespace beside the weights
views.pth         a plain state_dict whose matrices are views: transposed, and parts of one storage
two.pt            {"actor": …, "critic": …}: two models of which the prefix has to name one
lightning.ckpt    {"state_dict": {"model.rnn.…"}, "hyper_parameters", "callbacks"}
half.bin          bfloat16 weights, as pytorch_model.bin has them
legacy.pt         the format of torch before 1.6
module.pt         a whole module
script.pt         a TorchScript archive
sparse.pt         a state_dict of which one matrix is sparse
numbers.pt        a state_dict with a number of numpy's beside the weights
code.pt           a pickle that would run a command if it were executed
sharded-*, sharded.safetensors.index.json   the weights in two safetensors files
"""

from __future__ import annotations

import argparse
import json
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
OUT = HERE / "checkpoints"


class Command:
    """Pickled, it asks its reader to run a command."""

    def __reduce__(self):
        import os

        return os.system, ("touch executed",)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    warnings.simplefilter("ignore")
    plain = load_file(HERE.parent / "golden" / "gru.safetensors")
    named = {f"rnn.{k}": v for k, v in plain.items()}
    gru = torch.nn.GRU(3, 5, dtype=torch.float64)
    gru.load_state_dict(plain)
    optimizer = torch.optim.Adam(gru.parameters())
    gru(torch.zeros(2, 1, 3, dtype=torch.float64))[0].sum().backward()
    optimizer.step()
    state = {
        "epoch": 3,
        "model_state_dict": named,
        "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(lr=0.1, name="ü"),
        "rng_state": torch.arange(5, dtype=torch.uint8),
    }
    torch.save(state, OUT / "nested.pt")
    both = torch.cat([plain["weight_ih_l0"].flatten(), plain["weight_hh_l0"].flatten()])
    views = dict(plain)
    views["weight_ih_l0"] = both[:45].view(15, 3)
    views["weight_hh_l0"] = plain["weight_hh_l0"].T.contiguous().T
    views["bias_hh_l0"] = torch.stack([plain["bias_hh_l0"], torch.zeros(15, dtype=torch.float64)], 1)[:, 0]
    torch.save(views, OUT / "views.pth", pickle_protocol=4)
    torch.save({"actor": plain, "critic": {k: 2 * v for k, v in plain.items()}}, OUT / "two.pt")
    lightning = {f"model.{k}": torch.nn.Parameter(v) for k, v in named.items()}
    rest = {"hyper_parameters": {"lr": 0.1}, "callbacks": {}, "optimizer_states": [optimizer.state_dict()]}
    torch.save({"state_dict": lightning} | rest, OUT / "lightning.ckpt")
    torch.save({k: v.to(torch.bfloat16) for k, v in plain.items()}, OUT / "half.bin")
    torch.save(plain, OUT / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(gru, OUT / "module.pt")
    sparse = {k: v.to_sparse() if k == "weight_hh_l0" else v for k, v in plain.items()}
    torch.save(sparse, OUT / "sparse.pt")
    torch.save(plain | {"epoch": np.int64(3)}, OUT / "numbers.pt")
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(OUT / "script.pt"))
    with zipfile.ZipFile(OUT / "code.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"state_dict": Command()}, protocol=2))
    names = sorted(named)
    shards = {f"sharded-0000{i + 1}-of-00002.safetensors": names[i::2] for i in range(2)}
    for file, some in shards.items():
        save_file({k: named[k] for k in some}, OUT / file)
    index = {"metadata": {"total_size": 0}, "weight_map": {k: f for f, some in shards.items() for k in some}}
    (OUT / "sharded.safetensors.index.json").write_text(json.dumps(index, indent=1))


if __name__ == "__main__":
    main()
