"""Client of the fork server, which starts processes of the program faster than Python does.

A test run starts hundreds of processes, and most of the startup time goes into imports. The fork server
(fork_server_main.py) imports the program once and forks. Each process still has its own streams,
environment, signals and exit code.
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

FLASK, SERVER, CELERY = PROGRAMS = ("flask", "run.py", "celery")  # fork_server_main.py loads them


class Process:
    """A forked process, with the interface of subprocess.Popen."""

    def __init__(self, reports: socket.socket, args: list[str]):
        self.args = args
        self.returncode: int | None = None
        self._reports = reports
        self.pid = int(self._line(None))

    def _line(self, timeout_s: float | None) -> bytes:
        """The next line from the parent of the process; empty if the parent was killed."""
        self._reports.settimeout(timeout_s)
        line = b""
        while not line.endswith(b"\n") and (byte := self._reports.recv(1)):
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
            self._reports.close()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _ForkServer:
    """The process that has loaded a program; it ends with this one."""

    def __init__(self, program: str, cwd: Path):
        self._requests, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "tests.fork_server_main", program]
            self._process = subprocess.Popen(command, cwd=cwd, stdin=theirs)
        atexit.register(self._end)

    def start(self, args: list[str], streams: list[int], **how) -> Process:
        reports, theirs = socket.socketpair()
        request = json.dumps({"args": args, **how}).encode()
        size = len(request).to_bytes(4, "big")
        with theirs:
            socket.send_fds(self._requests, [size], [*streams, theirs.fileno()])
        self._requests.sendall(request)
        return Process(reports, args)

    def _end(self) -> None:
        self._requests.close()
        self._process.wait()


_fork_server = functools.cache(_ForkServer)


def start(
    args: list[str], cwd: Path, env: dict[str, str], stdin, stdout, stderr, new_session=False
) -> Process:
    """Start a process as subprocess.Popen does; ``args`` begin with one of PROGRAMS."""
    with Path(os.devnull).open() as nothing:
        given = nothing if stdin == subprocess.DEVNULL else stdin
        streams = [stream.fileno() for stream in (given, stdout, stderr)]
        return _fork_server(args[0], cwd).start(args, streams, env=env, new_session=new_session)
