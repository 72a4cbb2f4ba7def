"""The services of one app: found at ``app.extensions["simple_batch"]``.

What runs jobs is loaded where they run, so that a command which only reads starts at once.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core import (
    address_policy,
    context,
    events,
    extras,
    file_permissions,
    log,
    loop_lag,
    memory,
    redaction,
    settings,
    terminal,
)
from ..core.errors import SettingsError
from ..core.redis_client import password_of
from ..core.settings import Settings
from ..store.cluster import workers
from ..store.database import (
    check_database,
    close_database,
    connected,
    is_server,
    open_database,
    sqlite_path,
)
from ..store.secrets import open_vault

if TYPE_CHECKING:
    from ..engine.governor import Governor
    from ..runner.hooks import Hooks
    from ..runner.runner import Runner
    from ..runner.stats import Health, RunnerStats
    from ..store.models import ApiConfig

logger = logging.getLogger(__name__)

WORKER_COMMAND = "celery -A simple_batch.worker worker -P gevent -c 16"

GRACE_S = 10.0  # for calls in flight, when the process is to end

_runner: "Runner | None" = None


def prepare(with_database: bool = True, **overrides) -> Settings:
    """Load the settings, ``overrides`` over them, and set this process up by them. Raises
    SettingsError or DatabaseError with the remedy."""
    terminal.tolerate_encodings()
    loaded = settings.load(**overrides)
    set_up(loaded, with_database)
    return loaded


def set_up(loaded: Settings, with_database: bool = True) -> None:
    """Open what the settings name: the log, where calls may go, the vault, and the database,
    migrated. Every kind of process begins with this: server, command, worker. Raises SettingsError
    or DatabaseError with the remedy."""
    file_permissions.restrict_umask()
    log.configure(loaded)
    memory.return_large_blocks()
    address_policy.set_exposed(loaded.EXPOSED)
    open_context(loaded)
    file_permissions.tighten(loaded, _file_of(loaded))
    for variable, close in settings.misspelt():
        logger.warning("%s is no setting: is %s meant?", variable, close)
    if with_database:
        open_database(loaded.database_url, loaded.DATABASE_CONNECTIONS)


def open_context(loaded: Settings) -> None:
    """Make ``loaded`` the settings of this process; makes the instance folders and keys. Raises
    SettingsError where that folder cannot be used."""
    redaction.remember(loaded.SECRET_KEY, loaded.SMTP_PASSWORD, password_of(loaded.REDIS_URL))
    try:
        loaded.uploads.mkdir(mode=0o700, parents=True, exist_ok=True)
        if loaded.BACKUP_EVERY_HOURS:
            loaded.backups.mkdir(mode=0o700, parents=True, exist_ok=True)
        context.set_context(loaded, open_vault(loaded.instance, loaded.ENCRYPTION_KEYS))
    except OSError as error:
        raise SettingsError(
            f"The instance folder {loaded.instance} cannot be used: {error}. Make it writable for "
            "this user, or set SIMPLE_BATCH_INSTANCE_PATH to another one."
        ) from error


def message_queue(loaded: Settings):
    """What joins the live feeds of several web processes, on the Redis they share; None without."""
    if not loaded.REDIS_URL:
        return None
    extras.load("redis")
    from ..cluster.message_queue import MessageQueue  # loaded only where several processes serve

    return MessageQueue(loaded.REDIS_URL)


def _file_of(loaded: Settings) -> Path | None:
    return None if is_server(loaded.database_url) else sqlite_path(loaded.database_url)


@dataclass
class Services:
    """Settings and runner of an app. ``create_app`` starts nothing: the process that serves the
    app (run.py, gunicorn.conf.py, a command that runs a job) calls ``start``."""

    settings: Settings

    def start(self, only: int | None = None) -> str:
        """Run jobs here, or just the job ``only``; returns ``here``, or ``elsewhere`` where
        another process already runs this database's jobs. Needs a process patched by gevent.
        Raises DatabaseError where the database is damaged."""
        if only is None:
            log.log_all_to_console()
            file_permissions.tighten(self.settings, _file_of(self.settings), deep=True)
            check_database()
            loop_lag.meter.start()
        with connected():
            return start_runner(only)

    def stop(self, timeout_s: float = GRACE_S) -> None:
        """Let calls in flight finish and commit everything received."""
        loop_lag.meter.stop()
        stop_runner(timeout_s)

    def close(self) -> None:
        """``stop``, then close the database."""
        self.stop()
        close_database()


def start_runner(only: int | None = None) -> str:
    """Run jobs in this process (or just the job ``only``); returns ``here``, or ``elsewhere``
    where another process already does. Where workers are to run them (ENGINE=celery) this process
    only watches: ``elsewhere``, or ``none`` where no worker lives."""
    global _runner
    if _runner is None:
        from ..runner.runner import Runner

        _runner = Runner(context.settings(), context.vault(), hooks(), only)
        _runner.start()
    return _runner.state


def hooks() -> "Hooks":
    """Hooks for the process that runs the jobs: its work besides the calls."""
    from ..runner.hooks import Hooks
    from . import backups, batch_files, importer, retention

    return Hooks(
        importer.import_quietly, batch_files.make_results, retention.sweep, backups.keep_up
    )


def stop_runner(timeout_s: float = GRACE_S) -> None:
    """Drain and end the runner of this process, if it has one."""
    global _runner
    if _runner is not None:
        runner, _runner = _runner, None
        runner.stop(timeout_s)


def runner_state() -> str:
    """Who runs this database's jobs: ``here``, ``elsewhere`` (another process), or ``none``."""
    if _runner is not None:
        return _runner.state
    settings = context.settings()
    if settings.ENGINE == "celery":
        with connected():
            return workers.state()
    from ..runner.lease import lease_of

    lease = lease_of(settings.database_url)
    return "elsewhere" if lease.held_elsewhere() else "none"


def serving() -> bool:
    """Whether this process has a runner, as those that serve pages have."""
    return _runner is not None


def by_workers() -> bool:
    """Whether workers are to run the jobs, not a process that serves."""
    return context.settings().ENGINE == "celery"


def workers_alive() -> int:
    """How many workers live."""
    return len(workers.alive())


def storage_fault() -> str | None:
    """The database's complaint while results cannot be written, else None."""
    return _runner.storage_fault if _runner is not None else None


def sweep() -> None:
    """Have what was deleted removed now, where the jobs run in this process."""
    if _runner is not None:
        _runner.sweep()


def health() -> "Health | None":
    """The state of the parts of this process's runner; None where it has none."""
    return _runner.health() if _runner is not None else None


def figures() -> "RunnerStats | None":
    """What the runner of this process counts of itself; None where it runs no jobs."""
    return _runner.figures() if _runner is not None else None


def governor_of(config: "ApiConfig") -> "Governor | None":
    """The limits that the jobs of this process keep on a connection; None where it runs no jobs. Raises
    ConfigurationError where its key cannot be opened."""
    return _runner.governor_of(config) if _runner is not None else None


@events.received.connect
def _on_news(_sender, topic: str, **_detail) -> None:
    if topic == events.JOBS_CHANGED and _runner is not None:
        _runner.wake()
