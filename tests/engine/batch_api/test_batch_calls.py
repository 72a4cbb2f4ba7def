"""The calls themselves, over a raw socket: what is sent, what is followed, what is let through."""

import gzip
import time

import gevent
import pytest
import requests

from simple_batch.core import address_policy, settings
from simple_batch.core.domain import Cause, Defaults, Endpoint, Verdict
from simple_batch.engine.batch_api.batch_calls import BatchCalls
from simple_batch.engine.batch_api.batch_client import BatchCallFailed, ResultsCutOff
from simple_batch.engine.batch_api.multipart_file import MultipartFile
from simple_batch.engine.transport import TransportFailure

from ... import endpoint as e
from ...endpoint import MisbehavingEndpoint

KEY = "sk-planted-secret-0123456789"
LINES = b'{"custom_id":"r0"}\n{"custom_id":"r1"}\n'


class PlainEndpoint(MisbehavingEndpoint):
    """Bodies that are no JSON are taken too."""

    def _next(self, head, body):
        return super()._next(head, b"")


def calls_of(endpoint, call_s: float = 5.0, **fields) -> BatchCalls:
    wanted = settings.load(
        environ={}, INSTANCE_PATH="/x", MAX_ANSWER_BYTES=100_000, BATCH_CALL_TIMEOUT=call_s
    )
    return BatchCalls(Endpoint(1, "a", endpoint.base_url, KEY, Defaults("m"), **fields), wanted)


def content(endpoint, tmp_path) -> bytes:
    to = tmp_path / "results.jsonl"
    calls_of(endpoint).download("/files/f/content", to)
    return to.read_bytes()


def moved(place: str, status: int = 302) -> bytes:
    return e.http(status, b"", f"Location: {place}")


def test_headers_and_query_parameters_of_the_config_go_with_every_call(tmp_path):
    file = tmp_path / "in.jsonl"
    file.write_bytes(LINES)
    with PlainEndpoint(e.http(200, {"id": "x"})) as endpoint:
        calls = calls_of(endpoint, headers=(("X-Team", "blue"),), query=(("api-version", "7"),))
        calls.get("/batches?limit=1")
        calls.post("/batches", {"a": 1})
        calls.post("/batches/b/cancel")
        calls.delete("/files/f")
        calls.upload("/files", {"purpose": "batch"}, "in.jsonl", file)
        for head in endpoint.heads:
            assert f"Authorization: Bearer {KEY}" in head and "X-Team: blue" in head
            assert "api-version=7" in head.split("\r\n")[0]
        first = [head.split("\r\n")[0].partition(" ")[0] for head in endpoint.heads]
        assert first == ["GET", "POST", "POST", "DELETE", "POST"]
        assert "limit=1&api-version=7" in endpoint.heads[0]
        assert "multipart/form-data; boundary=" in endpoint.heads[-1]
        assert "Content-Length: 0" in endpoint.heads[2]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_download_is_followed_to_another_host_without_what_is_ours(status, tmp_path):
    with PlainEndpoint(e.http(200, LINES)) as storage, PlainEndpoint(b"") as endpoint:
        endpoint.script = [moved(storage.base_url + "/x?signature=y", status)]
        to = tmp_path / "r.jsonl"
        calls_of(endpoint, headers=(("X-Secret", KEY),), query=(("key", KEY),)).download("/f", to)
        assert to.read_bytes() == LINES
        assert KEY in endpoint.heads[0] and KEY not in storage.heads[0]
        assert "x-secret" not in storage.heads[0].lower()
        assert "signature=y" in storage.heads[0]


def test_a_download_keeps_its_key_on_its_own_host(tmp_path):
    with PlainEndpoint(moved("/v1/elsewhere"), e.http(200, LINES)) as endpoint:
        assert content(endpoint, tmp_path) == LINES
        assert KEY in endpoint.heads[1] and "GET /v1/elsewhere" in endpoint.heads[1]


def test_a_result_may_be_named_by_its_url(tmp_path):
    with PlainEndpoint(e.http(200, LINES)) as storage, PlainEndpoint(b"") as endpoint:
        calls_of(endpoint).download(f"{storage.base_url}/r.jsonl", tmp_path / "r")
        assert KEY not in storage.heads[0] and not endpoint.heads


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("", "no address"),
        ("file:///etc/passwd", "no address"),
        ("ftp://example.org/x", "no address"),
        ("/v1/again", "too many redirects"),
    ],
)
def test_a_redirect_that_leads_nowhere_is_not_followed(place, why, tmp_path):
    with PlainEndpoint(moved(place)) as endpoint:
        with pytest.raises(TransportFailure, match=why) as failed:
            content(endpoint, tmp_path)
        assert failed.value.cause is Cause.BAD_RESPONSE
        assert endpoint.calls <= 6


