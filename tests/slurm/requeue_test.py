"""A job that is stopped by Slurm goes on from where it was, to the same bytes: preempted, at its time limit, cancelled."""
import json

import slurm_job
from slurm_job import lathe
from cluster import call, output


def require_reasons(run, expected, log):
    got = requeue_reasons(run)
    assert got == expected, f"put back for {got}\n{log}"


def requeue_reasons(run):
    """Why the script put its job back into the queue, each time."""
    file = run / "slurm/requeues"
    return [line.split()[1] for line in file.read_text().splitlines()] if file.exists() else []


def preempted(bench):
    run, said = bench.submit("preempted", "--nodes", "2")
    bench.wait_tasks(run, 5)
    urgent = bench.preempt()
    bench.cluster.wait_state(urgent, ["RUNNING", "COMPLETED"], 40)
    status = bench.status(run)
    assert status["status"] == "queued", status
    assert status["batch"]["jobs"][0]["restarts"] == 1, status
    done_before = bench.n_tasks(run)
    bench.cluster.wait_requeued(said["job_id"])
    bench.wait_done(run, said["job_id"])
    require_reasons(run, ["preempted"], bench.log(run))
    assert done_before >= 5
    require_nothing_done_twice(run)


def require_nothing_done_twice(run):
    """But for the streams that the passes of calibration make: they are kept now and then only."""
    tasks = [json.loads(line)["task"] for line in (run / "journal.jsonl").read_text().splitlines()]
    twice = {task for task in tasks if tasks.count(task) > 1 and not task.startswith("pass/")}
    assert not twice, twice


def warned_before_the_time_limit(bench):
    # --signal sends USR1 to the script up to a minute before it is due; scancel sends the same at once.
    run, said = bench.submit("usr1")
    for life in range(2):
        bench.wait_tasks(run, bench.n_tasks(run) + 3 if life else 3)
        call("scancel", "--batch", "--signal=USR1", said["job_id"])
        bench.cluster.wait_requeued(said["job_id"], life + 1)
    bench.wait_done(run, said["job_id"])
    require_reasons(run, ["stopped", "stopped"], bench.log(run))
    assert bench.status(run)["batch"]["jobs"][0]["restarts"] == 2
    require_nothing_done_twice(run)


def put_back_no_more_often_than_the_site_allows(bench):
    site = bench.folder / "site.sh"
    site.write_text("srun_options=()\nmpirun_options=()\ncontainer=()\nmax_requeues=0\nmax_lost=0\n")
    run, said = bench.submit("limit", "--site", str(site))
    bench.wait_tasks(run, 3)
    call("scancel", "--batch", "--signal=USR1", said["job_id"])
    bench.cluster.wait_state(said["job_id"], ["FAILED"])
    assert bench.cluster.job(said["job_id"])["ExitCode"] == "75:0", bench.cluster.job(said["job_id"])
    assert "stopped 0 times" in bench.log(run), bench.log(run)
    lathe.run(["resume", run])


def a_signal_to_one_rank_stops_them_all(bench):
    run, said = bench.submit("one-rank", "--nodes", "2")
    bench.wait_tasks(run, 3)
    # Rank 1 is the only process of the program that is the second task of the step.
    pids = output("pgrep", "-f", f"{lathe.BINARY} --exit-file {run}").split()
    ranks = [pid for pid in pids if rank_of(pid) == "1"]
    assert len(ranks) == 1, (pids, ranks)
    call("kill", "-USR1", ranks[0])
    bench.cluster.wait_requeued(said["job_id"])
    bench.wait_done(run, said["job_id"])
    require_reasons(run, ["stopped"], bench.log(run))


def rank_of(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            pairs = dict(pair.split(b"=", 1) for pair in file.read().split(b"\0") if b"=" in pair)
        with open(f"/proc/{pid}/comm") as file:
            return pairs.get(b"PMIX_RANK", b"").decode() if file.read().strip() == lathe.BINARY.name[:15] else None
    except OSError:
        return None


def cancelled_in_good_order(bench):
    run, said = bench.submit("cancelled", "--nodes", "2")
    bench.wait_tasks(run, 3)
    told = lathe.run_json(["cancel", run])
    assert told["in_good_order"], told
    assert bench.cluster.job(said["job_id"])["JobState"] == "FAILED", bench.cluster.job(said["job_id"])
    require_reasons(run, [], bench.log(run))
    assert bench.status(run)["status"] == "stopped"
    run, said = bench.submit("cancelled", "--nodes", "2")  # and goes on
    bench.wait_done(run, said["job_id"])
    require_nothing_done_twice(run)


def cancelled_while_it_waits(bench):
    run, said = bench.submit("waiting", sbatch=["--begin=now+1hour"])
    assert bench.status(run)["status"] == "queued"
    assert lathe.run_json(["cancel", run])["in_good_order"]
    assert bench.cluster.job(said["job_id"])["JobState"] == "CANCELLED"


slurm_job.main([preempted, warned_before_the_time_limit, put_back_no_more_often_than_the_site_allows,
                a_signal_to_one_rank_stops_them_all, cancelled_in_good_order, cancelled_while_it_waits])
