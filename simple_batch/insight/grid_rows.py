"""Rows of a results grid with the values of chosen columns, and which requests fulfil conditions on
columns."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypedDict

from ..core.json_pieces import with_breaks
from ..store.column_condition import Condition
from ..store.grid_columns import MAX_ANSWER, Columns, TooLong
from ..store.models import Job, database
from .request_table import JOIN, status_of
from .summary import live_of

_FIXED = (  # of _Fixed
    "r.idx, r.custom_id, x.status, x.cause, x.http_status, x.message, x.outcome, x.estimated, "
    f"CASE WHEN length(x.response) >= {MAX_ANSWER} THEN 1 END"
)


class _Fixed(NamedTuple):
    """What every row has, whatever its columns."""

    idx: int
    custom_id: str
    status: str | None
    cause: str | None
    http_status: int | None
    message: str | None
    outcome: str | None
    estimated: int | None
    too_long: int | None


class GridRow(TypedDict):
    """A row of the grid. ``values`` are those of the chosen columns by name: texts, numbers, truth values,
    None, for a cell of a table also {"at": ISO text} and {"json": value}."""

    index: int  # from 0
    custom_id: str
    status: str  # of RequestStatus
    cause: str | None  # of a failure
    http_status: int | None
    message: str
    outcome: str | None  # of Outcome
    estimated: bool  # the tokens, and so the cost
    too_long: bool  # the answer: the grid does not read it, so it and its fields have no value
    values: dict[str, Any]


def rows(job: Job, columns: Columns, indices: Sequence[int], shown: Sequence[str]) -> list[GridRow]:
    """The requests with these indices, in this order; those that are not there are left out."""
    found = {
        fixed.idx: (fixed, values)
        for fixed, values in with_breaks(_selected(job, columns, indices, shown), 1)
    }
    live = live_of(job)
    return [_row(*found[index], live) for index in indices if index in found]


def _row(fixed: _Fixed, values: dict[str, Any], live: dict) -> GridRow:
    return {
        "index": fixed.idx,
        "custom_id": fixed.custom_id,
        "status": fixed.status or status_of(fixed.idx, live),
        "cause": fixed.cause,
        "http_status": fixed.http_status,
        "message": fixed.message or "",
        "outcome": fixed.outcome,
        "estimated": bool(fixed.estimated),
        "too_long": bool(fixed.too_long),
        "values": {
            name: None if isinstance(value, TooLong) else value for name, value in values.items()
        },
    }


def _selected(
    job: Job, columns: Columns, indices: Sequence[int], names: Sequence[str]
) -> Iterable[tuple[_Fixed, dict[str, Any]]]:
    if not indices:
        return
    sources = list(dict.fromkeys(columns.by_name[name].source for name in names))
    selected = ", ".join([_FIXED, *(columns.sources[name].sql for name in sources)])
    marks = ",".join("?" * len(indices))
    query = f"SELECT {selected} {JOIN} WHERE r.job_id = ? AND r.idx IN ({marks})"
    count = len(_Fixed._fields)
    for row in database.execute_sql(query, (job.id, *indices)):
        raw = dict(zip(sources, row[count:], strict=True))
        decoded = {name: columns.sources[name].decode(raw[name]) for name in sources}
        values = {}
        for name in names:
            column = columns.by_name[name]
            values[name] = column.pick(decoded[column.source])
        yield _Fixed(*row[:count]), values


def matching(
    job: Job, columns: Columns, indices: Sequence[int], conditions: Sequence[Condition]
) -> set[int]:
    """Those of the requests whose values fulfil all conditions."""
    if not conditions:
        return set(indices)
    names = list(dict.fromkeys(condition.column for condition in conditions))
    return {
        fixed.idx
        for fixed, values in with_breaks(_selected(job, columns, indices, names), 1)
        if all(condition.matches(values[condition.column]) for condition in conditions)
    }
