"""Which instruction set computed a run, and ranks of several kinds."""
import json
import os
import pathlib
import subprocess
import time

import lathe

QUICK = {"candidates": "[{method: integer, num_bits: [3, 4, 8], solver: gptq}]", "search__strategy": "homogeneous",
         "budget": "3x"}
USAGE = 64
MIXED = "ranks_compute_differently"


def processor_has(flag):
    return flag in pathlib.Path("/proc/cpuinfo").read_text().split()


def manifest_of(run):
    return json.loads((run / "manifest.json").read_text())["instruction_set"]


def on_two_kinds(arguments):
    """Two ranks, the second with another BLAS than this processor would take, as on another node."""
    program = [str(lathe.BINARY), *map(str, arguments)]
    done = subprocess.run(["mpirun", "--bind-to", "none", "-n", "1", *program, ":", "-n", "1", "-x",
                           "OPENBLAS_CORETYPE=Nehalem", *program],
                          capture_output=True, text=True, timeout=300, env=os.environ | lathe.MPI_ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return done.stderr


def the_manifest_says_which():
    with lathe.Scratch() as scratch:
        lathe.run(["run", *lathe.job(scratch / "own", **QUICK)])
        own = manifest_of(scratch / "own")
        assert ", BLAS " in own, own
        # What OpenBLAS takes for a processor that is newer than itself.
        assert not own.endswith("Prescott") or not processor_has("avx2"), own
        lathe.run(["run", *lathe.job(scratch / "generic", runtime__instruction_set="generic", **QUICK)])
        generic = manifest_of(scratch / "generic")
        assert generic.startswith("generic") and generic.endswith(", BLAS Prescott"), generic
        # The run goes on with another, and says so.
        arguments = ["resume", scratch / "generic", "--set", "runtime.instruction_set=auto"]
        words = lathe.run(arguments).stderr
        assert ("run_of_another_instruction_set" in words) == (own != generic), words


def it_keeps_its_name_when_it_starts_again():
    # For one of them at least OpenBLAS would have taken other kernels.
    for name in ("generic", "avx2") if processor_has("avx2") else ("generic",):
        with lathe.Scratch() as scratch:
            process = lathe.start(["run", *lathe.job(scratch / "run", runtime__instruction_set=name)])
            try:
                while not (scratch / "run/status.json").exists():
                    assert process.poll() is None, "the run ended"
                    time.sleep(0.01)
                found = pathlib.Path(f"/proc/{process.pid}/comm").read_text().strip()
                assert found == lathe.BINARY.name[:15], found
            finally:
                lathe.kill(process)


def what_the_processor_lacks_is_refused():
    if processor_has("avx512vbmi") and processor_has("avx512_vnni"):
        print("skipped: this processor has all of them")
        return
    with lathe.Scratch() as scratch:
        arguments = lathe.job(scratch / "run", runtime__instruction_set="avx512vbmi", **QUICK)
        done = lathe.run(["run", *arguments], code=USAGE)
        assert "no instruction set avx512vbmi; it has: generic" in done.stderr, done.stderr


def ranks_of_two_kinds_are_told_and_can_agree():
    if not processor_has("avx2"):
        print("skipped: needs AVX2")
        return
    with lathe.Scratch() as scratch:
        assert MIXED in on_two_kinds(["run", *lathe.job(scratch / "mixed", **QUICK)])
        lathe.run(["run", *lathe.job(scratch / "alone", runtime__instruction_set="avx2", **QUICK)])
        words = on_two_kinds(["run", *lathe.job(scratch / "agreed", runtime__instruction_set="avx2", **QUICK)])
        assert MIXED not in words, words
        assert manifest_of(scratch / "agreed") == "avx2, BLAS Haswell", manifest_of(scratch / "agreed")
        reports = [json.loads((scratch / run / "report.json").read_text()) for run in ("alone", "agreed")]
        hashes = {report["checkpoint_hash"] for report in reports}
        assert len(hashes) == 1, hashes


lathe.main([the_manifest_says_which, it_keeps_its_name_when_it_starts_again, what_the_processor_lacks_is_refused,
            ranks_of_two_kinds_are_told_and_can_agree])
