"""``python -m tests.loaded PROGRAM``: loads a program, then forks a process of it for each wish that
comes through standard input (nursery.py), and tells how that ends. Nothing of the program runs here.

Below, what gevent has patched is gone around: its loop must not exist yet when a process is forked.
"""

import _socket
import contextlib
import gc
import json
import os
import socket
import sys

from gevent.monkey import get_original

from . import nursery


def load_flask():
    from flask.cli import main

    from simple_batch import runner  # noqa: F401
    from simple_batch.cli import command_app, demo_endpoint  # noqa: F401

    return main


def load_server():
    from gevent import monkey

    monkey.patch_all()
    from simple_batch import api, serve  # noqa: F401
    from simple_batch.web import live_feed  # noqa: F401

    return lambda: serve.main(sys.argv[1:])


def load_celery():
    """All but the Celery app, which reads the settings as it is imported."""
    from gevent import monkey

    monkey.patch_all()  # as Celery does for -P gevent
    import celery.concurrency.gevent  # noqa: F401
    import kombu.transport.redis  # noqa: F401
    from celery.apps import worker
    from celery.bin.celery import main

    from simple_batch.cluster import metrics_server, worker  # noqa: F401, F811

    return main


LOADERS = {nursery.FLASK: load_flask, nursery.SERVER: load_server, nursery.CELERY: load_celery}
fork, waitpid = get_original("os", ["fork", "waitpid"])


def wished(wishes: _socket.socket) -> dict:
    """Returns in a new process, with its streams, for each wish; ends this one where no more come."""
    while True:
        size, streams, _flags, _address = socket.recv_fds(wishes, 4, 4)
        _bury()
        if not size:
            os._exit(0)
        wish = b""
        while len(wish) < int.from_bytes(size, "big"):
            wish += wishes.recv(65_536)
        if fork() == 0:
            wishes.close()
            read = json.loads(wish)
            _keep(*streams, new_session=read["new_session"])
            return read
        for stream in streams:
            os.close(stream)


def _bury() -> None:
    """Keepers that have ended."""
    with contextlib.suppress(ChildProcessError):
        while waitpid(-1, os.WNOHANG)[0]:
            pass


def _keep(stdin: int, stdout: int, stderr: int, told: int, new_session: bool) -> None:
    """Returns in the process that was wished for, a child of this one, which tells its end."""
    program = fork()
    if program == 0:
        if new_session:
            os.setsid()
        os.write(told, b"%d\n" % os.getpid())
        os.close(told)
        for place, stream in enumerate((stdin, stdout, stderr)):
            os.dup2(stream, place)
            os.close(stream)
        return
    for stream in (stdin, stdout, stderr, 0, 1, 2):
        os.close(stream)
    _pid, status = waitpid(program, 0)
    os.write(told, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def main():
    run = LOADERS[sys.argv[1]]()
    gc.collect()
    gc.freeze()  # else each process looks all of it through when it ends
    wish = wished(_socket.socket(fileno=os.dup(0)))
    sys.argv = wish["args"]
    os.environ.clear()
    os.environ.update(wish["env"])
    return run()


if __name__ == "__main__":
    sys.exit(main())
