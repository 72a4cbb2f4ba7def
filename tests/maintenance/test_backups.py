"""Backups of a database in use, and restores; with real processes too."""

import itertools
import os
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path

import gevent
import pytest

from simple_batch.core import context, settings
from simple_batch.core.errors import Conflict, DatabaseError, InvalidInput
from simple_batch.runner.lease import Lease
from simple_batch.services import backups, lifecycle
from simple_batch.store import backup
from simple_batch.store.database import MIGRATIONS, close_database, connected, open_database
from simple_batch.store.models import Job, Upload

from .. import endpoint as e
from .. import postgres
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..process import flask, served
from ..test_processes import add_config, counted, create_job, shown

pytestmark = pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")


def rows(path: Path) -> tuple:
    """(counter, results) of the only job."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT (SELECT sum(succeeded) FROM job), (SELECT count(*) FROM result)"
        ).fetchone()


def test_backed_up_while_a_job_runs_and_restored(instance, questions, tmp_path):
    with MisbehavingEndpoint(e.slow(0.02)) as endpoint:
        add_config(instance, endpoint, "--concurrency", "5")
        running = served(instance)
        job_id = create_job(instance, questions, 600)
        wait_until(lambda: endpoint.calls >= 60)
        folder = tmp_path / "kept"
        folder.mkdir()
        done = flask(instance, "backup-db", str(folder), "--with-key")
        assert done.returncode == 0, done.stderr
        copy = Path(done.stdout.strip())
        at_once, results = rows(copy)
        assert 0 < at_once == results < 600  # one moment, in mid-job
        assert sorted(path.suffix for path in folder.iterdir()) == [".db", ".key"]
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
        assert "keep the two apart" in done.stderr
        refused = flask(instance, "restore-db", str(copy), "--yes")
        assert refused.returncode == 1
        assert "stop it first" in refused.stderr
        wait_until(lambda: counted(instance, job_id)[0] == 600)
        assert running.stop() == 0

        (instance / "encryption.key").unlink()  # another machine
        done = flask(instance, "restore-db", str(copy), "--yes")
        assert done.returncode == 0, done.stderr
        assert "cannot decrypt: 1." in done.stderr
        assert "Unfinished jobs: 1." in done.stderr
        key = copy.with_suffix(".key")
        done = flask(instance, "restore-db", str(copy), "--with-key", str(key), "--yes")
        assert done.returncode == 0, done.stderr
        assert "API keys" not in done.stderr
        assert rows(instance / "simple_batch.db") == (at_once, results)
        kept = {rows(path) for path in instance.glob("simple_batch.replaced-*.db")}
        assert kept == {(600, 600), (at_once, results)}
        calls = endpoint.calls
        running = served(instance)
        wait_until(lambda: shown(instance, job_id)["status"] == "completed")
        assert running.stop() == 0
        assert counted(instance, job_id) == (600, 600, 600)
        assert endpoint.calls == calls + 600 - at_once


def test_a_large_copy_holds_up_neither_the_loop_nor_the_writer(db, monkeypatch):
    """The server copies in a thread while results are committed."""
    filler = os.urandom(1 << 20).hex()
    for _ in range(24):
        Upload.create(path="", filename=filler, bytes=0, created_at=0)
    turns, writes = [], 0

    def work():
        nonlocal writes
        while True:
            turns.append(time.monotonic())
            Upload.create(path="", filename="late", bytes=0, created_at=1)
            writes += 1
            gevent.sleep(0.002)

    begun, need_room = [], backup._need_room

    def begins(*args):
        begun.append(writes)
        need_room(*args)

    monkeypatch.setattr(backup, "_need_room", begins)
    with connected():
        working = gevent.spawn(lambda: _connected(work))
        gevent.sleep(0.02)
        before = writes
        target = db.instance / "copy.db"
        backups._in_thread(db.instance / "simple_batch.db", target)
        working.kill()
    assert writes - begun[0] >= 3  # none, where it were held up
    gaps = sorted(b - a for a, b in itertools.pairwise(turns))
    assert gaps[len(gaps) // 2] < 0.1
    with sqlite3.connect(target) as copied:
        late = copied.execute("SELECT count(*) FROM upload WHERE filename = 'late'").fetchone()[0]
    assert before <= late <= begun[0]  # of the moment when it began


def _connected(work):
    with connected():
        work()


def test_a_stopped_copy_and_a_full_disk_leave_nothing_behind(db, tmp_path, monkeypatch):
    source, target = db.instance / "simple_batch.db", tmp_path / "copy.db"
    with pytest.raises(backup.Stopped):
        backup.copy(source, target, lambda: False)
    monkeypatch.setattr(backup, "ROOM", 1 << 60)
    with pytest.raises(DatabaseError, match="make room"):
        backup.copy(source, target)
    with pytest.raises(InvalidInput, match="no folder"):
        backup.copy(source, tmp_path / "nowhere" / "copy.db")
    assert [path.name for path in tmp_path.iterdir()] == ["instance"]
    with pytest.raises(InvalidInput, match="exists already"):
        backups.make(source)


def test_the_server_backs_up_when_it_is_time_and_keeps_the_last(db, overrides, monkeypatch):
    loaded = settings.load({}, **overrides, BACKUP_EVERY_HOURS=1, BACKUP_KEEP=2)
    lifecycle.open_context(loaded)
    for hour in range(3):
        monkeypatch.setattr(backup, "stamp", lambda hour=hour: f"20260101T0{hour}0000Z")
        backups.keep_up()
        backups.keep_up()  # not yet
        newest = backups.newest(loaded)
        assert f"T0{hour}" in newest.name
        os.utime(newest, (0, time.time() - 3700))
    assert len(list(loaded.backups.iterdir())) == 2
    monkeypatch.setattr(backup, "stamp", lambda: "20260101T090000Z")
    monkeypatch.setattr(backup, "ROOM", 1 << 60)
    with pytest.raises(DatabaseError):
        backups.keep_up()
    backups.keep_up()  # not again at once
    monkeypatch.setattr(backups, "_again_at", 0.0)


def copied(db, path: Path) -> Path:
    backup.copy(db.instance / "simple_batch.db", path)
    return path


def test_what_is_no_backup_is_refused_and_nothing_changed(db, tmp_path):
    Job.select().count()
    newer, damaged = copied(db, tmp_path / "newer.db"), copied(db, tmp_path / "damaged.db")
    with sqlite3.connect(newer) as connection:
        connection.execute("INSERT INTO schema_migration VALUES (99, '9999_future', '2030-01-01')")
    whole = bytearray(damaged.read_bytes())
    whole[8192:40960] = os.urandom(32768)
    damaged.write_bytes(whole)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    text = tmp_path / "text.db"
    text.write_text("no database at all" * 1000)
    close_database()
    database = db.instance / "simple_batch.db"
    before = database.read_bytes()
    for path, kind, words in (
        (newer, DatabaseError, "newer Simple Batch"),
        (damaged, DatabaseError, "damaged|malformed"),
        (other, InvalidInput, "no database of Simple Batch"),
        (text, DatabaseError, "not a database"),
        (tmp_path / "gone.db", InvalidInput, "no file"),
        (database, InvalidInput, "itself"),
    ):
        with pytest.raises(kind, match=words):
            backups.restore(path)
    with pytest.raises(InvalidInput, match="no encryption key"):
        backups.restore(text, with_key=text)
    assert database.read_bytes() == before
    assert not list(db.instance.glob("*restoring*"))


def test_an_older_backup_is_brought_up_to_date(db, tmp_path):
    from playhouse.migrations import Runner

    old = tmp_path / "old.db"
    names = sorted(path.stem for path in MIGRATIONS.glob("*.py"))
    close_database()
    open_database(f"sqlite:///{old}")
    from simple_batch.store.models import database

    with connected():
        runner = Runner(database.obj, str(MIGRATIONS))
        for _ in names[4:]:
            runner.down()
    close_database()
    done = backups.restore(old)
    assert done.migrations == names[4:]
    assert done.kept is not None
    assert open_database(context.settings().database_url) == []


def test_a_restore_replaces_a_damaged_database(db, tmp_path):
    backup_path = copied(db, tmp_path / "copy.db")
    database = db.instance / "simple_batch.db"
    close_database()
    other = sqlite3.connect(database)  # a process that only shows pages
    other.execute("SELECT count(*) FROM job").fetchone()
    with pytest.raises(Conflict, match="open"):
        backups.restore(backup_path)
    other.close()
    lease = Lease(database)
    assert lease.acquire()
    with pytest.raises(Conflict, match="server"):
        backups.restore(backup_path)
    with pytest.raises(Conflict, match="server"):
        backups.compact()
    lease.release()
    database.write_bytes(b"rubbish" * 5000)
    Path(f"{database}-wal").write_bytes(b"old log")
    done = backups.restore(backup_path)
    assert done.kept.read_bytes() == b"rubbish" * 5000
    assert Path(f"{done.kept}-wal").read_bytes() == b"old log"
    assert open_database(db.database_url) == []


def test_a_database_that_cannot_be_opened_is_restored_by_command(db, tmp_path):
    target = copied(db, tmp_path / "b.db")
    close_database()
    (db.instance / "simple_batch.db").write_bytes(b"rubbish" * 5000)
    assert flask(db.instance, "list-jobs").returncode == 4
    assert flask(db.instance, "restore-db", str(target)).returncode == 2  # no terminal to ask on
    assert flask(db.instance, "restore-db", str(target), "--yes").returncode == 0
    assert open_database(db.database_url) == []
