"""The graph way: the same numbers as the native one."""

from __future__ import annotations

import subprocess
import sys

import h5py
import numpy as np
import pytest
from read_results import read

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")

from export_inputs import positional  # noqa: E402
from export_torch import export  # noqa: E402
from torch import nn  # noqa: E402


class Numbers(nn.Module):
    """Python numbers in every place that the exporter rounds. An attribute is single precision by the standard: eps is a power of two."""

    def __init__(self):
        super().__init__()
        self.l, self.n = nn.Linear(3, 4), nn.LayerNorm(4, eps=2**-10)

    def forward(self, x):
        h = self.n(self.l(x) * 0.1 + 1 / 3)
        h = h / (h.norm(dim=-1, keepdim=True) + 1e-3) + torch.where(h > 0.1, h, 0.123) + torch.pow(h.abs() + 0.1, 0.3)
        return nn.functional.softplus(h - 0.7, beta=1.3) + torch.full_like(h, 0.21) + torch.tensor(1 / 7, dtype=h.dtype)


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.l, self.n, self.m = nn.Linear(3, 8), nn.LayerNorm(8, eps=1e-2), nn.Linear(8, 2)

    def forward(self, x):
        return self.m(self.n(nn.functional.gelu(3 * self.l(x))))


def test_a_graph_and_a_layer_have_one_trace(tmp_path, kpflow, scripts):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "class First(torch.nn.Module):\n"
        "    def __init__(self): super().__init__(); torch.manual_seed(0); self.rnn = torch.nn.GRU(2, 4, batch_first=True)\n"
        "    def forward(self, x): return self.rnn(x)[0]\n"
        "def model(): return First().double()\n"
        "def inputs(): torch.manual_seed(1); return torch.randn(3, 5, 2).double()\n"
    )
    arguments = [f"{tmp_path}/mine.py:{name}" for name in ("model", "inputs")]
    for flags, name in [([], "graph"), (["--recurrent"], "layer")]:
        command = [sys.executable, scripts / "export_torch.py", *flags, *arguments, tmp_path / name]
        subprocess.run(command, check=True, capture_output=True)
        kpflow("run", tmp_path / f"{name}.toml", "--output", tmp_path / f"{name}_out.h5")
    graph, layer = (read(tmp_path / f"{name}_out.h5") for name in ("graph", "layer"))
    assert graph["ntk_trace"].value == pytest.approx(layer["trace"].value, rel=1e-10)


