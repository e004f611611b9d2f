"""Jobs with less time than they need: stopped again and again, they end, in the bytes of one that was left alone."""
import json
import shutil
import time

import lathe

STOPPED = 75
# Every kind of stage whose tasks need what the ones before leave in memory.
KINDS = {
    "calibrate": {},
    "touch_up": {"slice.sparsity": 0.25, "slice.touch_up": 1},
    "in_order": {"slice.sparsity": 0.25, "slice.order": "sequential", "slice.refit": "true"},
    "refine": {"refine": "sequential", "budget": "6x"},
}
CANDIDATES = "[{method: integer, num_bits: [2, 3, 4], solver: rtn}]"


def arguments_of(run, changes):
    return ["run", *lathe.job(run, candidates=CANDIDATES, search__strategy="homogeneous",
                             calibration__num_calibration_samples=64, **changes)]


def finished(run):
    """Tasks that the journal has, and the blocks before which streams are stored."""
    stored = [str(path) for path in (*run.glob("calibration/**/stream_*.h5"), *run.glob("streams/*/*"))]
    return len(lathe.journal(run)), sorted(stored)


def ends_under_any_limit(kind, changes):
    with lathe.Scratch() as scratch:
        begin = time.monotonic()
        expected = lathe.run_json(arguments_of(scratch / "whole", changes))["checkpoint_hash"]
        whole = time.monotonic() - begin
        # Reading the model and the texts takes its time in each attempt; a step is a block of one stage.
        begin = time.monotonic()
        lathe.run(["plan", *arguments_of(scratch / "plan", changes)[1:]])
        limit = 1.5 * (time.monotonic() - begin) + whole / 40
        run, attempts = scratch / "run", 0
        while True:
            before = finished(run)
            done = lathe.subprocess.run(
                lathe.command([*arguments_of(run, changes), "--max-walltime", f"{limit:.2f}", "--json"]),
                capture_output=True, text=True, timeout=300, env=lathe.os.environ | lathe.MPI_ENVIRONMENT)
            attempts += 1
            if done.returncode == 0:
                break
            assert done.returncode == STOPPED, done.stderr
            assert finished(run) != before, f"{kind}: attempt {attempts} of {limit:.2f} s left nothing new\n{done.stderr}"
        assert json.loads(done.stdout)["checkpoint_hash"] == expected, kind
        assert not list(run.glob("streams/*")) and not list(run.glob("calibration/**/stream_*")), "streams are left"
        print(f"{kind}: whole {whole:.1f} s, limit {limit:.2f} s, {attempts} attempts")
        assert attempts > 2, f"{kind}: the limit of {limit:.2f} s stops nothing"


def a_stream_of_another_sweep_is_not_taken():
    """A stored stream says what it is of: one from elsewhere in its place is not used, nor an end of the run."""
    with lathe.Scratch() as scratch:
        changes = KINDS["touch_up"]
        expected = lathe.run_json(arguments_of(scratch / "whole", changes))["checkpoint_hash"]
        run = scratch / "run"
        stream = None
        for attempt in range(200):  # until a stream of sweep 0 lies there
            process = lathe.start(arguments_of(run, changes))
            until = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < until and stream is None:
                found = sorted(run.glob("calibration/stream_*.h5"))
                if found:
                    shutil.copy(found[0], scratch / "stream.h5")
                    stream = found[0].name
                time.sleep(0.002)
            lathe.kill(process)
            if stream:
                break
        assert stream, "no stream was stored"
        folder = run / "calibration/sweep_1"
        folder.mkdir(exist_ok=True)
        for block in range(1, 8):
            shutil.copy(scratch / "stream.h5", folder / f"stream_{block}.h5")
        assert lathe.run_json(arguments_of(run, changes))["checkpoint_hash"] == expected


def damaged_streams_are_made_again():
    with lathe.Scratch() as scratch:
        changes = KINDS["refine"]
        expected = lathe.run_json(arguments_of(scratch / "whole", changes))["checkpoint_hash"]
        run = scratch / "run"
        process = lathe.start(arguments_of(run, changes))
        while process.poll() is None and not list(run.glob("streams/*/2/part_*.h5")):
            time.sleep(0.005)
        assert process.poll() is None, "the job ended before a stream was stored"
        lathe.kill(process)
        for part in run.glob("streams/*/*/part_*.h5"):
            with open(part, "r+b") as file:  # in the middle of the values
                file.seek(part.stat().st_size * 2 // 3)
                file.write(b"\xff" * 64)
        done = lathe.subprocess.run(lathe.command(arguments_of(run, changes)), capture_output=True, text=True,
                                    env=lathe.os.environ | lathe.MPI_ENVIRONMENT)
        assert done.returncode in (0, STOPPED), done.stderr
        assert lathe.run_json(arguments_of(run, changes))["checkpoint_hash"] == expected


def any_limit():
    for kind, changes in KINDS.items():
        ends_under_any_limit(kind, changes)


if __name__ == "__main__":
    lathe.main([any_limit, a_stream_of_another_sweep_is_not_taken, damaged_streams_are_made_again])
