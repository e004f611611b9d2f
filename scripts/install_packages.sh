#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages Lathe builds with, those that are missing.
# usage: install_packages.sh [--tests | --fuzz | --gate]    --tests: also those that only tests need
#                                                           --fuzz: also those of scripts/fuzz.sh
#                                                           --gate: and those of scripts/gate.sh
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache pkg-config
  openmpi-bin libopenmpi-dev libhdf5-dev libopenblas-pthread-dev liblapacke-dev
  libyaml-cpp-dev nlohmann-json3-dev libcli11-dev libspdlog-dev libfmt-dev
  libpcre2-dev libutf8proc-dev libxxhash-dev libboost-dev libboost-context-dev
  libgtest-dev libgmock-dev libbenchmark-dev libsimde-dev node-d3 python3 python3-h5py
)
# A whole Slurm, which the tests start for themselves (tests/slurm); a browser and a terminal for
# what people look at (290 MB, and tests are skipped without them).
test_packages=(slurmctld slurmd slurm-client munge shellcheck python3-xxhash chromium tmux)
# A compiler with libFuzzer and its sanitizers.
fuzz_packages=(clang llvm libclang-rt-dev)
gate_packages=(clang-format-14 clang-tidy-14)
case "${1:-}" in
  --tests) packages+=("${test_packages[@]}") ;;
  --fuzz) packages+=("${fuzz_packages[@]}") ;;
  --gate) packages+=("${test_packages[@]}" "${fuzz_packages[@]}" "${gate_packages[@]}") ;;
  ?*) echo "install_packages.sh: unknown argument $1" >&2; exit 64 ;;
esac

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "install_packages.sh: needs root or sudo for: ${missing[*]}" >&2; exit 1; }
  sudo=(sudo)
fi
echo "installing: ${missing[*]}"
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
