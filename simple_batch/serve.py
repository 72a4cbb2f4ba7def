"""Serving the app in one process: pages, live feed and jobs (run.py calls this)."""

import argparse
import gc
import logging
import signal
import socket
import sys
import webbrowser

import gevent
from gevent.event import Event
from gevent.pywsgi import WSGIServer

from . import create_app
from .auth import allowed_hosts
from .cli import interrupts
from .cli.demo_run import finish, offer_environment
from .cli.ending import stopping_line
from .cli.follow import follow
from .core import address_policy
from .core.command_names import in_words_of_program
from .core.errors import SimpleBatchError
from .core.terminal import shown
from .services import demo_job
from .store.database import connected
from .web.middleware import handler

log = logging.getLogger(__name__)


def main(argv: list[str]) -> int:
    """Serve until told to stop; returns the exit code."""
    try:
        with interrupts.handled():
            return _serve(argv)
    except KeyboardInterrupt:  # before it served, or the second one
        print("Interrupted.", file=sys.stderr)
        return interrupts.CODE


def _serve(argv: list[str]) -> int:
    options = _options(argv)
    address_policy.listening_on([options.host])
    try:
        app = create_app()
        with connected():
            secret = app.extensions["simple_batch_auth"].open_at([options.host])
    except SimpleBatchError as error:
        print(shown(f"Error: {error}"), file=sys.stderr)
        return error.exit_code
    services = app.extensions["simple_batch"]
    server = WSGIServer(
        (options.host, options.port),
        app,
        log=None,
        error_log=log,
        handler_class=handler(services.settings),
    )
    try:
        server.start()
    except OSError as error:
        print(
            f"Error: {options.host}:{options.port} cannot be served: {error.strerror}. "
            "Is another one running? Choose another with --port.",
            file=sys.stderr,
        )
        return 1
    ends = Event()
    gevent.signal_handler(signal.SIGTERM, ends.set)
    with interrupts.first_sets(ends):
        try:
            state = services.start()
        except SimpleBatchError as error:
            print(shown(f"Error: {error}"), file=sys.stderr)
            return error.exit_code
        _print_state(state, services.settings.ENGINE)
        _begin(options, server.server_port or options.port, secret)
        ends.wait()
    print(in_words_of_program(stopping_line("python run.py")), flush=True)
    services.stop()
    server.stop(timeout=1)
    services.close()
    return 0


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.py", description="Serves Simple Batch.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7861)
    parser.add_argument("--demo", action="store_true", help="run an example job, no key needed")
    parser.add_argument("--open", action="store_true", help="open the pages in a browser")
    return parser.parse_args(argv)


def _print_state(state: str, engine: str) -> None:
    """Say which process makes the calls."""
    print("database ready", flush=True)
    if state == "here":
        print("scheduler started", flush=True)
    elif engine == "celery":
        print("workers make the calls: here are the pages", flush=True)
    else:
        print("another process runs this database's jobs: here are the pages", flush=True)


def _begin(options: argparse.Namespace, port: int, secret: str | None) -> None:
    """Say where the pages are; the demo begins, if it was asked for."""
    with connected():
        demo_job.resume()
    url = f"http://{_shown_host(options.host)}:{port}"
    if secret is not None:
        print(f"Log in, once: {_reached(options.host, port)}/login?token={secret}")
    print(f"Running on local URL: {url}", flush=True)
    if options.open:
        webbrowser.open(url)
    if options.demo:
        gevent.spawn(_demo, url)
    gc.freeze()  # what is loaded stays: collections need not scan it


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _reached(host: str, port: int) -> str:
    """Where others reach this machine; where it serves all its addresses, by its name."""
    if allowed_hosts.is_any(host):
        host = socket.gethostname()
    return f"http://{_shown_host(host)}:{port}"


def _demo(url: str) -> None:
    """Run the example job with a bar in this terminal, then say where everything is."""
    with connected():
        offer_environment()
        endpoint = demo_job.start_endpoint()
        job = demo_job.prepare(endpoint.base_url)
        print(f"Watch it live: {url}/jobs/{job.id}", flush=True)
        path = finish(job, follow(job.id))
    if path is not None:
        print(f"Results:  {path}")
    print(f"Pages:    {url}/jobs/{job.id}")
    print(f"Endpoint: {endpoint.base_url} (connection “demo”; serves until this ends)")
    print("Stop with Ctrl-C.", flush=True)
