"""`status --watch` on terminals of two sizes, under tmux, while ranks come and go; and without a terminal."""
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import lathe

if shutil.which("tmux") is None:
    print("skipped: no tmux")
    sys.exit(77)

LONG = {"calibration__num_calibration_samples": 256, "calibration__max_seq_length": 256, "runtime__threads": 1,
        "search__generations": 12}


class Terminal:
    """A tmux server of its own with one window."""

    def __init__(self, folder, columns, rows, command):
        self.socket = str(folder / f"tmux-{columns}")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows),
                  f"{' '.join(map(str, command))}; echo ended with $?; exec cat")

    def tmux(self, *arguments):
        return subprocess.run(["tmux", "-S", self.socket, *arguments], capture_output=True, text=True, timeout=20,
                              env=os.environ | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}).stdout

    def picture(self):
        return self.tmux("capture-pane", "-p")

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def close(self):
        self.tmux("kill-server")


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not come within {seconds} s")


def the_view_follows_a_run_to_its_end():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        process = lathe.start(["run", *lathe.job(run, **LONG)], ranks=2)
        wait_for(lambda: (run / "status.json").exists(), 60, "status.json")
        watch = lathe.command(["status", run, "--watch"])
        small, large = Terminal(scratch, 80, 24, watch), Terminal(scratch, 200, 50, watch)
        try:
            for terminal, columns, rows in ((small, 80, 24), (large, 200, 50)):
                shown = wait_for(lambda: re.search(r"   1  \w+/\S+", terminal.picture()) and terminal.picture(), 30, "a task of rank 1")
                print(shown, flush=True)
                lines = shown.rstrip("\n").split("\n")
                assert len(lines) <= rows and all(len(line) <= columns for line in lines), (columns, shown)
                assert re.match(r"lathe  running  ", lines[0]) and re.search(r"job +\[[#.]+\] +\d+ %", shown), shown
                assert re.search(r"stage +\[[#.]+\] +\d+/\d+ +\w+", shown), shown
                assert re.search(r"   0  \w+/\S+ +[\d.]+ s.* [\d.]+ MB", shown) or "   0  idle" in shown, shown
                assert "last events" in shown, shown
            small.resize(100, 16)
            shown = wait_for(lambda: len(small.picture().split("\n")) <= 17 and "last events" in small.picture() and small.picture(), 10,
                             "a picture of the new size")
            assert shown.startswith("lathe  running"), shown
            # All ranks go. The run is stopped, and so is the watching; then they come again, three of them.
            lathe.kill(process)
            for terminal in (small, large):
                shown = wait_for(lambda: "ended with 0" in terminal.picture() and terminal.picture(), 30, "the end of the watching")
                assert "stopped: " in shown and "lathe  running" not in shown, shown
            process = lathe.start(["resume", run], ranks=3)
            wait_for(lambda: lathe.run_json(["status", run])["status"] == "running", 60, "the second start")
            again = Terminal(scratch, 120, 30, watch)
            try:
                shown = wait_for(lambda: re.search(r"   2  (\w+/\S+|idle)", again.picture()) and again.picture(), 60, "rank 2")
                assert process.wait(timeout=280) == 0
                shown = wait_for(lambda: "ended with 0" in again.picture() and again.picture(), 30, "the end of the watching")
                assert re.search(r"done: \w+ \d+/\d+ tasks, 3 ranks", shown), shown
            finally:
                again.close()
        finally:
            small.close()
            large.close()
            if process.poll() is None:
                lathe.kill(process)


def without_a_terminal_there_are_lines():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        process = lathe.start(["run", *lathe.job(run, **LONG)])
        try:
            wait_for(lambda: (run / "status.json").exists(), 60, "status.json")
            watching = subprocess.Popen(lathe.command(["status", run, "--watch"]), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            time.sleep(5)
            watching.send_signal(signal.SIGINT)
            _, shown = watching.communicate(timeout=20)
        finally:
            lathe.kill(process)
        lines = shown.splitlines()
        assert len(lines) >= 2 and "\x1b" not in shown, shown
        assert all(re.match(r"\w+ \d+/\d+, .* left; job .* left", line) for line in lines), shown


lathe.main([the_view_follows_a_run_to_its_end, without_a_terminal_there_are_lines])
