"""The cache of authentication results, and what ends an entry: no access lasts more than a second
longer."""

import time
from types import SimpleNamespace

import pytest

from simple_batch import create_app
from simple_batch.auth import guard as guard_module
from simple_batch.auth import tokens, users
from simple_batch.auth.guard import credentials_digest
from simple_batch.core.ttl_cache import TtlCache
from simple_batch.store.database import connected
from simple_batch.store.models import Token, User

from ..page_cache_helpers import Clock, always_use_cache
from .conftest import post, send


@pytest.fixture
def clock(app, monkeypatch):
    """The clock of the cache."""
    clock, guard = always_use_cache(monkeypatch), app.extensions["simple_batch_door"]
    guard._claims._clock = guard._callers._clock = clock
    return clock


@pytest.fixture
def asked(app):
    """Has an item for each time that the guard looked a caller up in the database."""
    counted, guard = [], app.extensions["simple_batch_door"]
    answer = guard._answer
    guard._answer = lambda claim: counted.append(claim) or answer(claim)
    return counted


def test_callers_are_looked_up_once_per_second(app, clock, asked):
    for _ in range(5):
        client = app.test_client()  # each with separate cookies, or none
        for path in ("/jobs", "/jobs", "/configs"):
            assert client.get(path).status_code == 200
    assert len(asked) == 1
    clock.now += guard_module.KNOWN_S
    client.get("/jobs")
    assert len(asked) == 2
    # a change is always authorized by the database
    post(client, "/configs/new", alias="")
    assert len(asked) == 3
    with connected():
        users.create("anna", "a long password", "admin")
    assert client.get("/jobs").status_code == 303  # at once: the change was made here


@pytest.mark.parametrize(
    "change",
    [
        lambda: users.set_role("otto", "viewer"),
        lambda: users.set_password("otto", "another password"),
        lambda: users.disable("otto"),
        lambda: users.remove("otto"),
    ],
)
def test_a_change_in_this_process_ends_it_at_once(app, people, log_in, clock, change):
    otto, anna = log_in("otto"), log_in("anna")
    for _ in range(3):
        assert otto.get("/jobs").status_code == anna.get("/jobs").status_code == 200
    with connected():
        change()
    assert otto.get("/jobs").status_code == 303
    assert anna.get("/jobs").status_code == 200


def test_a_change_in_another_process_ends_it_within_a_second(app, people, log_in, clock):
    otto = log_in("otto")
    for _ in range(3):
        assert otto.get("/jobs").status_code == 200
    with connected():
        User.update(stamp="another").where(User.name == "otto").execute()
    clock.now += guard_module.KNOWN_S * 0.99
    assert otto.get("/jobs").status_code == 200
    assert post(otto, "/configs/new").status_code == 401  # changes are not authorized by the cache
    assert otto.get("/jobs").status_code == 303  # the post refreshed the cache
    clock.now += guard_module.KNOWN_S
    assert otto.get("/jobs").status_code == 303


def test_frequent_requests_do_not_prolong_the_cache(app, people, log_in, clock):
    otto = log_in("otto")
    otto.get("/jobs")
    with connected():
        User.update(stamp="another").where(User.name == "otto").execute()
    seen = []
    for _ in range(20):
        seen.append(otto.get("/jobs").status_code)
        clock.now += guard_module.KNOWN_S / 10
    assert seen == sorted(seen)
    assert 9 <= seen.count(200) <= 10


def test_each_user_sees_their_own_pages_from_the_cache(app, people, log_in, clock):
    anna, vera = log_in("anna"), log_in("vera")
    for _ in range(4):
        pages = anna.get("/configs").text, vera.get("/configs").text
        assert ["/configs/new" in page for page in pages] == [True, False]
        assert [">anna<" in page for page in pages] == [True, False]
        assert vera.get("/users").status_code == 403
        assert anna.get("/users").status_code == 200


