"""LOG_FORMAT=json: every line that a real process writes to its log is an object."""

import json
import logging

import requests

from simple_batch.core import log, settings

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..process import gunicorn, served
from ..test_processes import add_config, create_job, shown, wait_until


def test_a_server_and_gunicorn_log_objects(instance, questions):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(instance, endpoint)
        running = gunicorn(instance, SIMPLE_BATCH_LOG_FORMAT="json")
        job_id = create_job(instance, questions, 20)
        wait_until(lambda: shown(instance, job_id)["status"] == "completed")
        assert requests.post(f"{running.url}/v1/batches", json={}).status_code >= 400
        assert running.stop() == 0
    lines = [json.loads(line) for line in running.lines]  # stdout and stderr
    assert all({"ts", "level", "logger", "message"} <= line.keys() for line in lines)
    assert {"gunicorn.error", "simple_batch.runner.job_runs"} <= {x["logger"] for x in lines}
    text = (instance / "logs" / "simple_batch.log").read_text().splitlines()
    assert any(f"job {job_id} runs" in json.loads(x)["message"] for x in text if x[0] == "{")


def test_objects_have_context_exception_and_no_key(tmp_path):
    loaded = settings.load(
        {}, INSTANCE_PATH=str(tmp_path), LOG_DIR=str(tmp_path / "logs"), LOG_FORMAT="json"
    )
    log.configure(loaded)
    token = log.context.set("job 12")
    try:
        try:
            raise ValueError('{"authorization": "Bearer abcdef0123456789"}\nsecond line')
        except ValueError:
            logging.getLogger("t").exception("“%s” failed: sk-abcdef0123456789", "名")
        log.context.set("req 3f2a")
        logging.getLogger("t").warning("x", extra={"path": "/a", "key": ["sk-abcdef0123456789"]})
        log.context.set("-")
        logging.getLogger("t").warning("Bearer abcdef0123456789")
    finally:
        log.context.reset(token)
        log.configure(settings.load({}, INSTANCE_PATH=str(tmp_path), LOG_DIR=""))
    text = (tmp_path / "logs" / "simple_batch.log").read_text("utf-8")
    assert "abcdef" not in text
    first, second, third = map(json.loads, text.splitlines())
    assert first["ts"].endswith("Z")
    assert first | {"ts": "", "exception": ""} == {
        "ts": "",
        "level": "ERROR",
        "logger": "t",
        "message": "“名” failed: [key]",
        "exception": "",
        "job": 12,
    }
    assert "second line" in first["exception"]
    assert second["request"] == "3f2a"
    assert (second["path"], second["key"]) == ("/a", "['[key]']")
    assert "job" not in third
    assert "request" not in third


def test_a_server_in_one_process_logs_objects_to_stderr(instance):
    running = served(instance, SIMPLE_BATCH_LOG_FORMAT="json", SIMPLE_BATCH_LOG_DIR="")
    assert running.stop() == 0
    output = [line for line in running.lines if not line.startswith("{")]
    assert [line.split(":")[0] for line in output] == [
        "database ready",
        "scheduler started",
        "Running on local URL",
        "Stopping",
    ]
    logged = [json.loads(line) for line in running.lines if line.startswith("{")]
    assert not logged or all("ts" in line for line in logged)
