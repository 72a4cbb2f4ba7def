"""Measures frames per second in Chromium while one scrolls through 1,000 rows of the results grid, beside a
plain table of the same cells, and when the first rows are painted:
python -m bench.scrolling URL SECONDS ROUNDS → JSON."""

import itertools
import json
import statistics
import subprocess
import sys
import tempfile

from .grid import LARGE_JOB, RUNNING, add_table
from .million import build_rows
from .processes import ROOT, endpoint, program

ROWS = 1_000
PAINTS = 7
SIZE = {"width": 1280, "height": 800}
TARGETS = {"painted_ms": 400, "frames_per_s": 60}
LATE_MS = 25.0  # a frame after this long was left out: one comes every 16.7 ms

# Scrolls the box to where 1,000 rows of that height end, at an even speed; gives the time of each frame in ms.
_SCROLL = """([name, rows, seconds]) => new Promise((done) => {
  const box = document.querySelector(name);
  const row = box.querySelector("tbody tr[data-index], tbody tr.plain").getBoundingClientRect().height;
  const end = rows * row;
  const times = [];
  let began = null;
  const frame = (now) => {
    began ??= now;
    times.push(now - began);
    box.scrollTop = (end * (now - began)) / (1000 * seconds);
    if (now - began < 1000 * seconds) requestAnimationFrame(frame);
    else done({ times, reached: box.scrollTop / row });
  };
  requestAnimationFrame(frame);
})"""
# The same cells without any program, as many rows at once.
_PLAIN = """(rows) => {
  const lines = [...document.querySelectorAll("#results tbody tr[data-index]")].map(
    (row) => [...row.cells].map((cell) => cell.innerText));
  const box = document.createElement("div");
  box.id = "plain";
  box.style = "height: 600px; overflow: auto; contain: strict";
  const table = box.appendChild(document.createElement("table"));
  const body = table.appendChild(document.createElement("tbody"));
  for (let at = 0; at < rows + 40; at += 1) {
    const row = body.appendChild(document.createElement("tr"));
    row.className = "plain";
    for (const text of lines[at % lines.length]) row.insertCell().textContent = text;
  }
  document.head.replaceChildren();
  document.body.replaceChildren(box);
}"""
_PAINTED = """() => new Promise((done) => new PerformanceObserver((list) =>
  done(list.getEntriesByName("first-contentful-paint")[0].startTime)).observe({ type: "paint", buffered: true }))"""


def scrolling(rows: int, running: int, seconds: float, rounds: int) -> dict:
    """Frames per second and ms on a job of ``rows`` requests, while ``running`` other requests are sent. It
    takes ``seconds`` to scroll, ``rounds`` times."""
    with tempfile.TemporaryDirectory() as folder, endpoint() as base_url:
        build_rows(folder, rows)
        add_table(folder)
        with program(folder, base_url, running, RUNNING) as (_process, port, _job_id):
            url = f"http://127.0.0.1:{port}/jobs/{LARGE_JOB}/results"
            command = [sys.executable, "-m", "bench.scrolling", url, str(seconds), str(rounds)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return {"rows": rows, "scrolled": ROWS, "targets": TARGETS, **json.loads(done.stdout)}


def _measured(url: str, seconds: float, rounds: int) -> dict:
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import FLAGS, installed_browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed_browser(), args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        found: dict = {"painted_ms": [], "frames_per_s": [], "late": []}
        found |= {"plain_frames_per_s": [], "plain_late": []}
        for _ in range(PAINTS):
            page.goto(url)
            found["painted_ms"].append(page.evaluate(_PAINTED))
        for _ in range(rounds):
            page.goto(url)
            _scroll(page, "#results-box", seconds, found, "")
            page.evaluate(_PLAIN, ROWS)
            _scroll(page, "#plain", seconds, found, "plain_")
        browser.close()
    return {name: statistics.median(values) for name, values in found.items()}


def _scroll(page, box: str, seconds: float, found: dict, prefix: str) -> None:
    told = page.evaluate(_SCROLL, [box, ROWS, seconds])
    times, reached = told["times"], told["reached"]
    assert reached > 0.9 * ROWS, f"{box} was scrolled to row {reached:.0f} only"
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    found[f"{prefix}frames_per_s"].append(1000 * len(gaps) / (times[-1] - times[0]))
    found[f"{prefix}late"].append(sum(gap > LATE_MS for gap in gaps) / len(gaps))


if __name__ == "__main__":
    print(json.dumps(_measured(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))))
