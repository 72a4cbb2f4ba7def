"""Faults of the network and the machine: refused connections, certificates, names, redirects, the
clock."""

import contextlib
import datetime
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gevent
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gevent.pywsgi import WSGIServer

from tests import endpoint as e
from tests.endpoint import MisbehavingEndpoint
from tests.process import ROOT, Server, free_port

from .endpoints import SETTINGS, Result
from .program import Program, lines, until

REQUESTS = 6
HANGING = 30  # more than there are threads for lookups
CALLS = 2  # of a request that fails: RETRIES is 1
PROBES = 8
SHIFTED = ROOT / "tests" / "torture" / "shifted"
# a job waits for an endpoint that is away, and is paused after that time
WAITING = {"ENDPOINT_WAIT_MAX": 3, "ENDPOINT_PROBE_FIRST": 0.5}
CLOCK = {"MAX_RUNNING_JOBS": 20, "BACKOFF_BASE": 0.02, "BACKOFF_MAX": 0.1}


def throw(clock: bool = True) -> dict:
    """Returns the faults and the unexpected results."""
    gevent.get_hub().NOT_ERROR += (ssl.SSLError,)  # a refused handshake is what is wanted
    results = [*_beside_each_other(), *_hanging_names(), *(_jumping_clock() if clock else [])]
    return {
        "thrown": sum(result.thrown for result in results),
        "unexpected": [f"{r.name}: {r.detail}" for r in results if not r.expected],
        "faults": len(results),
    }


def _beside_each_other() -> list[Result]:
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.ExitStack() as stack,
        Program(folder, CA_BUNDLE=str(Path(folder) / "ca.pem"), **SETTINGS, **WAITING) as program,
    ):
        authority = _Authority(Path(folder))
        program.start()
        good = stack.enter_context(MisbehavingEndpoint(e.ok()))
        stranger = stack.enter_context(MisbehavingEndpoint(e.ok()))
        where = f"Location: {stranger.base_url}/chat/completions"
        redirecting = stack.enter_context(MisbehavingEndpoint(e.http(307, {}, where)))
        back_soon = free_port()
        addresses = {
            "no listener": f"http://127.0.0.1:{free_port()}/v1",
            "a name there is not": "http://nobody.invalid/v1",
            "an expired certificate": stack.enter_context(authority.serve("localhost", -1)),
            "a certificate of another host": stack.enter_context(authority.serve("other.test", 9)),
            "an unknown issuer": stack.enter_context(
                _Authority(Path(tempfile.mkdtemp(dir=folder))).serve("localhost", 9)
            ),
            "plain HTTP where TLS is expected": good.base_url.replace("http:", "https:"),
        }
        jobs = {name: _job(program, name, address) for name, address in addresses.items()}
        well = _job(
            program, "a good certificate", stack.enter_context(authority.serve("localhost", 9))
        )
        gone = _job(program, "gone and back", f"http://127.0.0.1:{back_soon}/v1", max_retries=60)
        away = _job(program, "redirected to a stranger", redirecting.base_url)
        beside = _job(program, "beside them", good.base_url)
        gevent.sleep(1)
        back = WSGIServer(("127.0.0.1", back_soon), _answer, log=None)
        back.start()
        results = [_paused(program, name, job_id) for name, job_id in jobs.items()]
        for name, job_id in {
            "a good certificate": well,
            "gone and back": gone,
            "beside": beside,
        }.items():
            results.append(_all_succeeded(program, name, job_id))
        back.stop(timeout=0.1)
        # "not found": the base URL is wrong for every call, so the job pauses and says so
        paused = program.wait(away) == "paused"
        reason = program.rows("SELECT status_reason FROM job WHERE id = ?", away)[0][0]
        expected = paused and reason == "not_found" and stranger.connections == 0
        output = f"paused: {paused}, {reason}, the stranger was called {stranger.connections} times"
        results.append(Result("redirect to a stranger", redirecting.calls, expected, output))
        results.append(Result("alive after the network's faults", 0, program.alive()))
        return results


def _job(program: Program, name: str, base_url: str, **choices) -> int:
    program.config(name, base_url)
    return program.job(lines(REQUESTS), name, **{"max_retries": CALLS - 1, **choices})


def _outcome(program: Program, job_id: int):
    query = "SELECT succeeded, failed, attempts, status FROM job WHERE id = ?"
    causes = program.rows("SELECT DISTINCT cause, message FROM result WHERE job_id = ?", job_id)
    return program.rows(query, job_id)[0], causes


def _paused(program: Program, name: str, job_id: int, count=REQUESTS) -> Result:
    """The job was paused because nothing answered; no request has failed."""
    program.wait(job_id)
    query = "SELECT succeeded, failed, status, status_reason FROM job WHERE id = ?"
    figures = program.rows(query, job_id)[0]
    attempts = program.rows("SELECT attempts FROM job WHERE id = ?", job_id)[0][0]
    expected = figures == (0, 0, "paused", "no_answer") and attempts <= count * CALLS + PROBES
    return Result(name, attempts, expected, f"{figures}, {attempts} attempts")


