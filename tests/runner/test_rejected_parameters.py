"""Parameters that a model rejects: adjusted once per config and model, and asked about where they are the
user's own. A real endpoint that rejects as providers do, a real database."""

import io
import time

import pytest

from simple_batch import insight
from simple_batch.core import context
from simple_batch.core.domain import Adjust, Adjustment
from simple_batch.core.errors import Conflict, InvalidInput
from simple_batch.runner.providers import Providers
from simple_batch.services import adjusted_parameters, configs, job_creation, jobs
from simple_batch.services.provider_gallery import ParameterRule
from simple_batch.store.database import connected
from simple_batch.store.models import Attempt

from ..conftest import wait_until
from ..emulators.rejecting import (
    RejectingEndpoint,
    anthropic_style,
    gemini_style,
    lines,
    mistral_style,
    openai_style,
    xai_style,
)
from ..endpoint import http
from .test_job_run import ENDED, agrees

ASKED = {"messages": [{"role": "user", "content": "question"}]}
RESPONSES = "/v1/responses"


@pytest.fixture
def make_lines(app):
    """Makes a job of batch lines with these bodies; returns its id."""

    def make(bodies: list[dict], url: str = "/v1/chat/completions", **choices) -> int:
        with connected():
            file = io.BytesIO(lines(bodies, url).encode())
            options = jobs.JobOptions(config="test", **choices)
            return job_creation.create_now(file, "lines.jsonl", options).id

    return make


def learned(alias: str = "test") -> list[tuple]:
    with connected():
        known = adjusted_parameters.of_config(configs.get(alias))
    return [(one.parameter, str(one.action), one.to, one.model) for one in known]


def details(job_id: int, reason: str) -> list[str]:
    with connected():
        found = insight.events(job_id)
    return [event["detail"] for event in found if event["reason"] == reason]


@pytest.mark.parametrize(
    "style", [openai_style, mistral_style, gemini_style, xai_style, anthropic_style]
)
def test_the_parameters_of_a_config_are_adjusted_once(start, add_config, make_job, wait_for, style):
    with RejectingEndpoint({"max_completion_tokens", "seed"}, style) as endpoint:
        add_config(
            endpoint.base_url, max_tokens=50, temperature=0.5, params={"seed": 3, "top_p": 0.9}
        )
        job = wait_for(make_job(6, max_retries=0), *ENDED)
    assert (job.status, job.succeeded) == ("completed", 6)  # although no retry is allowed
    assert all(
        (body["max_completion_tokens"], body["seed"]) == (50, 3) and "top_p" not in body
        for body in endpoint.accepted
    )
    assert sorted(learned()) == [
        ("max_tokens", "rename", "max_completion_tokens", "m"),
        ("temperature", "leave_out", None, "m"),
        ("top_p", "leave_out", None, "m"),
    ]
    assert len(details(job.id, "adjusted")) == 3
    agrees(job.id)


def test_what_was_learned_holds_for_the_next_job(start, add_config, make_job, wait_for):
    with RejectingEndpoint({"max_completion_tokens"}) as endpoint:
        add_config(endpoint.base_url, max_tokens=50, temperature=0.5, concurrency=1)
        wait_for(make_job(1), "completed")
        assert sorted(endpoint.refused) == ["max_tokens", "temperature"]
        wait_for(make_job(3), "completed")
        assert len(endpoint.refused) == 2  # nothing is refused again


def test_many_in_flight_learn_it_once(start, add_config, make_job, wait_for):
    with RejectingEndpoint({"max_completion_tokens"}) as endpoint:
        add_config(endpoint.base_url, max_tokens=50, concurrency=20)
        job = wait_for(make_job(40, max_retries=0), *ENDED)
        assert job.succeeded == 40
        assert len(endpoint.accepted) == 40 and len(endpoint.refused) <= 21  # and the next
    assert len(learned()) == len(details(job.id, "adjusted")) == 1


def test_a_parameter_that_no_name_helps_is_left_out(start, add_config, make_job, wait_for):
    with RejectingEndpoint(set()) as endpoint:
        add_config(endpoint.base_url, max_tokens=50, concurrency=1)
        job = wait_for(make_job(1), *ENDED)
        assert job.succeeded == 1
        assert endpoint.refused == ["max_tokens", "max_completion_tokens"]
        assert endpoint.accepted[-1].keys() == {"model", "messages"}


def test_the_system_message_becomes_the_developers_and_back(
    start, add_config, make_lines, wait_for
):
    said = [{"role": "system", "content": "short"}, {"role": "user", "content": "question"}]
    with RejectingEndpoint(set(), roles=("developer", "user")) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        job = wait_for(make_lines([{"messages": said}] * 3), *ENDED)
        assert job.succeeded == 3 and len(endpoint.refused) <= 2  # and the next
        assert endpoint.accepted[0]["messages"] == [{**said[0], "role": "developer"}, said[1]]
    assert learned() == [("role", "developer_role", "developer", "m")]


