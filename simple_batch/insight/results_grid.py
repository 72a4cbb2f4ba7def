"""Pages of a job's results: any filter, any order, by keyset.

A page costs what its rows cost, wherever it is. Conditions on columns, and orders by columns that have no
index in the database, go by sort keys (store/column_keys.py). Until these are complete a filter looks
through the rows for LOOK_S and says where to go on, and an order is that of the file.
"""

import time
from collections.abc import Sequence

import msgspec

from ..core.domain import RequestStatus
from ..core.errors import InvalidInput
from ..core.messages import translatable
from ..store import column_keys, jobs, rating_condition, ratings
from ..store.column_condition import IS_EMPTY, Condition
from ..store.grid_columns import INDEXED, RATED, Columns
from ..store.models import Job, database
from ..store.request_filter import RequestFilter
from . import grid_order
from .grid_order import Order, Position, Segment
from .grid_rows import GridRow, matching, rows
from .request_table import LIVE, count_matches, live_indices, search_rows
from .summary import pending

LOOK_S = 0.25  # that a page looks for rows that match
LOOKED_AT = 2_000  # rows at a time, at most
LARGE = 200  # where whole answers or requests are read
COUNTED = 10_000
MOST_VALUES = 20


class GridQuery(msgspec.Struct, frozen=True):
    """What a page of the grid shows. ``sort`` is ``index`` or a column, with ``-`` before it
    downwards; ``after`` and ``before`` are tokens of a position."""

    wanted: RequestFilter = RequestFilter()
    conditions: tuple[Condition, ...] = ()
    sort: str = "index"
    per: int = 100
    after: str = ""
    before: str = ""

    @property
    def is_filtered(self) -> bool:
        return bool(self.conditions) or self.wanted != RequestFilter()


class GridPage(msgspec.Struct, frozen=True):
    """Rows, and the tokens of what is around them; ``further``: where to go on looking for rows that
    match, in the direction of the page (``backward``: before it). ``preparing``: columns whose keys are
    being built, with the part that is done."""

    rows: list[GridRow]
    next: str | None
    previous: str | None
    further: str | None
    total: int | None  # None: not known
    exact: bool
    preparing: dict[str, float]
    backward: bool = False


class ColumnValue(msgspec.Struct, frozen=True):
    """A distinct value of a column as it is written, and the number of requests with it."""

    value: object
    count: int


class _Plan(msgspec.Struct):
    """The order of a query, the total where it is known, and what is being prepared."""

    order: Order
    preparing: dict[str, float]
    total: int | None = None
    exact: bool = True


def grid_page(job_id: int, query: GridQuery, shown: Sequence[str]) -> GridPage:
    """A page with these columns. Raises NotFound for the job, InvalidInput for the sort or a token."""
    job = jobs.get(job_id)
    columns = Columns(job)
    _check_sort(query.sort, columns)
    position, backward = _position(query)
    if query.wanted.q:
        return _searched(job, columns, query, position, shown)
    plan = _plan(job, query, columns)
    if position is not None and not plan.order.fits(position):
        plan = _plan(job, msgspec.structs.replace(query, sort="index"), columns)
        position = position if plan.order.fits(position) else None
    found, further, more = _find(job, columns, query, plan.order, position, backward)
    indices = [place.index for place in (reversed(found) if backward else found)]
    ends = (found[-1], found[0]) if backward and found else (found[0], found[-1]) if found else None
    page: dict[str, str | None] = {"next": None, "previous": None}
    if ends is not None:
        at_start = position is None if not backward else not more
        at_end = position is None if backward else not more
        page["previous"] = None if at_start else ends[0].token()
        page["next"] = None if at_end else ends[1].token()
    return GridPage(
        rows=rows(job, columns, indices, shown),
        further=further.token() if further else None,
        total=plan.total,
        exact=plan.exact,
        preparing=plan.preparing,
        backward=backward,
        **page,
    )


