"""Several web processes of one installation, with a real PostgreSQL and a real Redis."""

import re
import subprocess
import sys
import time
from collections import Counter

import pytest
import redis
import requests
import socketio
from prometheus_client.parser import text_string_to_metric_families

from simple_batch.core import settings
from simple_batch.core.errors import SettingsError

from .. import endpoint as e
from .. import postgres, redis_server
from ..conftest import PASSWORDS, wait_until
from ..endpoint import MisbehavingEndpoint
from ..process import ROOT, free_port, gunicorn, served
from .processes import MISSING, Worker
from .web_client import log_in, post, token_of

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} not installed")
AT_ONCE_S = 4.5  # for messages; the next look at the database comes after 5 s


@pytest.fixture
def database_url():
    url = postgres.server().create(postgres.server().template)
    yield url
    postgres.server().drop(url)


@pytest.fixture
def shared_redis():
    """A Redis that only this test uses, and may stop."""
    server = redis_server.Redis()
    yield server
    server.stop()


@pytest.fixture
def environment(database_url, shared_redis):
    """Settings of the web processes."""
    return {
        "SIMPLE_BATCH_DATABASE_URL": database_url,
        "SIMPLE_BATCH_REDIS_URL": shared_redis.url(),
        "SIMPLE_BATCH_ENGINE": "celery",
    }


@pytest.fixture
def webs(app, instance, environment):
    """Two web processes, one of them as in a deployment."""
    started = [served(instance, **environment), gunicorn(instance, **environment)]
    yield started
    for web in started:
        web.stop()


@pytest.fixture
def worker(app, instance, environment):
    """A process that makes the calls."""
    started = Worker("one", instance, environment)
    started.wait_for("works")
    yield started
    started.stop()


class Listener:
    """A client of the live feed that records its events."""

    def __init__(self, web, session: requests.Session | None = None, transport="websocket"):
        self.events: list[tuple[str, dict]] = []
        self.client = socketio.Client(reconnection=False)
        self.client.on("*", self._hear, namespace="/jobs")
        headers = {"Cookie": f"session={session.cookies['session']}"} if session else {}
        self.client.connect(
            web.url, namespaces=["/jobs"], headers=headers, transports=[transport], wait_timeout=60
        )

    def _hear(self, event, payload):
        self.events.append((event, payload))

    def subscribe(self, **payload) -> int:
        answer = self.client.call("subscribe", payload, namespace="/jobs", timeout=60)
        assert answer["ok"], answer
        return answer["seq"]

    @property
    def connected(self) -> bool:
        return "/jobs" in self.client.namespaces

    def of(self, event: str) -> list[dict]:
        return [payload for name, payload in self.events if name == event]

    def numbers(self) -> list[int]:
        return [payload["seq"] for name, payload in self.events if name != "request.finished"]


@pytest.fixture
def listen():
    """Connects a listener."""
    made = []

    def connect(*args, **more) -> Listener:
        made.append(Listener(*args, **more))
        return made[-1]

    yield connect
    for listener in made:
        listener.client.disconnect()


def statuses(listener) -> list[str]:
    """The statuses of the job that a client received, in their order."""
    return [event["to"] for event in listener.of("job.status")]


def test_every_client_gets_every_event_once_from_any_process(
    webs, worker, add_config, make_job, listen
):
    one, other = webs
    with MisbehavingEndpoint(e.slow(0.1)) as endpoint, requests.Session() as browser:
        add_config(endpoint.base_url, concurrency=4)
        job_id = make_job(100, hold=True)
        listeners = [listen(one), listen(one), listen(other), listen(other, transport="polling")]
        starts = [listener.subscribe(job_id=job_id, tail=True) for listener in listeners]
        assert post(browser, one.url, f"/jobs/{job_id}/resume").status_code == 303
        for listener in listeners:
            wait_until(
                lambda client=listener: any(
                    event["status"] == "completed" and event["counts"]["succeeded"] == 100
                    for event in client.of("job.progress")
                ),
                40,
            )
            wait_until(
                lambda client=listener: any(
                    event["to"] == "completed" for event in client.of("job.status")
                )
            )
    time.sleep(0.6)  # one more tick, in which duplicates would arrive
    moves = [statuses(listener) for listener in listeners]
    assert moves[0][-2:] == ["finalizing", "completed"]
    assert len(set(moves[0])) == len(moves[0])
    assert all(move == moves[0] for move in moves)
    for start, listener in zip(starts, listeners, strict=True):
        numbers = listener.numbers()
        assert numbers == list(range(start + 1, start + 1 + len(numbers)))
        tail = Counter(
            item["index"] for event in listener.of("request.finished") for item in event["items"]
        )
        assert tail
        assert set(tail.values()) == {1}


