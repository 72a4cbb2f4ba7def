"""Whether people on other machines reach this program. What follows from it is decided elsewhere.

The setting EXPOSED says so; where it is ``auto``, it is the addresses that the server listens on:
run.py tells them to ``listening_on``, gunicorn.conf.py by an environment variable, since it may not
import the package before the worker is patched. A command listens on nothing.
"""

import os
from collections.abc import Iterable
from ipaddress import ip_address

LISTENS_ON = "SIMPLE_BATCH_LISTENS_ON"  # hosts, comma separated

_choice = "auto"


def choose(choice: str) -> None:
    """What the setting says: auto, yes or no."""
    global _choice
    _choice = choice


def listening_on(hosts: Iterable[str]) -> None:
    """The hosts that this process, and those it starts, are served on."""
    os.environ[LISTENS_ON] = ",".join(hosts)


def exposed() -> bool:
    """True where somebody on another machine may be asking."""
    if _choice != "auto":
        return _choice == "yes"
    hosts = os.environ.get(LISTENS_ON)
    return hosts is not None and not all(map(_is_loopback, hosts.split(",")))


def _is_loopback(host: str) -> bool:
    """A name other than localhost, a Unix socket (which something else forwards to) and no name at
    all are not."""
    host = host.strip().strip("[]")
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
