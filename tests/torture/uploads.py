"""Mutated files through every reader, over HTTP, in the running program: no crash, no 500, no half
job. Then, guided by coverage, through the readers themselves (fuzzing.py)."""

import re
import subprocess
import sys
import tempfile
from collections import Counter

import hypothesis
import requests

from simple_batch.core.errors import SimpleBatchError
from simple_batch.services import job_creation, jobs, uploads
from simple_batch.store.database import connected
from tests.process import ROOT

from .mutated import FILES, mutated
from .program import Program, until

TEMPLATE = {"user": "{{question}}"}
LAUNCH_EVERY = 10  # of the files that were taken, one in this many becomes a job
ACCEPTED = (303, 400, 413)


def throw(count: int, guided: int, seed: int) -> dict:
    with tempfile.TemporaryDirectory() as folder, Program(folder) as program:
        program.config("test", "http://127.0.0.1:9/v1")
        program.start()
        sender = _Sender(program.server.url)
        for name, data in FILES.items():
            sender.send(name, data)
        good = dict(sender.statuses)
        _for_each_mutated(sender.send, count, seed)
        halves = _launch_some(program, sender.taken)
        unanswered = sender.unexpected[:10]
        alive = program.alive() and requests.get(f"{program.server.url}/healthz", timeout=10).ok
    found = {
        "seed": seed,
        "good": good,
        "thrown": count,
        "statuses": {str(status): n for status, n in sorted(sender.statuses.items())},
        "jobs": halves,
        "alive": alive,
        "unexpected": unanswered,
    }
    if guided:
        found["guided"] = _guided(guided, seed)
    return found


def _for_each_mutated(send, count: int, seed: int) -> None:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(mutated())
    def each(file):
        send(*file)

    each()


class _Sender:
    """Uploads as a browser does."""

    def __init__(self, url: str):
        self._url = f"{url}/jobs/new"
        self._session = requests.Session()
        page = self._session.get(self._url, timeout=20).text
        self._token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)[1]
        self.statuses: Counter[int] = Counter()
        self.taken: list[int] = []
        self.unexpected: list[str] = []

    def send(self, name: str, data: bytes) -> None:
        try:
            answer = self._session.post(
                self._url,
                data={"csrf_token": self._token},
                files={"file": (name, data)},
                allow_redirects=False,
                timeout=60,
            )
            status = answer.status_code
        except requests.RequestException as error:
            status = 0
            self.unexpected.append(f"{name}: {type(error).__name__}")
        self.statuses[status] += 1
        if status == 303:
            self.taken.append(int(re.search(r"/jobs/new/(\d+)", answer.headers["Location"])[1]))
        elif status and status not in ACCEPTED:
            self.unexpected.append(f"{name}: {status} for {data[:80]!r}…")


def _launch_some(program: Program, taken: list[int]) -> dict:
    """Launch jobs of accepted files: each must be complete, or failed and empty."""
    from simple_batch.intake import Template

    made, refused = [], 0
    for upload_id in taken[::LAUNCH_EVERY]:
        try:
            with connected():
                upload, preview = uploads.staged(upload_id)
                if preview.columns and not upload.template:
                    column = preview.columns[0]
                    uploads.apply_template(upload_id, Template(user=f"{{{{ row[{column!r}] }}}}"))
                new = job_creation.launch(
                    upload_id, jobs.JobOptions(config="test", hold=True, skip_faulty=True)
                )
            made.append(new.id)
        except SimpleBatchError:
            refused += 1
    until(lambda: not program.rows("SELECT 1 FROM job WHERE status = 'validating' LIMIT 1"), 120)
    whole = half = failed = 0
    for job_id in made:
        status, total = program.rows("SELECT status, total FROM job WHERE id = ?", job_id)[0]
        rows = program.rows("SELECT count(*) FROM request WHERE job_id = ?", job_id)[0][0]
        whole += status == "paused" and rows == total > 0
        failed += status == "failed" and rows == 0
        half += not (status == "paused" and rows == total > 0) and not (
            status == "failed" and rows == 0
        )
    return {"made": len(made), "whole": whole, "failed": failed, "half": half, "refused": refused}


def _guided(count: int, seed: int) -> dict:
    """Files made by atheris, guided by coverage."""
    command = [sys.executable, "-m", "tests.torture.fuzzing", str(count), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600)
    ran = re.search(r"Done (\d+) runs", done.stderr)
    if done.returncode == 3:
        return {"left_out": "atheris is not installed"}
    return {
        "runs": int(ran[1]) if ran else 0,
        "crashed": done.returncode != 0,
        "said": done.stderr[-1500:] if done.returncode else "",
    }
