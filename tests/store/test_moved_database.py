"""The database file is moved, removed, replaced or written to under a process that has it open."""

import io
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from simple_batch import intake
from simple_batch.core.errors import DatabaseError, DatabaseMoved
from simple_batch.services import uploads
from simple_batch.store import backup, locks
from simple_batch.store import database as store
from simple_batch.store.database import (
    close_database,
    connected,
    fault,
    is_transient,
    open_database,
    sqlite_path,
    sqlite_url,
)
from simple_batch.store.models import Upload, database

from .. import postgres
from ..process import ROOT

pytestmark = pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")


@pytest.fixture
def path(tmp_path):
    """An open database with 50 rows, some of them only in the write-ahead log."""
    found = tmp_path / "instance" / "simple_batch.db"
    open_database(f"sqlite:///{found}")
    add(50)
    yield found
    close_database()


def add(count: int) -> None:
    with connected(), database.atomic():
        for number in range(count):
            Upload.create(path="p", filename=f"{number}", bytes=1, preview="x" * 500, created_at=1)


def rows(path) -> int:
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return other.execute("SELECT count(*) FROM upload").fetchone()[0]


def copied(path, name="copy.db"):
    """A backup by SQLite's backup API, in the mode of the write-ahead log."""
    copy = path.parent.parent / name
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def refused(text: str) -> None:
    with pytest.raises(DatabaseMoved, match=text) as raised:
        add(1)
    assert is_transient(raised.value)
    with pytest.raises(DatabaseMoved), connected():
        Upload.update(bytes=2).execute()


def test_a_file_moved_away_and_back(path, caplog):
    away = path.parent / "away.db"
    for _ in range(2):
        path.rename(away)
        refused("moved or removed.*restore-db")
        refused("moved or removed")
        assert not path.exists()  # no empty one is made
        away.rename(path)
        add(1)
    reported = [
        record.levelname for record in caplog.records if "simple_batch.db" in record.message
    ]
    assert reported == ["ERROR", "WARNING"] * 2
    close_database()
    assert rows(path) == 52


def test_a_checkpoint_leaves_alone_what_lies_in_its_place(path):
    away, backup_file = path.parent / "away.db", copied(path)
    before = backup_file.read_bytes()
    path.rename(away)
    backup_file.rename(path)
    database.checkpoint()  # of a long change, which is then tried again
    assert path.read_bytes() == before
    away.rename(path)
    assert fault() is None
    add(1)
    database.checkpoint()
    assert rows(path) == 51


def test_a_commit_whose_file_goes_while_it_is_made_is_rolled_back(path):
    with pytest.raises(DatabaseMoved), connected(), database.atomic():
        Upload.update(bytes=2).execute()
        path.rename(path.parent / "away.db")
    (path.parent / "away.db").rename(path)
    with connected():
        assert Upload.select().where(Upload.bytes == 2).count() == 0


def test_a_file_changed_while_it_was_away_is_not_taken_back(path):
    away = path.parent / "away.db"
    path.rename(away)
    refused("moved or removed")
    with away.open("r+b") as file:
        file.write(bytes(200))
    away.rename(path)
    refused("Another program wrote")


@pytest.mark.parametrize("ended", ["stopped", "killed"])
def test_a_backup_moved_over_it_stays_whole(path, ended):
    copy = copied(path)
    add(30)
    if ended == "killed":
        _killed(path, lambda: copy.replace(path))
    else:
        copy.replace(path)
        refused("replaced by another file.*restore-db")
        close_database()
        assert (path.parent / "simple_batch.db-wal").exists()
    open_database(f"sqlite:///{path}")
    with connected():
        assert Upload.select().count() == 50
    add(1)
    close_database()
    assert rows(path) == 51
    assert list(path.parent.glob("simple_batch.db-wal.replaced-*"))


