"""The seed of a job on the wire: from the page and from the command, under a request's own."""

import json

import pytest

from simple_batch.core.errors import InvalidInput
from simple_batch.services import job_creation, job_options, jobs, recipes
from simple_batch.store.database import connected
from simple_batch.store.models import Job

from .. import endpoint as e
from ..endpoint import EmbeddingEndpoint, MisbehavingEndpoint
from ..process import flask
from .test_job_analysis import launch_fields
from .test_pages import asked, staged

OWN = {**asked(1), "seed": 5}


@pytest.fixture
def endpoint(app, add_config):
    with MisbehavingEndpoint(e.ok()) as served:
        add_config(served.base_url)
        yield served


def test_from_the_page_to_the_wire_and_into_a_recipe(client, app, endpoint, wait_for):
    place = staged(client, asked(1), asked(2), OWN)
    tried = client.post(f"{place}/try", data=launch_fields(client, place, seed="0"))
    assert tried.status_code == 200, tried.text
    assert sorted(body["seed"] for body in endpoint.bodies) == [0, 0, 5]
    endpoint.bodies.clear()
    launched = client.post(place, data=launch_fields(client, place, seed="0"))
    assert launched.status_code == 303, launched.text
    app.extensions["simple_batch"].start()
    try:
        job_id = int(launched.location.rsplit("/", 1)[1])
        wait_for(job_id, "completed")
    finally:
        app.extensions["simple_batch"].stop(2)
    assert sorted(body["seed"] for body in endpoint.bodies) == [0, 0, 5]
    assert "<dt>Seed</dt><dd>0</dd>" in client.get(f"/jobs/{job_id}").text
    recipe = client.get(f"/jobs/{job_id}/recipe").data
    assert json.loads(recipe)["seed"] == 0
    with connected():
        assert recipes.load(recipe).seed == 0


def test_from_the_command(app, instance, endpoint, questions):
    ran = flask(instance, "run-job", str(questions(3)), "--config", "test", "--seed", "-7")
    assert ran.returncode == 0, ran.stderr
    assert [body["seed"] for body in endpoint.bodies] == [-7] * 3
    with connected():
        job_id = Job.get().id
        assert job_options.of(jobs.get(job_id)).seed == -7
    refused = flask(instance, "run-job", str(job_id), "--seed", "0")
    assert refused.returncode == 2, refused.stderr
    assert "leave the options out" in refused.stderr


def test_without_one_nothing_is_sent(app, endpoint, make_job):
    job_id = make_job(1)
    with connected():
        job = jobs.get(job_id)
        assert job.seed is None
        assert "seed" not in json.loads(recipes.dump(job_options.of(job)))


def test_it_is_not_for_embeddings(app, add_config, tmp_path, wait_for):
    path = tmp_path / "texts.jsonl"
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings"}
    path.write_text(json.dumps({**line, "body": {"model": "m", "input": "a"}}) + "\n")
    services = app.extensions["simple_batch"]
    with EmbeddingEndpoint() as served:
        add_config(served.base_url)
        services.start()
        try:
            with connected():
                new = jobs.JobOptions(config="test", seed=1)
                job_id = job_creation.create_now(path, path.name, new).id
            wait_for(job_id, "completed")
        finally:
            services.stop(2)
    assert served.calls == 1
    assert "seed" not in served.bodies[0]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"seed": 2**62 + 1}, "seed"), ({"seed": 1, "params": {"seed": 2}}, "params")],
)
def test_wrong_ones_are_refused_at_their_field(endpoint, make_job, wrong, field):
    with pytest.raises(InvalidInput) as refused:
        make_job(1, **wrong)
    assert refused.value.field == field
