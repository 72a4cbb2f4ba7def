"""Outcomes of a job's answers, from a real endpoint to the counters, and answers treated as failed."""

import json
import random
from decimal import Decimal

import gevent
import pytest

from simple_batch import export, insight
from simple_batch.core.domain import Outcome, Spread
from simple_batch.core.errors import Conflict, InvalidInput
from simple_batch.services import job_creation, job_retry, jobs
from simple_batch.services.job_options import ExtraConfig
from simple_batch.store import response_cache
from simple_batch.store.database import connected
from simple_batch.store.models import KeptAnswer, Result
from simple_batch.store.request_filter import RequestFilter

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..process import served
from .test_job_run import ENDED, agrees

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CUT = e.says("half a sent", finish_reason="length")
REFUSED = e.says(None, finish_reason="stop", message={"refusal": "I cannot help with that"})
FILTERED = e.says("", finish_reason="content_filter")
EMPTY = e.says("<think>so</think>", finish_reason="stop")
TOOL = e.says(None, finish_reason="tool_calls", message={"tool_calls": [CALL]})
GOOD = e.says("fine", finish_reason="stop")
UNWANTED = (Outcome.CUT_OFF, Outcome.REFUSED, Outcome.EMPTY)


@pytest.fixture
def endpoint(add_config):
    with MisbehavingEndpoint(GOOD) as served:
        add_config(served.base_url, concurrency=1, input_price=Decimal(1), output_price=Decimal(2))
        yield served


def by_request(endpoint, *scripts) -> list:
    """The script of an endpoint that gives each request the answers of one script."""
    left = [list(script) for script in scripts]

    def answer(connection):
        number = int(endpoint.bodies[-1]["messages"][0]["content"].rpartition(" ")[2])
        connection.sendall(left[number - 1].pop(0))

    return [answer]


def outcomes(job_id: int) -> dict[str, int]:
    with connected():
        return {one: n for one, n in insight.summary(job_id)["outcomes"].items() if n}


def stored(job_id: int) -> list[Result]:
    with connected():
        return list(Result.select().where(Result.job == job_id).order_by(Result.idx))


def test_each_answer_has_its_outcome(start, endpoint, make_job, wait_for):
    endpoint.script = [CUT, REFUSED, FILTERED, EMPTY, TOOL, GOOD]
    job_id = make_job(8)
    assert wait_for(job_id, *ENDED).succeeded == 8
    agrees(job_id)
    assert outcomes(job_id) == {"cut_off": 1, "refused": 2, "empty": 1, "tool_call": 1, "ok": 3}
    expected = [
        *(("cut_off", "length"), ("refused", "stop"), ("refused", "content_filter")),
        *(("empty", "stop"), ("tool_call", "tool_calls"), *[("ok", "stop")] * 3),
    ]
    assert [(row.outcome, row.finish_reason) for row in stored(job_id)] == expected
    with connected():
        assert insight.progress(job_id)["outcomes"] == insight.summary(job_id)["outcomes"]
        for outcome, count in outcomes(job_id).items():
            wanted = RequestFilter.parse({"outcome": outcome})
            assert insight.requests_page(job_id, wanted).total == count
            assert wanted.to_args() == {"outcome": outcome}
        with pytest.raises(InvalidInput, match="outcome"):
            RequestFilter.parse({"outcome": "good"})


def test_schema_and_error_have_their_outcomes(start, endpoint, make_job, wait_for):
    endpoint.script = [
        e.says({"a": 1}),
        e.says("no"),
        REFUSED,
        e.error(400, "no"),
        e.says({"a": 2}),
    ]
    job_id = make_job(5, schema={"type": "object", "required": ["a"]}, schema_mode="check")
    wait_for(job_id, *ENDED)
    agrees(job_id)
    found = [(row.status, row.cause, row.outcome) for row in stored(job_id)]
    assert found == [
        ("succeeded", None, "ok"),
        ("failed", "schema", "schema"),
        ("failed", "content_filter", "refused"),
        ("failed", "bad_request", None),
        ("succeeded", None, "ok"),
    ]


def test_answers_treated_as_failed_are_retried(start, endpoint, make_job, wait_for):
    endpoint.script = by_request(endpoint, [CUT, GOOD], [EMPTY, REFUSED, GOOD])
    job_id = make_job(2, as_failed=UNWANTED, max_retries=2)
    job = wait_for(job_id, *ENDED)
    assert (job.succeeded, job.failed, job.attempts, job.retries) == (2, 0, 5, 3)
    assert (job.input_tokens, job.output_tokens) == (5 * 7, 5 * 3)
    assert job.cost_nano == 5 * 13_000
    agrees(job_id)
    assert outcomes(job_id) == {"ok": 2}
    with connected():
        tried = [row["message"] for row in insight.request_detail(job_id, 1)["attempts"]]
    assert tried[:2] == [
        "the answer has no text and no tool call (stop)",
        "the model refuses: I cannot help with that",
    ]


