#!/usr/bin/env python3
"""Export the recurrent layer of a PyTorch module, with what it reads, as a native job of kpflow.

    from export_recurrent import export_recurrent
    export_recurrent(module, inputs, "out/name", targets=targets)     # then: kpflow run out/name.toml

writes three files:

    out/name.safetensors   module.state_dict(), by PyTorch's names
    out/name.h5            /inputs [B, T, n_in], what the layer reads when the module runs on `inputs`; /initial_state, if it is not
                           zero; /outputs [B, T, H], what the layer makes of them, with which `kpflow check` compares the model that
                           runs; /error_signal [B, T, N], if there are targets: how the loss changes with the state at every step
    out/name.toml          a job: trace, effective rank and modes of the NTK; and, with targets, learnability

The layer is the one nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell or nn.LSTMCell in the module, wherever it is: it is found by
itself, as is the prefix of its names. `inputs` is what the module is called with, a tensor, a numpy array or a list, or a tuple or
dictionary of them; what comes before the layer has been applied to /inputs already, and its weights are none of θ. With `weights = "checkpoints/*.safetensors"` the job
is one on a training run instead. Needs torch, h5py, safetensors.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from export_inputs import in_double, positional, record, tensor, tolerance
from safetensors.torch import save_file
from torch import Tensor, nn

LAYERS = {nn.RNN: "rnn", nn.GRU: "gru", nn.LSTM: "lstm", nn.RNNCell: "rnn", nn.GRUCell: "gru", nn.LSTMCell: "lstm"}
CELLS = (nn.RNNCell, nn.GRUCell, nn.LSTMCell)

JOB = """[model]
kind    = "{kind}"
weights = {weights}
{options}
[data]
inputs = "{name}.h5:/inputs"
{initial}{outputs}
[output]
file = "{name}.results.h5"

[[analysis]]
name     = "trace"
quantity = "trace"

[[analysis]]
name     = "effective_rank"
quantity = "effective_rank"
rtol     = 0.01

