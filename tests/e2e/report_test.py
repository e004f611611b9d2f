"""Reports of runs without a browser: what they say without script, of whole, stopped and damaged runs; runs side by side."""
import html
import json
import re
import shutil
import subprocess
import sys
import time

import lathe
import reports

MISSING_INPUT = 66


def text_of(page):
    """What is there without script."""
    content = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", page.read_text(), flags=re.S)
    return html.unescape(re.sub(r"<[^>]+>", " ", content))


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.S)[1])


def whole(page):
    """One file: nothing is loaded, scripts and data end where they should."""
    content = page.read_text()
    assert len(re.findall(r"<script", content)) == len(re.findall(r"</script>", content)) in (0, 3), page
    assert content.endswith("</html>\n") and not re.search(r'(src|href)="(?!#|data:,)', content), page
    for number in re.findall(r"<td class=\"n\">([^<]*)</td>", content):
        assert "nan" not in number and "inf" not in number, number
    return page


def a_job_ends_with_its_report():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        result = reports.example(run, ranks=2)
        page = whole(run / "report.html")
        text, data = text_of(page), data_of(page)
        first = result["evaluation"][0]
        for part in (f"{result['ratio']:.2f}×", f"{result['bits_per_weight']:.3f}", result["checkpoint_hash"], str(run / "checkpoint"),
                     f"{first['perplexity']:.3f}", f"{first['nll_difference']['mean']:+.5f}", "LICENSE", "95 % interval",
                     "Against the best uniform plan", "lathe verify", "block_0003.down", "model.layers.0.self_attn.q_proj.weight",
                     "norm", "max_seq_length: 64"):
            assert part in text, part
        plan = json.loads((run / "search/plan.json").read_text())
        assert len(data["pareto"]["plans"]) == len(plan["considered"])
        assert sum(p["chosen"] for p in data["pareto"]["plans"]) == 1
        assert [u["bytes"] for u in data["units"]] == [u["bytes"] for u in plan["units"]]
        for unit, shown in zip(plan["units"], data["units"], strict=True):
            assert abs(shown["bits"] - 8 * unit["bytes"] / unit["weights"]) < 1e-9, shown
        # The front: no plan is both smaller and nearer to the source.
        for p in data["pareto"]["plans"]:
            better = [q for q in data["pareto"]["plans"] if q["bytes"] <= p["bytes"] and q["kl"] < p["kl"]]
            assert p["front"] == (not better and p == min((q for q in data["pareto"]["plans"] if q["kl"] == p["kl"]),
                                                          key=lambda q: q["bytes"])), p
        windows = json.loads((run / "windows.json").read_text())
        for number, found in enumerate(windows):
            expected = [kl / n for kl, n in zip(found["kl"], found["tokens"], strict=True)]
            assert all(abs(a - b) <= 1e-4 * abs(b) for a, b in zip(data[f"windows{number}"]["kl"], expected, strict=True))
        timeline = data["timeline"]
        assert timeline["ranks"] == 2 and len(timeline["starts"]) == 1
        assert {"calibrate", "compress", "search", "evaluate"} <= set(timeline["stages"]), timeline["stages"]
        ends = [s for s in timeline["spans"] if s[0] == 1]
        assert all(a[3] <= b[2] + 0.01 for a, b in zip(ends, ends[1:])), "a rank has one task at a time"
        # Once more, on demand, elsewhere.
        other = scratch / "other.html"
        answer = lathe.run_json(["report", run, "--output", other])
        assert answer == {"report": str(other), "run": "done", "missing": []}, answer
        assert text_of(whole(other)) == text_of(page)


def runs_of_other_kinds():
    with lathe.Scratch() as scratch:
        reports.sliced(scratch / "sliced")
        text = text_of(whole(scratch / "sliced/report.html"))
        assert "Spectra and widths" in text and "block_0003/1" in text and "The sliced model has" in text
        if (reports.SHARED / "models/minilm-l6-sst2").exists():
            answers = reports.encoder(scratch / "encoder")["evaluation"][1]["answers"]
            text = text_of(whole(scratch / "encoder/report.html"))
            assert "McNemar" in text and re.search(rf"Compressed right\s+{answers['both']:,}\s+{answers['only_model']:,}\s", text), text
        else:
            print("skipped: no encoder")


def a_stopped_run_has_a_report_of_what_is_there():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        reports.stopped(run)
        answer = lathe.run_json(["report", run])
        assert answer["run"] == "stopped" and any("no report.json" in m for m in answer["missing"]), answer
        text = text_of(whole(run / "report.html"))
        assert "This run is  stopped" in text and "lathe resume" in text and "What the ranks did" in text, text
        # Continued, it has two starts; the page goes with the run.
        lathe.run(["resume", run])
        assert len(data_of(whole(run / "report.html"))["timeline"]["starts"]) == 2


def crosses(page):
    """Spans of tasks that came to no end: task, rank, why."""
    return sorted((s[5], s[0], s[6]) for s in data_of(page)["timeline"]["spans"] if len(s) > 6)


