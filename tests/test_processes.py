"""Real processes: kill -9 during a job, two on one database, draining, a real websocket."""

import itertools
import json
import random
import socket
import time

import psutil
import pytest
import requests
import socketio

from . import endpoint as e
from . import postgres
from .conftest import PATIENCE_S
from .endpoint import MisbehavingEndpoint
from .process import flask, gunicorn, run_py, served

SERVERS = {"run.py": run_py, "gunicorn": gunicorn}
STARTED_OFTEN = {"run.py": served, "gunicorn": gunicorn}


def add_config(instance, endpoint, *more):
    done = flask(
        instance,
        "add-config",
        "test",
        "--base-url",
        endpoint.base_url,
        "--model",
        "m",
        "--key-stdin",
        *more,
        stdin="sk-planted-0123456789\n",
    )
    assert done.returncode == 0, done.stderr


def create_job(instance, questions, count, *more) -> int:
    done = flask(instance, "create-job", str(questions(count)), "--config", "test", *more)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def shown(instance, job_id) -> dict:
    return json.loads(flask(instance, "show-job", str(job_id), "--json").stdout)


def counted(instance, job_id) -> tuple:
    """(succeeded by counter, rows, distinct indices)"""
    return postgres.asked(
        instance,
        f"SELECT succeeded, (SELECT count(*) FROM result WHERE job_id = {job_id}), "
        f"(SELECT count(DISTINCT idx) FROM result WHERE job_id = {job_id}) "
        f"FROM job WHERE id = {job_id}",
    )


def wait_until(found, timeout_s=PATIENCE_S):
    end = time.monotonic() + timeout_s
    while not (result := found()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    return result


@pytest.mark.parametrize(
    ("server", "total", "kills"), [("run.py", 3_000, 6), ("gunicorn", 1500, 3)]
)
def test_killed_in_mid_job_it_goes_on_by_itself(server, total, kills, instance, questions):
    concurrency = 10
    chance = random.Random(4)
    with MisbehavingEndpoint(e.slow(0.02)) as endpoint:
        add_config(instance, endpoint, "--concurrency", str(concurrency))
        job_id = create_job(instance, questions, total)
        in_flight_at_kills = 0
        for kill in range(kills):
            running = STARTED_OFTEN[server](instance)
            target = (kill + 1) * total // (kills + 1) + chance.randrange(50)
            wait_until(lambda target=target: endpoint.calls >= target)
            time.sleep(chance.uniform(0, 0.2))  # anywhere in a flush interval
            in_flight_at_kills += endpoint.in_flight
            running.kill()
            wait_until(lambda: endpoint.in_flight == 0)
        running = STARTED_OFTEN[server](instance)
        wait_until(lambda: counted(instance, job_id)[0] == total)
        assert running.stop() == 0
        assert counted(instance, job_id) == (total, total, total)
        # what may be sent again: in flight, and answered but not committed yet, a batch at most
        resent = endpoint.calls - total
        print(f"{kills} kills, {total} results, {resent} sent again")
        assert resent <= kills * (concurrency + 100)
        assert shown(instance, job_id)["status"] == "completed"


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="needs Linux")
@pytest.mark.skipif(postgres.CHOSEN, reason="the disk is the server's")
def test_a_full_disk_holds_the_job_until_there_is_room(instance, questions):
    """The process may not extend its files, and later may again."""
    with MisbehavingEndpoint(e.slow(0.02)) as endpoint:
        add_config(instance, endpoint, "--concurrency", "4")
        running = run_py(instance)
        job_id = create_job(instance, questions, 600)
        wait_until(lambda: endpoint.calls >= 50)
        server = psutil.Process(running.process.pid)
        server.rlimit(psutil.RLIMIT_FSIZE, (4096, psutil.RLIM_INFINITY))
        wait_until(lambda: requests.get(f"{running.url}/readyz").status_code == 503)
        calls = endpoint.at_rest()
        page = requests.get(f"{running.url}/jobs/{job_id}").text
        assert "results cannot be saved" in page
        assert endpoint.calls == calls < 600
        server.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        wait_until(lambda: counted(instance, job_id)[0] == 600)
        assert counted(instance, job_id) == (600, 600, 600)
        assert endpoint.calls == 600  # nothing was paid for twice
        assert running.stop() == 0


def test_a_second_process_shows_what_the_first_runs_and_takes_over(instance, questions):
    # no call ends any more once twenty have, until the first process is killed
    with MisbehavingEndpoint(*[e.slow(0.05)] * 20, e.slow(200)) as endpoint:
        add_config(instance, endpoint, "--concurrency", "5")
        first = run_py(instance)
        assert "scheduler started" in first.lines
        second = run_py(instance)
        assert any("another process" in line for line in second.lines)
        job_id = create_job(instance, questions, 300)
        page = wait_until(
            lambda: (
                (p := requests.get(f"{second.url}/jobs/{job_id}").text)
                and 'data-status="running"' in p
                and p
            )
        )
        assert "Another process runs" in page
        assert requests.get(f"{second.url}/readyz").json()["runner"] == "elsewhere"
        first.kill()
        endpoint.script[:] = [e.slow(0.02)]
        wait_until(lambda: counted(instance, job_id)[0] == 300)
        assert counted(instance, job_id) == (300, 300, 300)
        assert second.stop() == 0