[[analysis]]
name     = "modes"
quantity = "eigenpairs"
count    = 20
rtol     = 1e-6
"""

LEARNABILITY = """
[[analysis]]
name     = "learnability"
quantity = "learnability"
with     = "{name}.h5:/error_signal"
count    = 20
rtol     = 1e-6
"""


def export_recurrent(
    module: nn.Module, inputs: Any, path: str | Path, *, targets: Any = None,
    loss: Callable[[Any, Tensor], Tensor] | None = None, layer: str | None = None,
    weights: str | Path | list[str] | None = None,
) -> str:  # fmt: skip
    """Write `path`.safetensors, `path`.h5 and `path`.toml, and return the layer's name in the module.

    `loss(module(*inputs), targets)` is what `targets` are for: the mean squared error unless said otherwise, or the cross entropy
    where they are whole numbers, the classes of an output whose last axis they lack. `layer` names the layer where there are several; `weights` is
    what the job says of them, if not the module's own: a pattern or a list of checkpoints, relative to the working directory (then no
    outputs are recorded: they would be the module's).
    """
    path, batch = Path(path), positional(module, inputs)
    targets = targets if targets is None else tensor(module, targets)
    name, recurrent = _find(module, layer)
    if getattr(recurrent, "proj_size", 0):
        raise ValueError(f"{name or 'the layer'} is a projected LSTM, which kpflow does not have")
    training = module.training
    module.eval()
    watch = _Cell(recurrent) if isinstance(recurrent, CELLS) else _Layer(recurrent)
    try:
        with torch.enable_grad():
            output = module(*batch)
            signal = None if targets is None else watch.signal((loss or _loss)(output, targets))
    finally:
        watch.remove()
        module.train(training)
    x, initial, outputs = watch.inputs(), watch.initial(), watch.outputs()

    path.parent.mkdir(parents=True, exist_ok=True)
    if weights is None:
        # Tensors that share memory would be refused: each is saved for itself.
        save_file({k: v.detach().clone().contiguous() for k, v in module.state_dict().items()}, f"{path}.safetensors")
    with h5py.File(f"{path}.h5", "w") as file:
        file["inputs"] = x
        if initial.any():
            file["initial_state"] = initial
        if signal is not None:
            file["error_signal"] = signal
        if weights is None:
            read = [x, initial] if initial.any() else [x]
            record(file, outputs, read, Path(f"{path}.safetensors"), tolerance(outputs, watch.outputs_in_double()))
    Path(f"{path}.toml").write_text(_job(path, name, recurrent, bool(initial.any()), signal is not None, weights))
    return name


def _loss(output: Tensor, targets: Tensor) -> Tensor:
    """Of numbers the mean squared error, of classes the cross entropy."""
    shapes = [list(getattr(x, "shape", [])) for x in (output, targets)]
    if shapes[0] == shapes[1]:
        return nn.functional.mse_loss(output, targets)
    if shapes[0][:-1] == shapes[1] and not (targets.is_floating_point() or targets.is_complex()):
        return nn.functional.cross_entropy(output.flatten(0, -2), targets.flatten().long())
    raise ValueError(
        f"the targets have shape {shapes[1]}, the module's output {shapes[0]}; targets are numbers of the output's shape, or classes, "
        f"whole numbers of shape {shapes[0][:-1]}; for another loss call export_recurrent(…, loss=) from Python"
    )


def _find(module: nn.Module, wanted: str | None) -> tuple[str, nn.Module]:
    found = {name: m for name, m in module.named_modules() if type(m) in LAYERS}
    if wanted is not None and wanted not in found:
        raise ValueError(f"the module has no recurrent layer {wanted!r}; it has {', '.join(found) or 'none'}")
    if wanted is None and len(found) != 1:
        raise ValueError(f"the module has {len(found)} recurrent layers ({', '.join(found)}); name one as layer=, or --layer")
    name = wanted if wanted is not None else next(iter(found))
    return name, found[name]


def _job(
    path: Path, name: str, layer: nn.Module, initial: bool, signal: bool, weights: str | Path | list[str] | None
) -> str:
    relative = lambda file: os.path.relpath(file, path.parent).replace(os.sep, "/")
    quoted = lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if weights is None:
        given = quoted(f"{path.name}.safetensors")
    elif isinstance(weights, str | Path):
        given = quoted(relative(weights))
    else:
        given = "[" + ", ".join(quoted(relative(w)) for w in weights) + "]"
    options = f"prefix  = {quoted(name + '.')}\n" if name else ""
    if getattr(layer, "nonlinearity", "tanh") == "relu":
        options += 'activation = "relu"\n'
    start = f'initial_state = "{path.name}.h5:/initial_state"\n' if initial else ""
    outputs = f'outputs = "{path.name}.h5:/outputs"\n' if weights is None else ""
    job = JOB.format(
        kind=LAYERS[type(layer)], weights=given, options=options, name=path.name, initial=start, outputs=outputs
    )
    return job + LEARNABILITY.format(name=path.name) if signal else job


def _several(state: Any) -> tuple[Tensor, ...]:
    """h, or h and c."""
    return state if isinstance(state, tuple) else (state,)


def _array(x: Tensor) -> np.ndarray:
    return x.detach().double().cpu().numpy()


class _Layer:
    """Sees what an nn.RNN, nn.GRU or nn.LSTM reads and writes: the output has no gradient but through what follows it."""

    def __init__(self, layer: Any) -> None:
        self.layer, self.calls = layer, 0
        self.hook = layer.register_forward_hook(self._called, with_kwargs=True)

    def _called(self, _: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
        self.calls += 1
        if self.calls > 1:
            raise ValueError("the recurrent layer is called several times; kpflow needs one call on all steps")
        x, start = (*args, *kwargs.values(), None)[:2]
        if isinstance(x, nn.utils.rnn.PackedSequence) or x.ndim != 3:
            raise ValueError("the recurrent layer should read one tensor of three axes, a batch of sequences of one length")
        self.x, self.start = x if self.layer.batch_first else x.transpose(0, 1), start
        self.out, last = output[0].detach().requires_grad_(), output[1]
        self.last = tuple(v.detach().requires_grad_() for v in _several(last))
        return self.out, self.last if isinstance(last, tuple) else self.last[0]

    def remove(self) -> None:
        self.hook.remove()

    def inputs(self) -> np.ndarray:
        if not self.calls:
            raise ValueError("the module does not call its recurrent layer")
        return _array(self.x)

    def outputs(self) -> np.ndarray:
        """[B, T, directions · H], in the layer's own precision."""
        return self._turned(self.out).detach().cpu().numpy()

    def outputs_in_double(self) -> np.ndarray | None:
        """What a float32 layer makes of the same in double precision."""
        x = self.x if self.layer.batch_first else self.x.transpose(0, 1)
        found = in_double(self.layer, (x.detach(),) if self.start is None else (x.detach(), self.start))
        return None if found is None else self._turned(found[0]).detach().cpu().numpy()

    def _turned(self, out: Tensor) -> Tensor:
        return out if self.layer.batch_first else out.transpose(0, 1)

    def initial(self) -> np.ndarray:
        """[B, layers · directions · (h, c)]."""
        zeros = tuple(torch.zeros_like(v) for v in self.last)
        state = torch.stack(zeros if self.start is None else _several(self.start))  # [parts, layers, B, H]
        return _array(state.permute(2, 1, 0, 3).reshape(state.shape[2], -1))

    def signal(self, loss: Tensor) -> np.ndarray:
        """∂L/∂z [B, T, N], z at other steps held: what reads the output, and what reads the last state."""
        given = torch.autograd.grad(loss, (self.out, *self.last), allow_unused=True)
        output, last = given[0], given[1:]
        (layers, b, h), parts = self.last[0].shape, len(self.last)
        directions = 1 + self.layer.bidirectional
        e = torch.zeros(b, self.x.shape[1], layers, parts, h, dtype=self.out.dtype)
        if output is not None:
            output = output if self.layer.batch_first else output.transpose(0, 1)
            e[:, :, layers - directions :, 0] += output.reshape(b, -1, directions, h)
        for part, g in enumerate(last):
            for i in range(layers if g is not None else 0):
                e[:, 0 if i % directions == 1 else -1, i, part] += g[i]
        return _array(e.reshape(b, e.shape[1], -1))


