"""What comes out: verified, evaluated, exported, read by another program, searched again."""
import json
import os
import random
import shutil

import lathe


def damaged(scratch, checkpoint, name, offset):
    """A copy of the checkpoint with one bit flipped."""
    copy = scratch / "damaged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(checkpoint, copy)
    content = bytearray((copy / name).read_bytes())
    content[offset] ^= 1 << random.randrange(8)
    (copy / name).write_bytes(content)
    return copy


with lathe.Scratch() as scratch:
    run = scratch / "run"
    arguments = ["run", *lathe.job(run, **lathe.WHOLE, export="[hf]", evaluate__max_seq_length=256,
                                   evaluate__perplexity=lathe.TEXTS / "test.txt")]
    result = lathe.run_json(arguments, 2)
    checkpoint = run / "checkpoint"

    def the_budget_holds_for_every_byte_on_disk():
        size = sum(f.stat().st_size for f in checkpoint.rglob("*") if f.is_file())
        assert size == result["checkpoint_bytes"], (size, result["checkpoint_bytes"])
        assert size <= result["source_bytes"] / 4

    def perplexity_is_that_of_the_models_own_program():
        # 17.838098 over 56,100 tokens: transformers in float32 on the same windows, see
        # examples/README.md.
        evaluation = result["evaluation"][0]
        assert evaluation["tokens"] == 56100, evaluation
        assert abs(evaluation["source_perplexity"] / 17.838098 - 1) < 1e-5, evaluation
        assert evaluation["perplexity"] / evaluation["source_perplexity"] < 1.03, evaluation

    def the_searched_plan_beats_every_homogeneous_one():
        plan = json.loads((run / "search/plan.json").read_text())
        kinds = [p["origin"] for p in plan["considered"]]
        assert any(kind.startswith("homogeneous") for kind in kinds), kinds
        assert plan["kl"] <= min(p["kl"] for p in plan["considered"]), plan["considered"]

    def the_export_evaluates_like_the_checkpoint():
        compressed = lathe.run_json(["eval", checkpoint, "--text", lathe.TEXTS / "validation.txt", "--seqlen", 256,
                                     "--kl", lathe.MODEL], 2)
        exported = lathe.run_json(["eval", run / "export", "--text", lathe.TEXTS / "validation.txt", "--seqlen", 256])
        assert abs(exported["perplexity"] / compressed["perplexity"] - 1) < 1e-3, (exported, compressed)
        assert compressed["kl"] > 0

    def any_flipped_byte_is_found():
        assert lathe.run_json(["verify", checkpoint])["ok"]
        names = sorted(f.relative_to(checkpoint) for f in checkpoint.rglob("*") if f.is_file())
        for name in names:
            for _ in range(3):
                offset = random.randrange((checkpoint / name).stat().st_size)
                copy = damaged(scratch, checkpoint, name, offset)
                done = lathe.run(["verify", copy, "--json"], code=65)
                found = json.loads(done.stdout)
                assert not found["ok"] and found["corrupt"] + found["missing"], (name, offset)

    def a_missing_shard_is_named():
        copy = scratch / "damaged"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(checkpoint, copy)
        (copy / "blocks/0002.h5").unlink()
        found = json.loads(lathe.run(["verify", copy, "--json"], code=65).stdout)
        assert "model.layers.2.mlp.down_proj.weight" in found["missing"], found["missing"]

    def the_python_package_reads_it():
        python = lathe.python_with_h5py()
        if python is None:
            print("skipped: no Python with h5py")
            return
        name = "model.layers.0.mlp.down_proj.weight"
        printed = lathe.read_tensor(python, checkpoint, name)
        first = lathe.exported(run, name)[0]
        assert printed.split()[0] == "(256," and f"first bits {first:04x}" in printed, printed

    def another_budget_needs_no_new_candidates():
        plans = lathe.run_json(["search", run, "--budget", "3x,6x", "--assemble"])["plans"]
        assert [p["budget"] for p in plans] == ["3x", "6x"]
        assert plans[0]["kl"] < plans[1]["kl"], plans
        for plan in plans:
            assert plan["checkpoint_bytes"] <= plan["budget_bytes"], plan

    def a_damaged_shard_is_made_again():
        shard = checkpoint / "blocks/0002.h5"
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 1
        shard.write_bytes(content)
        done = lathe.run(arguments, code=75)
        assert "were put aside: checkpoint/blocks/0002.h5" in done.stderr, done.stderr
        # What was put aside is not the checkpoint's: it would break the budget.
        assert lathe.run_json(arguments)["checkpoint_bytes"] == result["checkpoint_bytes"]

    def inspect_knows_every_unit():
        found = lathe.run_json(["inspect", checkpoint])
        assert len(found["units"]) == 6 * 4 + 2, len(found["units"])
        assert found["checkpoint_bytes"] == result["checkpoint_bytes"]
        source = lathe.run_json(["inspect", lathe.MODEL])
        assert source["parameters"] == 5475584, source["parameters"]

    lathe.main([the_budget_holds_for_every_byte_on_disk, perplexity_is_that_of_the_models_own_program,
                the_searched_plan_beats_every_homogeneous_one, the_export_evaluates_like_the_checkpoint,
                any_flipped_byte_is_found, a_missing_shard_is_named, the_python_package_reads_it,
                another_budget_needs_no_new_candidates, a_damaged_shard_is_made_again, inspect_knows_every_unit])
