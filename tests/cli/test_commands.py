"""The commands as a user types them: streams and exit codes."""

import contextlib
import csv
import io
import json
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from .. import endpoint as e
from .. import postgres
from ..endpoint import MisbehavingEndpoint
from ..process import ROOT, environment, flask

KEY = "sk-planted-0123456789"


@pytest.fixture
def good(instance):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        done = flask(
            instance,
            "add-config",
            "good",
            "--base-url",
            endpoint.base_url,
            "--model",
            "m",
            "--key-env",
            "MY_KEY",
            "--input-price",
            "0.5",
            "--output-price",
            "1.5",
            MY_KEY=KEY,
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        yield endpoint


def test_configs(instance, good):
    listed = flask(instance, "list-configs", "--json")
    (config,) = json.loads(listed.stdout)
    assert (config["alias"], config["key_last4"]) == ("good", "6789")
    assert (config["input_price"], config["output_price"]) == (0.5, 1.5)
    assert KEY not in listed.stdout + listed.stderr
    assert flask(instance, "test-config", "good").returncode == 0
    good.script[:] = [e.error(401, f"Incorrect API key provided: {KEY}")]
    failed = flask(instance, "test-config", "good")
    assert failed.returncode == 4
    assert KEY not in failed.stdout + failed.stderr
    assert flask(instance, "test-config", "other").returncode == 1
    assert flask(instance, "remove-config", "good").returncode == 0
    assert json.loads(flask(instance, "list-configs", "--json").stdout) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--base-url", "ftp://x/v1"), "http"),
        (("--base-url", "http://x/v1", "--concurrency", "0"), "Concurrency"),
        (("--base-url", "http://x/v1", "--concurrency", str(10**9)), "Concurrency"),
        (("--base-url", "http://x/v1", "--temperature", "nan"), "Temperature"),
        (("--base-url", "http://x/v1", "--key-env", "NOT_SET"), "NOT_SET"),
        (("--base-url", "http://x/v1", "--input-price", "-1"), "price"),
    ],
)
def test_a_wrong_option_is_exit_code_2(instance, options, expected):
    done = flask(instance, "add-config", "a", "--model", "m", *options)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_run_job_from_a_file_to_a_file(instance, good, questions, tmp_path):
    out = tmp_path / "answers.csv"
    done = flask(instance, "run-job", str(questions(12)), "--config", "good", "-o", str(out))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    rows = list(csv.DictReader(io.StringIO(out.read_text("utf-8-sig"))))
    assert [row["content"] for row in rows] == ["fine"] * 12
    assert rows[3]["prompt"] == "question 4"
    assert rows[3]["custom_id"] == "request-4"


def test_what_the_exit_codes_say(instance, good, questions):
    good.script[:] = [e.ok(), e.error(400, "bad"), e.ok()]
    some_failed = flask(instance, "run-job", str(questions(3)), "--config", "good")
    assert some_failed.returncode == 3, some_failed.stderr
    good.script[:] = [e.error(401, "wrong key")]
    bad_key = flask(instance, "run-job", str(questions(4)), "--config", "good")
    assert bad_key.returncode == 4
    assert "wrong key" in bad_key.stderr
    assert flask(instance, "run-job", "77").returncode == 1
    assert flask(instance, "run-job", "1").returncode == 1  # completed already
    assert flask(instance, "run-job", "nofile.jsonl", "--config", "good").returncode == 2
    assert flask(instance, "run-job", str(questions(3))).returncode == 2
    assert flask(instance, "retry-job", "1").returncode == 0
    good.script[:] = [e.ok()]
    assert flask(instance, "run-job", "1").returncode == 0
    assert flask(instance, "cancel-job", "2").returncode == 0
    assert flask(instance, "watch-job", "2").returncode == 5
    assert flask(instance, "delete-job", "2").returncode == 2  # no terminal to ask on
    assert flask(instance, "delete-job", "2", "--yes").returncode == 0
    assert flask(instance, "show-job", "2").returncode == 1


def test_cancelled_requests_are_retried_by_their_cause(instance, good, questions):
    flask(instance, "create-job", str(questions(3)), "--config", "good", "--no-start")
    assert flask(instance, "cancel-job", "1").returncode == 0
    assert flask(instance, "retry-job", "1", "--cause", "timeout").returncode == 1
    assert flask(instance, "retry-job", "1").returncode == 1  # no request has failed
    done = flask(instance, "retry-job", "1", "--cause", "cancelled")
    assert done.returncode == 0, done.stderr
    assert "3 requests of job 1" in done.stderr
    assert flask(instance, "run-job", "1").returncode == 0


@pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")
def test_a_database_that_stays_locked_is_reported(instance, good):
    with contextlib.closing(sqlite3.connect(instance / "simple_batch.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        done = flask(instance, "create-token", "x")
    assert done.returncode == 4, done.stderr
    assert "another process holds the database" in done.stderr
    assert "Traceback" not in done.stderr


def test_show_job_is_the_object_of_the_contract(instance, good, questions):
    flask(instance, "run-job", str(questions(5)), "--config", "good", "--name", "五")
    found = json.loads(flask(instance, "show-job", "1", "--json").stdout)
    assert list(found) == [
        "id",
        "name",
        "status",
        "status_reason",
        "total",
        "succeeded",
        "failed",
        "cancelled",
        "pending",
        "attempts",
        "retries",
        "created_at",
        "started_at",
        "finished_at",
        "elapsed_s",
        "requests_per_second",
        "latency_ms",
        "tokens",
        "cost",
        "errors",
        "outcomes",
        "outcome_status",
        "waiting",
        "saved",
        "first_token_ms",
        "service",
        "parts",
        "tags",
        "ratings",
    ]
    assert list(found["latency_ms"]) == ["p50", "p90", "p95", "p99", "mean"]
    names = ["input", "output", "total", "cached", "reasoning", "cache_write", "estimated"]
    assert list(found["tokens"]) == names
    assert (found["name"], found["succeeded"], found["pending"]) == ("五", 5, 0)
    assert found["tokens"] == {
        "input": 35,
        "output": 15,
        "total": 50,
        "cached": 10,
        "reasoning": 5,
        "cache_write": 0,
        "estimated": 0,
    }
    assert found["cost"] == {
        "amount": pytest.approx((35 * 0.5 + 15 * 1.5) / 1e6),
        "currency": "USD",
    }
    assert found["created_at"].endswith("Z")
    assert json.loads(flask(instance, "list-jobs", "--json").stdout) == [found]
    assert json.loads(flask(instance, "list-jobs", "--json", "--status", "failed").stdout) == []


def test_a_held_job_and_its_states(instance, good, questions):
    made = flask(instance, "create-job", str(questions(3)), "--config", "good", "--no-start")
    assert made.stdout == "1\n"
    assert good.calls == 0
    found = json.loads(flask(instance, "show-job", "1", "--json").stdout)
    assert (found["status"], found["status_reason"]) == ("paused", "held")
    assert flask(instance, "pause-job", "1").returncode == 1
    assert flask(instance, "resume-job", "1").returncode == 0
    assert flask(instance, "pause-job", "1").returncode == 0
    assert flask(instance, "run-job", "1").returncode == 0
    assert flask(instance, "reset-job", "1", "--yes").returncode == 0
    found = json.loads(flask(instance, "show-job", "1", "--json").stdout)
    assert (found["status"], found["succeeded"], found["cost"]["amount"]) == ("paused", 0, 0)


def test_a_job_from_standard_input(instance, good):
    line = json.dumps({"messages": [{"role": "user", "content": "hi"}], "custom_id": "mine"})
    made = flask(instance, "create-job", "-", "--config", "good", stdin=line + "\n")
    assert made.stdout == "1\n"
    exported = flask(instance, "export-job", "1", "-o", "-")
    (result,) = [json.loads(line) for line in exported.stdout.splitlines()]
    assert (result["custom_id"], result["status"]) == ("mine", "pending")


def test_a_faulty_file_lists_its_lines(instance, good, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "x"}]}\n' + "{broken\n" * 25)
    done = flask(instance, "create-job", str(path), "--config", "good")
    assert (done.returncode, done.stdout) == (1, "")
    assert "line 2:" in done.stderr
    assert "and 5 more" in done.stderr
    assert json.loads(flask(instance, "list-jobs", "--json").stdout) == []
    kept = flask(instance, "create-job", str(path), "--config", "good", "--skip-faulty")
    assert kept.returncode == 0
    (tmp_path / "x.csv").write_text("id,question\n1,hi\n")
    table = flask(instance, "create-job", str(tmp_path / "x.csv"), "--config", "good")
    assert table.returncode == 1
    assert "a template is needed" in table.stderr


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "openai"])
def test_export_to_files_and_standard_output(instance, good, questions, tmp_path, form):
    good.script[:] = [e.ok(), e.error(400, "bad"), e.ok()]
    flask(instance, "run-job", str(questions(3)), "--config", "good")
    path = tmp_path / "sub" / "out"
    done = flask(instance, "export-job", "1", "-o", str(path), "--format", form)
    assert done.returncode == 0, done.stderr
    piped = flask(instance, "export-job", "1", "-o", "-", "--format", form)
    assert piped.stdout.encode() == path.read_bytes().replace(b"\r\n", b"\n")
    failed = flask(instance, "export-job", "1", "-o", "-", "--format", form, "--only", "failed")
    assert 0 < len(failed.stdout) < len(piped.stdout)
    assert list(path.parent.iterdir()) == [path]


