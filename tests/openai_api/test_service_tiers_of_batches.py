"""Service tiers in the Batch API: of a line, and of the config for lines that name none."""

import json

from simple_batch.core.call_prices import NANO
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, Job

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..runner.test_spend_caps import PRICED
from .conftest import line, read, submit
from .test_flows import ended

USAGE = {"prompt_tokens": 100, "completion_tokens": 10}
HALF = json.dumps({"tiers": {"flex": {"input": "0.5", "output": "0.5"}}})


class Endpoint(MisbehavingEndpoint):
    """Each answer names the tier that its request asked for."""

    def _next(self, head, body):
        super()._next(head, body)
        tier = self.bodies[-1].get("service_tier", "default")
        return e.http(200, {**e.GOOD, "usage": USAGE, "service_tier": tier})


def test_a_line_names_its_tier_and_the_config_that_of_the_others(client, add_config):
    with Endpoint(b"") as endpoint:
        config = add_config(endpoint.base_url, concurrency=1, price_rules=HALF, **PRICED)
        with connected():
            ApiConfig.update(service_tier="flex").where(ApiConfig.id == config.id).execute()
        batch = ended(client, submit(client, [line("a"), line("b", service_tier="default")]))
        asked = [body["service_tier"] for body in endpoint.bodies]
    assert asked == ["flex", "default"]
    answers = {
        row["custom_id"]: row["response"]["body"] for row in read(client, batch.output_file_id)
    }
    assert {name: body["service_tier"] for name, body in answers.items()} == {
        "a": "flex",
        "b": "default",
    }
    with connected():
        job = Job.get()
        assert job.cost_nano == (55 + 110) * NANO
        assert (job.saved_tier_calls, job.saved_tier_nano) == (1, 55 * NANO)
