#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests. Arguments go to ctest (-L unit, -R name).
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/install_packages.sh --tests
# In CI warnings are errors. Where a CUDA compiler is found the plug-in is compiled too; for one
# architecture in CI: that shows errors.
options=()
[ "${CI:-}" = true ] && options+=(-DLATHE_WERROR=ON -DCMAKE_CUDA_ARCHITECTURES=90-real)
cmake --preset release -DLATHE_BUILD_TESTS=ON -DLATHE_BUILD_BENCHMARKS=ON "${options[@]}" >/dev/null
cmake --build --preset release
ctest --preset release -j "$(nproc)" "$@"
