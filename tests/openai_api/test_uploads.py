"""Names and encodings of uploaded batch files, and the forms in which clients send them."""

import gzip
import io
import json
import shutil
import subprocess
import tracemalloc

import openai
import pytest
import requests

from simple_batch import intake
from simple_batch.core.errors import InvalidInput, UploadRejected
from simple_batch.core.settings import Settings
from simple_batch.services import batch_files

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from .conftest import CHAT, jsonl, line, read

DATA = jsonl([line("a"), line("ü", note="多")]).read()


@pytest.fixture
def api(app):
    """The app's test client, as a program on this machine."""
    return app.test_client()


def form(*parts: tuple[bytes, bytes]) -> dict:
    """The arguments of a post with these parts: (rest of Content-Disposition, content)."""
    given = [(b'name="purpose"', b"batch"), *parts]
    body = b"".join(
        b"--xx\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % part for part in given
    )
    return {"data": body + b"--xx--\r\n", "content_type": "multipart/form-data; boundary=xx"}


TAKEN = (
    "upload",
    "unknown_file",
    "anonymous_file",
    "blob",
    "a.jsonl",
    "A.JSONL",
    "a.jsonl.gz",
    "A.Jsonl.GZ",
    "in.jsonl ",
    "v1.2",
    "run.2024-05-01",
    "batch.",
    "my batch. of today",
    "...",
    "dir.txt/upload",
    "C:\\dir.txt\\upload",
    "数据",
    "数据.jsonl",
    'a"b.jsonl',
    "\0",
    " ",
    "a.jsonl\0",
    "x" * 400,
    "x" * 400 + ".jsonl",
)
REFUSED = (
    "a.txt",
    "a.json",
    "a.ndjson",
    "a.csv",
    "a.gz",
    "a.jsonl.zip",
    "a.jsonl.txt",
    "a.TXT",
    "a.txt ",
    "a.txt/../b.txt",
    "a.jsonl\0.txt",
    ".txt",
    "a.7z",
    "数据.文本",
    "x" * 400 + ".txt",
)


def test_names_that_a_batch_file_may_have(app):
    for name in TAKEN:
        batch_files.check(name, "batch", None)
    for name in REFUSED:
        with pytest.raises(InvalidInput, match=r"\.jsonl\.gz, or have no extension"):
            batch_files.check(name, "batch", None)


FORMS = {  # as sent by httpx, requests, undici, curl, Go, RFC 5987 and old browsers
    b'name="file"; filename="upload"': "upload",
    b'name="file"; filename=upload': "upload",
    b'name="file"; filename=""': "upload",
    b'filename="in.jsonl"; name="file"': "in.jsonl",
    b"name=\"file\"; filename*=utf-8''na%C3%AFve.jsonl": "naïve.jsonl",
    b'name="file"; filename="\xe6\x95\xb0.jsonl"': "数.jsonl",
    b'name="file"; filename="a%22b.jsonl"': None,  # the browsers' way of quoting: either is right
    b'name="file"; filename="a\\"b.jsonl"': 'a"b.jsonl',
    b'name="file"; filename="C:\\\\dir\\\\in.jsonl"': "in.jsonl",  # Go escapes backslashes
    b'name="file"; filename="../../in.jsonl"': "in.jsonl",
}


@pytest.mark.parametrize("disposition", FORMS, ids=range(len(FORMS)))
def test_forms_of_content_disposition(api, disposition):
    answer = api.post("/v1/files", **form((disposition, DATA)))
    assert answer.status_code == 200, answer.text
    made = answer.json
    assert made["filename"] == (FORMS[disposition] or made["filename"])
    assert made["bytes"] == len(DATA)
    assert api.get(f"/v1/files/{made['id']}/content").data == DATA


def test_a_name_in_latin_1_is_no_failure_of_the_server(api):
    answer = api.post("/v1/files", **form((b'name="file"; filename="\xe9.jsonl"', DATA)))
    assert answer.status_code in (200, 400), answer.text


def test_a_file_that_is_a_field_or_missing_is_named(api):
    for part, expected in (
        ((b'name="file"', DATA), "field of text"),
        ((b'name="file"; filename=""', b""), "Missing"),
        ((b'name="other"; filename="a.jsonl"', DATA), "Missing"),
    ):
        answer = api.post("/v1/files", **form(part))
        assert (answer.status_code, answer.json["error"]["param"]) == (400, "file")
        assert expected in answer.json["error"]["message"]


def upload(api, data: bytes, name: str = "in.jsonl", purpose: str = "batch"):
    sent = {"file": (io.BytesIO(data), name), "purpose": purpose}
    return api.post("/v1/files", data=sent)


