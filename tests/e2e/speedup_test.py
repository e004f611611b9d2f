"""Plans under a limit of time: from a table that the user gives, or from times that the search measures."""
import json

import lathe

CANDIDATES = {"candidates": "[{method: dense}, {method: integer, num_bits: [4, 8], solver: rtn}, "
                            "{method: nm, pattern: '2:4', num_bits: 8, solver: magnitude}]",
              "search__strategy": "knapsack", "search__num_evaluation_samples": 2, "budget": "2.5x"}
SHAPES = [(256, 256), (128, 256), (704, 256), (256, 704), (2048, 256)]
# On this made-up device a weight's time is that of its elements, divided by:
GAINS = {"dense": 1.0, "integer": 1.25, "nm": 4.0}


def table(gains=GAINS, shapes=tuple(SHAPES)):
    return {"tokens": 1, "kernels": [{"rows": rows, "cols": cols, "setting": method, "microseconds": rows * cols / gain}
                                     for rows, cols in shapes for method, gain in gains.items()]}


with lathe.Scratch() as scratch:
    run = scratch / "run"
    times = scratch / "times.json"

    def search(arguments, code=0, ranks=0):
        return lathe.run(["search", run, "--budget", "2.5x", *arguments, "--json"], ranks, code)

    def plan_of(done):
        return json.loads(done.stdout)["plans"][0]

    def units(plan):
        return [unit["setting"].split()[0] for unit in json.loads(open(plan["plan"]).read())["units"]]

    def without_a_limit_nothing_is_timed():
        result = lathe.run_json(["run", *lathe.job(run, **CANDIDATES)])
        assert "speedup" not in result and not (run / "search/kernel_times.json").exists(), result

    def a_given_table_decides():
        times.write_text(json.dumps(table()))
        free = plan_of(search(["--kernel-times", times]))
        assert units(free).count("nm") == 0, "bytes and divergence alone never choose 2:4 here"
        fast = plan_of(search(["--kernel-times", times, "--speedup", "2"]))
        assert fast["speedup"] >= 2.0 > free["speedup"], (fast["speedup"], free["speedup"])
        assert "speedup: 0\n" in (run / "job.yaml").read_text(), "what one search asked for became the job's"
        assert fast["kl"] > free["kl"] and units(fast).count("nm") > 5, (fast, free)
        # By hand: the weights' elements over what each of them takes on that device.
        spec = json.loads((lathe.MODEL / "config.json").read_text())
        d, f, kv, vocabulary = (spec["hidden_size"], spec["intermediate_size"],
                                spec["num_key_value_heads"] * spec["hidden_size"] // spec["num_attention_heads"],
                                spec["vocab_size"])
        elements = {"qkv": d * (d + 2 * kv), "o": d * d, "gate_up": 2 * d * f, "down": d * f, "head": vocabulary * d,
                    "embedding": vocabulary * d if spec["tie_word_embeddings"] else 0}
        seconds = source = 0.0
        for unit in json.loads(open(fast["plan"]).read())["units"]:
            size = elements[unit["name"].split(".")[-1]]
            source += size
            seconds += size / GAINS[unit["setting"].split()[0]]
        assert abs(source / seconds - fast["speedup"]) < 1e-9 * fast["speedup"], (source / seconds, fast["speedup"])

    def ranks_do_not_show():
        plan = run / "search/plan_2.5x_speedup_2.json"
        before = plan.read_bytes()
        plan.unlink()
        search(["--kernel-times", times, "--speedup", "2"], ranks=2)
        assert plan.read_bytes() == before, "another plan on 2 ranks"

    def what_no_plan_reaches_is_refused():
        words = search(["--kernel-times", times, "--speedup", "4.5"], code=69).stderr
        assert "2.5 times" not in words and "is 4.5 times as fast as the source; the fastest" in words, words
        times.write_text(json.dumps(table(shapes=SHAPES[1:])))
        words = search(["--kernel-times", times, "--speedup", "2"], code=65).stderr
        assert "no entry for a weight [256, 256] under 'dense" in words, words

    def measured_times_are_kept():
        fast = plan_of(search(["--speedup", "1.2"]))
        assert fast["speedup"] >= 1.2, fast
        measured = run / "search/kernel_times.json"
        before = measured.read_bytes()
        kernels = json.loads(before)["kernels"]
        shapes = {(k["rows"], k["cols"]) for k in kernels}
        assert shapes == set(SHAPES) and len(kernels) == 4 * len(SHAPES), shapes
        again = plan_of(search(["--speedup", "1.2"]))
        assert again == fast and measured.read_bytes() == before, "measured again"

    lathe.main([without_a_limit_nothing_is_timed, a_given_table_decides, ranks_do_not_show,
                what_no_plan_reaches_is_refused, measured_times_are_kept])
