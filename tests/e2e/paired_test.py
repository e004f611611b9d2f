"""Differences of two models window by window: printed figures against a plain computation from what each window has."""
import json
import math

import lathe

PIQA = lathe.ROOT / "tests/data/dataset/piqa.jsonl"
LIMITS = {"evaluate__max_seq_length": 64, "evaluate__limit": 20}


def paired(a, b, counts):
    """Mean of a - b and its standard error, windows for independent."""
    differences = [x - y for x, y in zip(a, b, strict=True)]
    mean = sum(differences) / sum(counts)
    squares = sum((d - mean * n) ** 2 for d, n in zip(differences, counts, strict=True))
    return mean, math.sqrt(squares * len(counts) / (len(counts) - 1)) / sum(counts)


def same(found, expected):
    mean, error = expected
    assert math.isclose(found["mean"], mean, rel_tol=1e-9), (found, expected)
    assert math.isclose(found["standard_error"], error, rel_tol=1e-9), (found, expected)
    assert math.isclose(found["t"], mean / error, rel_tol=1e-9), (found, expected)
    assert 0 <= found["p_value"] <= 1, found


def searched_job(output, **changes):
    return lathe.job(output, budget="5x", search__strategy="knapsack", calibration__num_calibration_samples=8,
                     candidates="[{method: integer, num_bits: [2, 3, 4, 8], solver: rtn}]",
                     evaluate__perplexity=lathe.TEXTS / "test.txt", **LIMITS, **changes)


def a_job_is_compared_with_its_source_and_the_best_uniform_plan():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        result = lathe.run_json(["run", *searched_job(run)])
        [text] = result["evaluation"]
        [windows] = json.loads((run / "windows.json").read_text())
        assert len(windows["tokens"]) == text["windows"] == 20, windows["tokens"]
        predicted = [n - 1 for n in windows["tokens"]]
        same(text["nll_difference"], paired(windows["nll"], windows["reference_nll"], predicted))
        uniform, other = text["uniform"], windows["uniform"]
        same(uniform["difference"]["nll"], paired(windows["nll"], other["nll"], predicted))
        same(uniform["difference"]["kl"], paired(windows["kl"], other["kl"], windows["tokens"]))
        assert math.isclose(text["kl"], sum(windows["kl"]) / sum(windows["tokens"]), rel_tol=1e-9)
        # The best that the search measured, by its own samples.
        considered = json.loads((run / "search/plan.json").read_text())["considered"]
        best = min((p for p in considered if p["origin"].startswith("homogeneous")), key=lambda p: p["kl"])
        assert uniform["plan"] == best["origin"] != result["plan_origin"], (uniform, best)
        assert uniform["contradicts_search"] == (uniform["difference"]["kl"]["mean"] > 0), uniform
        printed = lathe.run(["resume", run]).stdout
        for line in ("nats a token      +", "beside uniform    nats ", "beside uniform    KL ", f"uniform plan      {best['origin']}"):
            assert line in printed, printed
        again = lathe.run_json(["run", *searched_job(run)], ranks=2)
        assert again["evaluation"] == result["evaluation"]
        stage = next(s for s in again["stages"] if s["name"] == "evaluate")
        assert stage["tasks_reused"] == stage["tasks"], stage


def a_uniform_job_is_not_compared_with_itself():
    with lathe.Scratch() as scratch:
        result = lathe.run_json(["run", *lathe.job(scratch / "run", budget="3x", search__strategy="homogeneous",
                                                   candidates="[{method: integer, num_bits: 4, solver: rtn}]",
                                                   evaluate__perplexity=lathe.TEXTS / "test.txt", **LIMITS)])
        assert "uniform" not in result["evaluation"][0], result["evaluation"]


def two_checkpoints_side_by_side():
    with lathe.Scratch() as scratch:
        coarse, fine = scratch / "coarse/checkpoint", scratch / "fine/checkpoint"
        for checkpoint, bits in ((coarse, 3), (fine, 8)):
            lathe.run(["run", *lathe.job(checkpoint.parent, budget="1.5x", search__strategy="homogeneous",
                                         candidates=f"[{{method: integer, num_bits: {bits}, solver: rtn}}]")])
        on = ["--text", lathe.TEXTS / "test.txt", "--seqlen", "64", "--limit", "20"]
        file = scratch / "windows.json"
        found = lathe.run_json(["eval", coarse, "--against", fine, "--kl", lathe.MODEL, "--windows-out", file, *on])
        windows = json.loads(file.read_text())
        predicted = [n - 1 for n in windows["tokens"]]
        difference = found["against"]["difference"]
        same(difference["nll"], paired(windows["nll"], windows["against"]["nll"], predicted))
        same(difference["kl"], paired(windows["kl"], windows["against"]["kl"], windows["tokens"]))
        assert difference["kl"]["mean"] > 0 and difference["kl"]["p_value"] < 0.001, difference
        turned = lathe.run_json(["eval", fine, "--against", coarse, *on], 2)["against"]
        assert turned["difference"]["nll"]["mean"] == -difference["nll"]["mean"], (turned, difference)
        assert "kl" not in turned and "kl" not in turned["difference"], turned
        alone = lathe.run_json(["eval", fine, *on])
        assert found["against"]["perplexity"] == alone["perplexity"], (found, alone)
        itself = lathe.run_json(["eval", fine, "--against", fine, *on])["against"]["difference"]["nll"]
        assert itself["mean"] == 0 and itself["t"] == 0 and itself["p_value"] == 1, itself


def answers_to_the_same_questions():
    source = lathe.run_json(["eval", lathe.MODEL, "--task", "piqa", "--data", PIQA, "--reference", lathe.MODEL,
                             "--against", lathe.MODEL])
    pairs = source["answers"]
    assert pairs["only_model"] == pairs["only_reference"] == 0 and pairs["p_value"] == 1, pairs
    assert pairs["both"] == round(source["value"] * source["examples"]), source
    assert source["against"]["difference"]["only_other"] == 0, source["against"]


def what_cannot_be_compared_is_refused():
    bert = lathe.ROOT / "tests/data/parity/bert"
    on = ["--text", lathe.TEXTS / "test.txt", "--seqlen", "64", "--limit", "2"]
    done = lathe.run(["eval", lathe.MODEL, "--against", bert, *on], code=65)
    assert str(bert) in done.stderr, done.stderr
    lathe.run(["eval", lathe.MODEL, "--against", lathe.ROOT / "nothing", *on], code=66)
    lathe.run(["eval", lathe.MODEL, "--ids", "a.h5", "--logits-out", "b.h5", "--against", lathe.MODEL], code=64)
    done = lathe.run(["eval", lathe.MODEL, *on, "--windows-out", "/nowhere/windows.json"], code=74)
    assert "/nowhere" in done.stderr, done.stderr


lathe.main([a_job_is_compared_with_its_source_and_the_best_uniform_plan, a_uniform_job_is_not_compared_with_itself,
            two_checkpoints_side_by_side, answers_to_the_same_questions, what_cannot_be_compared_is_refused])
