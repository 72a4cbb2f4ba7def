"""What belongs to one app: found at ``app.extensions["simple_batch"]``."""

from dataclasses import dataclass

from flask_socketio import SocketIO

from . import jobs, log
from .pulse import pulse
from .settings import Settings
from .store.database import check_database, close_database, connected


@dataclass
class Services:
    """Settings, live feed and runner of an app. ``create_app`` starts nothing: whoever serves the
    app (run.py, gunicorn.conf.py, a command that runs a job) calls ``start``."""

    settings: Settings
    socketio: SocketIO

    def start(self, only: int | None = None) -> str:
        """Run jobs here, or just the job ``only``; returns ``here``, or ``elsewhere`` where
        another process already runs this database's jobs. Needs a process patched by gevent.
        Raises DatabaseError where the database is damaged."""
        if only is None:
            log.speak_up()
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
