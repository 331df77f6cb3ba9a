#!/usr/bin/env bash
# Follows the links of README.md and of the book, and runs their commands, a chapter at a time, each in a scratch copy where ./scripts, ./tests, ./docs and target/release/kpflow are.
#   KPFLOW=/path/to/kpflow PYTHON=/path/to/python scripts/test-docs.sh [FILE.md …]
# Blocks ```console are run, of each the lines that begin with "$ " (what follows them shows what is printed, and is not compared). Above a block may stand
#   <!-- not run: WHY -->     it is left out
#   <!-- needs: MODULE -->    it is left out where this Python has no such module (torch also means h5py and safetensors)
#   <!-- first: COMMAND -->   it is run before the block: what a reader has of their own
#   <!-- file: NAME -->       of any language: the block is written to a file, not run
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-python3}" scripts/test_docs.py "$@"
