"""The caches of callers: access that ends is cached for a second at most."""

import time
from types import SimpleNamespace

import pytest

from simple_batch import create_app
from simple_batch.auth import sessions, tokens, users
from simple_batch.auth.credentials import credentials_digest
from simple_batch.core.ttl_cache import TtlCache
from simple_batch.store.database import connected
from simple_batch.store.models import Token, User

from ..page_cache_helpers import Clock, always_use_cache
from .conftest import post, send


@pytest.fixture
def clock(app, monkeypatch):
    """Of the caches."""
    clock, authenticator = always_use_cache(monkeypatch), app.extensions["simple_batch_auth"]
    authenticator._credentials._clock = authenticator._callers._clock = clock
    return clock


@pytest.fixture
def asked(app):
    """An item for each time that a caller was read from the database."""
    counted, authenticator = [], app.extensions["simple_batch_auth"]
    answer = authenticator._authenticated
    authenticator._authenticated = lambda claim: counted.append(claim) or answer(claim)
    return counted


def test_many_requests_of_one_caller_read_the_database_once_a_second(app, clock, asked):
    for _ in range(5):
        client = app.test_client()  # each with separate cookies, or none
        for path in ("/jobs", "/jobs", "/configs"):
            assert client.get(path).status_code == 200
    assert len(asked) == 1
    clock.now += sessions.CALLER_TTL_S
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
    clock.now += sessions.CALLER_TTL_S * 0.99
    assert otto.get("/jobs").status_code == 200
    assert post(otto, "/configs/new").status_code == 401  # who changes something is asked about
    assert otto.get("/jobs").status_code == 303  # found out by the way
    clock.now += sessions.CALLER_TTL_S
    assert otto.get("/jobs").status_code == 303


def test_frequent_requests_do_not_prolong_the_cache(app, people, log_in, clock):
    otto = log_in("otto")
    otto.get("/jobs")
    with connected():
        User.update(stamp="another").where(User.name == "otto").execute()
    seen = []
    for _ in range(20):
        seen.append(otto.get("/jobs").status_code)
        clock.now += sessions.CALLER_TTL_S / 10
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
    authenticator = app.extensions["simple_batch_auth"]
    assert secret not in repr(
        (authenticator._credentials._entries, authenticator._callers._entries)
    )
    with connected():
        tokens.revoke(token.id)
    assert ask() == 303
    with connected():
        Token.update(revoked_at=None).where(Token.id == token.id).execute()
    assert ask() == 200  # refusals are not cached
    with connected():
        Token.update(revoked_at=1).where(Token.id == token.id).execute()
    assert ask() == 200
    clock.now += sessions.CALLER_TTL_S
    assert ask() == 303


def test_an_expired_session_gets_no_cached_pages(overrides, monkeypatch):
    clock = always_use_cache(monkeypatch)
    app = create_app(**overrides, PASSWORD="open sesame", SESSION_HOURS=1)
    try:
        client = app.test_client()
        authenticator = app.extensions["simple_batch_auth"]
        authenticator._credentials._clock, authenticator._callers._clock = (
            clock,
            Clock(),
        )  # others keep the account known
        send(client, "admin", "open sesame")
        for _ in range(3):
            assert client.get("/jobs").status_code == 200
        cookie = client.get_cookie("session").value
        app.config["PERMANENT_SESSION_LIFETIME"] = -1  # now
        bare, headers = app.test_client(use_cookies=False), {"Cookie": f"session={cookie}"}
        assert bare.get("/jobs", headers=headers).status_code == 200
        clock.now += sessions.CREDENTIALS_TTL_S
        assert bare.get("/jobs", headers=headers).status_code == 303
    finally:
        app.extensions["simple_batch"].close()


def test_a_session_in_use_goes_on_but_its_cookie_stays_for_a_minute(
    app, people, log_in, monkeypatch
):
    client = log_in("otto")
    client.get("/jobs")  # which creates its form token
    assert all("Set-Cookie" not in client.get("/jobs").headers for _ in range(3))
    later = time.time() + sessions.RENEWED_S
    monkeypatch.setattr(sessions, "time", SimpleNamespace(time=lambda: later))
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


def test_a_ttl_cache_dates_from_the_load_and_drops_what_clear_overtook():
    clock = Clock()
    cache = TtlCache(1.0, 2, clock)
    assert cache.get("a") is None
    assert cache.load("a", lambda: 1) == cache.get("a") == 1
    assert cache.load("b", lambda: None) is None
    clock.now += 0.5
    assert cache.load("a", lambda: 2) == 2
    clock.now += 0.75
    assert cache.get("a") == 2  # since it was loaded again
    assert cache.load("a", lambda: None) is None
    assert cache.get("a") is None
    for key in "cde":
        cache.load(key, lambda: 3)
    assert [cache.get(key) for key in "cde"] == [None, 3, 3]

    def cleared_meanwhile():
        cache.clear()
        return 4

    assert cache.load("f", cleared_meanwhile) == 4
    assert cache.get("f") is None  # it may be old already
    assert cache.get("e") is None

    def slow():
        clock.now += 1.0
        return 5

    assert cache.load("g", slow) == 5
    assert cache.get("g") is None  # it dates from the start of the load
