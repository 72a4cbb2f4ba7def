"""Malformed values are refused at every rule of the URL map, in every place."""

import contextlib
import io
import logging
import re
import socket

import pytest
import requests

from simple_batch.auth import tokens
from simple_batch.intake import Template
from simple_batch.services import batch_files, templates, uploads, webhooks
from simple_batch.store.database import connected
from simple_batch.web import middleware

from ..process import gunicorn, served
from . import hostile

FEW = ("", "9" * 30, "nan", "a\0b", "9999-12-31T23:59", "[" * 20_000)
JSONS = {"params", "parameters", "schema", "body", "metadata", "expires_after", "pasted"}
API = {"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"}
TYPES = ("", "x", "text/plain", "application/json", "application/json; charset=utf-77")
TYPES += (
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=b",
)
TYPES += (
    "application/x-www-form-urlencoded; charset=\xff",
    "multipart/form-data; boundary=" + "b" * 300,
)
BODIES = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"{",
    b"[1]",
    b'"a"',
    b"1e999999",
    b"null",
    b"%ff=%00&a",
    b"a" * 100_000,
    b'{"endpoint": "\\ud800"}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"--b\r\n",
    b"--b--\r\n",
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a\0b\xff.jsonl"\r\n\r\nx\r\n--b--\r\n',
    b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b\r\nContent-Type: \xff\r\n\r\n",
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n\0\r\n--b--\r\n',
    b"--b\r\n" * 2_000,
)
WITH_BODIES = {"/v1/files", "/v1/batches", "/jobs/new", "/jobs/new/<int:upload_id>", "/login"}
# whatever the Host is
ALWAYS = {name: value for name, value in middleware.HEADERS.items() if name != middleware.OPENER}
HEADERS = (
    {"Accept-Language": "zz;q=nan, *;q=-1," + "x," * 500},
    {"Cookie": "zone=../../etc; lang=\x00; session=a.b.c; =; x"},
    {"Cookie": "zone=" + "a" * 5_000},
    {"Authorization": "Bearer \xff\xfe"},
    {"Authorization": "Basic %%%"},
    {"Range": "bytes=9-1,-5,x"},
    {"If-Modified-Since": "Thu, 99 Foo 99999 99:99:99 GMT", "If-None-Match": '"\xff'},
    {"Host": "a b:99999"},
    {"Host": "[::1"},
    {"Content-Length": "-1"},
    {"Content-Length": "x"},
    {"Accept": "*;q=x/" + "," * 1_000, "Idempotency-Key": "\xff" * 300},
    {"X-Forwarded-For": "\xff", "X-Requested-With": "\0", "Origin": "null", "Referer": "\xff"},
)


