"""Colours: on a terminal, as NO_COLOR and FORCE_COLOR say, and never in a pipe."""

import re
import sys

import pytest

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..on_terminal import OnTerminal
from ..process import program

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
GREEN, RED, BOLD = "\x1b[32m", "\x1b[31m", "\x1b[1m"


@pytest.fixture
def batch(instance, tmp_path):
    (tmp_path / "lines.txt").write_text("one\ntwo\n")
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add = ("api", "add", "good", "--base-url", endpoint.base_url, "--model", "m")
        assert program(instance, *add, cwd=tmp_path).returncode == 0
        yield lambda *args, **more: program(instance, *args, cwd=tmp_path, **more)


@pytest.fixture
def on_terminal(instance, tmp_path):
    def run(*args: str, **more: str) -> str:
        command = (sys.executable, "-m", "simple_batch.cli.program", *args)
        running = OnTerminal(instance, tmp_path, *command, **more)
        running.end()
        return running.text

    return run


def test_a_terminal_has_colours_and_a_pipe_has_none(batch, on_terminal):
    sent = on_terminal("run", "lines.txt", "--lines")
    assert "\x1b[32m━" in sent  # the bar that is full
    listed = on_terminal("ls")
    assert f"{BOLD}status\x1b[0m" in listed and f"{GREEN}completed\x1b[0m" in listed
    plain = batch("ls", FORCE_COLOR="1").stdout
    assert [line.split() for line in COLOUR.sub("", listed).splitlines()] == [
        line.split() for line in plain.splitlines()
    ]
    shown = on_terminal("show", "last")
    assert f"{BOLD}status " in shown and f"{GREEN}completed\x1b[0m" in shown
    assert f"{BOLD}alias\x1b[0m" in on_terminal("api", "ls")
    assert f"{GREEN}ok" in on_terminal("doctor", "--no-apis")
    assert f"{RED}\x1b[1mError:\x1b[0m There is no job" in on_terminal("show", "nothing")
    assert f"{RED}\x1b[1mError:\x1b[0m No such command" in on_terminal("shw")

    for verb in (("ls",), ("show", "last"), ("api", "ls"), ("doctor", "--no-apis"), ("shw",)):
        piped = batch(*verb, FORCE_COLOR="1")
        assert "\x1b" not in piped.stdout + piped.stderr
    piped = batch("run", "lines.txt", "--lines", FORCE_COLOR="1", TERM="xterm-256color")
    assert "\x1b" not in piped.stdout + piped.stderr


def test_variables_switch_colours(batch, on_terminal):
    batch("run", "lines.txt", "--lines")
    assert COLOUR.search(on_terminal("ls", NO_COLOR="1")) is None
    assert COLOUR.search(on_terminal("ls", NO_COLOR="1", FORCE_COLOR="1")) is None
    assert COLOUR.search(on_terminal("ls", TERM="dumb")) is None
    assert COLOUR.search(on_terminal("ls", TERM="dumb", FORCE_COLOR="1"))
    assert COLOUR.search(on_terminal("ls", NO_COLOR=""))  # empty is as if it were not set
    assert "\x1b[32m" not in on_terminal("run", "lines.txt", "--lines", NO_COLOR="1")
