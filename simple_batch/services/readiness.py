"""Can this process work? Each thing that must hold is tried or asked, for /readyz and /metrics."""

import contextlib
import os
import time

import msgspec
import peewee
from gevent import get_hub
from gevent.lock import BoundedSemaphore

from ..core import context
from ..core.command_names import in_words_of_program
from ..store import disk_usage
from ..store.database import connected, fault, folder_of, is_server, sqlite_path
from ..store.health_probe import Found, probe, probe_server
from ..store.secrets import missing_keys
from . import lifecycle

PROBE_EVERY_S = 1.0  # least time between two test writes to the database
SILENCE_S = 30.0  # a scheduler that has not checked the jobs for this long counts as stalled

_lock = BoundedSemaphore()
_probed: tuple[float, str, Found] | None = None  # when, which database, what was found


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """``detail`` says what is wrong. Without what is not ``vital`` this process still serves."""

    ok: bool
    detail: str = ""
    vital: bool = True


def checks() -> dict[str, Check]:
    """By name, the one that explains the others first."""
    found = _database()
    return {
        "database": _holds(found.read),
        "writing": _holds(lifecycle.storage_fault() or found.write),
        "migrations": _holds(found.migrations),
        "disk": _holds(_short_of_room()),
        "folder": _holds(_unwritable()),
        "keys": _keys(),
        **_workers(found.read is None),
        **_parts(),
    }


def _workers(reachable: bool) -> dict[str, Check]:
    """The checks of the workers, as far as the database can be queried."""
    if not lifecycle.by_workers():
        wrong = "no process runs the jobs" if lifecycle.runner_state() == "none" else None
        return {"runner": _holds(wrong)}
    if not reachable:
        return {}
    wrong = "" if workers_alive() else f"none lives: start one with {lifecycle.WORKER_COMMAND}"
    return {"workers": Check(not wrong, wrong, vital=False)}


def workers_alive() -> int | None:
    """How many workers live; None while the database is away."""
    with contextlib.suppress(peewee.PeeweeException), connected():
        return lifecycle.workers_alive()
    return None


def _holds(wrong: str | None) -> Check:
    return Check(wrong is None, in_words_of_program(wrong or ""))


def _database() -> Found:
    """Test the database. A file is tested in a thread, so that a locked one blocks no greenlet."""
    global _probed
    moved = fault()
    if moved is not None:  # the probe would write to the wrong file
        return Found(read=moved, write="not tried")
    url = context.settings().database_url
    with _lock:
        now = time.monotonic()
        if _probed is None or _probed[1] != url or now - _probed[0] > PROBE_EVERY_S:
            if is_server(url):
                found = probe_server(url)
            else:
                found = get_hub().threadpool.apply(probe, (sqlite_path(url),))
            _probed = time.monotonic(), url, found
        return _probed[2]


def _short_of_room() -> str | None:
    settings = context.settings()
    folder = folder_of(settings.database_url, settings.instance)
    try:
        free = disk_usage.free_bytes(folder)
    except OSError as error:
        return error.strerror or "the folder of the database is gone"
    if free < settings.MIN_FREE_BYTES:
        return f"{free} bytes are free, MIN_FREE_BYTES asks for {settings.MIN_FREE_BYTES}"
    return None


def _unwritable() -> str | None:
    """Uploads and the database's log are made in these folders."""
    settings = context.settings()
    for folder in (settings.instance, settings.uploads):
        if not folder.is_dir():
            return f"the folder {folder} is gone: put it back"
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"the folder {folder} cannot be written to: make it writable for this user"
    return None


def _keys() -> Check:
    """This process has read them; the next start would not find them."""
    settings = context.settings()
    wrong = missing_keys(
        settings.instance,
        session=not settings.SECRET_KEY,
        encryption=not settings.ENCRYPTION_KEYS.strip(),
    )
    return Check(wrong is None, wrong or "", vital=False)


def _parts() -> dict[str, Check]:
    """The greenlets that should work in this process."""
    health = lifecycle.health()
    if health is None:
        return {}
    names = (
        *("watcher", "scheduler", "recorder", "sweeper", "keeper", "postman", "indexer"),
        "outcomes",
    )
    found = {
        name: _holds("it has ended" if name in health.dead else None)
        for name in (names if health.silent_s is not None else names[:1])
    }
    if health.silent_s is not None and health.silent_s > SILENCE_S:
        found["scheduler"] = Check(False, f"silent for {health.silent_s:.0f} s")
    return found
