"""Whether people on other machines reach this program. What follows from it is decided elsewhere.

The setting EXPOSED says so; where it is ``auto``, it is the addresses that the server listens on:
run.py tells them to ``listening_on``, gunicorn.conf.py by an environment variable, since it may not
import the package before the worker is patched. A command listens on nothing.

A Celery worker listens on nothing either, but makes the calls of jobs that web processes took, which
may listen anywhere. None of them serves other machines unless users have to log in (door.py), so
that is what counts for a worker.
"""

import os
from collections.abc import Callable, Iterable
from ipaddress import ip_address

LISTENS_ON = "SIMPLE_BATCH_LISTENS_ON"  # hosts, comma separated

_choice = "auto"
_login_possible: Callable[[], bool] | None = None
_served_elsewhere = True  # as far as is known; asked by ``look``


def choose(choice: str) -> None:
    """What the setting says: auto, yes or no."""
    global _choice
    _choice = choice


def follow(login_possible: Callable[[], bool]) -> None:
    """Where the setting is auto, go by whether users have to log in (a worker)."""
    global _login_possible
    _login_possible = login_possible


def look() -> None:
    """Ask that again, of the database: a user may have been made meanwhile."""
    global _served_elsewhere
    if _login_possible is not None and _choice == "auto":
        _served_elsewhere = _login_possible()


def listening_on(hosts: Iterable[str]) -> None:
    """The hosts that this process, and those it starts, are served on."""
    os.environ[LISTENS_ON] = ",".join(hosts)


def exposed() -> bool:
    """True where somebody on another machine may be asking."""
    if _choice != "auto":
        return _choice == "yes"
    if _login_possible is not None:
        return _served_elsewhere
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
