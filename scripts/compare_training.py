#!/usr/bin/env python3
"""Train a GRU on MemoryPro by torch and by `kpflow train`, from the same weights on the same batches, and compare.

    python3 scripts/compare_training.py [--kpflow PATH] [--steps 1000] [--hidden 64] [--batch 32] [--threads 2] [--precision f32]

Prints both losses along the way, their ratio at the end (the mean of the last 50 steps), and steps a second. The gradient of the first
batch is compared too, in float64. Ends with status 1 where the losses at the end differ by more than 10 % or the gradients by more than 1e-6.
Needs torch, h5py and safetensors.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "reference"))
from torch_training import Net, masked_loss, memory_pro, train, weights  # noqa: E402


def job(directory: Path, options: argparse.Namespace, precision: str, training: str, output: str) -> list[str]:
    """Writes a training's job file; returns the command that runs it."""
    path = directory / f"{output}.toml"
    path.write_text(
        '[model]\nkind = "gru"\nweights = "init.safetensors"\n'
        '[data]\ninputs = "data.h5:/inputs"\ntargets = "data.h5:/targets"\n'
        f'[training]\nbatch = {options.batch}\n{training}\n[compute]\nprecision = "{precision}"\n[output]\ndirectory = "{output}"\n'
    )
    return [options.kpflow, "train", str(path), "--threads", str(options.threads), "--quiet"]


def gradient_error(directory: Path, options: argparse.Namespace, net: Net, data: tuple[torch.Tensor, ...]) -> float:
    """The largest difference of two gradients, over the largest number of the tensor's: one step of plain descent tells kpflow's."""
    subprocess.run(job(directory, options, "f64", 'optimizer = "sgd"\nlearning_rate = 1\nsteps = 1', "one"), check=True)
    after = load_file(directory / "one" / "checkpoints" / "step_000001.safetensors")
    net = net.double()
    net.zero_grad()
    x, y, mask = (d[: options.batch].double() for d in data)
    masked_loss(net(x), y, mask).backward()
    errors = [((p.detach() - after[n] - p.grad).abs().max() / p.grad.abs().max()).item() for n, p in net.named_parameters()]
    return max(errors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kpflow", default=str(ROOT / "target" / "release" / "kpflow"))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--precision", choices=["f32", "f64"], default="f32")
    options = parser.parse_args()

    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    data = memory_pro(options.steps * options.batch, (30, 30, 30))
    net = Net("gru", 3, options.hidden, 3)
    initial = weights(net)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        save_file(initial, directory / "init.safetensors")
        with h5py.File(directory / "data.h5", "w") as file:
            file["inputs"], file["targets"] = data[0].numpy(), data[1].numpy()
        error = gradient_error(directory, options, net, data)
        print(f"gradient of the first batch, float64: largest difference {error:.1e} of a tensor's largest number")

        dtype = {"f32": torch.float32, "f64": torch.float64}[options.precision]
        data = tuple(d.to(dtype) for d in data)
        net = net.to(dtype)
        net.load_state_dict(initial)
        started = time.perf_counter()
        theirs = train(net, torch.optim.Adam(net.parameters(), options.learning_rate), data, options.batch, options.steps, None)
        seconds = time.perf_counter() - started
        lines = f"learning_rate = {options.learning_rate}\nsteps = {options.steps}"
        command = job(directory, options, options.precision, lines, "all")
        started = time.perf_counter()
        subprocess.run(command, check=True)
        own_seconds = time.perf_counter() - started
        with open(directory / "all" / "loss.csv") as file:
            ours = [float(row["loss"]) for row in csv.DictReader(file)]

    assert len(ours) == len(theirs) == options.steps
    print(f"{'step':>6} {'torch':>12} {'kpflow':>12}")
    for step in sorted({1, *range(0, options.steps + 1, max(1, options.steps // 10))} - {0}):
        print(f"{step:6} {theirs[step - 1]:12.6e} {ours[step - 1]:12.6e}")
    last = min(50, options.steps)
    end = sum(ours[-last:]) / sum(theirs[-last:])
    print(f"the last {last} steps: kpflow / torch = {end:.4f}")
    rates = options.steps / seconds, options.steps / own_seconds
    print(f"{options.threads} threads, {options.precision}: torch {rates[0]:.1f} steps/s, kpflow {rates[1]:.1f} steps/s (its start and files included)")
    if abs(end - 1) > 0.1 or error > 1e-6:
        sys.exit("they differ")


if __name__ == "__main__":
    main()
