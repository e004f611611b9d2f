"""While tasks are at work, a terminal and `status` show which, and how far they are."""
import json
import os
import pty
import re
import select
import signal
import time

import lathe

# Blocks that take seconds: 131 thousand tokens on one thread.
LONG = {"calibration__num_calibration_samples": 512, "calibration__max_seq_length": 256, "runtime__threads": 1}


def a_terminal_shows_how_far_tasks_are():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        command = lathe.command(["run", *lathe.job(run, **LONG)])
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(command[0], command)
        shown, status = "", {}
        longest_gap, last, end = 0.0, time.monotonic(), time.monotonic() + 120
        try:
            while time.monotonic() < end and not (re.search(r"block_\d+ \d+ %, ", shown) and status.get("at_work")):
                if select.select([terminal], [], [], 1.0)[0]:
                    shown += os.read(terminal, 65536).decode(errors="replace")
                    longest_gap, last = max(longest_gap, time.monotonic() - last), time.monotonic()
                if (run / "status.json").exists():
                    status = lathe.run_json(["status", run])
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(terminal)
        assert re.search(r"calibrate +\[[# ]{20}\] \d/7", shown), shown
        assert re.search(r"block_\d+ \d+ %, [\d.]+ s", shown), f"no task with its share in {shown!r}"
        assert longest_gap <= 10.0, f"{longest_gap} s without a sign"
        assert "calibrate/block_" in status["at_work"] and "on rank 0 for" in status["at_work"], status
        # What a process that was killed had at work is not at work.
        assert lathe.run_json(["status", run])["at_work"] == "", (run / "status.json").read_text()
        assert json.loads((run / "status.json").read_text())["status"] == "running"


lathe.main([a_terminal_shows_how_far_tasks_are])
