#!/usr/bin/env bash
# Sets everything up on a fresh Debian 12 or Ubuntu 24.04 machine (root or sudo), builds Lathe,
# compresses the bundled example model on two MPI ranks and prints what came of it.
# Safe to run again: what is there is kept, and the finished run is only shown.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

./scripts/install_packages.sh
cmake --preset release -DLATHE_BUILD_TESTS=OFF -DLATHE_BUILD_BENCHMARKS=OFF >/dev/null
cmake --build --preset release

mpirun -n 2 --bind-to none build/release/bin/lathe run configs/example.yaml
