# A first look at one's own network, cell by cell: open it in VS Code, Spyder or Jupyter (jupytext), or run it as it is:
#
#     python3 scripts/example_notebook.py
#
# Trains a small GRU in torch, saves checkpoints, runs kpflow on all of them, and plots. Needs torch, h5py and safetensors; matplotlib
# for the figure. KPFLOW names the program, if it is not on the PATH or in target/release.

# %% A task: which of two noisy inputs was larger, to be told when the trial ends.
import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

try:
    root = Path(__file__).resolve().parents[1]
except NameError:  # in a notebook
    root = Path.cwd()
sys.path.insert(0, str(root / "scripts"))
from export_recurrent import export_recurrent  # noqa: E402
from read_results import read_all, table  # noqa: E402

torch.manual_seed(0)


def trials(count: int, steps: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(count, steps, 2)
    return x, torch.sign(x.sum(1)[:, :1] - x.sum(1)[:, 1:])


# %% A network: any module with one recurrent layer.
class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.readout = nn.GRU(2, 16, batch_first=True), nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.readout(self.rnn(x)[0][:, -1])


# %% Train it, and save checkpoints.
work = Path("example")
checkpoints = work / "checkpoints"
checkpoints.mkdir(parents=True, exist_ok=True)
network = Network()
optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
losses = []
for step in range(201):
    if step in (0, 20, 50, 100, 200):
        save_file(network.state_dict(), checkpoints / f"step{step}.safetensors")
    x, y = trials(64)
    loss = nn.functional.mse_loss(network(x), y)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    losses.append(loss.item())
print(f"loss {losses[0]:.3f} before, {sum(losses[-10:]) / 10:.3f} after training")

# %% Export: what the layer reads, and a job that runs on all checkpoints.
x, y = trials(24)
layer = export_recurrent(network, x, work / "gru", targets=y, weights=checkpoints / "step*.safetensors")
print(f"the recurrent layer is {layer!r}; the job is {work / 'gru.toml'}")

# %% Run kpflow. On a larger machine: mpirun -n 4 kpflow run example/gru.toml
kpflow = os.environ.get("KPFLOW") or shutil.which("kpflow") or str(root / "target/release/kpflow")
subprocess.run([kpflow, "run", str(work / "gru.toml")], check=True)

# %% Read the results: a list, stage after stage, and a table.
results = read_all(work / "gru.results.step*.h5")
for r in results:
    rank = r["effective_rank"]
    print(f"{r.stage:>8}: effective rank {rank.value:.2f} ± {rank.standard_error:.2f}, λ_1 {r['modes'].number:.4g}")
print(table(results))

# %% Plot.
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no matplotlib: no figure")
else:
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
    stages = [r.stage for r in results]
    values = [r["effective_rank"].value for r in results]
    left.errorbar(stages, values, [r["effective_rank"].standard_error for r in results], marker="o")
    left.set(title="effective rank of the NTK", ylim=(0, None))
    for r in results:
        middle.semilogy(r["modes"]["eigenvalues"], label=r.stage)
    middle.set(title="eigenvalues of the NTK", xlabel="mode")
    middle.legend()
    first = [1.0] + [r[f"alignment.ntk.{stages[0]}"].value for r in results[1:]]
    right.plot(stages, first, marker="o")
    right.set(title="alignment of the NTK with the first", ylim=(0, 1.05))
    figure.savefig(work / "figure.png", dpi=150)
    print(f"{work / 'figure.png'} written")
