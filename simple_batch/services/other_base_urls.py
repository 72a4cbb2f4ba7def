"""Other base URLs of the same server, tried once where a call finds nothing (404): with /v1, which is often
forgotten, and as the gallery has them. They are offered, never taken without asking."""

import re
from urllib.parse import urlsplit

import msgspec

from ..core import context
from ..core.domain import Endpoint
from ..core.errors import ConfigurationError
from ..core.messages import Message
from ..engine import probe
from . import provider_gallery

MOST = 3  # tried
_NOT_FOUND = (404, 405)
_VERSIONED = re.compile(r"/v\d+(?:[a-z]+\d*)?(?=/|$)")


def others(base_url: str) -> list[str]:
    """Base URLs to try, on the same scheme, host and port."""
    base_url = base_url.rstrip("/")
    server = urlsplit(base_url)[:2]
    known = [
        url.rstrip("/")
        for entry in provider_gallery.all()
        for url in entry.regions.values()
        if urlsplit(url)[:2] == server
    ]
    plain = [] if _VERSIONED.search(urlsplit(base_url).path) else [f"{base_url}/v1"]
    return [url for url in dict.fromkeys([*plain, *known]) if url != base_url][:MOST]


def keeps_secrets(stored: str, base_url: str) -> bool:
    """Whether key and secrets of a stored base URL may go to this one: it is the same, or another of that
    server, to which the test has sent them already."""
    return base_url == stored or base_url in others(stored)


def with_suggestion(
    found: probe.ProbeResult, endpoint: Endpoint, path: str = probe.CHAT
) -> probe.ProbeResult:
    """The result, with another base URL where one answers and this one did not."""
    if found.http_status not in _NOT_FOUND:
        return found
    for url in others(endpoint.base_url):
        tried = probe.test_connection(_at(endpoint, url), context.settings(), path)
        if tried.ok:
            return msgspec.structs.replace(found, suggested_url=url)
    return found


def listing(endpoint: Endpoint, error: ConfigurationError) -> str:
    """The base URL that lists models where this one refused it with ``error``; empty if there is none."""
    text = error.text
    if not isinstance(text, Message) or text.values.get("status") not in _NOT_FOUND:
        return ""
    for url in others(endpoint.base_url):
        try:
            probe.list_models(_at(endpoint, url), context.settings())
        except ConfigurationError:
            continue
        return url
    return ""


def _at(endpoint: Endpoint, base_url: str) -> Endpoint:
    return msgspec.structs.replace(endpoint, base_url=base_url)
