"""The choice of answers that a job treats as failed: from the page, the command and a recipe."""

import json

import pytest

from simple_batch.core.domain import Outcome
from simple_batch.core.errors import InvalidInput
from simple_batch.services import job_options, jobs, recipes
from simple_batch.store.database import connected
from simple_batch.store.models import Job

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..process import flask
from .test_job_analysis import launch_fields
from .test_pages import asked, staged

CUT = e.says("half", finish_reason="length")


@pytest.fixture
def endpoint(app, add_config):
    with MisbehavingEndpoint(CUT) as served:
        add_config(served.base_url, concurrency=1)
        yield served


def test_from_the_page_into_a_recipe(client, endpoint):
    place = staged(client, asked(1))
    page = client.get(place).text
    assert "Treat as failed" in page
    assert page.count('name="as_failed"') == 3
    assert "checked" not in page.partition('name="as_failed"')[2][:200]
    chosen = launch_fields(client, place, as_failed=["empty", "cut_off"])
    wrong = client.post(place, data={**chosen, "as_failed": ["ok"]})
    assert wrong.status_code == 400, wrong.status
    launched = client.post(place, data=chosen)
    assert launched.status_code == 303, launched.text
    page = client.get(launched.location).text
    assert "<dt>Treat as failed</dt><dd>cut off, empty</dd>" in page
    page = client.get(f"{launched.location}?lang=zh").text
    assert "<dt>视为失败</dt><dd>被截断，空回答</dd>" in page.replace("、", "，")
    recipe = client.get(f"{launched.location}/recipe").data
    assert json.loads(recipe)["as_failed"] == ["cut_off", "empty"]
    with connected():
        loaded = recipes.load(recipe)
        assert job_options.of(jobs.get(1)).as_failed == loaded.as_failed == ("cut_off", "empty")
        with pytest.raises(InvalidInput, match="Treat as failed: "):
            recipes.load(recipe.replace(b'"empty"', b'"tool_call"'))


def test_a_recipe_of_an_older_version_has_none(endpoint):
    with connected():
        dumped = json.loads(
            recipes.dump(jobs.JobOptions(config="test", as_failed=(Outcome.EMPTY,)))
        )
        del dumped["as_failed"], dumped["fail_on"]
        assert recipes.load(json.dumps(dumped).encode()).as_failed == ()


def test_from_the_command(app, instance, endpoint, questions):
    path = str(questions(1))
    options = ("--config", "test", "--as-failed", "cut_off, empty", "--max-retries", "1")
    ran = flask(instance, "run-job", path, *options)
    assert (ran.returncode, endpoint.calls) == (3, 2), ran.stderr
    with connected():
        job = Job.get()
        assert (job.as_failed, job.failed, job.outcome_cut_off) == ("cut_off,empty", 1, 1)
    ran = flask(instance, "create-job", path, "--config", "test", "--as-failed", "cut-off")
    assert ran.returncode == 2
    assert "'--as-failed': 'cut-off' is not one of cut_off, refused, empty." in ran.stderr
