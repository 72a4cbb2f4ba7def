"""Finds model servers on this machine: those that list their models at one of their usual ports.

Only loopback addresses are looked at, and only where the address policy allows calls to them: a server
that other machines reach looks at none, unless ALLOWED_PRIVATE_HOSTS names the address.
"""

from dataclasses import replace

import gevent
import msgspec

from ..core import context
from ..core.domain import Defaults, Endpoint
from ..core.errors import ConfigurationError
from ..core.ttl_cache import TtlCache
from ..engine import probe
from . import provider_gallery, validation
from .provider_gallery import GalleryEntry

HOST = "127.0.0.1"
TIMEOUT_S = 0.8  # for all of them together, since they are asked side by side
_KEPT_S = 5.0
_MAX_ANSWER = 1 << 20
# who owns the models in a server's list: the servers' own code, read on 2026-11-28 (vLLM and SGLang:
# entrypoints/openai/protocol.py, llama.cpp: tools/server, LM Studio: docs of its API)
_OWNERS = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llama.cpp",
    "organization_owner": "lmstudio",
    "library": "ollama",
}

_found: TtlCache[str, list["LocalServer"]] = TtlCache(_KEPT_S, 1)


class LocalServer(msgspec.Struct, frozen=True):
    """A server that answered, with the names of its models."""

    entry: GalleryEntry
    base_url: str
    models: list[str]


def find() -> list[LocalServer]:
    """Servers at the usual ports, within a second; none where calls to this machine are refused."""
    if validation.refusal(HOST) is not None:
        return []
    known = _found.get(HOST)
    return _found.load(HOST, _look) if known is None else known


def _look() -> list[LocalServer]:
    entries = [entry for entry in provider_gallery.all() if entry.local_ports]
    asked = [gevent.spawn(_at, entry, port) for entry in entries for port in entry.local_ports]
    gevent.joinall(asked, timeout=TIMEOUT_S)
    gevent.killall(asked)
    return [it.value for it in asked if isinstance(it.value, LocalServer)]


def _at(entry: GalleryEntry, port: int) -> LocalServer | None:
    """The server at a port, if it lists models. Its list says which server it is, where another one
    uses the port."""
    base_url = f"http://{HOST}:{port}/v1"
    endpoint = Endpoint(0, "", base_url, "", Defaults(""), timeout_s=TIMEOUT_S)
    settings = replace(context.settings(), TRUST_ENV=False, MAX_ANSWER_BYTES=_MAX_ANSWER)
    try:
        models = probe.models_of(endpoint, settings)
    except ConfigurationError:
        return None
    owners = {model.owned_by for model in models}
    told = next((name for owner, name in _OWNERS.items() if owner in owners), entry.id)
    return LocalServer(provider_gallery.get(told), base_url, sorted({it.id for it in models}))
