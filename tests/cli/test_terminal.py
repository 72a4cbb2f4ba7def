"""Texts of a provider, a file or another user never control a terminal."""

import json
import logging
import os
import pty
import re
import threading

import pytest
from gevent.os import make_nonblocking, nb_read

from simple_batch.core import terminal
from simple_batch.core.log import _Formatter, _JsonFormatter

from .. import endpoint as e
from .. import fork_server
from ..endpoint import MisbehavingEndpoint
from ..process import environment, flask

EVIL = "\x1b]0;owned\x07 \x9b31m \r gone \x08\x7f \u202e\u2066 end"
DRIVES = re.compile("[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\r(?!\n)")
OF_THE_BAR = re.compile("\r\x1b\\[K|\x1b\\[\\?25[lh]|\r")  # click's own, of a progress bar


def on_terminal(instance, *args: str) -> str:
    """Everything that a flask command writes to a pseudo-terminal, including errors."""
    mine, theirs = pty.openpty()
    make_nonblocking(mine)
    written: list[bytes] = []

    def collect() -> None:
        try:
            while block := nb_read(mine, 65_536):  # the endpoint answers meanwhile
                written.append(block)
        except OSError:  # how Linux tells that the other side is closed
            pass

    reading = threading.Thread(target=collect)
    with os.fdopen(theirs, "r+b", buffering=0) as stream:
        command = [fork_server.FLASK, *args]
        streams = {"stdin": stream, "stdout": stream, "stderr": stream}
        running = fork_server.start(command, environment(instance), **streams)
    reading.start()
    running.wait(90)
    reading.join(90)
    os.close(mine)
    return b"".join(written).decode()


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    """An instance with a finished job whose names, answers and errors are hostile."""
    place = tmp_path_factory.mktemp("terminal") / "instance"
    answer = {**e.GOOD, "model": EVIL, "choices": [{"index": 0, "message": {"content": EVIL}}]}
    with MisbehavingEndpoint(e.http(200, answer), e.error(400, EVIL)) as endpoint:
        add = ("add-config", "evil", "--base-url", endpoint.base_url, "--model", "m", "--key-stdin")
        assert flask(place, *add, stdin="sk-planted-0123456789\n").returncode == 0
        lines = place.parent / "lines.jsonl"
        asked = {"messages": [{"role": "user", "content": EVIL}], "custom_id": EVIL}
        lines.write_text(json.dumps(asked) + "\n" + json.dumps({**asked, "custom_id": "b"}) + "\n")
        done = flask(place, "run-job", str(lines), "--config", "evil", "--concurrency", "1")
        assert done.returncode in (0, 3), done.stderr
        yield place


@pytest.mark.parametrize(
    "command",
    [
        ("list-jobs",),
        ("list-jobs", "--json"),
        ("show-job", "1"),
        ("show-job", "1", "--json"),
        ("watch-job", "1"),
        ("list-configs",),
        ("test-config", "evil"),
        ("audit-log",),
        ("export-job", "1", "-o", "-"),
        ("export-job", "1", "-o", "-", "--format", "json"),
        ("export-job", "1", "-o", "-", "--format", "csv"),
        ("export-job", "1", "-o", "-", "--format", "openai"),
        ("create-job", f"no such file {EVIL.replace(chr(0), '')}", "--config", "evil"),
    ],
)
def test_a_terminal_is_not_driven(instance, command):
    shown = on_terminal(instance, *command)
    assert shown.strip()
    if command[0] == "watch-job":
        shown = OF_THE_BAR.sub("", shown)
    assert DRIVES.findall(shown) == []


def test_what_is_no_terminal_gets_it_to_the_letter(instance):
    rows = flask(instance, "export-job", "1", "-o", "-").stdout.splitlines()
    answers = [json.loads(row)["response"] for row in rows]
    assert answers[0]["choices"][0]["message"]["content"] == EVIL
    table = flask(instance, "export-job", "1", "-o", "-", "--format", "csv").stdout
    assert "\x1b]0;owned\x07" in table
    on_screen = on_terminal(instance, "export-job", "1", "-o", "-").splitlines()
    assert json.loads(on_screen[0])["response"]["model"] == EVIL  # JSON all the same


def test_pieces_are_joined_before_they_are_looked_at():
    text = "a\r\nb\rc\x1b[2J é\x9b\u202e"
    cut = [text.encode()[n : n + 1] for n in range(len(text.encode()))]
    assert "".join(terminal.shown_pieces(cut, is_json=False)) == "a\nb\nc\\x1b[2J é\\x9b\\u202e"


def test_the_log_of_a_console_has_no_control_characters():
    for formatter in (_Formatter("%(message)s"), _JsonFormatter()):
        try:
            raise ValueError(EVIL)
        except ValueError as error:
            record = logging.LogRecord("n", 40, "", 0, "%s", (EVIL,), (ValueError, error, None))
        assert DRIVES.findall(formatter.format(record)) == []
