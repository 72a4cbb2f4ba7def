"""Login of real processes: what they refuse to serve, the login link printed at startup, the live
feed."""

import re
import socket
import subprocess
import sys

import pytest
import requests
import socketio

from simple_batch.auth import users
from simple_batch.store.database import connected

from ..conftest import PASSWORDS, wait_until
from ..process import ROOT, environment, flask, free_port, gunicorn, run_py

WAYS = {
    "run.py": lambda host, port: ["run.py", "--host", host, "--port", str(port)],
    "gunicorn": lambda host, port: [
        "-m",
        "gunicorn",
        "-c",
        "gunicorn.conf.py",
        "-b",
        f"{host}:{port}",
        "simple_batch:create_app()",
    ],
}


def session_of(server, name: str, password: str) -> requests.Session:
    session = requests.Session()
    page = session.get(f"{server.url}/login").text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)[1]
    fields = {"csrf_token": token, "name": name, "password": password}
    answer = session.post(f"{server.url}/login", data=fields, allow_redirects=False)
    assert answer.status_code == 303, answer.text
    return session


@pytest.mark.parametrize(
    ("host", "given"), [("0.0.0.0", {}), ("127.0.0.1", {"SIMPLE_BATCH_EXPOSED": "yes"})]
)
@pytest.mark.parametrize("way", WAYS)
def test_other_addresses_are_not_served_without_a_password(instance, way, host, given):
    port, settings = free_port(), environment(instance, **given)
    command = [sys.executable, *WAYS[way](host, port)]
    done = subprocess.run(
        command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=60
    )
    output = done.stdout + done.stderr
    assert ("EXPOSED=yes" in output) == bool(given)
    assert done.returncode == 4, output
    for remedy in ("create-user", "SIMPLE_BATCH_PASSWORD", "SIMPLE_BATCH_LOGIN_LINK"):
        assert remedy in output
    assert "Traceback" not in output
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_one_password_serves_them(instance):
    password = "open sesame, please"
    server = run_py(instance, "--host", "0.0.0.0", SIMPLE_BATCH_PASSWORD=password)
    try:
        assert requests.get(f"{server.url}/jobs", allow_redirects=False).status_code == 303
        session = session_of(server, "admin", password)
        assert "admin" in session.get(f"{server.url}/jobs").text
        assert (
            password not in "".join(server.lines) + (instance / "logs/simple_batch.log").read_text()
        )
        named = {"Host": "batch.example.com"}
        assert "ALLOWED_HOSTS" in session.get(f"{server.url}/jobs", headers=named).text
    finally:
        server.stop()
    short = flask(instance, "list-jobs", SIMPLE_BATCH_PASSWORD="short")
    assert short.returncode == 4
    assert "PASSWORD: use at least 8 characters" in short.stderr


@pytest.mark.parametrize("serve", [run_py, gunicorn])
def test_the_link_of_the_start_lets_in_once(instance, serve):
    server = serve(instance, SIMPLE_BATCH_LOGIN_LINK="yes")
    try:
        line = wait_until(
            lambda: next((line for line in server.lines if "/login?token=" in line), None)
        )
        link = server.url + line[line.index("/login?token=") :]
        assert requests.get(link + "x").status_code == 403
        first = requests.Session()
        assert first.get(link).url == f"{server.url}/jobs"
        assert first.get(f"{server.url}/audit").status_code == 200
        second = requests.Session()
        again = second.get(link)
        assert again.status_code == 403
        assert "Each link works once" in again.text
        assert second.get(f"{server.url}/jobs").url.startswith(f"{server.url}/login")
        first.close()
        second.close()
    finally:
        server.stop()
    # another start, another link, and the sessions of the first have ended
    other = serve(instance, SIMPLE_BATCH_LOGIN_LINK="yes")
    try:
        cookies = {"Cookie": f"session={first.cookies['session']}"}
        asked = requests.get(f"{other.url}/jobs", headers=cookies, allow_redirects=False)
        assert asked.status_code == 303
    finally:
        other.stop()


def test_the_live_feed_requires_a_login(instance, people, add_config, endpoint, make_job):
    from simple_batch.core import identity
    from simple_batch.core.identity import Actor
    from simple_batch.services import jobs

    add_config(endpoint.base_url)
    with connected():
        identity.act_as(Actor("otto", user=people["otto"]))
        ottos = make_job(1)
        identity.act_as(Actor("olga", user=people["olga"]))
        olgas = make_job(1)
        identity.act_as(identity.CLI)
    server = run_py(instance)
    try:

        def connect(session=None, **headers):
            if session is not None:
                headers["Cookie"] = f"session={session.cookies['session']}"
            client = socketio.Client(reconnection=False)
            client.connect(server.url, namespaces=["/jobs"], headers=headers, wait_timeout=30)
            return client

        for headers in ({}, {"Cookie": "session=x"}, {"Authorization": "Bearer sb-x"}):
            with pytest.raises(socketio.exceptions.ConnectionError):
                connect(**headers)
        client = connect(session_of(server, "otto", PASSWORDS["otto"]))

        def ask(**payload):
            return client.call("subscribe", payload, namespace="/jobs", timeout=30)

        assert ask(job_id=ottos)["ok"]
        refused = ask(job_id=olgas)
        whose = "This job belongs to olga. Ask olga to share it."
        assert refused == {"ok": False, "error": whose}
        assert ask(job_id=99) == {"ok": False, "error": "There is no job 99."}
        assert [job["id"] for job in ask()["snapshot"]["jobs"]] == [ottos]
        received = []
        client.on("jobs.changed", lambda event: received.extend(event["items"]), namespace="/jobs")
        viewer = connect(session_of(server, "vera", PASSWORDS["vera"]))
        seen = viewer.call("subscribe", {}, namespace="/jobs", timeout=30)["snapshot"]["jobs"]
        assert {job["id"] for job in seen} == {ottos, olgas}
        with connected():
            for job_id in (olgas, ottos):
                jobs.delete(job_id)
        wait_until(lambda: any(item["status"] is None for item in received))
        assert {item["id"] for item in received} == {ottos}
        with connected():
            users.disable("otto")
        wait_until(lambda: "/jobs" not in client.namespaces, 15)
        assert "/jobs" in viewer.namespaces
        viewer.disconnect()
        client.disconnect()
    finally:
        server.stop()
