"""Tokens that count by what the loss makes of them: calibration.weighting."""
import lathe

WEIGHTED = {"calibration__weighting": "loss", "search__strategy": "homogeneous",
            "candidates": "[{method: integer, num_bits: 3, solver: gptq}, {method: integer, num_bits: 3, solver: rtn}]"}


def stage(result, name):
    return next(s for s in result["stages"] if s["name"] == name)


with lathe.Scratch() as scratch:
    run = scratch / "run"

    def the_plan_counts_them():
        plan = lathe.run_json(["plan", *lathe.job(scratch / "none", **WEIGHTED)])
        assert plan["stages"][0]["name"] == "weigh_tokens", plan["stages"]
        # 24 samples of 128 tokens, at most 2048 a task.
        assert plan["stages"][0]["tasks"] == 2, plan["stages"]

    def ranks_do_not_show():
        hashes = [lathe.run_json(["run", *lathe.job(run if ranks == 1 else scratch / f"run{ranks}", **WEIGHTED)], ranks)["checkpoint_hash"]
                  for ranks in (1, 2, 3)]
        assert len(set(hashes)) == 1, hashes
        equal = lathe.run_json(["run", *lathe.job(scratch / "equal", **WEIGHTED | {"calibration__weighting": "equal"})])
        assert equal["checkpoint_hash"] != hashes[0], "weights change nothing"
        assert all(s["name"] != "weigh_tokens" for s in equal["stages"]), equal["stages"]

    def a_lost_part_is_made_again():
        part = run / "token_weights/part_1.h5"
        before = part.read_bytes()
        part.write_bytes(before[:-100])
        result = lathe.run_json(["run", *lathe.job(run, **WEIGHTED)])
        assert stage(result, "weigh_tokens")["tasks_reused"] == 1, result["stages"]
        assert stage(result, "calibrate")["tasks_reused"] == stage(result, "calibrate")["tasks"], result["stages"]
        assert part.read_bytes() == before, "another part"

    def what_does_not_go_together_is_refused():
        done = lathe.run(["plan", *lathe.job(scratch / "none", **WEIGHTED, slice="{sparsity: 0.25}")], code=64)
        assert "slice" in done.stderr and "calibration.weighting" in done.stderr, done.stderr
        done = lathe.run(["plan", *lathe.job(scratch / "none", **WEIGHTED | {"calibration__weighting": "los"})], code=64)
        assert "loss" in done.stderr, done.stderr

    lathe.main([the_plan_counts_them, ranks_do_not_show, a_lost_part_is_made_again, what_does_not_go_together_is_refused])