def tasks_without_an_end_are_on_the_timeline():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        page = run / "report.html"
        reports.example(run)
        assert crosses(whole(page)) == []
        # As a kill leaves it: one task at work, and one whose result came just after the status was written.
        last = max(lathe.journal(run), key=lambda entry: entry["ended"])
        lathe.edit_json(run / "status.json", lambda status: status.update(
            status="running", stage="search", written=last["ended"] - 0.01 * last["seconds"],
            running=[{"task": "search/x", "rank": 0, "seconds": 0.25}, {"task": last["task"], "rank": last["rank"], "seconds": 0.9 * last["seconds"]}]))
        lathe.run(["report", run])
        killed = ("search/x", 0, "the program was killed")
        assert crosses(whole(page)) == [killed], crosses(page)
        assert re.search(r"1 task came to no end.*search/x\s+0\s+0.2 s\s+the program was killed", text_of(page), re.S), text_of(page)
        # Begun again, the run has a status of its own; what the kill cost is there still.
        lathe.run(["resume", run])
        assert crosses(whole(page)) == [killed], crosses(page)
        begun = {"stage": last["stage"], "rank": last["rank"], "ended": last["ended"]}
        lines = [begun | {"unfinished": "search/y", "seconds": 0.5, "why": "the rank was lost"},
                 begun | {"unfinished": last["task"], "seconds": 0.1, "why": "its result came after all"},
                 {"unfinished": 7, "rank": -3}, begun | {"unfinished": "search/z", "seconds": "no"}]
        with open(run / "schedule.jsonl", "a") as schedule:
            schedule.write("".join(json.dumps(line) + "\n" for line in lines))
        lathe.run(["report", run])
        assert crosses(whole(page)) == [killed, ("search/y", 0, "the rank was lost")], crosses(page)
        lathe.run(["simulate", run, "--ranks", "1"])  # passes over them


def damaged_runs_say_what_is_missing():
    with lathe.Scratch() as scratch:
        reports.example(scratch / "whole")
        for name in reports.damaged(scratch / "whole"):
            run = scratch / name
            shutil.copytree(scratch / "whole", run)
            damage, words = reports.damaged(run)[name]
            damage()
            answer = lathe.run_json(["report", run])
            assert words in " ".join(answer["missing"]), (name, answer)
            text = text_of(whole(run / "report.html"))
            assert words in text and len(text) > 3000, (name, len(text))
        empty = scratch / "empty"
        empty.mkdir()
        done = lathe.run(["report", empty], code=MISSING_INPUT)
        assert "is no run directory" in done.stdout, done.stdout
        assert "There is no run in" in text_of(whole(empty / "report.html"))
        lathe.run(["report", scratch / "nowhere"], code=MISSING_INPUT)
        # Which keeps nobody from beginning a run there.
        lathe.run(["run", *lathe.job(empty, runtime__max_walltime=0.01)], code=75)


def hostile_names_are_text():
    with lathe.Scratch() as scratch:
        run = scratch / "<img src=x onerror=alert(1)>'\"&"
        reports.example(run)
        plan = json.loads((run / "search/plan.json").read_text())
        plan["origin"] = plan["considered"][0]["origin"] = "</script><script>alert(2)</script>"
        plan["units"][0]["name"] = "<b onclick=alert(3)>"
        (run / "search/plan.json").write_text(json.dumps(plan))
        lathe.run(["report", run])
        content = whole(run / "report.html").read_text()
        assert "<img" not in content and "<b onclick" not in content and "<script>alert" not in content
        assert data_of(run / "report.html")["units"][0]["kind"] == "<b onclick=alert(3)>"


def a_large_run_takes_seconds():
    if not reports.can_make_large():
        return
    with lathe.Scratch() as scratch:
        run = scratch / "large"
        reports.large(run)
        began = time.monotonic()
        answer = lathe.run_json(["report", run])
        seconds = time.monotonic() - began
        size = (run / "report.html").stat().st_size
        print(f"   96 blocks, 64 ranks: {seconds:.1f} s, {size} bytes", flush=True)
        assert answer["missing"] == [] and seconds < 10 and size < 2_000_000, (answer, seconds, size)
        data = data_of(whole(run / "report.html"))
        assert data["timeline"]["ranks"] == 64 and len(data["units"]) == 96 * 4 + 2
        assert 1000 < len(data["timeline"]["spans"]) <= 6000


def runs_side_by_side():
    with lathe.Scratch() as scratch:
        for name, budget in (("four", "4x"), ("five", "5x")):
            reports.example(scratch / name, budget=budget)
        page = scratch / "compared.html"
        answer = lathe.run_json(["compare", scratch / "four", scratch / "five", "--output", page])
        four, five = answer["runs"]
        assert (four["run"], five["run"], four["budget"], five["budget"]) == ("four", "five", "4x", "5x"), answer
        assert five["bytes"] < four["bytes"] and abs(five["ratio"] - 5) < 0.2
        one, other = (json.loads((scratch / n / "windows.json").read_text())[0] for n in ("four", "five"))
        tokens = sum(one["tokens"])
        expected = sum(b - a for a, b in zip(one["kl"], other["kl"], strict=True)) / tokens
        found = five["quality"][0]["kl_difference"]
        assert abs(found["mean"] - expected) < 1e-12 and found["groups"] == len(one["tokens"]) and four["quality"][0]["kl_difference"] is None
        text = text_of(whole(page))
        assert "2 runs side by side" in text and f"{found['mean']:+.5f}" in text
        table = lathe.run(["compare", scratch / "four", scratch / "five"]).stdout
        assert re.search(r"^run +state +bytes", table) and "less four on 24 windows: " in table, table
        assert "is no run directory" in subprocess.run(lathe.command(["compare", scratch / "four", scratch]), capture_output=True,
                                                       text=True).stderr


if __name__ == "__main__":
    lathe.main([a_job_ends_with_its_report, runs_of_other_kinds, a_stopped_run_has_a_report_of_what_is_there,
                tasks_without_an_end_are_on_the_timeline, damaged_runs_say_what_is_missing, hostile_names_are_text, a_large_run_takes_seconds, runs_side_by_side])
