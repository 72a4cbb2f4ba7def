"""Requests of clients other than OpenAI's, and the answers."""

import json

import pytest

from .conftest import jsonl, line


@pytest.fixture
def api(app):
    """The app's test client, as a program on this machine."""
    return app.test_client()


def error(answer) -> tuple:
    found = answer.json["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return answer.status_code, found["param"], found["code"]


def upload(api, **form):
    return api.post("/v1/files", data={"file": jsonl([line("a")]), "purpose": "batch", **form})


def test_every_answer_has_the_id_of_its_log_lines(api):
    ids = {api.get(url).headers["x-request-id"] for url in ("/v1/files", "/v1/files/x", "/v1/no")}
    assert len(ids) == 3
    assert all(each.startswith("req_") for each in ids)


@pytest.mark.parametrize(
    ("method", "url", "allowed"),
    [
        ("PUT", "/v1/files", "GET, POST"),
        ("POST", "/v1/files/file-1", "DELETE, GET"),
        ("GET", "/v1/batches/batch_1/cancel", "POST"),
        ("DELETE", "/v1/models/org/some", "GET"),
    ],
)
def test_a_method_that_is_not_served_names_those_that_are(api, method, url, allowed):
    answer = api.open(url, method=method)
    assert error(answer) == (405, None, "method_not_supported")
    assert answer.headers["Allow"] == allowed
    assert allowed in answer.json["error"]["message"]


def test_an_address_that_is_not_served(api):
    assert error(api.post("/v1/assistants")) == (404, None, "unknown_url")
    assert error(api.get("/v1/files/")) == (404, None, "unknown_url")


def test_expires_after_comes_as_keys_or_as_one_json_part(api):
    keys = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    part = {"expires_after": json.dumps({"anchor": "created_at", "seconds": 3600.0})}
    for form in (keys, part):
        file = upload(api, **form).json
        assert file["expires_at"] - file["created_at"] == 3600


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"expires_after": "soon"}, "expires_after"),
        ({"expires_after": "[" * 100_000}, "expires_after"),
        ({"expires_after": "3600"}, "expires_after.anchor"),
        ({"expires_after[anchor]": "created_at"}, "expires_after.seconds"),
        (
            {"expires_after[anchor]": "created_at", "expires_after[seconds]": "0000000036001"},
            "expires_after.seconds",
        ),
        ({"expires_after": '{"anchor": "created_at", "seconds": "3600"}'}, "expires_after.seconds"),
        ({"expires_after": '{"anchor": "created_at", "seconds": 1e400}'}, "expires_after.seconds"),
    ],
)
def test_a_faulty_expires_after_is_named(api, form, param):
    assert error(upload(api, **form)) == (400, param, "invalid_value")


@pytest.mark.parametrize("limit", ["0", "101", "-1", "ten", "", "1" * 5000, "1".zfill(12) + "99"])
def test_a_faulty_limit_is_named(api, limit):
    assert error(api.get("/v1/batches", query_string={"limit": limit})) == (
        400,
        "limit",
        "invalid_value",
    )


def test_a_body_that_is_no_object_or_too_large(api):
    for body in (b"", b"[]", b"{", b"[" * 100_000, b"\xff", b"1" * 5000):
        assert error(api.post("/v1/batches", data=body)) == (400, None, "invalid_json")
    huge = b" " * (1 << 20) + b"{}"
    assert error(api.post("/v1/batches", data=huge)) == (413, None, "request_too_large")
