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
import threading
from pathlib import Path

FLASK, SERVER, CELERY = PROGRAMS = ("flask", "run.py", "celery")  # fork_server_main.py loads them


class Process:
    """A forked process, with the interface of subprocess.Popen. Raises EOFError if it was not started."""

    def __init__(self, reports: socket.socket, args: list[str]):
        self.args = args
        self.returncode: int | None = None
        self._reports = reports
        pid = self._line(None)
        if not pid:
            raise EOFError(args)
        self.pid = int(pid)

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


class ForkServer:
    """A process that has loaded something and forks (fork_server_main.serve); it ends with this one."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str] | None = None):
        self._requests, theirs = socket.socketpair()
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(command, cwd=cwd, env=env, stdin=theirs)
        atexit.register(self.close)

    def start(self, args: list[str], streams: list[int], **how) -> Process:
        """Fork a process with ``streams`` as its input, output and error output. Raises EOFError if the
        server has ended."""
        reports, theirs = socket.socketpair()
        request = json.dumps({"args": args, **how}).encode()
        size = len(request).to_bytes(4, "big")
        try:
            with theirs, self._lock:
                socket.send_fds(self._requests, [size], [*streams, theirs.fileno()])
                self._requests.sendall(request)
            return Process(reports, args)
        except BrokenPipeError:
            raise EOFError(args) from None

    def close(self) -> int:
        """End the server; returns its exit code."""
        self._requests.close()
        return self._process.wait()


@functools.cache
def _fork_server(program: str, cwd: Path) -> ForkServer:
    return ForkServer([sys.executable, "-m", "tests.fork_server_main", program], cwd)


def start(
    args: list[str], cwd: Path, env: dict[str, str], stdin, stdout, stderr, new_session=False
) -> Process:
    """Start a process as subprocess.Popen does; ``args`` begin with one of PROGRAMS."""
    with Path(os.devnull).open() as nothing:
        given = nothing if stdin == subprocess.DEVNULL else stdin
        streams = [stream.fileno() for stream in (given, stdout, stderr)]
        return _fork_server(args[0], cwd).start(args, streams, env=env, new_session=new_session)
