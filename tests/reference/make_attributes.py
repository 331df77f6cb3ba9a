#!/usr/bin/env python3
"""Every attribute that ONNX lists for an operator that `kind = "onnx"` reads, and what it does.

    python3 tests/reference/make_attributes.py

Writes kpflow-hpc/src/onnx/attributes.txt (operator, version, attribute, type, default: from onnx.defs) and
tests/reference/attributes.jsonl: for every one of them at least one small model in which it is not its default, its input, and
the output by onnxruntime, or by onnx's reference where that lacks it; none where neither runs it. The parameter of each model is
the gain `g` before the operator. Needs onnx, onnxruntime, numpy.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnx.defs
import onnx.reference
import onnxruntime
from onnx import TensorProto as T
from onnx import helper as oh
from onnx import numpy_helper as nh

warnings.filterwarnings("ignore")
onnxruntime.set_default_logger_severity(4)
HERE = Path(__file__).resolve().parent
TABLE = HERE.parent.parent / "kpflow-hpc/src/onnx/attributes.txt"
OPERATORS = """Abs Add And AveragePool BatchNormalization Cast CastLike Ceil Clip Concat Constant ConstantOfShape Conv Cos CumSum
DepthToSpace Div Dropout Einsum Elu Equal Erf Exp Expand Flatten Floor GRU Gather GatherElements Gelu Gemm GlobalAveragePool
GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity If InstanceNormalization IsNaN LSTM
LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop MatMul Max MaxPool Mean Min Mish Mod Mul Neg Not Or PRelu Pad Pow
RMSNormalization RNN Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
ReduceSum ReduceSumSquare Relu Reshape Resize Round Scan Selu SequenceAt SequenceConstruct Shape Sigmoid Sign Sin Size Slice Softmax
Softplus SpaceToDepth Split SplitToSequence Sqrt Squeeze Sub Sum Swish Tanh Tile Transpose Trilu Unsqueeze Where Xor""".split()
rng = np.random.default_rng(0)
f = lambda *s: rng.normal(size=s).round(2).astype("f4")
i = lambda *v: np.array(v, dtype="i8")


def listed():
    """(operator, since, attribute, type, default) of every version."""
    for s in onnx.defs.get_all_schemas_with_history():
        if s.domain or s.name not in OPERATORS or s.deprecated:
            continue
        for name, a in s.attributes.items():
            none = a.default_value.type == 0
            default = "-" if a.required else "?" if none else oh.get_attribute_value(a.default_value)
            default = default.decode() if isinstance(default, bytes) else default
            if isinstance(default, list):
                default = ",".join(d.decode() if isinstance(d, bytes) else str(d) for d in default)
            yield s.name, s.since_version, name, str(a.type).split(".")[-1], str(default)


def sub(kind):
    """The graphs of If, Loop and Scan."""
    v = lambda n, s, t=T.FLOAT: oh.make_tensor_value_info(n, t, s)
    if kind == "Loop":
        nodes = [oh.make_node("Tanh", ["s"], ["s2"]), oh.make_node("Identity", ["c"], ["c2"])]
        ins = [v("it", [], T.INT64), v("c", [], T.BOOL), v("s", [1, 4])]
        return oh.make_graph(nodes, "body", ins, [v("c2", [], T.BOOL), v("s2", [1, 4]), v("s2b", [1, 4])][:2])
    if kind == "Scan":
        nodes = [oh.make_node("Add", ["s", "e"], ["s2"]), oh.make_node("Identity", ["s2"], ["o"])]
        return oh.make_graph(nodes, "body", [v("s", [3]), v("e", [3])], [v("s2", [3]), v("o", [3])])
    return oh.make_graph([oh.make_node(kind, ["x"], ["z"])], "branch", [], [v("z", None)])


def reductions():
    for n in "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare".split():
        yield f"Reduce{n}", dict(x=np.abs(f(1, 3, 4)) + 0.5, attrs=dict(axes=[1]), vary=dict(axes=[[1], [0, 2], [-1]], keepdims=[0]))
        yield f"Reduce{n}", dict(x=np.abs(f(1, 3, 4)) + 0.5, more=[i()], vary=dict(noop_with_empty_axes=[1]))


def recurrent():
    for kind, gates, acts in (("RNN", 1, ["Tanh"]), ("GRU", 3, ["Sigmoid", "Tanh"]), ("LSTM", 4, ["Sigmoid", "Tanh", "Tanh"])):
        w = lambda d: [0.5 * f(d, gates * 3, 2), 0.5 * f(d, gates * 3, 3), 0.2 * f(d, 2 * gates * 3)]
        base = dict(hidden_size=3, linear_before_reset=1) if kind == "GRU" else dict(hidden_size=3)
        one = dict(x=f(4, 1, 2), more=w(1), attrs=base)
        vary = dict(
            hidden_size=[3, 5], direction=["reverse", "forward"], clip=[0.1], activation_alpha=[[0.5] * len(acts)],
            activation_beta=[[0.5] * len(acts)], output_sequence=[1],
            activations=[acts, ["Relu"] + acts[1:], ["Softsign"] + acts[1:], ["HardSigmoid"] + acts[1:]],
        )  # fmt: skip
        if kind == "GRU":
            vary["linear_before_reset"] = [1, 0]
        if kind == "LSTM":
            vary["input_forget"] = [1]
        yield kind, dict(one, vary=vary)
        yield kind, dict(one, more=w(2), vary=dict(direction=["bidirectional", "forward"]))
        yield kind, dict(one, x=f(1, 4, 2), vary=dict(layout=[1]))


def specs():
    """Of every operator: the first input `x`, more inputs (fixed), attributes, and the values that each attribute is given."""
    memory = dict(vary=dict(consumed_inputs=[[0, 0]]))
    for n in "Abs Ceil Exp Floor Log Neg Reciprocal Relu Sigmoid Sqrt Tanh".split():
        yield n, dict(x=np.abs(f(1, 4)) + 0.3, **memory)
    for n in "Add Sub Mul Div".split():
        yield n, dict(x=f(1, 2, 3), more=[np.abs(f(1, 2, 3)) + 1], **memory)
    for n in "Add Sub Mul Div Pow Equal Greater Less And Or Xor".split():
        spec = dict(x=np.abs(f(1, 2, 3)) + 0.2, bool=n in ("And", "Or", "Xor"), int=n == "Equal")
        yield n, dict(spec, more=[np.abs(f(2)) + 0.5], attrs=dict(broadcast=1), vary=dict(axis=[1]))
        yield n, dict(spec, more=[np.abs(f(3)) + 0.5], vary=dict(broadcast=[1]))
    for n in "Max Min Mean Sum".split():
        yield n, dict(x=f(1, 4), more=[f(1, 4)], **memory)
    pool = dict(auto_pad=["SAME_UPPER", "SAME_LOWER", "VALID"], ceil_mode=[1], dilations=[[2, 1]], kernel_shape=[[2, 3]], pads=[[1, 0, 1, 1]],
                strides=[[2, 3]])  # fmt: skip
    for n, own in (("AveragePool", dict(count_include_pad=[1])), ("MaxPool", dict(storage_order=[1]))):
        yield n, dict(x=f(1, 2, 6, 8), attrs=dict(kernel_shape=[2, 2], strides=[2, 2]), vary={**pool, **own})
        yield n, dict(x=f(1, 2, 5, 7), attrs=dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1),
                      vary={k: v for k, v in own.items()})  # fmt: skip
    conv = {k: v for k, v in pool.items() if k not in ("ceil_mode", "kernel_shape")}
    yield "Conv", dict(x=f(1, 2, 6, 7), more=[f(3, 2, 3, 3), f(3)], vary=dict(conv, kernel_shape=[[3, 3], [2, 3]]))
    yield "Conv", dict(x=f(1, 4, 5, 5), more=[f(6, 2, 3, 3)], vary=dict(group=[2]))
    norm = [np.ones(3, "f4") * 1.5, f(3), f(3), np.abs(f(3)) + 0.5]
    yield "BatchNormalization", dict(
        x=f(1, 3, 5), more=norm, attrs=dict(), vary=dict(epsilon=[0.1], momentum=[0.5], training_mode=[1], spatial=[0], is_test=[1],
                                                         consumed_inputs=[[0, 0, 0, 1, 1]]))  # fmt: skip
    yield "Cast", dict(x=4 * f(1, 6), vary=dict(to=[T.INT64, T.INT32, T.UINT8, T.BOOL, T.DOUBLE, T.FLOAT16, T.FLOAT8E4M3FN, T.STRING, T.INT4],
                                                saturate=[0], round_mode=["down"]), attrs=dict(to=T.INT32))  # fmt: skip
    yield "CastLike", dict(x=4 * f(1, 6), more=[i(1)], vary=dict(saturate=[0], round_mode=["down"]))
    yield "Clip", dict(x=f(1, 8), vary=dict(min=[-0.3], max=[0.4], **memory["vary"]))
    yield "Concat", dict(x=f(1, 2, 3), more=[f(1, 2, 3)], attrs=dict(axis=1), vary=dict(axis=[2, -2]))
    yield "ConstantOfShape", dict(x=i(1, 3), known=True, vary=dict(value=[np.array([2.5], "f4"), i(3)]))
    yield "CumSum", dict(x=f(1, 2, 4), more=[np.array(2)], vary=dict(exclusive=[1], reverse=[1]))
    yield "CumSum", dict(x=f(1, 2, 4), more=[np.array(1)], attrs=dict(exclusive=1), vary=dict(reverse=[1]))
    yield "DepthToSpace", dict(x=f(1, 8, 2, 3), attrs=dict(blocksize=2), vary=dict(mode=["CRD", "DCR"], blocksize=[2]))
    yield "SpaceToDepth", dict(x=f(1, 2, 4, 6), attrs=dict(blocksize=2), vary=dict(mode=["CRD", "DCR"], blocksize=[2]))
    yield "Dropout", dict(x=f(1, 4), attrs=dict(is_test=1), vary=dict(ratio=[0.9], seed=[3], is_test=[1, 0], consumed_inputs=[[0]]))
    yield "Einsum", dict(x=f(1, 3, 4), more=[f(4, 2)], attrs=dict(equation="bij,jk->bik"), vary=dict(equation=["bij,jk->bki", "bij,jk->bk"]))
    yield "Elu", dict(x=f(1, 8), vary=dict(alpha=[0.3], **memory["vary"]))
    yield "Flatten", dict(x=f(1, 2, 3, 2), vary=dict(axis=[2, 0, -1]))
    yield "Gather", dict(x=f(1, 3, 4), more=[i(2, 0)], vary=dict(axis=[1, -1]), attrs=dict(axis=1))
    yield "GatherElements", dict(x=f(1, 3, 4), more=[np.array([[[2, -1, 0, 1]]])], vary=dict(axis=[1, 2]), attrs=dict(axis=1))
    yield "Gelu", dict(x=f(1, 6), vary=dict(approximate=["tanh", "none"]))
    yield "Gemm", dict(x=f(1, 3), more=[f(3, 4), f(4)], vary=dict(alpha=[0.5], beta=[2.0], broadcast=[1]))
    yield "Gemm", dict(x=f(1, 3), more=[f(4, 3), f(4)], attrs=dict(transB=1), vary=dict(transB=[1]))
    yield "Gemm", dict(x=f(3, 1), more=[f(3, 4)], attrs=dict(transA=1), vary=dict(transA=[1]))
    yield "GroupNormalization", dict(x=f(1, 4, 5), more=[f(4), f(4)], attrs=dict(num_groups=2), vary=dict(epsilon=[0.3], num_groups=[4, 2], stash_type=[10]))
    yield "InstanceNormalization", dict(x=f(1, 3, 5), more=[f(3), f(3)], vary=dict(epsilon=[0.3], **memory["vary"]))
    for n in ("LayerNormalization", "RMSNormalization"):
        yield n, dict(x=f(1, 3, 4), more=[f(4)], vary=dict(epsilon=[0.3], stash_type=[10], axis=[2]))
        yield n, dict(x=f(1, 3, 4), more=[f(3, 4)], vary=dict(axis=[1, -2]))
    yield "HardSigmoid", dict(x=2 * f(1, 8), vary=dict(alpha=[0.4], beta=[0.2], **memory["vary"]))
    yield "LeakyRelu", dict(x=f(1, 8), vary=dict(alpha=[0.4], **memory["vary"]))
    yield "PRelu", dict(x=f(1, 3), more=[f(3)], **memory)
    yield "Selu", dict(x=f(1, 8), vary=dict(alpha=[0.4], gamma=[2.0]))
    yield "Selu", dict(x=f(1, 8), attrs=dict(alpha=1.5, gamma=1.1), **memory)
    yield "Swish", dict(x=f(1, 8), vary=dict(alpha=[0.4]))
    for n in ("Softmax", "LogSoftmax"):
        yield n, dict(x=f(1, 3, 4), vary=dict(axis=[1, 2, -2]))
        yield n, dict(x=f(1, 3, 4), opset=11, vary=dict(axis=[2, 1]))
    yield "Mod", dict(x=5 * f(1, 6), more=[np.array([2, -3, 2.5, -1.5, 1, 4], "f4")], vary=dict(fmod=[1, 0]))
    yield "Pad", dict(x=f(1, 2, 3), more=[i(0, 1, 0, 0, 0, 2)], vary=dict(mode=["constant", "reflect", "edge", "wrap"]))
    yield "Pad", dict(x=f(1, 2, 3), opset=2, attrs=dict(pads=[0, 1, 0, 0, 0, 2]), vary=dict(pads=[[0, 1, 1, 0, 0, 2]], value=[0.5]))
    yield "Pad", dict(x=f(1, 2, 3), opset=1, vary=dict(paddings=[[0, 1, 1, 0, 0, 2]]))
    yield "Range", dict(x=np.array(0.0, "f4"), known=True, more=[np.array(4, "f4"), np.array(1, "f4")], vary=dict(stash_type=[10]))
    yield "Reshape", dict(x=f(1, 2, 3), more=[i(1, 3, 2)], vary=dict(allowzero=[1]))
    yield "Reshape", dict(x=f(1, 2, 3), opset=4, vary=dict(shape=[[1, 3, 2], [1, -1]], consumed_inputs=[[0]]), attrs=dict(shape=[1, 6]))
    x, none, scales = f(1, 2, 3, 4), np.array([], "f4"), np.array([1, 1, 2, 1.5], "f4")
    yield "Resize", dict(
        x=x, more=[none, scales],
        vary=dict(mode=["nearest", "linear", "cubic"], nearest_mode=["floor", "ceil", "round_prefer_ceil", "round_prefer_floor"],
                  coordinate_transformation_mode=["asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"],
                  antialias=[1], cubic_coeff_a=[-0.5], exclude_outside=[1], extrapolation_value=[1.5]))  # fmt: skip
    yield "Resize", dict(x=x, more=[none, np.array([2, 1.5], "f4")], vary=dict(axes=[[2, 3]]))
    yield "Resize", dict(x=x, more=[none, none, i(1, 2, 6, 5)], vary=dict(keep_aspect_ratio_policy=["not_larger", "not_smaller"]))
    yield "Shape", dict(x=f(1, 2, 3), sum=True, vary=dict(start=[1, -2], end=[2, -1]))
    yield "Slice", dict(x=f(1, 4, 5), opset=9, attrs=dict(starts=[1], ends=[3]),
                        vary=dict(axes=[[1], [2]], starts=[[0]], ends=[[1]]))  # fmt: skip
    yield "Split", dict(x=f(1, 4, 5), attrs=dict(axis=1, num_outputs=2), outputs=2, vary=dict(axis=[1, -2], num_outputs=[2]))
    yield "Split", dict(x=f(1, 4, 5), opset=11, attrs=dict(axis=1), outputs=2, vary=dict(split=[[1, 3]]))
    yield "SplitToSequence", dict(x=f(1, 4, 5), sequence=True, vary=dict(axis=[1, 2], keepdims=[0]), attrs=dict(axis=1))
    yield "Squeeze", dict(x=f(1, 1, 3, 1), opset=11, vary=dict(axes=[[1], [-1]]))
    yield "Unsqueeze", dict(x=f(1, 3), opset=11, attrs=dict(axes=[1]), vary=dict(axes=[[1], [-1], [0, 2]]))
    yield "Transpose", dict(x=f(1, 2, 3), vary=dict(perm=[[0, 2, 1], [2, 0, 1]]))
    yield "Trilu", dict(x=f(1, 4, 4), vary=dict(upper=[0, 1]))
    yield "If", dict(x=np.array(True), known=True, branches=True, vary=dict(then_branch=[sub("Tanh")], else_branch=[sub("Abs")]))
    yield "Loop", dict(x=f(1, 4), loop=True, vary=dict(body=[sub("Loop")]))
    scan = dict(x=f(1, 4, 3), scan=True, attrs=dict(num_scan_inputs=1, body=sub("Scan")))
    yield "Scan", dict(scan, vary=dict(body=[sub("Scan")], num_scan_inputs=[1], scan_input_directions=[[1]], scan_output_directions=[[1]],
                                       scan_output_axes=[[1]], directions=[[1]]))  # fmt: skip
    yield "Scan", dict(scan, transposed=True, vary=dict(scan_input_axes=[[1]]))
    yield "Constant", dict(constant=True, vary=dict(
        value=[np.array([1.5, 2], "f4")], value_float=[2.5], value_floats=[[1.5, 2.5]], value_int=[3], value_ints=[[3, 4]],
        value_string=["a"], value_strings=[["a", "b"]],
        sparse_value=[oh.make_sparse_tensor(nh.from_array(np.array([2.5], "f4"), "v"), nh.from_array(i(1), "w"), [3])]))  # fmt: skip
    yield from reductions()
    yield from recurrent()


def model(op, spec, attrs, opset):
    """The operator behind a gain of its first input."""
    x = spec.get("x")
    known = spec.get("known") or spec.get("constant")
    data = f(1, 2) if known else x
    nodes, inits = [], [nh.from_array(np.ones(data.shape, "f4") * np.float32(0.75), "g")]
    ops, version = "", opset
    nodes.append(oh.make_node("Mul", ["in", "g"], ["x"]))
    first = "x"
    if spec.get("bool") or spec.get("int"):
        nodes.append(oh.make_node("Cast", ["x"], ["xc"], to=T.BOOL if spec.get("bool") else T.INT64))
        first = "xc"
    if known and not spec.get("constant"):
        inits.append(nh.from_array(x, "k"))
        first = "k"
    names = [] if spec.get("constant") else [first]
    for k, a in enumerate(spec.get("more", [])):
        a = a.astype(bool) if spec.get("bool") else a.astype("i8") if spec.get("int") else a
        inits.append(nh.from_array(np.asarray(a), f"m{k}"))
        names.append(f"m{k}")
    outputs = [f"y{k}" for k in range(spec.get("outputs", 1))]
    if spec.get("loop"):
        inits += [nh.from_array(np.array(2), "most"), nh.from_array(np.array(True), "go")]
        names = ["most", "go", first]
    if spec.get("scan"):
        inits += [nh.from_array(np.zeros(3, "f4"), "start"), nh.from_array(i(4, 3), "shape")]
        nodes.append(oh.make_node("Reshape", ["x", "shape"], ["rows"]))
        if spec.get("transposed"):
            nodes.append(oh.make_node("Transpose", ["rows"], ["turned"], perm=[1, 0]))
        names, outputs = ["start", "turned" if spec.get("transposed") else "rows"], ["last", "y0"]
    if spec.get("branches"):
        attrs = dict(dict(then_branch=sub("Relu"), else_branch=sub("Relu")), **attrs)
    if op in ("RNN", "GRU", "LSTM") and not spec.get("first"):
        outputs = ["y0"]
    node = oh.make_node(op, names, outputs)
    for k, v in attrs.items():
        v = nh.from_array(v, "v") if isinstance(v, np.ndarray) else v
        node.attribute.append(oh.make_attribute(k, v))
    nodes.append(node)
    last = "y0"
    if spec.get("sequence"):
        inits.append(nh.from_array(np.array(1), "one"))
        nodes.append(oh.make_node("SequenceAt", ["y0", "one"], ["picked"]))
        last = "picked"
    # As floating-point numbers, with the data's sum added where the operator reads none of it.
    nodes.append(oh.make_node("Cast", [last], ["yf"], to=T.FLOAT if opset >= 6 else "FLOAT"))
    if known and not spec.get("branches") or spec.get("sum"):
        reduce = dict(keepdims=0) if opset < 18 else dict(keepdims=0)
        nodes += [oh.make_node("ReduceSum", ["x"], ["sum"], **reduce), oh.make_node("Add", ["yf", "sum"], ["out"])]
    else:
        nodes.append(oh.make_node("Neg", ["yf"], ["out"]))
    shape = [1] + list(data.shape[1:]) if data.shape[0] == 1 else list(data.shape)
    graph = oh.make_graph(nodes, "case", [oh.make_tensor_value_info("in", T.FLOAT, shape)],
                          [oh.make_tensor_value_info("out", T.FLOAT, None)], inits)  # fmt: skip
    m = oh.make_model(graph, opset_imports=[oh.make_opsetid("", opset)], ir_version=8)
    oh.set_model_props(m, {"kpflow.parameters": "g"})
    return m, data.astype("f4")


def modern(op, spec, attrs):
    """The same in words of today, for attributes that old versions had and that nothing runs any more; None if there are none."""
    old = {k: v for k, v in attrs.items() if k in ("broadcast", "axis", "consumed_inputs", "is_test", "spatial", "shape", "to")}
    if not (old or op == "Pad") or attrs.get("is_test", 1) == 0 or attrs.get("spatial", 1) == 0 or op in ("Split", "Slice", "Concat", "Gather"):
        return None
    spec = dict(spec, vary={})
    if "axis" in old and old.get("broadcast"):
        spec["more"] = [spec["more"][0].reshape(2, 1)]
    if op == "Pad":
        spec["more"] = [i(*attrs.get("pads", attrs.get("paddings"))), np.array(attrs.get("value", 0), "f4")]
        old = attrs
    if "shape" in old:
        spec["more"] = [i(*old["shape"])]
    return model(op, spec, {k: v for k, v in attrs.items() if k not in old}, 13)[0]


def outcome(m, data):
    """The output by onnxruntime or the reference; None if neither runs it."""
    try:
        return onnxruntime.InferenceSession(m.SerializeToString()).run(None, {"in": data})[0]
    except Exception:
        pass
    try:
        return np.asarray(onnx.reference.ReferenceEvaluator(m).run(None, {"in": data})[0])
    except Exception:
        return None


def main():
    lines = sorted(listed())
    TABLE.write_text("".join(" ".join(map(str, line)) + "\n" for line in lines))
    newest = 21
    cases = []
    for op, spec in specs():
        for name, values in spec["vary"].items():
            since = [s for o, s, n, *_ in lines if o == op and n == name]
            if not since:
                continue
            # The newest opset that has the attribute and is not beyond what onnxruntime knows, if there is one.
            later = sorted({s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == op and not s.domain})
            gone = [s for s in later if s > max(since)]
            top = min(gone) - 1 if gone else max(newest, max(since))
            opset = spec.get("opset", top)
            if not any(s <= opset for s in since):
                continue
            for value in values:
                attrs = dict(spec.get("attrs", {}), **{name: value})
                there = [n for o, s, n, *_ in lines if o == op and s == max(t for p, t, *_ in lines if p == op and t <= opset)]
                attrs = {k: v for k, v in attrs.items() if k in there or k == name}
                shown = value if isinstance(value, (int, float, str, list)) else type(value).__name__
                try:
                    m, data = model(op, spec, attrs, opset)
                except Exception as e:
                    raise RuntimeError(f"{op} {name} {shown}") from e
                y = outcome(m, data)
                if y is None and (new := modern(op, spec, attrs)) is not None:
                    y = outcome(new, data)
                cases.append(dict(operator=op, attribute=name, value=shown, opset=opset, model=m.SerializeToString().hex(),
                                  input=[round(float(v), 6) for v in data.ravel()], shape=list(data.shape),
                                  output=None if y is None else [float(f"{v:.7g}") for v in np.asarray(y, "f8").ravel()]))  # fmt: skip
    have = {(c["operator"], c["attribute"]) for c in cases}
    lacking = sorted({(o, n) for o, s, n, *_ in lines} - have)
    assert not lacking, lacking
    (HERE / "attributes.jsonl").write_text("".join(json.dumps(c) + "\n" for c in cases))
    print(len(cases), "cases,", sum(c["output"] is None for c in cases), "without a value")


main()
