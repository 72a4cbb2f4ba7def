"""Access control: every route of the app, requested without a login and by users without the
right."""

import io
import time

import pytest

from simple_batch import create_app
from simple_batch.auth import audit_log, tokens, users
from simple_batch.auth.guard import PUBLIC, required_role
from simple_batch.core import identity
from simple_batch.core.domain import Role
from simple_batch.core.identity import Actor
from simple_batch.store.database import connected
from simple_batch.store.models import Audit

from ..conftest import PASSWORDS
from .conftest import form_token, post, send

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# answers to anonymous callers: a redirect to the login, or a refusal
REFUSED = (303, 401)
# allowed to every logged-in user
OWN = {"login.leave", "login.password"}


def served(app):
    """(rule, endpoint, method, a path) of everything that the app serves."""
    with app.test_request_context():
        adapter = app.url_map.bind("localhost")
    for rule in app.url_map.iter_rules():
        values = dict.fromkeys(rule.arguments, 1)
        for name in ("action", "name", "filename", "model", "rest", "file_id", "batch_id"):
            if name in values:
                values[name] = {"action": "pause", "name": "latency"}.get(name, "x")
        if "part" in values:
            values["part"] = "answer.txt"
        if rule.endpoint == "users.change":
            values["action"] = "disable"
        path = adapter.build(rule.endpoint, values)
        for method in sorted(set(METHODS) & rule.methods):
            yield rule, method, path


@pytest.mark.parametrize("mode", ["password", "users"])
def test_anonymous_callers_get_nothing(mode, request, monkeypatch):
    app = request.getfixturevalue("password_app" if mode == "password" else "app")
    if mode == "users":
        request.getfixturevalue("people")
    asked = 0
    for rule, method, path in served(app):
        if rule.endpoint in PUBLIC:
            continue
        asked += 1
        answer = app.test_client().open(path, method=method, follow_redirects=False)
        assert answer.status_code in REFUSED, (rule.rule, method, answer.status_code)
        if answer.status_code == 303:
            assert answer.headers["Location"].startswith("/login?next="), rule.rule
    assert asked > 70
    # the refusal does not reveal what exists
    for path in ("/jobs/1", "/jobs/999", "/nowhere", "/users", "/metrics"):
        assert app.test_client().get(path).status_code == 303
    for path in ("/healthz", "/login", "/static/css/app.css"):
        assert app.test_client().get(path).status_code == 200
    assert app.test_client().get("/readyz").status_code in (200, 503)
    assert app.test_client().get("/static/nothing").status_code == 404
    assert {"static", "health.healthz", "health.readyz", "login.page", "login.enter"} == PUBLIC


def test_a_viewer_changes_nothing_and_an_operator_no_admin_pages(app, people, log_in):
    vera, otto = log_in("vera"), log_in("otto")
    refused = {"viewer": 0, "operator": 0}
    for rule, method, path in served(app):
        if rule.endpoint in PUBLIC | OWN or rule.endpoint.startswith("openai_"):
            continue
        if method != "GET":
            answer = vera.open(path, method=method)
            assert answer.status_code == 403, (rule.rule, method, answer.status_code)
            assert "have permission. Ask an admin." in answer.text
            refused["viewer"] += 1
        if required_role(rule.endpoint, method) == Role.ADMIN:
            for client in (vera, otto):
                assert client.open(path, method=method).status_code == 403, (rule.rule, method)
            refused["operator"] += 1
    assert refused["viewer"] > 30
    assert refused["operator"] > 15
    # what each of them may look at, and which buttons are there
    assert vera.get("/jobs").status_code == otto.get("/jobs").status_code == 200
    assert "/jobs/new" not in vera.get("/jobs").text
    assert "/jobs/new" in otto.get("/jobs").text
    for path in ("/jobs/new", "/access"):
        assert vera.get(path).status_code == 403
        assert otto.get(path).status_code == 200
    json = vera.get("/jobs/new", headers={"Accept": "application/json"})
    assert (json.status_code, json.json) == (
        403,
        {"error": "You don't have permission. Ask an admin."},
    )
    chinese = vera.get("/jobs/new?lang=zh")
    assert "have permission" not in chinese.text
    assert log_in("anna").get("/users").status_code == 200


def test_a_loopback_server_without_users_is_open_to_this_machine_alone(app):
    ask = app.test_client().get
    assert ask("/jobs").status_code == 200
    assert ask("/login").headers["Location"] == "/jobs"
    for strange in (
        {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}},
        {"headers": {"X-Forwarded-For": "127.0.0.1"}},
        {"headers": {"Forwarded": "for=127.0.0.1"}},
        {"headers": {"X-Forwarded-Host": "localhost"}},
        {"base_url": "http://evil.example"},  # DNS rebinding
        {"base_url": "http://127.0.0.1.evil.example"},
    ):
        for path in ("/jobs", "/jobs/new", "/configs"):
            assert ask(path, **strange).status_code == 403, strange
    for host in ("127.0.0.1:7861", "[::1]:7861", "localhost", "127.8.8.8", "LOCALHOST:1"):
        assert ask("/jobs", base_url=f"http://{host}").status_code == 200, host
    assert ask("/healthz", base_url="http://a.probe.example").status_code == 200


