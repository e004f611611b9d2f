"""A small job on the private cluster, and what it comes to in one undisturbed process."""
import json
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import cluster as slurm  # noqa: E402
import lathe  # noqa: E402

# Many tasks of some hundredths of a second, so that it can be interrupted anywhere: about 4 s on one processor.
JOB = {"candidates": "[{method: integer, num_bits: [2, 3, 4], solver: gptq}, {method: integer, num_bits: 8, solver: rtn}]",
       "search__generations": 2, "search__offspring": 8, "runtime__threads": 1, "runtime__worker_timeout": 5}


class Bench:
    """The cluster, a folder for runs, and the hash that every run of the job must come to."""

    def __init__(self):
        slurm.enter_namespaces()
        self.cluster = slurm.Cluster()
        self.folder = self.cluster.root / "runs"
        self.folder.mkdir()
        self.expected = lathe.run_json(["run", *lathe.job(self.folder / "undisturbed", **JOB)])["checkpoint_hash"]

    def submit(self, name, *options, sbatch=(), code=0):
        """Submits the job; returns its run directory and what `lathe submit` says."""
        run = self.folder / name
        done = lathe.run(["submit", "--json", *lathe.job(run, **JOB), *options, "--", *sbatch], code=code)
        return run, json.loads(done.stdout)

    def status(self, run):
        return lathe.run_json(["status", run])

    def wait_tasks(self, run, n):
        """Until the journal has n finished tasks: in mid-job."""
        journal = run / "journal.jsonl"
        slurm.wait_for(lambda: journal.exists() and journal.read_text().count("\n") >= n, 60,
                       f"{n} tasks of {run.name}\n{self.log(run)}")

    def n_tasks(self, run):
        return (run / "journal.jsonl").read_text().count("\n")

    def wait_done(self, run, job_id, seconds=120):
        """Until the job has ended well, with the hash of the undisturbed run."""
        try:
            state = self.cluster.wait_state(job_id, ["COMPLETED", "FAILED", "CANCELLED", "NODE_FAIL", "TIMEOUT"], seconds)
            assert state == "COMPLETED", state
            got = json.loads((run / "report.json").read_text())["checkpoint_hash"]
            assert got == self.expected, f"{run.name}: another checkpoint, {got}"
        except (AssertionError, OSError) as error:
            raise AssertionError(f"{error}\n{self.log(run)}") from error

    def log(self, run):
        return "\n".join(file.read_text() for file in sorted(run.glob("logs/*.out")))[-6000:]

    def preempt(self):
        """A more urgent job takes all nodes for a moment. Returns its id."""
        return slurm.output("sbatch", "--parsable", "--partition=urgent", "-N4", "--exclusive", "-o", "/dev/null",
                            "--wrap", "sleep 1").strip()


def main(tests):
    """Runs the functions with one bench, prints a line for each with its time, exits with 1 if any failed."""
    bench = Bench()
    failed = 0
    for test in tests:
        start = time.monotonic()
        try:
            test(bench)
            print(f"ok {test.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            failed += 1
            print(f"FAILED {test.__name__} ({time.monotonic() - start:.1f} s): {error}", flush=True)
    sys.exit(failed > 0)