def test_a_redirect_does_not_open_a_private_network(tmp_path, monkeypatch):
    with PlainEndpoint(moved("http://169.254.169.254/latest/meta-data")) as endpoint:
        with pytest.raises(TransportFailure) as failed:
            content(endpoint, tmp_path)
        assert failed.value.verdict is Verdict.STOP
    with PlainEndpoint(moved("http://127.0.0.1:9/")) as endpoint:
        calls = calls_of(endpoint)
        monkeypatch.setattr(address_policy, "exposed", lambda: True)
        with pytest.raises(TransportFailure) as failed:
            calls.download("/files/f/content", tmp_path / "r")
        assert failed.value.verdict is Verdict.STOP and endpoint.calls == 0


def test_a_redirect_does_not_leave_tls():
    with PlainEndpoint(b"") as endpoint:
        calls = calls_of(endpoint)
        secure = requests.Request("GET", "https://files.example.org/a").prepare()
        with pytest.raises(TransportFailure, match="from https to http"):
            calls._redirected(secure, "http://files.example.org/b")
        assert calls._redirected(secure, "/b").url == "https://files.example.org/b"


def test_a_proxy_of_the_environment_is_used(tmp_path, monkeypatch):
    with PlainEndpoint(e.http(200, LINES)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        wanted = settings.load(environ={}, INSTANCE_PATH="/x", TRUST_ENV=True)
        calls = BatchCalls(
            Endpoint(1, "a", "http://far.example.org/v1", KEY, Defaults("m")), wanted
        )
        calls.download("/files/f/content", tmp_path / "r")
        assert proxy.heads[0].startswith("GET http://far.example.org/v1/files/f/content ")


def test_a_form_is_read_from_disk_piece_by_piece(tmp_path):
    file = tmp_path / "in.jsonl"
    file.write_bytes(b"x" * 1_000_000)
    form = MultipartFile({"purpose": "batch"}, "in.jsonl", file)
    sizes = [len(piece) for piece in form]
    assert sum(sizes) == len(form) > 1_000_000 and max(sizes) <= 65_536


def test_calls_that_are_no_downloads_are_not_redirected():
    with PlainEndpoint(moved("http://127.0.0.1:9/")) as endpoint:
        with pytest.raises(BatchCallFailed) as failed:
            calls_of(endpoint).post("/batches", {})
        assert failed.value.finding.verdict is Verdict.STOP and not failed.value.gone


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (LINES, ()),
        (gzip.compress(LINES), ("Content-Encoding: gzip",)),
        (gzip.compress(LINES), ("Content-Encoding: GZIP", "Content-Encoding: gzip")),
        (gzip.compress(LINES[:19]) + gzip.compress(LINES[19:]), ("Content-Encoding: gzip",)),
        (b"", ()),
        (LINES[:-1], ()),
    ],
)
def test_what_is_downloaded_is_unpacked(data, headers, tmp_path):
    with PlainEndpoint(e.http(200, data, *headers)) as endpoint:
        assert content(endpoint, tmp_path).strip() in (LINES.strip(), b"")


@pytest.mark.parametrize(
    "answer",
    [
        e.http(200, LINES[:-3]),
        e.http(200, LINES, length=500),
        e.http(200, gzip.compress(LINES)[:-12], "Content-Encoding: gzip"),
        b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + LINES[:5] + b"\r\n",
        b"HTTP/1.1 200 X\r\nContent-Ty",
        b"HTTP/1.1 200 X\r\n\r\n" + LINES[:30],
    ],
)
def test_what_does_not_come_whole_is_not_kept(answer, tmp_path):
    def cut(connection):
        connection.sendall(answer)
        connection.close()

    with PlainEndpoint(cut) as endpoint:
        with pytest.raises(ResultsCutOff):
            content(endpoint, tmp_path)
        assert not (tmp_path / "results.jsonl").exists()


