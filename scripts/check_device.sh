#!/usr/bin/env bash
# Everything that only a machine with an NVIDIA device can show about the CUDA backend, with one
# command and no network: builds, runs the kernel tests against the reference, compute-sanitizer, the
# benchmarks, and the example job on cpu and on cuda, and prints a summary. Logs go to the directory
# given as the argument (runs/check_device). Fails if a step fails; benchmarks are only reported.
#
#   SKIP="sanitizer bench job" scripts/check_device.sh DIR     leaves steps out
#   ONLY="tests" scripts/check_device.sh DIR                   runs only these (besides the build)
#   SECONDS_LEFT=480 scripts/check_device.sh DIR               ends within so many seconds: each step has a limit of its
#                                                              own, and what is not reached is said; the default is none
#   PLUGIN=FILE scripts/check_device.sh DIR                    takes this plug-in and compiles none: that of the emulated
#                                                              device tries the script where there is no device
#
# A machine with a device but without the libraries that a build needs runs what another one built:
#
#   scripts/check_device.sh --bundle FILE.tar.xz               there: packs build/release
#   tar xf FILE.tar.xz && cd lathe-device && scripts/check_device.sh
#
# The bundle has programs, their libraries, and the sources of the plug-in, which is compiled by the
# machine's own nvcc.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

bundle() {
  local stage program library
  stage=$(mktemp -d)/lathe-device
  mkdir -p "$stage"/build/device/{bin,lib} "$stage/lib"
  for program in lathe "${tests[@]}" device_bench; do
    strip -o "$stage/build/device/bin/$program" "build/release/bin/$program" || return 1
    # The C and C++ libraries are the machine's own: they must be at least as new.
    ldd "build/release/bin/$program" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' |
      grep -vE '/(libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s|libresolv)\.so' |
      while read -r library; do cp -uL "$library" "$stage/build/device/lib/"; done
  done
  cp -r kernels cmake scripts configs examples "$stage/"
  cp -r lib/core "$stage/lib/"
  mkdir -p "$stage/bench" && cp bench/cublas_bench.cpp "$stage/bench/"
  touch "$stage/build/device/prebuilt"
  tar -C "$(dirname "$stage")" -cJf "$1" lathe-device
  rm -rf "$(dirname "$stage")"
}
tests=(kernels_test compression_kernels_test methods_test workers_test)
if [ "${1:-}" = --bundle ]; then
  bundle "$2"
  exit
fi

logs=${1:-runs/check_device}
skip=" ${SKIP:-} "
only=" ${ONLY:-configure build tests job bench sanitizer} configure build "
mkdir -p "$logs"
build=build/device
summary=()
failed=0
# The longest that a step may take, by the first word of its name, where the time as a whole is limited.
declare -A limits=([configure]=40 [build]=150 [tests]=90 [job]=60 [bench]=60 [sanitizer]=90)
export build logs PLUGIN="${PLUGIN:-}"

# step NAME COMMAND...: runs it with its output in NAME.log; says how it ended and how long it took.
step() {
  local name=$1 start=$SECONDS status=ok limit=0
  shift
  if [[ "$skip" == *" ${name%%-*} "* || "$only" != *" ${name%%-*} "* ]]; then
    summary+=("$(printf '%-24s left out' "$name")")
    return 0
  fi
  if [ -n "${SECONDS_LEFT:-}" ]; then
    limit=$((SECONDS_LEFT - SECONDS))
    if [ "$limit" -le 0 ]; then
      summary+=("$(printf '%-24s not reached' "$name")")
      failed=1
      return 1
    fi
    [ "$limit" -lt "${limits[${name%%-*}]}" ] || limit=${limits[${name%%-*}]}
  fi
  echo "== $name"
  # Functions are exported to a shell of their own, which can be stopped.
  if ! timeout --kill-after=5 "$limit" bash -c '"$@"' _ "$@" >"$logs/$name.log" 2>&1; then
    status=FAILED
    [ "$limit" -gt 0 ] && [ $((SECONDS - start)) -ge "$limit" ] && status='TIME UP'
    failed=1
    tail -n 25 "$logs/$name.log"
  fi
  summary+=("$(printf '%-24s %-7s %4d s' "$name" "$status" $((SECONDS - start)))")
  [ "$status" = ok ]
}

finish() {
  {
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null
    git rev-parse --short HEAD 2>/dev/null
    printf '%s\n' "${summary[@]}"
    grep -hE '^\[  (FAILED|PASSED) ' "$logs"/tests-*.log 2>/dev/null
    cat "$logs"/bench-*.log "$logs"/job-comparison.log 2>/dev/null
  } | tee "$logs/summary.txt"
  exit "$failed"
}

