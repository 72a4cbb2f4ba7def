"""Sort keys of the columns of a job's results, one row per request and column.

They are built on demand: the first time that a page sorts or filters by a column, or asks for its values.
A small job is done at once, a large one by the background task of the process that runs the jobs, in
steps of about STEP_S. Keys of answers follow the results; a page that goes by keys still checks the rows
themselves, so that a key that is behind never shows a row that does not match.
"""

import time
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from ..core import context
from ..core.clock import give_way, now_ms
from . import slow_reads
from .dialect import LOCKING
from .grid_columns import PROMPT, SCORED, Columns
from .models import GridColumn, Job, database, lock_job
from .sort_key import EMPTY, SortKey, key_of

STEP_S = 0.02  # of work in a step: while it writes, all greenlets of the process stand still
STEP = 2_000  # rows of a step, at most
LARGE_STEP = 50  # where answers or requests are read, to begin with
AT_ONCE_S = 0.25  # that a page waits for the keys of a small job
AT_ONCE = 20_000  # requests of a small job
LARGE = 100_000  # keys: reading that many may take longer than a page may hold the process
_LATE_MS = 120_000  # a result may be committed this long after it ended
_WATCHED_MS = 60_000  # the keys of a running job follow its answers this long after they were used
_TOUCH_MS = 10_000
_IN_USE_MS = 30_000  # after it was wanted: a page may be reading the keys

_REQUESTS = (
    "SELECT r.idx, {of}, coalesce(x.finished_at, 0) FROM request r "
    "LEFT JOIN result x ON x.job_id = r.job_id AND x.idx = r.idx "
    "WHERE r.job_id = ? AND r.idx >= ? ORDER BY r.idx LIMIT ?"
)
_RESULTS = (
    "SELECT r.idx, {of}, x.finished_at FROM result x "
    "JOIN request r ON r.job_id = x.job_id AND r.idx = x.idx "
    "WHERE x.job_id = ? AND x.finished_at >= ? AND NOT EXISTS (SELECT 1 FROM grid_key k "
    "WHERE k.column_id = ? AND k.idx = x.idx AND k.at = x.finished_at) "
    "ORDER BY x.finished_at, x.idx LIMIT ?"
)
# of a column that follows another job: the results there
_FOLLOWED = (
    "SELECT r.idx, {of}, y.finished_at FROM result y "
    "JOIN request q ON q.job_id = y.job_id AND q.idx = y.idx "
    "JOIN request r ON r.job_id = ? AND r.custom_id = q.custom_id "
    "WHERE y.job_id = ? AND y.finished_at >= ? AND NOT EXISTS (SELECT 1 FROM grid_key k "
    "WHERE k.column_id = ? AND k.idx = r.idx AND k.at = y.finished_at) "
    "ORDER BY y.finished_at, y.idx LIMIT ?"
)
_PUT = (
    "INSERT INTO grid_key (column_id, idx, kind, number, text, at) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (column_id, idx) DO UPDATE SET kind = excluded.kind, number = excluded.number, "
    "text = excluded.text, at = excluded.at"
)
_BEHIND = (
    "SELECT c.id FROM grid_column c JOIN job j ON j.id = c.job_id WHERE j.deleted_at IS NULL "
    "AND (c.removed OR c.next_idx < j.total OR (j.finished_at IS NULL AND c.wanted_at > ?) "
    "OR c.finished_at < j.finished_at OR EXISTS (SELECT 1 FROM job s WHERE s.answers_of = j.id AND "
    "((s.finished_at IS NULL AND c.wanted_at > ?) OR c.finished_at < s.finished_at))) ORDER BY c.wanted_at DESC"
)
# of requests that are pending again: columns that are read from results, here and in a job that shows these answers
_EMPTY_KEYS = (
    f"UPDATE grid_key SET kind = {EMPTY}, number = 0, text = '', at = 0 WHERE column_id = ? "
    "AND idx IN (SELECT value FROM json_each(?))"
)
_EMPTY_SCORES = (
    f"UPDATE grid_key SET kind = {EMPTY}, number = 0, text = '', at = 0 WHERE column_id IN "
    "(SELECT id FROM grid_column WHERE job_id = ? AND name LIKE ?) AND idx IN "
    "(SELECT r.idx FROM request q JOIN request r ON r.job_id = ? AND r.custom_id = q.custom_id "
    "WHERE q.job_id = ? AND q.idx IN (SELECT value FROM json_each(?)))"
)
# columns of a job, and those of another job that show its answers
_LOOK_BACK = (
    "UPDATE grid_column SET finished_at = ? WHERE finished_at > ? AND (job_id = ? OR "
    "(job_id = (SELECT answers_of FROM job WHERE id = ?) AND name LIKE ?))"
)
_ONE_REQUEST = (
    "SELECT r.idx, {of} FROM request r LEFT JOIN result x ON x.job_id = r.job_id AND x.idx = r.idx "
    "WHERE r.job_id = ? AND r.idx = ?"
)
_NEXT_VALUE = (
    "SELECT kind, number, text FROM grid_key WHERE column_id = ? AND (kind, number, text) > (?, ?, ?) "
    "ORDER BY kind, number, text LIMIT 1"
)
_THIS_VALUE = "FROM grid_key WHERE column_id = ? AND kind = ? AND number = ? AND text = ?"


