"""Which jobs, uploads, files and tokens each user sees; the audit log."""

import io
import json

import pytest

from simple_batch import insight
from simple_batch.auth import audit_log, tokens, users
from simple_batch.core import identity
from simple_batch.core.clock import now_ms
from simple_batch.core.identity import Actor
from simple_batch.services import jobs, webhooks
from simple_batch.store.database import connected
from simple_batch.store.models import Audit, Delivery, Job, Upload

from ..conftest import PASSWORDS
from ..process import flask
from .conftest import post, send
from .test_guard import served

LINE = json.dumps({"messages": [{"role": "user", "content": "hi"}]})
TABLE = b"question\nwhy?\n"


@pytest.fixture
def made(app, people, add_config, endpoint, make_job):
    """A job of Otto's, and one without an owner; their ids."""
    add_config(endpoint.base_url)
    with connected():
        identity.act_as(Actor("otto", user=people["otto"]))
        ottos = make_job(1, name="job of otto")
        identity.act_as(identity.CLI)
        return ottos, make_job(2, name="job of nobody")


def test_another_operators_job_is_private(app, made, log_in):
    ottos, nobodys = made
    otto, olga = log_in("otto"), log_in("olga")
    asked = 0
    for rule, method, path in served(app):
        if "job_id" not in rule.arguments:
            continue
        path = path.replace("/jobs/1", f"/jobs/{ottos}", 1)
        answer = olga.open(path, method=method) if method == "GET" else post(olga, path)
        assert answer.status_code == 403, (method, path, answer.status_code)
        assert "This job belongs to otto. Ask otto to share it." in answer.text
        assert "job of otto" not in answer.text
        asked += 1
    assert asked >= 20
    with connected():
        assert jobs.get(ottos).name == "job of otto"
    for address in (f"/jobs/{ottos}", f"/jobs/{ottos}/charts.json", f"/jobs/{ottos}/export"):
        for name in ("otto", "anna", "vera"):
            assert log_in(name).get(address).status_code == 200, (name, address)
    refused = otto.get(f"/jobs/{nobodys}")
    assert (refused.status_code, "Ask an admin to share it." in refused.text) == (403, True)
    assert otto.get(f"/jobs/{nobodys + 100}").status_code == 404
    for client, seen in ((otto, [ottos]), (olga, []), (log_in("vera"), [ottos, nobodys])):
        for address in ("/jobs", "/jobs?q=job+of", "/jobs?sort=name", "/compare"):
            text = client.get(address).text
            for job_id, name in ((ottos, "job of otto"), (nobodys, "job of nobody")):
                assert (name in text) == (job_id in seen), (address, name)
    pages = (f"/compare?a={ottos}&b={ottos}", f"/jobs/new?clone={ottos}")
    assert olga.get(f"/jobs/new/1?clone={ottos}").status_code == 404  # an upload is never shared
    for address in pages:
        assert olga.get(address).status_code == 403, address
    assert otto.get(pages[0]).status_code == 200
    # bulk actions say whom to ask
    post(olga, "/jobs/bulk", action="delete", job=[ottos, nobodys])
    assert "This job belongs to otto. Ask otto to share it." in olga.get("/jobs").text
    with connected():
        assert Job.select().where(Job.deleted_at.is_null()).count() == 2


def test_the_creator_owns_a_job(app, people, made, log_in):
    otto, olga = log_in("otto"), log_in("olga")
    given = {"file": (io.BytesIO(TABLE), "t.csv")}
    step = post(otto, "/jobs/new", **given).headers["Location"]
    upload = step.removesuffix("/workbench")
    for path in (step, upload, f"{upload}/template"):
        assert otto.get(path, follow_redirects=True).status_code == 200
        assert olga.get(path).status_code == 404
    assert post(olga, f"{upload}/discard").status_code == 404
    upload = post(otto, "/jobs/new", pasted=LINE).headers["Location"]
    launched = post(
        otto, upload.removesuffix("/workbench"), config="1", name="mine", max_retries="1", hold="1"
    )
    job_id = int(launched.headers["Location"].rsplit("/", 1)[1])
    with connected():
        assert jobs.get(job_id).user.name == "otto"
        assert insight.events(job_id)[-1]["actor"] == "otto"
        users.remove("otto")
        assert jobs.get(job_id).user is None
        assert Upload.select().where(Upload.user == people["otto"]).count() == 0
    assert otto.get(f"/jobs/{job_id}").status_code == 303
    assert log_in("anna").get(f"/jobs/{job_id}").status_code == 200


