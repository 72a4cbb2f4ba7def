"""What answers are worth, as commands say it: counts, exit codes, exports and retries."""

import csv
import io
import json

import pytest

from ..answers import NEEDED, MixedEndpoint
from ..endpoint import MisbehavingEndpoint, error
from ..process import flask, served

ENDED = "Job 1: 6 succeeded: 2 ok, 1 cut off, 1 refused, 1 empty, 1 tool call; 0 failed."


@pytest.fixture
def mixed(instance):
    with MixedEndpoint() as endpoint:
        options = "--model", "m", "--max-tokens", str(NEEDED // 2), "--concurrency", "1"
        done = flask(instance, "add-config", "mix", "--base-url", endpoint.base_url, *options)
        assert done.returncode == 0, done.stderr
        yield endpoint


def test_a_job_from_its_run_to_the_retry_of_what_was_cut_off(instance, mixed, questions, tmp_path):
    out = tmp_path / "answers.csv"
    run = "run-job", str(questions(6)), "--config", "mix", "--fail-on", "cut_off, refused"
    done = flask(instance, *run, "-o", str(out))
    assert done.returncode == 3, done.stderr
    assert ENDED in done.stderr
    assert "--fail-on: 1 cut off, 1 refused" in done.stderr
    rows = list(csv.DictReader(io.StringIO(out.read_text("utf-8-sig"))))
    assert [(row["outcome"], row["finish_reason"], row["reasoning"]) for row in rows] == [
        ("ok", "stop", ""),
        ("cut_off", "length", ""),
        ("refused", "stop", ""),
        ("empty", "stop", ""),
        ("tool_call", "tool_calls", ""),
        ("ok", "stop", "Hm."),
    ]
    assert [row["content"] for row in rows][:4] == ["fine", "It begins", "I can't.", ""]
    assert rows[5]["content"] == "fine"
    assert flask(instance, "watch-job", "1").returncode == 3
    listed = flask(instance, "show-job", "1")
    assert "ok 2, cut_off 1, refused 1, empty 1, tool_call 1, schema 0" in listed.stdout
    again = flask(instance, "retry-job", "1", "--outcome", "cut_off", "--double-max-tokens")
    assert "1 request of job 1" in again.stderr
    assert flask(instance, "run-job", "1", "--fail-on", "cut_off").returncode == 0
    assert mixed.bodies[-1]["max_tokens"] == NEEDED
    figures = json.loads(flask(instance, "show-job", "1", "--json").stdout)
    assert (figures["outcomes"]["cut_off"], figures["outcomes"]["ok"]) == (0, 3)
    assert figures["outcome_status"] == "completed"
    exported = flask(instance, "export-job", "1", "-o", "-", "--outcome", "refused")
    (line,) = map(json.loads, exported.stdout.splitlines())
    assert (line["index"], line["outcome"]) == (2, "refused")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("run-job", "FILE", "--config", "mix", "--fail-on", "cutoff"), "The nearest is cut_off."),
        (("create-job", "FILE", "--config", "mix", "--as-failed", "ok"), "'ok' is not one of"),
        (("retry-job", "1", "--double-max-tokens"), "needs --outcome"),
        (("retry-job", "1", "--outcome", "ok"), "is not one of"),
    ],
)
def test_unknown_outcomes_are_refused_with_exit_code_2(
    instance, mixed, questions, arguments, expected
):
    file = str(questions(1))
    done = flask(instance, *(file if one == "FILE" else one for one in arguments))
    assert done.returncode == 2
    assert expected in done.stderr
    assert mixed.calls == 0


def test_the_closing_line_of_a_job_without_an_answer_counts_none(instance, questions):
    with MisbehavingEndpoint(error(400, "no such field")) as endpoint:
        options = "--base-url", endpoint.base_url, "--model", "m"
        assert flask(instance, "add-config", "bad", *options).returncode == 0
        done = flask(instance, "run-job", str(questions(2)), "--config", "bad")
    assert done.returncode == 3, done.stderr
    assert "Job 1: 0 succeeded, 2 failed." in done.stderr


def test_fail_on_holds_for_a_job_that_a_server_runs(instance, mixed, questions):
    server = served(instance)
    try:
        done = flask(
            instance, "run-job", str(questions(6)), "--config", "mix", "--fail-on", "refused"
        )
    finally:
        server.stop()
    assert done.returncode == 3, done.stderr
    assert "The job runs in the server or the workers" in done.stderr
    assert "--fail-on: 1 refused" in done.stderr
