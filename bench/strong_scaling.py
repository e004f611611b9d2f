#!/usr/bin/env python3
"""Seconds of each stage of one job on 1 and more ranks of one thread, beside what the run on one rank foretells (lathe simulate).

usage: strong_scaling.py LATHE OUTPUT [--ranks 1 2] [--repeats 3] -- KEY=VALUE...      the job; its output is below OUTPUT
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess

ONE_HOST = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_mpi_yield_when_idle": "1"}


def answer(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=os.environ | ONE_HOST)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def run(lathe, output, ranks, keys):
    shutil.rmtree(output, ignore_errors=True)
    launcher = [] if ranks == 1 else ["mpirun", "--bind-to", "none", "-np", ranks]
    settings = [word for key in keys for word in ("--set", key)]
    return answer([*launcher, lathe, "run", *settings, "--set", f"output={output}", "--set", "runtime.threads=1", "--json"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lathe", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("keys", nargs="+")
    args = parser.parse_args()
    seconds, foretold, hashes = {}, {}, set()
    for _ in range(args.repeats):
        for ranks in args.ranks:
            result = run(args.lathe, args.output / f"ranks{ranks}", ranks, args.keys)
            hashes.add(result["checkpoint_hash"])
            for stage in result["stages"]:
                seconds.setdefault(stage["name"], {}).setdefault(ranks, []).append(stage["seconds"])
            simulated = answer([args.lathe, "simulate", args.output / f"ranks{args.ranks[0]}", "--ranks", ranks, "--json"])
            for stage in simulated["stages"]:
                foretold.setdefault(stage["name"], {}).setdefault(ranks, []).append(stage["seconds"])
    assert len(hashes) == 1, f"other checkpoints: {hashes}"
    print("| stage | " + " | ".join(f"{r} rank{'s' * (r > 1)} | faster | simulated over measured" for r in args.ranks) + " |")
    for stage, by_ranks in seconds.items():
        first = statistics.median(by_ranks[args.ranks[0]])
        cells = []
        for ranks in args.ranks:
            median = statistics.median(by_ranks[ranks])
            ratios = [f / m for f, m in zip(foretold[stage][ranks], by_ranks[ranks])] if stage in foretold and median > 0 else [0]
            cells += [f"{median:.2f}", f"{first / max(median, 1e-9):.2f}", f"{statistics.median(ratios):.2f}"]
        print(f"| {stage} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
