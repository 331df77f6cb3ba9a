"""What the tensors of an exported graph are called: as the module calls them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

import onnx
import torch

UNTRAINED = "no parameter of the module has requires_grad; call module.requires_grad_(), or name parameters="


def without_prefix(model: onnx.ModelProto, prefix: str) -> None:
    """Initialisers under their names in the module itself."""
    own = {i.name for i in model.graph.initializer if i.name.startswith(prefix)}

    def called(name: str) -> str:
        return name.removeprefix(prefix) if name in own else name

    for item in (*model.graph.initializer, *model.graph.value_info, *model.graph.input):
        item.name = called(item.name)
    for node in model.graph.node:
        node.input[:] = [called(name) for name in node.input]


def call_inputs(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """Inputs under the names of forward's arguments."""
    taken = {name for node in graph.node for name in node.output} | {i.name for i in graph.initializer}
    if len(names) != len(graph.input) or taken & set(names):
        return
    called = {i.name: name for i, name in zip(graph.input, names, strict=True)}
    for i in graph.input:
        i.name = called[i.name]
    for node in graph.node:
        node.input[:] = [called.get(name, name) for name in node.input]


def name_layers(graph: onnx.GraphProto) -> None:
    """What a linear layer that is used once gives is called as the layer is: `fc`, of fc.weight and fc.bias."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    taken = set(readers) | {name for node in graph.node for name in node.output}
    called: dict[str, str] = {}
    for weight in (i.name for i in graph.initializer if i.name.endswith(".weight")):
        layer, name = weight.removesuffix(".weight"), weight
        for kinds in ({"Transpose"}, {"MatMul", "Gemm"}, {"Add"}):
            next_ = readers.get(name, [])
            bias = kinds != {"Add"} or any(f"{layer}.bias" in node.input for node in next_)
            if len(next_) == 1 and next_[0].op_type in kinds and bias:
                name = next_[0].output[0]
        last = next((node for node in graph.node if name in node.output), None)
        if last is not None and last.op_type != "Transpose" and layer not in taken:
            called[name] = layer
    for node in graph.node:
        node.input[:] = [called.get(name, name) for name in node.input]
        node.output[:] = [called.get(name, name) for name in node.output]
    for info in (*graph.output, *graph.value_info):
        info.name = called.get(info.name, info.name)


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
