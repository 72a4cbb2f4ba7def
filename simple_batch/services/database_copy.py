"""Moves an installation to another database: copies all rows, then compares them one by one.

An unfinished copy cannot be used: until every row was compared, a marker among the target's migrations
makes every process refuse it. After an interruption at any point, the same command starts over.
"""

import contextlib
from collections.abc import Callable, Iterator

import msgspec

from ..auth import audit_log
from ..core import context
from ..core.errors import Conflict, InvalidInput
from ..core.redaction import remember
from ..runner.lease import lease_of
from ..store import backup, search
from ..store.database import (
    close_database,
    connected,
    is_server,
    open_database,
    redacted_url,
    sqlite_path,
)
from ..store.transfer import copy, endpoints


class Moved(msgspec.Struct, frozen=True):
    """The result of a copy. ``changed``: texts that PostgreSQL refuses, as they stand in the target
    now; ``different``: what was not the same when the two were compared."""

    source: str  # URLs without passwords
    target: str
    tables: list[copy.Checked]
    changed: copy.Noted
    different: copy.Noted


Begun = Callable[[int], copy.OnProgress]  # called with the number of rows to copy, and to compare


def move(target_url: str, begun: Begun) -> Moved:
    """Copy this installation's database to the empty one at ``target_url`` and compare the two.

    Raises InvalidInput for an unusable URL, Conflict where a process uses either database or the
    target has rows, DatabaseError where one cannot be read or written: the target cannot be opened
    then, but copied to again. Leaves this process without an open database.
    """
    source_url = context.settings().database_url
    _look_at(target_url, source_url)
    close_database()
    with _only_one(source_url), _opened(target_url) as target, _only_one(target_url):
        _must_be_empty(target)
        open_database(source_url)
        with connected():
            audit_log.note("care.copy", redacted_url(target_url))
        close_database()
        with _opened(source_url) as source:
            _hold(source)
            _prepare(target)
            told = begun(_rows(source))
            changed = copy.fill(source, target, told)
            tables, different = copy.check(source, target, told)
            if not different.count:
                _finish(source, target)
    return Moved(redacted_url(source_url), redacted_url(target_url), tables, changed, different)


def _look_at(target_url: str, source_url: str) -> None:
    if is_server(target_url):
        with endpoints.database_errors(target_url):
            remember(endpoints.password_of(target_url))
    elif not target_url.startswith("sqlite:"):
        # not repeated: it may hold a password
        raise InvalidInput(
            "TARGET_URL: only postgresql://user:password@host:port/name and sqlite:///path are "
            "understood."
        )
    elif not is_server(source_url) and sqlite_path(target_url) == sqlite_path(source_url):
        raise InvalidInput(f"{redacted_url(target_url)} is the database itself.")


@contextlib.contextmanager
def _opened(url: str) -> Iterator[endpoints.Endpoint]:
    with contextlib.closing(endpoints.connect(url)) as side:
        yield side


@contextlib.contextmanager
def _only_one(url: str) -> Iterator[None]:
    """Hold the lease, so that no server runs the database's jobs meanwhile."""
    lease = lease_of(url)
    if not lease.acquire():
        raise Conflict(f"A server runs the jobs of {redacted_url(url)}: stop it first.")
    try:
        yield
    finally:
        lease.release()


def _must_be_empty(target: endpoints.Endpoint) -> None:
    with endpoints.database_errors(target.url):
        if not target.unfinished and (table := target.filled()):
            raise Conflict(
                f"{redacted_url(target.url)} holds rows already (in {table}): nothing was written. Give an "
                "empty database."
            )


def _hold(source: endpoints.Endpoint) -> None:
    with endpoints.database_errors(source.url):
        if not is_server(source.url):
            backup.alone(sqlite_path(source.url))
        source.reading(endpoints.tables())


def _prepare(target: endpoints.Endpoint) -> None:
    """Migrate the tables and block the target for other processes."""
    open_database(target.url, unfinished=True)
    close_database()
    with endpoints.database_errors(target.url):
        target.mark()


def _rows(source: endpoints.Endpoint) -> int:
    with endpoints.database_errors(source.url):
        return sum(source.count(table) for table in endpoints.tables())


def _finish(source: endpoints.Endpoint, target: endpoints.Endpoint) -> None:
    """Queue the index of the texts that are indexed in the source, for the process that runs the jobs,
    and unblock the target."""
    with endpoints.database_errors(source.url):
        indexed = source.indexed()
    open_database(target.url, unfinished=True)
    with connected():
        for job_id in indexed:
            search.want(job_id)
    close_database()
    with endpoints.database_errors(target.url):
        target.unmark()
