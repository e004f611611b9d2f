#!/usr/bin/env python3
"""What blocks of whole numbers make of a language model: weights alone, and everything, at several sizes of blocks.

usage: integer_blocks.py LATHE MODEL OUT --calibration FILE --text FILE [--seqlen N] [--limit N] [--bits 8 4] [--block 16 64 256 1024]
       [--solver rtn gptq]
Matrices are in --bits, norms, biases and tables in 8; activations in blocks of the same size. Runs stay in OUT and are not made again.
"""
import argparse
import json
import pathlib
import subprocess

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("lathe")
parser.add_argument("model")
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--calibration", required=True)
parser.add_argument("--text", required=True)
parser.add_argument("--seqlen", default="256")
parser.add_argument("--limit", default="16")
parser.add_argument("--bits", nargs="*", type=int, default=[8, 4])
parser.add_argument("--block", nargs="*", type=int, default=[16, 64, 256, 1024])
parser.add_argument("--solver", nargs="*", default=["rtn", "gptq"])
options = parser.parse_args()


def job(bits, block, solver):
    tensors = {"method": "bct", "num_bits": 8, "block_size": block, "scale": "shift8", "solver": "rtn"}
    return {
        "model": options.model,
        "output": str(options.out / f"{bits}bit-{block}-{solver}"),
        # One candidate, so the budget only has to leave dense weights out.
        "candidates": [{**tensors, "num_bits": bits, "solver": solver}],
        "kept_tensors": tensors,
        "budget": "12bpw",
        "calibration": {"data": options.calibration, "num_calibration_samples": 32, "max_seq_length": 256},
        "search": {"strategy": "homogeneous", "num_evaluation_samples": 4},
    }


def measure(checkpoint, parts, block):
    done = subprocess.run([options.lathe, "eval", checkpoint, "--text", options.text, "--seqlen", options.seqlen, "--limit",
                           options.limit, "--reference", options.model, "--integer", parts, "--integer-block", str(block),
                           "--json"], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    return f"{found['perplexity']:.3f} | {found['kl']:.5f}"


options.out.mkdir(parents=True, exist_ok=True)
print("| bits | solver | blocks of | weights: perplexity | KL | everything: perplexity | KL |\n|---|---|---|---|---|---|---|")
for bits in options.bits:
    for solver in options.solver:
        for block in options.block:
            settings = job(bits, block, solver)
            file = options.out / f"{bits}-{block}-{solver}.json"
            file.write_text(json.dumps(settings))
            done = subprocess.run([options.lathe, "run", str(file)], capture_output=True, text=True)
            if done.returncode != 0:
                raise SystemExit(done.stderr)
            checkpoint = settings["output"] + "/checkpoint"
            print(f"| {bits} | {solver} | {block} | {measure(checkpoint, 'weights', block)} | {measure(checkpoint, 'all', block)} |",
                  flush=True)
