"""Refinement of the plan that wins: nearer to the source, and the same on any ranks and after any interruption."""
import time

import lathe

# Solved quickly, and coarse enough that what goes wrong in one block matters to the next.
CODED = {"candidates": "[{method: integer, num_bits: 3, solver: gptq}]", "ignore": "[embedding, head]",
         "search__strategy": "knapsack", "budget": "2.6x"}
REFINED = CODED | {"refine": "sequential"}


def stage(result, name):
    return next(s for s in result["stages"] if s["name"] == name)


with lathe.Scratch() as scratch:
    run = scratch / "whole"
    whole = lathe.run_json(["run", *lathe.job(run, **REFINED)])

    def the_divergence_falls_and_is_reported():
        refine = whole["refine"]
        assert refine["accepted"] and refine["kl"] < 0.95 * refine["plan_kl"], refine
        assert whole["selection_kl"] == refine["kl"] and whole["plan_origin"].endswith("refined"), whole["plan_origin"]
        assert lathe.run_json(["verify", run / "checkpoint"])["ok"]
        # What is evaluated on its own is what was assembled.
        evaluation = ["--text", lathe.TEXTS / "validation.txt", "--seqlen", 128, "--limit", 30, "--kl", lathe.MODEL]
        lathe.run_json(["run", *lathe.job(scratch / "plain", **CODED)])
        kl = [lathe.run_json(["eval", scratch / name / "checkpoint", *evaluation])["kl"] for name in ("whole", "plain")]
        assert kl[0] < kl[1], kl

    def a_finished_run_is_refined_later_and_back():
        plain = scratch / "plain"
        first = lathe.run_json(["resume", plain])
        assert "refine" not in first and first["checkpoint_hash"] != whole["checkpoint_hash"], first
        refined = lathe.run_json(["run", *lathe.job(plain, **REFINED)])
        assert refined["checkpoint_hash"] == whole["checkpoint_hash"], "another checkpoint when refined later"
        # The same settings: nothing grows but the digits of the errors in the plan's text.
        assert abs(refined["checkpoint_bytes"] - first["checkpoint_bytes"]) < 4096, (refined, first)
        again = lathe.run_json(["run", *lathe.job(plain, **CODED)])
        assert again["checkpoint_hash"] == first["checkpoint_hash"], "another checkpoint when not refined any more"

    def two_ranks_do_not_show():
        result = lathe.run_json(["run", *lathe.job(scratch / "ranks", **REFINED)], 2)
        assert result["checkpoint_hash"] == whole["checkpoint_hash"], "another checkpoint on 2 ranks"

    def killed_in_between_it_goes_on_to_the_same_bytes():
        killed = scratch / "killed"
        process = lathe.start(["run", *lathe.job(killed, **REFINED)])
        while not list(killed.glob("refined/*/block_0001.h5")):
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
        lathe.kill(process)
        finished = {file: file.stat().st_mtime_ns for file in killed.glob("refined/*/*.h5")}
        result = lathe.run_json(["resume", killed])
        assert result["checkpoint_hash"] == whole["checkpoint_hash"], "another checkpoint after kill -9"
        assert stage(result, "refine")["tasks_reused"] >= len(finished) >= 2, result["stages"]
        for file, made in finished.items():
            assert file.stat().st_mtime_ns == made, f"{file} was made again"

    def other_budgets_are_refined_too():
        plans = lathe.run_json(["search", run, "--budget", "2x", "--assemble"])["plans"]
        refine = plans[0]["refine"]
        assert refine["accepted"] == (refine["kl"] < refine["plan_kl"]), plans
        assert plans[0]["kl"] == min(refine["kl"], refine["plan_kl"]), plans
        assert lathe.run_json(["verify", plans[0]["checkpoint"]])["ok"]

    def a_sliced_model_is_refined_in_its_own_basis():
        result = lathe.run_json(["run", *lathe.job(scratch / "sliced", **REFINED | {"slice": "{sparsity: 0.1}"})])
        assert result["refine"]["accepted"], result["refine"]
        assert lathe.run_json(["verify", scratch / "sliced/checkpoint"])["ok"]

    lathe.main([the_divergence_falls_and_is_reported, a_finished_run_is_refined_later_and_back, two_ranks_do_not_show,
                killed_in_between_it_goes_on_to_the_same_bytes, other_budgets_are_refined_too,
                a_sliced_model_is_refined_in_its_own_basis])