@pytest.mark.parametrize(
    ("answer", "outcome", "cause", "message"),
    [
        (CUT, "cut_off", "bad_response", "the answer is cut off (length)"),
        (EMPTY, "empty", "bad_response", "the answer has no text and no tool call (stop)"),
        (REFUSED, "refused", "content_filter", "the model refuses: I cannot help with that"),
        (FILTERED, "refused", "content_filter",
         "the provider's filter withholds the answer (content_filter)"),
    ],
)  # fmt: skip
def test_the_last_one_is_kept_with_the_failed_request(
    start, endpoint, make_job, wait_for, answer, outcome, cause, message
):
    endpoint.script = [answer]
    job_id = make_job(12, as_failed=UNWANTED, max_retries=1)  # more than would pause a job
    job = wait_for(job_id, *ENDED)
    assert (job.status, job.failed, endpoint.calls) == ("completed", 12, 24)
    assert (job.output_tokens, job.cost_nano) == (24 * 3, 24 * 13_000)
    agrees(job_id)
    assert outcomes(job_id) == {outcome: 12}
    row = stored(job_id)[0]
    assert (row.outcome, row.cause, row.message, row.attempts) == (outcome, cause, message, 2)
    assert bytes(row.response) == answer.partition(b"\r\n\r\n")[2]
    with connected():
        (line, *_rest) = (json.loads(one) for one in export.export(job_id, "jsonl"))
        assert line["error"]["cause"] == cause
        assert line["response"]["model"] == "m-1"


def test_only_the_outcomes_that_are_named(start, endpoint, make_job, wait_for):
    endpoint.script = by_request(endpoint, [CUT], [EMPTY, EMPTY], [GOOD])
    job_id = make_job(3, as_failed=(Outcome.EMPTY,), max_retries=1)
    wait_for(job_id, *ENDED)
    agrees(job_id)
    assert [(row.status, row.outcome) for row in stored(job_id)] == [
        ("succeeded", "cut_off"),
        ("failed", "empty"),
        ("succeeded", "ok"),
    ]


def test_an_answer_that_is_cut_off_is_not_checked_by_the_schema(
    start, endpoint, make_job, wait_for
):
    endpoint.script = [CUT, e.says({"a": 1})]
    schema = {"type": "object", "required": ["a"]}
    job_id = make_job(1, schema=schema, as_failed=(Outcome.CUT_OFF,), max_retries=1)
    assert wait_for(job_id, *ENDED).succeeded == 1
    agrees(job_id)


@pytest.mark.parametrize("answer", [CUT, REFUSED])
@pytest.mark.parametrize("spread", [Spread.ORDER, Spread.WEIGHT])
def test_the_next_api_is_tried(start, endpoint, add_config, make_job, wait_for, answer, spread):
    endpoint.script = [answer]
    with MisbehavingEndpoint(GOOD) as other:
        add_config(other.base_url, alias="b", concurrency=1)
        job_id = make_job(
            20, also=(ExtraConfig("b"),), spread=spread, as_failed=UNWANTED, max_retries=0
        )
        assert wait_for(job_id, *ENDED).succeeded == 20
        agrees(job_id)
        other.script = [answer]
        job_id = make_job(
            4, also=(ExtraConfig("b"),), spread=spread, as_failed=UNWANTED, max_retries=0
        )
        assert wait_for(job_id, *ENDED).failed == 4
    agrees(job_id)


def test_an_error_at_the_end_is_tried_again(start, endpoint, make_job, wait_for):
    endpoint.script = [e.says("half", finish_reason="error"), GOOD]
    job_id = make_job(1)
    assert wait_for(job_id, *ENDED).attempts == 2
    assert outcomes(job_id) == {"ok": 1}


def test_only_good_answers_are_kept_for_other_jobs(start, endpoint, make_job, wait_for):
    endpoint.script = [CUT, REFUSED, EMPTY, TOOL, GOOD]
    first = make_job(5, reuse_hours=1.0)
    wait_for(first, *ENDED)
    endpoint.script = [GOOD]
    second = make_job(5, reuse_hours=1.0)
    assert wait_for(second, *ENDED).saved_calls == 2
    assert endpoint.calls == 5 + 3
    agrees(second)
    assert outcomes(second) == {"ok": 4, "tool_call": 1}
    with connected():  # as an older version has kept it
        KeptAnswer.update(response=CUT.partition(b"\r\n\r\n")[2]).execute()
    third = make_job(5, reuse_hours=1.0)
    assert wait_for(third, *ENDED).saved_calls == 0
    agrees(third)
    assert None in response_cache.REUSABLE


