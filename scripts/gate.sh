#!/usr/bin/env bash
# What a change must pass, in parts:
#
#   scripts/gate.sh                     all of them, cheap ones first
#   scripts/gate.sh format tidy         these
#
#   format   clang-format on every file
#   tests    scripts/test.sh: a release build, in which warnings are errors, and all tests
#   headers  each header compiles alone
#   tidy     clang-tidy on the lines that the change touches
#   fuzz     each fuzz target for a moment
#   tsan     tests whose threads meet, under the thread sanitizer
#   asan     unit, kernel and rank tests under the address and undefined-behaviour sanitizers
#
# A part that fails does not keep the others from running. The last lines say what each part took and
# how many passed; the exit code is 0 only if all did. CONTRIBUTING.md has more.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

all=(format tests headers tidy fuzz tsan asan)
jobs=$(nproc)
tidy_seconds=${LATHE_TIDY_SECONDS:-240}  # no file is begun after so long
fuzz_seconds=${LATHE_FUZZ_SECONDS:-5}    # of each target
# The sanitizers watch the code of the CPU; the CUDA plug-in is compiled by the release build.
options=(-DLATHE_CUDA=OFF -DLATHE_WERROR=ON -DLATHE_BUILD_BENCHMARKS=OFF)

sources() { git ls-files -- '*.cpp' '*.hpp' '*.cu' '*.cuh' '*.c'; }

part_format() { sources | xargs -r clang-format-14 --dry-run -Werror; }

part_tests() { CI=true ./scripts/test.sh; }

part_headers() {
  cmake --preset debug -B build/headers "${options[@]}" -DLATHE_BUILD_TESTS=OFF -DCMAKE_CXX_FLAGS_DEBUG=-g0 >/dev/null &&
    cmake --build build/headers --target all_verify_interface_header_sets -- -k 0
}

# Where the change began: the main branch, or the commit before. Where a checkout has neither, the
# empty tree: all lines count as new.
base_commit() {
  local base
  base=$(git merge-base HEAD origin/main 2>/dev/null) || base=
  if [ -z "$base" ] || [ "$base" = "$(git rev-parse HEAD)" ]; then
    base=$(git rev-parse --verify --quiet HEAD^) || base=$(git hash-object -t tree /dev/null)
  fi
  echo "$base"
}

# tidy_file DEADLINE BASE FILE: the lines of one file that differ from the base, unless the time is
# over. The compiler's command of a header is that of its neighbour.
tidy_file() {
  local found
  if [ "$(date +%s)" -ge "$1" ]; then
    echo "not reached in time: $3"
    return 0
  fi
  found=$(git diff -U0 "$2" -- "$3" | clang-tidy-diff-14.py -p1 -path build/tidy -quiet \
    -clang-tidy-binary clang-tidy-14 -extra-arg=-Wno-unknown-warning-option 2>&1)
  if grep -qE ': (warning|error): ' <<<"$found"; then
    echo "$found"
    return 1
  fi
}
export -f tidy_file

part_tidy() {
  local base
  cmake --preset debug -B build/tidy "${options[@]}" -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON >/dev/null || return
  base=$(base_commit)
  # Left out: inner loops, compiled once an instruction set, with that one's names; and what has CUDA's names.
  git diff --name-only --diff-filter=d "$base" -- '*.cpp' '*.hpp' |
    sed -E '/^(tests\/kernels\/emulated|tests\/emulated_device|kernels\/cpu\/variants)\//d' |
    xargs -r -n 1 -P "$jobs" bash -c 'tidy_file "$@"' _ "$(($(date +%s) + tidy_seconds))" "$base"
}

# sanitized PRESET LABELS: builds and runs the tests with one of these labels.
sanitized() {
  cmake --preset "$1" "${options[@]}" >/dev/null &&
    cmake --build --preset "$1" --target "$2" &&
    ctest --preset "$1" -j "$jobs" -L "$3"
}
part_tsan() { sanitized tsan thread_tests '^threads$'; }
part_asan() { sanitized asan unit_tests '^(unit|kernels|mpi)$'; }

# The same inputs each time: what a change did not cause must not keep it out.
part_fuzz() { LATHE_FUZZ_SEED=1 LATHE_FUZZ_RUNS="${LATHE_FUZZ_RUNS:-2000}" scripts/fuzz.sh "$fuzz_seconds"; }

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=("${all[@]}")
for part in "${parts[@]}"; do
  if [[ " ${all[*]} " != *" $part "* ]]; then
    echo "gate.sh: no part '$part'; there are: ${all[*]}" >&2
    exit 64
  fi
done

./scripts/install_packages.sh --gate || exit
passed=0
failed=()
table=()
for part in "${parts[@]}"; do
  echo "== gate: $part"
  start=$SECONDS
  if "part_$part"; then
    status=passed
    passed=$((passed + 1))
  else
    status=FAILED
    failed+=("$part")
  fi
  table+=("$(printf '%-8s %-6s %5d s' "$part" "$status" $((SECONDS - start)))")
done
echo "== gate"
printf '%s\n' "${table[@]}"
echo "$passed passed, ${#failed[@]} failed${failed[*]:+: ${failed[*]}}"
[ ${#failed[@]} -eq 0 ]
