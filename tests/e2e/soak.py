#!/usr/bin/env python3
"""Not part of the test run: many kill -9 at random moments, on random numbers of ranks.

    LATHE_BINARY=build/release/bin/lathe tests/e2e/soak.py [--kills 200] [--seed 1] [--slice | --touch-up]

Runs a job to its end, then the same job again and again, killed and resumed until it ends, until that many kills have
been made. Each such run must end in the same plan and hash, and its journal must name no task twice: what was
finished and recorded is never done again. With --slice the model is cut in sequential order and refitted first; with --touch-up
it is cut in dense order, with two further sweeps of calibration.
"""
import argparse
import collections
import json
import random
import sys
import time

import lathe

CANDIDATES = ("[{method: integer, num_bits: [2, 3, 4], solver: gptq}, {method: integer, num_bits: 8, solver: rtn}, "
              "{method: integer, num_bits: [2, 4], solver: rtn}]")


SLICE = {"slice.sparsity": 0.25, "slice.order": "sequential", "slice.refit": "true"}
TOUCH_UP = {"slice.sparsity": 0.25, "slice.touch_up": 2}


def arguments_of(run, options):
    cut = SLICE if options.slice else TOUCH_UP if options.touch_up else {}
    return ["run", *lathe.job(run, candidates=CANDIDATES, search__generations=6, runtime__threads=1, refine="sequential",
                             search__scores="both", **cut)]


def repeated_tasks(run):
    lines = lathe.journal(run)
    # A pass only makes the stream that the next block reads; it is not kept longer than that, and made again if need be.
    tasks = [line["task"] for line in lines if not line["task"].startswith("pass/")]
    return [task for task, n in collections.Counter(tasks).items() if n > 1], len(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    cuts = parser.add_mutually_exclusive_group()
    cuts.add_argument("--slice", action="store_true")
    cuts.add_argument("--touch-up", action="store_true")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with lathe.Scratch() as scratch:
        begin = time.monotonic()
        expected = lathe.run_json(arguments_of(scratch / "whole", options))["checkpoint_hash"]
        whole = time.monotonic() - begin
        plan = (scratch / "whole/search/plan.json").read_text()
        print(f"whole job {whole:.1f} s, {repeated_tasks(scratch / 'whole')[1]} tasks, hash {expected}", flush=True)
        kills = runs = 0
        while kills < options.kills:
            run = scratch / f"run{runs}"
            own = 0
            while True:
                ranks = chance.choice([0, 1, 2, 3])
                process = lathe.start(arguments_of(run, options), ranks)
                # The first moments of a process are where files are opened and resumed from.
                until = time.monotonic() + chance.choice([0.3, 1.0, 3.0]) * chance.random()
                while process.poll() is None and time.monotonic() < until:
                    time.sleep(0.01)
                if process.poll() is not None:
                    if process.returncode != 0:
                        sys.exit(f"run {runs} ended with exit code {process.returncode}")
                    break
                lathe.kill(process)
                own += 1
                if own + kills >= options.kills:
                    lathe.run(arguments_of(run, options), chance.choice([0, 1, 2, 3]))
                    break
            kills += own
            report = json.loads((run / "report.json").read_text())
            repeated, tasks = repeated_tasks(run)
            if report["checkpoint_hash"] != expected or (run / "search/plan.json").read_text() != plan or repeated:
                sys.exit(f"run {runs} after {own} kills: hash {report['checkpoint_hash']}, done twice: {repeated}")
            print(f"run {runs}: {own} kills, {tasks} tasks, the same plan and hash, nothing done twice", flush=True)
            runs += 1
        print(f"{kills} kills in {runs} runs")


main()
