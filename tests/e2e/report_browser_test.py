"""Reports in headless Chromium: no errors, no requests, marks in every chart, nothing wider than a narrow window."""
import os
import pathlib
import re
import sys

import browser
import lathe
import report_test
import reports

if browser.PROGRAM is None:
    print("skipped: no chromium")
    sys.exit(77)

# Where pictures go that people look at; none are kept without it.
PICTURES = os.environ.get("LATHE_PICTURES")


def look(page, scratch, wanted):
    opened = browser.Opened(page, scratch)
    assert opened.console == [], opened.console
    assert opened.requests == [], opened.requests
    figures = opened.figures()
    assert all(marks > 0 for _, marks in figures), figures
    assert wanted <= {kind for kind, _ in figures}, figures
    # What a browser without scripts shows: --dump-dom is a script itself, so they are taken out.
    without = scratch / "without.html"
    without.write_text(re.sub(r"<script.*?</script>", "", page.read_text(), flags=re.S))
    bare = browser.Opened(without, scratch)
    assert bare.console == [] and "<svg" not in bare.dom and "<table" in bare.dom, f"without scripts: {bare.console}"
    assert re.sub(r"\s+", " ", report_test.text_of(without)) == re.sub(r"\s+", " ", report_test.text_of(page))
    for columns in (400, 1280):
        wide = browser.width_of(page, scratch, columns)
        assert wide <= columns, f"{page}: {wide} wide in {columns}"
    if PICTURES:
        for columns in (400, 1280):
            for dark in (False, True):
                name = f"{page.parent.name}-{columns}-{'dark' if dark else 'light'}.png"
                browser.picture(page, scratch, pathlib.Path(PICTURES) / name, columns, 6000 if columns < 500 else 4200, dark)
    return opened


def the_example():
    with lathe.Scratch() as scratch:
        reports.example(scratch / "example", ranks=2)
        look(scratch / "example/report.html", scratch, {"pareto", "heatMap", "generations", "foretold", "windows", "timeline"})


def a_sliced_run():
    with lathe.Scratch() as scratch:
        reports.sliced(scratch / "sliced")
        look(scratch / "sliced/report.html", scratch, {"pareto", "heatMap", "spectra", "timeline"})


def an_encoder():
    if not (reports.SHARED / "models/minilm-l6-sst2").exists():
        print("skipped: no encoder")
        return
    with lathe.Scratch() as scratch:
        reports.encoder(scratch / "encoder")
        look(scratch / "encoder/report.html", scratch, {"pareto", "heatMap", "windows", "timeline"})


def a_stopped_run():
    with lathe.Scratch() as scratch:
        reports.stopped(scratch / "stopped")
        lathe.run(["report", scratch / "stopped"])
        look(scratch / "stopped/report.html", scratch, {"timeline"})


def a_large_run():
    if not reports.can_make_large():
        return
    with lathe.Scratch() as scratch:
        reports.large(scratch / "large")
        lathe.run(["report", scratch / "large"])
        look(scratch / "large/report.html", scratch, {"pareto", "heatMap", "windows", "timeline", "spectra"})


def runs_side_by_side():
    with lathe.Scratch() as scratch:
        for name, budget in (("four", "4x"), ("five", "5x")):
            reports.example(scratch / name, budget=budget)
        page = scratch / "compared/page.html"
        page.parent.mkdir()
        lathe.run(["compare", scratch / "four", scratch / "five", "--output", page])
        look(page, scratch, {"comparedPlans", "comparedTimes"})


def damaged_and_hostile_runs():
    with lathe.Scratch() as scratch:
        run = scratch / "<img src=x onerror=alert(1)>'\"&"
        reports.example(run)
        for damage in ("windows of nothing", "a plan of other things"):
            reports.damaged(run)[damage][0]()
            lathe.run(["report", run])
            page = (scratch / "page.html")
            page.write_bytes((run / "report.html").read_bytes())
            opened = browser.Opened(page, scratch)
            assert opened.console == [] and opened.requests == [], (damage, opened.console, opened.requests)


lathe.main([the_example, a_sliced_run, an_encoder, a_stopped_run, a_large_run, runs_side_by_side, damaged_and_hostile_runs])
