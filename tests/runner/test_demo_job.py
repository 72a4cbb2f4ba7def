"""The first visit: three steps, and the demo at a click."""

import pytest

from simple_batch.services import demo_job, jobs
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, Job

from ..conftest import wait_until


@pytest.fixture(autouse=True)
def own_endpoint(monkeypatch):
    monkeypatch.setattr(demo_job, "PORT", 0)
    monkeypatch.setattr(demo_job, "FAIL", 0.0)
    monkeypatch.setattr(demo_job, "start_endpoint", start_endpoint)
    yield
    demo_job.stop()


def start_endpoint(fail=0.0):
    return demo_job.demo_endpoint.start(latency=0.02, jitter=0.0, fail=fail)


def post_demo(client):
    page = client.get("/jobs").text
    assert "Run the free demo" in page
    return client.post("/demo", data={"csrf_token": token(page)})


def token(page: str) -> str:
    return page.split('name="csrf-token" content="')[1].split('"')[0]


def test_the_demo_runs_at_a_click(start, client, wait_for, monkeypatch):
    monkeypatch.setattr(demo_job.prepare, "__defaults__", (20,))
    answer = post_demo(client)
    assert answer.status_code == 303
    job_id = int(answer.location.rsplit("/", 1)[1])
    assert wait_for(job_id, "completed").succeeded == 20
    # the steps are gone: there is a job
    assert "Run the free demo" not in client.get("/jobs").text
    with connected():
        (config,) = ApiConfig.select()
        assert (config.alias, config.key_last4) == ("demo", "")


def test_a_second_click_runs_another_job_on_the_same_endpoint(start, client, wait_for, monkeypatch):
    monkeypatch.setattr(demo_job.prepare, "__defaults__", (3,))
    first = post_demo(client).location
    with connected():
        served = ApiConfig.get().base_url
    second = client.post("/demo", data={"csrf_token": token(client.get("/jobs").text)}).location
    assert first != second
    for address in (first, second):
        wait_for(int(address.rsplit("/", 1)[1]), "completed")
    with connected():
        assert ApiConfig.get().base_url == served


def test_after_a_restart_the_endpoint_is_there_for_what_is_left(
    start, client, make_job, add_config, wait_for, monkeypatch
):
    monkeypatch.setattr(demo_job.prepare, "__defaults__", (5,))
    job_id = int(post_demo(client).location.rsplit("/", 1)[1])
    wait_for(job_id, "completed")
    with connected():
        port = ApiConfig.get().base_url
        demo_job.stop()
        demo_job.resume()
        assert demo_job._own is None  # nothing is left
        jobs.reset(job_id)
        demo_job.resume()
        assert demo_job._own.base_url == port
        jobs.resume(job_id)
    assert wait_for(job_id, "completed").succeeded == 5


def test_a_connection_of_the_user_with_that_name_is_left_alone(start, client, add_config):
    add_config("https://api.example.com/v1", alias="demo", model="gpt-5")
    page = client.get("/jobs").text
    assert "Run the free demo" not in page
    assert "flask demo" in page
    client.post("/demo", data={"csrf_token": token(page)})
    assert "Use the command: flask demo" in client.get("/jobs").text.replace("’", "'")
    with connected():
        assert ApiConfig.get().base_url == "https://api.example.com/v1"
        assert Job.select().count() == 0


def test_the_steps_get_their_ticks(start, client, add_config, tmp_path):
    assert client.get("/jobs").text.count("first-step done") == 0
    add_config("https://api.example.com/v1", alias="mine")
    assert client.get("/jobs").text.count("first-step done") == 1
    assert "三步完成第一个任务" in client.get("/jobs?lang=zh").text


def test_where_this_machine_may_not_be_called_there_is_no_demo(start, client, monkeypatch):
    monkeypatch.setattr(demo_job.validation, "refusal", lambda host: "private")
    assert "Run the free demo" not in client.get("/jobs").text
    wait_until(lambda: not demo_job_offered(start))


def demo_job_offered(services) -> bool:
    with connected():
        return demo_job.offered()
