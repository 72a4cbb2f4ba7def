"""Worker registry: a row for each worker process, with its last heartbeat by the server's clock.

Deleting a row frees the worker's pages and deletes its assignments (foreign keys): no request waits for a
dead worker, and a worker that was wrongly declared dead can claim nothing any more.
"""

import msgspec

from ..models import Worker, database

DEAD_AFTER_S = 10.0  # without a heartbeat

_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
_DEAD_AFTER_MS = int(DEAD_AFTER_S * 1000)
_REGISTER = (
    f"INSERT INTO worker (id, name, room, started_at, beat_at) VALUES (?, ?, ?, {_NOW}, {_NOW})"
)
_BEAT = f"UPDATE worker SET beat_at = {_NOW} WHERE id = ?"
_ALIVE = (
    "SELECT id, name, room, started_at FROM worker "
    f"WHERE beat_at >= {_NOW} - {_DEAD_AFTER_MS} ORDER BY started_at, id"
)
_QUIET = f"SELECT name, ({_NOW} - beat_at) / 1000.0 FROM worker WHERE beat_at >= {_NOW} - {_DEAD_AFTER_MS} ORDER BY name"
_SILENT = f"SELECT id FROM worker WHERE beat_at < {_NOW} - {_DEAD_AFTER_MS}"
_REAP = (
    f"DELETE FROM worker WHERE beat_at < {_NOW} - {_DEAD_AFTER_MS} "
    "RETURNING id, name, room, started_at"
)


class Known(msgspec.Struct, frozen=True):
    """A worker as the others see it. ``room`` is its maximum number of job runs, 0 while it is shutting
    down."""

    id: str
    name: str
    room: int
    started_at: int


def register(worker_id: str, name: str, room: int) -> None:
    """Register a worker under this id."""
    database.execute_sql(_REGISTER, (worker_id, name, room))


def beat(worker_id: str) -> bool:
    """Send a heartbeat. Returns False if the others declared this worker dead."""
    return database.execute_sql(_BEAT, (worker_id,)).rowcount > 0


def close(worker_id: str) -> None:
    """Stop new assignments to this worker."""
    Worker.update(room=0).where(Worker.id == worker_id).execute()


def leave(worker_id: str) -> None:
    """Unregister the worker: its pages are free for the others."""
    Worker.delete().where(Worker.id == worker_id).execute()


def alive() -> list[Known]:
    """The live workers, oldest first. Empty on SQLite, which has none."""
    if not database.server:
        return []
    return [Known(*row) for row in database.execute_sql(_ALIVE)]


def state() -> str:
    """Whether workers run the jobs: ``elsewhere``, or ``none``. Needs an open database."""
    return "elsewhere" if alive() else "none"


def standing() -> tuple[dict[str, float], int]:
    """Age (s) of each live worker's last heartbeat, by name, and the number of assignments."""
    quiet = dict(database.execute_sql(_QUIET).fetchall())
    return quiet, database.execute_sql("SELECT count(*) FROM lane").fetchone()[0]


def silent() -> list[str]:
    """The ids of workers that missed heartbeats and are not removed yet."""
    return [worker_id for (worker_id,) in database.execute_sql(_SILENT)]


def reap() -> list[Known]:
    """Delete the rows of dead workers; returns them."""
    return [Known(*row) for row in database.execute_sql(_REAP).fetchall()]
