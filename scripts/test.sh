#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests. Arguments go to ctest (-L unit, -R name).
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/install_packages.sh --tests
# In CI warnings are errors, and the sources of a folder are compiled together, which takes half the
# time. Where a CUDA compiler is found the plug-in is compiled too; for one architecture in CI: that
# shows errors.
preset=release
[ "${CI:-}" = true ] && preset=ci
cmake --preset "$preset" -DLATHE_BUILD_TESTS=ON -DLATHE_BUILD_BENCHMARKS=ON >/dev/null
cmake --build --preset "$preset"
ctest --preset "$preset" -j "$(nproc)" "$@"
