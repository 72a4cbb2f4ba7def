"""simple-batch doctor where the data folder, the settings or the database cannot be used: a report with
remedies, never an error alone."""

import contextlib
import json
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from simple_batch.services.home_check import fault_of

from .. import postgres
from ..process import program


@pytest.fixture
def checked(instance, tmp_path):
    """The exit code and the findings by name."""

    def check(home: Path, **more: str) -> tuple[int, dict]:
        done = program(
            instance, "--home", str(home), "doctor", "--json", "--no-apis", cwd=tmp_path, **more
        )
        assert "Traceback" not in done.stderr
        return done.returncode, {one["name"]: one for one in json.loads(done.stdout)}

    return check


@pytest.mark.parametrize(
    ("name", "what", "remedy"),
    [
        ("file", "is a file", "Move it away"),
        ("file/under/it", "cannot be made: ", "Choose another folder"),
        ("dangling", "is a link to ", "Bring that back"),
        ("a" * 300, "name too long", "too long"),
        ("aaaaaaaaa/" * 600, "name too long", "too long"),
        ("a\0b", "NUL character", "Leave that out"),
        ("/dev/null", "a device", "Move it away"),
        ("/dev/null/x", "cannot be made: /dev/null", "Choose another folder"),
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path, name, what, remedy):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    fault = fault_of(tmp_path / name)
    assert what in fault.what
    assert remedy in fault.remedy and "--home PATH" in fault.remedy
    assert len(fault.what) < 500


def test_a_folder_that_can_be_used_is_left_empty(tmp_path):
    assert fault_of(tmp_path / "new" / "home") is None
    assert list((tmp_path / "new" / "home").iterdir()) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs root")
def test_a_folder_of_another_user(tmp_path):
    tmp_path.chmod(0o755)
    os.seteuid(65534)
    try:
        assert "Permission denied" in fault_of(tmp_path / "new").what
        assert "chown" in fault_of(tmp_path).remedy
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs root")
def test_a_disk_that_is_full_or_for_reading_only(tmp_path):
    mounted = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(tmp_path)]
    if subprocess.run(mounted, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        assert "Free space" in fault_of(tmp_path).remedy
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path)], check=True)
        assert "Read-only" in fault_of(tmp_path).what
        assert "Mount it for writing" in fault_of(tmp_path).remedy
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_home_and_settings_are_findings(checked, tmp_path):
    (tmp_path / "file").touch()
    code, found = checked(tmp_path / "file")
    assert code == 4
    assert not found["home"]["ok"] and found["home"]["remedy"]
    assert found["python"]["ok"] and "port" in found
    code, found = checked(tmp_path / "home", SIMPLE_BATCH_DEFAULT_TIMEOUT="soon")
    assert code == 4
    assert "SIMPLE_BATCH_DEFAULT_TIMEOUT" in found["settings"]["detail"]
    assert found["settings"]["remedy"].startswith("Correct what this names")


@pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")
def test_a_database_that_is_locked_newer_or_damaged(checked, tmp_path):
    home = tmp_path / "home"
    assert checked(home)[0] == 0
    file = home / "simple_batch.db"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE schema_migration SET name = name")
        code, found = checked(home)
        assert (code, found["database"]["ok"]) == (1, False)
        assert found["database"]["remedy"].startswith("End the program that holds the database")
        other.execute("ROLLBACK")
        other.execute(
            "INSERT INTO schema_migration (name, applied) VALUES ('9999_x', '2026-01-01')"
        )
    code, found = checked(home)
    assert (code, found["database"]["ok"]) == (1, False)
    assert found["database"]["remedy"].startswith("Install the newest version")
    file.write_bytes(b"no database" * 1000)
    code, found = checked(home)
    assert (code, found["database"]["ok"]) == (1, False)
    assert found["database"]["remedy"].startswith("Restore a backup: simple-batch backup restore")
    assert file.read_bytes() == b"no database" * 1000
