"""Who works: a row for each worker process, with its last sign of life by the server's clock.

When a row goes, the pages that the worker held come free and its lanes go with it (foreign keys): no
request waits for one that is dead, and one that was only thought dead can claim nothing any more.
"""

import msgspec

from ..models import Worker, database

DEAD_AFTER_S = 10.0  # without a sign of life

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
_SWEEP = (
    f"DELETE FROM worker WHERE beat_at < {_NOW} - {_DEAD_AFTER_MS} "
    "RETURNING id, name, room, started_at"
)


class Known(msgspec.Struct, frozen=True):
    """A worker as the others see it; ``room`` is how many lanes it is to have at most, 0
    where it is about to leave."""

    id: str
    name: str
    room: int
    started_at: int


def register(worker_id: str, name: str, room: int) -> None:
    """Begin to work under this id."""
    database.execute_sql(_REGISTER, (worker_id, name, room))


def beat(worker_id: str) -> bool:
    """Give a sign of life; False where the others take this worker for dead."""
    return database.execute_sql(_BEAT, (worker_id,)).rowcount > 0


def close(worker_id: str) -> None:
    """Have no more lanes placed with this worker."""
    Worker.update(room=0).where(Worker.id == worker_id).execute()


def leave(worker_id: str) -> None:
    """Work no more: what the worker held is free for the others."""
    Worker.delete().where(Worker.id == worker_id).execute()


def alive() -> list[Known]:
    """The workers that live, oldest first. Empty on SQLite, which has none."""
    if not database.server:
        return []
    return [Known(*row) for row in database.execute_sql(_ALIVE)]


def standing() -> tuple[dict[str, float], int]:
    """How long ago (s) each worker that lives was heard, by its name; how many lanes there are."""
    quiet = dict(database.execute_sql(_QUIET).fetchall())
    return quiet, database.execute_sql("SELECT count(*) FROM lane").fetchone()[0]


def silent() -> list[str]:
    """The ids of those that seem dead and are not removed yet."""
    return [worker_id for (worker_id,) in database.execute_sql(_SILENT)]


def sweep() -> list[Known]:
    """Remove the dead; returns them."""
    return [Known(*row) for row in database.execute_sql(_SWEEP).fetchall()]
