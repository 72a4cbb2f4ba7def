"""Files from results: every format, in order, while the job runs, and safe to open."""

import csv
import io
import json

import pytest

from simple_batch import export
from simple_batch.core.call_prices import Prices, Usage
from simple_batch.core.clock import now_ms
from simple_batch.core.domain import Attempt, Cause, Request, RequestResult, RequestStatus
from simple_batch.core.errors import InvalidInput, NotFound
from simple_batch.export import csv_file
from simple_batch.export.columns import Table
from simple_batch.export.structured_columns import Fields
from simple_batch.store import requests as request_rows
from simple_batch.store import results
from simple_batch.store.models import ApiConfig, Job, Result
from simple_batch.store.models import Request as RequestRow
from simple_batch.store.request_filter import RequestFilter

PRICES = Prices("CNY", input=1_000_000_000, output=2_000_000_000)


def answer(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}]}, ensure_ascii=False).encode()


@pytest.fixture
def job(db):
    """Five requests: two succeeded, one failed by HTTP, one never answered, one pending."""
    config = ApiConfig.create(
        alias="a", base_url="http://x/v1", model="m", timeout_s=1, created_at=0, updated_at=0
    )
    job = Job.create(
        name="问题 / ../x",
        config=config,
        status="running",
        max_retries=1,
        created_at=now_ms(),
        currency="CNY",
    )
    prompts = ["一", "=cmd|' /C calc'!A0", "三", "four", "five"]
    rows = []
    for n, prompt in enumerate(prompts):
        body = json.dumps({"messages": [{"role": "user", "content": prompt}]}, indent=1)
        rows.append(Request(n, f"+id{n}", body.encode()))
    request_rows.insert(job.id, rows)

    def result(index, status, **fields):
        attempt = Attempt(1, 1_700_000_000_000, 250, fields.get("cause"), fields.get("http_status"))
        return RequestResult(
            index=index,
            status=status,
            attempts=(attempt,),
            started_at=1_700_000_000_000,
            finished_at=1_700_000_000_250,
            latency_ms=250,
            **fields,
        )

    outcomes = [
        result(2, RequestStatus.SUCCEEDED, response=answer("@SUM(1)\n第二行"), http_status=200, usage=Usage(10, 20)),
        result(0, RequestStatus.SUCCEEDED, response=answer("好"), http_status=200),
        result(1, RequestStatus.FAILED, cause=Cause.BAD_REQUEST, http_status=400, message="no", response=b'{"error":{"message":"no"}}'),
        result(3, RequestStatus.FAILED, cause=Cause.TIMEOUT, message="no answer"),
    ]  # fmt: skip
    results.write(
        [results.Recorded(job.id, "a", PRICES, one.index, one.attempts, one) for one in outcomes]
    )
    return job


def exported(job, form, only="all") -> bytes:
    return b"".join(export.export(job.id, form, only))


def test_json_and_jsonl_say_the_same_in_input_order(job):
    lines = [json.loads(line) for line in exported(job, "jsonl").splitlines()]
    assert lines == json.loads(exported(job, "json"))
    assert [line["index"] for line in lines] == [0, 1, 2, 3, 4]
    assert [line["status"] for line in lines] == [
        "succeeded",
        "failed",
        "succeeded",
        "failed",
        "pending",
    ]
    assert list(lines[2]) == [
        "index",
        "custom_id",
        "request",
        "status",
        "response",
        "error",
        "model",
        "config",
        "attempts",
        "started_at",
        "finished_at",
        "latency_ms",
        "usage",
        "cost",
        "outcome",
        "finish_reason",
        "service_tier",
        "reasoning",
        "first_token_ms",
    ]
    assert lines[2]["usage"]["total"] == 30
    assert lines[2]["cost"] == {"amount": 0.00005, "currency": "CNY"}
    assert lines[2]["started_at"] == "2023-11-14T22:13:20.000Z"
    assert (lines[0]["usage"], lines[0]["cost"]) == (None, None)
    assert lines[1]["error"] == {"cause": "bad_request", "http_status": 400, "message": "no"}
    assert lines[4]["response"] is lines[4]["error"] is None


@pytest.mark.parametrize(("only", "indices"), [("succeeded", [0, 2]), ("failed", [1, 3])])
def test_only_some(job, only, indices):
    lines = [json.loads(line) for line in exported(job, "jsonl", only).splitlines()]
    assert [line["index"] for line in lines] == indices


def test_an_empty_export_is_still_valid(job):
    Job.update(deleted_at=None).execute()
    empty = Job.create(
        name="e", config=job.config, status="queued", max_retries=1, created_at=now_ms()
    )
    assert json.loads(exported(empty, "json")) == []
    assert exported(empty, "jsonl") == exported(empty, "openai") == b""
    assert len(list(csv.reader(io.StringIO(exported(empty, "csv").decode("utf-8-sig"))))) == 1


