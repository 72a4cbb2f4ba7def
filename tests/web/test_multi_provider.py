"""Choosing several connections for a job, and what the pages show of them."""

import json
import re

import pytest

from simple_batch.core.domain import Spread
from simple_batch.services import job_options, jobs, recipes
from simple_batch.services.job_option_fields import also_text
from simple_batch.store.database import connected

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .test_job_analysis import asked, launch_fields, staged


@pytest.fixture
def two(app, add_config):
    services = app.extensions["simple_batch"]
    with MisbehavingEndpoint(e.ok()) as a, MisbehavingEndpoint(e.ok()) as b:
        add_config(a.base_url, alias="main")
        add_config(b.base_url, alias="spare")
        services.start()
        yield a, b
        services.stop(2)


def test_from_the_form_to_the_figures_and_back(client, two, wait_for):
    place = staged(client, asked(8))
    fields = launch_fields(client, place, also="spare=2", spread="weight", weight="2")
    launched = client.post(place, data=fields)
    assert launched.status_code == 303, launched.text
    job_id = int(launched.location.rsplit("/", 1)[1])
    wait_for(job_id, "completed")
    page = client.get(f"/jobs/{job_id}").text
    table = page.split('id="configs"')[1].split("</table>")[0]
    assert re.findall(r'config=(\w+)"', table) == ["main", "spare"]
    assert "by weight" in page
    with connected():
        again = job_options.of(jobs.get(job_id))
        assert (again.spread, also_text(again.also)) == (Spread.WEIGHT, "spare=2")
    recipe = client.get(f"/jobs/{job_id}/recipe").data
    assert json.loads(recipe)["also"] == "spare=2"
    with connected():
        kept = recipes.load(recipe)
        assert (kept.spread, kept.weight) == (Spread.WEIGHT, 2.0)


@pytest.mark.parametrize("also", ["nobody", "main", "spare=x", "spare=0", "spare=-1"])
def test_what_cannot_be_shared_is_reported_at_its_field(client, two, also):
    place = staged(client, asked(1))
    refused = client.post(place, data=launch_fields(client, place, also=also, spread="weight"))
    assert refused.status_code == 400
    shown = refused.text.split('id="also"')[1][:600]
    assert "invalid-feedback" in shown