@pytest.mark.parametrize(
    "answer",
    [
        e.http(200, b"not gzip at all", "Content-Encoding: gzip"),
        e.http(200, LINES, "Content-Encoding: br"),
    ],
)
def test_what_cannot_be_unpacked_is_a_bad_response(answer, tmp_path):
    with PlainEndpoint(answer) as endpoint, pytest.raises(TransportFailure) as failed:
        content(endpoint, tmp_path)
    assert failed.value.cause is Cause.BAD_RESPONSE


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (b"<!DOCTYPE html>\n<html>log in</html>\n", TransportFailure),
        (b"Service is down for maintenance\n", TransportFailure),
        (b'{"error":{"message":"busy","code":"server_error"}}', BatchCallFailed),
        (b'{"code":50001,"message":"busy","data":null}\n', BatchCallFailed),
    ],
)
def test_what_comes_in_place_of_results_is_not_kept(body, failure, tmp_path):
    with PlainEndpoint(e.http(200, body)) as endpoint:
        with pytest.raises(failure):
            content(endpoint, tmp_path)
        assert not (tmp_path / "results.jsonl").exists()


@pytest.mark.parametrize(
    "body",
    [
        b'{"key":"r0","error":{"message":"no","code":13}}\n',
        b'{"custom_id":"r0","error":{"message":"no"}}',
        b'{"error":{"message":"no"},"custom_id":"r0"}\n{"custom_id":"r1"}\n',
        b'{"custom_id":"r0","resp\n{"custom_id":"r1"}\n',
        b'{"custom_id":"r0","text":"\\ud83d"}',
    ],
)
def test_results_that_are_errors_are_results(body, tmp_path):
    with PlainEndpoint(e.http(200, body)) as endpoint:
        assert content(endpoint, tmp_path) == body


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        (e.reset, Cause.CONNECTION),
        (e.half_headers, Cause.BAD_RESPONSE),
        (e.not_http, Cause.CONNECTION),
        (e.endless, Cause.BAD_RESPONSE),
        (e.trickle, Cause.TIMEOUT),
        (e.slow(60), Cause.TIMEOUT),
        (e.http(200, b"<html>hi</html>"), Cause.BAD_RESPONSE),
        (e.http(200, {"object": "list"}), None),
    ],
)
def test_no_whole_answer(behaviour, cause):
    with PlainEndpoint(behaviour) as endpoint:
        calls = calls_of(endpoint, call_s=0.3)
        began = time.monotonic()
        if cause is None:
            assert calls.get("/batches") == {"object": "list"}
            return
        with pytest.raises(TransportFailure) as failed:
            calls.get("/batches")
        assert failed.value.cause is cause
        assert time.monotonic() - began < 30


def test_a_download_that_trickles_ends(tmp_path):
    with PlainEndpoint(e.trickle) as endpoint, pytest.raises(TransportFailure) as failed:
        calls_of(endpoint, call_s=0.3).download("/f", tmp_path / "r")
    assert failed.value.cause is Cause.TIMEOUT


def test_a_time_limit_of_the_caller_is_not_ours():
    with PlainEndpoint(e.slow(60)) as endpoint:
        limit = gevent.Timeout(0.1)
        with pytest.raises(gevent.Timeout) as expired, limit:
            calls_of(endpoint).get("/batches")
        assert expired.value is limit


def test_a_key_that_is_quoted_goes_no_further(tmp_path):
    with PlainEndpoint(e.error(400, f"wrong key {KEY}")) as endpoint:
        with pytest.raises(BatchCallFailed) as failed:
            calls_of(endpoint).get("/batches")
        finding = failed.value.finding
        assert KEY not in f"{failed.value}{finding.message}{finding.excerpt}{finding.response}"
        with pytest.raises(BatchCallFailed) as failed:
            calls_of(endpoint).download("/f", tmp_path / "r")
        assert KEY not in f"{failed.value}{failed.value.finding}"
        assert KEY.encode() not in calls_of(endpoint).without_secrets(b"a " + KEY.encode())


def test_an_endpoint_that_is_not_there_is_said_in_plain_words():
    with MisbehavingEndpoint(e.ok()) as endpoint:
        calls = calls_of(endpoint)
    with pytest.raises(TransportFailure) as failed:
        calls.get("/batches/b")
    assert (failed.value.cause, failed.value.message) == (Cause.CONNECTION, "Connection refused")


def test_a_connection_that_is_cut_is_said_in_plain_words():
    cut = MisbehavingEndpoint(lambda connection: connection.close())
    with cut as endpoint, pytest.raises(TransportFailure) as failed:
        calls_of(endpoint).get("/batches/b")
    assert failed.value.cause is Cause.CONNECTION
    assert "Connection aborted" not in failed.value.message
    assert "object at 0x" not in failed.value.message
