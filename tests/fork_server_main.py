"""The fork server: ``python -m tests.fork_server_main PROGRAM``.

It loads a program, forks a process for each request that arrives on standard input (fork_server.py), and
reports the exit code. The program itself never runs in the server.

The code below bypasses what gevent has patched: gevent's loop must not exist before the fork.
"""

import _socket
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import socket
import sys

from gevent.monkey import get_original

from . import fork_server

# they read the settings, or load Celery
NOT_BEFORE = ("simple_batch.worker", "simple_batch.cluster")


def load_all() -> None:
    """Load every module, and compile what is compiled when it is first used: a process that is forked
    would do it again."""
    import simple_batch
    from simple_batch.core import lazy_pattern, stored_messages

    for module in pkgutil.walk_packages(simple_batch.__path__, "simple_batch."):
        if not module.name.startswith(NOT_BEFORE):
            importlib.import_module(module.name)
    for pattern in gc.get_objects():
        if isinstance(pattern, lazy_pattern._LazyPattern):
            pattern.search("")
    for message in (*stored_messages.MESSAGES, *stored_messages.PARTS):
        message.read("")


def load_flask():
    from flask.cli import main

    from . import compiled_once

    load_all()
    compiled_once.share()
    return main


def load_server():
    from gevent import monkey

    monkey.patch_all()
    from simple_batch import serve

    from . import compiled_once

    load_all()
    compiled_once.share()
    return lambda: serve.main(sys.argv[1:])


def load_celery():
    """Loads all but the Celery app, which reads the settings when it is imported."""
    from gevent import monkey

    monkey.patch_all()  # as Celery does for -P gevent
    import celery.concurrency.gevent  # noqa: F401
    import kombu.transport.redis  # noqa: F401
    from celery.apps import worker
    from celery.bin.celery import main

    from simple_batch.cluster import metrics_server, worker  # noqa: F401, F811

    load_all()
    return main


LOADERS = {
    fork_server.FLASK: load_flask,
    fork_server.SERVER: load_server,
    fork_server.CELERY: load_celery,
}
REQUEST_BYTES = 1 << 20  # more than the environment and the arguments take
fork, waitpid, close = get_original("os", ["fork", "waitpid", "close"])
select = get_original("select", "select")


def serve(requests: _socket.socket) -> dict:
    """Fork for each request. Returns the request in each new process, with its streams in place; the
    server itself exits when the client closes the socket."""
    while True:
        request, streams, _flags, _address = socket.recv_fds(requests, REQUEST_BYTES, 4)
        _reap_children()
        if not request:
            os._exit(0)
        if fork() == 0:
            requests.close()
            decoded = json.loads(request)
            _fork_program(*streams, new_session=decoded["new_session"])
            return decoded
        for stream in streams:
            close(stream)


def _reap_children() -> None:
    with contextlib.suppress(ChildProcessError):
        while waitpid(-1, os.WNOHANG)[0]:
            pass


def _fork_program(stdin: int, stdout: int, stderr: int, reports: int, new_session: bool) -> None:
    """Returns in the child, which reports its pid and runs the program. The parent reports the exit code,
    and exits."""
    program = fork()
    if program == 0:
        if new_session:
            os.setsid()
        os.write(reports, b"%d\n" % os.getpid())
        close(reports)
        for place, stream in enumerate((stdin, stdout, stderr)):
            os.dup2(stream, place)
            close(stream)
        return
    for stream in (stdin, stdout, stderr, 0, 1, 2):
        close(stream)
    _pid, status = waitpid(program, 0)
    os.write(reports, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def main():
    connection = _socket.socket(fileno=os.dup(0))
    select([connection], [], [])  # a program that is not started is not loaded
    run = LOADERS[sys.argv[1]]()
    gc.collect()
    gc.freeze()  # otherwise each process traverses all loaded objects when it ends
    request = serve(connection)
    sys.argv = request["args"]
    os.environ.clear()
    os.environ.update(request["env"])
    return run()


if __name__ == "__main__":
    sys.exit(main())
