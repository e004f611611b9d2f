"""Streams of samples that do not fit into a rank's memory go by files: the same bytes as without."""
import lathe

SAMPLES = {"calibration__num_calibration_samples": 24, "calibration__max_seq_length": 256, "search__strategy": "homogeneous"}
SOLVED = {"candidates": "[{method: integer, num_bits: [3, 4], solver: gptq}]", "budget": "3x"}
SLICED = {"slice.sparsity": 0.25, "slice.order": "sequential", "budget": "1.2x"}


def memory_of(job):
    return {entry["stage"]: entry for entry in lathe.run_json(["plan", *job])["memory"]}


def check(name, stage, keys, all_ranks):
    """A job without a limit, and with one that the stage's streams do not fit below."""
    with lathe.Scratch() as scratch:
        keys = {**SAMPLES, **keys}
        free = memory_of(lathe.job(scratch / name, **keys))
        assert not any(entry["streams_in_files"] for entry in free.values()), free
        whole = lathe.run_json(["run", *lathe.job(scratch / name, **keys)])
        limit = free[stage]["bytes"] - 1
        for ranks in all_ranks:
            run = scratch / f"ranks{ranks}"
            limited = lathe.job(run, runtime__memory_limit=limit, **keys)
            planned = memory_of(limited)
            assert planned[stage]["streams_in_files"] and planned[stage]["bytes"] < limit, planned
            made = lathe.run_json(["run", *limited], ranks)
            assert made["checkpoint_hash"] == whole["checkpoint_hash"], (name, ranks)
            left = [file for file in run.rglob("*") if "passing" in str(file) or "scratch" in file.name]
            assert not left, left


def calibration():
    check("calibration", "calibrate", SOLVED, (0, 2, 3))


def refinement():
    check("refinement", "refine", {**SOLVED, "refine": "sequential"}, (0, 2))


def slicing():
    check("in_order", "rotate_in_order", SLICED, (2,))
    check("refit", "slice", {**SLICED, "slice.refit": "true"}, (2,))


lathe.main([calibration, refinement, slicing])