def test_a_format_that_is_not_there_is_reported(instance, good, questions):
    flask(instance, "create-job", str(questions(1)), "--config", "good", "--no-start")
    done = flask(instance, "export-job", "1", "-o", "-", "--format", "xml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "csv" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(instance, good, questions):
    flask(instance, "create-job", str(questions(5000)), "--config", "good", "--no-start")
    done = subprocess.run(
        f"{sys.executable} -m flask export-job 1 -o - | head -1",
        shell=True,
        cwd=ROOT,
        env=environment(instance),
        capture_output=True,
        text=True,
    )
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_ctrl_c_is_130_and_the_job_goes_on_later(instance, good, questions):
    good.script[:] = [e.slow(0.05)]
    running = subprocess.Popen(
        [sys.executable, "-m", "flask", "run-job", str(questions(400)), "--config", "good"],
        cwd=ROOT,
        env=environment(instance),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 90
    while good.calls < 10 and time.monotonic() < end:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, words = running.communicate(timeout=90)
    assert running.returncode == 130, words
    assert "flask run-job 1" in words
    good.script[:] = [e.ok()]
    assert flask(instance, "run-job", "1").returncode == 0
    assert json.loads(flask(instance, "show-job", "1", "--json").stdout)["succeeded"] == 400
    assert good.calls == 400


def test_the_demo_needs_no_key(instance):
    done = flask(instance, "demo", "--requests", "30", "--fail", "0")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "Results:" in done.stderr
    assert json.loads(flask(instance, "show-job", "1", "--json").stdout)["succeeded"] == 30


def test_commands_name_the_setting_that_is_wrong(instance):
    done = flask(instance, "list-jobs", SIMPLE_BATCH_DEFAULT_CONCURRENCY="many")
    assert done.returncode == 4
    assert "DEFAULT_CONCURRENCY" in done.stderr
    assert "Traceback" not in done.stderr
    (instance / "broken.db").parent.mkdir(parents=True, exist_ok=True)
    (instance / "broken.db").write_bytes(b"no database" * 500)
    url = f"sqlite:///{instance}/broken.db"
    done = flask(instance, "list-jobs", SIMPLE_BATCH_DATABASE_URL=url)
    assert done.returncode == 4
    assert "broken.db" in done.stderr
    assert "Traceback" not in done.stderr


def test_flasks_own_commands_know_the_pages(instance):
    done = subprocess.run(
        [sys.executable, "-m", "flask", "routes"],
        cwd=ROOT,
        env=environment(instance),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "/jobs/<int:job_id>/requests" in done.stdout


def test_a_demo_of_more_questions_than_there_are_asks_them_again(db, endpoint):
    from simple_batch.services import demo_job

    job = demo_job.prepare(endpoint.base_url, 1500)
    assert job.total == 1500


def test_providers_are_listed_with_their_regions(instance):
    listed = flask(instance, "list-providers", "--json")
    assert listed.returncode == 0
    entries = {entry["id"]: entry for entry in json.loads(listed.stdout)}
    assert entries["deepseek"]["regions"] == {"global": "https://api.deepseek.com/v1"}
    assert entries["anthropic"]["auth"] == "x-api-key"
    table = flask(instance, "list-providers").stdout.splitlines()
    assert table[0].split() == ["id", "name", "region", "base", "URL", "key", "model"]
    assert any("dashscope-intl.aliyuncs.com" in line and "Singapore" in line for line in table)