def test_duplicates_have_the_outcome_of_their_original(start, endpoint, wait_for, tmp_path):
    endpoint.script = [CUT, GOOD, EMPTY]
    path = tmp_path / "r.jsonl"
    lines = [{"messages": [{"role": "user", "content": f"{n % 3}"}]} for n in range(30)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with connected():
        options = jobs.JobOptions(config="test", ask_once=True, as_failed=(Outcome.EMPTY,))
        options.max_retries = 0
        job_id = job_creation.create_now(path, path.name, options).id
    job = wait_for(job_id, *ENDED)
    assert (job.succeeded, job.failed, endpoint.calls) == (20, 10, 3)
    agrees(job_id)
    assert outcomes(job_id) == {"cut_off": 10, "ok": 10, "empty": 10}
    endpoint.script = [GOOD]
    with connected():
        job_retry.retry(job_id)
    wait_for(job_id, *ENDED)
    agrees(job_id)
    assert outcomes(job_id) == {"cut_off": 10, "ok": 20}


def sent_again(job_id: int, index: int) -> bool:
    """False while the job is finalizing, as it may be after the edit before."""
    try:
        job_retry.send_again(job_id, index, '{"messages": [{"role": "user", "content": "x"}]}')
    except Conflict:
        return False
    return True


def test_counters_follow_retries_edits_and_resets(start, endpoint, make_job, wait_for):
    rng = random.Random(3)
    answers = [CUT, REFUSED, EMPTY, TOOL, GOOD, GOOD, GOOD, e.error(400, "no")]
    endpoint.script = [lambda connection: connection.sendall(rng.choice(answers))]
    job_id = make_job(60, as_failed=(Outcome.EMPTY,), max_retries=0)
    wait_for(job_id, *ENDED)
    agrees(job_id)
    again = [
        lambda: job_retry.retry(job_id),
        lambda: job_retry.retry(job_id, RequestFilter(cause="bad_response")),
        lambda: job_retry.retry(job_id, RequestFilter(outcome="cut_off")),
        lambda: job_retry.retry(job_id, RequestFilter(outcome="empty")),
        lambda: [wait_until(lambda at=index: sent_again(job_id, at)) for index in range(5)],
        lambda: jobs.reset(job_id),
    ]
    for step in again:
        with connected():
            step()
        agrees(job_id)
        if step is again[-1]:
            assert outcomes(job_id) == {}
            with connected():
                jobs.resume(job_id)
        wait_for(job_id, *ENDED)
        agrees(job_id)


def test_the_pages_say_what_to_do_about_them(start, endpoint, make_job, wait_for, client):
    endpoint.script = by_request(endpoint, [CUT], [REFUSED], [EMPTY])
    job_id = make_job(3, as_failed=UNWANTED, max_retries=0)
    wait_for(job_id, *ENDED)
    english = (
        "Raise max tokens, or",
        "retry with another connection",
        "If it reasons before it answers",
    )
    chinese = ("请调高 max tokens", "换一个连接重试", "先推理")
    reasons = ("回答被截断（length）", "模型拒绝回答", "回答中没有文本，也没有工具调用（stop）")
    for index in range(3):
        page = client.get(f"/jobs/{job_id}/requests/{index}").text
        assert english[index] in page
        assert "wrong base URL" not in page
        page = client.get(
            f"/jobs/{job_id}/requests/{index}", headers={"Accept-Language": "zh"}
        ).text
        assert chinese[index] in page
        assert reasons[index] in page
    assert all(text in client.get(f"/jobs/{job_id}/errors").text for text in english)


def test_the_counters_are_exact_after_a_kill(app, instance, add_config, make_job, wait_for):
    answers = [CUT, REFUSED, EMPTY, TOOL, GOOD]

    def answer(connection):
        number = int(endpoint.bodies[-1]["messages"][0]["content"].rpartition(" ")[2])
        gevent.sleep(0.01)
        connection.sendall(answers[number % 5])

    with MisbehavingEndpoint(answer) as endpoint:
        add_config(endpoint.base_url, concurrency=3)
        job_id = make_job(200, as_failed=(Outcome.EMPTY,), max_retries=0)
        running = served(instance)
        wait_until(lambda: endpoint.calls >= 60)
        running.kill()
        agrees(job_id)
        assert 0 < sum(outcomes(job_id).values()) < 200
        running = served(instance)
        assert wait_for(job_id, *ENDED).failed == 40
        assert running.stop() == 0
    agrees(job_id)
    assert outcomes(job_id) == dict.fromkeys(("ok", "cut_off", "refused", "empty", "tool_call"), 40)
