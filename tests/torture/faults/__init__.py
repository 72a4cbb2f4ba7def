"""What endpoints do wrong, each with what is expected of the job."""

from collections.abc import Callable

import msgspec


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """``answer(n)`` is what the n-th call of a request that is hit gets: bytes, or a function of the
    connection. ``ends`` are the causes its requests may end with (None: an answer), ``calls`` how
    many calls each of them costs, None where that does not matter. With ``heavy`` it is thrown alone:
    it takes memory. ``pauses`` is the reason for which the job is paused, until it is cancelled."""

    name: str
    answer: Callable[[int], object]
    ends: tuple[str | None, ...]
    calls: int | None = None
    heavy: bool = False
    pauses: str = ""


def always(behaviour) -> Callable[[int], object]:
    return lambda _number: behaviour


def at_first(times: int, behaviour, then) -> Callable[[int], object]:
    return lambda number: behaviour if number <= times else then