def test_neither_role_is_accepted(start, add_config, make_lines, wait_for):
    said = [{"role": "system", "content": "short"}, {"role": "user", "content": "question"}]
    with RejectingEndpoint(set(), roles=("user",)) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        job = wait_for(make_lines([{"messages": said}]), *ENDED)
        assert (job.failed, len(endpoint.refused)) == (1, 2)  # no loop


def test_a_jobs_own_parameters_are_left_out_and_said_clearly(start, add_config, make_job, wait_for):
    with RejectingEndpoint(set()) as endpoint:
        add_config(endpoint.base_url)
        job = wait_for(make_job(2, params={"top_p": 0.5}), *ENDED)
        assert job.succeeded == 2
    (detail,) = details(job.id, "adjusted")
    assert "top_p is left out" in detail and "the parameters of this job set it" in detail


def test_a_parameter_of_the_users_line_is_never_dropped(start, add_config, make_lines, wait_for):
    hot = {**ASKED, "temperature": 0.2}
    with RejectingEndpoint(set()) as endpoint:
        add_config(endpoint.base_url, concurrency=2)
        job_id = make_lines([ASKED, hot, hot, ASKED, hot, hot, ASKED, hot], max_retries=0)
        job = wait_for(job_id, *ENDED)
        assert (job.status, job.status_reason, job.failed) == ("paused", "rejected_parameter", 0)
        assert "temperature" in job.status_detail
        assert all("temperature" not in body for body in endpoint.accepted)  # lines without it
        assert adjusted_parameters.offered(job) == ["temperature"]
        assert learned() == []
        with connected():
            jobs.resume(job_id, leave_out=["temperature"])
        job = wait_for(job_id, "completed")
        assert (job.succeeded, job.failed) == (8, 0)
        assert adjusted_parameters.left_out(job) == ["temperature"]
    assert learned() == []  # for the job, not for the config
    agrees(job_id)


def test_few_such_lines_pause_the_job_when_nothing_else_is_left(
    start, add_config, make_lines, wait_for
):
    with RejectingEndpoint(set()) as endpoint:
        add_config(endpoint.base_url)
        job = wait_for(make_lines([ASKED, ASKED, {**ASKED, "top_k": 5}]), *ENDED)
        assert (job.status_reason, job.succeeded, job.failed) == ("rejected_parameter", 2, 0)


def test_a_value_that_only_some_lines_have_is_their_own_failure(
    start, add_config, make_lines, wait_for
):
    def one_value(body):
        if body.get("temperature", 1) != 1:
            return http(*openai_style("temperature"))
        return None

    warm, hot = {**ASKED, "temperature": 1}, {**ASKED, "temperature": 0.2}
    with RejectingEndpoint({"temperature"}, behave=one_value) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        job = wait_for(make_lines([warm, hot, warm, hot, hot, hot]), *ENDED)
        assert (job.status, job.succeeded, job.failed) == ("completed", 2, 4)


def test_a_line_keeps_its_limit_under_its_new_name(start, add_config, make_lines, wait_for):
    with RejectingEndpoint({"max_completion_tokens"}) as endpoint:
        add_config(endpoint.base_url, max_tokens=50, concurrency=1)
        job = wait_for(make_lines([{**ASKED, "max_tokens": 7}, ASKED]), *ENDED)
        assert job.succeeded == 2
        assert sorted(body["max_completion_tokens"] for body in endpoint.accepted) == [7, 50]


