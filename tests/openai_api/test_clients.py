"""Third-party clients of the Batch API, unchanged, against a real server (clients/*.py, one each),
also while the batch is stopped for a while."""

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import gevent
import pytest

from simple_batch.core.domain import JobStatus
from simple_batch.services import jobs
from simple_batch.store.database import connected
from simple_batch.store.models import Job

from .. import endpoint as e
from .. import postgres
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..process import ROOT

pytestmark = pytest.mark.skipif(
    postgres.CHOSEN, reason="no client sees which database it is: they run on SQLite"
)
CLIENTS = Path(__file__).parent / "clients"
HOMES = ROOT / ".venv-clients"
MODEL = "gpt-4o-mini-2024-07-18"  # batchata knows a few names and no others
GOOD = {"apples": "about apples", "pears": "about pears"}
REFUSED = {"something spicy": 400}
LONGEST_S = 600  # LiteLLM's proxy computes for half a minute before it answers

# script: (its environment, the failures it shows, the name its file has here)
SHOWN = {
    "curator_llm": ("curator", {}, "upload"),
    "instructor_memory": ("others", {}, "upload"),
    "litellm_sdk": ("others", REFUSED, "upload"),
    "litellm_proxy": ("others", REFUSED, "in.jsonl"),
    "openai_batch_bytes": ("others", REFUSED, "upload"),
    "distilabel_llm": ("others", {}, None),  # named by a temporary file, as the two below
    "inspect_batch": ("others", {}, None),
    "batchata_run": ("others", {}, None),
}


class Answering(MisbehavingEndpoint):
    """Refuses spicy questions, and everything while the key counts as ``wrong``; answers the others
    as completely as OpenAI does."""

    def __init__(self):
        super().__init__(b"")
        self.wrong = True

    def _next(self, head: str, body: bytes):
        super()._next(head, body)
        if self.wrong:
            return e.error(401, "Incorrect API key", "invalid_api_key")
        question = self.bodies[-1]["messages"][-1]["content"]
        if not isinstance(question, str):
            question = question[0]["text"]
        if "spicy" in question:
            return e.error(400, "too spicy", "content_filter")
        message = {"role": "assistant", "content": json.dumps({"text": f"about {question}"})}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        whole = {"object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]}
        usage = {**e.GOOD["usage"], "total_tokens": 10}
        return e.http(200, {**e.GOOD, **whole, "usage": usage})


def environment(server, folder: Path) -> dict:
    """The environment of a machine that reaches only this server: no hub, no telemetry."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {
        **kept,
        "HOME": str(folder),
        "OPENAI_BASE_URL": f"{server.url}/v1",
        "OPENAI_API_KEY": "sk-any",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "TELEMETRY_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
    }


def finished(command: list, **more) -> subprocess.CompletedProcess:
    """Run a client for at most LONGEST_S; kills what it leaves running."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, process_group=0, **streams, **more) as running:
        try:
            out, err = running.communicate(timeout=LONGEST_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, running.returncode, out, err)


def resume_once_stopped(client, endpoint):
    """Resume only after the client had time to poll the stopped batch."""
    batch = wait_until(
        lambda: [found for found in client.batches.list() if found.errors], LONGEST_S
    )[0]
    assert batch.errors.data[0].code == "invalid_api_key"
    gevent.sleep(1.2)
    endpoint.wrong = False
    with connected():
        jobs.resume(int(batch.id.removeprefix("batch_")))


@pytest.mark.parametrize("script", SHOWN)
def test_by(script, server, client, add_config, tmp_path):
    home, failed, filename = SHOWN[script]
    python = HOMES / home / "bin" / "python"
    if not (HOMES / home / ".installed").exists():
        pytest.skip("this client is not installed: sh tools/batch_clients.sh python3")
    with Answering() as endpoint:
        add_config(endpoint.base_url, alias="gpt-4o-mini", model=MODEL)
        resuming = gevent.spawn(resume_once_stopped, client, endpoint)
        command = [python, CLIENTS / f"{script}.py", tmp_path]
        done = finished(command, env=environment(server, tmp_path), cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        resuming.get(timeout=5)
    reply = json.loads(done.stdout.splitlines()[-1])
    assert (reply["answers"], reply["failed"]) == (GOOD, failed)
    if filename is not None:
        assert {file.filename for file in client.files.list(purpose="batch")} == {filename}
    with connected():
        assert [job.status for job in Job.select()] == [JobStatus.COMPLETED]
