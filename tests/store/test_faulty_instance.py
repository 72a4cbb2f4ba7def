"""Faulty instance folders are reported in one line, with the place and the remedy."""

import math
import os
import shutil
import subprocess
import sys
from dataclasses import fields

import pytest

from simple_batch.core import settings
from simple_batch.core.errors import SettingsError
from simple_batch.core.settings import Settings

from .. import postgres
from ..conftest import wait_until
from ..process import ROOT, environment, flask, free_port, served

WRONG = {
    str: ["5", "true", "[1]", "{a = 1}", "1979-05-27", '"a\\u0000b"'],
    bool: ['"maybe"', "2", "[true]", "1.5"],
    int: ['"many"', "1.5", "true", "[1]", "{a = 1}", "nan", '"1e3"', "-1000000000000000000"],
    float: ['"x"', "true", "[1.0]", "nan", "inf", "-1e300", '"nan"'],
}


def loaded(folder, text: str | bytes):
    raw = text if isinstance(text, bytes) else text.encode()
    (folder / "settings.toml").write_bytes(raw)
    return settings.load({"SIMPLE_BATCH_INSTANCE_PATH": str(folder)})


ITEMS = [item for item in fields(Settings) if item.name.isupper()]


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.name)
def test_every_setting_refuses_values_of_another_kind(tmp_path, item):
    for value in WRONG[type(item.default)]:
        with pytest.raises(SettingsError) as wrong:
            loaded(tmp_path, f"{item.name} = {value}\n")
        assert item.name in str(wrong.value), value
        assert "settings.toml" in str(wrong.value), value
    (tmp_path / "settings.toml").unlink()
    if isinstance(item.default, str):
        return
    for value in ("many", "-1e999", "\ud800"):
        variable = f"SIMPLE_BATCH_{item.name}"
        with pytest.raises(SettingsError, match=f"{item.name}.*variable {variable}"):
            settings.load({"SIMPLE_BATCH_INSTANCE_PATH": str(tmp_path), variable: value})


def test_no_value_of_a_secret_setting_stands_in_a_complaint(tmp_path):
    for name in ("PASSWORD", "SECRET_KEY", "ENCRYPTION_KEYS", "SMTP_PASSWORD", "REDIS_URL"):
        with pytest.raises(SettingsError) as wrong:
            loaded(tmp_path, f"{name} = 123456789\n")
        assert "123456789" not in str(wrong.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# 试\nLANGUAGE = '中文'".encode("gbk"), "line 1 is not UTF-8"),
        (b"LANGUAGE = 'en'\n# \xff\n", "line 2 is not UTF-8"),
        ("LANGUAGE = 'en'".encode("utf-16"), "line 1 is not UTF-8"),
        ("LANGUAGE = \n", "line 1, column"),
        ("LANGUAGE = 'en'\nLANGUAGE = 'zh'\n", "line 2"),
        ("LANGUAGE = 'en'\nlanguage = 'zh'\n", "LANGUAGE stands there twice"),
        ("DEFAULT_TIMOUT = 5", "unknown setting 'DEFAULT_TIMOUT'. Is DEFAULT_TIMEOUT meant"),
        ("[server]\nport = 1", "unknown setting 'server'. See"),
    ],
)
def test_a_file_of_settings_that_cannot_be_read_names_the_place(tmp_path, text, expected):
    with pytest.raises(SettingsError, match=r"settings\.toml") as wrong:
        loaded(tmp_path, text)
    assert expected in str(wrong.value)


def test_what_editors_do_to_a_file_of_settings_is_no_fault(tmp_path):
    found = loaded(tmp_path, b'\xef\xbb\xbfDEFAULT_TIMEOUT = 7\r\nTRUST_ENV = "yes"\r\n')
    assert (found.DEFAULT_TIMEOUT, found.TRUST_ENV) == (7.0, True)
    assert math.isfinite(loaded(tmp_path, "DEFAULT_TIMEOUT = '7.5'").DEFAULT_TIMEOUT)


def test_a_misspelt_variable_is_noticed():
    names = ["SIMPLE_BATCH_DEFAULT_TIMOUT", "SIMPLE_BATCH_PASWORD_FILE", "SIMPLE_BATCH_LOG_DIR"]
    assert settings.misspelt(dict.fromkeys([*names, "SIMPLE_BATCH_LISTENS_ON"], "1")) == [
        (names[0], "SIMPLE_BATCH_DEFAULT_TIMEOUT"),
        (names[1], "SIMPLE_BATCH_PASSWORD_FILE"),
    ]


def _folder(path):
    path.unlink(missing_ok=True)
    path.mkdir()


def _link(path):
    path.unlink(missing_ok=True)
    path.symlink_to(path.parent / "nowhere")


