"""Everything in blocks of whole numbers: stored, evaluated and generated with in integers, exported, refused."""
import json
import random

import lathe

SMALL = {"calibration__num_calibration_samples": 4, "calibration__max_seq_length": 64,
         "search__num_evaluation_samples": 2}
PARTS = ("embedding", "products", "softmax", "activation", "norm", "residual", "storage")
ROUNDED = "{method: bct, num_bits: 8, solver: rtn}"


def preset_job(preset, output):
    """A job that the preset decides but for its inputs: lathe.job() without budget and candidates."""
    return ["--preset", preset, *lathe.job(output, **lathe.WHOLE, **SMALL, budget=None)]


def evaluate(directory, *options, seqlen=128, limit=4):
    return lathe.run_json(["eval", directory, "--text", lathe.TEXTS / "test.txt", "--seqlen", seqlen, "--limit", limit,
                           "--kl", lathe.MODEL, *options])


def checkpoint_hash(run):
    found = lathe.run_json(["verify", run / "checkpoint"])
    assert found["ok"], found
    return found["checkpoint_hash"]


def a_preset_puts_every_tensor_in_blocks():
    with lathe.Scratch() as scratch:
        one, two, narrow = scratch / "one", scratch / "two", scratch / "narrow"
        lathe.run(["run", *preset_job("bct-8", one)])
        lathe.run(["run", *preset_job("bct-8", two)], ranks=2)
        assert checkpoint_hash(one) == checkpoint_hash(two)
        lathe.run(["run", *preset_job("bct-48", narrow)])
        for run, low, high in ((one, 8.1, 9.0), (narrow, 4.0, 5.0)):
            bits = lathe.run_json(["inspect", run / "checkpoint"])["bits_per_weight"]
            assert low < bits < high, bits
        # By the paper's counting: matrices of the blocks in 4 bits, one-dimensional tensors in 8, no shifts.
        header, _ = lathe.read_header(lathe.MODEL / "model.safetensors")
        shapes = [e["shape"] for n, e in header.items() if ".layers." in n]
        sizes = [shape[0] * (shape[1] if len(shape) > 1 else 1) for shape in shapes]
        flat = sum(size for size, shape in zip(sizes, shapes) if len(shape) == 1)
        counted = lathe.run_json(["inspect", narrow / "checkpoint"])["block_tensors"]
        assert abs(counted["ratio_of_values"] - 32 / (4 + 4 * flat / sum(sizes))) < 1e-9, counted
        assert 7.5 < counted["ratio"] < counted["ratio_of_values"], counted
        weights, whole = evaluate(one / "checkpoint"), evaluate(one / "checkpoint", "--integer", "all")
        assert evaluate(one / "checkpoint", "--integer", "weights")["kl"] == weights["kl"]
        assert whole["integer"] == "all" and weights["kl"] < whole["kl"] < 0.01, (weights, whole)
        for part in PARTS:
            alone = evaluate(one / "checkpoint", "--integer", part)
            assert alone["integer"] == part and 0 < alone["kl"] < 0.01, alone
        assert evaluate(one / "checkpoint", "--integer", "all", "--integer-block", "128")["kl"] != whole["kl"]
        assert evaluate(one / "checkpoint", "--integer", "all,-softmax")["integer"] == ",".join(
            part for part in PARTS if part != "softmax")

        lathe.run(["export", one / "checkpoint", "--output", scratch / "hf"])
        exported = evaluate(scratch / "hf")
        assert abs(exported["kl"] - weights["kl"]) < 1e-4, (exported, weights)
        python = lathe.python_with_h5py()
        for run in (one, narrow):
            for name in ("model.layers.0.mlp.down_proj.weight", "model.norm.weight"):
                if python:
                    assert "mean" in lathe.read_tensor(python, run / "checkpoint", name)


def answers_do_not_depend_on_threads_or_backend():
    few = {"seqlen": 24, "limit": 1}
    one, three = (evaluate(lathe.MODEL, "--integer", "all", "--threads", n, **few) for n in (1, 3))
    assert one["kl"] == three["kl"] and one["perplexity"] == three["perplexity"]
    # The same logits; their losses are summed by another backend.
    reference = evaluate(lathe.MODEL, "--integer", "all", "--backend", "reference", **few)
    assert abs(reference["perplexity"] / one["perplexity"] - 1) < 1e-5, (reference, one)


def every_family_runs_on_whole_numbers():
    models = sorted(path.parent for path in (lathe.ROOT / "tests/data/parity").glob("*/reference.h5"))
    assert len(models) >= 13, models
    for model in models:
        found = lathe.run_json(["eval", model, "--text", model / "reference.h5", "--seqlen", "16", "--kl", model,
                                "--integer", "all"])
        # Random models of hidden size 32 or so, which round to few blocks: 0.0056 is the largest.
        assert 0 < found["kl"] < 0.01, (model.name, found)


