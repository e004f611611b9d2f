"""Who may work on a run directory: without locks in the file system, from afar, and at the same moment."""
import os
import subprocess
import time

import lathe

QUICK = {"candidates": "[{method: integer, num_bits: [3, 4, 8], solver: rtn}]", "search__strategy": "homogeneous"}
USAGE = 64
SHIM = os.environ["LATHE_LOCKS_SHIM"]


def environment(locks):
    return os.environ | {"LD_PRELOAD": SHIM, "LATHE_TEST_LOCKS": locks}


def run_with(locks, arguments, code=0):
    done = subprocess.run(lathe.command(arguments), capture_output=True, text=True, timeout=300,
                          env=environment(locks))
    assert done.returncode == code, f"exit code {done.returncode}, expected {code}: {done.stderr}"
    return done


def start_with(locks, arguments):
    return subprocess.Popen(lathe.command(arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                            env=environment(locks))


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, f"the run ended: {process.stderr.read()}"
        time.sleep(0.02)


def without_locks_a_file_stands_in():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        long = lathe.job(run, calibration__num_calibration_samples=512, **QUICK)
        first = start_with("none", ["run", *long])
        try:
            wait_for(run / "status.json", first)
            holder = f"process {first.pid} on {os.uname().nodename}"
            refused = run_with("none", ["resume", run], USAGE)
            assert "another lathe process" in refused.stderr and holder in refused.stderr, refused.stderr
            assert str(run / "lock.held") in refused.stderr, refused.stderr
            assert '"running"' in run_with("none", ["status", run, "--json"]).stdout
        finally:
            first.kill()
            first.wait()
        assert (run / "lock.held").exists(), "nothing was left by the killed process"
        # It is seen to be gone: nobody has to remove anything.
        assert '"stopped"' in run_with("none", ["status", run, "--json"]).stdout
        done = run_with("none", ["resume", run])
        assert "no_locks_here" in done.stderr and "lock.held" in done.stderr, done.stderr
        assert not (run / "lock.held").exists(), "the lock file was left behind"


def a_lock_of_another_host_is_kept():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        lathe.run(["run", *lathe.job(run, **QUICK)])
        (run / "lock.held").write_text("node7 4711 boot/pid:[1] 5\n")
        refused = run_with("none", ["resume", run], USAGE)
        assert "process 4711 on node7" in refused.stderr, refused.stderr
        assert '"running"' in run_with("none", ["status", run, "--json"]).stdout


def whose_run_it_is_is_read_under_the_lock():
    with lathe.Scratch() as scratch:
        gate, run = scratch / "gate", scratch / "run"
        # It finds no run directory, and waits for the lock while another job makes one and ends.
        late = start_with(f"gate:{gate}", ["run", *lathe.job(run, budget="3x", **QUICK)])
        try:
            wait_for(scratch / "gate.waiting", late)
            lathe.run(["run", *lathe.job(run, **QUICK)])
            gate.touch()
            words = late.communicate(timeout=120)[1]
        finally:
            late.kill()
            late.wait()
        assert late.returncode == USAGE, f"exit code {late.returncode}: {words}"
        assert "run directory of another job" in words and "budget" in words, words
        assert "budget: 4x" in (run / "job.yaml").read_text(), "the job was replaced"


def status_takes_no_lock():
    with lathe.Scratch() as scratch:
        gate, run = scratch / "gate", scratch / "run"
        lathe.run(["run", *lathe.job(run, **QUICK)])
        # Whoever tries to take a lock would wait here for ever.
        asking = start_with(f"gate:{gate}", ["status", run])
        try:
            while asking.poll() is None:
                assert not (scratch / "gate.waiting").exists(), "status takes the lock"
                time.sleep(0.02)
            assert asking.returncode == 0, asking.stderr.read()
        finally:
            asking.kill()
            asking.wait()


def status_of_a_directory_that_cannot_be_written():
    with lathe.Scratch() as scratch:
        run, seen = scratch / "run", scratch / "seen"
        lathe.run(["run", *lathe.job(run, **QUICK)])
        (run / "lock").unlink()
        seen.mkdir()
        bound = subprocess.run(["mount", "--bind", run, seen], capture_output=True).returncode == 0
        if not bound:
            print("skipped: cannot mount")
            return
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", seen], check=True)
            assert lathe.run_json(["status", seen])["status"] == "done"
        finally:
            subprocess.run(["umount", seen])
        assert not (run / "lock").exists()


lathe.main([without_locks_a_file_stands_in, a_lock_of_another_host_is_kept, whose_run_it_is_is_read_under_the_lock,
            status_takes_no_lock, status_of_a_directory_that_cannot_be_written])
