"""The deployment: gunicorn -c gunicorn.conf.py 'simple_batch:create_app()'

One worker: a database has one runner, and a client of the live feed must stay with
one process, which gunicorn's workers cannot guarantee. For more processes, start several
gunicorns behind a proxy with sticky sessions: see docs/deployment.md.
"""

import contextlib
import gc
import os
import socket
import time
from ipaddress import ip_address

from gunicorn import util
from gunicorn.errors import AppImportError

bind = "127.0.0.1:7861"
worker_class = "gevent"
workers = 1
worker_connections = 2000
timeout = 120
graceful_timeout = 30
keepalive = 30  # seconds; the headers of a request have to come within them too
limit_request_line = 8190
DRAINING_S = 20  # within graceful_timeout
LIVE_FEED = "/socket.io/"
control_socket_disable = True  # nothing here uses it

if os.environ.get("SIMPLE_BATCH_LOG_FORMAT") == "json":  # gunicorn's own lines too
    logconfig_dict = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": ["asctime", "levelname", "name", "message"],
                "rename_fields": {
                    "asctime": "ts",
                    "levelname": "level",
                    "name": "logger",
                    "exc_info": "exception",
                },
                "datefmt": "%Y-%m-%dT%H:%M:%S%z",
            }
        },
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "stream": "ext://sys.stderr",
            }
        },
        "loggers": {
            "gunicorn.error": {"level": "INFO", "handlers": ["console"], "propagate": False}
        },
    }


def on_starting(server):
    # simple_batch/core/address_policy.py reads it: the package may not be loaded before the worker is patched
    hosts = [where[0] if isinstance(where, tuple) else where for where in server.cfg.address]
    os.environ["SIMPLE_BATCH_LISTENS_ON"] = ",".join(hosts)
    # WEB_CONCURRENCY and -w would raise it silently
    if server.cfg.workers != 1:
        server.log.warning(
            "one worker is used instead of %s: for more processes start more gunicorns "
            "(docs/deployment.md)",
            server.cfg.workers,
        )
        server.cfg.set("workers", 1)
        server.num_workers = 1


def post_fork(server, worker):
    load = worker.load_wsgi

    def load_or_say():
        with _in_words():
            load()

    worker.load_wsgi = load_or_say


@contextlib.contextmanager
def _in_words():
    # gunicorn prints this error alone, without a traceback, and ends with exit code 4
    try:
        yield
    except Exception as error:
        from simple_batch.core.errors import SimpleBatchError

        if isinstance(error, SimpleBatchError):
            raise AppImportError(f"Error: {error}") from error
        raise


def post_worker_init(worker):
    # not above: what is imported before gevent has patched this process would not be patched
    import gevent

    from simple_batch.services import demo_job
    from simple_batch.store.database import connected
    from simple_batch.web import middleware

    util.write_error = _refuse(middleware.refusal)
    app = worker.app.wsgi()
    names = [listening.getsockname() for listening in worker.sockets]
    addresses = [name[0] if isinstance(name, tuple) else str(name) for name in names]
    services = app.extensions["simple_batch"]
    with _in_words():
        with connected():
            secret = app.extensions["simple_batch_auth"].open_at(addresses)
        if secret is not None:
            worker.log.info("log in, once: http://%s/login?token=%s", _reached(names[0]), secret)
        worker.log.info("jobs run %s", services.start())
        with connected():
            demo_job.resume()
    gc.freeze()  # loaded modules stay: collecting them would block all greenlets
    worker.answering = 0
    worker.draining = gevent.spawn(_drain, worker, services)


def _refuse(refusal):
    """In place of gunicorn's answer to what is no request: with the headers of all other answers,
    and without what was sent."""

    def write_error(sock, status, reason, message):
        util.write_nonblock(sock, refusal(status))

    return write_error


def pre_request(worker, req):
    if not req.path.startswith(LIVE_FEED):
        worker.answering += 1


def post_request(worker, req, environ, resp):
    if not req.path.startswith(LIVE_FEED):
        worker.answering -= 1


def worker_exit(server, worker):
    draining = getattr(worker, "draining", None)
    if draining is not None:  # else the worker never started
        draining.join(DRAINING_S)


def _drain(worker, services):
    # in parallel with gunicorn, which first waits for all open connections
    while worker.alive:
        time.sleep(0.1)
    end = time.monotonic() + DRAINING_S
    services.stop(timeout_s=DRAINING_S)
    while worker.answering and time.monotonic() < end:
        time.sleep(0.1)
    # what is open now is idle: browsers, and their live feeds
    worker.cfg.set("graceful_timeout", 0)


def _reached(name):
    host, port = name[:2] if isinstance(name, tuple) else ("127.0.0.1", 80)
    host = socket.gethostname() if ip_address(host).is_unspecified else host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
