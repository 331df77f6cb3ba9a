#!/usr/bin/env python3
"""Small graphs in which element types, roots at zero, large logits, zero states and doubtful parameters matter.

    python3 tests/reference/make_meaning.py

Writes tests/reference/meaning.jsonl: name, model, inputs, and what is right: the state by onnx's reference evaluator in double
precision with the trace of J Jᵀ by central differences of it, or words that a refusal has. Needs onnx, numpy.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.reference
from onnx import TensorProto as T
from onnx import helper as oh
from onnx import numpy_helper as nh

HERE = Path(__file__).resolve().parent
rng = np.random.default_rng(7)
f = lambda *s: rng.normal(size=s).round(2)
CASES = []
N = oh.make_node
D = T.DOUBLE


def graph(nodes, inits, ins, outs=("y",), props=("W",), opset=18):
    """A model of double precision; `ins`: name -> (element type, shape of one trajectory)."""
    g = oh.make_graph(nodes, "g", [oh.make_tensor_value_info(n, t, s) for n, (t, s) in ins.items()],
                      [oh.make_tensor_value_info(o, D, None) for o in outs],
                      [nh.from_array(np.asarray(a), n) for n, a in inits.items()])  # fmt: skip
    m = oh.make_model(g, opset_imports=[oh.make_opsetid("", opset)], ir_version=8)
    if props is not None:
        oh.set_model_props(m, {"kpflow.parameters": "\n".join(props)})
    return m


def answers(m, inputs, theta, output):
    """The output of every trajectory, and the trace of J Jᵀ."""
    inits = {i.name: nh.to_array(i).astype("f8").copy() for i in m.graph.initializer if i.name in theta}
    free = onnx.ModelProto()
    free.CopyFrom(m)
    for i in [i for i in free.graph.initializer if i.name in theta]:
        free.graph.initializer.remove(i)
        free.graph.input.append(oh.make_tensor_value_info(i.name, D, list(i.dims)))
    run = onnx.reference.ReferenceEvaluator(free)
    count = len(next(iter(inputs.values())))
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in m.graph.input}
    kinds = {i.name: oh.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type) for i in m.graph.input}
    out = [o.name for o in m.graph.output].index(output)

    def forward():
        each = []
        for b in range(count):
            feeds = {n: np.asarray(x[b]).reshape(shapes[n]).astype(kinds[n]) for n, x in inputs.items()}
            each.append(np.asarray(run.run(None, {**feeds, **inits})[out]).ravel())
        return np.concatenate(each)

    state, trace = forward(), 0.0
    for a in inits.values():
        for k in np.ndindex(a.shape):
            old, h = a[k], 1e-6
            a[k] = old + h
            up = forward()
            a[k] = old - h
            trace += float((((up - forward()) / (2 * h)) ** 2).sum())
            a[k] = old
    return state, trace


def case(name, m, inputs, theta=("W",), output="y", words=None, lines="", right=None, **more):
    state, trace = (None, None) if words else answers(right or m, inputs, theta or (), output)
    CASES.append(dict(
        name=name, model=m.SerializeToString().hex(), lines=lines, words=words or [], trace=trace,
        inputs={n: dict(shape=list(np.shape(x)), data=np.ravel(x).tolist()) for n, x in inputs.items()},
        state=None if state is None else state.tolist(), **more))  # fmt: skip


def after(name, nodes, inits=None, words=None, opset=18, w=None, x=None, instead=None, **more):
    """`nodes` make y of a = x W; `instead` are others that the reference evaluates right."""
    w = f(4, 4) if w is None else w
    made = lambda nodes, opset: graph([N("MatMul", ["x", "W"], ["a"], name="first"), *nodes], {"W": w, **(inits or {})}, {"x": (D, [1, 4])}, opset=opset)
    right = made(instead, 13) if instead else None
    case(name, made(nodes, opset), {"x": 2 * f(2, 4) if x is None else x}, words=words, right=right, **more)


def shifted(of, axis, keep=1):
    """ln Σ eˣ, as L, shifted by the maximum."""
    return [N("ReduceMax", [of], ["M"], axes=[axis], keepdims=1), N("Sub", [of, "M"], ["S"]), N("Exp", ["S"], ["E"]),
            N("Constant", [], ["A"], value_ints=[axis]), N("ReduceSum", ["E", "A"], ["Z"], keepdims=1), N("Log", ["Z"], ["G"]),
            N("Add", ["G", "M"], ["L"])]  # fmt: skip


def types():
    cast = lambda a, b, to: N("Cast", [a], [b], to=to)
    plus = N("Add", ["a", "c"], ["y"])
    for kind in ("INT64", "INT32", "INT8", "BOOL"):
        after(f"cast to {kind} and back", [cast("a", "b", getattr(T, kind)), cast("b", "c", D), N("Mul", ["a", "c"], ["y"])])
    after("wrapped", [cast("k", "b", T.UINT8), cast("b", "c", D), plus], dict(k=np.array([300, -1, 256, 7])))
    after("like", [N("CastLike", ["a", "k"], ["b"]), cast("b", "c", D), plus], dict(k=np.array(1)))
    ten = dict(ten=np.array(10.0), d=np.array([3, -3, 4, -7]))
    whole = [N("Mul", ["a", "ten"], ["t"]), cast("t", "i", T.INT64)]
    after("quotients of computed integers", [*whole, N("Div", ["i", "d"], ["q"]), cast("q", "c", D), plus], ten)
    after("by one number", [*whole, N("Div", ["i", "d"], ["q"]), cast("q", "c", D), plus], dict(ten, d=np.array(4)))
    after("remainders of computed integers", [*whole, N("Mod", ["i", "d"], ["q"]), cast("q", "c", D), plus], ten)
    after("fmod of computed integers", [*whole, N("Mod", ["i", "d"], ["q"], fmod=1), cast("q", "c", D), plus], ten)
    after("fmod of numbers", [N("Mod", ["a", "m"], ["y"], fmod=1)], dict(m=np.array([0.7, -0.6, 1.1, -0.4])))
    after("fmod of both", [N("MatMul", ["x", "V"], ["v"]), N("Mod", ["a", "v"], ["y"], fmod=1)], dict(V=f(4, 4)))
    after("mod of numbers", [N("Mod", ["a", "m"], ["y"])], dict(m=np.array(0.7)), words=["(Mod)", "fmod = 0"])
    after("mean of computed integers", [*whole, N("ReduceMean", ["i"], ["q"], keepdims=1), cast("q", "c", D), plus], ten)
    after("fixed mean of integers", [N("ReduceMean", ["k"], ["q"], keepdims=0), cast("q", "c", D), plus], dict(k=np.array([1, 2, 5, -20])))
    after("powers of integers", [*whole, N("Pow", ["i", "p"], ["q"]), cast("q", "c", D), plus], dict(ten, p=np.array([2, 1, 0, 3])))
    rng_ = lambda kind, k: [N("Range", ["s", "l", "e"], ["r"]), N("Div", ["r", "k"], ["q"]), cast("q", "c", D), plus]
    bounds = lambda t, k: dict(s=np.array(0, t), l=np.array(4, t), e=np.array(1, t), k=np.array(k, t))
    after("a range of integers over 3", rng_("i", 3), bounds("i8", 3))
    after("a range of numbers over 3", rng_("f", 3), bounds("f8", 3))
    after("a range less its mean", [N("Range", ["s", "l", "e"], ["r"]), N("ReduceMean", ["r"], ["m"]), N("Sub", ["r", "m"], ["c"]), plus], bounds("f8", 3))
    zero = dict(z=np.zeros(1), o=np.ones(4) * 2)
    after("a choice", [N("Greater", ["a", "z"], ["b"]), N("Where", ["b", "a", "o"], ["y"])], zero)
    after("logic", [N("Greater", ["a", "z"], ["b"]), N("Less", ["a", "o"], ["d"]), N("And", ["b", "d"], ["e"]), N("Not", ["e"], ["n"]),
                    cast("n", "c", D), N("Mul", ["a", "c"], ["y"])], zero)  # fmt: skip
    after("truth counted", [N("Greater", ["a", "z"], ["b"]), cast("b", "i", T.INT64), N("ReduceSum", ["i"], ["s"]), cast("s", "c", D), plus], zero)
    after("negative bases", [N("Pow", ["a", "p"], ["y"])], dict(p=np.array([2.0, 3, 1, 4])))
    after("a fixed mod", [N("Mod", ["u", "v"], ["w"]), cast("w", "c", D), plus], dict(u=np.array([-4, 5, -7, 4]), v=np.array([3, -3, -3, 3])))
    after("floors", [N("Floor", ["a"], ["c"]), plus])
    after("a running sum", [N("CumSum", ["a", "k"], ["y"], exclusive=1, reverse=1)], dict(k=np.array(1)))
    after("blocks by channel", [N("Reshape", ["a", "s"], ["m"]), N("SpaceToDepth", ["m"], ["y"], blocksize=2, mode="DCR")], dict(s=np.array([1, 1, 2, 2])))


def ranges():
    big = dict(x=300 * f(2, 4))
    minus = lambda of, axis: [*shifted(of, axis), N("Sub", [of, "L"], ["y"])]
    two, by = N("Reshape", ["a", "s"], ["m"]), dict(s=np.array([1, 2, 2]))
    after("large log softmax", [N("LogSoftmax", ["a"], ["y"])], instead=minus("a", 1), **big)
    after("large log softmax along another axis", [two, N("LogSoftmax", ["m"], ["y"], axis=1)], by, instead=[two, *minus("m", 1)], **big)
    after("old log softmax", [N("LogSoftmax", ["a"], ["y"], axis=1)], opset=11, instead=minus("a", 1), **big)
    after("large log sum", [N("ReduceLogSumExp", ["a"], ["y"])], instead=[*shifted("a", 1), N("Identity", ["L"], ["y"])], **big)
    after("large log sums of columns", [N("Reshape", ["a", "s"], ["m"]), N("ReduceLogSumExp", ["m", "k"], ["y"], keepdims=0)],
          dict(by, k=np.array([1])), instead=[two, *shifted("m", 1), N("Identity", ["L"], ["y"])], **big)  # fmt: skip
    # One trajectory whose rectified numbers are all 0, one whose are not.
    flat = dict(w=-np.abs(f(4, 4)) - 0.1, x=np.array([[1, 2, 1, 3], [-1, -2, 1, -3.0]]))
    relu, k = N("Relu", ["a"], ["b"]), dict(k=np.array([1]))
    after("a norm at 0", [relu, N("ReduceL2", ["b", "k"], ["y"])], k, **flat)
    after("a norm at 0 of absolute values", [relu, N("ReduceL1", ["b", "k"], ["y"])], k, **flat)
    after("a root of a sum of squares at 0", [relu, N("Mul", ["b", "b"], ["q"]), N("ReduceSum", ["q", "k"], ["s"]), N("Sqrt", ["s"], ["y"])], k, **flat)
    after("a power of a sum of squares at 0", [relu, N("ReduceSumSquare", ["b", "k"], ["s"]), N("Pow", ["s", "h"], ["y"])], dict(k, h=np.array(0.5)), **flat)
    after("absolute values at 0", [relu, N("Abs", ["b"], ["y"])], **flat)
    for op in ("Sqrt", "Reciprocal", "Log"):
        after(f"{op} at 0", [relu, N(op, ["b"], ["y"], name="last")], words=[f"node last ({op})"], **flat)
    after("a root at 0", [relu, N("Pow", ["b", "h"], ["y"], name="root")], dict(h=np.array(0.3)), words=["node root (Pow)"], **flat)
    after("a quotient of 0", [relu, N("Div", ["a", "b"], ["y"], name="over")], words=["node over (Div)"], **flat)


def states():
    """Zero initial states in many forms, a state that is not zero, scans and loops."""
    kinds = (("GRU", 3), ("LSTM", 4), ("RNN", 1))
    zeros = {
        "an initialiser": ([], dict(h0=np.zeros((1, 1, 3)))),
        "a constant of a shape": ([N("ConstantOfShape", ["s"], ["h"]), N("Cast", ["h"], ["h0"], to=D)], dict(s=np.array([1, 1, 3]))),
        "an expanded zero": ([N("Expand", ["z", "s"], ["h0"])], dict(z=np.zeros(1), s=np.array([1, 1, 3]))),
        "a part of zeros": ([N("Slice", ["z", "b", "e", "b"], ["h0"])], dict(z=np.zeros((2, 1, 3)), b=np.array([0]), e=np.array([1]))),
    }
    for (kind, gates), (how, (nodes, inits)) in [(k, z) for k in kinds for z in zeros.items()]:
        names = ["h0"] + (["h0"] if kind == "LSTM" else [])
        own = dict(linear_before_reset=1) if kind == "GRU" else {}
        w = dict(W=f(1, gates * 3, 2) / 2, R=f(1, gates * 3, 3) / 2, B=f(1, gates * 6) / 3)
        last = [N(kind, ["x", "W", "R", "B", "", *names], ["y"], hidden_size=3, **own)]
        m = graph([*nodes, *last], {**w, **inits}, {"x": (D, [5, 1, 2])}, props=None)
        case(f"{kind} from {how}", m, {"x": f(2, 5, 2)}, theta=("W", "R", "B"))
    m = graph([N("RNN", ["x", "W", "R", "B", "", "h0"], ["y"], hidden_size=3)],
              dict(W=f(1, 3, 2), R=f(1, 3, 3), B=f(1, 6), h0=f(1, 1, 3)), {"x": (D, [5, 1, 2])}, props=("W", "R", "B"))  # fmt: skip
    case("from another state", m, {"x": f(2, 5, 2)}, words=["begins from a state that is not zero"])
    # h ← tanh(U h + W e), and a readout of it: by Scan, and by Loop.
    step = [N("MatMul", ["h", "U"], ["p"]), N("MatMul", ["e", "W"], ["q"]), N("Add", ["p", "q"], ["r"]), N("Tanh", ["r"], ["h2"])]
    v = lambda n, s, t=D: oh.make_tensor_value_info(n, t, s)
    body = oh.make_graph([*step, N("Identity", ["h2"], ["o"])], "b", [v("h", [1, 3]), v("e", [1, 2])], [v("h2", [1, 3]), v("o", [1, 3])])
    weights = dict(U=f(3, 3) / 2, W=f(2, 3), V=f(3, 2), h0=np.zeros((1, 3)))
    x = f(2, 5, 2)
    nodes = [N("Scan", ["h0", "x"], ["last", "all"], num_scan_inputs=1, body=body), N("MatMul", ["all", "V"], ["y"])]
    m = graph(nodes, weights, {"x": (D, [5, 1, 2])}, outs=("y", "all"), props=("U", "W", "V"))
    case("a scan", m, {"x": x}, theta=("U", "W"), output="all", watched=["h2"], shape=[2, 5, 3])
    pick = [N("Gather", ["x", "it"], ["e"], axis=0), *step, N("Identity", ["go"], ["go2"])]
    body = oh.make_graph(pick, "b", [v("it", [], T.INT64), v("go", [], T.BOOL), v("h", [1, 3])], [v("go2", [], T.BOOL), v("h2", [1, 3]), v("h2", [1, 3])])
    nodes = [N("Loop", ["most", "yes", "h0"], ["last", "all"], body=body), N("MatMul", ["last", "V"], ["y"])]
    inits = dict(weights, most=np.array(5), yes=np.array(True))
    m = graph(nodes, inits, {"x": (D, [5, 1, 2])}, outs=("y", "all"), props=("U", "W", "V"))
    case("a loop", m, {"x": x}, theta=("U", "W"), output="all", watched=["h2"], shape=[2, 5, 3])
    case("a loop's output", m, {"x": x}, theta=("U", "W", "V"), lines='state = ["y"]')


def odd():
    """Indices, inputs and outputs of other forms; parameters used twice."""
    tokens = {"t": np.array([[0, 5, 7], [2, 2, 6.0]])}
    for name, nodes, inits in (
        ("computed indices from the end", [N("Sub", ["t", "k"], ["i"])], dict(k=np.array(6))),
        ("negated indices", [N("Neg", ["t"], ["i"])], {}),
        ("halved indices", [N("Div", ["t", "k"], ["i"])], dict(k=np.array(2))),
        ("remainders as indices", [N("Sub", ["t", "k"], ["s"]), N("Mod", ["s", "k"], ["i"])], dict(k=np.array(5))),
    ):
        m = graph([*nodes, N("Gather", ["W", "i"], ["y"])], dict(W=f(8, 4), **inits), {"t": (T.INT64, [1, 3])})
        case(name, m, tokens)
    m = graph([N("Sub", ["t", "k"], ["i"]), N("Gather", ["W", "i"], ["y"])], dict(W=f(8, 4), k=np.array(20)), {"t": (T.INT64, [1, 3])})
    case("indices beyond the other end", m, tokens, words=["has 8 rows"])
    m = graph([N("Gather", ["W", "t"], ["y"])], dict(W=f(8, 4)), {"t": (T.INT64, [1, 3])})
    case("given indices from the end", m, {"t": np.array([[0, 1, -1.0]])}, words=["names token -1"])
    two = lambda s: {"x": (D, [1, 4]), "s": (D, s)}
    both = [N("MatMul", ["x", "W"], ["a"]), N("Mul", ["a", "s"], ["y"])]
    for s, of in (([], f(2)), ([1], f(2, 1)), ([1, 1], f(2, 1))):
        x = f(2, 4)
        if s != [1]:
            case(f"a number a trajectory of shape {s}", graph(both, dict(W=f(4, 4)), two(s)), {"x": x, "s": of})
    m = graph([N("MatMul", ["x", "W"], ["y"]), N("Identity", ["s"], ["z"])], dict(W=f(4, 4)), two([1, 4]), outs=("y", "z"))
    case("an output that is an input", m, {"x": f(2, 4), "s": f(2, 4)})
    m = graph([N("Identity", ["x"], ["y"]), N("MatMul", ["x", "W"], ["z"])], dict(W=f(4, 4)), {"x": (D, [1, 4])})
    case("no other output", m, {"x": f(2, 4)}, words=["no output that it computes"])
    gemm = [N("Gemm", ["x", "W", "b"], ["a"]), N("Gemm", ["a", "V", "b"], ["y"])]
    theta = ("W", "V", "b")
    case("a bias of two layers", graph(gemm, dict(W=f(4, 4), V=f(4, 4), b=f(4)), {"x": (D, [1, 4])}, props=theta), {"x": f(2, 4)}, theta)
    twice = [N("MatMul", ["x", "W"], ["a"]), N("Mul", ["W", "W"], ["q"]), N("MatMul", ["a", "q"], ["y"])]
    case("a weight and its square", graph(twice, dict(W=f(4, 4)), {"x": (D, [1, 4])}), {"x": f(2, 4)})
    twice = [N("MatMul", ["x", "W"], ["a"]), N("Transpose", ["W"], ["t"]), N("MatMul", ["a", "t"], ["b"]), N("Add", ["b", "W"], ["c"]),
             N("ReduceSum", ["c", "k"], ["y"])]  # fmt: skip
    case("a weight, its transpose and its sum", graph(twice, dict(W=f(4, 4), k=np.array([0])), {"x": (D, [1, 4])}), {"x": f(2, 4)})


def parameters():
    """What is a parameter where the file does not say it; `doubts`: words of the warning."""
    x = {"x": f(2, 4)}
    one = {"x": (D, [1, 4])}
    lin = [N("MatMul", ["x", "fc.weight"], ["a"]), N("Add", ["a", "fc.bias"], ["b"])]
    w = {"fc.weight": f(4, 4), "fc.bias": f(4)}
    names = tuple(w)

    def say(name, nodes, inits, theta, doubts, **more):
        case(name, graph(nodes, {**w, **inits}, one, props=None), x, theta, doubts=doubts, **more)

    say("named by a module", [*lin, N("Tanh", ["b"], ["y"])], {}, names, [])
    say("a nameless scale", [*lin, N("Mul", ["b", "val_68"], ["y"])], dict(val_68=np.array([0.7])), names, ["val_68", "one number"])
    say("a scale of no axes", [*lin, N("Mul", ["b", "scale"], ["y"])], dict(scale=np.array(0.7)), names, ["scale", "shape []"])
    say("a scale of one number", [*lin, N("Mul", ["b", "scale"], ["y"])], dict(scale=np.array([0.7])), (*names, "scale"), ["scale", "shape [1]"])
    say("zeros", [*lin, N("Add", ["b", "shift"], ["y"])], dict(shift=np.zeros(4)), (*names, "shift"), ["shift", "all zeros"])
    say("nameless zeros", [*lin, N("Add", ["b", "val_3"], ["y"])], dict(val_3=np.zeros(4)), names, ["val_3", "all zeros"])
    say("a nameless weight", [*lin, N("MatMul", ["b", "onnx::MatMul_9"], ["y"])], {"onnx::MatMul_9": f(4, 3)}, (*names, "onnx::MatMul_9"), ["onnx::MatMul_9"])
    say("read twice", [*lin, N("Tanh", ["b"], ["c"]), N("Add", ["c", "fc.bias"], ["y"])], {}, names, ["fc.bias", "read by 2 nodes"])
    say("a folded bias", [*lin, N("Add", ["b", "linear_1"], ["y"])], {"linear_1": w["fc.bias"][None]}, None, ["linear_1", "fc.bias"])
    CASES[-1].update(same(w, x, lin))
    norm = [N("Conv", ["m", "onnx::Conv_1", "onnx::Conv_2"], ["c"]), N("Flatten", ["c"], ["y"])]
    m = graph([N("Reshape", ["x", "s"], ["m"]), *norm], {"onnx::Conv_1": f(2, 1, 2, 2), "onnx::Conv_2": f(2), "s": np.array([1, 1, 2, 2])}, one, props=None)
    case("a nameless convolution", m, x, ("onnx::Conv_1", "onnx::Conv_2"), doubts=["onnx::Conv_1", "BatchNorm"])
    constant = [N("Constant", [], ["K"], value=nh.from_array(f(4, 3))), N("Constant", [], ["k"], value=nh.from_array(f(3)))]
    nodes = [*constant, N("MatMul", ["x", "K"], ["a"]), N("Add", ["a", "k"], ["y"])]
    case("constants", graph(nodes, {}, one, props=None), x, words=["has no parameters", '"K"'])
    whole = graph([N("MatMul", ["x", "K"], ["a"]), N("Add", ["a", "k"], ["y"])], {n.output[0]: nh.to_array(n.attribute[0].t) for n in constant}, one, props=("K", "k"))
    for chosen, theta in ((["K"], ("K",)), (["K", "k"], ("K", "k")), (["?"], ("K", "k"))):
        state, trace = answers(whole, x, theta, "y")
        case(f"constants {chosen}", graph(nodes, {}, one, props=None), x, words=["-"], lines=f"parameters = {json.dumps(chosen)}")
        CASES[-1].update(words=[], state=state.tolist(), trace=trace, doubts=[])


def same(w, x, lin):
    """b + fc.bias with one bias."""
    m = graph([*lin, N("Add", ["b", "fc.bias"], ["y"])], w, {"x": (D, [1, 4])}, props=tuple(w))
    state, trace = answers(m, x, tuple(w), "y")
    return dict(state=state.tolist(), trace=trace)


types()
ranges()
states()
odd()
parameters()
(HERE / "meaning.jsonl").write_text("".join(json.dumps(c) + "\n" for c in CASES))
print(len(CASES), "cases")
