"""Puts requests of /v1/embeddings that differ in nothing but their input into packs, and takes apart
those that are refused.

Limits of OpenAI's (API reference, “Create embeddings”): 2,048 inputs a call, 8,192 tokens an input,
300,000 tokens a call. A token is a byte at least. Others bear fewer inputs (DashScope 10): a packer
learns how many.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from ..core.domain import EMBEDDINGS, Cause, Outcome, Request
from .packed_request import PackedRequest, packed, parted

MOST = 2_048
LONGEST = 300_000  # bytes of the inputs of a call
OPEN = 16  # packs begun at a time, of requests that do not go together
TRIES = 2  # so many packs refused whose halves are answered show that they were too large

# One input may be to blame, or their number. The retries that a cause has are used up before.
_APART = frozenset(
    {
        *(Cause.BAD_REQUEST, Cause.CONTEXT_LENGTH, Cause.CONTENT_FILTER),
        *(Cause.BAD_RESPONSE, Cause.SERVER_ERROR, Cause.TIMEOUT),
    }
)

_encode = msgspec.json.Encoder(order="sorted").encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Open:
    """A pack that is being filled."""

    def __init__(self, rest: dict[str, msgspec.Raw]):
        self.rest = rest
        self.members: list[Request] = []
        self.inputs: list[msgspec.Raw] = []
        self.size = 0

    def add(self, request: Request, given: msgspec.Raw) -> None:
        self.members.append(request)
        self.inputs.append(given)
        self.size += len(bytes(given))

    def closed(self) -> Request:
        return packed(self.members, self.inputs, self.rest)


class _Split:
    """A pack of ``count`` that was taken apart: how many of its halves were answered."""

    def __init__(self, count: int):
        self.count = count
        self.answered = 0


class RequestPacker:
    """``most`` inputs go in a call, fewer where the endpoint turns out to take fewer: ``learned`` is
    told then how many from how many."""

    def __init__(self, most: int, learned: Callable[[int, int], None] = lambda before, now: None):
        self.most = most
        self._learned = learned
        self._proven = 1  # so many in a call were answered
        self._too_many = 0  # packs of more than that which only their halves' answers speak against
        self._splits: dict[int, _Split] = {}  # by the index of a half that is on its way

    def packs(
        self, requests: Iterable[Request | None], drop: Callable[[Request], None]
    ) -> Iterator[Request]:
        """The requests in packs, in their order where they go together; those that do not go with
        others as they are. None among them is a pause: what was gathered goes then. ``drop`` is
        told of what was gathered in vain, where this is closed before its end."""
        begun: dict[bytes, _Open] = {}
        try:
            for request in requests:
                if request is None:
                    while begun:
                        yield begun.pop(next(iter(begun))).closed()
                    continue
                kind, given, rest = _apart(request)
                if given is None:
                    yield request
                    continue
                yield from self._full(begun, kind, len(bytes(given)))
                begun.setdefault(kind, _Open(rest)).add(request, given)
                if len(begun[kind].members) >= self.most:
                    yield begun.pop(kind).closed()
            while begun:
                yield begun.pop(next(iter(begun))).closed()
        finally:
            for left in begun.values():
                for request in left.members:
                    drop(request)

    @staticmethod
    def _full(begun: dict[bytes, _Open], kind: bytes, size: int) -> Iterator[Request]:
        """What must go before an input of this size can be taken in."""
        if kind in begun:
            if begun[kind].size + size > LONGEST:
                yield begun.pop(kind).closed()
        elif len(begun) >= OPEN:
            yield begun.pop(next(iter(begun))).closed()

    def apart(self, request: Request, outcome: Outcome) -> list[tuple[Request, Outcome]]:
        """Take note of how a call ended; the halves of a pack that are to be tried instead, each
        with its outcome so far. Empty where the outcome stands."""
        split = self._splits.pop(request.index, None)
        if outcome.cause is None:
            if split is not None:
                self._note_answered(split)
            if isinstance(request, PackedRequest):
                self._proven = max(self._proven, len(request.members))
            return []
        if not isinstance(request, PackedRequest) or outcome.cause not in _APART:
            return []
        halves = parted(request, outcome)
        mine = _Split(len(request.members))
        self._splits.update((half.index, mine) for half, _outcome in halves)
        return halves

    def _note_answered(self, split: _Split) -> None:
        split.answered += 1
        if split.answered < 2 or split.count <= self._proven or split.count > self.most:
            return
        self._too_many += 1
        if self._too_many >= TRIES:
            before, self.most, self._too_many = self.most, (split.count + 1) // 2, 0
            self._learned(before, self.most)


def _apart(request: Request) -> tuple[bytes, msgspec.Raw | None, dict[str, msgspec.Raw]]:
    """(what it shares with those that it may travel with, its input, the rest of its body); without
    an input where it is to travel alone: it has several, or none that could be answered."""
    if request.url != EMBEDDINGS:
        return b"", None, {}
    rest = _fields(request.body)
    given = rest.pop("input", msgspec.Raw())
    if bytes(given)[:1] == b"[":
        items = _list(given)
        if len(items) == 1 and bytes(items[0])[:1] in b'["':
            given = items[0]
        elif not items or not all(bytes(item).isdigit() for item in items):
            return b"", None, {}
    if bytes(given)[:1] not in (b'"', b"[") or bytes(given) in (b'""', b"[]"):
        return b"", None, {}
    return bytes(given)[:1] + _encode(rest), given, rest
