"""Stored files belong to their owner only, whatever the umask at their creation."""

import os
import stat
import sys
from pathlib import Path

import pytest
import requests

from simple_batch.core import file_permissions, settings

from .. import postgres
from ..process import Server, flask, free_port

pytestmark = pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
SERVE = {
    "run.py": ([sys.executable, "run.py", "--port"], "Running on local URL"),
    "gunicorn": (
        [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            "gunicorn.conf.py",
            "simple_batch:create_app()",
            "-b",
        ],
        "jobs run",
    ),
}
LINE = b"""{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m",
"messages": []}}""".replace(b"\n", b" ")


def open_to_others(folder: Path) -> dict[str, str]:
    found = {path: path.lstat() for path in (folder, *folder.rglob("*"))}
    return {
        str(path): oct(stat.S_IMODE(how.st_mode))
        for path, how in found.items()
        if how.st_mode & 0o077 and not stat.S_ISLNK(how.st_mode)
    }


@pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")
@pytest.mark.parametrize("name", SERVE)
def test_a_server_under_any_umask_keeps_its_files_to_itself(tmp_path, name):
    instance, port = tmp_path / "instance", free_port()
    command, ready = SERVE[name]
    where = str(port) if name == "run.py" else f"127.0.0.1:{port}"
    shell = ["sh", "-c", 'umask 000; exec "$@"', "sh", *command, where]
    more = {"SIMPLE_BATCH_LOG_MAX_BYTES": "1024", "SIMPLE_BATCH_BACKUP_EVERY_HOURS": "1"}
    running = Server(shell, instance, port, ready, **more)
    try:
        running.wait_for_line("backup made")
        upload = {"file": ("a.jsonl", LINE)}
        answer = requests.post(
            f"{running.url}/v1/files", files=upload, data={"purpose": "batch"}, timeout=30
        )
        assert answer.status_code == 200, answer.text
        names = {path.name for path in instance.rglob("*")}
        assert {"simple_batch.db", "simple_batch.db-wal", "session.key", "uploads"} <= names
        assert any(name.startswith("simple_batch.log.") for name in names), names
        assert open_to_others(instance) == {}
    finally:
        running.stop()
    assert open_to_others(instance) == {}


@pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")
def test_what_is_open_to_others_is_closed_at_the_start(tmp_path):
    instance = tmp_path / "instance"
    assert flask(instance, "list-jobs").returncode == 0
    kept = instance / "uploads" / "kept"
    kept.write_text("x")
    for path in (instance, *instance.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    done = flask(instance, "list-jobs")
    assert done.returncode == 0
    assert "were open to other users" in done.stderr
    assert open_to_others(instance) == {str(kept): "0o666"}  # in a folder that is closed now
    assert "open to other" not in flask(instance, "list-jobs").stderr
    file_permissions.tighten(
        settings.load({}, INSTANCE_PATH=str(instance), LOG_DIR=""), None, deep=True
    )
    assert open_to_others(instance) == {}


def test_a_folder_with_other_things_in_it_stays_as_it_is(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    logs.chmod(0o755)
    (logs / "other.log").touch()
    (logs / "other.log").chmod(0o644)
    (logs / "simple_batch.log").touch()
    (logs / "simple_batch.log").chmod(0o644)
    loaded = settings.load({}, INSTANCE_PATH=str(tmp_path / "instance"), LOG_DIR=str(logs))
    file_permissions.tighten(loaded, None)
    assert open_to_others(logs) == {str(logs): "0o755", str(logs / "other.log"): "0o644"}
    (logs / "other.log").unlink()
    file_permissions.tighten(loaded, None)
    assert open_to_others(logs) == {}


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs root")
def test_what_belongs_to_another_user_is_left_and_reported(tmp_path, caplog):
    loaded = settings.load({}, INSTANCE_PATH=str(tmp_path / "instance"), LOG_DIR="")
    loaded.instance.mkdir()
    loaded.instance.chmod(0o755)  # mkdir's mode is under the umask of this process
    os.chown(loaded.instance, 12345, 12345)
    file_permissions.tighten(loaded, None)
    assert "belong to another" in caplog.text
    assert list(open_to_others(loaded.instance)) == [str(loaded.instance)]
