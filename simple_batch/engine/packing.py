"""Request packer: packs /v1/embeddings requests that differ only in their input into one call, and
splits packs that are refused.

Limits of OpenAI's (API reference, “Create embeddings”): 2,048 inputs a call, 8,192 tokens an input,
300,000 tokens a call. A token is a byte at least. Other endpoints accept fewer inputs (DashScope
10): the packer learns how many.
"""

from collections.abc import Callable, Generator, Iterable, Iterator

import msgspec

from ..core.domain import EMBEDDINGS, Cause, Request, RequestResult
from .packed_request import PackedRequest, packed, parted

MAX_INPUTS = 2_048
MAX_INPUT_BYTES = 300_000  # bytes of the inputs of a call
MAX_OPEN = 16  # packs open at a time, of requests that cannot share a call
TRIES = 2  # refused packs with both halves answered, until packs are made smaller

# One input may be at fault, or the number of inputs. The cause's retries are used up first.
_APART = frozenset(
    {
        Cause.BAD_REQUEST,
        Cause.CONTEXT_LENGTH,
        Cause.TOO_LARGE,
        Cause.CONTENT_FILTER,
        Cause.BAD_RESPONSE,
        Cause.SERVER_ERROR,
        Cause.TIMEOUT,
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
    """A pack of ``count`` requests that was split: counts how many halves were answered."""

    def __init__(self, count: int):
        self.count = count
        self.answered = 0


class RequestPacker:
    """Packs at most ``max_inputs`` inputs into a call, and fewer once the endpoint shows that it
    accepts fewer: ``learned`` is then called with the old and the new number."""

    def __init__(
        self, max_inputs: int, learned: Callable[[int, int], None] = lambda before, now: None
    ):
        self.max_inputs = max_inputs
        self._learned = learned
        self._proven = 1  # the most requests in a call that was answered
        self._too_many = 0  # packs of more than that which only their halves' answers speak against
        self._splits: dict[int, _Split] = {}  # by the index of a half that is on its way

    def packs(
        self, requests: Iterable[Request | None], drop: Callable[[Request], None]
    ) -> Generator[Request, None, None]:
        """Yield the requests in packs, in their order within a pack; a request that cannot be packed
        is yielded as it is. None in the input is a pause: the open packs are then sent. If the
        generator is closed early, ``drop`` is called for each gathered request not yielded."""
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
                if len(begun[kind].members) >= self.max_inputs:
                    yield begun.pop(kind).closed()
            while begun:
                yield begun.pop(next(iter(begun))).closed()
        finally:
            for left in begun.values():
                for request in left.members:
                    drop(request)

    @staticmethod
    def _full(begun: dict[bytes, _Open], kind: bytes, size: int) -> Iterator[Request]:
        """Yield the pack that must be sent before an input of this size can be added."""
        if kind in begun:
            if begun[kind].size + size > MAX_INPUT_BYTES:
                yield begun.pop(kind).closed()
        elif len(begun) >= MAX_OPEN:
            yield begun.pop(next(iter(begun))).closed()

    def apart(self, request: Request, result: RequestResult) -> list[tuple[Request, RequestResult]]:
        """Note how a call ended. Returns the halves of a pack to try instead, each with its result so
        far; empty if the result is final."""
        split = self._splits.pop(request.index, None)
        if result.cause is None:
            if split is not None:
                self._note_answered(split)
            if isinstance(request, PackedRequest):
                self._proven = max(self._proven, len(request.members))
            return []
        if not isinstance(request, PackedRequest) or result.cause not in _APART:
            return []
        halves = parted(request, result)
        mine = _Split(len(request.members))
        self._splits.update((half.index, mine) for half, _result in halves)
        return halves

    def _note_answered(self, split: _Split) -> None:
        split.answered += 1
        if split.answered < 2 or split.count <= self._proven or split.count > self.max_inputs:
            return
        self._too_many += 1
        if self._too_many >= TRIES:
            before, self.max_inputs, self._too_many = self.max_inputs, (split.count + 1) // 2, 0
            self._learned(before, self.max_inputs)


def _apart(request: Request) -> tuple[bytes, msgspec.Raw | None, dict[str, msgspec.Raw]]:
    """Returns (key of the requests that it can be packed with, its input, the rest of its body). The
    input is None if the request must be sent alone: it has several inputs, or none that could be
    answered."""
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
