"""What belongs to one app: found at ``app.extensions["simple_batch"]``."""

import logging
from dataclasses import dataclass
from pathlib import Path

from ..core import (
    address_policy,
    context,
    file_permissions,
    log,
    memory,
    settings,
)
from ..core.loop_lag import pulse
from ..core.settings import Settings
from ..store.database import (
    check_database,
    close_database,
    connected,
    is_server,
    open_database,
    sqlite_path,
)
from . import jobs

logger = logging.getLogger(__name__)


def prepare(with_database: bool = True, **overrides) -> Settings:
    """Load the settings, ``overrides`` over them, and set this process up by them. Raises
    SettingsError or DatabaseError with the remedy."""
    loaded = settings.load(**overrides)
    set_up(loaded, with_database)
    return loaded


def set_up(loaded: Settings, with_database: bool = True) -> None:
    """Open what the settings name: the log, where calls may go, the vault, and the database,
    migrated. Every kind of process begins with this: server, command, worker. Raises SettingsError
    or DatabaseError with the remedy."""
    file_permissions.for_owner_alone()
    log.configure(loaded)
    memory.settle()
    address_policy.choose(loaded.EXPOSED)
    context.open_runtime(loaded)
    file_permissions.tighten(loaded, _file_of(loaded))
    for variable, close in settings.misspelt():
        logger.warning("%s is no setting: is %s meant?", variable, close)
    if with_database:
        open_database(loaded.database_url, loaded.DATABASE_CONNECTIONS)


def _file_of(loaded: Settings) -> Path | None:
    return None if is_server(loaded.database_url) else sqlite_path(loaded.database_url)


@dataclass
class Services:
    """Settings and runner of an app. ``create_app`` starts nothing: whoever serves the
    app (run.py, gunicorn.conf.py, a command that runs a job) calls ``start``."""

    settings: Settings

    def start(self, only: int | None = None) -> str:
        """Run jobs here, or just the job ``only``; returns ``here``, or ``elsewhere`` where
        another process already runs this database's jobs. Needs a process patched by gevent.
        Raises DatabaseError where the database is damaged."""
        if only is None:
            log.speak_up()
            file_permissions.tighten(self.settings, _file_of(self.settings), deep=True)
            check_database()
            pulse.start()
        with connected():
            return jobs.start_runner(only)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Let calls in flight finish and commit everything received."""
        pulse.stop()
        jobs.stop_runner(timeout_s)

    def close(self) -> None:
        """``stop``, then close the database."""
        self.stop()
        close_database()