def test_csv_cannot_be_taken_for_formulas(job):
    text = exported(job, "csv").decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["content"] for row in rows] == ["好", "", "'@SUM(1)\n第二行", "", ""]
    assert rows[1]["prompt"] == "'=cmd|' /C calc'!A0"
    assert rows[1]["custom_id"] == "'+id1"
    assert rows[2]["cost"] == "0.000050000"
    assert rows[3]["error_cause"] == "timeout"
    assert exported(job, "csv").startswith(b"\xef\xbb\xbf")
    raw = b"".join(export.export(job.id, "csv", raw_cells=True)).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(raw)))
    assert (rows[1]["prompt"], rows[1]["custom_id"]) == ("=cmd|' /C calc'!A0", "+id1")
    assert [csv_file.safe(text) for text in ("-5", "+1,000.5", "-1e-9", "5%", "", None)] == [
        "-5",
        "+1,000.5",
        "-1e-9",
        "5%",
        "",
        "",
    ]
    for text in ("=1", "+a", "-a", "@a", "\t=1", "\r=1", "＝1", "－1-1", "-1+1", "+49 170"):
        assert csv_file.safe(text) == f"'{text}"


def test_a_table_comes_back_with_the_answers_beside_it(job):
    header = ["id", "content", "status", "=x", "n"]
    cells = [
        ["1", "a,b", 'say "hi"', "", "-5"],
        ["2", "x\ny", "=1+1", "@b", "+1.5e3"],
        ["3", "问题", "", " ", "-5%"],
        ["4", "-", "+86 138", "'", "1,000"],
        ["5", *"abcd"],
    ]
    for index, row in enumerate(cells):
        where = (RequestRow.job == job.id) & (RequestRow.idx == index)
        RequestRow.update(cells=json.dumps(row).encode()).where(where).execute()
    job.header = json.dumps(header)
    job.save()
    text = exported(job, "csv").decode("utf-8-sig")
    names, *rows = csv.reader(io.StringIO(text))
    assert names[:8] == [
        "id",
        "content",
        "status",
        "'=x",
        "n",
        "result_content",
        "index",
        "custom_id",
    ]
    assert names[8] == "result_status"
    shielded = {"=1+1", "@b", "-", "+86 138"}
    assert [row[:5] for row in rows] == [
        [f"'{cell}" if cell in shielded else cell for cell in row] for row in cells
    ]
    assert [row[5] for row in rows] == ["好", "", "'@SUM(1)\n第二行", "", ""]
    assert [row[8] for row in rows] == ["succeeded", "failed", "succeeded", "failed", "pending"]
    assert [json.loads(line)["index"] for line in exported(job, "jsonl").splitlines()] == [
        *range(5)
    ]
    failed = list(csv.reader(io.StringIO(exported(job, "csv", "failed").decode("utf-8-sig"))))
    assert [row[0] for row in failed] == ["id", "2", "4"]


def test_openai_lines(job):
    lines = [json.loads(line) for line in exported(job, "openai").splitlines()]
    assert [line["custom_id"] for line in lines] == ["+id0", "+id1", "+id2", "+id3"]
    assert lines[0]["response"]["status_code"] == 200
    assert lines[0]["response"]["body"]["choices"][0]["message"]["content"] == "好"
    assert lines[1]["error"] is None
    assert lines[1]["response"]["status_code"] == 400
    assert lines[1]["response"]["body"] == {"error": {"message": "no"}}
    assert lines[3]["response"] is None
    assert lines[3]["error"] == {"code": "timeout", "message": "no answer"}
    assert all(list(line) == ["id", "custom_id", "response", "error"] for line in lines)


def test_file_names_are_clean(job):
    assert export.filename(job, "jsonl") == f"问题 - ..-x-{job.id}.jsonl"
    assert "/" not in export.filename(job, "csv", "failed")
    assert export.filename(job, "openai", "failed").endswith("-failed-openai.jsonl")


def test_what_cannot_be_exported_is_reported(job):
    with pytest.raises(InvalidInput, match="jsonl"):
        export.export(job.id, "xml")
    with pytest.raises(InvalidInput, match="succeeded"):
        export.export(job.id, "json", "some")
    with pytest.raises(NotFound):
        export.export(999, "json")


def test_outcome_finish_reason_and_reasoning_are_exported(job):
    response = {
        "choices": [{"message": {"content": "<think>Hm.</think>Yes", "reasoning": "So."}}],
        "usage": {"completion_tokens_details": {"reasoning_tokens": 0}},
    }
    Result.update(
        outcome="cut_off", finish_reason="length", response=json.dumps(response).encode()
    ).where(Result.idx == 2).execute()
    Result.update(outcome="ok").where(Result.idx == 0).execute()
    lines = [json.loads(line) for line in exported(job, "jsonl").splitlines()]
    named = [(line["outcome"], line["finish_reason"], line["reasoning"]) for line in lines]
    third = ("cut_off", "length", "So.\n\nHm.")
    assert named == [("ok", None, None), (None, None, None), third, *[(None, None, None)] * 2]
    assert lines[2]["response"] == response
    table = list(csv.DictReader(io.StringIO(exported(job, "csv").decode("utf-8-sig"))))
    shown = [table[2][name] for name in ("content", "outcome", "finish_reason", "reasoning")]
    assert shown == ["Yes", *third]
    wanted = RequestFilter(outcome="cut_off")
    (only,) = export.export(job.id, "jsonl", wanted=wanted)
    assert json.loads(only)["index"] == 2


def test_columns_of_the_user_and_fields_of_the_schema_keep_their_names():
    fields = Fields({"type": "object", "properties": {"reasoning": {}, "custom_id": {}}})
    names = [column.name for column in Table(["outcome", "content"], fields).columns]
    assert names[:6] == [
        *["outcome", "content", "result_content", "reasoning", "result_custom_id", "index"]
    ]
    assert {"result_outcome", "finish_reason", "result_reasoning", "custom_id"} <= set(names)
    assert len(set(names)) == len(names)
