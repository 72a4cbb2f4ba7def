"""Which requests of a job are meant besides a filter of their results: conditions on columns, and
single requests."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ..core.errors import InvalidInput
from ..core.messages import translatable
from . import column_condition
from .column_condition import Condition
from .grid_columns import Columns
from .models import Job, database

MAX_ROWS = 20_000  # single requests
_RANGE = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?", re.ASCII)


class Selection(msgspec.Struct, frozen=True):
    """``conditions`` all hold; ``indices`` are those of single requests (empty: any)."""

    conditions: tuple[Condition, ...] = ()
    indices: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.conditions or self.indices)

    @classmethod
    def parse(cls, args: Any, job: Job) -> "Selection":
        """From URL or form parameters: conditions on columns, ``index`` (several), and ``rows`` as ranges
        (``17-40,52``). Raises InvalidInput naming the parameter."""
        indices = {*args.getlist("index", type=int), *_ranges(args.get("rows") or "")}
        if len(indices) > MAX_ROWS:
            raise _too_many()
        return cls(column_condition.parse(args, Columns(job)), tuple(sorted(indices)))

    def listed(self) -> str:
        """The indices as JSON."""
        return msgspec.json.encode(self.indices).decode()


class Matcher:
    """Decides by what the columns of a request are read from whether all conditions hold."""

    def __init__(self, job: Job, conditions: tuple[Condition, ...]):
        self._job_id = job.id
        self._columns = Columns(job)
        self._conditions = conditions
        self._names = {condition.column for condition in conditions}
        named = {self._columns.by_name[name].source for name in self._names}
        self._scored = [name for name in named if self._columns.sources[name].follows is not None]

    def scored(self, indices: list[int]) -> dict[int, dict[str, bytes | None]]:
        """By request, the answers of other jobs that conditions are on; nothing where none is."""
        if not self._scored or not indices:
            return {}
        selected = ", ".join(self._columns.sources[name].sql for name in self._scored)
        query = (
            f"SELECT r.idx, {selected} FROM request r WHERE r.job_id = ? "
            "AND r.idx IN (SELECT value FROM json_each(?))"
        )
        listed = msgspec.json.encode(indices).decode()
        found = database.execute_sql(query, (self._job_id, listed))
        return {idx: dict(zip(self._scored, raw, strict=True)) for idx, *raw in found}

    def matches(self, raw: Mapping[str, Any]) -> bool:
        """``raw`` is what was selected for each source of columns (grid_columns.Columns.sources)."""
        columns = self._columns
        sources = {columns.by_name[name].source for name in self._names}
        decoded = {source: columns.sources[source].decode(raw[source]) for source in sources}
        return all(
            condition.matches(column.pick(decoded[column.source]))
            for condition in self._conditions
            for column in (columns.by_name[condition.column],)
        )


def _ranges(text: str) -> set[int]:
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        found_range = _RANGE.fullmatch(part)
        if found_range is None:
            raise InvalidInput(
                translatable(
                    "rows=%(rows)r: give the indices of requests, for example 17-40,52.",
                    rows=text[:60],
                ),
                "rows",
            )
        begin = int(found_range[1])
        end = int(found_range[2] or begin)
        if end - begin >= MAX_ROWS or len(found) > MAX_ROWS:
            raise _too_many()
        found.update(range(begin, end + 1))
    return found


def _too_many() -> InvalidInput:
    return InvalidInput(
        translatable("rows: select at most %(most)s requests.", most=f"{MAX_ROWS:,}"), "rows"
    )
