"""SSRF guard: which addresses calls may go to, and whether other machines reach this program.

A base URL or a webhook must not open a network that the user who entered it cannot reach. Public
addresses are always allowed. Private ones, loopback included, are allowed where only this machine
reaches the program (``exposed``), else where ALLOWED_PRIVATE_HOSTS names them. Unspecified, link-local
and multicast addresses and the metadata services of clouds are refused unless they are listed by
number. The check looks at the address of the connection, not at the name.
Sources: the IANA special-purpose registries, by way of ``ipaddress``; the clouds' documentation.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any, NamedTuple, TypeVar

from .errors import ConfigurationError, SettingsError
from .messages import Message
from .stored_messages import ADDRESS_REFUSED

_NEVER = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "169.254.0.0/16",
            "224.0.0.0/4",
            "255.255.255.255/32",
            "::/128",
            "fe80::/10",
            "ff00::/8",
            # metadata services outside 169.254.0.0/16: Alibaba, Azure, Oracle, AWS, Google
            "100.100.100.200/32",
            "168.63.129.16/32",
            "192.0.0.192/32",
            "fd00:ec2::/32",
            "fd20:ce::254/128",
        ),
    )
)
_LOCAL_NAT64 = ip_network("64:ff9b:1::/48")  # private: Python before 3.11.10 does not know
_NAT64 = ip_network("64:ff9b::/96"), _LOCAL_NAT64
_COMPATIBLE = ip_network("::/96")  # ::a.b.c.d

# an answer of ``getaddrinfo``: its last part is (address, port, …)
_Info = TypeVar("_Info", bound=tuple[int, int, int, str, tuple[Any, ...]])


class AddressRefused(ConfigurationError):
    """Nothing is sent there."""


class AddressPolicy(NamedTuple):
    """What ALLOWED_PRIVATE_HOSTS lets through: host names, and networks."""

    names: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]

    @classmethod
    def of(cls, setting: str) -> "AddressPolicy":
        """Names, addresses and networks (10.0.0.0/8), comma separated. Raises SettingsError."""
        names, networks = set(), []
        for entry in filter(None, (part.strip().lower() for part in setting.split(","))):
            if not _looks_numeric(entry):
                names.add(entry.rstrip("."))
                continue
            try:
                networks.append(ip_network(entry.strip("[]")))
            except ValueError as error:
                raise SettingsError(
                    f"ALLOWED_PRIVATE_HOSTS: {error}. Give names, addresses or networks, comma "
                    "separated: vllm.lan,10.0.0.0/8."
                ) from None
        return cls(frozenset(names), tuple(networks))

    def through(self, host: str, found: list[_Info]) -> list[_Info]:
        """Those of ``getaddrinfo``'s answers for a host that may be connected to. Raises
        AddressRefused where there is none."""
        good = [info for info in found if self._passes(host, info[4][0])]
        if found and not good:
            raise AddressRefused(_refusal(host, found[0][4][0]))
        return good

    def check(self, host: str) -> None:
        """Raises AddressRefused where the host is an address that may not be connected to; a name is
        looked at when it is resolved."""
        if not self._passes(host, host):
            raise AddressRefused(_refusal(host, host))

    def _passes(self, host: str, address: str) -> bool:
        try:
            meant = list(_meant(address))
        except ValueError:
            return True  # a name
        if any(self._barred(one) for one in meant):
            return False
        return (
            not exposed()
            or host.lower().rstrip(".") in self.names
            or all(_is_public(one) or self._listed(one) for one in meant)
        )

    def _listed(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self.networks)

    def _barred(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether the address is in a network of _NEVER and not listed by itself: a larger listed
        network that contains it does not allow it."""
        return any(
            address in never
            and not any(
                address in network and _lies_in(network, never) for network in self.networks
            )
            for never in _NEVER
        )


def _lies_in(network: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(outer, IPv4Network) and network.subnet_of(outer)
    return isinstance(outer, IPv6Network) and network.subnet_of(outer)


def _meant(address: str) -> Iterator[IPv4Address | IPv6Address]:
    """The address, and the IPv4 address that an IPv6 one is another form of. Raises ValueError where
    it is no address."""
    found = ip_address(address.strip("[]").partition("%")[0])
    if found.version == 6 and found.ipv4_mapped:
        found = found.ipv4_mapped
    yield found
    if found.version == 4:
        return
    if found.sixtofour:
        yield found.sixtofour
    if found.teredo:
        yield from found.teredo
    if any(found in network for network in _NAT64) or (
        found in _COMPATIBLE and int(found) > 0xFFFF
    ):
        yield IPv4Address(int(found) & 0xFFFFFFFF)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    local = address.version == 6 and (address.is_site_local or address in _LOCAL_NAT64)
    return address.is_global and not local


def _looks_numeric(entry: str) -> bool:
    """Whether an entry is meant for an address or network."""
    return "/" in entry or ":" in entry or entry.replace(".", "").isdigit()


def _refusal(host: str, address: str) -> Message:
    place = host if host == address else f"{host} ({address})"
    return ADDRESS_REFUSED(place=place)


LOOPBACK = "localhost"
LISTENS_ON = "SIMPLE_BATCH_LISTENS_ON"  # hosts, comma separated

_choice = "auto"
_login_possible: Callable[[], bool] | None = None
_served_elsewhere = True  # the last answer of _login_possible (``refresh``)


def set_exposed(choice: str) -> None:
    """Apply the setting EXPOSED: auto, yes or no."""
    global _choice
    _choice = choice


def follow_logins(login_possible: Callable[[], bool]) -> None:
    """Where the setting is auto, go by whether users have to log in (a worker)."""
    global _login_possible
    _login_possible = login_possible


def refresh() -> None:
    """Query the database again whether users have to log in: a user may have been created."""
    global _served_elsewhere
    if _login_possible is not None and _choice == "auto":
        _served_elsewhere = _login_possible()


def listening_on(hosts: Iterable[str]) -> None:
    """The hosts that this process, and those it starts, are served on."""
    os.environ[LISTENS_ON] = ",".join(hosts)


def exposed() -> bool:
    """True where requests may come from another machine."""
    if _choice != "auto":
        return _choice == "yes"
    if _login_possible is not None:
        return _served_elsewhere
    hosts = os.environ.get(LISTENS_ON)
    return hosts is not None and not all(map(is_loopback, hosts.split(",")))


def is_loopback(host: str | None) -> bool:
    """Whether an address or host name is this machine's alone. Other names, Unix sockets (another
    program forwards to them) and an empty name are not."""
    name = (host or "").strip().strip("[]").lower()
    if name == LOOPBACK:
        return True
    try:
        address = ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
