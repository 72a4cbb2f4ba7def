"""Ctrl-C, once and twice, as the terminal sends it to a real process."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tools.local_servers import free_port

from .. import endpoint as e
from .. import postgres
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..on_terminal import OnTerminal
from ..process import ROOT, program

GRACE_S = 10.0  # which a second Ctrl-C does not wait for


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "lines.txt").write_text("".join(f"question {n}\n" for n in range(40)))
    return folder


@pytest.fixture
def batch(instance, work):
    return lambda *args: program(instance, *args, cwd=work)


@pytest.fixture
def verb(instance, work):
    command = (sys.executable, "-m", "simple_batch.cli.program")
    return lambda *args: OnTerminal(instance, work, *command, *args)


@pytest.fixture
def good(batch):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        added = batch("api", "add", "good", "--base-url", endpoint.base_url, "--model", "m")
        assert added.returncode == 0, added.stderr
        yield endpoint


def all_answered(batch) -> bool:
    shown = json.loads(batch("show", "last", "--json").stdout)
    return (shown["total"], shown["succeeded"]) == (40, 40)


def hanging_after(answers: int) -> list:
    return [*[e.ok()] * answers, e.slow(300)]


def test_the_first_lets_calls_finish_and_the_second_does_not(batch, verb, good):
    good.script[:] = [e.slow(0.2)]
    running = verb("run", "lines.txt", "--lines", "--concurrency", "4")
    wait_until(lambda: good.calls >= 6)
    running.press_ctrl_c()
    assert running.end() == 130
    assert "Ctrl-C again stops now. To continue: simple-batch run 1\r\n" in running.text
    finished = good.at_rest()
    assert finished < 40
    assert json.loads(batch("show", "1", "--json").stdout)["succeeded"] == finished

    good.script[:] = hanging_after(5)
    running = verb("run", "1")
    wait_until(lambda: good.calls >= finished + 5 + 4)
    running.press_ctrl_c()
    running.wait_for("Ctrl-C again stops now.")
    began = time.monotonic()
    running.press_ctrl_c()
    assert running.end() == 130
    assert time.monotonic() - began < GRACE_S
    assert json.loads(batch("show", "1", "--json").stdout)["succeeded"] == finished + 5

    good.script[:] = [e.ok()]
    assert batch("run", "1", "-q").returncode == 0
    assert all_answered(batch)
    assert good.calls == 40 + 4  # those that hung


def test_a_server_and_who_watches_it(batch, verb, good):
    serving = verb("serve", "--no-open", "--port", str(free_port()))
    serving.wait_for("Running on local URL")
    good.script[:] = hanging_after(5)
    made = batch("create", "lines.txt", "--lines", "--api", "good", "--concurrency", "4")
    assert made.returncode == 0, made.stderr
    watching = verb("watch", "last")
    watching.wait_for("of 40")
    watching.press_ctrl_c()
    assert watching.end() == 130
    assert "Job 1 goes on without this. To follow it again: simple-batch watch 1\r\n" in (
        watching.text
    )
    wait_until(lambda: good.calls >= 9)
    serving.press_ctrl_c()
    serving.wait_for("Ctrl-C again stops now. To continue: simple-batch serve\r\n")
    began = time.monotonic()
    serving.press_ctrl_c()
    assert serving.end() == 130
    assert time.monotonic() - began < GRACE_S

    watching = verb("watch", "1")
    watching.wait_for("of 40")
    watching.press_ctrl_c()
    assert watching.end() == 130
    assert "nothing runs it. To continue: simple-batch run 1\r\n" in watching.text
    good.script[:] = [e.ok()]
    assert batch("run", "1", "-q").returncode == 0
    assert all_answered(batch)
    assert good.calls == 40 + 4


def test_a_server_that_is_idle_ends_well(verb, instance):
    for arguments in (("serve", "--no-open"), ()):
        started = ["--port", str(free_port())]
        serving = (
            verb(*arguments, *started)
            if arguments
            else OnTerminal(instance, ROOT, sys.executable, "run.py", *started)
        )
        serving.wait_for("Running on local URL")
        serving.press_ctrl_c()
        assert serving.end() == 0
        again = "simple-batch serve" if arguments else "python run.py"
        assert f"To continue: {again}\r\n" in serving.text


def test_an_import_that_is_interrupted_leaves_nothing(batch, verb, good, work, instance):
    (work / "many.txt").write_text("".join(f"question {n}\n" for n in range(200_000)))
    running = verb("run", "many.txt", "--lines")
    wait_until(lambda: postgres.asked(instance, "SELECT count(*) FROM job")[0])
    running.press_ctrl_c()
    assert running.end() == 130
    assert running.text.endswith("Interrupted.\r\n")
    assert json.loads(batch("ls", "--json").stdout) == []
    assert good.calls == 0


def test_while_the_modules_are_loaded_it_ends_without_a_traceback(tmp_path):
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "click.py").write_text(
        "import time\nprint('loading', flush=True)\ntime.sleep(300)\n", encoding="utf-8"
    )
    started = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from simple_batch.cli.entry import main; main()",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(slow), str(ROOT)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout.readline() == "loading\n"
    started.send_signal(signal.SIGINT)
    assert started.communicate(timeout=60) == ("", "")
    assert started.returncode == -signal.SIGINT
