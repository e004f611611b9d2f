#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests. Arguments go to ctest (-L unit, -R name).
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/install_packages.sh
cmake --preset release -DLATHE_BUILD_TESTS=ON -DLATHE_BUILD_BENCHMARKS=ON >/dev/null
cmake --build --preset release
ctest --preset release "$@"