def test_a_revoked_token_expires_as_fast_and_is_cached_as_a_digest(app, people, clock, asked):
    with connected():
        token, secret = tokens.create("reads", scope="read", user_id=people["otto"])
    bearer = {"Authorization": f"Bearer {secret}"}

    def ask():
        return app.test_client().get("/jobs", headers=bearer).status_code

    assert [ask() for _ in range(3)] == [200] * 3
    assert len(asked) == 1
    guard = app.extensions["simple_batch_door"]
    assert secret not in repr((guard._claims._kept, guard._callers._kept))
    with connected():
        tokens.revoke(token.id)
    assert ask() == 303
    with connected():
        Token.update(revoked_at=None).where(Token.id == token.id).execute()
    assert ask() == 200  # refusals are not cached
    with connected():
        Token.update(revoked_at=1).where(Token.id == token.id).execute()
    assert ask() == 200
    clock.now += guard_module.KNOWN_S
    assert ask() == 303


def test_an_expired_session_gets_no_cached_pages(overrides, monkeypatch):
    clock = always_use_cache(monkeypatch)
    app = create_app(**overrides, PASSWORD="open sesame", SESSION_HOURS=1)
    try:
        client = app.test_client()
        guard = app.extensions["simple_batch_door"]
        guard._claims._clock = clock
        guard._callers._clock = Clock()  # other requests keep the account cached
        send(client, "admin", "open sesame")
        for _ in range(3):
            assert client.get("/jobs").status_code == 200
        cookie = client.get_cookie("session").value
        app.config["PERMANENT_SESSION_LIFETIME"] = -1  # now
        bare, headers = app.test_client(use_cookies=False), {"Cookie": f"session={cookie}"}
        assert bare.get("/jobs", headers=headers).status_code == 200
        clock.now += guard_module.CLAIMED_S
        assert bare.get("/jobs", headers=headers).status_code == 303
    finally:
        app.extensions["simple_batch"].close()


def test_a_session_in_use_goes_on_but_its_cookie_stays_for_a_minute(
    app, people, log_in, monkeypatch
):
    client = log_in("otto")
    client.get("/jobs")  # which creates its form token
    assert all("Set-Cookie" not in client.get("/jobs").headers for _ in range(3))
    later = time.time() + guard_module.RENEWED_S
    monkeypatch.setattr(guard_module, "time", SimpleNamespace(time=lambda: later))
    renewed = client.get("/jobs").headers["Set-Cookie"]
    assert "session=" in renewed
    assert "Expires=" in renewed
    assert "Set-Cookie" not in client.get("/jobs").headers
    assert client.get("/jobs").status_code == 200


def test_credentials_digest_depends_on_every_header_that_authenticates():
    came = {"HTTP_COOKIE": "session=a", "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1"}
    digests = {credentials_digest(came)}
    for name in (
        "HTTP_COOKIE",
        "HTTP_HOST",
        "REMOTE_ADDR",
        "SERVER_NAME",
        "HTTP_AUTHORIZATION",
        "HTTP_FORWARDED",
        "HTTP_X_FORWARDED_FOR",
        "HTTP_X_REAL_IP",
        "HTTP_X_FORWARDED_HOST",
    ):
        digests.add(credentials_digest({**came, name: "x"}))
        digests.add(credentials_digest({**came, name: ""}))
    assert len(digests) == 19
    assert credentials_digest({**came, "REMOTE_PORT": "1", "PATH_INFO": "/"}) == credentials_digest(
        came
    )


def test_ttl_cache():
    clock = Clock()
    cache = TtlCache(1.0, 2, clock)
    assert cache.recalled("a") is None
    assert cache.found("a", lambda: 1) == cache.recalled("a") == 1
    assert cache.found("b", lambda: None) is None
    clock.now += 0.5
    assert cache.found("a", lambda: 2) == 2
    clock.now += 0.75
    assert cache.recalled("a") == 2  # it was stored again later
    assert cache.found("a", lambda: None) is None
    assert cache.recalled("a") is None  # the new answer replaced it
    for question in "cde":
        cache.found(question, lambda: 3)
    assert [cache.recalled(question) for question in "cde"] == [None, 3, 3]

    def forgotten_meanwhile():
        cache.forget()
        return 4

    assert cache.found("f", forgotten_meanwhile) == 4
    assert cache.recalled("f") is None  # the answer may be stale
    assert cache.recalled("e") is None

    def slow():
        clock.now += 1.0
        return 5

    assert cache.found("g", slow) == 5
    assert cache.recalled("g") is None  # its lifetime starts with the question
