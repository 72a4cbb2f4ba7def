"""The house itself: who may import whom, settings and their documents, no large files."""

import hashlib
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from simple_batch import log, settings
from simple_batch.errors import SettingsError

ROOT = Path(__file__).parent.parent


def test_the_import_contract_is_kept():
    command = [str(Path(sys.executable).parent / "lint-imports")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_nothing_patches_inside_the_package():
    for path in (ROOT / "simple_batch").rglob("*.py"):
        text = path.read_text("utf-8")
        if path.name != "base.py":  # the string it hands to a new process
            assert "patch_all" not in text, path


@pytest.mark.parametrize("item", fields(settings.Settings), ids=lambda item: item.name)
def test_every_setting_is_documented_with_its_default(item):
    text = (ROOT / "docs/configuration.md").read_text("utf-8")
    assert f"`{item.name}`" in text
    if not isinstance(item.default, str):
        assert f"| `{item.default}` |" in text.split(f"`{item.name}`")[1].split("\n")[0]


def test_the_environment_wins_over_the_file(tmp_path):
    (tmp_path / "settings.toml").write_text('DEFAULT_TIMEOUT = 7\nlog_level = "debug"\n')
    environ = {"SIMPLE_BATCH_INSTANCE_PATH": str(tmp_path)}
    found = settings.load(environ)
    assert (found.DEFAULT_TIMEOUT, found.LOG_LEVEL) == (7.0, "DEBUG")
    assert settings.load({**environ, "SIMPLE_BATCH_DEFAULT_TIMEOUT": "8"}).DEFAULT_TIMEOUT == 8.0
    assert found.DEFAULT_MAX_TOKENS == 4096


@pytest.mark.parametrize(
    "text",
    ["DEFAULT_TIMEOUT = 'x'", "DEFAULT_TIMEOUT = -1", "UNKNOWN = 1", "TRUST_ENV = 'maybe'", "= ="],
)
def test_a_wrong_setting_names_itself_and_its_place(tmp_path, text):
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(SettingsError) as wrong:
        settings.load({"SIMPLE_BATCH_INSTANCE_PATH": str(tmp_path)})
    assert "settings.toml" in str(wrong.value)


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer abcdef0123456789",
        "key sk-abcdef0123456789 was refused",
        "{'authorization': 'abcdef0123456789'}",
    ],
)
def test_no_key_reaches_a_log(tmp_path, line):
    import logging

    loaded = settings.load({}, INSTANCE_PATH=str(tmp_path), LOG_DIR=str(tmp_path / "logs"))
    log.configure(loaded)
    try:
        raise ValueError(line)
    except ValueError:
        logging.getLogger("test").exception("failed: %s", line)
    text = (tmp_path / "logs" / "simple_batch.log").read_text()
    assert "abcdef" not in text
    assert "[key]" in text


def test_the_vendored_files_are_what_was_fetched():
    vendor = ROOT / "static/vendor"
    sums = dict(
        reversed(line.split(maxsplit=1))
        for line in (vendor / "SHA256SUMS").read_text().splitlines()
    )
    found = {
        f"./{path.relative_to(vendor).as_posix()}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in vendor.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }
    assert found == sums
    folders = {name.split("/")[1] for name in found if name.count("/") > 1}
    for folder in folders:
        assert f"./{folder}/LICENSE" in found
