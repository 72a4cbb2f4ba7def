"""Jobs with a schema, from upload to export: a real database, a real endpoint."""

import csv
import io
import json
from decimal import Decimal

import pytest

from simple_batch import export, insight
from simple_batch.core.errors import InvalidInput, UploadRejected
from simple_batch.services import configs, job_creation, jobs, recipes
from simple_batch.store.database import connected
from simple_batch.store.models import Job

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .test_job_run import ENDED, agrees

SCHEMA = {
    "type": "object",
    "properties": {
        "topic": {"type": "string"},
        "status": {"enum": ["good", "bad"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "sure": {"type": "boolean"},
    },
    "required": ["topic", "status"],
    "additionalProperties": False,
}
FITS = {"topic": "=1+1", "status": "good", "tags": ["a", "二"], "sure": True}


def priced(add_config, endpoint):
    return add_config(
        endpoint.base_url, concurrency=1, input_price=Decimal(1), output_price=Decimal(2)
    )


def test_answers_are_checked_paid_for_and_exported_by_field(start, add_config, make_job, wait_for):
    def answers(connection):
        """The first request fits at the second try, the other one never."""
        messages = endpoint.bodies[-1]["messages"]
        if messages[0]["content"] != "question 1":
            return connection.sendall(e.says("no"))
        return connection.sendall(e.says(FITS if len(messages) > 1 else {"topic": 1}))

    with MisbehavingEndpoint(answers) as endpoint:
        priced(add_config, endpoint)
        job_id = make_job(2, schema=SCHEMA, schema_retry=True, max_retries=1)
        job = wait_for(job_id, *ENDED)
    assert (job.succeeded, job.failed, job.attempts) == (1, 1, 4)
    assert (job.input_tokens, job.output_tokens) == (28, 12)  # of every attempt
    assert job.cost_nano == 4 * (5 * 1000 + 2 * 1000 + 3 * 2000)
    agrees(job_id)
    with connected():
        (group, *_rest) = insight.error_groups(job_id)
        assert group["cause"] == "schema"
        rows = [json.loads(line) for line in export.export(job_id, "jsonl")]
        array = json.loads(b"".join(export.export(job_id, "json")))
        table = b"".join(export.export(job_id, "csv")).decode("utf-8-sig")
        detail = insight.request_detail(job_id, 0)
        assert insight.request_detail(job_id, 1)["parsed"] is None
    assert [row["parsed"] for row in rows] == [row["parsed"] for row in array] == [FITS, None]
    names = list(rows[0])
    assert names[names.index("response") + 1] == "parsed"
    assert rows[1]["error"]["cause"] == "schema"
    cells = list(csv.DictReader(io.StringIO(table)))
    names = list(cells[0])
    at = names.index("content") + 1
    assert names[at : at + 4] == ["topic", "result_status", "tags", "sure"]
    assert [cells[0][name] for name in names[at : at + 4]] == [
        "'=1+1",
        "good",
        '["a","二"]',
        "true",
    ]
    assert cells[0]["status"] == "succeeded"
    assert [cells[1][name] for name in names[at : at + 4]] == [""] * 4
    assert dict(detail["parsed"])["topic"] == "=1+1"


def test_jobs_without_a_schema_have_the_fields_they_had(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(e.says(FITS)) as endpoint:
        add_config(endpoint.base_url)
        job_id = make_job(1)
        wait_for(job_id, "completed")
    with connected():
        (row,) = (json.loads(line) for line in export.export(job_id, "jsonl"))
        header = next(export.export(job_id, "csv")).decode().split("\r\n")[0]
    assert "parsed" not in row
    assert "topic" not in header


def test_an_endpoint_that_takes_no_schema_is_noted_among_the_jobs_events(
    start, add_config, make_job, wait_for
):
    script = (
        e.error(400, "response_format is unsupported"),
        e.says({"topic": "a", "status": "bad"}),
    )
    with MisbehavingEndpoint(*script) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        job_id = make_job(3, schema=SCHEMA)
        assert wait_for(job_id, *ENDED).succeeded == 3
    with connected():
        (reply,) = [event for event in insight.events(job_id) if event["reason"] == "eased"]
    assert reply["detail"] == "test: refuses json_schema, asked with json_object from now on"


def test_lines_whose_answers_are_no_text_are_refused(add_config, tmp_path, app):
    add_config("http://127.0.0.1:9/v1")
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"input": "x"}}
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(line))
    with connected():
        with pytest.raises(UploadRejected) as refused:
            job_creation.create_now(path, path.name, jobs.JobOptions(config="test", schema=SCHEMA))
        assert "no text that could fit" in refused.value.faults[0].message
        assert not Job.select().exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"schema": {"type": "objct"}}, "schema"),
        ({"schema": {"properties": {"a": {"$ref": "http://127.0.0.1:9/"}}}}, "schema"),
        ({"schema_mode": "hard"}, "schema_mode"),
        ({"params": {"response_format": {"type": "json_object"}}}, "params"),
    ],
)
def test_wrong_choices_are_refused_before_anything_is_kept(
    app, add_config, make_job, change, field
):
    add_config("http://127.0.0.1:9/v1")
    with pytest.raises(InvalidInput) as refused:
        make_job(1, **{"schema": SCHEMA, **change})
    assert refused.value.field == field
    with connected():
        assert not Job.select().exists()


