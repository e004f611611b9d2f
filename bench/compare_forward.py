#!/usr/bin/env python3
"""Runs forward_bench and torch_forward.py in turn and prints a table of medians.

The two take turns for `--rounds` rounds, so that a slow spell of a shared machine meets both. There
are two comparisons: by the clock, and by the processor time of all threads. On a machine that other
programs keep busy only the second says much. Ratios are PyTorch's median over ours: above 1 Lathe
is faster.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}


def output_of(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True,
                                     env=ENVIRONMENT).stdout)


def ours(bench, name_filter, seconds):
    """Case name -> (seconds, processor seconds)."""
    report = output_of([bench, "--benchmark_format=json", f"--benchmark_filter={name_filter}",
                        f"--benchmark_min_time={seconds}"])
    unit = 1e-3  # all cases report milliseconds
    times = {}
    for entry in report["benchmarks"]:
        name = entry["name"].replace("/process_time", "").replace("/real_time", "")
        times[name] = (entry["real_time"] * unit, entry["cpu_time"] * unit)
    return times


def theirs(python, name_filter, seconds, threads):
    """The same from PyTorch."""
    script = pathlib.Path(__file__).with_name("torch_forward.py")
    return output_of([python, str(script), "--threads", str(threads), "--seconds", str(seconds),
                      "--filter", name_filter])


def median(samples, i):
    return 1e3 * statistics.median(sample[i] for sample in samples)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bench", required=True, help="the forward_bench executable (2 threads)")
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each case and round")
    parser.add_argument("--filter", default="BM_", help="cases whose name contains this")
    arguments = parser.parse_args()

    lathe, torch = {}, {}
    for i in range(arguments.rounds):
        print(f"round {i + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
        for table, times in ((lathe, ours(arguments.bench, arguments.filter, arguments.seconds)),
                             (torch, theirs(arguments.python, arguments.filter, arguments.seconds,
                                            threads=2))):
            for name, values in times.items():
                table.setdefault(name, []).append(values)

    print(f"{'':<44} {'by the clock, ms':^26} | {'processor time, ms':^26}")
    print(f"{'case':<44} {'lathe':>9} {'torch':>9} {'ratio':>6} | "
          f"{'lathe':>9} {'torch':>9} {'ratio':>6}")
    for name in lathe:
        if name not in torch:
            continue
        columns = []
        for i in (0, 1):
            mine, other = median(lathe[name], i), median(torch[name], i)
            columns.append(f"{mine:>9.3f} {other:>9.3f} {other / mine:>6.2f}")
        print(f"{name:<44} {columns[0]} | {columns[1]}")


if __name__ == "__main__":
    main()
