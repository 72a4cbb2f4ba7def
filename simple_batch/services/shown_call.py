"""A call as a user can repeat it: its URL and headers, with names of variables in place of secrets."""

import json
import re

import msgspec

from ..core.domain import ApiFormat, Auth, Endpoint
from ..core.errors import ConfigurationError
from ..engine.anthropic import translation
from ..engine.request_headers import headers_of
from ..engine.request_urls import RequestUrls
from ..engine.transport import TransportFailure
from ..store.configs import defaults_of
from ..store.models import ApiConfig
from .config_secrets import secrets_shown

KEY_VARIABLES = {ApiFormat.OPENAI: "OPENAI_API_KEY", ApiFormat.ANTHROPIC: "ANTHROPIC_API_KEY"}
_OWN = ("user-agent", "accept", "accept-encoding")  # of this program: no call needs them


class ShownCall(msgspec.Struct, frozen=True):
    """``secret(VARIABLE)`` stands in the URL and in headers where a secret goes."""

    url: str
    headers: dict[str, str]
    body: bytes


def secret(variable: str) -> str:
    """What stands for the secret in an environment variable: no header or query may hold this."""
    return f"\0{variable}\0"


def pieces(text: str) -> list[tuple[str, bool]]:
    """The parts of a text, each with whether it is the name of a variable."""
    parts = re.split("\0(.*?)\0", text.replace("%00", "\0"))
    return [(part, place % 2 == 1) for place, part in enumerate(parts) if part]


def shown_call(config: ApiConfig, path: str, body: bytes) -> ShownCall | None:
    """The POST of a body to a path, in the form of the connection's API and without opening the key. None
    where that API has no such call."""
    api_format = ApiFormat(config.api_format)
    pairs = {place: json.loads(getattr(config, place)) for place in ("headers", "query")}
    try:
        for it in secrets_shown(config):
            pairs[it.place][it.name] = secret(_variable(it.name))
    except ConfigurationError:
        pass  # no key opens them: the call is shown without them
    endpoint = Endpoint(
        config.id,
        config.alias,
        config.base_url,
        secret(KEY_VARIABLES[api_format]),
        defaults_of(config),
        auth=Auth(config.auth),
        headers=tuple(pairs["headers"].items()),
        query=tuple(pairs["query"].items()),
    )
    if api_format is ApiFormat.ANTHROPIC:
        endpoint = translation.opened(endpoint)
        try:
            path, body = translation.request(path, body)
        except TransportFailure:
            return None
    urls = RequestUrls(endpoint)
    headers = {
        name: value for name, value in headers_of(endpoint).items() if name.lower() not in _OWN
    }
    return ShownCall(urls.url_of(urls.path_of(path, body)), headers, body)


def _variable(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII).upper()