def test_what_is_not_utf8_is_refused_at_upload(api, instance):
    good = json.dumps(line("a")).encode()
    for data, place in (
        (b'{"a": "\xff"}\n', "line 1, byte 8"),
        (good + b"\n\n" + b'"\xd6\xd0"\n', "line 3, byte 2"),
        (good + b'\n"ab\xe4\xb8', "line 2, byte 4"),  # cut within a character
        (b'\n"\xed\xa0\x80"', "line 2, byte 2"),  # half of a surrogate pair
        (good.decode().encode("utf-16"), "UTF-16"),
        (good.decode().encode("utf-16-le"), "UTF-16"),
        (good.decode().encode("utf-32"), "UTF-16 or UTF-32"),
        (gzip.compress(b'\n"\xff"'), "line 2, byte 2"),
    ):
        answer = upload(api, data, "upload")
        error = answer.json["error"]
        assert (answer.status_code, error["param"], error["code"]) == (
            400,
            "file",
            "invalid_encoding",
        )
        assert place in error["message"]
        assert upload(api, data, "notes.txt", "user_data").status_code == 200  # no batch file
    damaged = upload(api, gzip.compress(good * 9)[:-9])
    assert (damaged.status_code, damaged.json["error"]["param"]) == (400, "file")
    assert api.get("/v1/files?purpose=batch").json["data"] == []
    assert len(list((instance / "uploads").iterdir())) == 8


def test_a_gzip_bomb_is_refused_at_upload(api, instance):
    answer = upload(api, gzip.compress(b" " * (80 << 20)), "a.jsonl.gz")
    assert (answer.status_code, answer.json["error"]["code"]) == (413, "file_too_large")
    assert list((instance / "uploads").iterdir()) == []


class Blocks(io.RawIOBase):
    """A stream of 200 MB whose last byte is wrong."""

    def __init__(self):
        self.left = [b"\xff", *[("多" * 349_525 + "\n").encode()] * 190]

    def readable(self):
        return True

    def read(self, _size=-1):
        return self.left.pop() if self.left else b""


def test_a_large_file_is_checked_in_blocks_to_its_last_byte(app, tmp_path):
    path = tmp_path / "large"
    intake.spool(Blocks(), path, 1 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(UploadRejected, match="line 191, byte 1 "):
            intake.check_utf8(path, Settings())
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_characters_cut_by_blocks_and_byte_order_marks_pass(app, tmp_path):
    path = tmp_path / "in"
    for data in (b"", b"a", b"\xef\xbb\xbf{}", ("a" + "多" * 400_000).encode(), "é".encode() * 9):
        path.write_bytes(data)
        intake.check_utf8(path, Settings())


def test_uploads_come_back_as_they_were_and_run(client, server, add_config):
    packed = gzip.compress(DATA)
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url)
        for given, data in (
            (DATA, DATA),
            (io.BytesIO(DATA), DATA),
            (packed, packed),  # told apart by content: no name says so
            (("in.jsonl.gz", packed), packed),
            (("in.jsonl.gz", DATA), DATA),
            (("in.jsonl", b"\xef\xbb\xbf" + DATA), b"\xef\xbb\xbf" + DATA),
        ):
            file = client.files.create(file=given, purpose="batch")
            assert file.bytes == len(data)
            assert client.files.content(file.id).content == data
            batch = client.batches.create(
                input_file_id=file.id, endpoint=CHAT, completion_window="24h"
            )
            done = wait_until(
                lambda batch=batch: (
                    (now := client.batches.retrieve(batch.id)).status in ("completed", "failed")
                    and now
                )
            )
            assert done.status == "completed", done.errors
            assert [row["custom_id"] for row in read(client, done.output_file_id)] == ["a", "ü"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
def test_requests_and_curl_send_files(server, tmp_path):
    url = f"{server.url}/v1/files"
    path = tmp_path / "数据"
    path.write_bytes(DATA)
    answer = requests.post(url, files={"file": path.open("rb")}, data={"purpose": "batch"})
    assert (answer.status_code, answer.json()["filename"]) == (200, "数据")
    sent = ("curl", "-sS", url, "-F", "purpose=batch", "-F", f"file=@{path}")
    done = subprocess.run(sent, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["bytes"] == len(DATA)


def test_an_empty_file_fails_as_a_batch(client, add_config):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url)
        file = client.files.create(file=("upload", b""), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        failed = wait_until(
            lambda: (now := client.batches.retrieve(batch.id)).status == "failed" and now
        )
    assert [fault.code for fault in failed.errors.data] == ["empty_file"]


def test_another_extension_is_refused_to_the_client(client):
    with pytest.raises(openai.BadRequestError, match="no extension") as refused:
        client.files.create(file=("in.txt", DATA), purpose="batch")
    assert (refused.value.param, refused.value.code) == ("file", "invalid_value")


def test_lines_in_other_shapes_are_faults_in_the_terms_of_the_file(client, add_config):
    lines = [
        b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", '
        b'"body": {"model": "m", "messages": [{"role": "user", "content": "x"}], "top_p": NaN}}',
        b'{"data": [{"custom_id": "b"}]}',
        b"[]",
    ]
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url)
        file = client.files.create(file=("in.jsonl", b"\n".join(lines)), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        failed = wait_until(
            lambda: (now := client.batches.retrieve(batch.id)).status == "failed" and now
        )
    faults = failed.errors.data
    assert [fault.line for fault in faults] == [1, 2, 3]
    assert "NaN is not JSON: write null, or leave it out." in faults[0].message
    assert "here it is a list" in faults[2].message