def _killed(path, then) -> None:
    """Kill a process that has the database open, then call ``then``."""
    close_database()
    code = (
        "import os, sys\n"
        "from simple_batch.store.database import connected, database, open_database\n"
        "from simple_batch.store.models import Upload\n"
        "open_database(sys.argv[1])\n"
        "with connected():\n"
        "    Upload.create(path='p', filename='f', bytes=1, preview='', created_at=1)\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, f"sqlite:///{path}"], cwd=ROOT, check=True)
    assert (path.parent / "simple_batch.db-wal").stat().st_size
    then()


@pytest.mark.parametrize("way", ["copied over it", "removed, then copied"])
def test_a_backup_put_there_after_a_kill_stays_whole(path, way):
    """The path, or even the inode, may be the same as before, with another content."""
    copy = copied(path)
    add(30)

    def put() -> None:
        if way != "copied over it":
            path.unlink()
        shutil.copyfile(copy, path)

    _killed(path, put)
    open_database(f"sqlite:///{path}")
    with connected():
        assert Upload.select().count() == 50
    close_database()
    assert rows(path) == 50


@pytest.mark.parametrize("checkpoint", ["PASSIVE", "RESTART"])
def test_a_log_is_kept_whatever_checkpoints_came_before_the_kill(path, checkpoint):
    close_database()
    code = (
        "import os, sys, sqlite3\n"
        "from simple_batch.store.database import connected, database, open_database\n"
        "from simple_batch.store.models import Upload\n"
        "open_database(sys.argv[1])\n"
        "with connected():\n"
        "    Upload.create(path='p', filename='f', bytes=1, preview='', created_at=1)\n"
        "other = sqlite3.connect(sys.argv[2])\n"
        "other.execute('CREATE TABLE more (a)')\n"
        "other.execute('PRAGMA wal_checkpoint(' + sys.argv[3] + ')').fetchall()\n"
        "other.execute('CREATE TABLE still_more (a)')\n"
        "os._exit(0)"
    )
    command = [sys.executable, "-c", code, f"sqlite:///{path}", str(path), checkpoint]
    subprocess.run(command, cwd=ROOT, check=True)
    os.utime(path)
    open_database(f"sqlite:///{path}")
    with connected():
        assert Upload.select().count() == 51
        assert {"more", "still_more"} <= set(database.get_tables())
    assert not list(path.parent.glob("*.replaced-*"))


def test_the_log_of_a_process_that_was_killed_is_read(path):
    _killed(path, lambda: None)
    open_database(f"sqlite:///{path}")
    with connected():
        assert Upload.select().count() == 51


def test_a_folder_moved_after_a_kill_takes_its_log_with_it(path):
    _killed(path, lambda: None)
    moved = path.parent.parent / "moved"
    shutil.copytree(path.parent, moved)
    open_database(f"sqlite:///{moved / path.name}")
    with connected():
        assert Upload.select().count() == 51


def test_a_backup_written_over_it_stays_whole(path):
    """After ``cp`` the file is the same one with another content."""
    copy = copied(path)
    add(30)
    code = (
        "import os, shutil, sys\n"
        "from simple_batch.store.database import *\n"
        "from simple_batch.store.models import Upload, database\n"
        "open_database(sys.argv[1])\n"
        "with connected(), database.atomic():\n"
        "    Upload.create(path='p', filename='f', bytes=1, preview='', created_at=1)\n"
        "shutil.copyfile(sys.argv[2], sys.argv[3])\n"
        "try:\n"
        "    with connected(), database.atomic():\n"
        "        Upload.create(path='p', filename='f', bytes=1, preview='', created_at=1)\n"
        "except Exception as error:\n"
        "    print(error)\n"
        "close_database()\n"
    )
    close_database()
    command = [sys.executable, "-c", code, f"sqlite:///{path}", str(copy), str(path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert "Another program wrote to the database file" in done.stdout
    assert path.read_bytes() == copy.read_bytes()
    open_database(f"sqlite:///{path}")
    with connected():
        assert Upload.select().count() == 50
    close_database()
    assert rows(path) == 50


def test_own_checkpoints_and_those_of_others_are_no_foreign_writes(path):
    for _ in range(3):
        add(700)  # more than SQLite keeps in the log
        assert fault() is None
        with closing(sqlite3.connect(path)) as other:
            other.execute("UPDATE upload SET bytes = bytes + 1")
            other.commit()
            assert fault() is None
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        assert fault() is None
        os.utime(path)  # touched, and as it was
        assert fault() is None
    with connected():
        database.execute_sql("VACUUM")
    assert fault() is None
    add(1)


def test_a_log_cut_off_or_written_over(path):
    wal = path.with_name(path.name + "-wal")
    code = (
        "import os, sys, time\n"
        "from simple_batch.store.database import *\n"
        "from simple_batch.store.models import Upload, database\n"
        "open_database(sys.argv[1])\n"
        "wal = sys.argv[2] + '-wal'\n"
        "def add():\n"
        "    with connected(), database.atomic():\n"
        "        Upload.create(path='p', filename='f', bytes=1, preview='', created_at=1)\n"
        "add()\n"
        "old = open(wal, 'rb').read()\n"
        "with connected():\n"
        "    database.execute_sql('PRAGMA wal_checkpoint(RESTART)').fetchall()\n"
        "add()\n"
        "open(wal, 'wb').write(old if sys.argv[3] == 'old' else b'')\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        add()\n"
        "    except Exception as error:\n"
        "        print(error)\n"
        "close_database()\n"
    )
    close_database()
    for way, left in (("cut", 51), ("old", 52)):
        command = [sys.executable, "-c", code, f"sqlite:///{path}", str(path), way]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        assert done.stdout.count(f"Another program wrote to the database file {wal}") == 2
        open_database(f"sqlite:///{path}")
        with connected():
            assert Upload.select().count() == left
        close_database()
        assert rows(path) == left


@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_a_log_removed_under_it(path, end):
    path.with_name(path.name + end).unlink()
    refused("write-ahead log.*stop all processes")
    assert not path.with_name(path.name + end).exists()
    close_database()
    assert rows(path) == 50  # what the log held was written back


def test_a_folder_that_is_a_link_to_another_one_now(path):
    link = path.parent.parent / "link"
    close_database()
    link.symlink_to(path.parent, target_is_directory=True)
    open_database(f"sqlite:///{link / path.name}")
    other = path.parent.parent / "other"
    other.mkdir()
    link.unlink()
    link.symlink_to(other, target_is_directory=True)
    refused("moved or removed")
    shutil.copy(path, other)
    refused("replaced")
    link.unlink()
    link.symlink_to(path.parent, target_is_directory=True)
    add(1)
    assert sorted(it.name for it in other.iterdir()) == [path.name]


def test_a_start_where_only_the_log_is_left_is_refused(path):
    away = path.with_name("away.db")
    path.rename(away)
    refused("moved")
    close_database()
    with pytest.raises(DatabaseError, match="missing, but its write-ahead log"):
        open_database(f"sqlite:///{path}")
    assert not path.exists()
    away.rename(path)
    open_database(f"sqlite:///{path}")
    with connected():
        assert Upload.select().count() == 50


def test_a_start_beside_a_process_whose_database_went_is_refused(path):
    held = locks.acquire(path.with_suffix(".runner-lock"))
    try:
        path.rename(path.with_name("away.db"))
        with pytest.raises(DatabaseError, match="while another process uses it"):
            open_database(f"sqlite:///{path}")
    finally:
        locks.release(held)


@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_a_start_beside_a_process_whose_log_went_is_refused(path, end):
    """It would create a second log, and each process would overwrite the other's pages."""
    held = locks.acquire(path.with_suffix(".runner-lock"))
    try:
        path.with_name(path.name + end).unlink()
        with pytest.raises(DatabaseError, match=r"write-ahead log.*while another process uses it"):
            open_database(f"sqlite:///{path}")
    finally:
        locks.release(held)


def test_a_start_beside_a_process_whose_file_was_written_over_is_refused(path):
    held = locks.acquire(path.with_suffix(".runner-lock"))
    try:
        copy = copied(path)
        add(1)
        database.obj._identity._log_fault("as a process that noticed it")
        shutil.copyfile(copy, path)
        log_size = path.with_name(path.name + "-wal").stat().st_size
        with pytest.raises(DatabaseError, match="written to while another process uses it"):
            open_database(f"sqlite:///{path}")
        assert path.with_name(path.name + "-wal").stat().st_size == log_size
    finally:
        locks.release(held)


def test_a_start_while_another_process_has_only_the_lock_is_no_fault(path):
    """This happens while space is released, or a database is copied."""
    held = locks.acquire(path.with_suffix(".runner-lock"))
    try:
        close_database()
        assert not path.with_name(path.name + "-wal").exists()
        open_database(f"sqlite:///{path}")
        add(1)
    finally:
        locks.release(held)


def test_a_database_behind_a_link(path):
    close_database()
    real = path.parent.parent / "disk" / "real.db"
    real.parent.mkdir()
    path.rename(real)
    path.symlink_to(real)
    open_database(f"sqlite:///{path}")
    add(1)
    copy = copied(path)
    real.with_name("real.db-wal").rename(path.with_name("away"))
    refused("write-ahead log.*real.db-wal")
    path.with_name("away").rename(real.with_name("real.db-wal"))
    real.rename(real.with_name("away.db"))
    refused("moved or removed")
    real.with_name("away.db").rename(real)
    add(1)
    close_database()
    assert rows(path) == 52
    assert backup.restore(copy, path)[0].parent == real.parent
    assert path.is_symlink()
    assert rows(real) == 51


def test_a_disk_that_bears_no_write_ahead_log(path, monkeypatch):
    close_database()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = delete")
    monkeypatch.setitem(store.PRAGMAS, "journal_mode", "delete")
    open_database(f"sqlite:///{path}")
    add(1)
    assert fault() is None
    path.rename(path.with_name("away.db"))
    refused("moved or removed")


@pytest.mark.parametrize("name", ["a b.db", "what?.db", "c#.db", "100%41.db", "数据 é.db"])
def test_every_name_of_a_file_can_be_written_as_a_url(path, name):
    close_database()
    other = path.with_name(name)
    open_database(sqlite_url(other))
    add(2)
    close_database()
    assert rows(other) == 2
    assert sorted(it.name for it in path.parent.glob("*.identity")) == sorted(
        [path.with_suffix(".identity").name, other.with_suffix(".identity").name]
    )
    if {"?", "#"} & set(name):
        with pytest.raises(DatabaseError, match="%3F"):
            open_database(f"sqlite:///{other}")


def test_a_backup_is_restored_where_only_the_log_is_left(path):
    copy = copied(path)
    add(5)
    path.unlink()
    refused("removed")
    close_database()
    assert backup.restore(copy, path)[0] is None
    assert rows(path) == 50


def test_every_connection_opens_a_file_that_is_there(path):
    close_database()
    open_database(f"sqlite:///{path}")
    database.obj._identity = None  # as if it went between the look and the opening
    database.obj.close_idle()
    path.rename(path.with_name("away.db"))
    with pytest.raises(Exception, match="unable to open"), connected():
        pass
    assert not path.exists()


def test_the_log_says_it_once(path, caplog):
    path.unlink()
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            refused("removed")
    assert len(caplog.records) == 1


def test_an_upload_that_cannot_be_noted_leaves_no_file(app, monkeypatch):
    settings = app.extensions["simple_batch"].settings
    place = sqlite_path(settings.database_url)
    away = place.with_name("away.db")
    spool = intake.spool

    def spool_then_move(*args):
        size = spool(*args)
        place.rename(away)
        return size

    monkeypatch.setattr(intake, "spool", spool_then_move)
    with connected(), pytest.raises(DatabaseMoved):
        uploads.stage(io.BytesIO(b"{}"), "a.jsonl")
    away.rename(place)
    assert list(settings.uploads.iterdir()) == []
