"""Standard error closed, full, without a reader, or on a terminal that hung up: the job goes on, to the same result."""
import json
import os
import signal
import subprocess
import time

import lathe

QUICK = {"candidates": "[{method: integer, num_bits: [3, 4, 8], solver: rtn}]", "search__strategy": "homogeneous"}
IO_ERROR = 74


def hash_in(run):
    return json.loads((run / "report.json").read_text())["checkpoint_hash"]


def expected(scratch):
    lathe.run(["run", *lathe.job(scratch / "expected", **QUICK)])
    return hash_in(scratch / "expected")


def by_shell(scratch, name, redirection, code=0, ranks=0):
    """A run whose streams the shell redirects; returns the finished process."""
    command = lathe.command(["run", *lathe.job(scratch / name, **QUICK)], ranks)
    done = subprocess.run(["sh", "-c", f'exec "$@" {redirection}', "sh", *command], capture_output=True, text=True,
                          timeout=300, env=os.environ | lathe.MPI_ENVIRONMENT)
    assert done.returncode == code, f"{redirection}: exit code {done.returncode}, expected {code}: {done.stderr}"
    return done


def closed_or_full():
    with lathe.Scratch() as scratch:
        same = expected(scratch)
        for number, redirection in enumerate(("2>&-", "2>/dev/full", "0<&- 2>&-")):
            by_shell(scratch, f"run{number}", redirection)
            assert hash_in(scratch / f"run{number}") == same, f"{redirection}: another checkpoint"


def closed_output_is_said_at_the_end():
    with lathe.Scratch() as scratch:
        same = expected(scratch)
        for number, redirection in enumerate((">&-", ">/dev/full")):
            done = by_shell(scratch, f"run{number}", redirection, IO_ERROR)
            assert "cannot write to standard output" in done.stderr, done.stderr
            assert hash_in(scratch / f"run{number}") == same, f"{redirection}: another checkpoint"
        by_shell(scratch, "all", "0<&- >&- 2>&-", IO_ERROR)
        assert hash_in(scratch / "all") == same, "all closed: another checkpoint"
        done = subprocess.run(["sh", "-c", f"exec '{lathe.BINARY}' --version >/dev/full"], capture_output=True)
        assert done.returncode == IO_ERROR, f"--version to a full device: {done.returncode}"


def a_reader_that_is_gone():
    with lathe.Scratch() as scratch:
        same = expected(scratch)
        reading, writing = os.pipe()
        process = subprocess.Popen(lathe.command(["run", *lathe.job(scratch / "run", **QUICK)]),
                                   stdout=subprocess.DEVNULL, stderr=writing)
        os.close(writing)
        os.read(reading, 1)
        os.close(reading)
        assert process.wait(300) == 0, f"exit code {process.returncode}"
        assert hash_in(scratch / "run") == same


def a_terminal_that_hung_up():
    with lathe.Scratch() as scratch:
        same = expected(scratch)
        child, terminal = os.forkpty()
        if child == 0:  # the leader of the terminal's session: it gets the SIGHUP
            output = os.open(scratch / "output", os.O_WRONLY | os.O_CREAT)
            os.dup2(output, 1)
            command = lathe.command(["run", *lathe.job(scratch / "run", **QUICK)])
            os.execv(command[0], command)
        shown = b""
        while b"[" not in shown:  # the bar
            shown += os.read(terminal, 1000)
        os.close(terminal)
        _, status = os.waitpid(child, 0)
        assert not os.WIFSIGNALED(status), f"ended by signal {signal.Signals(os.WTERMSIG(status)).name}"
        assert os.waitstatus_to_exitcode(status) == 0, f"exit code {os.waitstatus_to_exitcode(status)}"
        assert hash_in(scratch / "run") == same


def on_ranks_too():
    with lathe.Scratch() as scratch:
        same = expected(scratch)
        by_shell(scratch, "full", "2>/dev/full", ranks=2)
        assert hash_in(scratch / "full") == same


def watching_ends_when_nobody_can_see_it():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        working = lathe.start(["run", *lathe.job(run, calibration__num_calibration_samples=512, **QUICK)])
        try:
            while not (run / "status.json").exists():
                assert working.poll() is None, "the run ended"
                time.sleep(0.02)
            watching = subprocess.run(["sh", "-c", f"exec '{lathe.BINARY}' status --watch '{run}' 2>/dev/full"],
                                      capture_output=True, timeout=60)
            assert watching.returncode == IO_ERROR, watching.returncode
        finally:
            lathe.kill(working)


lathe.main([closed_or_full, closed_output_is_said_at_the_end, a_reader_that_is_gone, a_terminal_that_hung_up,
            on_ranks_too, watching_ends_when_nobody_can_see_it])
