#!/usr/bin/env python3
"""Every search strategy at several budgets, from the same candidates, judged on a text that no search sees.

    bench/search_strategies.py LATHE_BINARY [--budgets 3x 4x 6x 8x] [--candidates YAML] [--samples 16] [--refine]

One run of the example with --candidates, then for each strategy `lathe search --assemble` and `lathe eval` on
examples/kjv/test.txt. Prints a row each: budget, strategy, bytes, the plan's origin, divergence on the evaluation
samples, divergence and perplexity on the test text.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
TEXTS = ROOT / "examples/kjv"
CANDIDATES = ("[{method: dense}, {method: integer, num_bits: [2, 3, 4], solver: admm}, {method: integer, num_bits: 8, solver: gptq}, "
              "{method: integer, num_bits: [2, 3, 4, 8], solver: rtn}, {method: bcq, num_bits: [1, 2, 3], group_size: 128}, "
              "{method: bcq, num_bits: [1, 2, 3], group_size: 128, solver: alternating}]")


def lathe(binary, *arguments):
    done = subprocess.run([binary, *map(str, arguments), "--json", "--quiet"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--budgets", nargs="+", default=["3x", "4x", "6x", "8x"])
    parser.add_argument("--strategies", nargs="+", default=["homogeneous", "greedy", "knapsack", "evolution"])
    parser.add_argument("--candidates", default=CANDIDATES)
    parser.add_argument("--samples", type=int, default=16, help="evaluation samples of the search")
    parser.add_argument("--refine", action="store_true", help="refine every plan")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lathe-bench-") as scratch:
        run = pathlib.Path(scratch) / "run"
        lathe(options.binary, "run", ROOT / "configs/example.yaml", "--output", run, "--set", f"model={ROOT}/examples/kjv-llama",
              "--set", f"calibration.data={TEXTS}/train.txt", "--set", f"search.evaluation={TEXTS}/validation.txt",
              "--set", f"search.num_evaluation_samples={options.samples}", "--set", f"candidates={options.candidates}",
              "--set", "evaluate.perplexity=[]", "--set", "export=[]", "--set", "search.strategy=knapsack",
              "--set", f"refine={'sequential' if options.refine else 'none'}")
        for budget in options.budgets:
            for strategy in options.strategies:
                plan = lathe(options.binary, "search", run, "--budget", budget, "--strategy", strategy, "--assemble")["plans"][0]
                found = lathe(options.binary, "eval", plan["checkpoint"], "--text", TEXTS / "test.txt", "--seqlen", 256, "--kl",
                              ROOT / "examples/kjv-llama")
                print(f"{budget:4} {strategy:12} {plan['checkpoint_bytes']:9} kl {plan['kl']:9.5f} test kl {found['kl']:9.5f} "
                      f"perplexity {found['perplexity']:9.4f}  {plan['origin']}", flush=True)


main()
