#!/usr/bin/env bash
# The main job: the NTK of a trained GRU at three stages of its training, on two MPI ranks.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
cargo build --release -p kpflow-hpc --bin kpflow --example table
target=${CARGO_TARGET_DIR:-target}/release
mkdir -p demo-results

for stage in init step300 step1500; do
    echo
    echo "== MemoryPro GRU, $stage"
    scripts/mpirun.sh -n 2 "$target/kpflow" run "scripts/demo/memory_pro_$stage.toml" --output "demo-results/memory_pro_$stage.h5"
done

echo
"$target/examples/table" demo-results/memory_pro_{init,step300,step1500}.h5

echo
"$target/kpflow" report demo-results/memory_pro_{init,step300,step1500}.h5 --output demo-results/report.html
echo "Open $PWD/demo-results/report.html in a browser: the first figure shows the effective rank collapse."
