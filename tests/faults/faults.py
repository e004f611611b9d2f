#!/usr/bin/env python3
"""Random faults over small jobs that use every stage; all must end in the same hash.

    LATHE_BINARY=build/release/bin/lathe LATHE_FAILING_IO=build/release/bin/libfailing_io.so \
        tests/faults/faults.py [--faults 300] [--seed 1]

A job is run to its end; then again and again, each time with a fault, until that many faults have been made: all ranks
killed, rank 0 killed, another rank or two killed with a launcher that goes on without them or one that does not, a disk that is
full or fails now and then, an artifact truncated or with a bit flipped, some artifacts removed. A job that ended is begun anew, or damaged and
gone on with. Without a kill the program may end with 0 (done), 74 (the disk) or 75 (run again), with nothing else. One
line of JSON for each fault.
"""
import argparse
import errno
import json
import os
import pathlib
import random
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import lathe  # noqa: E402

CANDIDATES = "[{method: integer, num_bits: [2, 4], solver: gptq}, {method: integer, num_bits: 8, solver: rtn}]"
SLICE = {"slice.sparsity": 0.25, "slice.order": "sequential", "slice.refit": "true"}
GOOD_CODES = (0, 74, 75)


def arguments_of(run):
    """Slicing, refitting, both kinds of scores, evolution, refinement, evaluation, export."""
    return ["run", *lathe.job(run, candidates=CANDIDATES, calibration__num_calibration_samples=8, calibration__max_seq_length=64,
                             search__generations=1, search__offspring=4, search__num_evaluation_samples=2,
                             search__scores="both", refine="sequential", runtime__threads=1, runtime__worker_timeout=3,
                             evaluate__perplexity=lathe.TEXTS / "test.txt", evaluate__max_seq_length=64, evaluate__limit=4,
                             export="[hf]", **SLICE)]


