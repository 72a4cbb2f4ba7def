"""Backups of the database: made by command or automatically by the server, and restored."""

import contextlib
import logging
import shutil
import sqlite3
import time
from pathlib import Path

import msgspec
from gevent import get_hub

from ..core import context
from ..core.domain import ACTIVE_STATUSES
from ..core.errors import (
    ConfigurationError,
    Conflict,
    DatabaseMoved,
    InvalidInput,
    SimpleBatchError,
)
from ..core.settings import Settings
from ..runner.lease import Lease
from ..store import backup
from ..store.database import close_database, fault, is_server, sqlite_path
from ..store.locks import locked
from ..store.secrets import KEY_FILE, open_vault

log = logging.getLogger(__name__)

_NAME = "simple_batch-{stamp}.db"
_NAMES = "simple_batch-????????T??????Z.db"
_AGAIN_S = 600.0  # after a backup that failed
_again_at = 0.0


class Made(msgspec.Struct, frozen=True):
    """A backup that was made; ``key`` is where the encryption key was copied to."""

    path: Path
    bytes: int
    key: Path | None = None


class Restored(msgspec.Struct, frozen=True):
    """What a restore did. ``unreadable`` counts the keys and secrets of API configs that cannot be
    opened with the encryption key that is here; ``going_on`` are the names of jobs that go on at the
    next start."""

    kept: Path | None
    migrations: list[str]
    unreadable: int
    going_on: list[str]


def make(target: Path, with_key: bool = False) -> Made:
    """Back the database up to a new file, or into a folder under a dated name. Blocks as long as
    the copy takes. Raises InvalidInput, DatabaseError."""
    settings = context.settings()
    path = target / _NAME.format(stamp=backup.stamp()) if target.is_dir() else target
    key = _key_file(settings) if with_key else None
    beside = path.with_suffix(".key")
    if key is not None and beside.exists():
        raise InvalidInput(f"{beside} exists already: choose another name.")
    size = backup.copy(_file(settings), path)
    if key is None:
        return Made(path, size)
    _copy_key(key, beside)
    return Made(path, size, beside)


def _file(settings: Settings) -> Path:
    wrong = fault()
    if wrong is not None:
        raise DatabaseMoved(wrong)
    if is_server(settings.database_url):
        raise InvalidInput(
            "The database is on a PostgreSQL server: use its own means (pg_dump, pg_restore, VACUUM)."
        )
    return sqlite_path(settings.database_url)


def _key_file(settings: Settings) -> Path:
    if settings.ENCRYPTION_KEYS.strip():
        raise InvalidInput(
            "The encryption keys are in the setting ENCRYPTION_KEYS, not in a file: keep that."
        )
    return settings.instance / KEY_FILE


def _copy_key(key: Path, to: Path) -> None:
    to.touch(0o600, exist_ok=False)
    shutil.copyfile(key, to)
    backup.sync(to)


# --- automatic backups ------------------------------------------------------------------------


def newest(settings: Settings) -> Path | None:
    """The last backup that the server has made."""
    return max(settings.backups.glob(_NAMES), default=None)


def keep_up() -> None:
    """Make the next backup if it is due, and remove those that are more than BACKUP_KEEP. The copy
    is made in a thread; a server that is stopping gives it up."""
    global _again_at
    settings = context.settings()
    if not settings.BACKUP_EVERY_HOURS or time.monotonic() < _again_at:
        return
    last = newest(settings)
    age_s = time.time() - last.stat().st_mtime if last is not None else float("inf")
    if age_s < settings.BACKUP_EVERY_HOURS * 3600:
        return
    _again_at = time.monotonic() + _AGAIN_S
    settings.backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    backup.forget_partial(settings.backups)
    path = settings.backups / _NAME.format(stamp=backup.stamp())
    size = _in_thread(_file(settings), path)
    _again_at = 0.0
    log.info("backup made: %s, %s bytes", path, size)
    for old in sorted(settings.backups.glob(_NAMES))[: -settings.BACKUP_KEEP]:
        old.unlink()
        log.info("backup removed: %s", old)


def _in_thread(source: Path, path: Path) -> int:
    wanted = True

    def work() -> int | SimpleBatchError | backup.Stopped:
        try:
            return backup.copy(source, path, lambda: wanted)
        except (SimpleBatchError, backup.Stopped) as error:
            return error  # gevent would print it, and a greenlet that was killed is past hearing

    try:
        made = get_hub().threadpool.apply(work)
    finally:
        wanted = False
    if isinstance(made, Exception):
        raise made
    return made


# --- restoring --------------------------------------------------------------------------------


def restore(source: Path, with_key: Path | None = None) -> Restored:
    """Put a backup in the place of the database, and ``with_key`` in that of the encryption key;
    what was there is kept beside under a dated name. Raises Conflict while a process runs this
    database's jobs or has it open, InvalidInput, DatabaseError."""
    settings = context.settings()
    if with_key is not None:
        key = _key_file(settings)
        open_keys(with_key)
    close_database()
    path = _file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    lease = Lease(path)
    if not lease.acquire():
        raise Conflict("A server runs this database's jobs: stop it first.")
    try:
        kept, migrations = backup.restore(source, path)
        if with_key is not None:
            if key.exists():
                key.replace(key.with_name(f"{key.stem}.replaced-{backup.stamp()}.key"))
            _copy_key(with_key, key)
    finally:
        lease.release()
    return Restored(kept, migrations, *_looked_through(path, settings))


def open_keys(path: Path) -> None:
    """Raises InvalidInput where a file holds no encryption keys."""
    try:
        open_vault(path.parent, ",".join(path.read_text("utf-8").split()) or "none")
    except (OSError, UnicodeDecodeError, SimpleBatchError) as error:
        raise InvalidInput(f"{path} holds no encryption key: {error}") from error


def _looked_through(path: Path, settings: Settings) -> tuple[int, list[str]]:
    vault = open_vault(settings.instance, settings.ENCRYPTION_KEYS)
    marks = ",".join("?" * len(ACTIVE_STATUSES))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        sealed = connection.execute(
            "SELECT key_encrypted FROM api_config UNION ALL "
            "SELECT secrets_encrypted FROM api_config WHERE secrets_encrypted IS NOT NULL"
        ).fetchall()
        names = connection.execute(
            f"SELECT name FROM job WHERE deleted_at IS NULL AND status IN ({marks}) ORDER BY id",
            sorted(ACTIVE_STATUSES),
        ).fetchall()
    return sum(not _opens(vault, key) for (key,) in sealed), [name for (name,) in names]


def _opens(vault, sealed: bytes) -> bool:
    try:
        vault.decrypt(sealed)
    except ConfigurationError:
        return False
    return True


# --- room -------------------------------------------------------------------------------------


def compact() -> int:
    """Give the room of what was removed back to the disk; returns the bytes. No process may run
    this database's jobs or have it open. Raises Conflict, DatabaseError."""
    close_database()
    path = _file(context.settings())
    lease = Lease(path)
    if not lease.acquire():
        raise Conflict("A server runs this database's jobs: stop it first.")
    try:
        with locked(path.with_suffix(".migrate-lock")):
            return backup.compact(path)
    finally:
        lease.release()
