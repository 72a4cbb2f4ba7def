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

ROOT = Path(__file__).parent.parent
SHARED = "SIMPLE_BATCH_TEST_FORK_SERVERS"
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


class Requests:
    """The connection to a fork server, which several processes may share. Each request is one message,
    so those of different processes do not mix."""

    def __init__(self, connection: socket.socket):
        self._connection = connection

    def fileno(self) -> int:
        return self._connection.fileno()

    def start(self, args: list[str], streams: list[int], **how) -> Process:
        """Fork a process with ``streams`` as its input, output and error output. Raises EOFError if the
        server has ended."""
        reports, theirs = socket.socketpair()
        request = json.dumps({"args": args, **how}).encode()
        try:
            with theirs:
                socket.send_fds(self._connection, [request], [*streams, theirs.fileno()])
            return Process(reports, args)
        except BrokenPipeError:
            raise EOFError(args) from None

    def close(self) -> None:
        self._connection.close()


class ForkServer(Requests):
    """A process that has loaded something and forks (fork_server_main.serve). It ends when all copies of
    the connection are closed."""

    def __init__(self, command: list[str], env: dict[str, str] | None = None, **how):
        connection, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        super().__init__(connection)
        with theirs:
            self._process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=theirs, **how)
        atexit.register(self.close)

    def close(self) -> int:
        """End the server; returns its exit code."""
        super().close()
        return self._process.wait()


def share_servers() -> None:
    """Start a fork server for each program. Processes that inherit the environment and the connections
    use them, instead of a server for each process."""
    numbers = {program: _fork_server(program).fileno() for program in PROGRAMS}
    os.environ[SHARED] = json.dumps(numbers)


def inherited() -> dict[str, int]:
    """The connections to shared fork servers (file descriptors), by program."""
    return json.loads(os.environ.get(SHARED, "{}"))


@functools.cache
def _fork_server(program: str) -> Requests:
    if number := inherited().get(program):
        return Requests(socket.socket(fileno=number))
    return ForkServer([sys.executable, "-m", "tests.fork_server_main", program])


def start(
    args: list[str], env: dict[str, str], stdin, stdout, stderr, new_session=False
) -> Process:
    """Start a process in ROOT as subprocess.Popen does; ``args`` begin with one of PROGRAMS."""
    with Path(os.devnull).open() as nothing:
        given = nothing if stdin == subprocess.DEVNULL else stdin
        streams = [stream.fileno() for stream in (given, stdout, stderr)]
        return _fork_server(args[0]).start(args, streams, env=env, new_session=new_session)
