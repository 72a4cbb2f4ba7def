"""The page cache: which clients share an entry, how old it gets, and what clears it."""

import re

import pytest
from cachetools import LRUCache, TTLCache
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
    """Of the cache."""
    clock = app.extensions["simple_batch_page_cache"]._clock = always_use_cache(monkeypatch)
    return clock


@pytest.fixture
def begun(app):
    """Has an item for each request that reached Flask."""
    counted, dispatch = [], app.full_dispatch_request
    app.full_dispatch_request = lambda *context: counted.append(1) or dispatch(*context)
    return counted


def without_tokens(page: str) -> str:
    """The page without its session's token, which another second makes another one."""
    found = TOKEN.search(page)
    assert found is not None
    return page.replace(found[1], "")


def add(alias: str) -> None:
    with connected():
        configs.create(configs.ConfigFields(alias=alias, base_url="http://x/v1", model="m"))


def test_a_copy_is_short_lived_and_for_those_who_would_see_the_same(app, client, clock):
    first = client.get("/configs")
    assert "nobody-knows" not in first.text
    add("nobody-knows")
    copy = client.get("/configs")
    assert without_tokens(copy.text) == without_tokens(first.text)
    assert copy.headers["Content-Security-Policy"] == first.headers["Content-Security-Policy"]
    assert copy.headers.getlist("Set-Cookie") == []
    # another browser: the same page, its own token, and that one is good
    other = app.test_client()
    theirs, mine = token(other, "/configs/new?form=full"), token(client, "/configs/new?form=full")
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
    clock.now += page_cache.PAGE_TTL_S
    assert "later" in client.get("/configs").text


def test_who_changes_something_sees_it(app, client, clock):
    cache = app.extensions["simple_batch_page_cache"]
    assert "one-alias" not in client.get("/configs").text
    add("one-alias")
    assert "one-alias" not in client.get("/configs").text
    post(client, "/configs/new", alias="refused", base_url="")
    assert "one-alias" in client.get("/configs").text
    assert cache._pages
    signals.job_status.send(None, job_id=1, from_status="a", to_status="b", reason="")
    assert not cache._pages


def test_only_whole_pages_are_kept_and_not_too_much_of_them(
    app, client, clock, make_job, add_config
):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(3)
    cache = app.extensions["simple_batch_page_cache"]
    for path in (f"/jobs/{job_id}/export", "/jobs/99", "/healthz", f"/jobs/{job_id}/progress.json"):
        client.get(path)
    assert not cache._pages
    for number in range(40):
        client.get(f"/jobs?q={number}")
    assert len(cache._pages) == 40
    assert cache._pages.currsize == sum(entry.size for entry in cache._pages.values())
    cache._pages = TTLCache(50_000, page_cache.PAGE_TTL_S, clock, cache._pages.getsizeof)
    for number in range(40):
        client.get(f"/jobs?q={number}")
    assert 0 < cache._pages.currsize <= 50_000
    cache._pages = TTLCache(500, page_cache.PAGE_TTL_S, clock, cache._pages.getsizeof)
    assert client.get("/jobs").status_code == 200  # larger than the whole cache
    assert not cache._pages


def test_one_client_always_gets_new_pages_many_get_hits(app, client, monkeypatch):
    monkeypatch.setattr(page_cache, "RENDER_SHARE", 0.0)
    for number in range(2 * page_cache.MIN_CLIENTS):
        add(f"config-{number}")
        assert f"config-{number}" in client.get("/configs").text
    add("unseen")
    texts = [
        client.get("/configs", environ_base={"REMOTE_PORT": port}).text
        for port in range(2 * page_cache.MIN_CLIENTS)
    ]
    assert "unseen" in texts[0]
    add("unseen-too")
    assert "unseen-too" not in client.get("/configs", environ_base={"REMOTE_PORT": 1}).text
    cache = app.extensions["simple_batch_page_cache"]
    cache._clients = page_cache.RecentClients()  # they are gone
    assert "unseen-too" in client.get("/configs").text


def test_an_entry_is_for_the_same_caller_in_the_same_role(app):
    cache, keys = app.extensions["simple_batch_page_cache"], set()
    for role in (Role.ADMIN, Role.OPERATOR, Role.VIEWER):
        with app.test_request_context("/jobs"):
            g.caller = Actor("somebody", role)
            keys.add(cache._audience())
    assert len(keys) == 3
    with app.test_request_context("/jobs"):
        g.caller = Actor("somebody", Role.ADMIN, address="192.0.2.1")  # where from is no matter
        assert cache._audience() in keys


def test_a_known_client_gets_a_hit_before_flask_begins(app, client, clock, begun):
    client.get("/configs")
    second = client.get("/configs")
    assert len(begun) == 2  # the first one brought no cookies
    third = client.get("/configs")
    assert len(begun) == 2
    assert without_tokens(third.text) == without_tokens(second.text)
    # the same headers, including those of the middleware and the views
    assert dict(third.headers) == dict(second.headers)
    assert third.headers["Cache-Control"] == "no-store"
    assert third.headers["Vary"] == "Cookie"
    assert third.headers["X-Frame-Options"] == "DENY"
    # the token on it is the client's own, and valid
    other = app.test_client()
    theirs = {TOKEN.search(other.get("/configs").text)[1] for _ in range(3)}
    assert len(begun) == 4
    given = TOKEN.search(third.text)[1]
    assert given not in theirs
    sent = client.post("/configs/new", data={"csrf_token": given, "alias": ""})
    assert b"too old" not in sent.data
    assert len(begun) == 5
    client.get("/configs")  # a post has cleared the cache
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
def test_strangers_get_no_hits_whatever_cookies_they_bring(client, clock, begun, strange):
    for _ in range(3):
        assert client.get("/configs").status_code == 200
    known = client.get_cookie("session").value
    seen = len(begun)
    headers = {**strange.get("headers", {}), "Cookie": f"session={known}"}
    assert client.get("/configs", **{**strange, "headers": headers}).status_code == 403
    assert len(begun) == seen + 1


def test_the_number_of_known_clients_is_limited(app, client, clock):
    cache = app.extensions["simple_batch_page_cache"]
    cache._known = LRUCache(3)
    client.get("/configs")
    for number in range(6):
        client.set_cookie("zone", f"Etc/GMT+{number}")
        client.get("/configs")
    assert len(cache._known) == 3


def test_only_requests_for_pages_count_as_load(app, client):
    clients = app.extensions["simple_batch_page_cache"]._clients
    for port in range(page_cache.MIN_CLIENTS):
        for path in ("/static/css/app.css", "/socket.io/?EIO=4&transport=polling"):
            assert client.get(path, environ_base={"REMOTE_PORT": port}).status_code == 200
    assert len(clients) == 0
    client.get("/jobs")
    assert len(clients) == 1


def test_a_message_is_shown_once(client, clock, begun):
    for _ in range(3):
        client.get("/configs")
    with client.session_transaction() as session:
        session["_flashes"] = [("success", "only this once")]
    seen = len(begun)
    assert "only this once" in client.get("/configs").text
    assert "only this once" not in client.get("/configs").text
    assert len(begun) > seen


def test_a_load_fades():
    load = page_cache.LoadMeter()
    for tenth in range(100):
        load.add(1, tenth / 10)
    assert 9 < load.per_second(10.0) < 11
    assert load.per_second(20.0) < 0.1


def test_a_missing_static_file_is_reported(client):
    answer = client.get("/static/nothing.css")
    assert answer.status_code == 404
    assert "Page not found" in answer.text
