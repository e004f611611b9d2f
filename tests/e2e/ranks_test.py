"""Any number of ranks and threads, and any interruption, ends in the same checkpoint."""
import os
import random
import subprocess
import time

import lathe

# Fast ones, where what is tested is the order of things and not the solvers.
QUICK = {"candidates": "[{method: integer, num_bits: [2, 3, 4], solver: gptq}, {method: integer, num_bits: 8, solver: rtn}, "
                       "{method: integer, num_bits: [2, 4], solver: rtn}]",
         "search__generations": 4}


def hash_of(scratch, name, ranks, **changes):
    result = lathe.run_json(["run", *lathe.job(scratch / name, **changes)], ranks)
    assert result["checkpoint_bytes"] <= result["source_bytes"] / 4, "over budget"
    return result["checkpoint_hash"], (scratch / name / "checkpoint/blocks/0003.h5").read_bytes()


def ranks_and_threads_do_not_show():
    with lathe.Scratch() as scratch:
        # ADMM's products are summed by several threads; the other solvers are in the tests below.
        keys = {"candidates": "[{method: integer, num_bits: 3, solver: admm}, "
                              "{method: integer, num_bits: [2, 4, 8], solver: rtn}]",
                "search__generations": 4}
        expected = hash_of(scratch, "alone", 0, runtime__threads=1, **keys)
        for ranks, threads in ((1, 3), (2, 1), (4, 2)):
            got = hash_of(scratch, f"ranks{ranks}", ranks, runtime__threads=threads, **keys)
            assert got == expected, f"{ranks} ranks, {threads} threads: another checkpoint"


def killed_three_times_and_resumed_on_other_ranks():
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    with lathe.Scratch() as scratch:
        start = time.monotonic()
        expected = hash_of(scratch, "whole", 0, **QUICK)[0]
        whole = time.monotonic() - start
        run = scratch / "killed"
        for attempt in range(3):
            first = not (run / "job.yaml").exists()
            arguments = ["run", *lathe.job(run, **QUICK)] if first else ["resume", run]
            lathe.kill_at_random(arguments, chance, [0, 1, 2, 3], 0.05, 0.6 * whole, times=1)
        arguments = ["resume", run] if (run / "job.yaml").exists() else ["run", *lathe.job(run, **QUICK)]
        result = lathe.run_json(arguments, chance.choice([1, 2, 3]))
        assert result["checkpoint_hash"] == expected, f"another checkpoint (seed {seed})"


def each_reference_is_one_task():
    with lathe.Scratch() as scratch:
        # Several chunks of evaluation samples, and variants of a plan that are not the source's.
        lathe.run(["run", *lathe.job(scratch / "run", search__num_evaluation_samples=12, **QUICK)], 3)
        made = sorted(str(file.relative_to(scratch / "run")) for file in (scratch / "run/search").glob("reference_*"))
        lines = lathe.journal(scratch / "run")
        tasks = [line["artifact"] for line in lines if line["artifact"].startswith("search/reference_")]
        assert made and sorted(tasks) == made, f"files {made}, tasks {tasks}"


def a_finished_run_is_not_done_again():
    with lathe.Scratch() as scratch:
        lathe.run_json(["run", *lathe.job(scratch / "run", **QUICK)])
        again = lathe.run_json(["resume", scratch / "run"], 2)
        for stage in again["stages"]:
            assert stage["tasks_reused"] == stage["tasks"], f"{stage['name']} was done again"


def a_signal_stops_in_good_order():
    with lathe.Scratch() as scratch:
        process = lathe.start(["run", *lathe.job(scratch / "run", calibration__num_calibration_samples=512)])
        while not (scratch / "run/status.json").exists():
            assert process.poll() is None, "the run ended before it could be stopped"
            time.sleep(0.02)
        process.send_signal(10)  # SIGUSR1
        assert process.wait(120) == 75, f"exit code {process.returncode}, expected 75"
        status = lathe.run_json(["status", scratch / "run"])
        assert status["status"] == "stopped", status


def a_rank_lost_at_the_start_does_not_hold_the_others():
    with lathe.Scratch() as scratch:
        exit_file = scratch / "exit"
        command = lathe.command(["--exit-file", exit_file, "run",
                                 *lathe.job(scratch / "run", runtime__worker_timeout=1)], ranks=3)
        command.insert(1, "--enable-recovery")
        with open(scratch / "errors", "w+") as errors:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True,
                                       env=os.environ | lathe.MPI_ENVIRONMENT)
            while (pid := lathe.pid_of_rank(exit_file, 2)) is None:
                assert process.poll() is None, "the program ended before a rank was lost"
            os.kill(pid, 9)  # the others are within MPI_Init, or will be
            try:
                process.wait(100)
            finally:
                lathe.kill(process)
            errors.seek(0)
            said = errors.read()
        assert exit_file.read_text() == "75\n" and "did not find each other" in said, said


lathe.main([ranks_and_threads_do_not_show, killed_three_times_and_resumed_on_other_ranks,
            each_reference_is_one_task, a_finished_run_is_not_done_again, a_signal_stops_in_good_order,
            a_rank_lost_at_the_start_does_not_hold_the_others])
