"""The program simple-batch as a user types it, in a folder of the user's."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from .. import endpoint as e
from .. import postgres
from ..endpoint import MisbehavingEndpoint
from ..process import ROOT, environment, program, served

REVIEWS = "review,stars\n好吃,5\nBad,1\nMeh,3\nNice,4\n"
PROMPT = ("-p", "Classify: {{ review }}")


@pytest.fixture
def work(tmp_path):
    """The folder in which the user is."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "reviews.csv").write_text(REVIEWS, "utf-8")
    return folder


@pytest.fixture
def batch(instance, work):
    """Runs a verb there."""

    def run(*args: str, **more: str):
        return program(instance, *args, cwd=work, **more)

    return run


@pytest.fixture
def good(batch):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        added = batch("api", "add", "good", "--base-url", endpoint.base_url, "--model", "m")
        assert added.returncode == 0, added.stderr
        yield endpoint


def test_a_table_in_one_line(batch, work, good):
    done = batch("run", "reviews.csv", *PROMPT, "-s", "One word.", "-o", "out.csv")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.splitlines()[-1] == "Answers: out.csv"
    with (work / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["review"] for row in rows] == ["好吃", "Bad", "Meh", "Nice"]
    assert all(row["content"] for row in rows)
    sent = [[it["content"] for it in body["messages"]] for body in good.bodies]
    assert ["One word.", "Classify: 好吃"] in sent

    long = batch("show", "0" * 18 + "12")  # no id, and no other number for it
    assert long.returncode != 0 and "There is no job" in long.stderr
    # the job by its name, and in one form for programs
    shown = json.loads(batch("show", "reviews", "--json").stdout)
    assert (shown["id"], shown["succeeded"]) == (1, 4)
    shared = json.loads(batch("share", "last", "view", "--json").stdout)
    assert shared["messages"][0].startswith("Job 1: ")
    assert batch("share", "last", "private", "--quiet").stderr == ""

    # what is misspelt, and the command that helps
    wrong = batch("show", "review")
    assert wrong.returncode == 1
    assert "Did you mean 'reviews'?" in wrong.stderr
    assert wrong.stderr.splitlines()[-1] == "List the jobs: simple-batch ls"
    wrong = batch("run", "reviews.csv", *PROMPT, "--api", "goood")
    assert "Did you mean 'good'?" in wrong.stderr
    assert "simple-batch api ls" in wrong.stderr
    for line, meant in ((["lss"], "'ls'"), (["ls", "--jsn"], "'--json'")):
        wrong = batch(*line)
        assert wrong.returncode == 2
        assert f"Did you mean {meant}?" in wrong.stderr

    # two jobs of one name; the answers go through a pipe
    piped = batch("run", "reviews.csv", *PROMPT, "--no-progress")
    assert [json.loads(line)["index"] for line in piped.stdout.splitlines()] == [0, 1, 2, 3]
    assert "simple-batch export 2" in piped.stderr.splitlines()[-1]
    assert "queued" not in piped.stderr
    wrong = batch("rm", "reviews", "--yes")
    assert wrong.returncode == 2
    assert "\n  2  completed, 4\n  1  completed, 4\n" in wrong.stderr
    assert batch("rm", "2", "--yes").returncode == 0
    removed = batch("show", "2")
    assert "simple-batch restore 2" in removed.stderr
    assert batch("restore", "last").returncode == 0


