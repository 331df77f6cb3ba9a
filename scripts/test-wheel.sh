#!/usr/bin/env bash
# The tests of the Python package: its wheel is built, installed in an environment of its own, and tested there against the torch that is at hand. From nothing it
# takes minutes (HDF5 from its source, the whole library once more without MPI and OpenBLAS): scripts/test.sh leaves it out.
#   PYTHON=/path/to/python scripts/test-wheel.sh [PYTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD package=$PWD/kpflow-hpc/python
python=${PYTHON:-python3}
work=${CARGO_TARGET_DIR:-$root/target}/python
export CARGO_TARGET_DIR=$work

if ! "$python" -c "import sys, torch, scipy, pytest; assert sys.version_info >= (3, 11)" 2>/dev/null; then
    echo "test-wheel: skipped: $python is not 3.11 or later with torch, scipy, pytest"
    exit 0
fi

cargo fmt --check --manifest-path "$package/Cargo.toml"
rm -rf "$work/dist" "$work/env"
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/dist" "$package"
library=$(unzip -Z1 "$work"/dist/kpflow-*.whl | grep '\.so$')
unzip -p "$work"/dist/kpflow-*.whl "$library" > "$work/library.so"
if ldd "$work/library.so" | grep -E 'libmpi|libopenblas|libblas|libhdf5'; then
    echo "the wheel needs libraries of the system" >&2
    exit 1
fi

# Nothing of this environment but the wheel; torch and the others by the way of the one that has them.
"$python" -m venv "$work/env"
own=$("$work/env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$own/at_hand.pth"
"$work/env/bin/python" -m pip install --quiet --no-deps "$work"/dist/kpflow-*.whl
"$work/env/bin/python" -m pip install --quiet mypy ruff pandas xarray matplotlib nbclient ipykernel tqdm
cd "$work" # not where the package's source would be imported
"$work/env/bin/python" -P "$package/generate.py" --check
"$work/env/bin/python" -m ruff check --quiet --config "$package/pyproject.toml" "$package"
"$work/env/bin/python" -m ruff format --quiet --check --config "$package/pyproject.toml" "$package"
"$work/env/bin/python" -m mypy --no-error-summary --config-file "$package/pyproject.toml" "$package/kpflow"
"$work/env/bin/python" -m pytest -q -p no:cacheprovider --rootdir "$package/tests" "$package/tests" "$@"