def test_clones_and_recipes_keep_the_schema_with_its_order(app, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(1, schema=SCHEMA, schema_mode="object", schema_retry=True, hold=True)
    with connected():
        fields, _upload = jobs.clone_fields(job_id)
        again = recipes.load(recipes.dump(fields))
        for found in (fields, again):
            assert list(found.schema["properties"]) == list(SCHEMA["properties"])
            assert (found.schema, found.schema_mode, found.schema_retry) == (SCHEMA, "object", True)
        plain = recipes.dump(jobs.JobOptions(config=configs.get("test").id))
        assert b"schema" not in plain.replace(b"simple_batch_recipe", b"")
        bad = recipes.dump(fields).replace(b'"object"', b'"objct"')
        with pytest.raises(InvalidInput):
            recipes.load(bad)


def test_json_is_found_behind_reasoning_in_fences_and_between_words(
    start, add_config, make_job, wait_for, client
):
    fits = json.dumps(FITS)
    answers = [
        f'<think>Not {{"topic": 1}}</think>\n\n{fits}',
        f'So {{"topic": 1}}?\n</think>\n```json\n{fits}\n```',
        f"\ufeff{fits}",
        f"Here it is:\n\n~~~\n{fits}\n~~~\nAnything else?",
        f'<think>Hm.</think>{fits}, {{"topic": "cut',
    ]
    with MisbehavingEndpoint(*map(e.says, answers)) as endpoint:
        priced(add_config, endpoint)
        job_id = make_job(5, schema=SCHEMA, max_retries=0)
        job = wait_for(job_id, *ENDED)
    assert (job.succeeded, job.failed, job.outcome_ok, job.outcome_schema) == (4, 1, 4, 1)
    with connected():
        rows = [json.loads(line) for line in export.export(job_id, "jsonl")]
        table = b"".join(export.export(job_id, "csv")).decode("utf-8-sig")
    assert [row["parsed"] for row in rows] == [FITS] * 4 + [None]
    stored = [row["response"]["choices"][0]["message"]["content"] for row in rows[:4]]
    assert stored == answers[:4]  # as they were received
    cells = list(csv.DictReader(io.StringIO(table)))
    assert [row["status"] for row in cells] == ["succeeded"] * 4 + ["failed"]
    assert [row["result_status"] for row in cells][:4] == ["good"] * 4
    assert cells[0]["content"] == fits
    page = client.get(f"/jobs/{job_id}/requests/0").text
    assert "二" in page and "Not {" in page
