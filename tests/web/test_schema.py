"""A schema on the launch form, in the recipe and on a request's page, without JavaScript."""

# ruff: noqa: F811 - fixtures that are imported

import io
import json

import pytest

from simple_batch.services import jobs
from simple_batch.store.database import connected

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .test_pages import CONFIG, LINE, config, post, token  # noqa: F401 (fixtures)

SCHEMA = {
    "type": "object",
    "properties": {"topic": {"type": "string"}, "parts": {"type": "array"}},
    "required": ["topic"],
}
CHOSEN = {"config": "1", "name": "n", "max_retries": "3", "schema_mode": "send"}


@pytest.fixture
def staged(client, config):
    assert post(client, "/jobs/new", pasted=LINE).status_code == 303
    return "/jobs/new/1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{\n"type": }', "Schema, line 2, column 9"),
        ('{"type": "objct"}', "Schema, at #/type"),
        ('{"$ref": "http://127.0.0.1:9/x"}', "another document"),
        ("[]", "must be a JSON object"),
    ],
)
def test_a_schema_that_is_none_is_reported_at_its_field(client, staged, text, expected):
    for step in ("", "/try", "/recipe"):
        answer = post(client, staged + step, **CHOSEN, schema=text)
        assert answer.status_code == 400
        assert expected in answer.text
        assert '<details class="mb-2" open' in answer.text
    with connected():
        assert not jobs.Job.select().exists()


def test_from_the_form_to_the_fields_of_an_answer(app, client, config, staged, wait_for):
    with MisbehavingEndpoint(e.says({"topic": "yeast <b>", "parts": [1]})) as endpoint:
        post(client, "/configs/1", **{**CONFIG, "base_url": endpoint.base_url})
        chosen = {**CHOSEN, "schema": json.dumps(SCHEMA), "schema_retry": "y"}
        tried = post(client, f"{staged}/try", **chosen).text
        assert 'data-tried="ok"' in tried
        assert endpoint.bodies[0]["response_format"]["json_schema"]["schema"] == SCHEMA
        recipe = post(client, f"{staged}/recipe", **chosen).json
        assert (recipe["schema"], recipe["schema_retry"]) == (SCHEMA, True)
        file = io.BytesIO(json.dumps(SCHEMA, indent=1).encode())
        fields = {"csrf_token": token(client), **CHOSEN, "schema_file": (file, "s.json")}
        made = client.post(staged, data=fields)  # from a file in place of the text
        assert made.headers["Location"] == "/jobs/1"
        app.extensions["simple_batch"].start()
        wait_for(1, "completed")
    assert "&#34;parts&#34;: {" in client.get("/jobs/1").text
    page = client.get("/jobs/1/requests/0").text
    assert 'id="parsed"' in page
    assert "yeast &lt;b&gt;" in page
    assert "&#34;json_schema&#34;" in page  # the request as it was sent
    assert "topic,parts" in client.get("/jobs/1/export?format=csv").text
    page = client.get("/jobs/new?clone=1", follow_redirects=True).text
    assert "&#34;topic&#34;" in page
    loaded = {"csrf_token": token(client), "recipe": (io.BytesIO(json.dumps(recipe).encode()), "r")}
    page = client.post("/jobs/new/1/load", data=loaded).text
    assert "&#34;topic&#34;" in page
    assert 'checked class="form-check-input" id="schema_retry"' in page


def test_an_answer_that_does_not_fit_is_explained(app, client, config, staged, wait_for):
    with MisbehavingEndpoint(e.says({"topic": 5})) as endpoint:
        post(client, "/configs/1", **{**CONFIG, "base_url": endpoint.base_url})
        chosen = {**CHOSEN, "schema": json.dumps(SCHEMA), "schema_mode": "check"}
        tried = post(client, f"{staged}/try", **chosen).text
        assert 'data-tried="schema"' in tried
        assert "(at $.topic)" in tried
        post(client, staged, **chosen)
        app.extensions["simple_batch"].start()
        wait_for(1, "completed")
        assert all("response_format" not in body for body in endpoint.bodies)
    page = client.get("/jobs/1/requests/0").text
    assert "(at $.topic)" in page
    assert "the schema looser" in page
    assert 'id="parsed"' not in page
    assert "match the schema</span>" in client.get("/jobs/1/errors").text
    client.get("/jobs?lang=zh")
    assert "不符合" in client.get("/jobs/1/errors").text
