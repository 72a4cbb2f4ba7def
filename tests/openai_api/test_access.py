"""Access to the Batch API, and what each caller sees."""

import openai
import pytest
import requests

from simple_batch.auth import tokens, users
from simple_batch.store.database import connected
from simple_batch.store.models import Job, Token

from .. import endpoint as e
from .. import postgres
from ..endpoint import MisbehavingEndpoint
from ..process import flask
from .conftest import CHAT, client_of, jsonl, line, submit


@pytest.fixture
def make_token(app):
    def make(name: str, **more) -> str:
        with connected():
            return tokens.create(name, **more)[1]

    return make


def refused_body(answer) -> dict:
    assert answer.status_code == 401, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    return error


def test_without_a_token_loopback_clients_alone_are_let_in(server):
    url = f"{server.url}/v1/models"
    assert requests.get(url).status_code == 200
    assert requests.get(url, headers={"Authorization": "Bearer anything"}).status_code == 200
    assert requests.get(url, headers={"Host": "localhost:1"}).status_code == 200
    for forged in (
        {"X-Forwarded-For": "127.0.0.1"},  # a client behind a proxy is not on this machine
        {"Forwarded": "for=127.0.0.1"},
        {"Origin": "http://evil.example"},  # a page in this machine's browser
    ):
        assert "create-token" in refused_body(requests.get(url, headers=forged))["message"]
    # the same by a name that points here
    rebound = requests.get(url, headers={"Host": "evil.example"})
    assert rebound.status_code == 403
    assert "ALLOWED_HOSTS" in rebound.json()["error"]["message"]


def test_the_test_client_of_another_machine_is_refused(client_app):
    answer = client_app.get("/v1/models", environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert answer.status_code == 401
    mapped = client_app.get("/v1/models", environ_base={"REMOTE_ADDR": "::ffff:127.0.0.1"})
    assert mapped.status_code == 200


@pytest.fixture
def client_app(app):
    return app.test_client()


def test_once_there_is_a_token_requests_need_one(server, make_token):
    secret = make_token("one")
    url = f"{server.url}/v1/models"
    assert refused_body(requests.get(url))["code"] is None
    wrong = requests.get(url, headers={"Authorization": f"Bearer {secret}x"})
    assert refused_body(wrong)["code"] == "invalid_api_key"
    assert refused_body(requests.get(url, headers={"Authorization": f"Basic {secret}"}))
    assert requests.get(url, headers={"Authorization": f"bearer {secret}"}).status_code == 200
    for path in ("/v1/files", "/v1/batches", "/v1/files/file-1", "/v1/nothing"):
        refused_body(requests.get(server.url + path))
    with connected():
        assert Token.get(Token.name == "one").last_used_at is not None
        tokens.revoke("one")
    after = requests.get(url, headers={"Authorization": f"Bearer {secret}"})
    assert refused_body(after)["code"] == "invalid_api_key"
    refused_body(requests.get(url))  # the last one revoked opens nothing


def test_each_sees_its_own_and_the_owner_all(server, make_token, add_config, make_job):
    first, second = client_of(server, make_token("first")), client_of(server, make_token("second"))
    owner = client_of(server, make_token("owner", sees_all=True))
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url)
        mine, theirs = submit(first, [line("a")]), submit(second, [line("b")])
        make_job(1)
        for client, batch in ((first, mine), (second, theirs)):
            assert [found.id for found in client.batches.list()] == [batch.id]
        assert [found.id for found in owner.batches.list()] == ["batch_3", theirs.id, mine.id]
        for call in (
            lambda: first.batches.retrieve(theirs.id),
            lambda: first.batches.cancel(theirs.id),
            lambda: first.files.retrieve(theirs.input_file_id),
            lambda: first.files.content(theirs.input_file_id),
            lambda: first.files.delete(theirs.input_file_id),
        ):
            with pytest.raises(openai.NotFoundError):
                call()
        with pytest.raises(openai.BadRequestError, match="No such File"):
            first.batches.create(
                input_file_id=theirs.input_file_id, endpoint=CHAT, completion_window="24h"
            )
        assert mine.input_file_id not in {file.id for file in second.files.list()}
        assert owner.files.content(theirs.input_file_id).text == jsonl([line("b")]).read().decode()
        # an idempotency key is its token's own
        key = {"Idempotency-Key": "same"}
        made = {
            client.files.create(file=jsonl([line("x")]), purpose="batch", extra_headers=key).id
            for client in (first, second)
        }
        assert len(made) == 2


def test_tokens_and_webhooks_by_command(instance, app):
    made = flask(instance, "create-token", "nightly")
    secret = made.stdout.strip()
    assert made.returncode == 0
    assert secret.startswith("sb-")
    assert secret not in made.stderr
    listed = flask(instance, "list-tokens")
    assert "nightly" in listed.stdout
    assert secret not in listed.stdout
    assert secret.encode() not in postgres.kept(instance)
    assert flask(instance, "create-token", "nightly").returncode == 2
    hook = flask(instance, "create-webhook", "https://example.com/h", "--token", "nightly")
    assert hook.stdout.startswith("whsec_")
    assert flask(instance, "create-webhook", "ftp://x").returncode == 2
    assert "https://example.com/h" in flask(instance, "list-webhooks").stdout
    assert flask(instance, "remove-webhook", "1").returncode == 0
    assert flask(instance, "remove-webhook", "1").returncode == 1
    assert flask(instance, "revoke-token", "nobody").returncode == 1
    assert flask(instance, "revoke-token", "nightly", "--remove").returncode == 0
    assert flask(instance, "list-tokens", "--json").stdout.strip() == "[]"


def test_unknown_addresses_are_reported_in_openais_form(server):
    for method, path in (("get", "/v1/"), ("post", "/v1/chat/completions")):
        answer = requests.request(method, server.url + path)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "unknown_url"
        assert answer.headers["x-should-retry"] == "false"
    for body in (b"", b"[]", b"{broken", b"\xff"):
        answer = requests.post(f"{server.url}/v1/batches", data=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


def test_tokens_of_users_do_what_their_scope_and_their_user_allow(
    server, people, make_token, add_config
):
    def client(name: str, owner: str, **more) -> openai.OpenAI:
        return client_of(server, make_token(name, user_id=people[owner], **more))

    runs, reads = client("runs", "otto"), client("reads", "otto", scope="read", sees_all=True)
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url)
        with pytest.raises(openai.AuthenticationError):  # a login is required: no token, no entry
            client_of(server).models.list()
        batch = submit(runs, [line("a")])
        with connected():
            assert Job.get().user.name == "otto"
        assert [found.id for found in reads.batches.list()] == [batch.id]
        for refused in (
            lambda: submit(reads, [line("b")]),
            lambda: reads.batches.cancel(batch.id),
            lambda: reads.files.delete(batch.input_file_id),
            lambda: submit(client("looks", "vera"), [line("b")]),
        ):
            with pytest.raises(openai.PermissionDeniedError, match="may only read"):
                refused()
        assert list(client("olgas", "olga", sees_all=True).batches.list()) == []
        assert [b.id for b in client("annas", "anna", sees_all=True).batches.list()] == [batch.id]
        with connected():
            users.disable("otto")
        with pytest.raises(openai.AuthenticationError):
            runs.batches.retrieve(batch.id)
