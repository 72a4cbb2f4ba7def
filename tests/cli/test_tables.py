"""Tables on the command line: create-job and run-job with --template."""

# ruff: noqa: F811 - fixtures that are imported

import csv
import io
import json
import os
import subprocess
import sys

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ..intake.workbooks import by_openpyxl
from ..process import ROOT, environment, flask
from .test_commands import good  # noqa: F401 (fixtures)

ROWS = [["id", "问题", "n"], *([f"k{n}", f'what is "{n}",\nplease?', str(n)] for n in range(9))]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    file = io.StringIO()
    csv.writer(file, delimiter=";").writerows(ROWS)
    path.write_bytes(file.getvalue().encode("gb18030"))
    return path


@pytest.fixture
def template(tmp_path):
    path = tmp_path / "t.json"
    made = {
        "system": "Be brief.",
        "user": "{{问题}}",
        "custom_id": "id",
        "parameters": {"seed": "{{n}}"},
    }
    path.write_text(json.dumps(made))
    return path


def test_run_job_from_a_table_to_the_same_table(instance, good, table, template, tmp_path):
    out = tmp_path / "answers.csv"
    done = flask(
        instance,
        "run-job",
        str(table),
        "--template",
        str(template),
        "--config",
        "good",
        "-o",
        str(out),
        "--encoding",
        "gbk",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    rows = list(csv.DictReader(io.StringIO(out.read_text("utf-8-sig"), newline="")))
    assert [[row[name] for name in ROWS[0]] for row in rows] == ROWS[1:]
    assert [row["content"] for row in rows] == ["fine"] * 9
    assert [row["custom_id"] for row in rows] == [f"k{n}" for n in range(9)]
    sent = sorted(good.bodies[-9:], key=lambda body: body["seed"])
    assert sent[3]["messages"][1]["content"] == 'what is "3",\nplease?'
    assert [body["seed"] for body in sent] == list(range(9))


def test_a_text_is_a_template_too_and_a_table_may_come_from_a_pipe(instance, good, tmp_path):
    (tmp_path / "t.txt").write_text("Explain {{word}}.\n")
    arguments = ("create-job", "-", "--config", "good", "--template", str(tmp_path / "t.txt"))
    made = flask(instance, *arguments, "--no-start", stdin="word\nyeast\ntides\n")
    assert made.stdout.strip() == "1", made.stderr
    lines = flask(instance, "export-job", "1", "-o", "-", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["request"]["messages"][0]["content"] for line in lines] == [
        "Explain yeast.",
        "Explain tides.",
    ]


@pytest.mark.parametrize(
    ("text", "made", "code", "expected"),
    [
        ("id,q\n1,a\n", None, 1, "a template is needed"),
        ("id,q\n1,a\n", "{{question}}", 1, "the nearest is “q”"),
        ("id,q\n1,a\n", "{{q", 1, "line 1 of the template"),
        ("id,q\n1,a\n", '{"user": 1}', 2, "The template"),
        ("id,q\n1,a\n2\n", "{{q}}", 1, "line 3: 1 cell where the header has 2"),
        ("id,id\n1,a\n", "{{id}}", 1, "the nearest is “id (1)”"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "{{q}}", 1, "belongs to a table"),
        (
            '{"q": "a", "id": 1}',
            None,
            1,
            "These are plain objects (JSONL; columns: q, id): a template",
        ),
        ('{"q": "a"}\n' * 120 + '{"q": []}', "{{q}}", 1, "line 121: “q” holds a list"),
    ],
)
def test_what_is_wrong_is_reported_and_nothing_is_left(
    instance, good, tmp_path, text, made, code, expected
):
    (tmp_path / "in").write_text(text)
    arguments = ["create-job", str(tmp_path / "in"), "--config", "good"]
    if made is not None:
        (tmp_path / "t").write_text(made)
        arguments += ["--template", str(tmp_path / "t")]
    done = flask(instance, *arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(flask(instance, "list-jobs", "--json").stdout) == []
    uploads = instance / "uploads"
    assert not uploads.exists() or list(uploads.iterdir()) == []


def test_faulty_rows_may_be_skipped_and_a_missing_template_is_reported(instance, good, tmp_path):
    (tmp_path / "in").write_text("q\na\nb\n\nc,d\n")
    (tmp_path / "t").write_text("{{q}}")
    arguments = ("create-job", str(tmp_path / "in"), "--config", "good", "--no-start", "--template")
    assert flask(instance, *arguments, str(tmp_path / "no")).returncode == 2
    assert flask(instance, *arguments, str(tmp_path / "t"), "--skip-faulty").returncode == 0


def test_workbooks_by_sheet_and_back(instance, good, tmp_path):
    book, out = tmp_path / "b.xlsx", tmp_path / "answers.xlsx"
    rows = [["id", "问题", "n"], ["k1", "为什么", 1], ["k2", "how", 2.5]]
    book.write_bytes(by_openpyxl([["x"]], "Cover", Data=rows, Wrong=[["q"], ["=1+1"]]))
    (tmp_path / "t").write_text('{"user": "{{问题}}", "custom_id": "id"}')
    run = ("run-job", str(book), "--config", "good", "--template", str(tmp_path / "t"))
    done = flask(instance, *run, "--sheet", "Data", "-o", str(out))
    assert done.returncode == 0, done.stderr
    sheet = openpyxl.load_workbook(out).active
    assert [list(row[:4]) for row in sheet.iter_rows(values_only=True)] == [
        [*rows[0], "content"],
        *([*row, "fine"] for row in rows[1:]),
    ]
    for name, expected in (
        ("data", "There is no sheet “data” in the workbook: it has “Cover”, “Data”"),
        ("Wrong", "no column “问题”"),
        ("Cover", "there is no column “问题”; the nearest is “x”"),
    ):
        refused = flask(instance, *run, "--sheet", name)
        assert (refused.returncode, expected in refused.stderr) == (1, True), refused.stderr
    (tmp_path / "w").write_text("{{x}}")
    usual = ("create-job", str(book), "--config", "good", "--template", str(tmp_path / "w"))
    assert (
        "There is no row under the header of the sheet “Cover”. Other sheets: “Data”, “Wrong”"
        in flask(instance, *usual).stderr
    )
    (tmp_path / "w").write_text("{{q}}")
    wrong = ("create-job", str(book), "--config", "good", "--template", str(tmp_path / "w"))
    refused = flask(instance, *wrong, "--sheet", "Wrong")
    assert "row 2: cell A2 (“q”) holds a formula" in refused.stderr
    assert (
        flask(instance, "create-job", str(book), "--config", "good", "--sheet", "a").returncode == 2
    )
    parquet = tmp_path / "a.parquet"
    assert flask(instance, "export-job", "1", "-o", str(parquet)).returncode == 0
    assert pq.read_table(parquet)["content"].to_pylist() == ["fine", "fine"]
    assert flask(instance, "export-job", "1", "-o", str(tmp_path / "a.txt")).returncode == 2


def test_binary_formats_go_to_a_pipe_but_not_to_a_terminal(instance, good, tmp_path):
    (tmp_path / "in").write_text('{"messages": [{"role": "user", "content": "x"}]}')
    flask(instance, "create-job", str(tmp_path / "in"), "--config", "good", "--no-start")
    command = [sys.executable, "-m", "flask", "export-job", "1", "--format", "parquet", "-o", "-"]
    given = {"cwd": ROOT, "env": environment(instance)}
    piped = subprocess.run(command, **given, capture_output=True, check=True)
    assert pq.read_table(io.BytesIO(piped.stdout))["status"].to_pylist() == ["pending"]
    if os.name == "nt":
        return
    import pty

    ours, theirs = pty.openpty()
    shown = subprocess.run(command, **given, stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(ours)
    os.close(theirs)
    assert shown.returncode == 2
    assert b"parquet is not for a terminal" in shown.stderr


def test_a_template_that_looks_like_a_mistake_needs_a_confirmation(instance, good, tmp_path):
    (tmp_path / "in").write_text("q,stars\na,4\n")
    (tmp_path / "t").write_text("{% if stars > 3 %}Sum up {q}{% endif %}")
    arguments = ("create-job", str(tmp_path / "in"), "--config", "good", "--no-start", "--template")
    refused = flask(instance, *arguments, str(tmp_path / "t"))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "The template looks like a mistake:" in refused.stderr
    assert "{q} is sent as it stands: to insert the column, write {{ q }}" in refused.stderr
    assert "“stars” is text here: write stars|int > 3" in refused.stderr
    assert "confirm it with --yes" in refused.stderr
    (tmp_path / "t").write_text("Say hello")
    refused = flask(instance, *arguments, str(tmp_path / "t"))
    assert refused.returncode == 2
    assert "all requests would be the same. Insert one, for example {{ q }}" in refused.stderr
    taken = flask(instance, *arguments, str(tmp_path / "t"), "--yes")
    assert (taken.returncode, taken.stdout.strip()) == (0, "1"), taken.stderr


def test_what_is_left_out_and_chosen_is_said(instance, good, tmp_path):
    (tmp_path / "in").write_text(",id,q,\n0,x,Why?,\n1,y,How?,\n")
    (tmp_path / "t").write_text("{{q}}")
    arguments = ("--config", "good", "--no-start")
    made = flask(
        instance, "create-job", str(tmp_path / "in"), *arguments, "--template", str(tmp_path / "t")
    )
    assert made.returncode == 0, made.stderr
    assert "left out: column 1 (no name; looks like a row index)" in made.stderr
    assert "left out: column 4 (no name, empty)" in made.stderr
    assert "custom_id: column “id”, whose values do not repeat" in made.stderr
    exported = flask(instance, "export-job", "1", "-o", "-", "--format", "jsonl").stdout
    assert [json.loads(line)["custom_id"] for line in exported.splitlines()] == ["x", "y"]


def test_a_nested_column_of_messages_is_sent_without_a_template(instance, good, tmp_path):
    talks = [[{"role": "user", "content": text}] for text in ("Why?", "How?")]
    pq.write_table(pa.table({"messages": talks, "label": [1, 2]}), tmp_path / "t.parquet")
    made = flask(
        instance, "create-job", str(tmp_path / "t.parquet"), "--config", "good", "--no-start"
    )
    assert made.returncode == 0, made.stderr
    assert "each row is a request with the messages of its column “messages”" in made.stderr
    exported = flask(instance, "export-job", "1", "-o", "-", "--format", "jsonl").stdout
    rows = list(map(json.loads, exported.splitlines()))
    assert [row["request"]["messages"] for row in rows] == talks
