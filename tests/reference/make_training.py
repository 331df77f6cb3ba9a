#!/usr/bin/env python3
"""Make tests/reference/training: gradients and whole trainings by torch, which `kpflow train` has to agree with.

    python3 tests/reference/make_training.py

For each kind (rnn, leaky_rnn, gru, lstm), in float64:
    KIND.safetensors   the initial weights, `rnn.…` and `readout.…`
    KIND.h5    datasets inputs [M, T, n_in], targets [M, T, n_out], mask [M, T] (weights between 0 and 2, some 0)
               gradient/NAME       of the masked mean squared error of the first 5 trajectories, for each tensor
               OPTIMIZER/loss, OPTIMIZER/final/NAME    after 12 steps of batches of 5: adam (with clipping), sgd (with momentum)
               where the batches go round: M = 12 is no multiple of 5
memory_pro.{safetensors,h5}: a gru of 16 units on MemoryPro (6 + 6 + 6 steps), 64 trajectories, Adam with rate 1e-2, 200 steps of
    16 trajectories: inputs, targets (float32), adam/loss
"""

from __future__ import annotations

from pathlib import Path

import h5py
import torch
from safetensors.torch import save_file
from torch_training import Net, masked_loss, memory_pro, train, weights

DATA = Path(__file__).resolve().parent / "training"
KINDS = ["rnn", "leaky_rnn", "gru", "lstm"]


def small(kind: str) -> None:
    torch.manual_seed(KINDS.index(kind))
    net = Net(kind, 3, 6, 2)
    initial = weights(net)
    data = torch.randn(12, 7, 3), torch.randn(12, 7, 2), 2 * torch.rand(12, 7) * (torch.rand(12, 7) > 0.3)
    save_file(initial, DATA / f"{kind}.safetensors")
    with h5py.File(DATA / f"{kind}.h5", "w") as file:
        for name, d in zip(["inputs", "targets", "mask"], data):
            file[name] = d.numpy()
        masked_loss(net(data[0][:5]), data[1][:5], data[2][:5]).backward()
        norm = sum(p.grad.square().sum() for p in net.parameters()).sqrt().item()
        for name, p in net.named_parameters():
            file[f"gradient/{name}"] = p.grad.numpy()
        for name in ["adam", "sgd"]:
            net.load_state_dict(initial)
            parameters = list(net.parameters())
            adam = name == "adam"
            optimizer = torch.optim.Adam(parameters, 0.02) if adam else torch.optim.SGD(parameters, 0.1, momentum=0.9)
            # Half of the first norm: steps that are clipped and, most likely, steps that are not.
            clip = round(norm / 2, 2) if adam else None
            file[f"{name}/loss"] = train(net, optimizer, data, 5, 12, clip)
            file[name].attrs["clip"] = clip or 0.0
            for tensor, p in weights(net).items():
                file[f"{name}/final/{tensor}"] = p.numpy()


def main() -> None:
    DATA.mkdir(exist_ok=True)
    torch.set_default_dtype(torch.float64)
    for kind in KINDS:
        small(kind)
    torch.manual_seed(7)
    data = tuple(d.float().double() for d in memory_pro(64, (6, 6, 6)))
    net = Net("gru", 3, 16, 3)
    save_file(weights(net), DATA / "memory_pro.safetensors")
    losses = train(net, torch.optim.Adam(net.parameters(), 1e-2), data, 16, 200, None)
    with h5py.File(DATA / "memory_pro.h5", "w") as file:
        for name, d in zip(["inputs", "targets"], data):
            file.create_dataset(name, data=d.float().numpy(), compression="gzip")
        file["adam/loss"] = losses
    print(f"memory_pro: the loss falls from {losses[0]:.4f} to {losses[-1]:.6f}")


if __name__ == "__main__":
    main()
