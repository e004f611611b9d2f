#!/usr/bin/env python3
"""Runs tests on the emulated device under several orders of threads, blocks, copies and operations.

usage: schedules_test.py PLUGIN_DIR PROGRAM FILTER SCHEDULE...

All must pass, and what they copied to the host must be the same, bit for bit.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor


def run(plugin, program, tests, schedule, results):
    environment = dict(os.environ, LATHE_PLUGIN_DIR=plugin, LATHE_TEST_BACKEND="cuda", LATHE_EMULATED_SCHEDULE=schedule,
                       LATHE_EMULATED_RESULTS=str(results), OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    return subprocess.run([program, f"--gtest_filter={tests}"], env=environment, capture_output=True, text=True)


def main():
    plugin, program, tests, *schedules = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        files = [pathlib.Path(folder) / schedule for schedule in schedules]
        runs = list(pool.map(lambda s, f: run(plugin, program, tests, s, f), schedules, files))
        results = [file.read_text().strip() if file.exists() else "nothing" for file in files]
    failed = False
    for schedule, done, result in zip(schedules, runs, results):
        passed = re.search(r"\[  PASSED  \] (\d+) test", done.stdout)
        n_passed = int(passed[1]) if passed else 0
        print(f"{schedule}: {n_passed} tests passed; copied to the host: {result}")
        if done.returncode != 0 or n_passed == 0:
            failed = True
            print(done.stdout[-4000:], done.stderr[-2000:])
    if len(set(results)) != 1 or results[0] == "nothing":
        failed = True
        print("what was copied to the host depends on the schedule")
    sys.exit(failed)


main()