class State(NamedTuple):
    """The keys of a column: their id, and the part of the requests that has them, from 0 to 1."""

    id: int
    progress: float

    @property
    def is_complete(self) -> bool:
        return self.progress >= 1


class Value(NamedTuple):
    """A distinct value: its key, how many requests have it, and which is the first of them."""

    key: SortKey
    requests: int
    first: int


def want(job: Job, name: str) -> State:
    """Request the keys of a column. Those of a small job are complete when this returns, unless its
    rows are large."""
    found = _find(job.id, name)
    column = _create(job.id, name) if found is None else found
    if column.wanted_at < now_ms() - _TOUCH_MS:
        GridColumn.update(wanted_at=now_ms()).where(GridColumn.id == column.id).execute()
    if job.total <= AT_ONCE:
        _build_at_once(column.id)
        column = _find(job.id, name) or column
    return State(column.id, column.next_idx / job.total if job.total else 1.0)


def complete(job: Job) -> set[str]:
    """The columns that have all their keys."""
    names = GridColumn.select(GridColumn.name).where(
        (GridColumn.job == job)
        & (GridColumn.removed == False)  # noqa: E712 - SQL
        & (GridColumn.next_idx >= job.total)
    )
    return {name for (name,) in names.tuples()}


def _find(job_id: int, name: str) -> GridColumn | None:
    wanted = (GridColumn.job == job_id) & (GridColumn.name == name)
    return GridColumn.get_or_none(wanted & (GridColumn.removed == False))  # noqa: E712 - SQL


def _create(job_id: int, name: str) -> GridColumn:
    """A column without keys; of too many the one that was used longest ago goes, unless it is in use."""
    with database.atomic():
        lock_job(job_id)
        found = _find(job_id, name)
        if found is not None:
            return found
        kept = GridColumn.select(GridColumn.id, GridColumn.wanted_at).where(
            (GridColumn.job == job_id) & (GridColumn.removed == False)  # noqa: E712 - SQL
        )
        oldest = kept.order_by(GridColumn.wanted_at.desc(), GridColumn.id.desc())
        surplus = list(oldest)[context.settings().GRID_COLUMNS - 1 :]
        gone = [one.id for one in surplus if one.wanted_at < now_ms() - _IN_USE_MS]
        if gone:
            GridColumn.update(removed=True).where(GridColumn.id.in_(gone)).execute()
        return GridColumn.create(
            job=job_id, name=name, next_idx=0, finished_at=0, wanted_at=now_ms()
        )


def _build_at_once(column_id: int) -> None:
    end = time.monotonic() + AT_ONCE_S
    while build_step(column_id) and time.monotonic() < end:
        give_way()


def behind() -> list[int]:
    """Ids of the columns whose keys are missing, behind, or being removed; the last used first."""
    watched = now_ms() - _WATCHED_MS
    rows = database.execute_sql(_BEHIND, (watched, watched))
    return [column_id for (column_id,) in rows]


def build_step(column_id: int) -> bool:
    """Add keys, or remove those of a column that is removed, in one transaction. Returns whether more
    is left to do."""
    with database.atomic():
        if database.server:
            database.execute_sql(f"SELECT 1 FROM grid_column WHERE id = ? {LOCKING}", (column_id,))
        column = GridColumn.get_or_none(GridColumn.id == column_id)
        if column is None:
            return False
        if column.removed:
            return _remove_step(column_id, STEP)
        columns = Columns(column.job)
        if column.name not in columns:
            GridColumn.update(removed=True).where(GridColumn.id == column_id).execute()
            return True
        return _add_step(column, columns)


def _add_step(column: GridColumn, columns: Columns) -> bool:
    source = columns.source_of(column.name)
    size = LARGE_STEP if source.is_large else STEP
    read = _Reader(column, columns)
    if column.next_idx < column.job.total:
        found, cut = read.rows(_REQUESTS, (column.job_id, column.next_idx, size))
        if not found:
            return False
        change = {"next_idx": found[-1][1] + 1}
        database.executemany(_PUT, found)
        more = True
    elif source.of_result:
        since, now = max(0, column.finished_at - _LATE_MS), now_ms()
        if source.follows is None:
            found, cut = read.rows(_RESULTS, (column.job_id, since, column.id, size))
        else:
            of = (column.job_id, source.follows)
            found, cut = read.rows(_FOLLOWED, (*of, since, column.id, size))
        more = cut or len(found) == size
        database.executemany(_PUT, found)
        change = {"finished_at": found[-1][-1] if more and found else now}
    else:
        change, more = {"finished_at": now_ms()}, False
    GridColumn.update(**change).where(GridColumn.id == column.id).execute()
    return more