def test_the_parameters_of_a_config_reach_responses(start, add_config, make_lines, wait_for):
    with RejectingEndpoint({"max_output_tokens", "reasoning", "text", "top_p"}) as endpoint:
        add_config(
            endpoint.base_url,
            max_tokens=50,
            temperature=0.5,
            params={"reasoning_effort": "low", "verbosity": "low", "top_p": 0.9, "stop": ["x"]},
        )
        own = {"input": "question", "text": {"format": {"type": "text"}}}
        job = wait_for(make_lines([own], RESPONSES), *ENDED)
        assert job.succeeded == 1 and endpoint.refused == ["temperature"]
        (body,) = endpoint.accepted
    assert body["max_output_tokens"] == 50
    assert body["reasoning"] == {"effort": "low"}
    assert body["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert body["top_p"] == 0.9 and "stop" not in body


def test_embeddings_that_are_packed_lose_what_their_model_rejects(
    start, add_config, make_lines, wait_for
):
    with RejectingEndpoint(set(), mistral_style) as endpoint:
        add_config(endpoint.base_url, params={"dimensions": 256}, concurrency=1)
        inputs = [{"input": f"text {n}"} for n in range(4)]
        job = wait_for(make_lines(inputs, "/v1/embeddings"), *ENDED)
        assert job.succeeded == 4 and set(endpoint.refused) == {"dimensions"}


def test_an_adjustment_can_be_forgotten(start, add_config, make_job, wait_for):
    with RejectingEndpoint(set()) as endpoint:
        config = add_config(endpoint.base_url, temperature=0.5)
        wait_for(make_job(1), "completed")
        endpoint.known.add("temperature")  # the provider accepts it now
        with connected():
            (known,) = adjusted_parameters.of_config(configs.get("test"))
            assert adjusted_parameters.forget(config.id, known.key) == 1
        wait_until(lambda: _sends_again(make_job, wait_for, endpoint))
    assert learned() == []


def _sends_again(make_job, wait_for, endpoint) -> bool:
    wait_for(make_job(1), "completed")
    return endpoint.bodies[-1].get("temperature") == 0.5


def test_what_cannot_be_left_out(start, add_config, make_lines, wait_for):
    with RejectingEndpoint(set()) as endpoint:
        add_config(endpoint.base_url)
        job_id = make_lines([{**ASKED, "top_k": 5}])
        wait_for(job_id, "paused")
        with connected():
            for name in ("messages", "model", "input.x", "no such name", "", "x" * 200):
                with pytest.raises(InvalidInput):
                    jobs.resume(job_id, leave_out=[name])
            jobs.resume(job_id, leave_out=["top_k"])
        wait_for(job_id, "completed")
        with connected(), pytest.raises(Conflict):
            jobs.resume(job_id, leave_out=["top_k"])


def test_attempts_say_what_was_refused(start, add_config, make_job, wait_for):
    with RejectingEndpoint(set()) as endpoint:
        add_config(endpoint.base_url, temperature=0.5)
        job = wait_for(make_job(1), "completed")
    with connected():
        (first,) = Attempt.select().where(Attempt.job == job.id)
    assert first.http_status == 400 and "temperature" in first.message
    assert job.attempts == 2


def test_a_test_call_learns_too(app, add_config):
    with RejectingEndpoint({"max_completion_tokens"}) as endpoint, connected():
        config = add_config(endpoint.base_url, max_tokens=50, temperature=0.5)
        found = configs.test(config.id)
    assert found.ok
    assert sorted(one.parameter for one in found.adjustments) == ["max_tokens", "temperature"]
    assert len(learned()) == 2


def test_the_gallerys_rules_are_known_beforehand(start, add_config, make_job, wait_for):
    rules = [
        ParameterRule(["m*"], "max_tokens", "rename", "max_completion_tokens"),
        ParameterRule(["m*"], "temperature", "leave_out"),
        ParameterRule(["other"], "top_p", "leave_out"),
    ]
    with RejectingEndpoint({"max_completion_tokens", "top_p"}) as endpoint:
        config = add_config(
            endpoint.base_url, max_tokens=50, temperature=0.5, params={"top_p": 0.9}
        )
        with connected():
            adjusted_parameters.take_up(config, rules)
        wait_for(make_job(1), "completed")
        # the value of temperature is the user's choice: only the endpoint decides
        assert endpoint.refused == ["temperature"]
        assert endpoint.accepted[0]["top_p"] == 0.9


def test_a_config_from_the_gallery_uses_the_name_that_its_model_has(start, add_config):
    config = add_config(
        "http://127.0.0.1:9/v1", provider="openai", model="gpt-5-mini", max_tokens=50
    )
    with connected():
        (known,) = adjusted_parameters.of_config(configs.get(config.id))
    assert (known.parameter, known.to) == ("max_tokens", "max_completion_tokens")


def test_other_models_of_a_config_keep_their_parameters(start, add_config, make_lines, wait_for):
    with RejectingEndpoint({"temperature"}) as endpoint:
        endpoint.known_of = {"m": set()}
        add_config(endpoint.base_url, temperature=0.5, concurrency=1)
        other = {**ASKED, "model": "other"}
        job = wait_for(make_lines([ASKED, other, ASKED, other]), *ENDED)
        assert job.succeeded == 4
        sent = {(body["model"], body.get("temperature")) for body in endpoint.accepted}
    assert sent == {("m", None), ("other", 0.5)}


def test_a_changed_base_url_forgets_what_was_learned(start, add_config, make_job, wait_for):
    with RejectingEndpoint(set()) as endpoint:
        config = add_config(endpoint.base_url, temperature=0.5)
        wait_for(make_job(1), "completed")
        assert learned()
        with connected():
            fields = configs.fields_of(configs.get(config.id))
            fields.notes = "renamed"
            configs.update(config.id, fields)
            assert learned()
            fields.base_url = endpoint.base_url.replace("127.0.0.1", "localhost")
            fields.key = "sk-planted-0123456789"
            configs.update(config.id, fields)
    assert learned() == []


def test_a_row_read_before_something_was_learned_takes_nothing_back(app, add_config):
    with connected():
        config = add_config("http://127.0.0.1:9/v1", temperature=0.5)
        provider = Providers(context.settings(), context.vault()).get(configs.get(config.id))
        read_at = time.monotonic()
        adjustment = Adjustment("temperature", Adjust.LEAVE_OUT, None, "m", url="/v1/responses")
        assert provider.learn(adjustment) and not provider.learn(adjustment)
        assert provider.is_ahead_of(read_at)
        assert not provider.is_ahead_of(time.monotonic())
        provider.close()