def test_api_configs_are_the_admins_and_used_by_operators(made, log_in):
    ottos, _nobodys = made
    anna, otto = log_in("anna"), log_in("otto")
    assert "••••6789" in anna.get("/configs").text
    for text in (otto.get("/configs").text, log_in("vera").get("/configs").text):
        assert "test" in text
        assert "6789" not in text
        assert "/configs/1" not in text
    assert "data-spent" not in otto.get("/configs").text
    settings = f"/jobs/{ottos}/settings"
    assert 'name="rpm"' in anna.get(settings).text
    assert 'name="rpm"' not in otto.get(settings).text
    fields = {"name": "renamed", "max_retries": "2", "priority": "0"}
    assert post(otto, settings, **fields, rpm="7").status_code == 303
    with connected():
        job = jobs.get(ottos)
        assert (job.name, job.max_retries, job.config.rpm) == ("renamed", 2, None)
    assert post(anna, settings, **fields, rpm="7").status_code == 303
    with connected():
        assert jobs.get(ottos).config.rpm == 7


def test_tokens_are_ones_own_and_their_batches_too(app, people, made, log_in):
    otto, olga = log_in("otto"), log_in("olga")
    assert post(otto, "/access/tokens", name="ottos", scope="run").status_code == 200
    assert post(otto, "/access/tokens", name="x", scope="admin").status_code == 400
    with connected():
        token = tokens.get("ottos")
        assert token.user_id == people["otto"]
        all_of_ottos = tokens.create("o", sees_all=True, user_id=people["otto"])[1]
        all_of_annas = tokens.create("a", sees_all=True, user_id=people["anna"])[1]
        own = tokens.create("own", user_id=people["olga"])[1]
    assert "ottos" in log_in("anna").get("/access").text
    assert "ottos" not in olga.get("/access").text
    for action in ("revoke", "remove"):
        assert post(olga, f"/access/tokens/{token.id}/{action}").status_code == 404
    assert "Webhooks" not in olga.get("/access").text

    def batches(secret):
        answer = app.test_client().get("/v1/batches", headers={"Authorization": f"Bearer {secret}"})
        return [batch["id"] for batch in answer.json["data"]]

    assert batches(all_of_ottos) == ["batch_1"]
    assert batches(all_of_annas) == ["batch_2", "batch_1"]
    assert batches(own) == []
    headers = {"Authorization": f"Bearer {own}"}
    assert app.test_client().get("/jobs/1/export", headers=headers).status_code == 404
    headers = {"Authorization": f"Bearer {all_of_ottos}"}
    assert app.test_client().get("/jobs/1/export", headers=headers).status_code == 200


def test_a_webhooks_address_is_shown_to_admins_alone(made, log_in):
    """The path may contain a secret."""
    ottos, _nobodys = made
    with connected():
        hook = webhooks.create("https://hooks.example/planted-path")[0]
        Delivery.create(
            job=ottos, webhook=hook, type="batch.completed", event_id="evt_1", attempts=1,
            created_at=now_ms(), last_at=now_ms(),
        )  # fmt: skip
    for name, whole in (("otto", False), ("vera", False), ("anna", True)):
        text = log_in(name).get(f"/jobs/{ottos}/events").text
        assert "hooks.example" in text
        assert ("planted-path" in text) == whole, name


