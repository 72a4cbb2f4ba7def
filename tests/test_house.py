"""Rules of the repository: imports, settings and their documentation, vendored files, changelog."""

import ast
import hashlib
import re
import subprocess
import sys
import time
from pathlib import Path

import gevent
import pandas
import pytest

from simple_batch import intake
from simple_batch.core import log, settings
from simple_batch.core.errors import SettingsError
from simple_batch.core.version import __version__
from tools import architecture_figures, generated_docs

ROOT = Path(__file__).parent.parent
CHANGE_SECTIONS = [
    "Added",
    "Changed",
    "Deprecated",
    "Removed",
    "Fixed",
    "Security",
]  # in this order
MAX_TEMPLATE_LINE = 160  # characters


def test_the_import_contract_is_kept():
    command = [str(Path(sys.executable).parent / "lint-imports")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_nothing_patches_inside_the_package():
    for path in (ROOT / "simple_batch").rglob("*.py"):
        text = path.read_text("utf-8")
        # the function itself; the string that a new process gets; the program, before it loads a verb
        if path.name not in ("patching.py", "base.py", "program.py"):
            assert "patch_all" not in text, path


def test_lines_of_templates_are_short():
    for path in (ROOT / "templates").rglob("*.html"):
        for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
            assert len(line) <= MAX_TEMPLATE_LINE, f"{path.relative_to(ROOT)}:{number}"


def test_sql_is_such_that_both_databases_read_it():
    # private SQLite files; an index of each kind
    own = {"duplicates.py", "reader.py", "id_column.py", "search.py"}
    for path in (ROOT / "simple_batch").rglob("*.py"):
        found = re.findall(r"\browid\b|\bINSERT OR \w+|\bifnull\(", path.read_text("utf-8"))
        assert not found or path.name in own, path


def test_the_changelog_keeps_its_form():
    """That of keepachangelog.com: versions, in each the sections, in these the changes."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.split(r"^## ", text, flags=re.M)[1:]
    names = [version.partition("\n")[0] for version in versions]
    assert names[0] == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(__version__)}\]( - \d{{4}}-\d\d-\d\d)?", names[1])
    for version in versions:
        head, *sections = re.split(r"^### ", version, flags=re.M)
        found = [section.partition("\n")[0] for section in sections]
        assert found == [name for name in CHANGE_SECTIONS if name in found], found
        assert "\n- " not in head, head
    for change in re.findall(r"^- (.+(?:\n  .+)*)", text, flags=re.M):
        assert change.endswith("."), change
        assert not re.search(r"[a-z]\. [A-Z]", change), f"one sentence each: {change}"


def test_documents_name_only_files_that_exist():
    """Paths in backticks; those of the table in SECURITY.md may be below simple_batch/."""
    for document in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        text = document.read_text("utf-8")
        for path in re.findall(
            r"`((?:bench|docs|examples|simple_batch|tests|tools)/[\w./-]+)`", text
        ):
            assert (ROOT / path).exists(), f"{document.name}: {path}"
    for path in re.findall(r"`(\w+/[\w./]+\.py)`", (ROOT / "SECURITY.md").read_text("utf-8")):
        assert (ROOT / path).exists() or (ROOT / "simple_batch" / path).exists(), path


@pytest.mark.parametrize("name", generated_docs.PARTS)
def test_the_docs_say_what_the_code_says(name):
    """``python -m tools.generated_docs --write`` brings them up to date."""
    assert generated_docs.written(name) == generated_docs.made(name)


def test_the_parts_of_the_package_stay_small():
    assert len(architecture_figures.entries()) <= architecture_figures.MAX_ENTRIES
    assert len(architecture_figures.layers()) <= architecture_figures.MAX_LAYERS
    functions = architecture_figures.function_lines()
    limit = architecture_figures.MAX_FUNCTION_LINES
    assert [place for place, lines in functions.items() if lines > limit] == []


def test_no_further_name_of_a_file_stands_twice():
    """A name that stands once again leaves the list, so that the list can only shrink."""
    assert set(architecture_figures.shared_names()) == architecture_figures.SHARED_NAMES


def test_the_environment_wins_over_the_file(tmp_path):
    (tmp_path / "settings.toml").write_text('DEFAULT_TIMEOUT = 7\nlog_level = "debug"\n')
    environ = {"SIMPLE_BATCH_INSTANCE_PATH": str(tmp_path)}
    found = settings.load(environ)
    assert (found.DEFAULT_TIMEOUT, found.LOG_LEVEL) == (7.0, "DEBUG")
    assert settings.load({**environ, "SIMPLE_BATCH_DEFAULT_TIMEOUT": "8"}).DEFAULT_TIMEOUT == 8.0
    assert found.DEFAULT_MAX_TOKENS == 4096


def test_a_secret_may_stand_in_a_file(tmp_path):
    (tmp_path / "smtp").write_text("hush hush\n")
    environ = {
        "SIMPLE_BATCH_INSTANCE_PATH": str(tmp_path),
        "SIMPLE_BATCH_SMTP_PASSWORD_FILE": str(tmp_path / "smtp"),
    }
    assert settings.load(environ).SMTP_PASSWORD == "hush hush"
    assert settings.load({**environ, "SIMPLE_BATCH_SMTP_PASSWORD": "x"}).SMTP_PASSWORD == "x"
    environ["SIMPLE_BATCH_SMTP_PASSWORD_FILE"] += "-gone"
    with pytest.raises(SettingsError, match="SMTP_PASSWORD_FILE"):
        settings.load(environ)


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


@pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx", "parquet"])
def test_the_others_have_their_turn_while_a_large_upload_is_read(tmp_path, form):
    """Sockets and times too, for which gevent looks more rarely than for what is ready."""
    path = tmp_path / "upload"
    frame = pandas.DataFrame({"question": [f"why is {n} so? " * 5 for n in range(30_000)]})
    if form == "csv":
        frame.to_csv(path, index=False)
    elif form == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif form == "xlsx":
        frame.to_excel(path, index=False, engine="xlsxwriter")
    else:
        frame.to_parquet(path)
    turns = []

    def tick():
        while True:
            gevent.sleep(0.001)
            turns.append(time.monotonic())

    ticking = gevent.spawn(tick)
    template = intake.Template(user="{{question}}", custom_id="")
    loaded = settings.load(environ={}, INSTANCE_PATH=str(tmp_path))
    assert intake.scan(path, loaded, template=template).good == 30_000
    ticking.kill()
    assert len(turns) > 40, len(turns)  # of 150; three, where they are asked for by sleep(0)


def loaded(code: str, *names: str) -> list[str]:
    """Which of these modules a Python process has loaded that ran the code."""
    reply = f"{code}; import sys; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", reply], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return ast.literal_eval(done.stdout)


def test_a_server_does_not_load_what_only_some_files_need():
    code = "import simple_batch.serve, simple_batch.web, simple_batch.export, simple_batch.intake"
    assert loaded(code, "pyarrow", "xlsxwriter", "pandas") == []


def test_a_server_begins_without_what_only_some_pages_need(tmp_path):
    """They take a tenth of the time until it is ready."""
    code = (
        "from simple_batch.core.patching import patch_all; patch_all(); import simple_batch.serve; "
        f"simple_batch.create_app(INSTANCE_PATH={str(tmp_path)!r}, LOG_DIR='')"
    )
    assert loaded(code, "limits", "markdown_it", "prometheus_client", "holidays") == []


def test_patching_leaves_the_metadata_of_packages_as_it_was():
    code = (
        "from importlib import metadata; before = metadata.entry_points; "
        "from simple_batch.core.patching import patch_all; patch_all(); "
        "from gevent import monkey; assert metadata.entry_points is before; "
        "assert monkey.is_module_patched('socket') and monkey.is_module_patched('threading')"
    )
    assert loaded(code, "flask") == []


def test_a_command_does_not_load_what_serves_pages():
    pages = ("simple_batch.web", "simple_batch.api", "flask_socketio", "flask_wtf")
    assert loaded("import simple_batch.cli.command_app", *pages, "pyarrow", "pandas") == []
    assert loaded(
        "import simple_batch.web, simple_batch.web.live_feed", *pages
    )  # names that there are
