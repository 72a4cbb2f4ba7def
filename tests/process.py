"""The program as a real process: run.py, gunicorn, flask commands."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tools.local_servers import free_port

from . import fork_server, postgres
from .fork_server import ROOT


def environment(instance: Path, **more: str) -> dict:
    """The environment of a new user, except for the instance folder and short waits."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SIMPLE_BATCH_", "OPENAI_"))}
    if postgres.CHOSEN:
        kept["SIMPLE_BATCH_DATABASE_URL"] = postgres.url_of(instance)
    return {
        **kept,
        "SIMPLE_BATCH_INSTANCE_PATH": str(instance),
        "SIMPLE_BATCH_LOG_DIR": str(instance / "logs"),
        "SIMPLE_BATCH_BACKOFF_BASE": "0.02",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **more,
    }


def flask(instance: Path, *args: str, stdin: str | None = None, **more: str):
    """Run a flask command to its end, as subprocess.run would, by the fork server."""
    command = [fork_server.FLASK, *args]
    with contextlib.ExitStack() as kept:
        given, out, err = (kept.enter_context(tempfile.TemporaryFile("w+")) for _ in range(3))
        given.write(stdin or "")
        given.seek(0)
        streams = {"stdin": given, "stdout": out, "stderr": err}
        running = fork_server.start(command, environment(instance, **more), **streams)
        try:
            running.wait(90)
        finally:
            running.kill()
        for stream in (out, err):
            stream.seek(0)
        return subprocess.CompletedProcess(command, running.returncode, out.read(), err.read())


def program(instance: Path, *args: str, cwd: Path, stdin: str = "", **more: str):
    """Run a verb of the program simple-batch to its end."""
    return subprocess.run(
        [sys.executable, "-m", "simple_batch.cli.program", *args],
        cwd=cwd,
        env=environment(instance, PYTHONPATH=str(ROOT), **more),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=240,
    )


class StoppableProcess:
    """Base of the processes that tests start; ``process`` is a Popen or a fork_server.Process."""

    process: subprocess.Popen | fork_server.Process

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = 90.0) -> int:
        """Send SIGTERM, and kill after the timeout; returns the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout_s)
        if self.process.poll() is None:
            self.kill()
        return self.process.returncode


class Server(StoppableProcess):
    """A server process; ``lines`` are its output. A command that begins with one of
    fork_server.PROGRAMS is started by the fork server."""

    def __init__(self, command: list[str], instance: Path, port: int, ready: str, **more: str):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.lines: list[str] = []
        self._output, theirs = socket.socketpair()
        streams = {"stdin": subprocess.DEVNULL, "stdout": theirs, "stderr": theirs}
        env = environment(instance, **more)
        with theirs:
            if command[0] in fork_server.PROGRAMS:
                self.process = fork_server.start(command, env, **streams)
            else:
                self.process = subprocess.Popen(command, cwd=ROOT, env=env, **streams)
        threading.Thread(target=self._collect, daemon=True).start()
        self.wait_for_line(ready)

    def _collect(self):
        with self._output, self._output.makefile() as lines:
            for line in lines:
                self.lines.append(line.rstrip())

    def wait_for_line(self, part: str, timeout_s: float = 150.0) -> None:
        end = time.monotonic() + timeout_s
        while not any(part in line for line in self.lines):
            assert time.monotonic() < end, f"no {part!r} in: {self.lines}"
            assert self.process.poll() is None, f"it ended: {self.lines}"
            time.sleep(0.02)


def run_py(instance: Path, *args: str, port: int | None = None, **more: str) -> Server:
    return _run_py([sys.executable, "run.py"], instance, args, port or free_port(), more)


def served(instance: Path, *args: str, **more: str) -> Server:
    """As ``run_py``, by the fork server."""
    return _run_py([fork_server.SERVER], instance, args, free_port(), more)


def _run_py(program: list[str], instance: Path, args, port: int, more: dict) -> Server:
    command = [*program, "--port", str(port), *args]
    return Server(command, instance, port, "Running on local URL", **more)


def gunicorn(instance: Path, **more: str) -> Server:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "gunicorn.conf.py",
        "-b",
        f"127.0.0.1:{port}",
        "simple_batch:create_app()",
    ]
    return Server(command, instance, port, "jobs run", **more)
