"""/healthz and /readyz: each check fails for a real reason, and recovers."""

import io
import re
import sqlite3
import subprocess
import time
from contextlib import closing, contextmanager

import gevent
import pytest
import requests

from simple_batch.services import lifecycle, readiness
from simple_batch.store import busy_retry
from simple_batch.store.database import connected

from .. import postgres
from ..conftest import wait_until
from ..process import served


@pytest.fixture
def small_disk(tmp_path):
    """A separate file system of 48 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs mount")
    if done.returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def asked(running) -> tuple[int, dict]:
    answer = requests.get(f"{running.url}/readyz", timeout=30)
    return answer.status_code, answer.json()


def reason(running, wanted: str | None) -> dict:
    """The answer of /readyz once it gives this reason."""

    def found():
        status, body = asked(running)
        assert status == (503 if body.get("reason") else 200)
        return body if body.get("reason") == wanted else None

    return wait_until(found)


@pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")
def test_a_server_on_a_disk_that_fills_and_turns_read_only(small_disk, tmp_path):
    instance = small_disk / "instance"
    running = served(
        instance,
        SIMPLE_BATCH_MIN_FREE_BYTES=str(8 << 20),
        SIMPLE_BATCH_LOG_DIR=str(tmp_path / "logs"),
    )
    try:
        body = reason(running, None)
        assert body["status"] == "ok"
        assert body["runner"] == "here"
        assert {name for name, check in body["checks"].items() if check["ok"]} >= {
            "database",
            "writing",
            "migrations",
            "disk",
            "runner",
            "scheduler",
            "recorder",
            "watcher",
            "sweeper",
            "keeper",
        }
        database = instance / "simple_batch.db"

        with closing(sqlite3.connect(database)) as other:  # another process
            other.execute("BEGIN EXCLUSIVE")
            began, took_s = time.monotonic(), []
            body = reason(running, "writing")
            assert "locked" in body["checks"]["writing"]["detail"]
            assert body["checks"]["database"]["ok"]
            while time.monotonic() < began + 2.5:
                asked_at = time.monotonic()
                assert requests.get(f"{running.url}/healthz", timeout=30).status_code == 200
                took_s.append(time.monotonic() - asked_at)
                time.sleep(0.2)
            assert min(took_s) < 3  # it does not wait for the lock
            other.rollback()
        reason(running, None)

        filler = small_disk / "filler"
        filler.write_bytes(bytes(42 << 20))
        assert "MIN_FREE_BYTES" in reason(running, "disk")["checks"]["disk"]["detail"]
        with pytest.raises(OSError, match="space"), filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        wait_until(lambda: not asked(running)[1]["checks"]["writing"]["ok"])
        assert "full" in asked(running)[1]["checks"]["writing"]["detail"]
        assert requests.get(f"{running.url}/metrics", timeout=30).status_code == 200
        filler.unlink()
        reason(running, None)

        with read_only(small_disk):
            assert "readonly" in reason(running, "writing")["checks"]["writing"]["detail"]
        reason(running, None)

        database.rename(small_disk / "elsewhere.db")
        assert not reason(running, "database")["checks"]["database"]["ok"]
        assert requests.get(f"{running.url}/healthz", timeout=30).json() == {"status": "ok"}
        assert "simple_batch_ready" in requests.get(f"{running.url}/metrics", timeout=30).text
    finally:
        running.kill()


@contextmanager
def read_only(folder):
    """Make a folder read-only for files opened from now on."""
    for how in (["--bind", str(folder)], ["-o", "remount,bind,ro"]):
        subprocess.run(["mount", *how, str(folder)], check=True)
    yield
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")
def test_a_process_without_a_runner_or_with_a_dead_one_says_so(app, client, monkeypatch):
    monkeypatch.setattr(readiness, "PROBE_EVERY_S", 0)

    def wrong() -> tuple[int, dict]:
        answer = client.get("/readyz")
        bad = {name: c["detail"] for name, c in answer.json["checks"].items() if not c["ok"]}
        return answer.status_code, bad

    assert wrong() == (503, {"runner": "no process runs the jobs"})
    assert client.get("/healthz").status_code == 200
    with connected():
        assert lifecycle.start_runner() == "here"
    assert wrong() == (200, {})
    runner = lifecycle._runner
    runner._active.scheduler._task.stop()
    assert wrong() == (503, {"scheduler": "it has ended"})
    runner._active.scheduler.start()
    gevent.sleep(0.05)  # it has looked

    def silent() -> bool:
        runner._active.scheduler._looked_at -= 100
        return wrong()[1].get("scheduler", "").startswith("silent for 10")

    wait_until(silent)  # unless it looks just now
    wait_until(lambda: wrong() == (200, {}))
    runner._active.recorder._greenlet.kill()
    runner._background.tasks["keeper"].stop()
    assert wrong() == (503, {"recorder": "it has ended", "keeper": "it has ended"})
    runner._active.recorder.start()
    path = app.extensions["simple_batch"].settings.instance / "simple_batch.db"
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("INSERT INTO schema_migration VALUES (99, '9999_future', '2030-01-01')")
    assert "9999_future" in wrong()[1]["migrations"]
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("DELETE FROM schema_migration WHERE id > 1")
    assert "is not applied" in wrong()[1]["migrations"]


@pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")
def test_pages_and_the_api_say_that_a_locked_database_is_busy(app, client, instance, monkeypatch):
    monkeypatch.setattr(busy_retry, "RETRY_S", 0.1)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    page = client.get("/configs/new?form=full").text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)[1]
    config = {"alias": "a", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
    with closing(sqlite3.connect(instance / "simple_batch.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        reply = client.post("/configs/new", data={**config, "csrf_token": token})
        assert reply.status_code == 503
        assert "Try again soon" in reply.text
        given = {"file": (io.BytesIO(b"{}\n"), "b.jsonl"), "purpose": "batch"}
        called = client.post("/v1/files", data=given)
        assert called.status_code == 503
        assert called.json["error"]["type"] == "server_error"
