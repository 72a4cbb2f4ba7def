"""The order of a results grid as keyset queries: which requests come after or before a position.

An order is made of segments that follow each other, as values in order, then empty values, then
requests without a result. A position names its segment and holds the values of the row's sort columns;
its token is what URLs have. No query counts rows to skip them.
"""

import binascii
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

import msgspec

from ..core.errors import InvalidInput
from ..core.messages import translatable
from ..store import slow_reads
from ..store.backends import is_storable
from ..store.column_keys import LARGE
from ..store.models import Job, database
from ..store.ratings import HAS
from ..store.sort_key import EMPTY

LONGEST_TOKEN = 1_000  # characters
SCANNED = 200_000  # requests that one query looks at
_NO_RESULT = "NOT EXISTS (SELECT 1 FROM result n WHERE n.job_id = r.job_id AND n.idx = r.idx)"
_LARGEST_ID = 2**63 - 1
_KINDS = {1: (int,), 2: (int, int), 4: (int, int | float, str, int)}  # by the number of columns
_OF_TEXTS = (str, int)
# columns of ratings on a row ``g`` of rated_answer; of texts their first characters
_RATED = {"rating": "g.score", "labels": "substr(g.labels, 1, 50)", "note": "substr(g.note, 1, 50)"}


class Position(msgspec.Struct, frozen=True):
    """A row in an order: the segment it is in, and the values of that segment's columns, of which the
    last is the row's index."""

    segment: int
    values: tuple

    @property
    def index(self) -> int:
        return self.values[-1]

    def token(self) -> str:
        """As URLs have it: the index in file order, else base64 of JSON."""
        if self.segment == 0 and len(self.values) == 1:
            return str(self.index)
        data = json.dumps([self.segment, *self.values], separators=(",", ":")).encode()
        return urlsafe_b64encode(data).decode().rstrip("=")


class Segment(msgspec.Struct, frozen=True):
    """A part of an order: what it selects from, the columns that it is sorted by (the last is the
    index), and the direction. Directions of all columns are the same, so that one index serves.
    ``start`` is a condition on where the segment begins: behind a row of it that is implied, and said
    twice it would be looked up in the index instead of the row."""

    table: str  # FROM … WHERE …, with its conditions
    bound: tuple
    columns: tuple[str, ...]
    descending: bool = False
    start: str = ""
    of_texts: bool = False  # the first of two columns is one of texts
    scanned: int = 0  # requests to look at one by one, where no index of the database finds them

    def scan(
        self, after: tuple | None, limit: int, backward: bool, until: float
    ) -> tuple[list[tuple], int | None]:
        """The next rows, and the index behind which to go on if the moment ``until`` of the monotonic clock
        has come before."""
        (column,) = self.columns
        down = self.descending != backward
        at = after[0] if after is not None else (self.scanned if down else -1)
        found: list[tuple] = []
        while True:
            end = at - SCANNED if down else at + SCANNED
            within = (
                f" AND {column} < ? AND {column} >= ?"
                if down
                else f" AND {column} > ? AND {column} <= ?"
            )
            order = f"ORDER BY {column} {'DESC' if down else 'ASC'} LIMIT ?"
            query = f"SELECT {column} {self.table}{within} {order}"
            found += slow_reads.rows(query, (*self.bound, at, end, limit - len(found)))
            at = end
            if len(found) >= limit or not 0 <= at < self.scanned:
                return found, None
            if time.monotonic() > until:
                return found, at

    def next_rows(
        self, after: tuple | None, limit: int, backward: bool, is_large: bool
    ) -> list[tuple]:
        """The values of the columns of the next rows, behind the given ones."""
        down = self.descending != backward
        listed = ", ".join(self.columns)
        behind = self.start if after is None or backward else ""
        if after is not None:
            marks = ", ".join("?" * len(self.columns))
            behind += f" AND ({listed}) {'<' if down else '>'} ({marks})"
        order = ", ".join(f"{column} {'DESC' if down else 'ASC'}" for column in self.columns)
        query = f"SELECT {listed} {self.table}{behind} ORDER BY {order} LIMIT ?"
        values = (*self.bound, *(after or ()), limit)
        if is_large:
            return slow_reads.rows(query, values)
        return database.execute_sql(query, values).fetchall()


