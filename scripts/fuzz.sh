#!/usr/bin/env bash
# Builds the fuzz targets and runs each for some seconds; fails if any of them found something.
# usage: fuzz.sh SECONDS [TARGET...]       no target: all of them (docs/fuzzing.md)
#   LATHE_FUZZ_RUNS=N   also stop a target after N inputs
#   LATHE_FUZZ_SEED=N   of the random numbers; 0, the default: another one each time
#   LATHE_FUZZ_CORPUS=DIR   keep what raises coverage in DIR/TARGET, and begin with it
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 64; }
[[ "${1:-}" =~ ^[0-9]+$ ]] || usage
seconds=$1
shift

here=tests/fuzz
build=build/fuzz
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in "$here"/targets/*.cpp; do targets+=("$(basename "$file" .cpp)"); done
fi
programs=()
for target in "${targets[@]}"; do
  [ -f "$here/targets/$target.cpp" ] || { echo "fuzz.sh: no target $target" >&2; exit 64; }
  programs+=("fuzz_$target")
done

command -v clang++ >/dev/null || { echo "fuzz.sh: no clang++; ./scripts/install_packages.sh --fuzz installs it" >&2; exit 69; }
cmake --preset fuzz >/dev/null
cmake --build "$build" --target "${programs[@]}"

# Ends with a report for what is undefined, for memory that is not freed, and for what a crash of
# the process is. HDF5 keeps memory of damaged files.
export ASAN_OPTIONS="detect_leaks=1:quarantine_size_mb=16:allocator_may_return_null=1:max_allocation_size_mb=256:use_sigaltstack=0"
export UBSAN_OPTIONS="print_stacktrace=1"
export LSAN_OPTIONS="suppressions=$PWD/tests/support/lsan.supp:print_suppressions=0"

found=$build/findings
mkdir -p "$found"

failed=0
table="$found/table.txt"
printf '%-22s %12s %10s %10s %9s %s\n' target inputs inputs/s edges features result | tee "$table"
# An input that takes more than 1 s of the processor's time is a finding of tests/fuzz/libfuzzer_main.cpp;
# -timeout is for one that never ends.
for target in "${targets[@]}"; do
  corpus=${LATHE_FUZZ_CORPUS:-$(mktemp -d)}
  mkdir -p "$corpus/$target"
  options=(-timeout=60 -rss_limit_mb=1024 -malloc_limit_mb=64 -max_len=8192 -print_final_stats=1
           "-max_total_time=$seconds" "-runs=${LATHE_FUZZ_RUNS:--1}" "-seed=${LATHE_FUZZ_SEED:-0}"
           "-artifact_prefix=$found/$target-")
  # HDF5 keeps memory from file to file, so libFuzzer would look for leaks after each.
  case $target in hdf5_artifact|compressed_checkpoint|token_rows) options+=(-detect_leaks=0) ;; esac
  dictionary=$here/dictionaries/$target.dict
  [ -f "$dictionary" ] && options+=("-dict=$dictionary")
  log=$found/$target.log
  rm -f "$found/$target"-*
  result=ok
  "$build/bin/fuzz_$target" "${options[@]}" "$corpus/$target" "$here/corpus/$target" >"$log" 2>&1 || result=FAILED
  [ -n "${LATHE_FUZZ_CORPUS:-}" ] || rm -rf "$corpus"
  last=$(grep -E '^#[0-9]+.* cov: ' "$log" | tail -1 || true)
  edges=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' <<<"$last")
  features=$(sed -n 's/.* ft: \([0-9]*\).*/\1/p' <<<"$last")
  inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
  printf '%-22s %12s %10s %10s %9s %s\n' "$target" "${inputs:-?}" "${rate:-?}" "${edges:-?}" "${features:-?}" "$result" | tee -a "$table"
  if [ "$result" = FAILED ]; then
    failed=1
    grep -m3 -E 'ERROR|SUMMARY|runtime error|does not hold|more than .* (in memory|for one input)|terminate called|what\(\)|Test unit written' "$log" | sed 's/^/    /' || true
  fi
done
[ $failed -eq 0 ] || { echo "fuzz.sh: findings and logs are in $found" >&2; exit 1; }
