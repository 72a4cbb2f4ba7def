"""The bell: jobs that have ended since a user last looked."""

import re

import pytest

from simple_batch.auth import users
from simple_batch.core import identity
from simple_batch.core.clock import now_ms
from simple_batch.core.domain import Role
from simple_batch.services import finished_jobs
from simple_batch.store.database import connected
from simple_batch.store.models import Job
from simple_batch.web import bell


@pytest.fixture
def end(add_config, make_job):
    """Make a job of a user that has ended."""
    add_config("http://127.0.0.1:9/v1")

    def ended(name: str, user: int | None = None) -> int:
        with connected():
            job_id = make_job(1, name=name)
            change = {"status": "completed", "finished_at": now_ms(), "succeeded": 1, "user": user}
            Job.update(change).where(Job.id == job_id).execute()
        return job_id

    return ended


def count(client) -> str:
    """What the bell of a page shows."""
    page = client.get("/configs").text
    found = re.search(r'id="bell-count" aria-hidden="true"\s*(hidden)?\s*>(.*?)</span>', page, re.S)
    return "" if found[1] else found[2]


def test_a_look_at_the_finished_jobs_marks_them_as_seen(client, end, make_job):
    assert count(client) == ""
    assert "No job has finished yet." in client.get("/finished").text
    first, second = end("<b>one</b>"), end("two")
    with connected():
        make_job(1, name="under way")
    assert count(client) == "2"
    page = client.get("/finished").text
    assert page.count('class="badge text-bg-primary">new') == 2
    assert "&lt;b&gt;one&lt;/b&gt;" in page
    assert "under way" not in page
    assert page.index(f"/jobs/{second}/") < page.index(f"/jobs/{first}/")
    assert count(client) == ""
    end("three")
    assert count(client) == "1"
    fragment = client.get("/finished?fragment=1").text
    assert "<html" not in fragment
    assert fragment.count('class="badge text-bg-primary">new') == 1
    assert count(client) == ""
    with connected():  # retried, or deleted: no more among them
        Job.update(finished_at=None).where(Job.id == first).execute()
        Job.update(deleted_at=now_ms()).where(Job.id == second).execute()
    assert re.findall(r'title="(\w+)" href="/jobs', client.get("/finished").text) == ["three"]


@pytest.mark.parametrize("path", ["/finished", "/finished?fragment=1"])
def test_all_that_are_counted_are_listed_before_they_count_as_seen(client, end, monkeypatch, path):
    monkeypatch.setattr(bell, "ON_PAGE", 3)
    monkeypatch.setattr(bell, "IN_LIST", 2)
    for number in range(5):
        end(f"job {number}")
    assert count(client) == "5"
    assert client.get(path).text.count('class="badge text-bg-primary">new') == 5
    assert count(client) == ""
    assert client.get(path).text.count('title="job ') < 5


def test_more_than_a_hundred_are_not_counted(client, end, monkeypatch):
    monkeypatch.setattr(finished_jobs, "MOST_UNSEEN", 3)
    client.application.jinja_env.globals["most_unseen_jobs"] = 3
    for number in range(4):
        end(f"job {number}")
    assert count(client) == "2+"


def test_each_user_has_their_own(app, people, end, log_in):
    end("otto's", people["otto"])
    end("olga's", people["olga"])
    end("of a command")
    shown = {}
    for name in ("otto", "olga", "anna", "vera"):
        client = log_in(name)
        first = count(client)
        page = client.get("/finished").text
        shown[name] = first, sorted(re.findall(r'title="([^"]+)"\s*href="/jobs', page))
        assert count(client) == ""
    assert shown == {
        "otto": ("1", ["otto&#39;s"]),
        "olga": ("1", ["olga&#39;s"]),
        "anna": ("1", ["of a command"]),  # an admin, who created none
        "vera": ("3", ["of a command", "olga&#39;s", "otto&#39;s"]),  # a viewer
    }
    with connected():
        new = users.create("new", "a long password", "viewer")
        caller = identity.Actor("new", Role.VIEWER, user=new.id)
        assert finished_jobs.seen_at(caller) == new.created_at  # nothing from before is new


def test_the_live_feed_tells_the_pages_of_a_user(app, people, end, log_in):
    feed = app.extensions["simple_batch_feed"]
    feed._running = True  # nothing is sent
    sent = []
    feed._server.emit = lambda event, payload, to, **_more: sent.append(
        (event, to, payload.get("unseen"))
    )
    feed._server.enter_room = lambda *_args, **_more: None
    for name in ("otto", "olga"):
        cookie = log_in(name).get_cookie("session").value
        environ = app.test_request_context(headers={"Cookie": f"session={cookie}"}).request.environ
        assert feed.clients.connect(name, environ)
        assert feed.subscribe(name, {"finished": True})["snapshot"] == {"unseen": 0}
    job_id = end("otto's", people["otto"])
    feed._on_status(None, job_id, "running", "completed", "")
    sent.clear()
    with connected():
        feed._send(feed.clients.watched(), slow=True)
    rooms = {
        f"finished-{people[name]}-operator": number for name, number in (("otto", 1), ("olga", 0))
    }
    assert {to: n for event, to, n in sent if event == "jobs.finished"} == rooms
