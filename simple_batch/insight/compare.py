"""Two jobs beside each other, request by request, matched by ``custom_id``."""

from collections.abc import Iterator
from typing import NamedTuple, TypedDict

import msgspec

from ..core import content
from ..store import jobs, ratings
from ..store.models import Job, database
from .rating_figures import Better, better

MAX_SCANNED = 5_000  # rows looked through for one page of different ones
_CHUNK = 200
_LONGEST = 2_000  # characters of an answer on the page

_SIDE = (  # of _Side
    "{0}.status, {0}.http_status, {0}.message, {0}.response, {0}.latency_ms, {0}.input_tokens, "
    "{0}.output_tokens, {0}.estimated, {0}.cost_nano, {0}.outcome"
)
# Rows of one job (r, x) in its order, each with its counterpart in another (s, y).
_PAIRS = f"""
SELECT r.custom_id, r.idx, s.idx, substr(r.body, 1, 20000), {_SIDE.format("x")}, {_SIDE.format("y")}
FROM request r
LEFT JOIN request s ON s.job_id = ? AND s.custom_id = r.custom_id
LEFT JOIN result x ON x.job_id = r.job_id AND x.idx = r.idx
LEFT JOIN result y ON y.job_id = s.job_id AND y.idx = s.idx
WHERE r.job_id = ? AND r.idx > ? ORDER BY r.idx LIMIT ?
"""


class _Side(NamedTuple):
    """The result of one job; None throughout where it has none."""

    status: str | None
    http_status: int | None
    message: str | None
    response: bytes | None
    latency_ms: int | None
    input_tokens: int | None
    output_tokens: int | None
    estimated: int | None
    cost_nano: int | None
    outcome: str | None


class _Pair(NamedTuple):
    """What _PAIRS select."""

    custom_id: str
    idx: int
    counterpart_idx: int | None
    body: bytes
    result: _Side
    counterpart: _Side

    @classmethod
    def of(cls, row: tuple) -> "_Pair":
        custom_id, idx, counterpart_idx, body, *results = row
        half = len(_Side._fields)
        sides = _Side._make(results[:half]), _Side._make(results[half:])
        return cls(custom_id, idx, counterpart_idx, body, *sides)


class Side(TypedDict):
    """The result of one job on the page. Figures are None where there is none yet."""

    status: str  # of RequestStatus
    http_status: int | None
    text: str  # the answer or the error message, cut to _LONGEST characters
    latency_ms: int | None
    input_tokens: int | None
    output_tokens: int | None
    estimated: bool  # the tokens, and so the cost
    cost_nano: int | None  # nano-units of the job's currency
    outcome: str | None  # of Outcome
    score: float | None  # of its ratings, the mean


class ComparedRow(TypedDict):
    """A request of one job beside that of the other with the same ``custom_id``."""

    custom_id: str
    prompt: str  # one line
    first_index: int | None  # None where that job has no such request
    second_index: int | None
    first: Side | None
    second: Side | None
    same: bool  # status and answer


class Comparison(msgspec.Struct):
    """``continue_from`` is the place to go on behind, None at the end; ``places`` is how many there
    are, ``better`` what ratings say. The first job's rows come first, then those of the second that the first has not."""

    first: Job
    second: Job
    rows: list[ComparedRow]
    continue_from: int | None
    places: int
    better: Better | None = None


def compare(
    first: int, second: int, after: int = -1, only_different: bool = False, per_page: int = 50
) -> Comparison:
    """Rows of two jobs beside each other, behind the place ``after``. Raises NotFound."""
    one, other = jobs.get(first), jobs.get(second)
    places = one.total + other.total
    rows: list[ComparedRow] = []
    scanned = 0
    while len(rows) < per_page and scanned < MAX_SCANNED and after < places - 1:
        found = _chunk(one, other, after, _CHUNK if only_different else per_page)
        if not found:  # the rows are just being removed
            after = places
        for place, row in found:
            after = place
            if row is not None and not (only_different and row["same"]):
                rows.append(row)
            if len(rows) == per_page:
                break
        scanned += len(found)
    _add_scores(rows, one, other)
    go_on = after if after < places - 1 else None
    return Comparison(one, other, rows, go_on, places, better(one, other))


def _add_scores(rows: list[ComparedRow], one: Job, other: Job) -> None:
    """What users say of the answers."""
    for job, side in ((one, "first"), (other, "second")):
        indices = [row[f"{side}_index"] for row in rows if row[side] is not None]  # type: ignore[literal-required]
        sums = ratings.sums(job.id, indices)
        for row in rows:
            found = sums.get(row[f"{side}_index"])  # type: ignore[literal-required]
            if row[side] is not None and found is not None:  # type: ignore[literal-required]
                row[side]["score"] = ratings.shown_score(found[0])  # type: ignore[literal-required]


def _chunk(one: Job, other: Job, after: int, limit: int) -> list[tuple[int, ComparedRow | None]]:
    """(place, row) of the next rows; the row is None where the first job has shown it already."""
    if after < one.total - 1:
        pairs = _pairs(one, other, after, limit)
        return [(pair.idx, _row(pair)) for pair in content.with_breaks(pairs, 1)]
    pairs = _pairs(other, one, after - one.total, _CHUNK)
    return [
        (one.total + pair.idx, _row_of_second(pair) if pair.counterpart_idx is None else None)
        for pair in content.with_breaks(pairs, 1)
    ]


def _pairs(job: Job, counterpart: Job, after: int, limit: int) -> Iterator[_Pair]:
    """The next rows of a job; one at a time, since answers may be large."""
    values = (counterpart.id, job.id, after, limit)
    return map(_Pair.of, database.execute_sql(_PAIRS, values))


def _row(pair: _Pair) -> ComparedRow:
    in_both = pair.counterpart_idx is not None
    texts = _text(pair.result), _text(pair.counterpart)
    same_status = pair.result.status == pair.counterpart.status
    return {
        "custom_id": pair.custom_id,
        "prompt": _prompt(pair),
        "first_index": pair.idx,
        "second_index": pair.counterpart_idx,
        "first": _shown(pair.result, texts[0]),
        "second": _shown(pair.counterpart, texts[1]) if in_both else None,
        "same": in_both and same_status and texts[0] == texts[1],
    }


def _row_of_second(pair: _Pair) -> ComparedRow:
    return {
        "custom_id": pair.custom_id,
        "prompt": _prompt(pair),
        "first_index": None,
        "second_index": pair.idx,
        "first": None,
        "second": _shown(pair.result, _text(pair.result)),
        "same": False,
    }


def _prompt(pair: _Pair) -> str:
    body = content.loaded(pair.body)
    return content.short(content.prompt_of(body)) if body is not None else ""


def _text(side: _Side) -> str:
    """The whole answer, which may be large, or the error message."""
    if side.status == "succeeded":
        return content.answer_of(content.loaded(side.response))
    return side.message or ""


def _shown(side: _Side, text: str) -> Side:
    return {
        "status": side.status or "pending",
        "http_status": side.http_status,
        "text": text if len(text) <= _LONGEST else text[:_LONGEST] + "…",
        "latency_ms": side.latency_ms,
        "input_tokens": side.input_tokens,
        "output_tokens": side.output_tokens,
        "estimated": bool(side.estimated),
        "cost_nano": side.cost_nano,
        "outcome": side.outcome,
        "score": None,
    }
