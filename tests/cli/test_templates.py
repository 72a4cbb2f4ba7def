"""Saved templates on the command line."""

# ruff: noqa: F811 - fixtures that are imported

import json

from ..process import flask
from .test_commands import good  # noqa: F401 (fixtures)

TEMPLATE = {"user": "{{q}}", "system": "Be brief.", "parameters": {"seed": 7}, "custom_id": "id"}


def test_from_a_file_to_a_name_to_jobs_and_back_to_a_file(instance, good, tmp_path):
    file, table = tmp_path / "t.json", tmp_path / "in.csv"
    file.write_text(json.dumps(TEMPLATE))
    table.write_text("id,q\na,Why?\n")
    empty = flask(instance, "list-templates")
    assert (empty.returncode, empty.stdout) == (0, "")
    saved = flask(instance, "save-template", "short", str(file), "--note", "the first")
    assert (saved.returncode, saved.stdout) == (0, "short@1\n"), saved.stderr
    again = flask(instance, "save-template", "short", "-", stdin=file.read_text())
    assert (again.stdout, "is the same" in again.stderr) == ("short@1\n", True)
    assert flask(instance, "save-template", "short", "-", stdin="Why {{q}}\n").stdout == "short@2\n"
    shown = flask(instance, "show-template", "short", "--version", "1").stdout
    assert json.loads(shown) == TEMPLATE
    assert flask(instance, "show-template", "short@1").stdout == shown
    (tmp_path / "back").write_text(shown)
    assert flask(instance, "save-template", "copy", str(tmp_path / "back")).returncode == 0

    out = tmp_path / "out.jsonl"
    run = ("run-job", str(table), "--config", "good", "-o", str(out))
    done = flask(instance, *run, "--template", "short@1")
    assert done.returncode == 0, done.stderr
    assert good.bodies[-1]["messages"][0]["content"] == "Be brief."
    assert json.loads(out.read_text())["custom_id"] == "a"
    create = ("create-job", str(table), "--config", "good", "--no-start", "--template")
    assert flask(instance, *create, "short").returncode == 0  # the newest
    (tmp_path / "short").write_text("{{id}} from a file")
    there = flask(instance, *create, str(tmp_path / "short"))  # a file wins
    assert there.returncode == 0
    outputs = [flask(instance, "show-job", n).stdout for n in ("1", "2", "3")]
    lines = [[line.split() for line in text.splitlines() if "template" in line] for text in outputs]
    assert lines == [[["template", "short@1"]], [["template", "short@2"]], []]
    assert "template" not in json.loads(flask(instance, "show-job", "1", "--json").stdout)

    copy, short = json.loads(flask(instance, "list-templates", "--json").stdout)
    assert (copy["name"], short["name"], short["version"], short["jobs"]) == ("copy", "short", 2, 2)
    assert [
        (version["version"], version["note"], version["by"], version["jobs"])
        for version in short["versions"]
    ] == [(2, "", "cli", 1), (1, "the first", "cli", 1)]
    table_of = [line.split()[:2] for line in flask(instance, "list-templates").stdout.splitlines()]
    assert table_of == [["name", "version"], ["copy", "1"], ["short", "2"]]

    assert flask(instance, "remove-template", "short").returncode == 0
    assert "short@1" in flask(instance, "show-job", "1").stdout
    assert flask(instance, "remove-template", "short").returncode == 1


def test_what_is_wrong_is_reported_and_nothing_is_left(instance, good, tmp_path):
    (tmp_path / "in.csv").write_text("id,q\na,Why?\n")
    create = ("create-job", str(tmp_path / "in.csv"), "--config", "good", "--template")
    refused = flask(instance, *create, "shrt")
    assert refused.returncode == 2
    assert (
        "There is no file shrt. There is no saved template “shrt”: none is saved" in refused.stderr
    )
    flask(instance, "save-template", "short", "-", stdin="{{question}}")
    for given, code, expected in (
        ("shrt", 2, "no file shrt. There is no saved template “shrt”; the nearest is “short”."),
        ("short@2", 2, "“short” has no version 2: its newest is 1."),
        ("标" * 100, 2, "the nearest is “short”"),  # too long for a file's name
        ("short", 1, "there is no column “question”; the nearest is “q”"),
    ):
        refused = flask(instance, *create, given)
        assert (refused.returncode, expected in refused.stderr) == (code, True), refused.stderr
        assert "Traceback" not in refused.stderr
    for arguments, stdin, code, expected in (
        (("save-template", "bad", "-"), "{{q", 2, "line 1 of the template"),
        (("save-template", "bad", "-"), '{"user": 1}', 2, "The template"),
        (("save-template", "bad@1", "-"), "{{q}}", 2, "a version number"),
        (("save-template", "bad", "no such file"), "", 2, "cannot be read"),
        (("show-template", "shrt"), "", 1, "the nearest is “short”"),
        (("show-template", "short", "--version", "0"), "", 1, "has no version 0"),
    ):
        refused = flask(instance, *arguments, stdin=stdin)
        assert (refused.returncode, refused.stdout) == (code, ""), refused.stderr
        assert expected in refused.stderr
    names = [
        each["name"] for each in json.loads(flask(instance, "list-templates", "--json").stdout)
    ]
    assert names == ["short"]
    assert json.loads(flask(instance, "list-jobs", "--json").stdout) == []