configure() {
  if [ -n "$PLUGIN" ]; then
    test -e "$build/bin/lathe" && test -e "$PLUGIN"
    return
  fi
  if [ -e "$build/prebuilt" ]; then
    cmake -S kernels/cuda -B "$build/plugin" -DCMAKE_CUDA_ARCHITECTURES="${ARCHITECTURES:-native}"
    return
  fi
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLATHE_BUILD_TESTS=ON \
    -DLATHE_BUILD_BENCHMARKS=ON -DLATHE_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES="${ARCHITECTURES:-native}" &&
    grep -q '^CMAKE_CUDA_COMPILER:FILEPATH=.*nvcc' "$build/CMakeCache.txt"
}
build_targets() {
  if [ -n "$PLUGIN" ]; then
    cp "$PLUGIN" "$build/bin/liblathe_cuda.so"
    return
  fi
  if [ -e "$build/prebuilt" ]; then
    cmake --build "$build/plugin" --parallel && cp "$build"/plugin/bin/*.so "$build/bin/" &&
      nvcc -O2 -std=c++17 -o "$build/bin/cublas_bench" bench/cublas_bench.cpp -lcublas
    return
  fi
  cmake --build "$build" --target lathe lathe_cuda "${tests[@]}" device_bench cublas_bench
}

# The example job on one rank.
job() {
  local backend=$1 run="$logs/run-$1"
  rm -rf "$run"
  "$build/bin/lathe" run configs/example.yaml --backend "$backend" --output "$run"
}

# The same checkpoint on the other backend.
evaluate_cpu_checkpoint() {
  "$build/bin/lathe" eval "$logs/run-cpu/checkpoint" --text examples/kjv/test.txt --seqlen 256 \
    --backend cuda --json
}

# One checkpoint's perplexity must be the same to 1e-3 on both backends. The two jobs' plans may differ
# where candidates measure alike; the errors of candidates that both took show whether they should.
compare_jobs() {
  python3 - "$logs/run-cpu" "$logs/run-cuda" "$logs/job-eval.log" <<'PYTHON'
import json, pathlib, sys

runs = [pathlib.Path(run) for run in sys.argv[1:3]]
cpu, cuda = ({unit["name"]: unit for unit in json.loads((run / "search/plan.json").read_text())["units"]}
             for run in runs)
different = [name for name in cpu if cpu[name]["setting"] != cuda[name]["setting"]]
print(f"plan: {len(different)} of {len(cpu)} units have another setting")
for name in different:
    for backend, plan in (("cpu", cpu), ("cuda", cuda)):
        unit = plan[name]
        print(f"  {name} {backend}: {unit['setting']}, relative error {unit['relative_error']:.6e}")
worst_error = max(abs(cpu[n]["relative_error"] - cuda[n]["relative_error"]) / max(cpu[n]["relative_error"], 1e-30)
                  for n in cpu if n not in different)
print(f"errors of the others differ by up to {worst_error:.1e} of themselves")

def perplexities(value, path=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from perplexities(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from perplexities(inner, f"{path}/{number}")
    elif isinstance(value, (int, float)) and "perplexity" in path and "error" not in path:
        yield path, value

reports = [dict(perplexities(json.loads((run / "report.json").read_text())["evaluation"])) for run in runs]
for path, value in reports[0].items():
    print(f"job {path}: cpu {value:.6f}, cuda {reports[1][path]:.6f}")
here = [value for path, value in reports[0].items() if path.endswith("/perplexity")]
text = pathlib.Path(sys.argv[3]).read_text()
there = [value for path, value in perplexities(json.loads(text[text.index("{"):])) if path.endswith("perplexity")]
worst = max(abs(a - b) / a for a, b in zip(here, there))
print(f"cpu's checkpoint on cuda: {there[0]:.6f}, {worst:.1e} of itself from the cpu's {here[0]:.6f}")
sys.exit(worst > 1e-3)
PYTHON
}

export -f configure build_targets job evaluate_cpu_checkpoint compare_jobs
step configure configure || finish
step build build_targets || finish
export LATHE_PLUGIN_DIR="$PWD/$build/bin"
export LD_LIBRARY_PATH="$PWD/$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
step tests-kernels "$build/bin/kernels_test"
step tests-compression "$build/bin/compression_kernels_test"
step tests-methods env LATHE_TEST_BACKEND=cuda "$build/bin/methods_test"
step tests-workers "$build/bin/workers_test" --gtest_filter='*arity*'
step job-cpu job cpu
step job-cuda job cuda
step job-eval evaluate_cpu_checkpoint
step job-comparison compare_jobs
step bench-device "$build/bin/device_bench" cuda
[ -n "$PLUGIN" ] || step bench-cublas "$build/bin/cublas_bench"
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    step "sanitizer-$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 \
      "$build/bin/kernels_test" --gtest_filter='*/cuda'
    step "sanitizer-$tool-compression" compute-sanitizer --tool "$tool" --error-exitcode 9 \
      "$build/bin/compression_kernels_test" --gtest_filter='*/cuda:-*Quality*'
  done
else
  summary+=("sanitizer                not found")
fi
finish