class _Reader:
    """Reads rows of a column as rows of grid_key, for about STEP_S."""

    def __init__(self, column: GridColumn, columns: Columns):
        self._id, self._name, self._columns = column.id, column.name, columns

    def rows(self, query: str, values: tuple) -> tuple[list[tuple], bool]:
        """The rows, and whether there was no time for all."""
        cursor = database.execute_sql(
            query.format(of=self._columns.source_of(self._name).sql), values
        )
        # a server has sent all rows by now, whether they were a long time coming or not
        end = time.monotonic() + STEP_S
        found = []
        for idx, raw, at in cursor:
            found.append((self._id, idx, *key_of(self._columns.value(self._name, raw)), at))
            if time.monotonic() > end:
                cursor.close()
                return found, True
        return found, False


def _remove_step(column_id: int, chunk: int) -> bool:
    gone = database.execute_sql(
        "DELETE FROM grid_key WHERE column_id = ? AND idx IN "
        "(SELECT idx FROM grid_key WHERE column_id = ? LIMIT ?)",
        (column_id, column_id, chunk),
    ).rowcount
    if gone:
        return True
    GridColumn.delete().where(GridColumn.id == column_id).execute()
    return False


def results_removed(job_id: int, indices: list[int]) -> None:
    """Requests of a job are pending again: their columns that are read from results are empty now."""
    job, listed = Job.get_by_id(job_id), msgspec.json.encode(indices).decode()
    for column in _built_from_results(job):
        database.execute_sql(_EMPTY_KEYS, (column.id, listed))
    if job.answers_of:
        of = (job.answers_of, f"{SCORED}{job.id}.%", job.answers_of, job.id)
        database.execute_sql(_EMPTY_SCORES, (*of, listed))


def results_late(job_id: int, ended: Iterable[int]) -> None:
    """Results that ended at these times (epoch ms) are being committed: where one of them ended so long ago
    that its keys would not be looked for any more, look from there. So it is where a full disk kept results
    waiting."""
    first = min(ended, default=None)
    if first is None or first > now_ms() - _LATE_MS // 2:
        return
    scores = f"{SCORED}{job_id}.%"
    database.execute_sql(_LOOK_BACK, (first, first, job_id, job_id, scores))


def _built_from_results(job: Job) -> list[GridColumn]:
    found = list(GridColumn.select().where(GridColumn.job == job.id))
    columns = Columns(job) if found else None
    return [
        column
        for column in found
        if columns is not None and column.name in columns
        for source in (columns.source_of(column.name),)
        if source.of_result and source.follows is None and column.name != PROMPT
    ]


def request_changed(job_id: int, index: int) -> None:
    """A request of a job has another body."""
    column = _find(job_id, PROMPT)
    if column is None or column.next_idx <= index:
        return
    columns = Columns(column.job)
    query = _ONE_REQUEST.format(of=columns.source_of(PROMPT).sql)
    for idx, raw in database.execute_sql(query, (job_id, index)).fetchall():
        database.execute_sql(_PUT, (column.id, idx, *key_of(columns.value(PROMPT, raw)), 0))


def drop(job_id: int) -> None:
    """Have the keys of a job, and those of its answers in another job, removed in the background; they are
    built again when they are wanted."""
    scores = GridColumn.name.startswith(f"{SCORED}{job_id}.")
    GridColumn.update(removed=True).where((GridColumn.job == job_id) | scores).execute()


def delete_step(job_id: int, chunk: int) -> bool:
    """Remove up to ``chunk`` keys of a job that is being deleted; True when none are left."""
    with database.atomic():
        column = GridColumn.get_or_none(GridColumn.job == job_id)
        if column is None:
            return True
        _remove_step(column.id, chunk)
    return False


def distinct(column_id: int, most: int) -> list[Value] | None:
    """The distinct values in order, texts that differ in case alone as one; None where there are more
    than ``most``, or where texts are longer than their keys."""
    keys: list[SortKey] = []
    last = SortKey(-1, 0.0, "")
    while len(keys) <= most:
        row = database.execute_sql(_NEXT_VALUE, (column_id, *last)).fetchone()
        if row is None:
            return _counted(column_id, keys) if keys else []
        last = SortKey(*row)
        if last.is_cut:
            return None
        keys.append(last)
    return None


def _counted(column_id: int, keys: list[SortKey]) -> list[Value]:
    """In one query: each waits for its turn in a busy process."""
    one = f"SELECT CAST(? AS INTEGER) AS place, count(*), min(idx) {_THIS_VALUE}"
    query = " UNION ALL ".join([one] * len(keys)) + " ORDER BY place"
    values = [part for place, key in enumerate(keys) for part in (place, column_id, *key)]
    return [Value(keys[place], *found) for place, *found in slow_reads.rows(query, values)]