@pytest.mark.parametrize("server", SERVERS)
def test_sigterm_drains_calls_in_flight(server, instance, questions):
    with MisbehavingEndpoint(e.slow(0.6)) as endpoint:
        add_config(instance, endpoint, "--concurrency", "7")
        running = SERVERS[server](instance)
        job_id = create_job(instance, questions, 100)
        wait_until(lambda: endpoint.in_flight == 7)
        with requests.Session() as page:  # whose connection stays open
            assert page.get(f"{running.url}/jobs").status_code == 200
            running.process.terminate()
            wait_until(lambda: endpoint.in_flight == 0)
            wait_until(lambda: counted(instance, job_id)[0] == endpoint.calls)
        assert running.stop() == 0
        assert counted(instance, job_id)[0] == endpoint.calls
        assert shown(instance, job_id)["status"] == "running"


def test_gunicorn_stops_without_waiting_for_idle_connections(instance):
    running = gunicorn(instance)
    watching = socketio.Client(reconnection=False)
    sending = socket.create_connection(("127.0.0.1", running.port))
    with requests.Session() as idle, sending:
        watching.connect(running.url, namespaces=["/jobs"], transports=["websocket"])
        assert idle.get(f"{running.url}/jobs").status_code == 200
        head = "POST /configs/test HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n"
        kind = "Content-Type: application/x-www-form-urlencoded\r\n"
        sending.sendall(f"{head}{kind}Expect: 100-continue\r\n\r\na=123".encode())
        sending.settimeout(PATIENCE_S)
        assert sending.recv(100).startswith(b"HTTP/1.1 100")  # it has begun with it
        running.process.terminate()
        running.wait_for_line("Handling signal: term")
        sending.sendall(b"45678")
        assert sending.recv(100).startswith(b"HTTP/1.1 400")  # no token
        # by itself it would wait for open connections longer than this
        assert running.stop(25) == 0
    watching.disconnect()


@pytest.mark.parametrize("server", SERVERS)
def test_the_live_feed_is_a_websocket_and_tells_all(server, instance, questions):
    with MisbehavingEndpoint(e.slow(0.05)) as endpoint:
        add_config(instance, endpoint, "--concurrency", "5")
        job_id = create_job(instance, questions, 120, "--no-start")
        running = SERVERS[server](instance)
        client = socketio.Client()
        events = []
        client.on("*", lambda name, data: events.append((name, data)), namespace="/jobs")
        client.connect(running.url, namespaces=["/jobs"], transports=["websocket"])
        try:
            assert client.transport() == "websocket"
            payload = {"job_id": job_id, "tail": True}
            answer = client.call("subscribe", payload, namespace="/jobs")
            assert answer["ok"] is True
            assert answer["snapshot"]["counts"]["pending"] == 120
            assert client.call("subscribe", {}, namespace="/jobs")["ok"] is True
            for wrong in ({"job_id": 99_999}, {"job_id": "1"}, [], {"job_id": True}):
                refused = client.call("subscribe", wrong, namespace="/jobs")
                assert refused["ok"] is False
                assert refused["error"]
            assert flask(instance, "resume-job", str(job_id)).returncode == 0
            wait_until(lambda: _last(events, "job.progress").get("status") == "completed")
            wait_until(lambda: _last(events, "job.status").get("to") == "completed")
            wait_until(lambda: _last(events, "jobs.changed"))
        finally:
            client.disconnect()
            running.stop()
    _check_events(job_id, answer["seq"], events)


def _last(events, name) -> dict:
    return next((data for found, data in reversed(events) if found == name), {})


def _check_events(job_id, seq, events):
    names = {name for name, _ in events}
    assert names == {
        "job.progress",
        "job.status",
        "job.buckets",
        "job.errors",
        "request.finished",
        "jobs.changed",
    }
    assert "planted" not in json.dumps(events)
    for name, data in events:
        assert {"v", "job_id", "seq", "ts"} <= data.keys(), name
        assert data["job_id"] == (None if name == "jobs.changed" else job_id)
    room = [
        data["seq"] for name, data in events if name not in ("request.finished", "jobs.changed")
    ]
    assert room == list(range(seq + 1, seq + 1 + len(room)))
    steps = [(d["from"], d["to"]) for name, d in events if name == "job.status"]
    assert steps == [
        ("paused", "queued"),
        ("queued", "running"),
        ("running", "finalizing"),
        ("finalizing", "completed"),
    ]
    final = _last(events, "job.progress")
    assert final["counts"]["succeeded"] == 120
    times = [data["ts"] for name, data in events if name == "job.progress"]
    assert all(b - a > 0.3 for a, b in itertools.pairwise(times))
    items = [item for name, data in events if name == "request.finished" for item in data["items"]]
    assert items[0]["preview"] == "fine"
    assert all(len(d["items"]) <= 20 for name, d in events if name == "request.finished")


def test_a_taken_port_is_reported(instance):
    first = run_py(instance)
    try:
        import subprocess
        import sys

        from .process import ROOT, environment

        second = subprocess.run(
            [sys.executable, "run.py", "--port", str(first.port)],
            cwd=ROOT,
            env=environment(instance),
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert second.returncode == 1
        assert "--port" in second.stderr
    finally:
        first.stop()