def test_the_audit_log_says_who_did_what_and_no_secret(app, instance, people, made, log_in):
    ottos, _nobodys = made
    otto, anna = log_in("otto"), log_in("anna")
    secret = "sk-planted-in-the-name-field"
    assert send(app.test_client(), secret, "x").status_code == 401
    assert send(app.test_client(), "otto", secret).status_code == 401
    post(otto, f"/jobs/{ottos}/pause")
    post(otto, f"/jobs/{ottos}/resume")
    otto.get(f"/jobs/{ottos}/export?format=csv")
    post(otto, f"/jobs/{ottos}/cancel")
    post(otto, f"/jobs/{ottos}/delete")
    fields = {"alias": "two", "base_url": "http://127.0.0.1:9/v1", "model": "m", "timeout_s": "5"}
    post(anna, "/configs/new", **fields, key="sk-planted-9876543210", currency="USD")
    post(anna, "/access/webhooks", url="https://hooks.example/planted-path", token="0")
    post(anna, "/users", name="new", role="viewer", password="planted password")
    post(anna, f"/users/{people['vera']}/role", role="operator")
    post(otto, "/logout")
    with connected():
        found = [(e.actor, e.action, e.object) for e in Audit.select().order_by(Audit.id)]
        addresses = {e.address for e in Audit.select().where(Audit.actor == "otto")}
    job = f"job {ottos}"
    for entry in (
        ("cli", "user.create", "user otto"),
        ("otto", "login", ""),
        ("?", "login.failed", ""),
        ("otto", "login.failed", ""),
        *(("otto", f"job.{done}", job) for done in ("create", "pause", "resume", "cancel")),
        *(("otto", f"job.{done}", job) for done in ("export", "delete")),
        ("anna", "config.create", "config two"),
        ("anna", "webhook.create", "webhook 1"),
        ("anna", "user.create", "user new"),
        ("anna", "user.role", "user vera"),
        ("otto", "logout", ""),
    ):
        assert entry in found, entry
    assert "127.0.0.1" in addresses
    with connected():
        kept = repr(list(Audit.select().tuples()))
    assert "planted" not in kept
    for password in PASSWORDS.values():
        assert password not in kept

    def shown(query: str = "") -> str:
        return anna.get(f"/audit{query}").text.partition("<tbody>")[2]

    assert "Job deleted" in shown()
    assert "Job deleted" not in shown("?actor=anna")
    assert "Job paused" in shown("?action=job&q=job+1&days=1")
    assert "Job paused" not in shown("?action=user")
    assert "viewer → operator" in shown("?action=user.role")
    assert "csv, all" in shown("?action=job.export&q=csv")
    chinese = {"Accept-Language": "zh"}
    assert "查看者 → 操作者" in anna.get("/audit?action=user.role", headers=chinese).text
    assert "No entry matches" in anna.get("/audit?actor=nobody").text
    with connected():
        for n in range(150):
            audit_log.note("job.pause", f"job {n}")
        assert insight.audit_page(page=2).pages == 2
    assert 'rel="next"' in anna.get("/audit").text
    done = flask(instance, "audit-log", "--action", "job.delete", "--json")
    reply = json.loads(done.stdout)
    roles = json.loads(flask(instance, "audit-log", "--action", "user.role", "--json").stdout)
    assert roles[0]["detail"] == "viewer → operator"
    assert [(e["actor"], e["object"], e["address"]) for e in reply] == [("otto", job, "127.0.0.1")]
    assert flask(instance, "audit-log", "--action", "nothing").returncode == 2
    assert len(flask(instance, "audit-log", "--limit", "3").stdout.splitlines()) == 4
    with connected():
        Audit.update(at=now_ms() - 366 * 86_400_000).where(Audit.actor == "otto").execute()
        audit_log.forget_old()
        assert not Audit.select().where(Audit.actor == "otto").exists()
        assert Audit.select().where(Audit.actor == "anna").exists()


