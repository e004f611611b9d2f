#!/usr/bin/env python3
"""What each part of a model loses when it runs on whole numbers: alone, and left out of all.

usage: integer_parts.py LATHE MODEL (--task NAME --data FILE | --text FILE --seqlen N --limit N) [--block N ...]
MODEL is a directory or a checkpoint; losses are against it in fp32.
"""
import argparse
import json
import subprocess

PARTS = ("embedding", "products", "softmax", "activation", "norm", "residual", "storage")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("lathe")
parser.add_argument("model")
parser.add_argument("--task")
parser.add_argument("--data")
parser.add_argument("--text")
parser.add_argument("--seqlen")
parser.add_argument("--limit")
parser.add_argument("--block", nargs="*", default=["64"])
options = parser.parse_args()

what = ["--task", options.task, "--data", options.data] if options.task else ["--text", options.text]
for name in ("seqlen", "limit"):
    if getattr(options, name):
        what += [f"--{name}", getattr(options, name)]


def measure(parts, block="64"):
    done = subprocess.run([options.lathe, "eval", options.model, *what, "--reference", options.model, "--integer", parts,
                           "--integer-block", block, "--json"], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    score = found["perplexity"] if "perplexity" in found else 100 * found["value"]
    return score, found["kl"]


print("| parts | score | KL |\n|---|---|---|")
rows = [("weights", "weights")] + [(part, part) for part in PARTS] + [(f"all but {part}", f"all,-{part}") for part in PARTS]
for title, parts in rows:
    score, kl = measure(parts)
    print(f"| {title} | {score:.4f} | {kl:.6f} |", flush=True)
for block in options.block:
    score, kl = measure("all", block)
    print(f"| all, blocks of {block} | {score:.4f} | {kl:.6f} |", flush=True)
