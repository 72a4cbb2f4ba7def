"""Which client an endpoint gets."""

import pytest

from simple_batch.core import context
from simple_batch.core.domain import Defaults, Endpoint
from simple_batch.engine.batch_api.openai_batches import OpenAIBatches
from simple_batch.engine.batch_api.opening import KINDS, open_client, profile_to_use
from simple_batch.services import provider_gallery
from simple_batch.store.configs import endpoint_of
from simple_batch.store.database import connected

from .openai_client import SETTINGS


def opened(provider: str, batch_api: str = "", kind: str = ""):
    endpoint = Endpoint(
        1, "a", "http://127.0.0.1:9/v1", "", Defaults("m"), provider=provider, batch_api=batch_api
    )
    return open_client(endpoint, SETTINGS, kind)


@pytest.mark.parametrize("provider", ["openai", "azure", "zhipu", "together", "simple-batch"])
def test_a_provider_of_the_gallery_has_its_own(provider):
    assert isinstance(opened(provider), OpenAIBatches)
    assert opened(provider, batch_api="none") is None


@pytest.mark.parametrize("provider", ["", "custom", "ollama", "deepseek", "no-such-provider"])
def test_an_endpoint_without_one_has_one_on_request(provider):
    assert opened(provider) is None
    client = opened(provider, batch_api="openai")
    assert isinstance(client, OpenAIBatches)
    assert client.limits.requests == 5_000 and client.limits.urls == ()
    assert isinstance(opened(provider, kind="openai"), OpenAIBatches)


def test_the_kind_that_is_asked_for_goes_before_that_of_the_config():
    assert isinstance(opened("openai", batch_api="none", kind="openai"), OpenAIBatches)
    assert opened("openai", kind="none") is None
    assert opened("openai", kind="unknown") is None


def test_a_config_names_the_kind_of_its_batch_api(app, add_config):
    config = add_config("http://127.0.0.1:9/v1")
    with app.app_context(), connected():
        for kind, opens in (("", False), ("openai", True), ("none", False)):
            config.batch_api = kind
            endpoint = endpoint_of(config, context.vault())
            assert (open_client(endpoint, SETTINGS) is not None) == opens


def test_limits_are_in_openais_form():
    endpoint = Endpoint(1, "a", "http://x/v4", "", Defaults("m"), provider="zhipu")
    profile = profile_to_use(endpoint)
    assert profile.limits.urls == ("/v1/chat/completions",)
    assert profile.url("/v1/chat/completions") == "/v4/chat/completions"
    assert (
        profile_to_use(Endpoint(1, "a", "", "", Defaults("m"), provider="azure-dated")).url(
            "/v1/chat/completions"
        )
        == "/chat/completions"
    )


def test_each_kind_that_is_known_here_is_that_of_a_provider():
    used = {entry.batch.kind for entry in provider_gallery.all() if entry.batch}
    assert set(KINDS) <= used
