"""What limits the speed of a job: the sentence under its bar, and *Try faster*."""

import contextlib
import json

import pytest

from simple_batch import insight
from simple_batch.core import context
from simple_batch.core.domain import LimitedBy, Spread
from simple_batch.runner.providers import Providers
from simple_batch.services.job_option_fields import ExtraConfig
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, Audit, Job
from simple_batch.web import speed_words

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..web.test_pages import config

__all__ = ["config"]


def set_job(job_id: int, **fields) -> None:
    with connected():
        Job.update(**fields).where(Job.id == job_id).execute()


def progress(job_id: int):
    with connected():
        return insight.progress(job_id)


def test_a_job_says_that_its_own_concurrency_limits_it(
    start, add_config, make_job, wait_for, client
):
    with MisbehavingEndpoint(e.slow(0.5)) as endpoint:
        add_config(endpoint.base_url)
        job_id = make_job(40, concurrency=2)
        wait_until(
            lambda: (progress(job_id)["governor"] or {}).get("limited_by") == "job_concurrency"
        )
        page = client.get(f"/jobs/{job_id}").text
        assert "Limited by your concurrency of 2." in page
        assert "并发上限" in client.get(f"/jobs/{job_id}?lang=zh").text
        client.post(f"/jobs/{job_id}/cancel", data={"csrf_token": token(client, job_id)})
        wait_for(job_id, "cancelled")
    assert 'id="speed-line"' in (page := client.get(f"/jobs/{job_id}?lang=en").text)
    assert "Limited by your concurrency of 2." not in page.split("data-words=")[0]
    assert progress(job_id)["status"] == "cancelled"


def token(client, job_id: int) -> str:
    page = client.get(f"/jobs/{job_id}").text
    return page.split('name="csrf-token" content="')[1].split('"')[0]


def shown(app, **fields) -> str:
    found = {
        "status": "running",
        "waiting": None,
        "governor": None,
        "limits": None,
        "counts": {"pending": 5, "retrying": 0, "in_flight": 5},
        **fields,
    }
    with app.test_request_context("/?lang=en"):
        return speed_words.speed_words(found)


@pytest.mark.parametrize("limited_by", [code for code in LimitedBy if code])
def test_every_limit_has_a_sentence_without_an_empty_place(app, limited_by):
    governor = {"limited_by": str(limited_by), "limited_to": 1234, "cooldown_s": 2.5,
                "reason": "429 rate_limit"}  # fmt: skip
    text = shown(app, governor=governor)
    assert text
    assert "{" not in text
    if "{n}" in str(speed_words.PATTERNS[limited_by]):
        assert "1,234" in text
    if limited_by is LimitedBy.COOLDOWN:
        assert "2.5 s" in text
        assert "rate_limit" not in text


def test_what_is_no_limit(app):
    free = {"limited_by": "", "limited_to": None}
    assert shown(app, governor=free) == "As fast as the API answers."
    sent = {"pending": 0, "retrying": 0, "in_flight": 3}
    for code in ("", "concurrency", "learned_requests", "job_concurrency", "growing"):
        governor = {"limited_by": code, "limited_to": 200}
        assert shown(app, governor=governor, counts=sent) == "All remaining requests are in flight."
    again = {**sent, "retrying": 1}
    assert "200" in shown(
        app, governor={"limited_by": "concurrency", "limited_to": 200}, counts=again
    )
    assert shown(app, governor=free, status="paused") == ""
    assert shown(app, governor=free, counts={"pending": 4, "retrying": 0, "in_flight": 0}) == ""
    away = {"since": None, "reason": "", "next_probe_at": None}
    assert shown(app, governor=free, waiting=away).startswith("The API does not answer.")


def limit(config: str, limited_by: str = "", limited_to: int | None = None, **fields) -> dict:
    return {
        "config": config,
        "limited_by": limited_by,
        "limited_to": limited_to,
        "cooldown_s": 0.0,
        "reason": "",
        **fields,
    }