def _all_succeeded(program: Program, name: str, job_id: int) -> Result:
    program.wait(job_id)
    figures, causes = _outcome(program, job_id)
    return Result(name, figures[2], figures[:2] == (REQUESTS, 0), f"{figures} {causes}")


def _answer(environ, start_response):
    environ["wsgi.input"].read()
    body = e.ok().partition(b"\r\n\r\n")[2]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]


# --- certificates ---------------------------------------------------------------------------


class _Authority:
    """Signs certificates; its own one is ca.pem in the folder."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "torture")])
        self._certificate = self._signed(self._name, self._key, 9, authority=True)
        pem = self._certificate.public_bytes(serialization.Encoding.PEM)
        (folder / "ca.pem").write_bytes(pem)

    def _signed(self, subject, key, days: float, host: str = "", authority=False):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=30))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if host:
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())

    @contextlib.contextmanager
    def serve(self, host: str, days: float):
        """An endpoint at localhost with a certificate for ``host``, valid for some days from
        now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        certificate = self._signed(subject, key, days, host)
        path = self._folder / f"{host}{days}.pem"
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        server = WSGIServer(
            ("127.0.0.1", 0), _answer, log=None, error_log=None, ssl_context=context
        )
        server.start()
        try:
            yield f"https://localhost:{server.server_port}/v1"
        finally:
            server.stop(timeout=0.1)


# --- names that are never answered ----------------------------------------------------------


def _hanging_names() -> list[Result]:
    """A name server that never answers: jobs by address continue meanwhile."""
    name = "names that are never answered"
    if not may_mount():
        return [Result(f"{name} (left out: needs root and unshare)", 0, True)]
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf,
        MisbehavingEndpoint(e.ok()) as good,
        Program(folder, **SETTINGS, **WAITING) as program,
    ):
        deaf.bind(("127.0.0.73", 53))
        resolver = Path(folder) / "resolv.conf"
        resolver.write_text("nameserver 127.0.0.73\noptions timeout:20 attempts:2\n")
        program.start(_under(f"mount --bind {resolver} /etc/resolv.conf"))
        program.config("hangs", "http://api.example.org/v1", concurrency=HANGING)
        hanging = program.job(lines(HANGING), "hangs", max_retries=CALLS - 1)
        until(lambda: program.status(hanging) == "running", 10)
        gevent.sleep(1)
        began = time.monotonic()
        beside = _all_succeeded(
            program, "beside names that hang", _job(program, "b", good.base_url)
        )
        took = time.monotonic() - began
        named = f"http://localhost:{good.base_url.split(':')[2]}"
        local = _all_succeeded(program, "localhost beside them", _job(program, "l", named))
        program.wait(hanging, timeout_s=30)
        return [
            _paused(program, name, hanging, HANGING),
            beside,
            local,
            Result("not held up by them", 0, took < 5, f"took {took:.1f} s"),
        ]


def may_mount() -> bool:
    """Whether this process may create mounts."""
    if sys.platform != "linux" or os.getuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


def _under(setup: str):
    """Start the program in a separate mount namespace, after ``setup``."""

    def start(instance: Path, **more: str) -> Server:
        port = free_port()
        script = f"{setup} && exec {sys.executable} run.py --port {port}"
        command = ["unshare", "-m", "--propagation", "private", "sh", "-c", script]
        return Server(command, instance, port, "Running on local URL", **more)

    return start


# --- a clock that jumps ---------------------------------------------------------------------


def _jumping_clock() -> list[Result]:
    """The clock of the program (time.time, datetime.now) is set by a file
    (shifted/sitecustomize.py), as on a machine whose clock is corrected: an hour ahead, a day back,
    ten years ahead, while jobs run."""
    with (
        tempfile.TemporaryDirectory() as folder,
        MisbehavingEndpoint(e.slow(0.02)) as endpoint,
        Program(folder, **CLOCK) as program,
    ):
        offset = Path(folder) / "offset"
        offset.write_text("0")
        path = f"{SHIFTED}{os.pathsep}{ROOT}"
        program.start(PYTHONPATH=path, TORTURE_CLOCK=str(offset))
        program.config("test", endpoint.base_url, concurrency=4)
        count, jumps = 600, (3600, -86_400, 10 * 365 * 86_400, -7200, 0)
        job_id = program.job(lines(count), "test")
        for number, jump in enumerate(jumps, 1):
            until(lambda number=number: endpoint.calls > number * count // (len(jumps) + 1), 30)
            offset.write_text(str(jump))
        program.wait(job_id)
        figures, causes = _outcome(program, job_id)
        expected = figures[:3] == (count, 0, count) and endpoint.calls == count
        return [
            Result("a clock that jumps", len(jumps), expected, f"{figures} {causes}"),
            Result("alive after it", 0, program.alive()),
        ]