class _Cell:
    """Sees what a cell reads and writes, step by step: what it is given of the step before has no gradient."""

    def __init__(self, cell: Any) -> None:
        self.cell = cell
        self.x: list[Tensor] = []
        self.written: list[tuple[Tensor, ...]] = []
        self.start: Any = None
        before = cell.register_forward_pre_hook(self._before, with_kwargs=True)
        self.hooks = [before, cell.register_forward_hook(self._after)]

    def _before(self, _: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        x, state = (*args, *kwargs.values(), None)[:2]
        if x.ndim != 2:
            raise ValueError("the recurrent cell should read [B, n_in], a batch")
        if not self.x:
            self.start = state
        elif state is None or any(not torch.equal(a, b) for a, b in zip(_several(state), self.written[-1], strict=True)):
            raise ValueError("the cell is not called step after step, each with the state that the one before wrote")
        self.x.append(x)
        cut = tuple(v.detach() for v in _several(state)) if state is not None else None
        return (x, cut if isinstance(state, tuple) else cut and cut[0]), {}

    def _after(self, _: nn.Module, __: tuple, output: Any) -> Any:
        self.written.append(tuple(v.detach().requires_grad_() for v in _several(output)))
        return self.written[-1] if isinstance(output, tuple) else self.written[-1][0]

    def remove(self) -> None:
        for hook in self.hooks:
            hook.remove()

    def inputs(self) -> np.ndarray:
        if not self.x:
            raise ValueError("the module does not call its recurrent cell")
        return _array(torch.stack(self.x, 1))

    def outputs(self) -> np.ndarray:
        """[B, T, H], in the cell's own precision."""
        return torch.stack([step[0] for step in self.written], 1).detach().cpu().numpy()

    def outputs_in_double(self) -> np.ndarray | None:
        """What a float32 cell makes of the same in double precision."""
        cell, made = copy.deepcopy(self.cell).double(), []
        double = lambda state: tuple(v.double() for v in state) if isinstance(state, tuple) else state.double()
        state = None if self.start is None else double(self.start)
        with torch.no_grad():
            for x in self.x:
                state = cell(x.double(), state)
                made.append(_several(state)[0])
        return torch.stack(made, 1).cpu().numpy()

    def initial(self) -> np.ndarray:
        zeros = tuple(torch.zeros_like(v) for v in self.written[0])
        return _array(torch.cat(zeros if self.start is None else _several(self.start), -1))

    def signal(self, loss: Tensor) -> np.ndarray:
        flat = [v for step in self.written for v in step]
        given = torch.autograd.grad(loss, flat, allow_unused=True)
        filled = [torch.zeros_like(v) if g is None else g for v, g in zip(flat, given, strict=True)]
        parts = len(self.written[0])
        return _array(torch.stack([torch.cat(filled[i : i + parts], -1) for i in range(0, len(filled), parts)], 1))
