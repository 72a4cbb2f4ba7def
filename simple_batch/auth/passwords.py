"""Passwords as argon2id hashes, by the library's own choice of cost (RFC 9106, low memory)."""

import threading

import gevent
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from gevent import monkey

from ..core.errors import InvalidInput
from ..core.messages import translatable
from ..core.settings import SHORTEST_PASSWORD

SHORTEST, LONGEST = SHORTEST_PASSWORD, 1024  # characters

_hasher = PasswordHasher()
# each hash costs 64 MiB and a core for some time: a flood of logins waits in a queue
_turns = threading.BoundedSemaphore(2)
_unlike: str = ""


def hashed(password: str) -> str:
    """The hash to be kept. Raises InvalidInput for a password that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInput(
            translatable(
                "Password: from %(low)s to %(high)s characters.",
                low=SHORTEST,
                high=f"{LONGEST:,}",
            ),
            "password",
        )
    return _apart(_hasher.hash, _encoded(password))


def fits(kept: str | None, password: str) -> bool:
    """Whether the password is that of the hash; it takes as long where there is none."""
    given = _encoded(password[: LONGEST + 1])  # one that is too long fits none
    return _apart(_verified, kept or _unlike_any(), given) and kept is not None


def outdated(kept: str) -> bool:
    """Whether the password should be hashed again, because the cost was raised."""
    return _hasher.check_needs_rehash(kept)


def _verified(kept: str, given: bytes) -> bool:
    # answered in the thread: gevent prints what is raised there
    try:
        return _hasher.verify(kept, given)
    except (VerificationError, InvalidHashError):
        return False


def _unlike_any() -> str:
    global _unlike
    _unlike = _unlike or _hasher.hash(b"no password")
    return _unlike


def _encoded(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


def _apart(function, *args):
    """Run the function in a thread where greenlets run, so that they continue meanwhile."""
    with _turns:
        if monkey.is_module_patched("socket"):
            return gevent.get_hub().threadpool.apply(function, args)
        return function(*args)
