"""What a job would take on other ranks: finished runs, job files and models of which there is a config.json."""
import json
import xml.etree.ElementTree

import lathe

CLUSTER = lathe.ROOT / "configs/clusters/h100.yaml"
MODELS = lathe.ROOT / "configs/models"
QUICK = {"candidates": "[{method: integer, num_bits: [2, 3, 4], solver: gptq}, {method: integer, num_bits: 8, solver: rtn}]",
         "search__generations": 2, "refine": "sequential", "runtime__threads": 1}
STAGES = ["calibrate", "compress", "search", "assemble", "verify"]


def simulate(*arguments):
    return lathe.run_json(["simulate", *arguments])


def a_run_is_simulated_on_its_own_ranks_and_on_more():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        report = lathe.run_json(["run", *lathe.job(run, **QUICK)])
        one = simulate(run, "--ranks", 1)
        stages = {stage["name"]: stage for stage in one["stages"]}
        for stage in report["stages"]:
            if stage["tasks"] == 0:
                continue
            assert stages[stage["name"]]["tasks"] == stage["tasks"] - stage["tasks_reused"], (stage, stages)
            # The tasks' own times make up the stage's: the rest is messages and artifacts' checks.
            measured = stages[stage["name"]]["measured_seconds"]
            assert 0.5 * measured <= stages[stage["name"]]["seconds"] <= measured * 1.02 + 0.05, (stage, stages)
        assert one["measured_ranks"] == 1 and abs(one["efficiency"] - 1.0) < 1e-6, one
        four = simulate(run, "--ranks", 4)
        assert four["one_rank_seconds"] == one["one_rank_seconds"], (one, four)
        assert one["critical_path"] - 1e-6 <= four["seconds"] <= one["seconds"], (one, four)
        assert abs(four["efficiency"] - four["one_rank_seconds"] / (4 * four["seconds"])) < 1e-9, four
        assert [other["ranks"] for other in four["other_ranks"]] == [1, 2, 4, 8, 16], four
        assert four["other_ranks"][2]["seconds"] == four["seconds"], four
        # Its speeds, for another model.
        other = simulate(MODELS / "opt-66b", "--ranks", 8, "--costs", run)
        assert {stage["certainty"] for stage in other["stages"] if stage["seconds"] > 0} == {"scaled"}, other


def large_models_are_simulated_from_their_config():
    with lathe.Scratch() as scratch:
        svg = scratch / "timeline.svg"
        many = simulate(MODELS / "opt-175b/config.json", "--ranks", 64, "--cluster", CLUSTER, "--svg", svg)
        assert [stage["name"] for stage in many["stages"]] == STAGES, many
        tasks = {stage["name"]: stage["tasks"] for stage in many["stages"]}
        assert tasks["calibrate"] == 97 and tasks["assemble"] == 97, tasks  # 96 blocks and what follows
        assert 0.0 < many["efficiency"] <= many["utilisation"] + 1e-9 <= 1.0, many
        assert many["seconds"] >= many["critical_path"], many
        # The idle time of all stages is what is missing from one.
        assert abs(sum(stage["unused_share"] for stage in many["stages"]) - (1 - many["efficiency"])) < 1e-6, many
        assert all(stage["certainty"] == "assumed" for stage in many["stages"]), many
        root = xml.etree.ElementTree.parse(svg).getroot()
        assert len(root) > 64 and svg.stat().st_size < 4e6, (len(root), svg.stat().st_size)
        again = simulate(MODELS / "opt-175b", "--ranks", 64, "--cluster", CLUSTER)
        assert again["seconds"] == many["seconds"], "another answer"


def a_job_file_has_its_settings():
    with lathe.Scratch() as scratch:
        job = scratch / "job.yaml"
        job.write_text(f"model: {lathe.MODEL}\noutput: {scratch / 'run'}\ncalibration: {{data: {lathe.TEXTS}/calibration.txt}}\n"
                       "candidates: [{method: integer, num_bits: 4, solver: rtn}]\nrefine: sequential\n")
        found = simulate(job, "--ranks", 2, "--cluster", CLUSTER)
        assert "refine" in [stage["name"] for stage in found["stages"]], found
        assert not (scratch / "run").exists()
        more = simulate(job, "--ranks", 2, "--cluster", CLUSTER, "--set", "calibration.num_calibration_samples=1000")
        assert more["seconds"] > found["seconds"], (found, more)