class TracebackHandler(logging.Handler):
    """Records tracebacks in the log."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def emit(self, record):
        if record.exc_info:
            self.found.append(f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}")


@pytest.fixture
def tracebacks():
    kept = TracebackHandler()
    logging.getLogger().addHandler(kept)
    yield kept.found
    logging.getLogger().removeHandler(kept)


@pytest.fixture
def known(app, add_config, endpoint, make_job) -> dict:
    """One object of each kind, by the name that URL rules use for its id."""
    config = add_config(endpoint.base_url)
    job_id = make_job(3)
    with connected():
        table = uploads.stage(io.BytesIO(b"id,question\n1,a\n2,b\n"), "t.csv")
        plain = uploads.stage(
            io.BytesIO(b'{"messages":[{"role":"user","content":"a"}]}\n'), "q.jsonl"
        )
        version, _new = templates.save("t", Template(user="{{question}}"), "")
        file = batch_files.add(io.BytesIO(b"{}\n"), "b.jsonl", "batch")
        token, _secret = tokens.create("t", False, "run", None)
        hook, _secret = webhooks.create("http://127.0.0.1:9/x", None, False)
        tokens.revoke(token.id)
        tokens.remove(token.id)  # otherwise the Batch API requires one
        found = {"config_id": config.id, "job_id": job_id, "upload_id": table.id, "index": 0}
        found |= {
            "template_id": version.saved_id,
            "webhook_id": hook.id,
            "token_id": 1,
            "user_id": 1,
        }
        found |= {"file_id": f"file-{file.id}", "batch_id": f"batch_{job_id}", "name": "outcomes"}
        named = {
            "filename": "css/app.css",
            "part": "answer.txt",
            "model": "test",
            "provider": "custom",
            "rest": "x",
        }
        return {**found, **named, "plain": plain.id}


def token_of(client) -> str:
    page = client.get("/configs/new?form=full").text
    return re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)[1]


def rules(app, *methods: str):
    return [
        (rule, method)
        for rule in app.url_map.iter_rules()
        for method in sorted(rule.methods & set(methods))
    ]


def ending(one) -> tuple:
    """The order of routes: the Batch API first, while no token is needed, then those that change
    nothing."""
    rule, _method = one
    ends = {"delete", "discard", "remove_webhook", "bulk", "clean", "leave", "reset"}
    return rule.endpoint.rpartition(".")[2] in ends, not rule.rule.startswith("/v1"), rule.rule


def uploads_of(rule, known: dict) -> list[dict]:
    """The table, and an upload that is none, for addresses of an upload."""
    other = [{**known, "upload_id": known["plain"]}] if "upload_id" in rule.arguments else []
    return [known, *other]


def faults_of(answer, what, calm: int = 200) -> list:
    found = [] if answer.status_code in (calm, *range(500)) else [(answer.status_code, *what)]
    headers = answer.headers
    if any(headers.getlist(name) != [value] for name, value in ALWAYS.items()):
        policy = headers.get("Content-Security-Policy", "")
        if not policy.startswith("default-src 'none'"):  # of pictures
            found.append(("headers", *what))
    answer.close()
    return found


def test_malformed_addresses(app, client, known, tracebacks):
    app.config["PROPAGATE_EXCEPTIONS"] = False
    wrong, token = [], {"csrf_token": token_of(client)}
    for rule, method in rules(app, "GET", "POST", "DELETE", "PUT", "PATCH", "HEAD"):
        for path in hostile.paths(rule, known):
            answer = client.open(path, method=method, data=token if method != "GET" else None)
            wrong += faults_of(answer, (method, path[:200]))
    assert (wrong, tracebacks) == ([], [])


def test_malformed_queries(app, client, known, tracebacks, monkeypatch):
    app.config["PROPAGATE_EXCEPTIONS"] = False
    read, wrong = hostile.ReadParameters(monkeypatch), []
    for rule, method in rules(app, "GET"):
        path = hostile.path(rule, known)
        read.taken()
        calm = client.open(path).status_code  # /readyz is 503 where nothing runs jobs
        names = read.taken() if rule.endpoint == "jobs_list.index" else read.taken() - {"lang"}
        variables = [(name, "1") for name in rule.arguments]
        asked = [*hostile.queries(names, path), *(f"{n}={v}" for n, v in variables)]
        for query in asked:
            answer = client.open(f"{path}?{query}", method=method)
            wrong += faults_of(answer, (method, path, query[:200]), calm)
    assert (wrong, tracebacks) == ([], [])


def test_malformed_forms(app, client, known, tracebacks, monkeypatch):
    app.config["PROPAGATE_EXCEPTIONS"] = False
    read, wrong, shown = hostile.ReadParameters(monkeypatch), [], {}
    for rule, _method in rules(app, "GET"):
        for values in uploads_of(rule, known):
            path = hostile.path(rule, values)
            answer = client.get(path)
            if answer.mimetype == "text/html":
                shown |= hostile.Forms(path, answer.text).found
    token = {"csrf_token": token_of(client)}
    for rule, method in sorted(rules(app, "POST", "PUT", "PATCH", "DELETE"), key=ending):
        for values in uploads_of(rule, known):
            path = hostile.path(rule, values)
            usual = {**shown.get(path, {}), **token}
            read.taken()
            client.open(path, method=method, data=usual)
            for name in hostile.fields(read.taken() | usual.keys() - {"csrf_token"}, path):
                values = (*FEW, *(hostile.NESTED if name in JSONS else ()))
                for value in hostile.some(values, path + name):
                    answer = client.open(path, method=method, data={**usual, name: value})
                    wrong += faults_of(answer, (method, path, name, value[:40]))
    assert (wrong, tracebacks) == ([], [])


def test_malformed_bodies(app, client, known, tracebacks):
    app.config["PROPAGATE_EXCEPTIONS"] = False
    wrong, token = [], token_of(client)
    for rule, method in sorted(rules(app, "POST", "PUT", "PATCH", "DELETE"), key=ending):
        path = hostile.path(rule, known)
        for kind in TYPES:
            bodies = BODIES if rule.rule in WITH_BODIES else BODIES[:3]
            for body in hostile.some(bodies, path + kind):
                sent = {"method": method, "data": body, "content_type": kind}
                answer = client.open(path, headers={"X-CSRFToken": token}, **sent)
                wrong += faults_of(answer, (method, path, kind, body[:60]))
    assert (wrong, tracebacks) == ([], [])


def test_malformed_headers(app, client, known, tracebacks):
    app.config["PROPAGATE_EXCEPTIONS"] = False
    wrong = []
    for rule, method in rules(app, "GET"):
        path = hostile.path(rule, known)
        calm = client.open(path).status_code
        for headers in hostile.some(HEADERS, path):
            answer = client.open(path, method=method, headers=headers)
            wrong += faults_of(answer, (method, path, headers), calm)
    assert (wrong, tracebacks) == ([], [])


def test_malformed_json_of_the_batch_api(client, known, tracebacks):
    """Errors have OpenAI's format in every case."""
    usual = {"input_file_id": known["file_id"], "endpoint": "/v1/chat/completions"}
    usual |= {"completion_window": "24h", "metadata": {"a": "b"}}
    wrong = [
        None,
        True,
        1,
        -1,
        2**70,
        1.5,
        "",
        "\0",
        "\ud800",
        "x" * 70_000,
        [],
        {},
        [[]],
        {"a": [1]},
    ]
    wrong += [{"anchor": "created_at", "seconds": n} for n in (2**70, -1, 1e308, "x", None, [])]
    for name in API:
        for value in wrong:
            answer = client.post("/v1/batches", json={**usual, name: value})
            assert answer.status_code < 500, (name, value)
            if answer.status_code >= 400:
                error = answer.json["error"]
                assert error.keys() == {"message", "type", "param", "code"}, (name, value)
                assert error["message"]
    for path in ("/v1/batches?limit=" + "9" * 5000, "/v1/files?after=%00", "/v1/files/%00"):
        answer = client.get(path)
        assert answer.status_code in (400, 404), path
        assert answer.json["error"].keys() == {"message", "type", "param", "code"}
    assert tracebacks == []


