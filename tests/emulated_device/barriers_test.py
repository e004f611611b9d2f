#!/usr/bin/env python3
"""Leaves out each barrier and each wait for copies of kernels/cuda in turn: the tests must notice.

usage: barriers_test.py SOURCE_DIR PLUGIN_DIR KERNELS_TEST COMPRESSION_KERNELS_TEST

Prints a table: the place, the test that failed first, and what was said. A barrier that can go without a
test that fails is one too many, or a test is missing.
"""
import os
import pathlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

BARRIER = re.compile(r"^\s*(__syncthreads|__syncwarp|__pipeline_wait_prior)\(")
# Which tests run the kernels of a file.
TESTS = {
    "attention.cu": (0, "*Attention*/cuda:AttentionParity*"),
    "descent.cu": (1, "*Descent*/cuda:*BinaryFitting.DescentNever*/cuda"),
    "launch.cuh": (0, "*Losses*/cuda:LossParity*:RowParity*"),
    "packed.cu": (0, "*/Packed*/cuda"),
    "packed_planes.cu": (0, "*/Packed*/cuda"),
    "sparse.cu": (1, "*SparseKernels*/cuda"),
    "sweep.cuh": (1, "*Compression.*/cuda"),
    "tile_product.cuh": (0, "*/Packed*/cuda"),
}


def places(sources):
    for file in sorted(sources.glob("*.cu*")):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            found = BARRIER.match(line)
            if found:
                yield file.name, number, found[1]


def first_failure(plugin, program, tests, place):
    environment = dict(os.environ, LATHE_PLUGIN_DIR=plugin, LATHE_EMULATED_WITHOUT=place, OMP_NUM_THREADS="1",
                       OPENBLAS_NUM_THREADS="1")
    done = subprocess.run([program, f"--gtest_filter={tests}", "--gtest_fail_fast"], env=environment, capture_output=True,
                          text=True)
    failed = re.search(r"\[  FAILED  \] (?:Backends/)?([\w.]+)", done.stdout)
    if failed is None:
        return None
    said = re.search(r"emulated device: (.*?)(; in |$)", done.stdout)
    what = said[1] if said else "a wrong result"
    return failed[1], re.sub(r"(thread|block|bytes?) (\d+|at \w+,?)", r"\1", what)


def main():
    sources, plugin, *programs = sys.argv[1:]
    found = list(places(pathlib.Path(sources) / "kernels/cuda"))
    unknown = {file for file, _, _ in found} - set(TESTS)
    if unknown or not found:
        sys.exit(f"barriers in files that no test is named for: {sorted(unknown)}")

    def try_place(place):
        program, tests = TESTS[place[0]]
        return first_failure(plugin, programs[program], tests, f"{place[0]}:{place[1]}")

    unnoticed = 0
    with ThreadPoolExecutor(2) as pool:
        for (file, number, name), failure in zip(found, pool.map(try_place, found)):
            print(f"| {file}:{number} `{name}` | {failure[0] if failure else 'none'} | {failure[1] if failure else ''} |",
                  flush=True)
            unnoticed += failure is None
    print(f"{len(found)} barriers and waits, {unnoticed} of them unnoticed when they are left out")
    sys.exit(unnoticed > 0)


main()