class Order(msgspec.Struct, frozen=True):
    """The segments of one order of a job's requests."""

    segments: tuple[Segment, ...]
    is_large: bool

    def next_positions(
        self, position: Position | None, limit: int, backward: bool, until: float
    ) -> tuple[list[Position], Position | None]:
        """Up to ``limit`` positions behind one (before it: ``backward``, nearest first), and where to go on
        if the moment ``until`` of the monotonic clock came first. Otherwise fewer only where there are no
        more."""
        last = len(self.segments) - 1
        place = position.segment if position else (last if backward else 0)
        after = position.values if position else None
        found: list[Position] = []
        while 0 <= place <= last and len(found) < limit:
            left, segment = limit - len(found), self.segments[place]
            if segment.scanned:
                rows, stopped = segment.scan(after, left, backward, until)
            else:
                rows, stopped = segment.next_rows(after, left, backward, self.is_large), None
            found += [Position(place, tuple(row)) for row in rows]
            if stopped is not None:
                return found, Position(place, (stopped,))
            if len(rows) < left:
                place, after = place + (-1 if backward else 1), None
        return found, None

    def fits(self, position: Position) -> bool:
        """Whether a position has the form of one of this order."""
        if not 0 <= position.segment < len(self.segments):
            return False
        segment = self.segments[position.segment]
        kinds = _OF_TEXTS if segment.of_texts else _KINDS[len(segment.columns)]
        return len(kinds) == len(position.values) and all(map(isinstance, position.values, kinds))


def parse_token(text: str, name: str) -> Position:
    """Raises InvalidInput naming the parameter."""
    try:
        if text.isascii() and text.isdigit():
            return Position(0, (_index(int(text)),))
        if len(text) > LONGEST_TOKEN:
            raise ValueError(text)
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        segment, *values = json.loads(raw)
        if type(segment) is not int or not 0 <= segment <= 3 or not 1 <= len(values) <= 4:
            raise ValueError(text)
        return Position(segment, (*map(_plain, values[:-1]), _index(values[-1])))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise InvalidInput(
            translatable(
                "%(name)s=%(value)r: not a position in this table.", name=name, value=text[:60]
            ),
            name,
        ) from None


def _index(value) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST_ID:
        raise ValueError(value)
    return value


def _plain(value) -> str | int | float:
    if type(value) is int and abs(value) <= _LARGEST_ID:
        return value
    if type(value) is float and value == value and abs(value) != float("inf"):
        return value
    if type(value) is str and is_storable(value):
        return value
    raise ValueError(value)


def by_index(job: Job, down: bool) -> Order:
    """All requests in the order of the file."""
    rows = Segment("FROM request r WHERE r.job_id = ?", (job.id,), ("r.idx",), down)
    return Order((rows,), False)


def without_result(job: Job, down: bool) -> Order:
    """Requests that have no result yet, in the order of the file."""
    return Order((_pending(job, down),), job.total > LARGE)


def _pending(job: Job, down: bool = False) -> Segment:
    return Segment(
        f"FROM request r WHERE r.job_id = ? AND {_NO_RESULT}", (job.id,), ("r.idx",), down
    )


def by_results(job: Job, conditions: str, bound: Sequence, down: bool, by_an_index: bool) -> Order:
    """Requests whose results match, in the order of the file. ``conditions`` is SQL on a result
    ``x``; ``by_an_index``: an index finds the matching ones in this order."""
    rows = Segment(
        f"FROM result x WHERE x.job_id = ?{conditions}", (job.id, *bound), ("x.idx",), down
    )
    return Order((rows,), not by_an_index and job.total > LARGE)


def by_result_column(
    job: Job, column: str, conditions: str, bound: Sequence, down: bool, unfinished: bool
) -> Order:
    """By a column of the results that has an index; then those without a value and, if they are
    asked for, those without a result."""
    where = f"FROM result x WHERE x.job_id = ?{conditions} AND x.{column}"
    values = (job.id, *bound)
    segments = [
        Segment(f"{where} IS NOT NULL", values, (f"x.{column}", "x.idx"), down),
        Segment(f"{where} IS NULL", values, ("x.idx",)),
    ]
    if unfinished:
        segments.append(_pending(job))
    return Order(tuple(segments), bool(conditions) and job.total > LARGE)


