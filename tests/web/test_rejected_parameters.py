"""Parameters that a model rejects, at the pages, the commands and the Batch API."""

import io
import json

import pytest

from simple_batch.services import adjusted_parameters, configs, job_creation, jobs
from simple_batch.store.database import connected

from ..emulators.rejecting import RejectingEndpoint, lines
from .test_pages import post

ASKED = {"messages": [{"role": "user", "content": "question"}]}


@pytest.fixture
def start(app):
    services = app.extensions["simple_batch"]
    assert services.start() == "here"
    yield services
    services.stop(2)


@pytest.fixture
def make_lines(app):
    def make(bodies, **choices) -> int:
        with connected():
            file = io.BytesIO(lines(bodies).encode())
            options = jobs.JobOptions(config="test", **choices)
            return job_creation.create_now(file, "lines.jsonl", options).id

    return make


def page_of(client, path: str) -> str:
    return client.get(path).get_data(as_text=True)


def test_the_page_of_a_config_shows_what_was_learned_and_undoes_it(
    start, client, add_config, make_lines, wait_for
):
    with RejectingEndpoint({"max_completion_tokens"}) as endpoint:
        config = add_config(endpoint.base_url, max_tokens=50, temperature=0.5)
        job = wait_for(make_lines([ASKED]), "completed")
    events = page_of(client, f"/jobs/{job.id}/events")
    assert "max_tokens is sent as max_completion_tokens" in events
    page = page_of(client, f"/configs/{config.id}")
    assert "temperature is left out" in page and "Unsupported parameter" in page
    chinese = client.get(f"/configs/{config.id}", headers={"Accept-Language": "zh"})
    assert "不再发送 temperature" in chinese.get_data(as_text=True)
    form = {"model": "m", "url": "/v1/chat/completions", "parameter": "temperature"}
    assert post(client, f"/configs/{config.id}/forget", **form).status_code == 303
    page = page_of(client, f"/configs/{config.id}")
    assert "temperature is left out" not in page and "max_completion_tokens" in page
    assert "Parameter adjustment undone" in page_of(client, "/audit")


def test_the_page_of_a_job_offers_to_leave_a_parameter_out(
    start, client, add_config, make_lines, wait_for
):
    with RejectingEndpoint(set()) as endpoint:
        add_config(endpoint.base_url)
        job_id = make_lines([{**ASKED, "temperature": 0.2}] * 4)
        wait_for(job_id, "paused")
        page = page_of(client, f"/jobs/{job_id}")
        assert "Leave temperature out of all" in page
        chinese = client.get(f"/jobs/{job_id}", headers={"Accept-Language": "zh"})
        assert "全部不发送 temperature" in chinese.get_data(as_text=True)
        answer = post(client, f"/jobs/{job_id}/resume", leave_out="messages")
        assert "cannot be left out" in page_of(client, answer.headers["Location"])
        post(client, f"/jobs/{job_id}/resume", leave_out="temperature")
        assert wait_for(job_id, "completed").succeeded == 4
    page = page_of(client, f"/jobs/{job_id}")
    assert "Left out of all requests: temperature" in page
    assert "Leave temperature out of all" not in page


def test_commands_say_what_was_adjusted(start, app, add_config, make_lines, wait_for):
    with RejectingEndpoint(set()) as endpoint:
        add_config(endpoint.base_url, temperature=0.5)
        wait_for(make_lines([ASKED]), "completed")
        run = app.test_cli_runner().invoke
        shown = run(args=["list-configs"])
        assert "test: temperature is left out (model m)" in shown.stderr
        (config,) = json.loads(run(args=["list-configs", "--json"]).stdout)
        assert config["adjustments"][0]["parameter"] == "temperature"
        assert config["adjustments"][0]["action"] == "leave_out"
        job_id = make_lines([{**ASKED, "top_p": 0.2}])
        wait_for(job_id, "paused")
        followed = run(args=["watch-job", str(job_id)])
        assert f"flask resume-job {job_id} --leave-out top_p" in followed.stderr
        assert run(args=["resume-job", str(job_id), "--leave-out", "top_p"]).exit_code == 0
        assert wait_for(job_id, "completed").succeeded == 1


def test_a_batch_is_not_paused_by_the_parameter_of_a_line(client, start, add_config, wait_for):
    with RejectingEndpoint(set()) as endpoint:
        add_config(endpoint.base_url, temperature=0.5)
        content = lines([{**ASKED, "model": "m"}, {**ASKED, "model": "m", "top_p": 0.2}])
        sent = {"purpose": "batch", "file": (io.BytesIO(content.encode()), "lines.jsonl")}
        file_id = client.post("/v1/files", data=sent).get_json()["id"]
        batch = client.post(
            "/v1/batches",
            json={
                "input_file_id": file_id,
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
            },
        ).get_json()
        job = wait_for(int(batch["id"].removeprefix("batch_")), "completed", "paused")
    assert (job.status, job.succeeded, job.failed) == ("completed", 1, 1)
    batch = client.get(f"/v1/batches/{batch['id']}").get_json()
    errors = client.get(f"/v1/files/{batch['error_file_id']}/content").get_data(as_text=True)
    assert "top_p" in errors and "unsupported_parameter" in errors
    with connected():
        (known,) = adjusted_parameters.of_config(configs.get("test"))
    assert known.parameter == "temperature"