def test_each_of_several_connections_has_its_own_limit(app):
    first = {"limited_by": "learned_requests", "limited_to": 713}
    limits = [
        limit("a {sentence}", "learned_requests", 713),
        limit("b"),
        limit("c", "cooldown", cooldown_s=2.5, reason="429 rate_limit"),
    ]
    assert shown(app, governor=first, limits=limits) == (
        "a {sentence}: Limited by 713 requests/min, learned from refusals. b: As fast as the API "
        "answers. c: Waiting 2.5 s after a refusal (429 rate limit)."
    )
    # a limit of the first alone that is not among theirs any more, and one of the whole job
    assert shown(app, governor=first, limits=[limit("b")]) == "As fast as the API answers."
    own = {"limited_by": "job_concurrency", "limited_to": 4}
    assert shown(app, governor=own, limits=limits) == "Limited by your concurrency of 4."


def test_a_job_on_two_connections_names_both(start, add_config, make_job, wait_for, client):
    with MisbehavingEndpoint(e.slow(0.5)) as endpoint:
        add_config(endpoint.base_url, alias="one", concurrency=1)
        add_config(endpoint.base_url, alias="two", concurrency=2)
        also = (ExtraConfig("two"),)
        job_id = make_job(60, "one", also=also, spread=Spread.FAST)
        wait_until(
            lambda: (
                {(each["config"], each["limited_by"]) for each in progress(job_id)["limits"] or ()}
                == {("one", "concurrency"), ("two", "concurrency")}
            )
        )
        page = client.get(f"/jobs/{job_id}?lang=en").text
        assert "one: Limited by the connection&#39;s concurrency of 1." in page
        assert "two: Limited by the connection&#39;s concurrency of 2." in page
        form = {"csrf_token": token(client, job_id)}
        client.post(f"/jobs/{job_id}/cancel", data=form)
        wait_for(job_id, "cancelled")


def test_trying_faster_is_passed_on_to_all_processes(start, add_config, make_job, wait_for, client):
    with MisbehavingEndpoint(e.slow(0.3)) as endpoint:
        config_id = add_config(endpoint.base_url)
        job_id = make_job(60, concurrency=2)
        wait_for(job_id, "running")
        form = {"csrf_token": token(client, job_id)}
        assert client.post(f"/jobs/{job_id}/try_faster", data=form).status_code == 303
        with connected():
            assert ApiConfig.get_by_id(config_id).relearn_at
            assert Audit.select().where(Audit.action == "job.try_faster").count() == 1
        client.post(f"/jobs/{job_id}/cancel", data=form)
        wait_for(job_id, "cancelled")
    client.post(f"/jobs/{job_id}/try_faster", data=form)
    assert "does not run now" in client.get(f"/jobs/{job_id}").text


def test_a_process_forgets_what_it_had_learned(app, add_config, endpoint):
    config_id = add_config(endpoint.base_url)
    with (
        app.app_context(),
        connected(),
        contextlib.closing(Providers(context.settings(), context.vault())) as providers,
    ):
        governor = providers.get(ApiConfig.get_by_id(config_id)).governor
        governor._limits._learn(5.0, governor._clock())
        providers.refresh()
        assert governor.state().rpm_learned == 294
        ApiConfig.update(relearn_at=1).execute()
        providers.refresh()
        assert governor.state().rpm_learned is None
        governor._limits._learn(5.0, governor._clock())
        providers.refresh()
        assert governor.state().rpm_learned == 294


@pytest.mark.parametrize(
    ("succeeded", "bounds"), [(1, [50, 200]), (16, [67, 150]), (100, [83, 120]), (400, None)]
)
def test_the_time_left_is_a_range_while_little_is_done(client, config, make_job, succeeded, bounds):
    job_id = make_job(1000, "one")
    left = 1000 - succeeded
    set_job(
        job_id, status="running", succeeded=succeeded, active_ms=100_000 * succeeded // left,
        started_at=1, resumed_at=None,
    )  # fmt: skip
    found = progress(job_id)
    assert found["eta_s"] == pytest.approx(100, rel=0.02)
    assert found["eta_range_s"] == (bounds and [pytest.approx(n, rel=0.03) for n in bounds])
    page = client.get(f"/jobs/{job_id}").text
    place = page.split('data-live="eta">')[1].split("<")[0]
    assert ("–" in place) == (bounds is not None)
    assert (
        json.loads(client.get(f"/jobs/{job_id}/progress.json").text)["eta_range_s"]
        == found["eta_range_s"]
    )
