"""Secrets are planted in every input of the program, and every function is used with an endpoint
and a mail server that quote them back in every notation. No byte that the program writes or sends
elsewhere may contain one."""

import base64
import io
import json
import logging
import re
import subprocess
import sys
import zipfile
from html import escape
from pathlib import Path
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

import gevent
import pyarrow.parquet
import pytest
import requests
import socketio
from gevent.server import StreamServer

from simple_batch.core import log, redaction, settings

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..process import ROOT, environment, flask, run_py

# What a secret is recognised by has only letters: no way of writing it down changes them.
PLANTED = {
    "config key": 'PLANTEDconfig/+key=&<7">\\e3',
    "gateway secret": 'PLANTEDgateway/+id=&<7">e3',
    "smtp password": "PLANTEDsmtp/+pw=&<7'>",
    "session key": "PLANTEDsession/0123456789abcdef",
}
KEY, GATEWAY, PASSWORD, SESSION = PLANTED.values()


def stems(secret: str) -> set[bytes]:
    """Parts that every copy of the secret contains: as text, wide, hexadecimal and in base64."""
    stem = max(re.findall(r"[A-Za-z0-9-]+", secret), key=len).encode()
    assert len(stem) >= 6, secret
    found = {stem, stem.decode().encode("utf-16-le"), stem.hex().encode(), stem[::-1]}
    for offset in range(3):
        digits = base64.b64encode(b"x" * offset + stem)
        found.add(digits[-(-offset * 8 // 6) : (offset + len(stem)) * 8 // 6])
    return found


def quoted(secret: str) -> str:
    """A secret in a sentence, as an error message quotes it."""
    ways = (str, quote, quote_plus, escape, lambda s: quote(s, safe=""), lambda s: s.encode().hex())
    coded = [base64.b64encode((" " * n + secret).encode()).decode() for n in range(3)]
    web = [base64.urlsafe_b64encode((":" * n + secret).encode()).decode() for n in range(3)]
    return " ".join([*(way(secret) for way in ways), *coded, *web])


class EchoingEndpoint(MisbehavingEndpoint):
    """Answers every second call well, and the others with the key, or the secret of a header, in every
    place."""

    def _next(self, head: str, body: dict):
        super()._next(head, body)
        sent = r"Authorization: Bearer (.*)" if self.calls % 4 < 2 else r"X-Gateway: (.*)"
        key = re.search(sent, head)
        return self._said(key[1].strip() if key else "", self.calls)

    def _said(self, key: str, call: int) -> bytes:
        echo = f"Incorrect API key provided: {quoted(key)}"
        details = {"headers": {"Authorization": f"Bearer {key}"}, "debug": [quoted(key)]}
        reply = {"error": {"message": echo, "type": quoted(key), "code": key, **details}}
        heads = (f"X-Echo: {key}", f"Set-Cookie: key={key}", f"Retry-After: {key}")
        words = {"role": "assistant", "content": f"I was sent {key} and {json.dumps(key)}"}
        good = {**e.GOOD, "model": f"m {key}", "choices": [{"index": 0, "message": words}]}
        bad = [
            e.http(400, reply, *heads),
            e.http(422, json.dumps(reply).replace("/", "\\/").encode(), *heads),
            e.http(500, f"<html><p>{echo}</p></html>".encode(), *heads, kind="text/html"),
            e.http(503, ("x" * 1_990 + echo).encode(), *heads, kind="text/plain"),
            e.http(200, reply, *heads),
            e.http(200, f"no JSON: {key}".encode(), *heads, kind=key),
            e.http(200, e.GOOD, f"Content-Encoding: {'x' * 30}{key}"),
            f"HTTP/1.1 {key}\r\n{key}\r\n\r\n".encode(),
            b"HTTP/1.1 200 OK\r\nContent-Length: " + key.encode() + b"\r\n\r\n",
            e.http(302, echo.encode(), f"Location: http://127.0.0.1:1/?key={quote(key)}"),
            e.http(429, reply, *heads, f"x-ratelimit-reset-requests: {key}"),
        ]
        return e.http(200, good, *heads) if call % 2 else bad[call // 2 % len(bad)]


class EchoingMail:
    """A mail server that refuses every login and quotes it."""

    def __init__(self):
        self.seen = b""
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.port = self._server.server_port

    def close(self):
        self._server.stop(timeout=0.1)

    def _serve(self, connection, _address):
        lines = connection.makefile("rwb", 0)
        lines.write(b"220 mail\r\n")
        for line in lines:
            self.seen += line
            if line.upper().startswith(b"EHLO"):
                lines.write(b"250-mail\r\n250 AUTH PLAIN\r\n")
            elif line.upper().startswith(b"QUIT"):
                return
            else:
                lines.write(f"535 {quoted(PASSWORD)} {line.decode().strip()}\r\n".encode())


class Collected:
    """Every byte that was seen, and where."""

    def __init__(self):
        self.found: list[tuple[str, bytes]] = []

    def add(self, place: str, data: bytes | str) -> None:
        self.found.append((place, data.encode() if isinstance(data, str) else data))

    def answer(self, answer: requests.Response) -> requests.Response:
        place = f"{answer.request.method} {answer.url}"
        self.add(f"headers of {place}", repr(dict(answer.headers)))
        self.add(place, answer.content)
        if answer.content[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
                for name in archive.namelist():
                    self.add(f"{name} of {place}", archive.read(name))
        if answer.content[:4] == b"PAR1":
            table = pyarrow.parquet.read_table(io.BytesIO(answer.content))
            self.add(f"rows of {place}", repr(table.schema) + repr(table.to_pylist()))
        return answer

    def files(self, folder: Path) -> None:
        for path in folder.rglob("*"):
            if path.is_file() and path.name != "encryption.key":
                self.add(str(path), path.read_bytes())

    def holding(self, secrets: dict[str, str]) -> list[tuple]:
        return [
            (name, place, data[max(0, at - 60) : at + 60])
            for name, secret in secrets.items()
            for stem in stems(secret)
            for place, data in self.found
            if (at := data.find(stem)) >= 0
        ]


class Visitor:
    """A browser without JavaScript that opens every link."""

    def __init__(self, url: str, collected: Collected):
        self.url = url
        self.collected = collected
        self.session = requests.Session()
        self.opened: set[str] = set()

    def get(self, path: str) -> requests.Response:
        return self.collected.answer(self.session.get(self.url + path, timeout=60))

    def post(self, path: str, **fields) -> requests.Response:
        page = self.session.get(f"{self.url}/configs/new?form=full").text
        fields["csrf_token"] = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)[1]
        answer = self.session.post(self.url + path, fields, timeout=60, allow_redirects=False)
        return self.collected.answer(answer)

    def finish(self, job: str) -> None:
        """Run a job to its end; it pauses when the endpoint seems to refuse everything."""

        def done() -> bool:
            status = self.get(f"/jobs/{job}/progress.json").json()["status"]
            if status == "paused":
                self.post(f"/jobs/{job}/resume")
            return status == "completed"

        wait_until(done, 60)

    def open_all(self, start: str, most: int) -> None:
        waiting = [start]
        while waiting:
            assert len(self.opened) < most
            path = waiting.pop(0)
            parts = urlsplit(path)
            asked = dict(parse_qsl(parts.query))
            kind = re.sub(r"\d+", "1", parts.path)  # one of each is enough
            shape = f"{kind} {sorted(asked)} {asked.get('format', '')}"
            if shape in self.opened or path.startswith("/static/"):
                continue
            self.opened.add(shape)
            answer = self.get(path)
            if "html" in answer.headers["Content-Type"]:
                links = re.findall(r'(?:href|hx-get)="([^"#]+)"', answer.text)
                here = urlsplit(path).path
                links = [here + link if link.startswith("?") else link for link in links]
                waiting += [link.replace("&amp;", "&") for link in links if link.startswith("/")]


@pytest.fixture
def echoing():
    with EchoingEndpoint(e.ok()) as endpoint:
        yield endpoint


def test_no_planted_secret_comes_out(instance, echoing, tmp_path):
    mail, seen = EchoingMail(), Collected()
    given = {
        "SIMPLE_BATCH_SECRET_KEY": SESSION,
        "GATEWAY": GATEWAY,
        "SIMPLE_BATCH_LOG_LEVEL": "DEBUG",
        "SIMPLE_BATCH_SMTP_HOST": "127.0.0.1",
        "SIMPLE_BATCH_SMTP_PORT": str(mail.port),
        "SIMPLE_BATCH_SMTP_SECURITY": "none",
        "SIMPLE_BATCH_SMTP_USER": "me",
        "SIMPLE_BATCH_SMTP_PASSWORD": PASSWORD,
    }

    def command(*args: str, stdin: str | None = None, exempt: bool = False) -> str:
        done = flask(instance, *args, stdin=stdin, **given)
        seen.add(" ".join(args), done.stderr + ("" if exempt else done.stdout))
        return done.stdout.strip()

    with MisbehavingEndpoint(e.http(200, b"")) as receiver:
        base = echoing.base_url
        config = ("add-config", "echo", "--base-url", base, "--model", "m", "--key-stdin")
        config += ("--secret-header", "X-Gateway=GATEWAY", "--secret-query", "code=GATEWAY")
        command(*config, "--input-price", "1", "--output-price", "1", stdin=f"{KEY}\n")
        webhook = command("create-webhook", receiver.base_url, exempt=True)
        token = command("create-token", "nightly", "--all", exempt=True)
        table = tmp_path / "table.csv"
        table.write_text("question\n" + "".join(f"why {n}?\n" for n in range(24)))
        (tmp_path / "template.json").write_text('{"user": "{{question}}"}')
        running = run_py(instance, **given)
        try:
            _drive(running, seen, command, base, table, token)
        finally:
            running.stop()
        wait_until(lambda: mail.seen and receiver.calls)
        seen.add("webhook", repr((receiver.heads, receiver.bodies)))
        seen.add("stdout and stderr", "\n".join(running.lines))
        # what a command that runs a job by itself does, at DEBUG
        table.write_text("question\nwhy?\nhow?\n")
        command(
            "run-job", str(table), "--template", str(tmp_path / "template.json"), "--config", "echo"
        )
        command("test-config", "echo")
        command("rotate-key")
        command("add-config", "echo", "--base-url", base, "--model", "m", "--key-stdin", stdin=KEY)
    mail.close()
    seen.files(instance)
    assert echoing.calls > 60
    heads = "".join(echoing.heads)  # they were called with the secrets
    assert KEY in heads
    assert f"X-Gateway: {GATEWAY}" in heads
    assert f"code={quote(GATEWAY, safe='')}" in heads
    assert len(seen.found) > 150
    keys = {
        f"key {n}": key for n, key in enumerate((instance / "encryption.key").read_text().split())
    }
    secrets = {**PLANTED, "webhook": webhook, "token": token, **keys}
    assert all(len(secret) > 20 for secret in secrets.values())
    assert seen.holding(secrets) == []
    assert "[key]" in b"".join(data for _, data in seen.found).decode("utf-8", "replace")


def _drive(running, seen: Collected, command, base: str, table: Path, token: str) -> None:
    """Use everything: pages, commands, the Batch API and the live feed."""
    template = str(table.with_name("template.json"))
    job = command(
        "create-job",
        str(table),
        "--template",
        template,
        "--config",
        "echo",
        "--name",
        "n",
        "--max-retries",
        "1",
        "--email",
        "a@example.org",
        "--no-start",
    )
    visitor = Visitor(running.url, seen)
    events, feed = [], socketio.Client()
    feed.on("*", lambda name, data: events.append((name, data)), namespace="/jobs")
    feed.connect(running.url, namespaces=["/jobs"], transports=["websocket"])
    try:
        for payload in ({"job_id": int(job), "tail": True}, {}):
            events.append(feed.call("subscribe", payload, namespace="/jobs"))
        visitor.finish(job)
        names = {"job.errors", "request.finished", "jobs.changed"}
        wait_until(lambda: names <= {event[0] for event in events if len(event) == 2})
    finally:
        feed.disconnect()
    seen.add("live feed", json.dumps(events))
    command("export-job", job, "-o", "-", "--format", "json")
    command("list-configs", "--json")
    fields = {"alias": "p", "base_url": base, "model": "m", "currency": "USD", "params": "{}"}
    for path in ("/configs/new", "/configs/1", "/configs/test", "/configs/models"):
        for key in (KEY, KEY + "\u00e9", KEY + "\r\nX: y"):
            visitor.post(path, **fields, key=key, timeout_s="wrong" if key == KEY else "5")
    for _ in range(4):
        visitor.post("/configs/test", **{**fields, "alias": "echo"}, key="", config_id="1")
        visitor.post("/configs/1/test")
    visitor.post(f"/jobs/{job}/requests/3/send", body='{"messages": []}')
    visitor.post(f"/jobs/{job}/retry", new_config="1")
    made = visitor.post("/access/webhooks", url="http://127.0.0.1:9/", token="0")
    seen.found.pop()  # its secret is in this answer, and nowhere else
    secret = re.search(r"whsec_[\w+/=]+", made.text.replace("&#43;", "+"))[0]
    lines = "".join(
        json.dumps(
            {
                "custom_id": str(n),
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": "echo", "messages": [{"role": "user", "content": "x"}]},
            }
        )
        + "\n"
        for n in range(6)
    )
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    upload = {"file": ("in.jsonl", lines), "purpose": (None, "batch")}
    file = seen.answer(session.post(f"{running.url}/v1/files", files=upload)).json()["id"]
    payload = {
        "input_file_id": file,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    batch = seen.answer(session.post(f"{running.url}/v1/batches", json=payload)).json()["id"]
    visitor.finish(batch.removeprefix("batch_"))
    listed = seen.answer(session.get(f"{running.url}/v1/files")).json()["data"]
    for path in (
        "batches",
        f"batches/{batch}",
        "models",
        *(f"files/{f['id']}/content" for f in listed),
    ):
        seen.answer(session.get(f"{running.url}/v1/{path}"))
    wrong = {"Authorization": f"Bearer {KEY}"}
    seen.answer(requests.get(f"{running.url}/v1/files", headers=wrong))
    visitor.open_all("/jobs", 400)
    visitor.get(f"/jobs/{job}/requests/1?lang=zh")
    visitor.get("/metrics")
    assert seen.holding({"webhook of the page": secret}) == []
    opened = " ".join(visitor.opened)
    for part in ("/requests/1", "/errors", " xlsx", " parquet", "/report", "/configs/1"):
        assert part in opened, part


def test_tracebacks_and_what_libraries_print_are_without_keys(tmp_path, capsys):
    secret = "PLANTEDtrace/+key=&<7>"
    redaction.remember(secret)
    loaded = settings.load(
        {}, INSTANCE_PATH=str(tmp_path), LOG_DIR=str(tmp_path), LOG_LEVEL="DEBUG"
    )
    hook = sys.excepthook
    log.configure(loaded)
    log.log_all_to_console()
    try:
        for way in (str, repr, quoted, lambda s: json.dumps({"a": s}), lambda s: s.encode()):
            try:
                raise ValueError(way(secret)) from KeyError(secret)
            except ValueError as error:
                logging.getLogger("x").exception("%s failed", way(secret))
                logging.getLogger("x").debug("name\nforged line %r", secret, stack_info=True)
                sys.excepthook(type(error), error, error.__traceback__)
        gevent.spawn(lambda: {}[secret]).join()
    finally:
        sys.excepthook = hook
        gevent.get_hub().exception_stream = sys.stderr
    written = capsys.readouterr().err
    logged = (tmp_path / "simple_batch.log").read_text()
    assert "KeyError" in written
    assert "Traceback" in logged
    assert "\nforged" not in logged
    for text in (written, logged):
        assert "[key]" in text
        assert not [stem for stem in stems(secret) if stem in text.encode()]


def test_a_command_that_crashes_says_no_key(instance):
    code = (
        "import simple_batch, simple_batch.core.redaction as r; r.remember('PLANTEDcrash0123456789')\n"
        "simple_batch.create_app()\n"
        "raise RuntimeError('sent PLANTEDcrash0123456789')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(instance), capture_output=True
    )
    assert b"sent [key]" in done.stderr
    assert b"PLANTED" not in done.stderr.split(b"RuntimeError")[-1]
