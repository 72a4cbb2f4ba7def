"""Opens the client of an endpoint's batch API."""

from collections.abc import Callable

from ...core.domain import Endpoint
from ...core.settings import Settings
from .anthropic_batches import AnthropicBatches
from .batch_client import BatchClient
from .gemini_batches import GeminiBatches
from .mistral_batches import MistralBatches
from .openai_batches import OpenAIBatches
from .openrouter_batches import OpenRouterBatches
from .profiles import BatchProfile, profile_of

NONE = "none"  # of Endpoint.batch_api: the provider's is not used
KINDS: dict[str, Callable[[Endpoint, Settings, BatchProfile], BatchClient]] = {
    "anthropic": AnthropicBatches,
    "gemini": GeminiBatches,
    "mistral": MistralBatches,
    "openai": OpenAIBatches,
    "openrouter": OpenRouterBatches,
}
_WITHOUT_CANCEL = "openrouter"
# an endpoint of which nothing is known gets parts that all known providers of OpenAI's form would take
_MOST_REQUESTS = 5_000
_MOST_BYTES = 100_000_000


def open_client(endpoint: Endpoint, settings: Settings, kind: str = "") -> BatchClient | None:
    """A client of this kind, else of the one that the config names, else of the provider's in the gallery;
    None where there is no batch API, or none that is known here."""
    profile = profile_to_use(endpoint, kind)
    make = KINDS.get(profile.kind) if profile is not None else None
    return make(endpoint, settings, profile) if make is not None and profile is not None else None


def profile_to_use(endpoint: Endpoint, kind: str = "") -> BatchProfile | None:
    """What is known of the batch API that ``open_client`` opens."""
    wanted = kind or endpoint.batch_api
    if wanted == NONE:
        return None
    known = profile_of(endpoint.provider)
    if not wanted or (known is not None and known.kind == wanted):
        return known
    return BatchProfile(
        kind=wanted,
        max_requests=_MOST_REQUESTS,
        max_bytes=_MOST_BYTES,
        cancel="none" if wanted == _WITHOUT_CANCEL else "post",
    )
