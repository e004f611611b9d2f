"""lathe submit --budgets: one run of candidates, then an array of searches, the same checkpoints as without Slurm."""
import json

import slurm_job
from slurm_job import lathe
from cluster import output, wait_for

BUDGETS = ["3x", "5x"]


def an_array_after_the_run(bench):
    expected = {plan["budget"]: plan["checkpoint_hash"] for plan in lathe.run_json(
        ["search", bench.folder / "undisturbed", "--budget", ",".join(BUDGETS), "--assemble"])["plans"]}
    run, said = bench.submit("budgets", "--budgets", ",".join(BUDGETS))
    reasons = lambda: [job["reason"] for job in bench.status(run)["batch"]["jobs"] if job["id"].startswith(said["budgets_job_id"])]
    wait_for(lambda: reasons() == ["Dependency"], 10, f"the array waits for the job, its reasons are {reasons()}")
    bench.wait_done(run, said["job_id"])
    states = lambda: output("squeue", "-h", "--states=all", "-r", "-j", said["budgets_job_id"], "-o", "%T").split()
    wait_for(lambda: states() == ["COMPLETED"] * 2, 60, f"the array is {states()}\n{bench.log(run)}")
    got = {}
    for budget in BUDGETS:
        verified = lathe.run_json(["inspect", run / f"checkpoint_{budget}"])
        assert verified["checkpoint_bytes"] > 0
        assert lathe.run_json(["verify", run / f"checkpoint_{budget}"])["ok"]
        got[budget] = (run / f"checkpoint_{budget}/blocks/0000.h5").read_bytes()
        own = (bench.folder / f"undisturbed/checkpoint_{budget}/blocks/0000.h5").read_bytes()
        assert got[budget] == own, f"{budget}: another checkpoint than {expected[budget]}"
    assert got["3x"] != got["5x"]


slurm_job.main([an_array_after_the_run])