def _check_sort(sort: str, columns: Columns) -> None:
    name = sort.removeprefix("-")
    if name != "index" and name not in columns:
        raise InvalidInput(
            translatable(
                "sort=%(sort)r: use one of %(allowed)s, - before it.",
                sort=sort[:100],
                allowed=", ".join(["index", *columns.by_name])[:500],
            ),
            "sort",
        )


def _position(query: GridQuery) -> tuple[Position | None, bool]:
    """Where the page begins, and whether it is the page before that. Raises InvalidInput."""
    if query.before:
        return grid_order.parse_token(query.before, "before"), True
    return (grid_order.parse_token(query.after, "after") if query.after else None), False


def _find(
    job: Job,
    columns: Columns,
    query: GridQuery,
    order: Order,
    position: Position | None,
    backward: bool,
) -> tuple[list[Position], Position | None, bool]:
    """The positions of a page, nearest first; where to go on looking if there was no time; and whether
    there are more."""
    found: list[Position] = []
    size, end = query.per + 1, time.monotonic() + LOOK_S
    is_large = any(columns.source_of(it.column).is_large for it in query.conditions)
    most = max(size, LARGE if is_large else LOOKED_AT)
    while True:
        candidates, stopped = order.next_positions(position, size, backward, end)
        fit = matching(job, columns, [place.index for place in candidates], query.conditions)
        found += [place for place in candidates if place.index in fit]
        if len(found) > query.per:
            return found[: query.per], None, True
        if stopped is not None:
            return found, stopped, False
        if len(candidates) < size:
            return found, None, False
        position = candidates[-1]
        if time.monotonic() > end:
            return found, position, False
        size = min(4 * size, most)


def _searched(
    job: Job,
    columns: Columns,
    query: GridQuery,
    position: Position | None,
    shown: Sequence[str],
) -> GridPage:
    """A text search, in the order of the file."""
    after = -1 if position is None else position.index
    indices, further = search_rows(job, query.wanted, after, query.per)
    fit = matching(job, columns, indices, query.conditions)
    indices = [index for index in indices if index in fit]
    return GridPage(
        rows=rows(job, columns, indices, shown),
        next=None,
        previous=None,
        further=None if further is None else str(further),
        total=None,
        exact=False,
        preparing={},
    )


def _plan(job: Job, query: GridQuery, columns: Columns) -> _Plan:
    preparing: dict[str, float] = {}
    on_ratings, others = rating_condition.split(query.conditions)
    keys = _complete_keys(job, others, preparing)
    sort, down = query.sort.removeprefix("-"), query.sort.startswith("-")
    wanted = query.wanted
    if wanted.only_status and wanted.status in (RequestStatus.PENDING, *LIVE):
        plan = _unfinished(job, wanted.status, down and sort == "index")
    else:
        sql, bound = wanted.on_results()
        sorted_by = None
        if sort not in ("index", *INDEXED, *RATED):
            state = column_keys.want(job, sort)
            if state.is_complete:
                sorted_by = state.id
            else:
                preparing[sort], down = state.progress, False
        if sort in RATED:
            order = _by_rating(job, sort, on_ratings, wanted, down)
        elif sort in INDEXED:
            sql, bound = _with_keys(sql, bound, keys, "x")
            sql, bound = _with_ratings(job, sql, bound, on_ratings, "x")
            ended_only = wanted != RequestFilter() or rating_condition.want_rated(on_ratings)
            order = grid_order.by_result_column(
                job, INDEXED[sort], sql, bound, down, not ended_only
            )
        elif sorted_by is not None:
            sql, bound = _with_keys(sql, bound, keys, "k")
            sql, bound = _with_ratings(job, sql, bound, on_ratings, "k")
            order = grid_order.by_keys(job, sorted_by, sql, bound, down)
        elif on_ratings:
            order = _rated_in_file_order(job, wanted, on_ratings, down)
        else:
            order = _in_file_order(job, wanted, keys, down)
        plan = _Plan(order, preparing)
    plan.preparing = preparing
    if not query.conditions:
        _count(job, wanted, plan)
    elif len(query.conditions) == len(keys) == 1 and wanted == RequestFilter():
        _count_keys(keys[0], plan)
    elif len(query.conditions) == len(on_ratings) == 1 and wanted == RequestFilter():
        _count_rated(job, on_ratings[0], plan)
    return plan


