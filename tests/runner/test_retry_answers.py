"""Answers that are cut off, refused or empty are sent again; commands that follow the job count them."""

import json
import re
from decimal import Decimal

import pytest

from simple_batch import export, insight
from simple_batch.cli.base import ExitStatus
from simple_batch.cli.follow import follow
from simple_batch.core.errors import Conflict, InvalidInput
from simple_batch.services import job_retry, jobs
from simple_batch.store.database import connected
from simple_batch.store.models import Attempt, Result
from simple_batch.store.request_filter import RequestFilter
from simple_batch.store.requeue import Changes

from .. import endpoint as e
from ..answers import NEEDED, MixedEndpoint
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from .test_job_run import agrees

DOUBLE = Changes(double_max_tokens=True)


@pytest.fixture
def mixed(start):
    with MixedEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def job_id(mixed, add_config, make_job, wait_for):
    add_config(mixed.base_url, max_tokens=NEEDED // 2, input_price=Decimal(1))
    job_id = make_job(6)
    wait_for(job_id, "completed")
    return job_id


def outcomes(job_id: int) -> dict[str, int]:
    """Those that there are, which are also those of the rows."""
    with connected():
        found = {name: n for name, n in insight.summary(job_id)["outcomes"].items() if n}
        rows = [row.outcome for row in Result.select().where(Result.job == job_id)]
    assert found == {name: rows.count(name) for name in set(rows)}
    agrees(job_id)
    return found


def retried(job_id: int, wait_for, outcome: str, other: Changes | None = None) -> int:
    with connected():
        count = job_retry.retry(job_id, RequestFilter(outcome=outcome), other)
    wait_for(job_id, "completed")
    return count


def test_cut_off_answers_are_sent_again_with_twice_the_tokens(job_id, mixed, wait_for):
    assert outcomes(job_id) == {"ok": 2, "cut_off": 1, "refused": 1, "empty": 1, "tool_call": 1}
    with connected():
        before = jobs.get(job_id)
    assert retried(job_id, wait_for, "cut_off", DOUBLE) == 1
    assert (mixed.calls, mixed.bodies[-1]["max_tokens"]) == (7, NEEDED)
    assert outcomes(job_id) == {"ok": 3, "refused": 1, "empty": 1, "tool_call": 1}
    with connected():
        job = jobs.get(job_id)
        assert (job.succeeded, job.attempts) == (6, 7)
        assert job.cost_nano * 6 == before.cost_nano * 7  # the old answer stays paid
        (kept,) = Attempt.select().where(Attempt.job == job_id)
        assert (kept.idx, kept.cause, "It begins" in kept.excerpt) == (1, "", True)
        found = insight.request_detail(job_id, 1)
        assert (found["answer"], len(found["attempts"])) == ("It ends.", 2)
        assert json.loads(found["body"])["max_tokens"] == NEEDED
        lines = [json.loads(line) for line in export.export(job_id, "jsonl")]
        assert [line["request"].get("max_tokens") for line in lines[:3]] == [None, NEEDED, None]
        with pytest.raises(Conflict, match="No answer matches"):
            job_retry.retry(job_id, RequestFilter(outcome="cut_off"), DOUBLE)


def test_outcomes_and_reasoning_on_pages_and_in_exports_by_url(job_id, client):
    report = client.get(f"/jobs/{job_id}/report.html").text
    for word in ("OK", "cut off", "refused", "empty", "tool call"):
        assert f"Answers: {word}</th>" in report
    assert "Answers: doesn" not in report
    exported = client.get(f"/jobs/{job_id}/export?format=jsonl&outcome=cut_off").text
    assert [json.loads(line)["index"] for line in exported.splitlines()] == [1]
    table = client.get(f"/jobs/{job_id}/requests").text
    assert "fine" in table and "Hm." not in table
    page = client.get(f"/jobs/{job_id}/requests/5").text
    assert "Hm." in page and "think" in page  # apart from the answer, and in the raw response
    assert re.search(r'id="answer-text">\s*fine</pre>', page)


def test_refused_answers_go_to_another_api(job_id, add_config, wait_for):
    with MisbehavingEndpoint(e.says("Gladly.", finish_reason="stop")) as other:
        second = add_config(other.base_url, alias="second", model="m2")
        assert retried(job_id, wait_for, "refused", Changes(config_id=second.id)) == 1
        assert [body["model"] for body in other.bodies] == ["m2"]
    assert outcomes(job_id) == {"ok": 3, "cut_off": 1, "empty": 1, "tool_call": 1}


def test_an_answer_that_stays_empty_has_its_outcome_again(job_id, mixed, wait_for):
    before = outcomes(job_id)
    assert retried(job_id, wait_for, "empty") == 1
    assert outcomes(job_id) == before
    with connected():
        attempts = Attempt.select().where(Attempt.cause == "").count()
        assert (attempts, jobs.get(job_id).attempts) == (1, 7)


def test_selected_requests_are_retried_where_their_answer_is_unwanted(job_id, wait_for, mixed):
    with connected():
        assert job_retry.retry_requests(job_id, [0, 1, 2, 3, 4, 5]) == 3
    wait_for(job_id, "completed")
    assert mixed.calls == 9
    assert outcomes(job_id) == {"ok": 2, "cut_off": 1, "refused": 1, "empty": 1, "tool_call": 1}


@pytest.mark.parametrize(
    ("wanted", "other", "expected"),
    [
        ({"outcome": "ok"}, None, "OK"),
        ({}, DOUBLE, "Choose an outcome"),
        ({"outcome": "cut_off"}, Changes(max_tokens=5, double_max_tokens=True), "not both"),
    ],
)
def test_what_is_not_retried(job_id, wanted, other, expected):
    with connected(), pytest.raises(InvalidInput, match=expected):
        job_retry.retry(job_id, RequestFilter(**wanted), other)


def test_many_answers_are_given_back_in_the_background(
    mixed, add_config, make_job, wait_for, monkeypatch
):
    add_config(mixed.base_url, max_tokens=NEEDED // 2)
    job_id = make_job(300)
    wait_for(job_id, "completed")
    monkeypatch.setattr(jobs, "AT_ONCE_S", 0.0)
    with connected():
        some = job_retry.retry(job_id, RequestFilter(outcome="cut_off"), DOUBLE)
    assert 0 < some < 50
    wait_until(lambda: wait_for(job_id, "completed").outcome_cut_off == 0)
    assert outcomes(job_id) == {"ok": 150, "refused": 50, "empty": 50, "tool_call": 50}
    assert mixed.calls == 350


def test_an_answer_that_is_sent_again_is_not_one_of_other_jobs(
    mixed, add_config, make_job, wait_for
):
    add_config(mixed.base_url)
    job_id = make_job(6, reuse_hours=1.0)
    wait_for(job_id, "completed")
    assert retried(job_id, wait_for, "tool_call") == 1
    assert mixed.calls == 7


def test_an_answer_treated_as_failed_is_retried_by_its_outcome_too(
    mixed, add_config, make_job, wait_for
):
    add_config(mixed.base_url, max_tokens=NEEDED // 2)
    job_id = make_job(6, as_failed=("cut_off", "empty"), max_retries=0)
    assert wait_for(job_id, "completed").failed == 2
    assert retried(job_id, wait_for, "cut_off", DOUBLE) == 1
    assert outcomes(job_id) == {"ok": 3, "refused": 1, "empty": 1, "tool_call": 1}


@pytest.mark.parametrize(
    ("options", "fail_on", "expected", "said"),
    [
        ({}, None, ExitStatus.DONE, ""),
        ({"fail_on": ("cut_off", "schema")}, None, ExitStatus.SOME_FAILED, "1 cut off"),
        ({"fail_on": ("schema",)}, None, ExitStatus.DONE, ""),
        ({"fail_on": ("cut_off",)}, ("empty", "refused"), ExitStatus.SOME_FAILED, "1 empty, 1 refused"),
        ({"as_failed": ("empty",), "max_retries": 0}, None, ExitStatus.SOME_FAILED, ""),
    ],
)  # fmt: skip
def test_a_command_that_follows_a_job_exits_by_its_outcomes(
    mixed, add_config, make_job, wait_for, capsys, options, fail_on, expected, said
):
    add_config(mixed.base_url)
    job_id = make_job(6, **options)
    with connected():
        assert follow(job_id, 0.01, fail_on) == expected
    text = capsys.readouterr().err
    if "as_failed" in options:
        assert "5 succeeded: 2 ok, 1 cut off, 1 refused, 1 tool call; 1 failed." in text
    else:
        ended = "6 succeeded: 2 ok, 1 cut off, 1 refused, 1 empty, 1 tool call; 0 failed."
        assert ended in text
    assert ("--fail-on" in text) == bool(said)
    assert said in text


def test_a_job_of_good_answers_is_only_counted(endpoint, start, add_config, make_job, capsys):
    with MisbehavingEndpoint(e.ok()) as good:
        add_config(good.base_url)
        job_id = make_job(3)
        with connected():
            assert follow(job_id, 0.01) == ExitStatus.DONE
    assert f"Job {job_id}: 3 succeeded, 0 failed.\n" in capsys.readouterr().err