def _pipe(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _link_to(where: str):
    def make(path):
        path.unlink(missing_ok=True)
        path.symlink_to(where)

    return make


def _holds(raw: bytes):
    return lambda path: path.write_bytes(raw)


def _file(path):
    shutil.rmtree(path, ignore_errors=True)
    path.write_text("in the way")


FAULTS = {
    "session key empty": ("session.key", _holds(b""), "it is empty"),
    "session key cut off": ("session.key", _holds(b"abc"), "it holds 3 characters"),
    "session key no text": ("session.key", _holds(b"\xff\xfe" * 20), "it is no text"),
    "session key a folder": ("session.key", _folder, "it is no file"),
    "session key a pipe": ("session.key", _pipe, "it is no file"),
    "session key a dangling link": ("session.key", _link, "is a link to"),
    "encryption key empty": ("encryption.key", _holds(b"\n"), "it is empty"),
    "encryption key no key": ("encryption.key", _holds(b"x" * 44), "no Fernet key"),
    "encryption key no text": ("encryption.key", _holds(b"\xff" * 44), "it is no text"),
    "encryption key a folder": ("encryption.key", _folder, "it is no file"),
    "encryption key a pipe": ("encryption.key", _pipe, "it is no file"),
    "encryption key a dangling link": ("encryption.key", _link, "is a link to"),
    "settings a folder": ("settings.toml", _folder, "cannot be read"),
    "settings a pipe": ("settings.toml", _pipe, "it is no file"),
    "settings without end": ("settings.toml", _link_to("/dev/zero"), "it is no file"),
    "settings huge": ("settings.toml", _holds(b"# x\n" * 300_000), "more than 1,048,576 bytes"),
    "settings a dangling link": ("settings.toml", _link, "is a link to"),
    "settings no UTF-8": ("settings.toml", _holds(b"# \xff"), "is not UTF-8"),
    "database a folder": ("simple_batch.db", _folder, "is a folder"),
    "database a pipe": ("simple_batch.db", _pipe, "is no file but"),
    "database a dangling link": ("simple_batch.db", _link, "is a link to"),
    "database no database": ("simple_batch.db", _holds(b"no database" * 999), "damaged or is none"),
    "migration lock a folder": ("simple_batch.migrate-lock", _folder, "migrate-lock"),
    "uploads a file": ("uploads", _file, "uploads"),
    "logs a file": ("logs", _file, "SIMPLE_BATCH_LOG_DIR"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """An instance folder without faults."""
    instance = tmp_path_factory.mktemp("good") / "instance"
    running = served(instance)
    assert running.stop() == 0
    return instance


@pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_reported_in_a_line_and_ends_the_start_with_4(good, tmp_path, name):
    where, harm, expected = FAULTS[name]
    instance = tmp_path / "instance"
    shutil.copytree(good, instance)
    harm(instance / where)
    session = where == "session.key"  # commands need none
    _check(flask(instance, "run" if session else "list-jobs"), instance / where, expected)


@pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")
@pytest.mark.parametrize(
    ("way", "name"),
    [
        ("run.py", "session key empty"),
        ("run.py", "database a folder"),
        ("gunicorn", "session key empty"),
        ("gunicorn", "settings no UTF-8"),
        ("run.py", "runner lock a folder"),
        ("gunicorn", "runner lock a folder"),
    ],
)
def test_servers_say_it_too(good, tmp_path, way, name):
    faults = {
        **FAULTS,
        "runner lock a folder": ("simple_batch.runner-lock", _folder, "Is a directory"),
    }
    where, harm, expected = faults[name]
    instance = tmp_path / "instance"
    shutil.copytree(good, instance)
    harm(instance / where)
    port = free_port()
    command = {
        "run.py": ["run.py", "--port", str(port)],
        "gunicorn": [
            "-m",
            "gunicorn",
            "-c",
            "gunicorn.conf.py",
            "-b",
            f"127.0.0.1:{port}",
            "simple_batch:create_app()",
        ],
    }[way]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment(instance),
        capture_output=True,
        text=True,
        timeout=90,
    )
    _check(done, instance / where, expected)


def test_a_worker_says_it_too(tmp_path):
    (tmp_path / "settings.toml").write_bytes(b"# \xff")
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "simple_batch.worker",
        "worker",
        "-P",
        "gevent",
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=90
    )
    _check(done, tmp_path / "settings.toml", "is not UTF-8")


def _check(done, path, expected: str) -> None:
    assert done.returncode == 4, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, done.stderr
    assert expected in lines[0]
    assert str(path) in lines[0]
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("link", [False, True])
def test_an_instance_folder_that_is_none_is_reported(tmp_path, link):
    instance = tmp_path / "instance"
    (_link if link else _file)(instance)
    _check(flask(instance, "list-jobs", SIMPLE_BATCH_LOG_DIR=""), instance, "instance folder")


@pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")
def test_readyz_says_what_the_next_start_will_miss(app, client, monkeypatch):
    instance = app.extensions["simple_batch"].settings.instance

    def wrong() -> dict:
        checks = client.get("/readyz").json["checks"]
        return {
            name: checks[name].get("detail")
            for name in ("keys", "folder")
            if not checks[name]["ok"]
        }

    assert wrong() == {}
    kept = (instance / "session.key").read_bytes()
    (instance / "session.key").write_bytes(b"")
    assert "session.key" in wrong()["keys"]
    (instance / "session.key").write_bytes(kept)
    (instance / "encryption.key").rename(instance / "away")
    assert "encryption.key" in wrong()["keys"]
    (instance / "away").rename(instance / "encryption.key")
    shutil.rmtree(instance / "uploads")
    assert "uploads is gone" in wrong()["folder"]
    (instance / "uploads").mkdir()
    wait_until(lambda: wrong() == {})