RAW = (
    b"GET /jobs/%ff%00 HTTP/1.1\r\n",
    b"GET /jobs/1\x00\xff HTTP/1.1\r\n",
    b"GET /jobs?\xff\xfe=\x80 HTTP/1.1\r\n",
    b"GET http://[::1/jobs HTTP/1.1\r\n",
    b"GET /jobs/" + b"9" * 20_000 + b" HTTP/1.1\r\n",
    b"GET / HTTP/9.9\r\n",
    b"G\xffT / HTTP/1.1\r\n",
    b"\x00\x01\x02\x03\r\n",
    b"GET\r\n",
    b"POST /login HTTP/1.1\r\nContent-Length: -5\r\n",
    b"POST /login HTTP/1.1\r\nContent-Length: 5x\r\n",
    b"POST /login HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /jobs HTTP/1.1\r\nBad Header\r\n",
    b"GET /jobs HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n",
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\n",
)


@pytest.mark.parametrize("serve", [served, gunicorn])
def test_malformed_bytes_to_a_real_server(instance, serve):
    server = serve(instance)
    try:
        for line in RAW:
            head = head_of_answer(server.port, line)
            if not head and len(line) > 8_190:
                continue  # closed with the rest unread: TCP may then drop the answer
            assert re.match(r"HTTP/1\.1 [234]\d\d ", head), (line[:60], head[:200])
            for name, value in ALWAYS.items():
                assert f"{name}: {value}" in head, (line[:60], name)
        assert requests.get(f"{server.url}/healthz", timeout=60).status_code == 200
        assert not [text for text in server.lines if "Traceback" in text]
    finally:
        server.stop()


def head_of_answer(port: int, line: bytes) -> str:
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sent:
        sent.sendall(line + b"Host: 127.0.0.1\r\nConnection: close\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            while b"\r\n\r\n" not in received and (block := sent.recv(65_536)):
                received += block
    return received.partition(b"\r\n\r\n")[0].decode("latin-1")
