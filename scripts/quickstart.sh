#!/usr/bin/env bash
# Sets everything up on a fresh Debian 12 or Ubuntu 24.04 machine (root or sudo), builds Lathe,
# compresses the bundled example model on two MPI ranks and prints what came of it.
# Safe to run again: what is there is kept, and the finished run is only shown.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

./scripts/install_packages.sh
# The program alone. Not the CUDA plug-in, which takes long and cannot run without a device, unless
# asked for: LATHE_CUDA=ON.
cmake --preset quick -DLATHE_CUDA="${LATHE_CUDA:-OFF}" >/dev/null
cmake --build --preset quick

mpirun -n 2 --bind-to none build/quick/bin/lathe run configs/example.yaml
