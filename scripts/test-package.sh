#!/usr/bin/env bash
# The Python package without torch and without a wheel: its library is built beside all else with the system's HDF5, its types, its style and its reference are
# checked, and it is tested against the golden data. scripts/test-wheel.sh builds the wheel and tests it with torch, which is 5 GB: CI leaves that out.
#   PYTHON=/path/to/python scripts/test-package.sh [PYTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD package=$PWD/kpflow-hpc/python
python=${PYTHON:-python3}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
if ! "$python" -c "import sys, venv, ensurepip; assert sys.version_info >= (3, 11)" 2>/dev/null; then
    echo "test-package: skipped: $python is not 3.11 or later with venv"
    exit 0
fi

CARGO_TARGET_DIR=$target PYO3_PYTHON=$(command -v "$python") cargo build --manifest-path "$package/Cargo.toml" --no-default-features
work=$target/package env=$target/package/env
rm -rf "$work"
mkdir -p "$work/kpflow"
cp -r "$package"/kpflow/. "$work/kpflow"
cp "$target/debug/lib_kpflow.so" "$work/kpflow/_kpflow.abi3.so"
"$python" -m venv "$env"
if ! "$env/bin/python" -m pip install --quiet numpy scipy h5py pytest pytest-cov mypy ruff pandas xarray; then
    echo "test-package: skipped: no package registry"
    exit 0
fi
export PYTHONPATH=$work
cd "$work" # not where the package's source would be imported
"$env/bin/python" -P "$package/generate.py" --check
"$env/bin/python" -m ruff check --quiet --config "$package/pyproject.toml" "$package" "$root/kpflow-bench/kinds"
"$env/bin/python" -m ruff format --quiet --check --config "$package/pyproject.toml" "$package" "$root/kpflow-bench/kinds"
"$env/bin/python" -m mypy --no-error-summary --config-file "$package/pyproject.toml" "$package/kpflow"
"$env/bin/python" -m pytest -q -p no:cacheprovider --confcutdir "$package/tests/plain" --rootdir "$root" --cov kpflow "$package/tests/plain" "$@"
