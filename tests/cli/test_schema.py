"""Schemas on the command line: create-job and run-job with --schema."""

# ruff: noqa: F811 - fixtures that are imported

import csv
import io
import json

import pytest

from .. import endpoint as e
from ..process import flask
from .test_commands import good  # noqa: F401 (fixtures)

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture
def schema(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA), "utf-8-sig")
    return path


def test_run_job_with_a_schema_to_its_columns(instance, good, schema, tmp_path):
    good.script[:] = [e.says({"n": "x"}), e.says({"n": 7})]
    out, asked = tmp_path / "out.csv", tmp_path / "in.jsonl"
    asked.write_text('{"messages": [{"role": "user", "content": "x"}]}')
    how = ("--schema", str(schema), "--schema-mode", "object", "--schema-retry")
    done = flask(instance, "run-job", str(asked), "--config", "good", *how, "-o", str(out))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    (row,) = csv.DictReader(io.StringIO(out.read_text("utf-8-sig"), newline=""))
    assert (row["n"], row["attempts"]) == ("7", "2")
    assert good.bodies[0]["response_format"] == {"type": "json_object"}
    assert "not of type" in good.bodies[1]["messages"][-1]["content"]


def test_a_wrong_schema_ends_as_usage_and_leaves_nothing(instance, good, schema, tmp_path):
    asked = tmp_path / "in.jsonl"
    asked.write_text('{"messages": [{"role": "user", "content": "x"}]}')
    for text, expected in (
        ('{"type": "objct"}', "at #/type"),
        ("{", "line 1, column 2"),
        (None, "read"),
    ):
        schema.unlink() if text is None else schema.write_text(text)
        done = flask(
            instance, "create-job", str(asked), "--config", "good", "--schema", str(schema)
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
    assert json.loads(flask(instance, "list-jobs", "--json").stdout) == []
