#!/usr/bin/env bash
# Random small jobs against the dense oracle: scripts/soak.sh [SECONDS [SEED]]. Ten minutes unless said otherwise.
# A job that is wrong tells its seed; `scripts/soak.sh 1 SEED` runs it again.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --workspace --bin kpflow --bin soak --examples
target=$(realpath "${CARGO_TARGET_DIR:-target}/debug")
KPFLOW_BIN=${KPFLOW_BIN:-$target/kpflow} exec "$target/soak" "$@"
