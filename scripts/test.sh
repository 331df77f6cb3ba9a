#!/usr/bin/env bash
# Every test there is; what CI runs. Needs rust and gcc; scripts/setup.sh installs the rest. Any failure ends it with a status that is not 0.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}/debug

step() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }

scripts/setup.sh

if cargo fmt --version >/dev/null 2>&1; then
    step "format"
    cargo fmt --all --check
    cargo fmt --check --manifest-path kpflow-core/embed/firmware/Cargo.toml
    cargo fmt --check --manifest-path kpflow-hpc/python/Cargo.toml
    # Files that a macro names, which it does not find.
    rustfmt --check --edition 2021 kpflow-hpc/src/analysis/*.rs
fi

step "no two files import each other"
python3 scripts/circles.py

# One profile throughout, dev: it is optimised like release, and checks overflow and debug assertions besides.
# From nothing, what is compiled once needs no notes for a second time.
if [ ! -d "$target/deps" ]; then export CARGO_INCREMENTAL=0; fi

step "without MPI and OpenBLAS: the program is built"
# Not optimised: nothing large is run with it, and it is built once more for all the rest.
cargo build -p kpflow-hpc --no-default-features --config 'profile.dev.package.kpflow-hpc.opt-level=0'
cp "$target/kpflow" "$target/kpflow-serial"
if ldd "$target/kpflow-serial" | grep -E 'libmpi|libopenblas|libblas'; then
    echo "the program without MPI and OpenBLAS is linked to them" >&2
    exit 1
fi

step "everything, with MPI and OpenBLAS: libraries, program, documentation's examples"
# It builds the program, with MPI now, and the examples before it runs a test: no test has to.
KPFLOW_BIN=$(realpath "$target")/kpflow cargo test --workspace --no-fail-fast

step "without MPI and OpenBLAS: the program alone"
# The same test programs: nothing is built again.
KPFLOW_BIN=$(realpath "$target/kpflow-serial") cargo test --workspace --test '*' alone

step "the benchmark is what cargo run -p kpflow-bench runs"
# The package has other programs. To run it would build its libraries once more: a minute.
cargo metadata --no-deps --format-version 1 | grep '"default_run":"kpflow-bench"' >/dev/null

step "on a microcontroller"
scripts/test-embedded.sh

step "reports in a browser"
KPFLOW=$(realpath "$target/kpflow") scripts/test-report.sh

step "damaged files: five seconds of each"
fuzz=$(realpath "$target/examples/fuzz") here=$PWD
(
    cd "$(mktemp -d)" # what breaks something is kept there
    "$fuzz" onnx 5 1 "$here"/tests/reference/{onnx,operators} "$here/tests/fuzz"
    "$fuzz" safetensors 5 1 "$here"/tests/{reference/data,golden,fuzz}
    for kind in job npy results; do
        "$fuzz" $kind 5 1 "$here/tests/fuzz"
    done
)

if cargo deny --version >/dev/null 2>&1; then
    step "licences, duplicates and sources of what is linked"
    cargo deny check licenses bans sources
fi

step "the batch scripts, on a Slurm of their own"
KPFLOW=$(realpath "$target/kpflow") scripts/test-slurm.sh

step "the Python scripts"
KPFLOW=$(realpath "$target/kpflow") scripts/test-python.sh

step "the Python package, without torch"
scripts/test-package.sh

step "the commands of README and book"
KPFLOW=$(realpath "$target/kpflow") scripts/test-docs.sh

if command -v shellcheck >/dev/null; then
    step "shellcheck"
    shellcheck scripts/*.sh scripts/slurm/*.sbatch
fi
if command -v hadolint >/dev/null; then
    step "hadolint"
    hadolint scripts/container/Dockerfile
fi

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

if cargo clippy --version >/dev/null 2>&1; then
    step "clippy"
    cargo clippy --workspace --all-targets --quiet -- -D warnings
else
    step "the benchmarks compile"
    cargo check -p kpflow-bench --all-targets --quiet
fi

step "all passed"
