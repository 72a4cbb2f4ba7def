"""Files in other encodings, and plain lines, on the command line."""

import json

import pytest

from ..process import flask
from .test_commands import good  # noqa: F401 (fixtures)


def prompts(instance, job: str) -> list[str]:
    lines = flask(instance, "export-job", job, "-o", "-", "--format", "jsonl").stdout.splitlines()
    return [json.loads(line)["request"]["messages"][0]["content"] for line in lines]


@pytest.fixture
def create(instance, good):  # noqa: F811
    """Runs create-job on standard input."""

    def run(data: str, *options: str):
        return flask(
            instance, "create-job", "-", "--config", "good", "--no-start", *options, stdin=data
        )

    return run


def test_one_prompt_per_line(instance, create):
    made = create("What is this?\n\nWho is that there?\n")
    assert made.stdout.strip() == "1", made.stderr
    assert "Read as one prompt per line; 1 empty line skipped." in made.stderr
    assert prompts(instance, "1") == ["What is this?", "Who is that there?"]
    unclear = create("cat\ndog\n")
    assert unclear.returncode == 1
    assert "--lines" in unclear.stderr
    made = create("cat\ndog\n", "--lines")
    assert made.stdout.strip() == "2"
    assert "Read as one prompt per line.\n" in made.stderr
    assert prompts(instance, "2") == ["cat", "dog"]
    assert create("a\nb\n", "--lines", "--no-header").returncode == 2


def test_an_uncertain_encoding_is_refused_and_a_chosen_one_is_said(instance, good, tmp_path):  # noqa: F811
    path = tmp_path / "t.txt"
    path.write_bytes("서울?\n부산?\n".encode("cp949"))
    command = ("create-job", str(path), "--config", "good", "--no-start")
    refused = flask(instance, *command)
    assert refused.returncode == 1
    assert "--encoding NAME" in refused.stderr
    made = flask(instance, *command, "--encoding", "EUC-KR")
    assert made.stdout.strip() == "1", made.stderr
    assert "Read as CP949, EUC-KR (Korean)" in made.stderr
    assert prompts(instance, "1") == ["서울?", "부산?"]
    wrong = flask(instance, *command, "--encoding", "klingon")
    assert wrong.returncode == 2
