#!/usr/bin/env python3
"""Errors of feed-forward layers whose heavy neurons are the heaviest, beside those of random splits of the same bytes.

    LATHE_BINARY=build/release/bin/lathe bench/random_splits.py MODEL --calibration FILE [--samples 32] [--length 256]

A quarter of the neurons has 8 bits, the others 3. For each unit: relative error over the mean of two random orders.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("--calibration", required=True)
parser.add_argument("--samples", default="32")
parser.add_argument("--length", default="256")
options = parser.parse_args()
CANDIDATE = ("{method: ffsplit, heavy_fraction: 0.25, heavy: {method: integer, num_bits: 8, solver: rtn}, "
             "light: {method: integer, num_bits: 3, solver: gptq}, targets: [\"re:.*[.](gate_up|up|down)$\"]}")


def errors(score, seed):
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [os.environ["LATHE_BINARY"], "run"]
        for key in (f"model={options.model}", f"output={scratch}/run", "budget=0.5x",
                    f"calibration.data={options.calibration}", f"calibration.num_calibration_samples={options.samples}",
                    f"calibration.max_seq_length={options.length}", "search.strategy=knapsack",
                    "search.num_evaluation_samples=2", f"candidates=[{CANDIDATE}]", f"ffsplit.score={score}", f"seed={seed}"):
            arguments += ["--set", key]
        subprocess.run(arguments, check=True, capture_output=True)
        plan = json.loads(pathlib.Path(scratch, "run/search/plan.json").read_text())
        return {unit["name"]: unit["relative_error"] for unit in plan["units"] if unit["setting"].startswith("ffsplit")}


own = errors("second_moment", 0)
others = [errors("random", seed) for seed in (1, 2)]
print("| units | number | error over that of random splits: least, median, most | not below both |\n|---|---|---|---|")
for part in ("up", "down"):
    names = [name for name in own if name.endswith(part)]
    ratios = [own[name] / statistics.mean(other[name] for other in others) for name in names]
    level = [name for name in names if own[name] >= min(other[name] for other in others)]
    print(f"| {part} | {len(names)} | {min(ratios):.3f}, {statistics.median(ratios):.3f}, {max(ratios):.3f} | {', '.join(level) or 'none'} |")
