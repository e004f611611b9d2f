#!/usr/bin/env python3
"""FFSplit's setting (arXiv:2401.04044) on a classifier: 43.1 % of the blocks' weights off, all of it from the
feed-forward layers, in several ways of the same size.

    LATHE_BINARY=build/release/bin/lathe bench/ffsplit.py MODEL --train train.tsv --dev dev.tsv [--task sst2]

Heavy neurons stay as they are, the light ones become two factors; the heavy ones are those of the largest second
moment, mean or frequency, or any (three seeds); and one low rank for all. Each also refined in order.
"""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", type=pathlib.Path)
parser.add_argument("--train", required=True)
parser.add_argument("--dev", required=True)
parser.add_argument("--task", default="sst2")
parser.add_argument("--off", type=float, default=0.431, help="share of the blocks' weights that goes")
options = parser.parse_args()

config = json.loads((options.model / "config.json").read_text())
d, f = config["hidden_size"], config["intermediate_size"]
block = 4 * d * d + 2 * d * f
kept = 1 - options.off * block / (2 * d * f)  # of a feed-forward layer's weights
FEED_FORWARD = '["re:.*[.](up|gate_up|down)"]'


def rank_of(heavy):
    """Of the light part beside so many heavy neurons."""
    return round((kept - heavy / f) * d * f / (d + f - heavy))


def run(candidate, refine, *keys):
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [os.environ["LATHE_BINARY"], "run", "--json"]
        for key in (f"model={options.model}", f"output={scratch}/run", "budget=0.5x", f"calibration.data={options.train}",
                    "calibration.num_calibration_samples=1024", "calibration.max_seq_length=64",
                    "search.strategy=knapsack", "search.num_evaluation_samples=64", f"candidates=[{candidate}]",
                    f"refine={'sequential' if refine else 'none'}",
                    f"evaluate.tasks=[{{task: {options.task}, data: {options.dev}}}]", *keys):
            arguments += ["--set", key]
        report = json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)
        plan = json.loads(pathlib.Path(scratch, "run/search/plan.json").read_text())
        weights = sum(unit["bytes"] for unit in plan["units"] if unit["name"].startswith("block")) / 2
        blocks = config["num_hidden_layers"] * block
        errors = [unit["relative_error"] for unit in plan["units"] if unit["name"].endswith(("up", "down"))]
        found = report["evaluation"][0]
        return {"blocks_off": 1 - weights / blocks, "model_off": 1 - report["checkpoint_bytes"] / report["source_bytes"],
                "mean_error": sum(errors) / len(errors), "errors": errors, "evaluation": found}


def show(name, candidate, *keys):
    for refine in (False, True):
        found = run(candidate, refine, *keys)
        print(json.dumps({"name": name, "refined": refine, **found}), flush=True)


def split(heavy):
    return (f"{{method: ffsplit, heavy_fraction: {heavy / f}, heavy: dense, "
            f"light: {{method: low_rank, rank: {rank_of(heavy)}}}, targets: {FEED_FORWARD}}}")


show("one low rank", f"{{method: low_rank, rank: {round(kept * d * f / (d + f))}, targets: {FEED_FORWARD}}}")
for share in (0.0625, 0.125, 0.25):
    heavy = max(64, round(share * f / 64) * 64)
    name = f"{heavy} heavy neurons, rank {rank_of(heavy)}"
    for score in ("second_moment", "mean", "frequency"):
        show(f"{name}, {score}", split(heavy), f"ffsplit.score={score}")
    for seed in (1, 2, 3):
        show(f"{name}, random {seed}", split(heavy), "ffsplit.score=random", f"seed={seed}")
