"""A database that is damaged, or locked by another process."""

import random
import sqlite3

import gevent
import peewee
import pytest

from simple_batch.core import settings
from simple_batch.core.errors import DatabaseError, SettingsError
from simple_batch.services import lifecycle
from simple_batch.store import busy_retry
from simple_batch.store.database import check_database, close_database, connected, open_database
from simple_batch.store.models import ApiConfig, database

from .. import postgres


def filled(path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE kept (n INTEGER PRIMARY KEY, text)")
        connection.executemany("INSERT INTO kept (text) VALUES (?)", [("x" * 500,)] * 5000)
    connection.close()


def test_a_damaged_database_is_reported_copied_and_left_as_it_is(tmp_path):
    path = tmp_path / "a.db"
    filled(path)
    open_database(f"sqlite:///{path}")
    check_database()
    close_database()
    whole = path.read_bytes()
    broken = whole[:400_000] + random.Random(1).randbytes(60_000) + whole[460_000:]
    path.write_bytes(broken)
    open_database(f"sqlite:///{path}")
    with pytest.raises(DatabaseError, match=r"damaged.*left as it is.*a\.db\.damaged.*recover"):
        check_database()
    copy = tmp_path / "a.db.damaged"
    assert path.read_bytes() == broken == copy.read_bytes()
    copy.write_bytes(b"the first copy is kept")
    path.write_bytes(b"cut" * 1000)
    with pytest.raises(DatabaseError, match="does not begin as a database does"):
        open_database(f"sqlite:///{path}")
    assert copy.read_bytes() == b"the first copy is kept"


@pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")
def test_waiting_for_a_locked_database_blocks_no_other_greenlet(db, monkeypatch):
    held = sqlite3.connect(database.obj.database, isolation_level=None, check_same_thread=False)
    held.execute("BEGIN IMMEDIATE")
    gevent.sleep(0.01)  # so that timers count from now
    gevent.spawn_later(1.0, held.execute, "ROLLBACK")
    ticks = []

    def tick():
        while True:
            ticks.append(1)
            gevent.sleep(0.02)

    ticking = gevent.spawn(tick)

    def write():
        with connected(), database.atomic():
            return ApiConfig.select().count()

    def write_alone():
        with connected():
            return ApiConfig.update(alias="x").execute()

    waiting = [gevent.spawn(write), gevent.spawn(write_alone)]
    assert [waiter.get(timeout=20) for waiter in waiting] == [0, 0]
    assert len(ticks) >= 8  # with SQLite's own waiting it would be one or two
    ticking.kill()
    held.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(busy_retry, "RETRY_S", 0.1)
    with pytest.raises(peewee.OperationalError, match="locked"):
        write()
    held.close()


def test_an_instance_folder_that_cannot_be_used_is_reported(tmp_path):
    (tmp_path / "uploads").write_text("in the way")
    with pytest.raises(SettingsError, match="INSTANCE_PATH"):
        lifecycle.open_context(settings.load(environ={}, INSTANCE_PATH=str(tmp_path)))
