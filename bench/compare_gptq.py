#!/usr/bin/env python3
"""Times GPTQ of one layer, ours against PyTorch, in turns so that both see the same machine.

    compare_gptq.py --bench BUILD/bin/compression_bench [--python PYTHON] [--size 2048] [--rounds 5]

Prints the times of each round in milliseconds, the medians and their ratio. --python is one that has
torch; --search lets PyTorch search its scales as ours always does.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys


def ours(bench, size):
    """Milliseconds of BM_Gptq: factor, grids and sweep."""
    output = subprocess.run(
        [bench, f"--benchmark_filter=^BM_Gptq/d:{size}/", "--benchmark_format=json",
         "--benchmark_min_time=0.5"],
        check=True, capture_output=True, text=True).stdout
    rows = json.loads(output)["benchmarks"]
    if len(rows) != 1:
        sys.exit(f"{bench} has {len(rows)} benchmarks BM_Gptq of size {size}, expected 1")
    return rows[0]["real_time"]


def theirs(python, size, threads, search):
    script = pathlib.Path(__file__).with_name("torch_gptq.py")
    command = [python, str(script), "--size", str(size), "--threads", str(threads)]
    output = subprocess.run(command + (["--search"] if search else []), check=True,
                            capture_output=True, text=True).stdout
    return 1000.0 * statistics.median(float(line) for line in output.split())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bench", required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--search", action="store_true")
    arguments = parser.parse_args()
    lathe_times, torch_times = [], []
    for i in range(arguments.rounds):
        lathe_times.append(ours(arguments.bench, arguments.size))
        torch_times.append(
            theirs(arguments.python, arguments.size, arguments.threads, arguments.search))
        print(f"round {i + 1}: lathe {lathe_times[-1]:.0f} ms, torch {torch_times[-1]:.0f} ms",
              flush=True)
    lathe_median, torch_median = statistics.median(lathe_times), statistics.median(torch_times)
    print(f"median: lathe {lathe_median:.0f} ms, torch {torch_median:.0f} ms, "
          f"ratio {torch_median / lathe_median:.2f}")


if __name__ == "__main__":
    main()
