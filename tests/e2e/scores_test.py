"""What predicts divergence: a run's scores may be changed, and no pass through the model is made twice."""
import json

import lathe

CODED = {"candidates": "[{method: integer, num_bits: [2, 3, 4], solver: gptq}, {method: integer, num_bits: 8, solver: rtn}]",
         "search__strategy": "knapsack"}
PROBED, WEIGHTED = "measured divergence", "gradient-weighted error"


def stage(result, name):
    return next((s for s in result["stages"] if s["name"] == name), {"tasks": 0, "tasks_reused": 0})


with lathe.Scratch() as scratch:
    run = scratch / "run"
    first_plan = []

    def search(scores):
        result = lathe.run_json(["run", *lathe.job(run, search__scores=scores, **CODED)])
        plan = json.loads((run / "search/plan.json").read_text())
        return result, plan, [proxy["score"] for proxy in plan["proxies"]]

    def the_plan_counts_them():
        plans = [lathe.run_json(["plan", *lathe.job(scratch / "none", search__scores=scores, **CODED)])
                 for scores in ("divergence", "gradient")]
        found = [[s for s in plan["stages"] if s["name"] == "gradients"] for plan in plans]
        # 24 samples of 128 tokens, at most 2048 a task.
        assert found[0] == [] and found[1][0]["tasks"] == 2, found

    def gradients_alone_need_no_probes():
        result, plan, names = search("gradient")
        first_plan.append((run / "search/plan.json").read_bytes())
        assert WEIGHTED in names and PROBED not in names, names
        assert stage(result, "gradients")["tasks"] == 2, result["stages"]
        # Weighted errors predict the order of plans better than plain ones, and find a better plan.
        correlation = {proxy["score"]: proxy["rank_correlation"] for proxy in plan["proxies"]}
        assert correlation[WEIGHTED] >= correlation["relative error"], correlation
        kl = {other["origin"]: other["kl"] for other in plan["considered"]}
        assert kl["search by " + WEIGHTED] < kl["search by relative error"], kl

    def a_finished_run_takes_other_scores():
        both, plan, names = search("both")
        assert names[:2] == [PROBED, WEIGHTED], names
        assert stage(both, "gradients")["tasks_reused"] == 2, both["stages"]
        divergence, _, names = search("divergence")
        assert names[0] == PROBED and WEIGHTED not in names, names
        assert stage(divergence, "gradients")["tasks"] == 0, divergence["stages"]
        assert stage(divergence, "search")["tasks_reused"] == stage(divergence, "search")["tasks"], divergence["stages"]
        assert both["selection_kl"] <= divergence["selection_kl"], (both, divergence)

    def two_ranks_do_not_show():
        other = scratch / "ranks"
        lathe.run_json(["run", *lathe.job(other, search__scores="gradient", **CODED)], 2)
        assert (other / "search/plan.json").read_bytes() == first_plan[0], "another plan on 2 ranks"

    def a_lost_part_is_made_again():
        part = run / "gradients/part_1.h5"
        before = part.read_bytes()
        part.write_bytes(before[:-100])
        result, _, _ = search("both")
        assert stage(result, "gradients")["tasks_reused"] == 1, result["stages"]
        assert part.read_bytes() == before, "another part"

    lathe.main([the_plan_counts_them, gradients_alone_need_no_probes, a_finished_run_takes_other_scores,
                two_ranks_do_not_show, a_lost_part_is_made_again])