class Life:
    """The program from a start to its end, on some ranks; 0: without a launcher."""

    def __init__(self, run, ranks, recovery=False, fault=None):
        self.exit_file = run.parent / f"{run.name}.exit"
        self.exit_file.unlink(missing_ok=True)
        command = lathe.command(["--exit-file", self.exit_file, *arguments_of(run)], ranks)
        if recovery:
            command.insert(1, "--enable-recovery")
        environment = os.environ | lathe.MPI_ENVIRONMENT
        if fault:
            environment |= {"LD_PRELOAD": os.environ["LATHE_FAILING_IO"], "LATHE_FAULT": fault}
        self.errors = open(run.parent / f"{run.name}.err", "w+")
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.errors, env=environment,
                                        start_new_session=True)

    def wait(self, seconds):
        """The program's exit code; none if it runs for longer. A launcher that lost a rank does not end by itself."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return int(self.exit_file.read_text()) if self.exit_file.exists() else self.process.returncode
            if self.exit_file.exists() and self.exit_file.read_text():
                end = min(end, time.monotonic() + 3)
            time.sleep(0.01)
        if not self.exit_file.exists():
            return None
        lathe.kill(self.process)
        return int(self.exit_file.read_text())

    def said(self):
        self.errors.seek(0)
        return self.errors.read()[-3000:]


def require(code, life):
    assert code in GOOD_CODES, f"exit code {code}\n{life.said()}"


def kill_all(run, chance, whole):
    life = Life(run, chance.choice([0, 2, 3]))
    if life.wait(whole * chance.random()) is None:
        lathe.kill(life.process)
    return None


def kill_some(run, chance, whole, ranks, recovery):
    """Of three ranks; two of them at once are what a node that goes down takes with it."""
    life = Life(run, 3, recovery)
    code = life.wait(whole * chance.random())
    if code is None:
        for pid in filter(None, [lathe.pid_of_rank(life.exit_file, rank) for rank in ranks]):
            os.kill(pid, 9)
        code = life.wait(120)
        if code is None:
            lathe.kill(life.process)
            raise AssertionError(f"hangs after ranks {ranks} were lost\n{life.said()}")
    if recovery:
        require(code, life)
    return code if code == 0 else None


def bad_disk(run, chance, whole, number, count):
    # A job makes about 1000 writing calls.
    fault = f"{number}:{chance.randint(1, 1000)}:{count}:{run}"
    life = Life(run, chance.choice([0, 2]), fault=fault)
    code = life.wait(120)
    assert code is not None, f"hangs on a disk that fails\n{life.said()}"
    require(code, life)
    return code


def go_on(run, chance, what):
    life = Life(run, chance.choice([0, 2]))
    code = life.wait(120)
    assert code is not None, f"hangs on {what}\n{life.said()}"
    require(code, life)
    return code


def artifacts_of(run):
    """What the run made: its own job file, manifest and lock are not artifacts."""
    return sorted(file for file in run.rglob("*.h5") if file.is_file() and file.stat().st_size > 0)


def damage(run, chance, whole, how):
    if not artifacts_of(run):
        return kill_all(run, chance, whole)
    file = chance.choice(artifacts_of(run))
    content = bytearray(file.read_bytes())
    if how == "truncate":
        del content[chance.randrange(len(content)):]
    else:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)
    return go_on(run, chance, f"a damaged {file}")


def remove(run, chance, whole):
    """Each with the same chance: one, some or all are gone."""
    share = chance.random()
    for file in artifacts_of(run):
        if chance.random() < share:
            file.unlink()
    return go_on(run, chance, "artifacts that are gone")


FAULTS = {
    "all ranks killed": kill_all,
    "rank 0 killed": lambda *a: kill_some(*a, [0], False),
    "a rank killed": lambda *a: kill_some(*a, [1], False),
    "a rank lost": lambda *a: kill_some(*a, [2], True),
    "a node lost": lambda *a: kill_some(*a, [1, 2], True),
    "disk full": lambda *a: bad_disk(*a, errno.ENOSPC, 10 ** 9),
    "an I/O error": lambda *a: bad_disk(*a, errno.EIO, 1),
    "a stale handle": lambda *a: bad_disk(*a, errno.ESTALE, 1),
    "artifact truncated": lambda *a: damage(*a, "truncate"),
    "a bit flipped": lambda *a: damage(*a, "flip"),
    "artifacts removed": remove,
}


def finish(run, expected, plan):
    """Runs it to the end without faults and compares."""
    for _ in range(5):
        life = Life(run, 0)
        code = life.wait(240)
        if code == 0:
            break
        assert code == 75, f"exit code {code}\n{life.said()}"  # found damage
    got = json.loads((run / "report.json").read_text())["checkpoint_hash"]
    assert got == expected, f"another hash, {got}"
    assert (run / "search/plan.json").read_text() == plan, "another plan"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with lathe.Scratch() as scratch:
        start = time.monotonic()
        expected = lathe.run_json(arguments_of(scratch / "whole"))["checkpoint_hash"]
        whole = time.monotonic() - start
        plan = (scratch / "whole/search/plan.json").read_text()
        print(json.dumps({"seed": options.seed, "whole_seconds": round(whole, 1), "hash": expected}), flush=True)
        kinds = list(FAULTS)
        run, n_runs = scratch / "run0", 1
        for number in range(options.faults):
            if number % len(kinds) == 0:
                chance.shuffle(kinds)  # each kind as often as the others
            kind = kinds[number % len(kinds)]
            begin = time.monotonic()
            try:
                code = FAULTS[kind](run, chance, whole)
                line = {"fault": number, "kind": kind, "run": run.name, "code": code}
                # A run that has ended is damaged and gone on with, or another one is begun.
                if code == 0 and chance.random() < 0.7 or number + 1 == options.faults:
                    finish(run, expected, plan)
                    line["hash"] = "the same"
                    run, n_runs = scratch / f"run{n_runs}", n_runs + 1
                print(json.dumps(line | {"seconds": round(time.monotonic() - begin, 1)}), flush=True)
            except AssertionError as error:
                sys.exit(f"seed {options.seed}, fault {number}, {kind}, {run.name}: {error}")
        print(f"{options.faults} faults in {n_runs - 1} runs, all with the hash {expected}")


main()
