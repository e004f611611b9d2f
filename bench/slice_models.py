#!/usr/bin/env python3
"""Slicing in every order: perplexity and seconds of whole jobs that quantise nothing.

    bench/slice_models.py LATHE_BINARY --model DIRECTORY --calibration TEXT --text TEXT
        [--samples 64] [--length 256] [--sparsity 0.1 0.2 0.25 0.3] [--threads 2]

Prints a row for each kind and sparsity: width, parameters, perplexity over all of TEXT in windows of --length, and the
seconds of the calibrate, rotate, refit and slice stages. Widths after the first of one kind reuse what they can.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

KINDS = {
    "sequential": {"order": "sequential"},
    "dense": {},
    "dense, 1 touch-up": {"touch_up": 1},
    "dense, 2 touch-ups": {"touch_up": 2},
    "dense, searched widths": {"widths": "search"},
    "global": {"rotation": "global"},
    "sequential, refit": {"order": "sequential", "refit": "true"},
    "dense, refit": {"refit": "true"},
    "dense, searched, refit": {"widths": "search", "refit": "true"},
    "global, refit": {"rotation": "global", "refit": "true"},
}


def slice_job(options, output, sparsity, keys):
    settings = {"model": options.model, "budget": "0.5x", "candidates": "[{method: dense}]",
                "calibration.data": options.calibration, "calibration.num_calibration_samples": options.samples,
                "calibration.max_seq_length": options.length, "search.num_evaluation_samples": 1,
                "evaluate.perplexity": options.text, "evaluate.max_seq_length": options.length,
                "runtime.threads": options.threads, "slice.sparsity": sparsity}
    settings |= {f"slice.{key}": value for key, value in keys.items()}
    arguments = [options.binary, "run", "--json", "--quiet", "--output", str(output)]
    for key, value in settings.items():
        arguments += ["--set", f"{key}={value}"]
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    for name in ("--model", "--calibration", "--text"):
        parser.add_argument(name, required=True)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sparsity", nargs="+", default=["0.1", "0.2", "0.25", "0.3"])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as scratch:
            reusable = kind.removesuffix(", refit") in ("dense", "global")
            for sparsity in options.sparsity:
                output = pathlib.Path(scratch) / ("run" if reusable else sparsity)
                result = slice_job(options, output, sparsity, KINDS[kind])
                seconds = {s["name"]: s["seconds"] for s in result["stages"]}
                found = result["evaluation"][0]
                parts = " ".join(f"{seconds.get(name, 0):6.2f}" for name in ("calibrate", "rotate", "refit", "slice"))
                print(f"{kind:24} {sparsity:5} width {result['slice']['widths'][0]:5} "
                      f"parameters {result['slice']['parameters']:10} perplexity {found['perplexity']:9.4f} "
                      f"(source {found['source_perplexity']:.4f}) seconds {parts}", flush=True)


main()