def losses_and_stops_cost_time():
    model = MODELS / "llama-2-70b"
    calm = simulate(model, "--ranks", 8, "--cluster", CLUSTER)
    hours = calm["seconds"] / 3600
    lossy = simulate(model, "--ranks", 8, "--cluster", CLUSTER, "--lost-ranks", 20 / hours)
    assert lossy["ranks_lost"] > 0 and lossy["seconds"] > calm["seconds"], lossy
    stopped = simulate(model, "--ranks", 8, "--cluster", CLUSTER, "--preempt", calm["seconds"] / 10)
    assert stopped["preemptions"] >= 9 and stopped["starts"] == stopped["preemptions"] + 1, stopped
    assert stopped["seconds"] > calm["seconds"] + 60 * stopped["preemptions"] - 60, stopped
    hopeless = lathe.run(["simulate", model, "--ranks", 8, "--cluster", CLUSTER, "--preempt", "0.001"], code=69)
    assert "no task is finished before the next stop" in hopeless.stderr, hopeless.stderr


def plan_counts_with_a_cluster():
    plan = lathe.run_json(["plan", "--model", MODELS / "llama-2-70b", "--cluster", CLUSTER])
    stages = {stage["name"]: stage for stage in plan["cluster"]["stages"]}
    assert plan["cluster"]["ranks"] == 64 and list(stages) == STAGES, plan["cluster"]
    assert stages["calibrate"]["messages"] > 0 and stages["compress"]["messages"] == 0, stages
    assert all(stage["rank_bytes"] > 0 for stage in stages.values()), stages
    same = simulate(MODELS / "llama-2-70b", "--ranks", 64, "--cluster", CLUSTER)
    assert plan["cluster"]["seconds"] == same["seconds"], (plan["cluster"]["seconds"], same["seconds"])


def what_makes_no_sense_is_refused():
    with lathe.Scratch() as scratch:
        model = MODELS / "llama-2-70b"
        for arguments, code, word in [
            (["--ranks", 8], 64, "--cluster"),
            (["--ranks", 0, "--cluster", CLUSTER], 64, "--ranks"),
            (["--ranks", 2000, "--cluster", CLUSTER], 64, "1024"),
            (["--ranks", 8, "--cluster", CLUSTER, "--lost-ranks", -1], 64, "--lost-ranks"),
            (["--ranks", 8, "--cluster", scratch / "none.yaml"], 66, "none.yaml"),
            (["--ranks", 8, "--cluster", CLUSTER, "--costs", scratch], 64, "excludes"),
            (["--ranks", 8, "--costs", scratch], 66, "schedule.jsonl"),
            (["--ranks", 8, "--cluster", CLUSTER, "--set", "slice.sparsity=0.25"], 64, "slice"),
        ]:
            done = lathe.run(["simulate", model, *arguments], code=code)
            assert word in done.stderr, (arguments, done.stderr)
        cluster = scratch / "cluster.yaml"
        cluster.write_text(CLUSTER.read_text().replace("nodes: 8", "nodes: -8", 1))
        done = lathe.run(["simulate", model, "--ranks", 8, "--cluster", cluster], code=64)
        assert "cluster.yaml:4:8" in done.stderr and "nodes" in done.stderr, done.stderr
        cluster.write_bytes(b"name: \xff\n")
        done = lathe.run(["simulate", model, "--ranks", 8, "--cluster", cluster], code=64)
        assert "UTF-8" in done.stderr, done.stderr
        run = scratch / "run"
        run.mkdir()
        (run / "manifest.json").write_text("{}")
        (run / "schedule.jsonl").write_text('{"ranks":0,"batches":1,"parts":1}\n{"stage":"x"}\n')
        done = lathe.run(["simulate", run, "--ranks", 8], code=65)
        assert "schedule.jsonl:1" in done.stderr, done.stderr


lathe.main([a_run_is_simulated_on_its_own_ranks_and_on_more, large_models_are_simulated_from_their_config,
            a_job_file_has_its_settings, losses_and_stops_cost_time, plan_counts_with_a_cluster,
            what_makes_no_sense_is_refused])
