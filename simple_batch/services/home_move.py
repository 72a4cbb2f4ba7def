"""Moves an old data folder to the home that is used now: for simple-batch doctor --move-from."""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ..core import context
from ..core.errors import Conflict, InvalidInput
from ..core.messages import translatable
from ..store import locks
from ..store.database import RUNNER_LOCK, is_server, sqlite_path

_INCOMING = ".incoming"  # what is copied, until all of it is
_BEFORE = ".before-move"  # ends the name of a file that was in the way: a key that nothing uses
_TEMPORARY = shutil.ignore_patterns("*.runner-lock", "*.migrate-lock", "secrets.lock", _INCOMING)


def move(old: Path) -> Path:
    """Move everything in the data folder ``old`` here; returns the home. Nothing is removed there before
    all of it is here. Raises InvalidInput where it is no data folder, Conflict where a process uses it or
    the home has data."""
    settings = context.settings()
    home, old = settings.instance.resolve(), old.resolve()
    _check(old, home, settings.database_url)
    database = old / sqlite_path(settings.database_url).name
    with _unused(database):
        try:
            _copy(old, home, database.name)
        except OSError as error:
            raise Conflict(
                translatable(
                    "%(folder)s cannot be copied (%(error)s). Nothing was removed there.",
                    folder=old,
                    error=error.strerror or error,
                )
            ) from None
    for entry in old.iterdir():
        _remove(entry)
    return home


def _check(old: Path, home: Path, url: str) -> None:
    if is_server(url):
        raise Conflict(
            translatable(
                "DATABASE_URL names a server: only the folder of a file can be moved here."
            )
        )
    database = sqlite_path(url)
    if database.parent.resolve() != home:
        raise Conflict(
            translatable(
                "DATABASE_URL names a file outside of %(home)s: move it yourself.", home=home
            )
        )
    if not (old / database.name).is_file():
        raise InvalidInput(
            translatable(
                "%(folder)s holds no data: %(file)s is missing.", folder=old, file=database.name
            )
        )
    if old == home or old in home.parents or home in old.parents:
        raise InvalidInput(
            translatable("%(folder)s and %(home)s lie in one another.", folder=old, home=home)
        )
    if database.exists():
        raise Conflict(
            translatable(
                "%(home)s has data already: choose an empty folder with --home.", home=home
            )
        )


@contextlib.contextmanager
def _unused(database: Path) -> Iterator[None]:
    """While no other process uses the database; its write-ahead log is merged."""
    lock = locks.acquire(database.with_suffix(RUNNER_LOCK))
    try:
        if lock is None or not _alone(database):
            raise Conflict(
                translatable("A process uses %(file)s: end it first.", file=str(database))
            )
        yield
    finally:
        if lock is not None:
            locks.release(lock)


def _alone(database: Path) -> bool:
    """SQLite ends the write-ahead log only where no other connection is open."""
    with contextlib.closing(sqlite3.connect(database, timeout=2)) as connection:
        try:
            return connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0] == "delete"
        except sqlite3.OperationalError:
            return False


def _copy(old: Path, home: Path, database: str) -> None:
    incoming = home / _INCOMING
    shutil.rmtree(incoming, ignore_errors=True)
    shutil.copytree(old, incoming, ignore=_TEMPORARY)
    _rename_paths(incoming / database, old, home)
    _take(incoming, home, database)


def _rename_paths(database: Path, old: Path, home: Path) -> None:
    """Uploads are stored with their whole paths."""
    start = f"{old}/"
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "UPDATE upload SET path = ? || substr(path, ?) WHERE substr(path, 1, ?) = ?",
            (f"{home}/", len(start) + 1, len(start), start),
        )


def _take(incoming: Path, home: Path, database: str) -> None:
    """Put everything in its place, the database last: without it, the move can begin again."""
    entries = sorted(incoming.iterdir(), key=lambda entry: entry.name == database)
    for entry in entries:
        place = home / entry.name
        if place.exists():
            place.replace(place.with_name(f"{place.name}{_BEFORE}"))
        entry.replace(place)
    incoming.rmdir()


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    elif entry.name != ".gitkeep":  # of a checkout
        entry.unlink(missing_ok=True)
