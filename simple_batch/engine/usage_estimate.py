"""The usage of a call whose answer does not report it: estimated from the texts of the request and of
the answer, so that it counts toward costs and spend caps."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from ..core.call_prices import Usage
from ..core.domain import IMAGE, Request
from ..core.json_pieces import beginning
from . import token_count
from .classify import Classification
from .usage import MOST_TOKENS, usage_of
from .usage_figures import Figures, figures_of

_COUNTED = 100_000  # characters of all texts of a call; the rest is scaled
_WITHOUT_TEXT = ("/v1/images/generations",)  # tokens of a picture cannot be told from it
_ELSEWHERE = ("usage", "usageMetadata", "usage_metadata", "token_usage", "billed_units")
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def with_estimate(finding: Classification, request: Request, sent: bytes) -> Classification:
    """The same answer with the usage of its call. ``sent`` is the body that was sent for ``request``."""
    # an image that was beside a table has its size in the request, not in what was sent
    body = request.body if IMAGE.encode() in request.body else sent
    usage = estimated_usage(request.url, body, finding.response)
    return msgspec.structs.replace(finding, usage=usage)


def estimated_usage(url: str, body: bytes, answer: bytes | None) -> Usage | None:
    """The usage of a call that was answered, as far as the answer reports it, the rest estimated; None
    where it cannot be estimated."""
    found, share = _opened(answer)
    for usage in _usages(found):
        told = usage_of(msgspec.Raw(_encode(usage)), url)
        if told is not None:
            return told
    if url in _WITHOUT_TEXT:
        return None
    request, request_share = _opened(body)
    count = _counter()
    into = max(1, round(token_count.of_request(request, count) * request_share))
    written = token_count.of_answer(found, count) * share
    out = max(1, round(written)) if written else 0  # no text is without tokens
    return _corrected(into, out, figures_of(_encode(found.get("usage"))) or Figures())


def _corrected(into: int, out: int, told: Figures) -> Usage:
    """An estimate, corrected by the figures that the answer reports."""
    sent, got, total = (
        given if given and given <= MOST_TOKENS else None
        for given in (told.input, told.output, told.total)
    )
    if total is not None and sent is None and got is None:  # divided like the estimates
        sent = max(1, round(total * into / (into + out)))
        got = total - sent
    return Usage(into if sent is None else sent, out if got is None else got, estimated=1)


def _opened(raw: bytes | None) -> tuple[dict[str, Any], float]:
    """A JSON object, of a very large one the beginning, and how much longer the whole is."""
    raw = raw or b"{}"
    head = beginning(raw) or raw
    try:
        found = _decode(head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    return (found if isinstance(found, dict) else {}), len(raw) / len(head)


def _usages(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Usage objects at other places than the usual one, of answers that are wrapped or of streams."""
    choices = answer.get("choices")
    places = [answer, *(choices if isinstance(choices, list) else ()), *answer.values()]
    for place in places:
        for name in _ELSEWHERE if isinstance(place, dict) else ():
            if isinstance(place.get(name), dict):
                yield place[name]


def _counter() -> Callable[[str], float]:
    """Counts tokens by characters; of texts longer than _COUNTED together, the rest like the
    beginning."""
    counted, found = 0, 0.0

    def count(text: str) -> float:
        nonlocal counted, found
        part = text[: max(0, _COUNTED - counted)]
        tokens = token_count.by_characters(part) if part else 0.0
        counted, found = counted + len(part), found + tokens
        return tokens + (len(text) - len(part)) * found / max(1, counted)

    return count