def test_login_begins_a_new_session_and_logout_ends_it(app, people):
    client = app.test_client()
    client.get("/login")
    planted = client.get_cookie("session").value
    first = send(client, "Anna ", PASSWORDS["anna"], next="/configs?x=1")
    assert (first.status_code, first.headers["Location"]) == (303, "/configs?x=1")
    cookie = first.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    fixed = app.test_client()
    fixed.set_cookie("session", planted)
    assert fixed.get("/jobs").status_code == 303  # a session from before the login is void
    shown = client.get("/jobs").text
    assert "anna" in shown
    assert "/users" in shown
    assert client.get("/login").status_code == 303
    assert client.get("/logout").status_code == 405
    assert client.post("/logout").status_code == 400  # without its form's token
    assert post(client, "/logout").status_code == 303
    assert client.get("/jobs").status_code == 303
    # over TLS the cookie is never sent without it
    secure = app.test_client()
    page = secure.get("/login", base_url="https://localhost")
    assert "Secure" in page.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "given",
    [
        "http://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "/login?next=/login",
        "https:evil.example",
        "",
    ],
)
def test_the_login_never_redirects_to_another_site(app, people, given):
    answer = send(app.test_client(), "vera", PASSWORDS["vera"], next=given)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/jobs")


def test_what_changes_of_a_user_ends_the_sessions(app, people, log_in):
    vera, otto, anna = log_in("vera"), log_in("otto"), log_in("anna")
    with connected():
        users.set_role("vera", "operator")
        users.set_password("otto", "another password")
    for client in (vera, otto):
        assert client.get("/jobs").status_code == 303
    otto, other = log_in("otto", "another password"), log_in("otto", "another password")
    fields = {"old": "another password", "password": "a third password"}
    assert post(otto, "/password", **{**fields, "old": "wrong"}).status_code == 400
    assert post(otto, "/password", **{**fields, "password": "short"}).status_code == 400
    assert post(otto, "/password", **fields).status_code == 303
    assert otto.get("/jobs").status_code == 200  # in the session that changed it
    assert other.get("/jobs").status_code == 303
    with connected():
        users.disable("otto")
    assert otto.get("/jobs").status_code == 303
    assert send(app.test_client(), "otto", "a third password").status_code == 401
    with connected():
        users.remove("vera")
    assert send(app.test_client(), "vera", PASSWORDS["vera"]).status_code == 401
    assert anna.get("/jobs").status_code == 200