def _by_rating(
    job: Job, column: str, on_ratings: Sequence[Condition], wanted: RequestFilter, down: bool
) -> Order:
    rated = rating_condition.want_rated(on_ratings)
    on_rated = rating_condition.on_rated(on_ratings) if rated else ("", [])
    sql, bound = wanted.on_results()
    return grid_order.by_rating(job, column, on_rated, sql, bound, down)


def _rated_in_file_order(
    job: Job, wanted: RequestFilter, on_ratings: Sequence[Condition], down: bool
) -> Order:
    sql, bound = wanted.on_results()
    if rating_condition.want_rated(on_ratings):
        on_rated, values = rating_condition.on_rated(on_ratings)
        return grid_order.by_rated(job, on_rated, sql, [*values, *bound], down)
    if sql:
        sql, bound = _with_ratings(job, sql, bound, on_ratings, "x")
        return grid_order.by_results(job, sql, bound, down, False)
    return grid_order.by_requests(job, *rating_condition.on_requests(on_ratings, job.id, "r"), down)


def _with_ratings(
    job: Job, sql: str, bound: Sequence, on_ratings: Sequence[Condition], table: str
) -> tuple[str, list]:
    """Conditions on ratings in addition to others."""
    more, values = rating_condition.on_requests(on_ratings, job.id, table)
    return sql + more, [*bound, *values]


def _count_rated(job: Job, condition: Condition, plan: _Plan) -> None:
    if condition.column == "note":
        return
    if condition.sign == IS_EMPTY:
        plan.total = job.total - ratings.count(job.id, condition.column)
    elif condition.column == "rating":
        counts = ratings.counted_scores(job.id)
        plan.total = sum(n for score, n in counts.items() if condition.matches(score))
    else:
        counts = ratings.counted_label_sets(job.id)
        plan.total = sum(n for labels, n in counts.items() if condition.matches(labels))


def _complete_keys(
    job: Job, conditions: Sequence[Condition], preparing: dict[str, float]
) -> list[tuple[int, Condition]]:
    """The conditions whose columns have all their keys, with the ids of these; the ones that name a single
    key first. The progress of the others goes into ``preparing``."""
    found = []
    for condition in conditions:
        state = column_keys.want(job, condition.column)
        if state.is_complete:
            found.append((state.id, condition))
        else:
            preparing[condition.column] = state.progress
    return sorted(found, key=lambda pair: pair[1].single_key is None)


def _with_keys(
    sql: str, bound: Sequence, keys: Sequence[tuple[int, Condition]], table: str
) -> tuple[str, list]:
    """Conditions on keys in addition to others, as SQL on a ``table`` with an ``idx``."""
    values = list(bound)
    for column_id, condition in keys:
        on_keys, more = condition.on_keys("f")
        sql += (
            f" AND EXISTS (SELECT 1 FROM grid_key f WHERE f.column_id = ? AND f.idx = {table}.idx "
            f"AND {on_keys})"
        )
        values += [column_id, *more]
    return sql, values


def _in_file_order(
    job: Job, wanted: RequestFilter, keys: Sequence[tuple[int, Condition]], down: bool
) -> Order:
    sql, bound = wanted.on_results()
    if keys:
        (column_id, first), *others = keys
        on_keys, values = first.on_keys("k")
        sql, more = _with_keys(f" AND {on_keys}{sql}", [*values, *bound], others, "k")
        is_single = first.single_key is not None and not others and not bound
        return grid_order.by_key_condition(job, column_id, sql, more, down, is_single)
    if sql:
        one = wanted.only_status or wanted == RequestFilter(cause=wanted.cause)
        return grid_order.by_results(job, sql, bound, down, one)
    return grid_order.by_index(job, down)


