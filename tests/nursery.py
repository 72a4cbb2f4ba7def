"""Processes of the program, forked from one that has loaded it already: a test run starts hundreds, and
most of what a start costs are its imports. Each is a process of its own all the same, with its streams,
environment, signals and end.
"""

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

FLASK, SERVER, CELERY = PROGRAMS = ("flask", "run.py", "celery")  # loaded.py


class Process:
    """One that was started, to be used as subprocess.Popen is."""

    def __init__(self, told: socket.socket, args: list[str]):
        self.args = args
        self.returncode: int | None = None
        self._told = told
        self.pid = int(self._line(None))

    def _line(self, timeout_s: float | None) -> bytes:
        """What its keeper tells next; nothing where that was killed."""
        self._told.settimeout(timeout_s)
        line = b""
        while not line.endswith(b"\n") and (byte := self._told.recv(1)):
            line += byte
        return line

    def poll(self) -> int | None:
        with contextlib.suppress(BlockingIOError, TimeoutError):
            self._await(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        try:
            self._await(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(self.args, timeout) from None
        return self.returncode

    def _await(self, timeout_s: float | None) -> None:
        if self.returncode is None:
            self.returncode = int(self._line(timeout_s) or -signal.SIGKILL)
            self._told.close()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Nursery:
    """The process that has loaded a program; it ends with this one."""

    def __init__(self, program: str, cwd: Path):
        self._asking, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "tests.loaded", program]
            self._loaded = subprocess.Popen(command, cwd=cwd, stdin=theirs)
        atexit.register(self._end)

    def start(self, args: list[str], streams: list[int], **how) -> Process:
        told, theirs = socket.socketpair()
        wish = json.dumps({"args": args, **how}).encode()
        with theirs:
            socket.send_fds(
                self._asking, [len(wish).to_bytes(4, "big")], [*streams, theirs.fileno()]
            )
        self._asking.sendall(wish)
        return Process(told, args)

    def _end(self) -> None:
        self._asking.close()
        self._loaded.wait()


_nursery = functools.cache(_Nursery)


def start(
    args: list[str], cwd: Path, env: dict[str, str], stdin, stdout, stderr, new_session=False
) -> Process:
    """As subprocess.Popen starts what ``args`` say; they begin with one of PROGRAMS."""
    with Path(os.devnull).open() as nothing:
        given = nothing if stdin == subprocess.DEVNULL else stdin
        streams = [stream.fileno() for stream in (given, stdout, stderr)]
        return _nursery(args[0], cwd).start(args, streams, env=env, new_session=new_session)
