"""The service of a job, and the batch API of a connection, by commands."""

import json

from simple_batch.services import configs, jobs
from simple_batch.store.database import connected

from ..process import flask


def test_it_reaches_the_job_and_the_settings_file(app, instance, add_config, questions):
    add_config("http://127.0.0.1:9/v1", alias="main")
    edited = flask(instance, "edit-config", "main", "--batch-api", "openai")
    assert edited.returncode == 0, edited.stderr
    options = ("--service", "batch-then-now", "--keep-remote-files", "--deadline", "2099-01-02")
    made = flask(
        instance, "create-job", str(questions(3)), "--config", "main", "--no-start", *options
    )
    assert made.returncode == 0, made.stderr
    with connected():
        job = jobs.get(int(made.stdout))
        assert (job.service, job.keep_remote_files) == ("batch-then-now", True)
    shown = json.loads(flask(instance, "show-job", made.stdout.strip(), "--json").stdout)
    assert shown["parts"] == []


def test_what_does_not_fit_is_refused_with_what_to_do(app, instance, add_config, questions):
    add_config("http://127.0.0.1:9/v1", alias="main", batch_api="openai")
    add_config("http://127.0.0.1:9/v1", alias="plain")
    for config, service, expected in (
        ("main", "batch-then-now", "needs one"),
        ("plain", "batch", "--batch-api"),
    ):
        refused = flask(
            instance, "create-job", str(questions(1)), "--config", config, "--service", service
        )
        assert refused.returncode == 2 and expected in refused.stderr, refused
    with connected():
        assert not jobs.Job.select().exists()


def test_auto_is_what_the_provider_has(app, instance, add_config):
    add_config("http://127.0.0.1:9/v1", alias="main", batch_api="none")
    assert flask(instance, "edit-config", "main", "--batch-api", "auto").returncode == 0
    with connected():
        assert configs.get("main").batch_api == ""
