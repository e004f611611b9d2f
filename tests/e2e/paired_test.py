"""Differences of two models window by window: printed figures against plain NumPy, from what each window has. Exit code 77: no NumPy."""
import html
import json
import math
import re
import sys

import lathe

sys.path.insert(0, str(lathe.ROOT / "tests/python"))
import support  # noqa: E402, F401  may start another Python, or skip

import numpy as np  # noqa: E402

PIQA = lathe.ROOT / "tests/data/dataset/piqa.jsonl"
LIMITS = {"evaluate__max_seq_length": 64, "evaluate__limit": 20}


def paired(a, b, counts):
    """Mean of a - b and its standard error, windows for independent."""
    differences, counts = np.subtract(a, b), np.array(counts)
    mean = differences.sum() / counts.sum()
    n = len(counts)
    return mean, np.sqrt(((differences - mean * counts) ** 2).sum() * n / (n - 1)) / counts.sum()


def chance_of(t, degrees):
    """Of a t as far from 0 or farther: Student's density, summed from |t| on; x = |t| + u / (1 - u)."""
    u = (np.arange(2_000_000) + 0.5) / 2_000_000
    x = abs(t) + u / (1 - u)
    constant = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(degrees * math.pi)
    return 2 * constant * ((1 + x * x / degrees) ** (-(degrees + 1) / 2) / (1 - u) ** 2).mean()


def chance_of_answers(only_one, only_other):
    """McNemar's exact test: the smaller tail of a row of Pascal's triangle, twice."""
    row = np.array([1.0])
    for _ in range(only_one + only_other):
        row = np.convolve(row, [0.5, 0.5])
    return min(1.0, 2 * row[:min(only_one, only_other) + 1].sum())


def same(found, expected, groups=20):
    mean, error = expected
    assert math.isclose(found["mean"], mean, rel_tol=1e-9), (found, expected)
    assert math.isclose(found["standard_error"], error, rel_tol=1e-9), (found, expected)
    assert math.isclose(found["t"], mean / error, rel_tol=1e-9), (found, expected)
    assert math.isclose(found["p_value"], chance_of(mean / error, groups - 1), rel_tol=1e-6, abs_tol=1e-12), (
        found, chance_of(mean / error, groups - 1))


def row_of(page, name):
    """The cells of a row of the report, in its first table that has it."""
    found = re.search(rf"<tr><td>{re.escape(html.escape(name, quote=False))}</td>(.*?)</tr>", page.read_text())
    return [html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", found[1])]


def the_page_has(page, name, expected, groups=20):
    """Mean, standard error, 95 % interval, t, p, windows: as they are printed."""
    mean, error = expected
    shown = row_of(page, name)
    low, high = map(float, shown[2].split(" to "))
    assert shown[0] == f"{mean:+.5f}" and math.isclose(float(shown[1]), error, rel_tol=6e-3), (shown, expected)
    assert math.isclose(float(shown[3]), mean / error, abs_tol=6e-3) and int(shown[5]) == groups, (shown, expected)
    # As far from the middle as leaves 5 %, to the digits that are there.
    assert math.isclose((low + high) / 2, mean, abs_tol=1.1e-5), (shown, expected)
    half = (high - low) / 2
    assert chance_of((half + 1.1e-5) / error, groups - 1) < 0.05 < chance_of((half - 1.1e-5) / error, groups - 1), (shown, expected)


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
        page = run / "report.html"
        the_page_has(page, "-log p: compressed less source", paired(windows["nll"], windows["reference_nll"], predicted))
        the_page_has(page, "-log p: compressed less uniform", paired(windows["nll"], other["nll"], predicted))
        the_page_has(page, "KL: compressed less uniform", paired(windows["kl"], other["kl"], windows["tokens"]))
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


def questions_of(file):
    """Which half verse comes next? A model of two bits a weight answers some otherwise."""
    verses = [v.split() for v in (lathe.TEXTS / "test.txt").read_text().splitlines() if len(v.split()) > 15][:80]
    ends = [" ".join(v[8:16]) for v in verses]
    with open(file, "w") as lines:
        for i, verse in enumerate(verses):
            options = [ends[i], ends[i - 3]] if i % 2 == 0 else [ends[i - 3], ends[i]]
            lines.write(json.dumps({"goal": " ".join(verse[:8]), "sol1": options[0], "sol2": options[1], "label": i % 2}) + "\n")
    return file


def answers_to_the_same_questions():
    source = lathe.run_json(["eval", lathe.MODEL, "--task", "piqa", "--data", PIQA, "--reference", lathe.MODEL,
                             "--against", lathe.MODEL])
    pairs = source["answers"]
    assert pairs["only_model"] == pairs["only_reference"] == 0 and pairs["p_value"] == 1, pairs
    assert pairs["both"] == round(source["value"] * source["examples"]), source
    assert source["against"]["difference"]["only_other"] == 0, source["against"]
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        lathe.run(["run", *lathe.job(run, budget="6x", search__strategy="homogeneous",
                                     candidates="[{method: integer, num_bits: 2, solver: rtn}]")])
        coarse = lathe.run_json(["eval", run / "checkpoint", "--task", "piqa", "--data",
                                 questions_of(scratch / "verses.jsonl"), "--reference", lathe.MODEL])
        pairs = coarse["answers"]
        assert 0 < pairs["only_model"] + pairs["only_reference"] and pairs["p_value"] < 1, pairs
        assert math.isclose(pairs["p_value"], chance_of_answers(pairs["only_model"], pairs["only_reference"]), rel_tol=1e-9), pairs


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
