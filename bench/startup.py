"""How long the program takes to start, beside a bare Python and a bare import of Flask."""

import contextlib
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tools.local_servers import free_port

from .processes import ROOT

PASS, FLASK = "python -c pass", "import flask"
LONGEST_S = 60.0


def startup(rounds: int, installed: bool) -> dict:
    """Medians of CPU seconds and of seconds until it is done, or ready; in each round every row is
    measured once, so that what slows the machine slows all of them. ``installed``: measure the program as users
    install it, without extras; else the checkout, in whose environment libraries find more to import."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as called:
        environment = {**os.environ, "SIMPLE_BATCH_HOME": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled
        python = sys.executable
        if installed:
            python = _install(Path(folder) / "installed")
        else:
            environment |= {"PYTHONPATH": str(ROOT)}
            environment |= {"PYTHONPYCACHEPREFIX": str(Path(folder) / "compiled")}
        program = [python, "-m", "simple_batch.cli.program"]
        (Path(folder) / "lines.txt").write_text("one\n")
        base_url = f"http://127.0.0.1:{called.getsockname()[1]}/v1"
        add = ["api", "add", "bench", "--base-url", base_url, "--model", "m"]
        subprocess.run(
            [*program, *add], cwd=folder, env=environment, check=True, capture_output=True
        )
        port = free_port()
        lines = str(Path(folder) / "lines.txt")
        rows: dict[str, tuple[list[str], Callable[[], None] | None]] = {
            PASS: ([python, "-c", "pass"], None),
            FLASK: ([python, "-c", "import flask"], None),
            "simple-batch --help": ([*program, "--help"], None),
            "simple-batch ls": ([*program, "ls"], None),
            "run, to its first call": (
                [*program, "run", lines, "--lines", "--no-progress"],
                lambda: _await_call(called),
            ),
            "serve, to its first page": (
                [*program, "serve", "--no-open", "--port", str(port)],
                lambda: _await_page(port),
            ),
        }
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
        for number in range(rounds + 1):
            for name, (command, ready) in rows.items():
                figures = _measured(command, folder, environment, ready)
                _forget(called)
                if number:  # the first round compiles and fills caches
                    measured[name].append(figures)
    return {
        "rounds": rounds,
        "installed": installed,
        "rows": {
            name: {
                "cpu_s": statistics.median(cpu for cpu, _wall in found),
                "wall_s": statistics.median(wall for _cpu, wall in found),
            }
            for name, found in measured.items()
        },
    }


def _install(folder: Path) -> str:
    """Install the program without extras into an empty environment; returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, str(ROOT)], check=True)
    return python


def _measured(command: list[str], folder: str, environment: dict, ready: Callable[[], None] | None):
    """(CPU seconds, seconds) of a process to its end, or until ``ready`` returns; then it is killed."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if ready is None:
        _pid, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, command
        return used.ru_utime + used.ru_stime, time.perf_counter() - began
    try:
        ready()
        return _cpu_of(process.pid), time.perf_counter() - began
    finally:
        process.kill()
        process.wait()


def _cpu_of(pid: int) -> float:
    """Seconds that all threads of a process have computed."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((one / "schedstat").read_text().split()[0]) for one in threads) / 1e9


def _await_call(called: socket.socket) -> None:
    """Return when a request has come. It gets no answer."""
    called.settimeout(LONGEST_S)
    connection, _address = called.accept()
    with connection:
        connection.settimeout(LONGEST_S)
        assert connection.recv(1)


def _forget(called: socket.socket) -> None:
    """Take the connections out of the queue that a killed process has left: the next one's would not be the
    first."""
    called.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            called.accept()[0].close()


def _await_page(port: int) -> None:
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        calling = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_S)
        try:
            calling.request("GET", "/jobs")
            assert calling.getresponse().status == http.client.OK
            return
        except ConnectionRefusedError:
            time.sleep(0.005)
        finally:
            calling.close()
    raise TimeoutError(f"no page at port {port} after {LONGEST_S:.0f} s")
