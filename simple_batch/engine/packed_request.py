"""Several requests of /v1/embeddings in one call, and its answer given back to each of them.

The usage is known for the whole call only. It is divided in proportion to the length of the inputs,
and the parts add up to the total exactly.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from ..core.call_prices import Usage
from ..core.domain import Attempt, Cause, Request, RequestResult, RequestStatus, Verdict
from ..core.stored_messages import VECTORS_MISSING
from .classify import Classification, disqualified

_encode = msgspec.json.Encoder().encode
_any = msgspec.json.Decoder().decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


class _Item(msgspec.Struct):
    index: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Item] = []


_answer = msgspec.json.Decoder(_Answer).decode


class PackedRequest(Request, frozen=True, kw_only=True):
    """Used in place of a request: its index is that of its first member, its body has all ``inputs``
    and the fields that the members' bodies share (``rest``)."""

    members: tuple[Request, ...]
    inputs: tuple[msgspec.Raw, ...]
    rest: dict[str, msgspec.Raw]

    def halves(self) -> tuple[Request, Request]:
        """The same in two calls."""
        half = (len(self.members) + 1) // 2
        return (
            packed(self.members[:half], self.inputs[:half], self.rest),
            packed(self.members[half:], self.inputs[half:], self.rest),
        )

    def checked(self, finding: Classification) -> Classification:
        """The same, unless it is an answer that does not have one vector for each input."""
        if finding.cause is not None or finding.response is None:
            return finding
        try:
            indices = [item.index for item in _answer(finding.response).data]
        except msgspec.DecodeError:
            indices = []
        count = len(self.members)
        if len(indices) == count and set(indices) == set(range(count)):
            return finding
        complaint = VECTORS_MISSING(count=count, first=0, last=count - 1)
        return disqualified(finding, Cause.BAD_RESPONSE, complaint, Verdict.FINAL)


def packed(
    members: Sequence[Request], inputs: Sequence[msgspec.Raw], rest: dict[str, msgspec.Raw]
) -> Request:
    """One request for them all; a single one is left as it is."""
    first = members[0]
    if len(members) == 1:
        return first
    return PackedRequest(
        first.index,
        first.custom_id,
        _encode({**rest, "input": inputs}),
        first.url,
        members=tuple(members),
        inputs=tuple(inputs),
        rest=rest,
    )


def members(request: Request) -> tuple[Request, ...]:
    """The requests packed into this one."""
    return request.members if isinstance(request, PackedRequest) else (request,)


def results(request: Request, result: RequestResult) -> Iterator[RequestResult]:
    """The result of each member, from the result of the call."""
    if not isinstance(request, PackedRequest):
        yield result
        return
    weights = list(map(_weight, request.inputs))
    responses: Iterable[bytes | None] = [result.response] * len(weights)
    if result.status is RequestStatus.SUCCEEDED and result.response is not None:
        responses = _answers(result.response, weights)
    for member, own, usage, response in zip(
        request.members,
        _attempts(result.attempts, weights),
        _usages(result.usage, weights),
        responses,
        strict=True,
    ):
        yield msgspec.structs.replace(
            result, index=member.index, attempts=own, usage=usage, response=response
        )


def tried(
    request: Request, attempts: Sequence[Attempt]
) -> Iterator[tuple[int, tuple[Attempt, ...]]]:
    """(index, attempts) of each member where these were made for all."""
    if not isinstance(request, PackedRequest):
        yield request.index, tuple(attempts)
        return
    own = _attempts(attempts, list(map(_weight, request.inputs)))
    yield from zip((member.index for member in request.members), own, strict=True)


def parted(pack: PackedRequest, refused: RequestResult) -> list[tuple[Request, RequestResult]]:
    """Split a failed pack in two; both halves keep the attempts so far. The refusal itself does not
    count as an attempt unless it was billed: the request at fault will be refused on its own."""
    attempts = refused.attempts
    if attempts and attempts[-1].usage is None:
        attempts = attempts[:-1]
    halves = pack.halves()
    weights = [sum(map(_weight, pack.inputs[: len(members(halves[0]))]))]
    weights.append(sum(map(_weight, pack.inputs)) - weights[0])
    return [
        (half, msgspec.structs.replace(refused, index=half.index, attempts=own, usage=usage))
        for half, own, usage in zip(
            halves, _attempts(attempts, weights), _usages(refused.usage, weights), strict=True
        )
    ]


def _weight(given: msgspec.Raw) -> int:
    """The length of an input: bytes of a text, or tokens."""
    raw = bytes(given)
    return raw.count(b",") + 1 if raw[:1] == b"[" else len(raw)


def _apportioned(amount: int, weights: Sequence[int]) -> list[int]:
    """Whole parts of ``amount`` in proportion to the weights; their sum is ``amount``."""
    total, reached, parts = sum(weights), 0, []
    for weight in weights:
        begin = amount * reached // total
        reached += weight
        parts.append(amount * reached // total - begin)
    return parts


def _usages(usage: Usage | None, weights: Sequence[int]) -> list[Usage | None]:
    if usage is None:
        return [None] * len(weights)
    *amounts, estimated = msgspec.structs.astuple(usage)
    fields = (_apportioned(amount, weights) for amount in amounts)
    return [
        msgspec.structs.replace(Usage(*parts), estimated=estimated)
        for parts in zip(*fields, strict=True)
    ]


def _attempts(attempts: Sequence[Attempt], weights: Sequence[int]) -> list[tuple[Attempt, ...]]:
    if all(attempt.usage is None for attempt in attempts):
        return [tuple(attempts)] * len(weights)
    each = (
        [msgspec.structs.replace(attempt, usage=usage) for usage in _usages(attempt.usage, weights)]
        for attempt in attempts
    )
    return list(zip(*each, strict=True))


def _answers(response: bytes, weights: Sequence[int]) -> Iterator[bytes]:
    """A whole answer for each input, as if it had been the only one; made as it is asked for, since
    vectors are large."""
    fields = _fields(response)
    data = sorted(_items(fields["data"]), key=lambda item: int(bytes(item["index"])))
    usages = _shared(_any(fields["usage"]), weights) if "usage" in fields else None
    for place, item in enumerate(data):
        own = {**fields, "data": [{**item, "index": 0}]}
        if usages is not None:
            own["usage"] = usages[place]
        yield _encode(own)


def _shared(value: Any, weights: Sequence[int]) -> list[Any]:
    """A usage object, or a part of one, for each input: numbers are apportioned."""
    if isinstance(value, dict):
        parts = {name: _shared(part, weights) for name, part in value.items()}
        return [{name: parts[name][place] for name in parts} for place in range(len(weights))]
    if isinstance(value, int) and not isinstance(value, bool):
        return _apportioned(value, weights)
    if isinstance(value, float):
        return [value * weight / sum(weights) for weight in weights]
    return [value] * len(weights)