def test_a_session_is_one_for_all_processes(webs, people, listen):
    one, other = webs
    otto, same = log_in(one.url, "otto"), log_in(other.url, "otto")
    anna = log_in(other.url, "anna")
    assert otto.get(f"{other.url}/jobs", allow_redirects=False).status_code == 200
    ends, stays = listen(other, otto), listen(other, same)
    for listener in (ends, stays):
        listener.subscribe()
    assert post(otto, one.url, "/logout").status_code == 303
    wait_until(lambda: not ends.connected, AT_ONCE_S)
    assert otto.get(f"{other.url}/jobs", allow_redirects=False).status_code == 303
    assert stays.connected
    assert post(anna, one.url, f"/users/{people['otto']}/role", role="viewer").status_code == 303
    wait_until(lambda: not stays.connected, AT_ONCE_S)
    assert same.get(f"{other.url}/jobs", allow_redirects=False).status_code == 303
    again = log_in(one.url, "otto")
    stays = listen(other, again)
    stays.subscribe()
    assert post(again, one.url, "/password", old=PASSWORDS["otto"], password="another one!")
    wait_until(lambda: not stays.connected, AT_ONCE_S)
    # the session that changed the password stays valid in all processes
    assert again.get(f"{other.url}/jobs", allow_redirects=False).status_code == 200


def test_wrong_passwords_are_counted_over_all_processes(webs, people, shared_redis):
    tries = [try_password(webs[number % 2], "otto", "not this one") for number in range(11)]
    assert tries == [401] * 10 + [429]
    shared_redis.stop()
    # each process counted half of them
    wait_until(lambda: try_password(webs[1], "otto", PASSWORDS["otto"]) == 303, AT_ONCE_S)
    assert [try_password(webs[0], "otto", "not this one") for _ in range(6)][-1] == 429
    output = "\n".join(webs[0].lines + webs[1].lines)
    assert "Redis is away" in output
    assert "Traceback" not in output


def try_password(web, name: str, password: str) -> int:
    return post(requests.Session(), web.url, "/login", name=name, password=password).status_code


def test_without_redis_the_feed_goes_on_and_news_pass_again(
    webs, worker, add_config, make_job, people, shared_redis, listen
):
    one, other = webs
    anna = log_in(one.url, "anna")
    with MisbehavingEndpoint(e.slow(0.1)) as endpoint:
        add_config(endpoint.base_url, concurrency=2)
        job_id = make_job(200)
        listener = listen(other, anna)
        start = listener.subscribe(job_id=job_id)
        wait_until(lambda: listener.of("job.progress"))
        shared_redis.stop()
        before = len(listener.of("job.progress"))
        wait_until(lambda: len(listener.of("job.progress")) > before + 3)
        assert anna.get(f"{other.url}/jobs/{job_id}").status_code == 200
        assert post(anna, one.url, f"/jobs/{job_id}/cancel").status_code == 303
        wait_until(lambda: "cancelled" in [event["to"] for event in listener.of("job.status")])
        shared_redis.start()
    numbers = listener.numbers()
    assert numbers == list(range(start + 1, start + 1 + len(numbers)))
    assert post(anna, one.url, "/logout").status_code == 303
    wait_until(lambda: not listener.connected)
    for web in webs:
        assert not any("Traceback" in line for line in web.lines)
        assert len([line for line in web.lines if "Redis" in line]) <= 4


def test_what_was_uploaded_to_one_is_launched_by_the_other(
    webs, worker, add_config, questions, endpoint
):
    one, other = webs
    config = add_config(endpoint.base_url)
    with requests.Session() as browser, questions(5).open("rb") as file:
        fields = {"csrf_token": token_of(browser, f"{one.url}/jobs/new")}
        answer = browser.post(
            f"{one.url}/jobs/new", data=fields, files={"file": file}, allow_redirects=False
        )
        assert answer.status_code == 303, answer.text
        place = answer.headers["Location"]
        page = browser.get(f"{other.url}{place}").text
        launch = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page))
        launch |= {"config": str(config.id), "name": "from afar"}
        answer = browser.post(f"{other.url}{place}", data=launch, allow_redirects=False)
        assert answer.status_code == 303, answer.text
        path = answer.headers["Location"]
        done = wait_until(
            lambda: (
                (p := browser.get(f"{one.url}{path}").text) and 'data-status="completed"' in p and p
            )
        )
    assert "from afar" in done


