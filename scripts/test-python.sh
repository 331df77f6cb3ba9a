#!/usr/bin/env bash
# The tests of the Python scripts, with the real torch and h5py. Installs nothing: where they are missing it says so and is done, as torch is 200 MB.
#   PYTHON=/path/to/python KPFLOW=/path/to/kpflow scripts/test-python.sh [PYTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
KPFLOW=$(realpath "${KPFLOW:-${CARGO_TARGET_DIR:-target}/debug/kpflow}")
export KPFLOW

if ! "$python" -c "import torch, h5py, safetensors, pytest" 2>/dev/null; then
    echo "test-python: skipped: $python has not all of torch, h5py, safetensors, pytest (pip install them, and pandas, matplotlib, onnx, onnxscript, onnxruntime)"
    exit 0
fi
mine=(scripts/read_results.py scripts/export_recurrent.py scripts/export_torch.py scripts/export_inputs.py scripts/example_notebook.py tests/python)
if "$python" -m ruff --version >/dev/null 2>&1; then
    "$python" -m ruff check --quiet --line-length 140 --select F,I,B,UP,W --ignore B023 "${mine[@]}"
fi
if "$python" -m mypy --version >/dev/null 2>&1; then
    "$python" -m mypy --ignore-missing-imports --no-error-summary scripts/read_results.py scripts/export_recurrent.py
fi
"$python" -m pytest -q -p no:cacheprovider tests/python "$@"
