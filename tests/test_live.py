"""The cost of the live feed with very many clients."""

import json
import re

import pytest

from simple_batch.auth import sessions, users
from simple_batch.core import identity
from simple_batch.core.identity import Actor, Scope
from simple_batch.runner import signals
from simple_batch.services import jobs
from simple_batch.store.database import connected
from simple_batch.store.models import Job, User
from simple_batch.web import live_clients, live_feed


def test_the_feed_slows_down_for_very_many_clients(app, make_job, add_config):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(3)
    feed = app.extensions["simple_batch_feed"]
    assert feed._pace_s() == live_feed.TICK_S
    feed._running = True  # nothing is sent
    for number in range(80):
        feed._watch(f"client-{number}", job_id, tail=False)
    assert feed._pace_s() == live_feed.TICK_S
    for number in range(1000):
        feed._watch(f"client-{number}", job_id, tail=False)
    assert feed._pace_s() == 1000 * live_feed.EVENTS * live_feed.MESSAGE_S / live_feed.SHARE > 2
    room = f"job-{job_id}"
    with connected():
        first = feed._snapshot(room, job_id)
        Job.update(succeeded=2).where(Job.id == job_id).execute()
        assert feed._snapshot(room, job_id) is first  # a moment later
        feed._emit("job.progress", job_id, {})
        assert feed._snapshot(room, job_id)["counts"]["succeeded"] == 2  # never older than an event
    feed._forget()
    assert not feed._snapshots


def test_events_are_not_compressed(app):
    seen = []
    app.view_functions["health.healthz"] = lambda: seen.append(dict(_headers())) or "ok"
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    app.test_client().get("/healthz", headers=offer)
    assert seen
    assert "Sec-Websocket-Extensions" not in seen[0]


@pytest.fixture
def feed(app):
    """The feed; ``asked`` counts how often it authenticates a client."""
    feed = app.extensions["simple_batch_feed"]
    feed._running, feed.asked = True, 0  # nothing is sent
    authenticate = feed.clients._authenticate

    def counted(environ):
        feed.asked += 1
        return authenticate(environ)

    feed.clients._authenticate = counted
    return feed


@pytest.fixture
def connect(app):
    """Connects a client of the feed with the cookies of ``client``."""
    socketio = app.extensions["socketio"]
    return lambda client=None, **how: socketio.test_client(
        app, namespace=live_feed.NAMESPACE, flask_test_client=client, **how
    )


def look(feed) -> int:
    """Check the access of all clients; returns how many were authenticated."""
    feed.clients._checked_at, before = -live_clients.RECHECK_S, feed.asked
    with connected():
        feed.clients.disconnect_revoked()
    return feed.asked - before


@pytest.fixture
def browser(app, people):
    """Clients of logged-in users, by name."""

    def logged_in(name: str):
        with connected():
            account = sessions.account_of(users.get(name))
        client = app.test_client()
        with client.session_transaction() as session:
            session["_user_id"] = account.get_id()
        return client

    return logged_in


def test_connections_with_the_same_credentials_are_checked_once(
    feed, connect, browser, make_job, add_config
):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(3)
    anna = browser("anna")
    clients = [connect(anna) for _ in range(6)]
    assert feed.asked == 1
    assert all(client.is_connected(live_feed.NAMESPACE) for client in clients)
    for client in clients:
        payload = {"job_id": job_id, "tail": True}
        reply = client.emit("subscribe", payload, namespace=live_feed.NAMESPACE, callback=True)
        assert reply["snapshot"]["counts"]["total"] == 3
    assert (
        clients[0].emit("subscribe", 7, namespace=live_feed.NAMESPACE, callback=True)["ok"] is False
    )
    assert len(feed.clients) == 6
    for client in clients:
        client.disconnect(namespace=live_feed.NAMESPACE)
    assert len(feed.clients) == 0
    assert not feed.clients._connected
    assert not signals.tail_wanted
    # by another name, or without the cookie, no one comes in along with them
    assert not connect(anna, headers={"Host": "evil.example"}).is_connected(live_feed.NAMESPACE)
    assert not connect().is_connected(live_feed.NAMESPACE)


def test_clients_are_checked_again_after_a_user_changed(app, feed, connect, browser):
    browsers = {name: browser(name) for name in ("anna", "otto", "olga")}
    clients = {name: [connect(browsers[name]) for _ in range(3)] for name in browsers}
    assert look(feed) == 3  # once for those who came the same way
    assert look(feed) == 0  # no one changed
    with connected():
        users.create("nils", "a long password", "viewer")
    assert look(feed) == 3
    with connected():
        users.set_role("otto", "viewer")
        User.update(stamp="another").where(User.name == "olga").execute()  # by another process
    assert look(feed) == 3
    here = {
        name: {one.is_connected(live_feed.NAMESPACE) for one in clients[name]} for name in clients
    }
    assert here == {"anna": {True}, "otto": {False}, "olga": {False}}
    # where nothing changed sessions may have run out
    feed.clients._checked_all_at -= live_clients.EXPIRY_CHECK_S
    app.config["PERMANENT_SESSION_LIFETIME"] = -1
    assert look(feed) == 1
    assert not any(client.is_connected(live_feed.NAMESPACE) for client in clients["anna"])
    with connected():
        users.create("nora", "a long password", "viewer")
    assert look(feed) == 0  # no one is there


def test_pages_offer_commands_by_role_and_language(browser):
    """They are made once for each kind of caller."""

    def offered(name: str, language: str, root: str = "") -> set[str]:
        address = f"/jobs?lang={language}"
        page = browser(name).get(address, environ_overrides={"SCRIPT_NAME": root}).text
        given = re.search(r'id="commands">(.*?)</script>', page, re.S)
        found = {command["title"]: command["url"] for command in json.loads(given[1])}
        assert {url[: len(root) + 1] for url in found.values() if url} == {f"{root}/"}
        return set(found)

    for _ in range(2):
        assert {"Jobs", "Team", "New job"} <= offered("anna", "en")
        assert {"任务", "团队", "新建任务"} <= offered("anna", "zh")
        viewers = offered("vera", "en")
        assert "Jobs" in viewers and not {"Team", "New job"} & viewers
        assert "Team" in offered("anna", "en", "/batch")


def test_lists_drop_a_deleted_job_whatever_is_noticed_first(app, people, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    feed = app.extensions["simple_batch_feed"]
    with connected():
        identity.act_as(Actor("otto", user=people["otto"]))
        first, second, third = (make_job(1, hold=True) for _ in range(3))
        identity.act_as(identity.CLI)
        own = Scope(user=people["otto"])
        for scope in (own, None):
            assert {row["id"] for row in feed._list_items(scope)} == {first, second, third}
        jobs.delete(first)
        feed._list_items(own)  # a page that is opened meanwhile
        for scope in (own, None):  # the third has changed; of the first no signal has come yet
            items = {item["id"]: item["status"] for item in feed._list_items(scope, {third})}
            assert items == {first: None, third: "paused"}
            assert [item["id"] for item in feed._list_items(scope, {third})] == [third]


def test_lists_do_not_drop_an_old_job_that_changes(app, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    feed = app.extensions["simple_batch_feed"]
    with connected():
        old = make_job(1, hold=True)
        for _ in range(50):
            make_job(1, hold=True)
        assert old not in {row["id"] for row in feed._list_items(None)}
        assert feed._list_items(None, {old}) == []
        jobs.delete(old)
        assert feed._list_items(None, {old}) == [{"id": old, "status": None}]


def _headers():
    from flask import request

    return request.headers.items()
