"""Cached pages under load: for whom, how old, and what invalidates them."""

import re

import pytest
from flask import g

from simple_batch.core.domain import Role
from simple_batch.core.identity import Actor
from simple_batch.runner import signals
from simple_batch.services import configs
from simple_batch.store.database import connected
from simple_batch.web import page_cache

from ..page_cache_helpers import always_use_cache
from .test_pages import post, token

TOKEN = re.compile(r'name="csrf-token" content="([^"]+)"')


@pytest.fixture
def clock(app, monkeypatch):
    """The clock of the cache."""
    clock = app.extensions["simple_batch_copies"]._clock = always_use_cache(monkeypatch)
    return clock


@pytest.fixture
def begun(app):
    """Has an item for each request that reached Flask."""
    counted, dispatch = [], app.full_dispatch_request
    app.full_dispatch_request = lambda *context: counted.append(1) or dispatch(*context)
    return counted


def add(alias: str) -> None:
    with connected():
        configs.create(configs.ConfigFields(alias=alias, base_url="http://x/v1", model="m"))


def test_a_copy_is_short_lived_and_for_those_who_would_see_the_same(app, client, clock):
    first = client.get("/configs")
    assert "nobody-knows" not in first.text
    add("nobody-knows")
    copy = client.get("/configs")
    assert copy.data == first.data
    assert copy.headers["Content-Security-Policy"] == first.headers["Content-Security-Policy"]
    assert copy.headers.getlist("Set-Cookie") == []
    # another browser: the same page, its own token, and that one is good
    other = app.test_client()
    theirs, mine = token(other, "/configs/new"), token(client, "/configs/new")
    assert theirs != mine
    sent = other.post("/configs/new", data={"csrf_token": theirs, "alias": ""})
    assert b"too old" not in sent.data  # the token was taken, the form was not
    # copies differ by everything that the page depends on
    for request in ({"headers": {"Accept-Language": "zh"}}, {"query_string": {"lang": "zh"}}):
        client.get("/configs", **request)
        assert 'lang="zh' in client.get("/configs", **request).text
    with client.session_transaction() as session:
        session["user"] = "somebody"
    assert "nobody-knows" in client.get("/configs").text
    # too old
    add("later")
    assert "later" not in client.get("/configs").text
    clock.now += page_cache.LONGEST_S
    assert "later" in client.get("/configs").text


def test_who_changes_something_sees_it(app, client, clock):
    copies = app.extensions["simple_batch_copies"]
    assert "one-alias" not in client.get("/configs").text
    add("one-alias")
    assert "one-alias" not in client.get("/configs").text
    post(client, "/configs/new", alias="refused", base_url="")
    assert "one-alias" in client.get("/configs").text
    assert copies._kept
    signals.job_status.send(None, job_id=1, from_status="a", to_status="b", reason="")
    assert not copies._kept


def test_only_whole_pages_are_kept_and_not_too_much_of_them(
    app, client, clock, make_job, add_config, monkeypatch
):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(3)
    copies = app.extensions["simple_batch_copies"]
    for path in (f"/jobs/{job_id}/export", "/jobs/99", "/healthz", f"/jobs/{job_id}/progress.json"):
        client.get(path)
    assert not copies._kept
    for number in range(40):
        client.get(f"/jobs?q={number}")
    assert len(copies._kept) == 40
    assert copies._bytes == sum(copy.size for copy in copies._kept.values())
    monkeypatch.setattr(page_cache, "MOST_BYTES", 50_000)
    client.get("/jobs?q=last")
    assert 0 < copies._bytes <= 50_000


def test_one_reader_gets_new_pages_and_many_get_cached_ones(app, client, monkeypatch):
    monkeypatch.setattr(page_cache, "SHARE", 0.0)
    for number in range(2 * page_cache.CROWD):
        add(f"config-{number}")
        assert f"config-{number}" in client.get("/configs").text
    add("unseen")
    texts = [
        client.get("/configs", environ_base={"REMOTE_PORT": port}).text
        for port in range(2 * page_cache.CROWD)
    ]
    assert "unseen" in texts[0]
    add("unseen-too")
    assert "unseen-too" not in client.get("/configs", environ_base={"REMOTE_PORT": 1}).text
    copies = app.extensions["simple_batch_copies"]
    copies._crowd = page_cache.RecentClients()  # they are gone
    assert "unseen-too" in client.get("/configs").text


