"""Any torch module as a model of a job: the graph that torch's exporter makes of it, in memory."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ._modules import Described

_NEEDS = "this module is read through torch's exporter, which needs onnx and onnxscript: pip install onnx onnxscript"


def exported(module: Any, inputs: Any, precision: str, keys: Mapping[str, Any]) -> Described:
    """A module that is none of the native kinds, on inputs as forward takes them.

    Its state, unless said, is that of its recurrent layers and loops, else its output.
    """
    torch = sys.modules["torch"]
    try:
        from .exporter.graph import export
    except ImportError as e:
        raise ValueError(f"{_NEEDS} ({e})") from e
    names = [name for name, _ in module.named_parameters(remove_duplicate=False)] if keys.get("parameters") else None
    made = export(
        module, inputs, dtype=torch.float64 if precision == "f64" else torch.float32, parameters=names, stacklevel=4
    )
    model: dict[str, Any] = {"kind": "onnx"}
    states = _recurrent_states(made.graph.graph.node)
    if keys.get("state") is None and keys.get("readout") is None and states:
        model["state"] = states
    given = made.inputs if len(made.inputs) > 1 else next(iter(made.inputs.values()))
    return Described(model, graph=made.graph.SerializeToString(), inputs=lambda _: given, outputs=made.outputs)


def _recurrent_states(nodes: Any) -> list[str]:
    """The names of the states of a graph's recurrent layers, as patterns."""
    found: dict[str, None] = {}
    for node in nodes:
        if node.op_type in ("RNN", "GRU", "LSTM"):
            way = next((a.s.decode() for a in node.attribute if a.name == "direction"), "forward")
            ends = {"forward": [""], "reverse": ["_reverse"], "bidirectional": ["", "_reverse"]}[way]
            found |= {f"*.{state}{end}": None for state in ("hc" if node.op_type == "LSTM" else "h") for end in ends}
    return list(found)