def _unfinished(job: Job, status: str, down: bool) -> _Plan:
    if status == RequestStatus.PENDING:
        return _Plan(grid_order.without_result(job, down), {})
    listed = msgspec.json.encode(live_indices(job, status)).decode()
    of_list = "r.idx IN (SELECT value FROM json_each(?))"
    table = f"FROM request r WHERE r.job_id = ? AND {of_list}"
    return _Plan(Order((Segment(table, (job.id, listed), ("r.idx",), down),), False), {})


def _count(job: Job, wanted: RequestFilter, plan: _Plan) -> None:
    """The total of a filter without conditions on columns."""
    if wanted == RequestFilter():
        plan.total = job.total
    elif wanted == RequestFilter(status=RequestStatus.PENDING):
        plan.total = pending(job)
    elif wanted.only_status and wanted.status in LIVE:
        plan.total = len(live_indices(job, wanted.status))
    else:
        plan.total, plan.exact = count_matches(job, wanted)


def _count_keys(found: tuple[int, Condition], plan: _Plan) -> None:
    column_id, condition = found
    key = condition.single_key
    if key is None or key.is_cut:
        return
    on_keys, values = condition.on_keys("k")
    query = (
        f"SELECT count(*) FROM (SELECT 1 FROM grid_key k WHERE k.column_id = ? AND {on_keys} "
        "LIMIT ?) AS found"
    )
    [(count,)] = database.execute_sql(query, (column_id, *values, COUNTED)).fetchall()
    plan.total, plan.exact = count, count < COUNTED


def single_rows(job_id: int, indices: Sequence[int], shown: Sequence[str]) -> list[GridRow]:
    """Single rows of the grid, in the order of the file. Raises NotFound for the job."""
    job = jobs.get(job_id)
    return rows(job, Columns(job), sorted(set(indices)), shown)


def column_values(job_id: int, name: str) -> tuple[list[ColumnValue] | None, float]:
    """The distinct values of a column, in order; None where there are more than MOST_VALUES, or while
    its keys are being built; and the part of these that is done. Raises NotFound for the job."""
    job = jobs.get(job_id)
    if name in RATED:
        return _rated_values(job, name), 1.0
    state = column_keys.want(job, name)
    if not state.is_complete:
        return None, state.progress
    found = column_keys.distinct(state.id, MOST_VALUES)
    if found is None:
        return None, 1.0
    written = rows(job, Columns(job), [value.first for value in found], [name])
    by_index = {row["index"]: row["values"][name] for row in written}
    values = [ColumnValue(by_index.get(value.first), value.requests) for value in found]
    if name == "outcome":
        values = [_as_filtered(job, value) for value in values]
    return values, 1.0


def _as_filtered(job: Job, value: ColumnValue) -> ColumnValue:
    """An outcome with the number of requests that its filter lists. That of a status lists those that have
    an outcome too, such as answers that count as failed."""
    counts: dict[object, int] = {
        RequestStatus.SUCCEEDED: job.succeeded,
        RequestStatus.FAILED: job.failed,
        RequestStatus.CANCELLED: job.cancelled,
        None: pending(job),
    }
    return ColumnValue(value.value, counts.get(value.value, value.count))


def _rated_values(job: Job, name: str) -> list[ColumnValue] | None:
    """Scores or labels with the answers that have them, and those without any."""
    if name == "note":
        return None
    counts = ratings.counted_scores(job.id) if name == "rating" else ratings.counted_labels(job.id)
    if len(counts) > MOST_VALUES:
        return None
    found = [ColumnValue(value, count) for value, count in counts.items()]
    without = job.total - ratings.count(job.id, name)
    return [*found, ColumnValue(None, without)] if without else found