def by_keys(job: Job, column_id: int, conditions: str, bound: Sequence, down: bool) -> Order:
    """By the sort keys ``k`` of a column, empty values last in both directions. ``conditions`` is SQL
    on them, and on a result ``x`` where there is one."""
    table, values = _keys(job, column_id, conditions, bound)
    columns = ("k.kind", "k.number", "k.text", "k.idx")
    is_large = bool(conditions) and job.total > LARGE
    if not down:
        return Order((Segment(table, values, columns),), is_large)
    filled = Segment(table, values, columns, True, f" AND k.kind < {EMPTY}")
    empty = Segment(f"{table} AND k.kind = {EMPTY}", values, ("k.idx",))
    return Order((filled, empty), is_large)


def by_key_condition(
    job: Job, column_id: int, conditions: str, bound: Sequence, down: bool, by_an_index: bool
) -> Order:
    """Requests whose sort keys ``k`` match, in the order of the file; see by_results."""
    table, values = _keys(job, column_id, conditions, bound)
    is_large = not by_an_index and job.total > LARGE
    rows = Segment(table, values, ("k.idx",), down, scanned=job.total if is_large else 0)
    return Order((rows,), is_large)


def by_rated(job: Job, on_rated: str, conditions: str, bound: Sequence, down: bool) -> Order:
    """Answers with a rating ``g`` that match, in the order of the file; conditions on their results may
    be among them."""
    table = f"{_rated(conditions)} WHERE g.job_id = ?{on_rated}{conditions}"
    return Order((Segment(table, (job.id, *bound), ("g.idx",), down),), job.total > LARGE)


def by_rating(
    job: Job,
    column: str,
    on_rated: tuple[str, Sequence],
    conditions: str,
    bound: Sequence,
    down: bool,
) -> Order:
    """By a column of ratings; then all others that match, in the order of the file. ``on_rated`` are
    conditions on the ratings (empty: those without one too), the others are on results ``x``."""
    of_ratings, values = on_rated
    has = HAS[column]
    rated = f"{_rated(conditions)} WHERE g.job_id = ?{of_ratings}{conditions} AND"
    all_values = (job.id, *values, *bound)
    columns = (_RATED[column], "g.idx")
    first = Segment(f"{rated} {has}", all_values, columns, down, of_texts=column != "rating")
    none = f"SELECT 1 FROM rated_answer g WHERE g.job_id = ? AND {has} AND g.idx ="
    if of_ratings:
        rest = Segment(f"{rated} NOT ({has})", all_values, ("g.idx",))
    elif conditions:
        table = f"FROM result x WHERE x.job_id = ?{conditions} AND NOT EXISTS ({none} x.idx)"
        rest = Segment(table, (job.id, *bound, job.id), ("x.idx",))
    else:
        table = f"FROM request r WHERE r.job_id = ? AND NOT EXISTS ({none} r.idx)"
        rest = Segment(table, (job.id, job.id), ("r.idx",))
    return Order((first, rest), job.total > LARGE)


def _rated(conditions: str) -> str:
    if "x." not in conditions:
        return "FROM rated_answer g"
    return "FROM rated_answer g JOIN result x ON x.job_id = g.job_id AND x.idx = g.idx"


def by_requests(job: Job, conditions: str, bound: Sequence, down: bool) -> Order:
    """Requests ``r`` that match, with or without a result, in the order of the file."""
    rows = Segment(
        f"FROM request r WHERE r.job_id = ?{conditions}", (job.id, *bound), ("r.idx",), down
    )
    return Order((rows,), job.total > LARGE)


def _keys(job: Job, column_id: int, conditions: str, bound: Sequence) -> tuple[str, tuple]:
    """The keys of a column that match, joined with the results where a condition is on these."""
    if "x." not in conditions:
        return f"FROM grid_key k WHERE k.column_id = ?{conditions}", (column_id, *bound)
    table = (
        "FROM grid_key k JOIN result x ON x.job_id = ? AND x.idx = k.idx "
        f"WHERE k.column_id = ?{conditions}"
    )
    return table, (job.id, column_id, *bound)