def test_tries_are_counted_by_address_and_by_name(app, people, log_in):
    def guess(address: str, name: str = "otto", password: str = "guess"):
        client = app.test_client()
        client.environ_base = {**client.environ_base, "REMOTE_ADDR": address}
        return send(client, name, password)

    assert guess("192.0.2.1", password=PASSWORDS["otto"]).status_code == 303  # a known address
    statuses = [guess("192.0.2.2").status_code for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    late = guess("192.0.2.2", "anna", PASSWORDS["anna"])
    assert late.status_code == 429  # the right password has to wait there too
    assert 1 <= int(late.headers["Retry-After"]) <= 60
    for n in range(3, 6):  # the limit per name, from any address
        guess(f"192.0.2.{n}")
        for _ in range(4):
            guess(f"192.0.2.{n}")
    assert guess("192.0.2.9", password=PASSWORDS["otto"]).status_code == 429
    assert guess("192.0.2.9", "anna", PASSWORDS["anna"]).status_code == 303
    # a known address still gets in
    assert guess("192.0.2.1", password=PASSWORDS["otto"]).status_code == 303


def test_refused_tries_use_up_no_allowance(app, people, monkeypatch):
    """Refused tries of one client do not delay the login of others at the same address."""
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    throttle = app.extensions["simple_batch_auth"]._throttle

    def tries(name: str, count: int = 1) -> list[bool]:
        with connected():
            return [throttle.count_attempt(name, "192.0.2.1") == 0 for _ in range(count)]

    with connected():
        identity.act_as(Actor("otto", address="192.0.2.1"))
        audit_log.note("login")
        identity.act_as(identity.CLI)
    assert tries("guess", 300).count(True) == 10
    now[0] += 61
    assert tries("olga", 300).count(True) == 10  # not 0: 290 refusals were no tries
    for _ in range(10):
        now[0] += 61
        tries("guess", 30)
    now[0] += 61
    assert tries("olga") == [False]  # the hour's 60 are used up by tries that were checked
    assert tries("otto") == [True]  # not for a user who logged in from there before
    now[0] += 3600
    assert tries("olga") == [True]
    for _ in range(10):  # whose tries are limited, too
        now[0] += 61
        tries("otto", 30)
    now[0] += 61
    assert tries("otto") == [False]
    assert tries("olga") == [True]


def test_one_password_makes_an_admin(password_app):
    client = password_app.test_client()
    page = client.get("/login")
    assert 'value="admin"' in page.text
    assert send(client, "admin", "open sesam").status_code == 401
    assert send(client, "root", "open sesame").status_code == 401
    assert send(client, "admin", "open sesame").status_code == 303
    assert client.get("/audit").status_code == 200
    assert "no password to change" in client.get("/password").text
    with connected():  # a user of that name takes its place, and ends what was begun
        users.create("admin", "its own password", "admin")
    assert client.get("/jobs").status_code == 303
    assert send(password_app.test_client(), "admin", "open sesame").status_code == 401
    assert send(password_app.test_client(), "admin", "its own password").status_code == 303


def test_a_token_opens_what_its_user_may_see_until_it_ends(app, people, log_in):
    secrets = {}
    with connected():
        for name, scope, owner in (
            ("reads", "read", "otto"),
            ("runs", "run", "otto"),
            ("looks", "run", "vera"),
        ):
            secrets[name] = tokens.create(name, scope=scope, user_id=people[owner])[1]

    def ask(name, path, method="GET", **more):
        headers = {"Authorization": f"Bearer {secrets[name]}"}
        return app.test_client().open(path, method=method, headers=headers, **more)

    def upload():
        return {"data": {"purpose": "batch", "file": (io.BytesIO(b"{}"), "in.jsonl")}}

    assert ask("runs", "/v1/files", "POST", **upload()).status_code == 200
    for name in ("reads", "looks"):  # a viewer's token does not run anything either
        answer = ask(name, "/v1/files", "POST", **upload())
        assert answer.status_code == 403
        assert answer.json["error"]["code"] == "forbidden"
        assert ask(name, "/v1/models").status_code == 200
    assert ask("reads", "/jobs").status_code == 200  # pages and downloads, too
    assert ask("runs", "/users").status_code == 403
    assert (
        app.test_client().get("/jobs", headers={"Authorization": "Bearer sb-x"}).status_code == 303
    )
    with connected():
        users.disable("otto")
    assert ask("runs", "/v1/models").status_code == ask("reads", "/v1/models").status_code == 401
    with connected():
        users.remove("vera")
        assert [token.name for token in tokens.listed()] == ["reads", "runs"]
    assert ask("looks", "/v1/models").status_code == 401


def test_hosts_are_checked(overrides):
    from simple_batch.auth.allowed_hosts import Hosts, bare

    assert [bare(host) for host in ("[::1]:80", "A.b:1", "a.b.", "::1")] == [
        "::1",
        "a.b",
        "a.b",
        "::1",
    ]
    own = Hosts("batch.example.com, .corp.example", "https://public.example/x")
    for name in ("batch.example.com:80", "a.corp.example", "corp.example", "public.example"):
        assert own.allows(name), name
    for name in ("evil.example", "xcorp.example", "192.0.2.1", "server", ""):
        assert not own.allows(name), name
    own.everywhere = True  # by its addresses, and by names that only this machine can have
    for name in ("192.0.2.1:7861", "[2001:db8::1]", "server:7861"):
        assert own.allows(name), name
    for name in ("evil.example", "192.0.2.1.evil.example", ""):
        assert not own.allows(name), name
    assert Hosts("*", "").allows("anything.example")


def test_proxies_are_believed_as_far_as_the_settings_say(overrides):
    forwarded = {
        "X-Forwarded-For": "203.0.113.9, 198.51.100.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "batch.example.com",
        "Referer": "https://batch.example.com/login",  # the Referer that forms need over TLS
    }
    received = []
    for hops in (0, 1):
        more = {"TRUSTED_PROXIES": hops, "ALLOWED_HOSTS": "batch.example.com"}
        app = create_app(**overrides, **more, PASSWORD="open sesame")
        try:
            client = app.test_client()
            page = client.get("/login", headers=forwarded)
            fields = {"csrf_token": form_token(page), "name": "admin", "password": "no"}
            entered = client.post("/login", data=fields, headers=forwarded)
            with connected():
                failed = Audit.select().where(Audit.action == "login.failed")
                received.append(
                    (failed.order_by(Audit.id.desc()).get().address, entered.status_code)
                )
            assert ("Secure" in page.headers["Set-Cookie"]) == bool(hops)
        finally:
            app.extensions["simple_batch"].close()
    assert received == [("127.0.0.1", 401), ("198.51.100.7", 401)]