def test_users_by_command(instance, app):
    made = flask(
        instance,
        "create-user",
        "Anna",
        "--role",
        "admin",
        "--password-stdin",
        stdin="a secret one\n",
    )
    assert made.returncode == 0, made.stderr
    assert "everyone must log in" in made.stderr
    assert made.stdout == ""
    for wrong in (
        ("anna", "--password-stdin"),  # there is one
        ("cli", "--password-stdin"),  # names that the audit log uses
        ("a b", "--password-stdin"),
    ):
        assert flask(instance, "create-user", *wrong, stdin="a secret one\n").returncode == 2, wrong
    short = flask(instance, "create-user", "bob", "--password-stdin", stdin="short\n")
    assert (short.returncode, "8" in short.stderr) == (2, True)
    assert flask(instance, "create-user", "bob").returncode == 2  # no terminal to ask
    assert flask(instance, "create-user", "bob", "--password", "x").returncode == 2
    assert (
        flask(instance, "create-user", "bob", "--password-stdin", stdin="of bob ...\n").returncode
        == 0
    )
    listed = json.loads(flask(instance, "list-users", "--json").stdout)
    assert [(user["name"], user["role"]) for user in listed] == [
        ("anna", "admin"),
        ("bob", "operator"),
    ]
    assert "argon2" not in flask(instance, "list-users").stdout
    assert send(app.test_client(), "anna", "a secret one").status_code == 303
    assert (
        flask(
            instance, "set-password", "anna", "--password-stdin", stdin="another one\n"
        ).returncode
        == 0
    )
    assert send(app.test_client(), "anna", "a secret one").status_code == 401
    assert send(app.test_client(), "anna", "another one").status_code == 303
    for last in (("set-role", "anna", "viewer"), ("disable-user", "anna"), ("remove-user", "anna")):
        refused = flask(instance, *last)
        assert (refused.returncode, "only admin" in refused.stderr) == (1, True), last
    token = flask(instance, "create-token", "t", "--user", "bob", "--scope", "read")
    assert token.returncode == 0, token.stderr
    shown = json.loads(flask(instance, "list-tokens", "--json").stdout)[0]
    assert (shown["user"], shown["scope"]) == ("bob", "read")
    for done in (("disable-user", "bob"), ("enable-user", "bob"), ("set-role", "bob", "admin")):
        assert flask(instance, *done).returncode == 0, done
    assert flask(instance, "remove-user", "anna").returncode == 0
    gone = flask(instance, "remove-user", "bob")
    assert (gone.returncode, "That was the last user" in gone.stderr) == (0, True)
    assert flask(instance, "list-tokens", "--json").stdout.strip() == "[]"
    assert flask(instance, "remove-user", "bob").returncode == 1


def test_a_job_that_was_refused_is_not_noted_as_made(instance, add_config):
    """SQLite gives its id to the next job."""
    add_config("http://127.0.0.1:9/v1")
    (instance / "wrong.jsonl").write_text('{"messages": 7}\n')
    (instance / "right.jsonl").write_text('{"messages": [{"role": "user", "content": "q"}]}\n')
    for name in ("wrong", "right"):
        flask(instance, "create-job", str(instance / f"{name}.jsonl"), "--config", "test")
    with connected():
        found = [(e.object, e.detail) for e in Audit.select().where(Audit.action == "job.create")]
        made = Job.get().id
    assert found == [(f"job {made}", "right")]


def test_operators_see_and_restore_their_own_alone(app, log_in, people, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    mine, other = make_job(1, hold=True, name="otto's"), make_job(1, hold=True, name="olga's")
    with connected():
        Job.update(user=people["otto"]).where(Job.id == mine).execute()
        Job.update(user=people["olga"]).where(Job.id == other).execute()
        jobs.delete(mine)
        jobs.delete(other)
    otto, vera = log_in("otto"), log_in("vera")
    page = otto.get("/jobs/bin").text
    assert "otto&#39;s" in page
    assert "olga&#39;s" not in page
    assert "olga&#39;s" in vera.get("/jobs/bin").text
    assert "Restore" not in vera.get("/jobs/bin").text
    post(otto, "/jobs/bin", action="restore", job=[mine, other])
    assert f"There is no job {other}." in otto.get("/jobs/bin").text
    assert f"There is no job {other}." in otto.get(f"/jobs/{other}").text  # not even that it was
    with connected():
        jobs.delete(mine)
    post(otto, "/jobs/bin", action="empty")
    with connected():
        assert [job.id for job in Job.select()] == [other]
