"""Where torch's exporter loses what kpflow needs: numbers in double precision, recurrent layers as such."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnxscript
import torch

op: Any = onnxscript.opset18


def double_constants(model: onnx.ModelProto, module: torch.fx.GraphModule) -> None:
    """Python numbers of a double-precision module in double precision: the exporter rounds them to single, and casts them back."""
    written: dict[float, set[float]] = {}
    for node in module.graph.nodes:
        for number in _numbers((node.args, node.kwargs)):
            with np.errstate(over="ignore", under="ignore"):
                written.setdefault(float(np.float32(number)), set()).add(number)
    graph = model.graph
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    double = onnx.TensorProto.DOUBLE
    changed = set()

    def doubles(node: onnx.NodeProto) -> bool:
        """Whether it makes numbers in double precision of what it reads; torch.full's are of the module's."""
        if node.op_type == "Cast":
            return bool(onnx.helper.get_attribute_value(node.attribute[0]) == double)
        return node.op_type == "Expand"

    for node in graph.node:
        if node.op_type != "Constant" or not all(map(doubles, readers.get(node.output[0], []))):
            continue
        value = onnx.helper.get_attribute_value(node.attribute[0])
        if isinstance(value, onnx.TensorProto) and value.data_type == onnx.TensorProto.FLOAT:
            value = onnx.numpy_helper.to_array(value)
        if not isinstance(value, float | np.ndarray) or np.size(value) != 1:
            continue
        exact = written.get(float(np.asarray(value, "f4").item()), set())
        if len(exact) > 1:
            raise ValueError(
                f"the numbers {sorted(exact)} of the module are one in single precision, which the exporter goes through"
            )
        for number in exact:
            array = np.full(np.shape(value), number, "f8")
            node.ClearField("attribute")
            node.attribute.append(onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(array)))
            changed |= {node.output[0]} | {n.output[0] for n in readers.get(node.output[0], [])}
    for info in graph.value_info:
        if info.name in changed:
            info.type.tensor_type.elem_type = double


def _numbers(args: Any) -> Iterator[float]:
    """The floating-point numbers in the arguments of a node."""
    if isinstance(args, float):
        yield args
    elif isinstance(args, dict):
        yield from _numbers(tuple(args.values()))
    elif isinstance(args, tuple | list):
        for part in args:
            yield from _numbers(part)


def rnn(activation: str) -> Callable[..., Any]:
    """torch.nn.RNN as the operator RNN, one a layer, where the exporter would unroll it in time."""

    def translation(
        x: Any, hx: Any, params: Sequence[Any], has_biases: bool, num_layers: int, dropout: float, train: bool,
        bidirectional: bool, batch_first: bool,
    ) -> tuple[Any, Any]:  # fmt: skip
        ways, each, last = 1 + bidirectional, 2 + 2 * has_biases, []
        x = op.Transpose(x, perm=[1, 0, 2]) if batch_first else x
        for k in range(0, num_layers * ways, ways):
            sets = [params[each * i : each * (i + 1)] for i in range(k, k + ways)]
            w, r = (op.Concat(*[op.Unsqueeze(s[i], [0]) for s in sets], axis=0) for i in (0, 1))
            b = op.Concat(*[op.Unsqueeze(op.Concat(*s[2:], axis=0), [0]) for s in sets], axis=0) if has_biases else None
            way = "bidirectional" if bidirectional else "forward"
            options = {"hidden_size": params[1].shape[-1], "direction": way, "activations": [activation] * ways}
            y, h = op.RNN(x, w, r, b, None, op.Slice(hx, [k], [k + ways], [0]), **options)
            x = op.Reshape(op.Transpose(y, perm=[0, 2, 1, 3]), [0, 0, -1])  # the directions side by side
            last.append(h)
        return (op.Transpose(x, perm=[1, 0, 2]) if batch_first else x), op.Concat(*last, axis=0)

    return translation