def test_a_part_of_a_table_and_an_estimate(batch, work, good):
    guessed = batch("run", "reviews.csv", *PROMPT, "--dry-run")
    assert guessed.returncode == 0, guessed.stderr
    assert "4 requests to good (m). Nothing was sent." in guessed.stderr
    assert json.loads(batch("ls", "--json").stdout) == []
    assert good.calls == 0
    sample = batch("run", "reviews.csv", *PROMPT, "--sample", "2", "-o", "out.csv")
    assert sample.returncode == 0, sample.stderr
    assert "These were a random sample: 2 of 4." in sample.stderr
    assert good.calls == 2
    with (work / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        assert {row["review"] for row in csv.DictReader(file)} < {"好吃", "Bad", "Meh", "Nice"}
    lines = "".join(
        json.dumps({"messages": [{"role": "user", "content": text}], "n": 1}) + "\n"
        for text in "abc"
    )
    first = batch("run", "-", "--limit", "2", "--json", stdin=lines)
    assert json.loads(first.stdout)["succeeded"] == 2, first.stderr
    assert sorted(body["messages"][0]["content"] for body in good.bodies[2:]) == ["a", "b"]
    assert batch("run", "nothing.csv", *PROMPT).returncode == 2


def test_logs_and_a_shell_that_completes(batch, work, good):
    good.script[:] = [e.error(400, "bad prompt")]
    assert batch("run", "reviews.csv", *PROMPT, "-q").returncode in (1, 3)
    printed = batch("logs", "last").stdout
    assert "queued → running" in printed
    assert "bad_request 400 bad prompt" in printed
    found = json.loads(batch("logs", "last", "--json", "-n", "1").stdout)
    assert (len(found["failures"]), found["events"][0]["to"]) == (1, "validating")

    def completed(words: str) -> list[str]:
        asked = {
            "_SIMPLE_BATCH_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        return batch(**asked).stdout.splitlines()

    assert "plain,reviews" in completed("simple-batch show rev")
    assert "plain,good" in completed("simple-batch run x --api g")
    assert "_simple_batch_completion" in batch("completion", "zsh").stdout


def test_the_doctor_names_what_is_wrong_and_a_remedy(batch, good, instance):
    good.script[:] = [e.http(200, {"data": [{"id": "m"}]})]
    well = batch("doctor", "--json")
    found = {one["name"]: one for one in json.loads(well.stdout)}
    assert found["api good"] == {"name": "api good", "ok": True, "detail": "answers"}
    assert {"python", "home", "port", "database", "disk", "keys", "clock"} <= found.keys()
    assert found["home"]["detail"] == str(instance)
    good.script[:] = [e.error(401, "Incorrect API key provided")]
    ill = batch("doctor", NO_COLOR="1")
    assert ill.returncode == 1
    assert "FAIL  api good" in ill.stdout
    assert "→ Find out more: simple-batch api test" in ill.stdout


def test_an_interrupted_run_says_how_to_go_on(batch, work, instance, good):
    good.script[:] = [e.slow(0.2)]
    lines = "".join(f"question {number}\n" for number in range(300))
    (work / "lines.txt").write_text(lines)
    command = [sys.executable, "-m", "simple_batch.cli.program"]
    running = subprocess.Popen(
        [*command, "run", "lines.txt", "--lines", "--concurrency", "5"],
        cwd=work,
        env=environment(instance, PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 200
    while good.calls < 5 and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGINT)
    _out, words = running.communicate(timeout=200)
    assert running.returncode == 130, words
    assert "Ctrl-C again stops now. To continue: simple-batch run 1" in words


def test_home_decides_where_the_data_is(batch, tmp_path):
    for number, words in enumerate((["--home", "{}", "ls"], ["ls", "--home", "{}"])):
        home = tmp_path / f"home{number}"
        done = batch(*(word.format(home) for word in words))
        assert done.returncode == 0, done.stderr
        assert (home / "encryption.key").exists()


@pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")
def test_the_doctor_moves_an_old_folder_of_data(batch, work, good, instance, tmp_path):
    done = batch("run", "reviews.csv", *PROMPT, "-o", "out.csv")
    assert done.returncode == 0, done.stderr
    home = tmp_path / "home"
    serving = served(instance)
    refused = batch("--home", str(home), "doctor", "--move-from", str(instance))
    assert refused.returncode == 1 and "end it first" in refused.stderr
    serving.stop()
    moved = batch("--home", str(home), "doctor", "--move-from", str(instance))
    assert moved.returncode == 0, moved.stderr
    assert f"Moved to {home}" in moved.stdout and list(instance.iterdir()) == []
    # the key opens what it encrypted, and the file of the job is found
    good.script[:] = [e.http(200, {"data": [{"id": "m"}]})]
    checked = {
        one["name"]: one
        for one in json.loads(batch("--home", str(home), "doctor", "--json").stdout)
    }
    assert checked["keys"]["ok"] and checked["api good"]["ok"]
    again = batch("--home", str(home), "export", "last", "-o", "again.csv")
    assert again.returncode == 0, again.stderr
    assert (work / "again.csv").read_bytes() == (work / "out.csv").read_bytes()
    paths = postgres.asked(home, "SELECT min(path) FROM upload")
    assert paths[0] is None or paths[0].startswith(str(home))
    full = batch("--home", str(home), "doctor", "--move-from", str(instance))
    assert full.returncode == 2 and "holds no data" in full.stderr