def generation_keeps_keys_and_values_in_blocks():
    arguments = ["generate", lathe.MODEL, "--prompt", "And it came to pass", "--max-new-tokens", "12", "--integer", "all"]
    text = lathe.run_json(arguments)
    assert len(text["ids"]) == 12, text
    assert lathe.run_json([*arguments, "--threads", "1"])["ids"] == text["ids"]


def what_cannot_be_is_refused():
    with lathe.Scratch() as scratch:
        def refused(word, kept):
            done = lathe.run(["run", *lathe.job(scratch / "run", kept_tensors=kept)], code=64)
            assert "--set kept_tensors" in done.stderr and word in done.stderr, done.stderr
            assert not (scratch / "run").exists()
        refused("use solver rtn", "{method: bct, num_bits: 8}")
        refused("is for matrices", "{method: nm}")
        refused("is for matrices", "[{method: dense}, {method: nm}]")
        refused("is empty", "[]")
        refused("from 16 to 1024", "{method: bct, block_size: 8, solver: rtn}")
        done = lathe.run(["run", *preset_job("bct-9", scratch / "run")], code=66)
        assert 'no preset "bct-9"; presets are' in done.stderr, done.stderr
        text = ["--text", lathe.TEXTS / "test.txt"]
        done = lathe.run(["eval", lathe.MODEL, *text, "--integer", "gelu"], code=64)
        assert 'unknown part "gelu"' in done.stderr, done.stderr
        lathe.run(["eval", lathe.MODEL, *text, "--integer", "all", "--integer-block", "8"], code=64)


def a_killed_job_goes_on_with_its_kept_tensors():
    with lathe.Scratch() as scratch:
        changes = {**SMALL, "budget": "3x", "kept_tensors": ROUNDED, "candidates": "[{method: bct, num_bits: [4, 8], solver: [gptq, rtn]}]"}
        lathe.run(["run", *lathe.job(scratch / "whole", **changes)])
        arguments = ["run", *lathe.job(scratch / "killed", **changes)]
        lathe.kill_at_random(arguments, random.Random(5), [0, 2], 0.3, 2.0)
        lathe.run(arguments, ranks=2)
        assert checkpoint_hash(scratch / "whole") == checkpoint_hash(scratch / "killed")
        changes["kept_tensors"] = "{method: bct, num_bits: 4, solver: rtn}"
        done = lathe.run(["run", *lathe.job(scratch / "whole", **changes)], code=64)
        assert "kept_tensors" in done.stderr, done.stderr


def the_search_chooses_for_what_is_in_no_unit():
    """Norms: in 8 bits where there is room, in 4 where there is none."""
    with lathe.Scratch() as scratch:
        changes = {"search.strategy": "knapsack", "calibration.num_calibration_samples": 8,
                   "candidates": "[{method: bct, num_bits: [4, 8], solver: rtn}]",
                   "kept_tensors": "{method: bct, num_bits: [8, 4], solver: rtn}"}
        smallest = lathe.run_json(["plan", *lathe.job(scratch / "run", budget="2x", **changes)])["minimum_bytes"]
        tight = "{bytes: %d}" % smallest
        for name, budget, bits in (("wide", "1.5x", 8), ("tight", tight, 4)):
            run = scratch / name
            done = lathe.run_json(["run", *lathe.job(run, budget=budget, **changes)])
            plan = json.loads((run / "search/plan.json").read_text())
            assert f"num_bits={bits}" in plan["kept_tensors"]["setting"], plan["kept_tensors"]
            assert done["checkpoint_bytes"] <= plan["budget_bytes"], (done, plan["budget_bytes"])
        lathe.run(["run", *lathe.job(scratch / "two", budget=tight, **changes)], ranks=2)
        assert checkpoint_hash(scratch / "tight") == checkpoint_hash(scratch / "two")


def refinement_works_on_blocks():
    with lathe.Scratch() as scratch:
        changes = {"budget": "4x", "refine": "sequential", "kept_tensors": ROUNDED, "search.strategy": "knapsack",
                   "candidates": "[{method: bct, num_bits: [2, 3, 4], solver: gptq}]"}
        found = lathe.run_json(["run", *lathe.job(scratch / "one", **changes)])["refine"]
        assert found["kl"] < found["plan_kl"], found
        lathe.run(["run", *lathe.job(scratch / "two", **changes)], ranks=2)
        assert checkpoint_hash(scratch / "one") == checkpoint_hash(scratch / "two")
        whole = evaluate(scratch / "one/checkpoint", "--integer", "all")
        assert abs(whole["kl"] / evaluate(scratch / "one/checkpoint")["kl"] - 1) < 0.1, whole


lathe.main([a_preset_puts_every_tensor_in_blocks, every_family_runs_on_whole_numbers,
            answers_do_not_depend_on_threads_or_backend, generation_keeps_keys_and_values_in_blocks,
            what_cannot_be_is_refused, a_killed_job_goes_on_with_its_kept_tensors,
            the_search_chooses_for_what_is_in_no_unit, refinement_works_on_blocks])
