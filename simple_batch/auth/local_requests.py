"""Whether a request comes from this machine itself, or whether a proxy may have forwarded it.

A proxy on this machine connects from a loopback address, so the address alone proves nothing. A
request counts as local only without any sign of a proxy: the headers that proxies add, HTTP/1.0
(nginx speaks it to its upstream where nothing else is configured; browsers and HTTP clients speak
1.1), a name other than this machine's loopback names, and a page from elsewhere as its origin.

Sources: RFC 7239 (Forwarded), RFC 9110 section 7.6.3 (Via), RFC 8586 (CDN-Loop), and the headers
that nginx, Apache, HAProxy, Envoy, Traefik, IIS, Cloudflare, Fastly, Fly, Akamai, CloudFront, Azure,
App Engine and Tailscale document for the address, name or scheme of the client.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from ..core import address_policy
from ..core.messages import translatable
from . import allowed_hosts

OLDEST_DIRECT = "HTTP/1.1"
DECIDES = ("HTTP_HOST", "HTTP_ORIGIN", "SERVER_NAME", "SERVER_PROTOCOL", "REMOTE_ADDR")
_ADDED_BY_PROXIES = re.compile(
    "HTTP_(?:"
    "VIA|CDN_LOOP|FRONT_END_HTTPS|SURROGATE_CAPABILITY|TRUE_CLIENT.*|X_HOST|X_SCHEME|X_URL_SCHEME"
    "|(?:CF|CLOUDFRONT|FASTLY|FLY|AKAMAI|INCAP|TAILSCALE|X_AMZN|X_AMZ_CF|X_APPENGINE|X_ARR|X_AZURE"
    "|X_ENVOY|X_NGINX|X_ORIGINAL|X_PROXY|X_VARNISH|X_VERCEL|WL_PROXY)(?:_.*)?"
    "|.*(?:FORWARDED|PROXY_USER|PROXYUSER"
    "|(?:CLIENT|REAL|REMOTE|USER|CONNECTING|ORIGINATING|SOURCE)_?(?:IP|ADDR|ADDRESS))(?:_.*)?"
    ")"
)


def why_not(environ: Mapping) -> str | None:
    """None for a WSGI request that comes from this machine, else what speaks against it, in words."""
    forwarded = next(iter(proxy_headers(environ)), None)
    if forwarded is not None:
        return translatable(
            "it has the header %(name)s, as a proxy adds it", name=_header(forwarded[0])
        )
    address = environ.get("REMOTE_ADDR") or ""
    # "localhost" in place of an address is what some servers say of a Unix socket
    if address == address_policy.LOOPBACK or not address_policy.is_loopback(address):
        return translatable("it comes from the address “%(address)s”", address=address)
    host = allowed_hosts.bare(environ.get("HTTP_HOST") or "")
    if not address_policy.is_loopback(host):
        return translatable("it asks for the name “%(host)s”", host=host[:100])
    protocol = environ.get("SERVER_PROTOCOL") or ""
    if protocol < OLDEST_DIRECT:
        return translatable("it uses %(protocol)s, as proxies do", protocol=protocol or "HTTP/0.9")
    origin = environ.get("HTTP_ORIGIN") or ""
    if not _own_page(origin):
        return translatable("a page of “%(origin)s” sent it", origin=origin[:100])
    return None


def proxy_headers(environ: Mapping) -> list[tuple[str, str]]:
    """(name in the environ, value) of the headers that proxies add."""
    return [(name, environ[name]) for name in environ if _added_by_proxies(name)]


@lru_cache(1024)
def _added_by_proxies(name: str) -> bool:
    return _ADDED_BY_PROXIES.fullmatch(name) is not None


def _header(name: str) -> str:
    return "-".join(part.capitalize() for part in name.removeprefix("HTTP_").split("_"))[:60]


def _own_page(origin: str) -> bool:
    """Whether a page of this machine may have sent this Origin header; "null" says nothing."""
    if origin in ("", "null"):
        return True
    try:
        return address_policy.is_loopback(urlsplit(origin).hostname)
    except ValueError:
        return False
