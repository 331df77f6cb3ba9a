"""The NTK of a GRU on a block of vectors, as PyTorch users compute it. Called by kpflow-bench: see peers.rs.

Prints a JSON object: peer -> {"seconds", "error"} or {"skipped": why}.
"""
import json
import sys
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")
directory, precision = sys.argv[1:3]
H, B, T, I, M, threads = map(int, sys.argv[3:9])
budget = float(sys.argv[9])
fast_only = sys.argv[10] == "fast"  # the best explicit recurrence alone
dtype = np.float32 if precision == "f32" else np.float64


def load(name, *shape):
    return np.fromfile(f"{directory}/{name}", dtype=dtype).reshape(shape)


# kpflow's blocks are [trajectory][vector][step][unit].
x, y = (load(n, B, M, T, H).transpose(1, 0, 2, 3).copy() for n in ("x", "y"))
arrays = {"w_ih": load("w_ih", 3 * H, I), "w_hh": load("w_hh", 3 * H, H), "b_ih": load("b_ih", 3 * H), "b_hh": load("b_hh", 3 * H)}
inputs = load("inputs", B, T, I)

results = {}


def measure(name, f, vectors=M):
    """The median time of f() for a block of M vectors; f may do `vectors` of them."""
    try:
        f()
        start, times = time.perf_counter(), []
        while len(times) < 3 or (time.perf_counter() - start < budget and len(times) < 20):
            one = time.perf_counter()
            out = f()
            times.append(time.perf_counter() - one)
        out = np.asarray(out)
        error = float(np.linalg.norm(out - y[:vectors]) / np.linalg.norm(y[:vectors]))
        results[name] = {"seconds": sorted(times)[len(times) // 2] * M / vectors, "error": error}
    except Exception as e:  # noqa: BLE001: a peer that fails is told, not fatal
        results[name] = {"skipped": f"{type(e).__name__}: {str(e).splitlines()[0][:200] if str(e) else ''}"}


def torch_peers():
    import torch
    from torch.func import functional_call, jvp, vjp, vmap  # noqa: F401

    torch.set_num_threads(threads)
    p = {k: torch.from_numpy(v) for k, v in arrays.items()}
    inp, probes = torch.from_numpy(inputs), torch.from_numpy(x)

    def states(p):
        h, out = torch.zeros(B, H, dtype=inp.dtype), []
        gi_all = inp @ p["w_ih"].T + p["b_ih"]
        for t in range(T):
            gi, gh = gi_all[:, t], h @ p["w_hh"].T + p["b_hh"]
            r = torch.sigmoid(gi[:, :H] + gh[:, :H])
            z = torch.sigmoid(gi[:, H : 2 * H] + gh[:, H : 2 * H])
            n = torch.tanh(gi[:, 2 * H :] + r * gh[:, 2 * H :])
            h = n + z * (h - n)
            out.append(h)
        return torch.stack(out, 1)

    _, back = vjp(states, p)

    def one(v):
        return jvp(states, (p,), back(v))[1]

    # The chunk that is fastest without running out of memory is the one that counts.
    for chunk in () if fast_only else (M, 8):
        size = chunk * B * T * H * 12 * inp.element_size()
        if size < 6e9:
            measure(f"torch.func vmap(jvp after vjp), chunks of {chunk}", lambda c=chunk: vmap(one, chunk_size=c)(probes))

    # The same mathematics written out: derivatives of the gates once, then sweeps of products over B·M rows at a time.
    with torch.no_grad():
        hs, gates = [torch.zeros(B, H, dtype=inp.dtype)], []
        gi_all = inp @ p["w_ih"].T + p["b_ih"]
        for t in range(T):
            h = hs[-1]
            gi, gh = gi_all[:, t], h @ p["w_hh"].T + p["b_hh"]
            r = torch.sigmoid(gi[:, :H] + gh[:, :H])
            z = torch.sigmoid(gi[:, H : 2 * H] + gh[:, H : 2 * H])
            nh = gh[:, 2 * H :]
            n = torch.tanh(gi[:, 2 * H :] + r * nh)
            hs.append(n + z * (h - n))
            dn = (1 - z) * (1 - n * n)
            # By the pre-activations of r and z, W_hn h and W_in x; and by h itself.
            gates.append(torch.stack([dn * nh * r * (1 - r), (h - n) * z * (1 - z), dn * r, dn, z]))
        gates = torch.stack(gates)  # [T, 5, B, H]
        u_h, u_x = torch.stack(hs[:-1]), inp.transpose(0, 1).contiguous()  # [T, B, ·]
        w = p["w_hh"]

        def explicit():
            # Rows are (trajectory, vector): every step is one product.
            v = probes.permute(2, 1, 0, 3).contiguous()  # [T, B, M, H]
            s = torch.empty(T, B, M, 4 * H, dtype=inp.dtype)
            q = torch.zeros(B, M, H, dtype=inp.dtype)
            for t in reversed(range(T)):
                q = q + v[t]
                c = gates[t].unsqueeze(2)
                torch.mul(q, c[0], out=s[t, :, :, :H])
                torch.mul(q, c[1], out=s[t, :, :, H : 2 * H])
                torch.mul(q, c[2], out=s[t, :, :, 2 * H : 3 * H])
                torch.mul(q, c[3], out=s[t, :, :, 3 * H :])
                q = torch.addcmul((s[t, :, :, : 3 * H].reshape(B * M, 3 * H) @ w).view(B, M, H), q, c[4])
            flat = s.view(T * B, M * 4 * H)
            one = torch.ones(T * B, 1, dtype=inp.dtype)
            u = torch.cat([u_h.reshape(T * B, H), one, u_x.reshape(T * B, I), one], 1)
            d = (u.T @ flat).view(u.shape[1], M, 4, H)
            d[: H + 1, :, 3] = 0  # W_hh does not reach what the input drives in n,
            d[H + 1 :, :, 2] = 0  # nor W_ih what the state drives.
            s = (u @ d.view(u.shape[1], -1)).view(T, B, M, 4 * H)
            out = torch.empty(T, B, M, H, dtype=inp.dtype)
            dh = torch.zeros(B, M, H, dtype=inp.dtype)
            for t in range(T):
                s[t, :, :, : 3 * H] += (dh.view(B * M, H) @ w.T).view(B, M, 3 * H)
                c = gates[t].unsqueeze(2)
                g = s[t]
                dh = dh * c[4]
                for k in range(4):
                    dh.addcmul_(g[..., k * H : (k + 1) * H], c[k])
                out[t] = dh
            return out.permute(2, 1, 0, 3)

        measure("PyTorch, explicit recurrence", explicit)

    if fast_only:
        return
    try:
        import curvlinops
        from torch import nn

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                for k, v in p.items():
                    setattr(self, k, nn.Parameter(v.clone()))

            def forward(self, _):
                return states({k: getattr(self, k) for k in p}).reshape(B, T * H)

        net = Net()
        jacobian = curvlinops.JacobianLinearOperator(net, list(net.parameters()), [(inp, torch.zeros(B, T * H, dtype=inp.dtype))], check_deterministic=False)
        few = min(M, 4)

        def product():
            v = probes[:few].reshape(few, B * T * H).T.contiguous()
            return (jacobian @ (jacobian.adjoint() @ v)).T.reshape(few, B, T, H).detach()

        measure("curvlinops, J after its adjoint", product, few)
    except Exception as e:  # noqa: BLE001
        results["curvlinops, J after its adjoint"] = {"skipped": f"{type(e).__name__}: {str(e)[:200]}"}


def jax_peer():
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    import neural_tangents as nt

    p = {k: jnp.asarray(v) for k, v in arrays.items()}
    inp = jnp.asarray(inputs)

    def states(p, inp):
        gi_all = inp @ p["w_ih"].T + p["b_ih"]

        def step(h, gi):
            gh = h @ p["w_hh"].T + p["b_hh"]
            r, z = jax.nn.sigmoid(gi[:, :H] + gh[:, :H]), jax.nn.sigmoid(gi[:, H : 2 * H] + gh[:, H : 2 * H])
            n = jnp.tanh(gi[:, 2 * H :] + r * gh[:, 2 * H :])
            h = n + z * (h - n)
            return h, h

        return jnp.swapaxes(jax.lax.scan(step, jnp.zeros((B, H), inp.dtype), jnp.swapaxes(gi_all, 0, 1))[1], 0, 1)

    product = nt.empirical_ntk_vp_fn(states, inp, None, p)
    block = jax.jit(jax.vmap(product))
    probes = jnp.asarray(x)
    measure("neural-tangents, empirical_ntk_vp_fn", lambda: block(probes).block_until_ready())


for peer, names in ((torch_peers, "PyTorch"), (jax_peer, "neural-tangents")):
    try:
        peer()
    except Exception as e:  # noqa: BLE001
        results[names] = {"skipped": f"{type(e).__name__}: {str(e).splitlines()[0][:200] if str(e) else ''}"}
print(json.dumps(results))
