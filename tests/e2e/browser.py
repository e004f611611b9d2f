"""Headless Chromium for tests of pages: what it made of a file, what it said, what it asked the network for."""
import json
import pathlib
import re
import shutil
import subprocess

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def start(page, folder, arguments):
    return subprocess.run(
        [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-extensions", "--disable-background-networking",
         "--no-first-run", f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=4000", "--enable-logging=stderr", *arguments,
         pathlib.Path(page).as_uri()], capture_output=True, text=True, timeout=120)


class Opened:
    """A page after its scripts ran."""

    def __init__(self, page, folder):
        log = folder / "net.json"
        log.unlink(missing_ok=True)
        done = start(page, folder, ["--dump-dom", f"--log-net-log={log}"])
        self.dom = done.stdout
        self.console = re.findall(r"CONSOLE[^\n]*", done.stderr)
        self.requests = requests_in(log)

    def figures(self):
        """The number of marks of each chart, by its kind."""
        pieces = re.split(r'<figure class="chart" data-chart="(\w+)"', self.dom)[1:]
        return [(kind, len(re.findall(r'class="mark[ "]', rest.split("</figure>")[0]))) for kind, rest in zip(pieces[::2], pieces[1::2])]


def requests_in(log):
    """Addresses beyond files and data that a page asked for; the browser's own do not count."""
    text = log.read_text()
    try:
        content = json.loads(text)
    except ValueError:  # it was ended before the log's end was written
        content = json.loads(text.rstrip().rstrip(",") + "]}")
    kinds = {number for name, number in content["constants"]["logEventTypes"].items() if name == "URL_REQUEST_START_JOB"}
    found = [event["params"] for event in content["events"] if event["type"] in kinds and "url" in event.get("params", {})]
    return [p["url"] for p in found if not p["url"].startswith(("file:", "data:", "chrome:", "devtools:"))
            and p.get("initiator", "not an origin") != "not an origin"]


def width_of(page, folder, columns):
    """How wide the page's content is in a frame of this width."""
    frame = folder / "frame.html"
    frame.write_text(f"""<!DOCTYPE html><body style="margin:0"><iframe id="f" width="{columns}" height="900" style="border:0"
        src="{pathlib.Path(page).as_uri()}"></iframe><script>addEventListener("load", () => document.title = "wide " +
        document.getElementById("f").contentDocument.documentElement.scrollWidth)</script>""")
    dom = start(frame, folder, ["--dump-dom", "--allow-file-access-from-files"]).stdout
    return int(re.search(r"<title>wide (\d+)", dom)[1])


def picture(page, folder, file, columns=1280, rows=3600, dark=False):
    """A screenshot, for people to look at. Windows narrower than 500 are a frame in one."""
    if columns < 500:
        frame = folder / "narrow.html"
        frame.write_text(f'<!DOCTYPE html><body style="margin:0;background:#888"><iframe width="{columns}" height="{rows}" style="border:0" '
                         f'src="{pathlib.Path(page).as_uri()}"></iframe>')
        page = frame
    start(page, folder, [f"--screenshot={file}", f"--window-size={max(columns, 500)},{rows}", "--hide-scrollbars",
                         f"--blink-settings=preferredColorScheme={0 if dark else 1}"])
