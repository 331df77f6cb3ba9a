"""What the tensors of an exported graph are called: as the module calls them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

import onnx
import torch

UNTRAINED = "no parameter of the module has requires_grad; call module.requires_grad_(), or name parameters="


def rename(graph: onnx.GraphProto, called: dict[str, str]) -> None:
    """Tensors under other names, wherever they stand."""
    for item in (*graph.initializer, *graph.value_info, *graph.input, *graph.output):
        item.name = called.get(item.name, item.name)
    for node in graph.node:
        node.input[:] = [called.get(name, name) for name in node.input]
        node.output[:] = [called.get(name, name) for name in node.output]


def without_prefix(model: onnx.ModelProto, prefix: str) -> None:
    """Initialisers under their names in the module itself."""
    own = (i.name for i in model.graph.initializer if i.name.startswith(prefix))
    rename(model.graph, {name: name.removeprefix(prefix) for name in own})


def call_inputs(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """Inputs under the names of forward's arguments."""
    taken = {name for node in graph.node for name in node.output} | {i.name for i in graph.initializer}
    if len(names) == len(graph.input) and not taken & set(names):
        rename(graph, {i.name: name for i, name in zip(graph.input, names, strict=True)})


def name_layers(graph: onnx.GraphProto) -> None:
    """What a linear layer that is used once gives is called as the layer is: `fc`, of fc.weight and fc.bias."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    taken = set(readers) | {name for node in graph.node for name in node.output}
    called: dict[str, str] = {}
    for weight in (i.name for i in graph.initializer if i.name.endswith(".weight")):
        layer, name, last = weight.removesuffix(".weight"), weight, "Transpose"
        for kinds in ({"Transpose"}, {"MatMul", "Gemm"}, {"Add"}):
            next_ = readers.get(name, [])
            bias = kinds != {"Add"} or any(f"{layer}.bias" in node.input for node in next_)
            if len(next_) == 1 and next_[0].op_type in kinds and bias:
                name, last = next_[0].output[0], next_[0].op_type
        if last != "Transpose" and layer not in taken:
            called[name] = layer
    rename(graph, called)


def parameter_names(
    module: torch.nn.Module, model: onnx.ModelProto, wanted: Iterable[str] | None, stacklevel: int
) -> list[str]:
    """The initialisers that hold the wanted parameters; of a shared parameter, the name the exporter chose."""
    initialisers = {i.name for i in model.graph.initializer}
    aliases: dict[torch.Tensor, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        aliases.setdefault(parameter, []).append(name)
    known = {name: names for names in aliases.values() for name in names}
    trained = [name for name, p in module.named_parameters(remove_duplicate=False) if p.requires_grad]
    if wanted is None and known and not trained:
        raise ValueError(UNTRAINED)
    found: dict[str, None] = {}
    for name in trained if wanted is None else wanted:
        present = [alias for alias in known[name] if alias in initialisers]
        if len(present) > 1:
            raise ValueError(f"a shared parameter was exported more than once: {present}")
        if not present:
            warnings.warn(f"the output does not read the parameter {name}", stacklevel=stacklevel + 2)
        found.update(dict.fromkeys(present))
    return list(found)