def test_copies_are_for_the_same_caller_in_the_same_role(app):
    copies, keys = app.extensions["simple_batch_copies"], set()
    for role in (Role.ADMIN, Role.OPERATOR, Role.VIEWER):
        with app.test_request_context("/jobs"):
            g.caller = Actor("somebody", role)
            keys.add(copies._who())
    assert len(keys) == 3
    with app.test_request_context("/jobs"):
        g.caller = Actor("somebody", Role.ADMIN, address="192.0.2.1")  # the address does not matter
        assert copies._who() in keys


def test_a_cached_caller_gets_a_cached_page_without_flask(app, client, clock, begun):
    client.get("/configs")
    second = client.get("/configs")
    assert len(begun) == 2  # the first one brought no cookies
    third = client.get("/configs")
    assert len(begun) == 2
    assert third.data == second.data
    # the same headers, including those of the middleware and the views
    assert dict(third.headers) == dict(second.headers)
    assert third.headers["Cache-Control"] == "no-store"
    assert third.headers["Vary"] == "Cookie"
    assert third.headers["X-Frame-Options"] == "DENY"
    # the token on the page belongs to the reader, and works
    other = app.test_client()
    theirs = {TOKEN.search(other.get("/configs").text)[1] for _ in range(3)}
    assert len(begun) == 4
    given = TOKEN.search(third.text)[1]
    assert given not in theirs
    sent = client.post("/configs/new", data={"csrf_token": given, "alias": ""})
    assert b"too old" not in sent.data
    assert len(begun) == 5
    client.get("/configs")  # the post invalidated the cache
    assert len(begun) == 6


@pytest.mark.parametrize(
    "strange",
    [
        {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}},
        {"headers": {"X-Forwarded-For": "127.0.0.1"}},
        {"headers": {"Forwarded": "for=127.0.0.1"}},
        {"headers": {"X-Real-IP": "127.0.0.1"}},
        {"headers": {"X-Forwarded-Host": "localhost"}},
        {"base_url": "http://evil.example"},
    ],
)
def test_remote_requests_get_no_cached_pages_whatever_their_cookies(client, clock, begun, strange):
    for _ in range(3):
        assert client.get("/configs").status_code == 200
    known = client.get_cookie("session").value
    seen = len(begun)
    headers = {**strange.get("headers", {}), "Cookie": f"session={known}"}
    assert client.get("/configs", **{**strange, "headers": headers}).status_code == 403
    assert len(begun) == seen + 1


def test_the_cache_of_readers_is_bounded(app, client, clock, monkeypatch):
    copies = app.extensions["simple_batch_copies"]
    monkeypatch.setattr(page_cache, "MOST_READERS", 3)
    client.get("/configs")
    for number in range(6):
        client.set_cookie("zone", f"Etc/GMT+{number}")
        client.get("/configs")
    assert len(copies._readers) == 3


def test_only_page_requests_count_as_recent_clients(app, client):
    recent_clients = app.extensions["simple_batch_copies"]._crowd
    for port in range(page_cache.CROWD):
        for path in ("/static/css/app.css", "/socket.io/?EIO=4&transport=polling"):
            assert client.get(path, environ_base={"REMOTE_PORT": port}).status_code == 200
    assert len(recent_clients) == 0
    client.get("/jobs")
    assert len(recent_clients) == 1


def test_a_message_is_shown_once(client, clock, begun):
    for _ in range(3):
        client.get("/configs")
    with client.session_transaction() as session:
        session["_flashes"] = [("success", "only this once")]
    seen = len(begun)
    assert "only this once" in client.get("/configs").text
    assert "only this once" not in client.get("/configs").text
    assert len(begun) > seen


def test_the_load_meter_decays():
    flow = page_cache.LoadMeter()
    for tenth in range(100):
        flow.add(1, tenth / 10)
    assert 9 < flow.per_second(10.0) < 11
    assert flow.per_second(20.0) < 0.1


def test_a_missing_static_file_is_reported(client):
    answer = client.get("/static/nothing.css")
    assert answer.status_code == 404
    assert "There is no such page" in answer.text