def test_without_workers_pages_are_served_and_say_so(
    webs, app, instance, environment, add_config, make_job, endpoint
):
    one = webs[0]
    add_config(endpoint.base_url)
    job_id = make_job(7)
    answer = requests.get(f"{one.url}/readyz")
    body = answer.json()
    assert (answer.status_code, body["status"], body["reason"]) == (200, "degraded", "no-workers")
    assert (body["runner"], body["workers"], body["checks"]["workers"]["ok"]) == ("none", 0, False)
    assert figures(f"{one.url}/metrics")["simple_batch_workers"] == 0
    for path in ("/jobs", f"/jobs/{job_id}"):
        page = requests.get(f"{one.url}{path}").text
        assert "No worker is running: start one with celery -A simple_batch.worker" in page
        page = requests.get(f"{one.url}{path}", headers={"Accept-Language": "zh"}).text
        assert "没有正在运行的工作进程" in page
    port = free_port()
    worker = Worker(
        "one", instance, {**environment, "SIMPLE_BATCH_WORKER_METRICS": f"127.0.0.1:{port}"}
    )
    try:
        wait_until(lambda: requests.get(f"{one.url}/readyz").json()["workers"] == 1)
        body = requests.get(f"{one.url}/readyz").json()
        assert (body["status"], body["runner"]) == ("ok", "elsewhere")
        wait_until(
            lambda: 'data-status="completed"' in requests.get(f"{one.url}/jobs/{job_id}").text
        )
        page = requests.get(f"{one.url}/jobs/{job_id}").text
        assert "No worker is running" not in page
        shares = re.findall(r"<td[^>]*>([^<]*)</td>", page.partition('id="workers"')[2])
        assert shares[:4] == ["one@test", "7", "0", "7"]
        assert figures(f"{one.url}/metrics")["simple_batch_workers"] == 1
        assert requests.get(f"http://127.0.0.1:{port}/healthz").json() == {"status": "ok"}
        reply = figures(f"http://127.0.0.1:{port}/metrics")
        assert reply["simple_batch_requests_total", "test", "succeeded"] == 7
        assert reply["simple_batch_recorder_commit_seconds_count"] >= 1
        assert requests.get(f"http://127.0.0.1:{port}/jobs").status_code == 404
    finally:
        worker.stop()


def figures(url: str) -> dict:
    found = {}
    for family in text_string_to_metric_families(requests.get(url).text):
        for sample in family.samples:
            labels = sample.labels.values()
            found[(sample.name, *labels) if labels else sample.name] = sample.value
    return found


def test_what_several_processes_cannot_do_is_refused_at_the_start(environment):
    given = {name: str(value) for name, value in environment.items()}
    for name, value in (("LOGIN_LINK", "yes"), ("WORKER_METRICS", "9464")):
        with pytest.raises(SettingsError, match=name):
            settings.load({**given, f"SIMPLE_BATCH_{name}": value})


def test_the_password_of_redis_is_in_no_log(app, instance, environment, shared_redis):
    password = "planted-redis-password"
    url = shared_redis.url().replace("redis://", f"redis://:{password}@")
    with redis.Redis.from_url(shared_redis.url()) as administrator:
        administrator.config_set("requirepass", "another one")  # so that our try is refused
    web = served(instance, **{**environment, "SIMPLE_BATCH_REDIS_URL": url})
    try:
        assert try_password(web, "nobody", "not this one") in (303, 401)
        listener = Listener(web)
        listener.subscribe()
        wait_until(lambda: any("Redis is away" in line for line in web.lines))
        listener.client.disconnect()
    finally:
        assert web.stop() == 0
    assert password not in "\n".join(web.lines)


SLOWLY = """
import os, sys, time
from pathlib import Path
from simple_batch.store.secrets import kept_secret
print(kept_secret(Path(sys.argv[1]), lambda: time.sleep(0.5) or str(os.getpid()).zfill(32)))
"""


def test_keys_are_made_once_by_processes_that_start_at_once(tmp_path):
    path = tmp_path / "fresh" / "session.key"
    started = [
        subprocess.Popen([sys.executable, "-c", SLOWLY, path], cwd=ROOT, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    found = {process.communicate(timeout=120)[0] for process in started}
    assert found == {path.read_bytes()}
    assert path.stat().st_mode & 0o777 == 0o600
