"""OpenAI's client chooses that a batch goes through the provider's own batch API."""

import openai
import pytest

from simple_batch.store.database import connected
from simple_batch.store.models import Job

from .conftest import line, submit

KEY = "simple_batch_service"


@pytest.fixture
def config(add_config):
    return add_config("http://127.0.0.1:9/v1", alias="m", model="m", batch_api="openai")


def test_it_is_chosen_by_metadata_or_by_a_field(client, config):
    by_metadata = submit(client, [line("a")], metadata={KEY: "batch"})
    by_field = submit(client, [line("a")], extra_body={"service": "batch"})
    by_deadline = submit(client, [line("a")], metadata={KEY: "batch-then-now"})
    plain = submit(client, [line("a")])
    made = (by_metadata, by_field, by_deadline, plain)
    with connected():
        services = [Job.get_by_id(int(it.id[6:])).service for it in made]
    assert services == ["batch", "batch", "batch-then-now", "now"]
    assert by_metadata.metadata == {KEY: "batch"}


REFUSED = (
    ({"metadata": {KEY: "half"}}, f"metadata.{KEY}", "now, batch, batch-then-now"),
    ({"extra_body": {"service": 1}}, "service", "now, batch, batch-then-now"),
    ({"metadata": {KEY: "now"}, "extra_body": {"service": "batch"}}, "service", "differ"),
    ({"metadata": {KEY: "batch-then-now"}, "window": "60m"}, "completion_window", "UTC or later"),
)


def test_what_does_not_fit_is_refused(client, config, add_config):
    add_config("http://127.0.0.1:9/v1", alias="plain", model="plain")
    for more, param, message in REFUSED:
        with pytest.raises(openai.BadRequestError) as refused:
            submit(client, [line("a")], **more)
        assert refused.value.param == param and message in refused.value.message
    with pytest.raises(openai.BadRequestError, match="no batch API that is known here"):
        submit(client, [line("a", "plain")], metadata={KEY: "batch"})
    with connected():
        assert not Job.select().exists()