def test_numbers_are_double(tmp_path, kpflow):
    torch.manual_seed(0)
    module, x = Numbers().double(), torch.randn(5, 3).double()
    model = export(module, x, tmp_path / "net")
    right = module(x).detach().numpy()
    found = onnx.reference.ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x[:1].numpy()})[0]
    assert np.abs(found - right[:1]).max() < 1e-13
    assert "output " in kpflow("check", tmp_path / "net.toml")
    # An eps that single precision rounds is read as it was written.
    module.n.eps = 1e-2
    export(module, x, tmp_path / "eps")
    found = kpflow("check", tmp_path / "eps.toml").split("against what was recorded: ")[1]
    assert float(found.split()[0]) < 1e-12, found
    kinds = {onnx.helper.get_attribute_value(n.attribute[0]).data_type for n in model.graph.node
             if n.op_type == "Constant" and n.attribute[0].name == "value" and n.attribute[0].t.dims == []}  # fmt: skip
    assert onnx.TensorProto.DOUBLE in kinds

    class Near(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.Linear(3, 2)

        def forward(self, x):
            return self.l(x) * 0.1 + self.l(x) * (0.1 + 1e-12)

    with pytest.raises(ValueError, match="are one in single precision"):
        export(Near().double(), x, tmp_path / "near")


def test_inputs_as_they_come(tmp_path):
    torch.manual_seed(0)
    module, x = Blocks(), np.random.default_rng(0).normal(size=(4, 3))
    right = module(torch.tensor(x).float()).detach().numpy()
    forms = {
        "array": x, "big": x.astype(">f8"), "fortran": np.asfortranarray(x), "strided": np.repeat(x, 2, 0)[::2], "list": x.tolist(),
        "trials": list(x), "tensors": list(torch.tensor(x).float()), "tuple": (x,), "names": {"x": x}, "long": x.astype(np.longdouble),
        "reverse": x[::-1][::-1],
    }  # fmt: skip
    for name, given in forms.items():
        (made,) = positional(module, given)
        assert made.dtype == torch.float32 and np.array_equal(made.numpy(), x.astype("f4")), name
    export(module, list(x), tmp_path / "trials")
    with h5py.File(tmp_path / "trials.h5") as file:
        assert file["inputs"].shape == (4, 3) and file["inputs"].dtype == "f4"
        assert np.abs(file["outputs"][:] - right).max() < 1e-6

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.e, self.l = nn.Embedding(5, 3), nn.Linear(3, 2)

        def forward(self, tokens, scale):
            return self.l(self.e(tokens)) * scale[:, None, None]

    tokens, scale = np.array([[0, 4, 1], [2, 2, 3]], ">i4"), [0.5, 2.0]
    for given in ((tokens, scale), [tokens, scale], {"scale": scale, "tokens": tokens}):
        made = positional(Two(), given)
        assert [m.dtype for m in made] == [torch.int32, torch.float32] and made[0][1].tolist() == [2, 2, 3]
    export(Two(), {"scale": scale, "tokens": tokens}, tmp_path / "two")
    with h5py.File(tmp_path / "two.h5") as file:
        assert file["inputs/tokens"].dtype == "i4" and file["inputs/scale"].dtype == "f4"
        assert file["inputs/tokens"][1].tolist() == [2, 2, 3]
    for given, match in [
        ({"y": x}, "the inputs name y; forward takes x"),
        ([[1.0, 2.0], [3.0]], r"trials differ in shape"),
        (np.array(["a"]), "inputs are numbers"),
        (3.0, "single number"),
        ((x, x[:2]), "differ in their leading dimension"),
    ]:
        with pytest.raises((TypeError, ValueError), match=match):
            export(module, given, tmp_path / "wrong")


def test_what_is_no_graph_says_why(tmp_path):
    class Random(Blocks):
        def forward(self, x):
            return super().forward(nn.functional.dropout(x, 0.5, training=True))

    class Counting(Blocks):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x):
            self.count += 1
            return super().forward(x) + self.count

    class Mixed(Blocks):
        def forward(self, x):
            return super().forward(x - x.mean(0))

    class Wrong(Blocks):
        """Its graph has another constant: what the exporter sees is not what runs."""

        def forward(self, x):
            return super().forward(x) * (1.25 if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export() else 1.0)

    x = torch.randn(4, 3)
    for kind, error, match in [
        (Random, ValueError, "differ by .* of the largest output: it draws random numbers"),
        (Counting, ValueError, "differ by .* it changes count as it runs"),
        (Mixed, ValueError, "not independent .* output differs by"),
        (Wrong, RuntimeError, r"output \w+ \(number 0\) of trajectory 0 differs by .* at index \[0, \d\], 0.25 of the largest output; likely causes: "),
    ]:
        with pytest.raises(error, match=match):
            export(kind(), x, tmp_path / "wrong")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("precision", ["f32", "f64"])
def test_check_finds_another_graph(precision, tmp_path, kpflow, attempt):
    torch.manual_seed(0)
    module, x = Blocks(), torch.randn(4, 3)
    if precision == "f64":
        module, x = module.double(), x.double()
    export(module, x, tmp_path / "net")
    job = tmp_path / "net.toml"
    assert "ok     output " in kpflow("check", job)
    text = job.read_text()
    job.write_text(text.replace("[data]", 'state = "sites"\n[data]'))
    assert "ok     output " in kpflow("check", job)

    def tamper(change) -> str:
        model = onnx.load(tmp_path / "net.onnx")
        change(model.graph)
        onnx.save(model, tmp_path / "other.onnx")
        job.write_text(text.replace('weights = "net.onnx"', 'weights = "other.onnx"'))
        done = attempt("check", job)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr

    def attribute(operator, name, value):
        def change(graph):
            node = next(n for n in graph.node if n.op_type == operator)
            for i in [i for i, a in enumerate(node.attribute) if a.name == name]:
                del node.attribute[i]
            node.attribute.append(onnx.helper.make_attribute(name, value))

        return change

    def weight(graph):
        tensor = next(t for t in graph.initializer if t.name == "m.weight")
        numbers = onnx.numpy_helper.to_array(tensor).copy()
        numbers[1, 3] *= 1.001
        tensor.CopyFrom(onnx.numpy_helper.from_array(numbers, tensor.name))

    for change in (attribute("LayerNormalization", "epsilon", 1.01e-2), attribute("Gelu", "approximate", "tanh"), weight):
        line = tamper(change)
        assert "is not the one whose outputs were recorded" in line and "has changed since" in line, line
        assert "trajectory" in line and "tolerance" in line and line.count("\n") == 1, line
    # Other inputs are no other model.
    with h5py.File(tmp_path / "net.h5", "a") as file:
        file["inputs"][0, 0] += 1
    job.write_text(text)
    done = attempt("check", job)
    assert done.returncode == 2 and "was recorded of other inputs than the job's" in done.stderr, done.stderr
