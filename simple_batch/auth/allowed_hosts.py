"""The host names that this server accepts. The check prevents DNS rebinding, where the page of an
attacker uses a name that points to this server."""

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from ..core.address_policy import is_loopback


def is_any(address: str) -> bool:
    """Whether an address stands for all addresses of this machine, as 0.0.0.0 does."""
    try:
        return not address or ip_address(address.strip("[]")).is_unspecified
    except ValueError:
        return False


def bare(host: str) -> str:
    """The name in a Host header in lower case, without port, brackets and final dot."""
    if not host.endswith("]"):
        host = host.rsplit(":", 1)[0] if host.count(":") == 1 or "]:" in host else host
    return host.strip("[]").rstrip(".").lower()


class Hosts:
    """``everywhere``: the server can be reached from other machines. Then it also answers to any IP
    address, to names without dots and to its host name: a site on the internet can have none of these.
    Other names have to stand in ALLOWED_HOSTS (or PUBLIC_URL)."""

    def __init__(self, allowed: str, public_url: str):
        named = {item.strip().lower() for item in allowed.split(",")} - {""}
        self._any = "*" in named
        self._named = named | {bare(urlsplit(public_url).netloc or "")} - {""}
        self._suffixes = tuple(item for item in named if item.startswith("."))
        self.everywhere = False

    def allows(self, host: str) -> bool:
        """Whether a Host header names this server."""
        name = bare(host)
        return (
            self._any
            or is_loopback(name)
            or name in self._named
            or any(name == item[1:] or name.endswith(item) for item in self._suffixes)
            or (self.everywhere and _is_private(name))
        )


def _is_private(name: str) -> bool:
    if name and "." not in name and ":" not in name:
        return True
    try:
        ip_address(name)
    except ValueError:
        return name in {socket.gethostname().lower(), f"{socket.gethostname()}.local".lower()}
    return True
