"""Full-text search in the requests and answers of large jobs: one table per job, of FTS5 or, on
PostgreSQL, with an index by pg_trgm. Where that is missing, searches look through the rows.

A job that fits into one window of the plain search needs none. For a larger one the index is made
in the background after its first search, so that jobs without searches cost nothing. It is a trigram
index: it finds any three or more characters in any language. An entry's id holds the request's index in
its upper bits. Entries of replaced answers stay, so a search must check the found rows again.
"""

from ..core.clock import now_ms
from .models import Job, TextIndex, database, lock_job
from .request_filter import like

WINDOW = 20_000  # requests that a search without an index looks through at a time
SHORTEST = 3  # characters: what has fewer has no trigram
_SHIFT = 20
_LAG_MS = 10_000  # a running job's newest answers may be missing
_LATE_MS = 120_000  # a result may be committed this long after it ended

_REQUESTS = (
    "SELECT idx << {shift}, custom_id || ' ' || CAST(body AS TEXT) FROM request "
    "WHERE job_id = ? AND idx >= ? ORDER BY idx LIMIT ?"
)
_ANSWERS = (
    "SELECT (x.idx << {shift}) | (x.finished_at % {mask} + 1), "
    "x.message || ' ' || coalesce(CAST(x.response AS TEXT), ''), x.finished_at FROM result x "
    "WHERE x.job_id = ? AND x.finished_at >= ? AND NOT EXISTS (SELECT 1 FROM {entries} d "
    "WHERE d.id = (x.idx << {shift}) | (x.finished_at % {mask} + 1)) "
    "ORDER BY x.finished_at, x.idx LIMIT ?"
)

_CREATE = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS {table} USING fts5(body, content='', tokenize='trigram')",
)
_CREATE_ON_SERVER = (
    "CREATE TABLE IF NOT EXISTS {table} (id BIGINT NOT NULL PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS {table}_body ON {table} USING gin (body gin_trgm_ops)",
)


def want(job_id: int) -> None:
    """Request the index of a job's text; the runner builds it step by step."""
    if not database.text_index or TextIndex.get_or_none(TextIndex.job == job_id) is not None:
        return
    with database.atomic():
        lock_job(job_id)
        for sql in _CREATE_ON_SERVER if database.server else _CREATE:
            database.execute_sql(sql.format(table=_table(job_id)))
        TextIndex.insert(job=job_id, next_idx=0, finished_at=0).on_conflict_ignore().execute()


def progress(job: Job) -> float | None:
    """The indexed part of the job, 0 to 1 (1: all but the answers of the last seconds); None if it has no
    index."""
    state = TextIndex.get_or_none(TextIndex.job == job.id)
    if state is None:
        return None
    if state.next_idx < job.total:
        return 0.5 * state.next_idx / job.total
    begun, last = job.started_at or 0, job.finished_at or now_ms() - _LAG_MS
    if state.finished_at >= last:
        return 1.0
    return 0.5 + 0.5 * max(0, state.finished_at - begun) / max(1, last - begun)


def behind() -> list[int]:
    """Ids of the jobs whose index may lack something, judged by counts and times only."""
    rows = database.execute_sql(
        "SELECT t.job_id FROM text_index t JOIN job j ON j.id = t.job_id WHERE j.deleted_at IS NULL "
        "AND (t.next_idx < j.total OR j.finished_at IS NULL OR t.finished_at < j.finished_at)"
    )
    return [job_id for (job_id,) in rows]


def index_step(job_id: int, size: int) -> bool:
    """Index up to ``size`` requests or answers. Returns False if none were left."""
    with database.atomic():
        state = TextIndex.get_or_none(TextIndex.job == job_id)
        if state is None:
            return False
        insert = f"INSERT INTO {_table(job_id)} ({_id()}, body) VALUES (?, ?)"
        rows = database.execute_sql(
            _REQUESTS.format(shift=_SHIFT), (job_id, state.next_idx, size)
        ).fetchall()
        if rows:  # a page that is not full is followed by the answers
            database.executemany(insert, rows)
            change = {"next_idx": (rows[-1][0] >> _SHIFT) + 1}
        else:
            query = _ANSWERS.format(entries=_entries(job_id), shift=_SHIFT, mask=(1 << _SHIFT) - 1)
            since = max(0, state.finished_at - _LATE_MS)
            now = now_ms()
            rows = database.execute_sql(query, (job_id, since, size)).fetchall()
            database.executemany(insert, [(entry, body) for entry, body, _finished_at in rows])
            _entry, _body, newest = rows[-1] if len(rows) == size else (None, None, now)
            change = {"finished_at": newest}
        TextIndex.update(**change).where(TextIndex.job == job_id).execute()
    return "next_idx" in change or len(rows) == size


def find(job_id: int, text: str, after: int, limit: int) -> tuple[list[int], bool]:
    """Indices behind ``after`` of requests that may hold the text, in order, from at most ``limit``
    entries; and whether there are more."""
    if database.server:
        holds, phrase = "body LIKE ? ESCAPE '\\'", like(text)
    else:
        holds, phrase = f"{_table(job_id)} MATCH ?", '"' + text.replace('"', '""') + '"'
    rows = database.execute_sql(
        f"SELECT {_id()} FROM {_table(job_id)} WHERE {holds} AND {_id()} >= ? "
        f"ORDER BY {_id()} LIMIT ?",
        (phrase, (after + 1) << _SHIFT, limit),
    ).fetchall()
    return list(dict.fromkeys(entry >> _SHIFT for (entry,) in rows)), len(rows) == limit


def drop(job_id: int) -> None:
    """Delete the index of a job."""
    with database.atomic():
        database.execute_sql(f"DROP TABLE IF EXISTS {_table(job_id)}")
        TextIndex.delete().where(TextIndex.job == job_id).execute()


def _table(job_id: int) -> str:
    return f"text_of_job_{int(job_id)}"


def _id() -> str:
    """The column of an entry's id."""
    return "id" if database.server else "rowid"


def _entries(job_id: int) -> str:
    """The table that has the ids of the entries, as ``id``."""
    return _table(job_id) if database.server else f"{_table(job_id)}_docsize"
