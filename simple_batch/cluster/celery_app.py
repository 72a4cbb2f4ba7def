"""The Celery app: ``celery -A simple_batch.worker worker -P gevent -c 16`` (docs/scale-out.md).

A task follows one job run that the database has assigned to this worker: until the run ends, or for a
minute, and is then sent again. Celery starts and stops the process, delivers notifications and shows
which worker does what. All state of a job is in the database. A lost or repeated task changes nothing.
"""

import gc
import logging
import sys
import time
from typing import NoReturn
from urllib.parse import urlsplit

import gevent
from celery import Celery, signals
from celery.utils.nodenames import worker_direct
from gevent import monkey
from kombu.exceptions import OperationalError
from kombu.utils import functional

from ..auth import users
from ..core import address_policy, context, log, redaction, settings
from ..core.command_names import in_words_of_program
from ..core.errors import SettingsError, SimpleBatchError
from ..services import lifecycle
from ..store.database import close_database
from . import metrics_server
from .worker import Worker

logger = logging.getLogger(__name__)

CONFIGURATION = SettingsError.exit_code
FOLLOW_S = 60.0  # then a task is sent again

_worker: Worker | None = None


def _end_with(error: SimpleBatchError | str) -> NoReturn:
    """End the process, with the words and the exit code of a wrong configuration."""
    sys.stderr.write(f"Error: {in_words_of_program(str(error))}\n")
    sys.exit(CONFIGURATION)


def _loaded() -> settings.Settings:
    try:
        loaded = settings.load()
    except SimpleBatchError as error:
        _end_with(error)
    if loaded.ENGINE != "celery":
        _end_with(
            "workers need SIMPLE_BATCH_ENGINE=celery (docs/scale-out.md). Without it one "
            "process makes the calls: python run.py"
        )
    redaction.remember(urlsplit(loaded.REDIS_URL).password or "")
    return loaded


loaded = _loaded()
_drain_s = loaded.REQUEST_DEADLINE  # with calls in flight
app = Celery("simple_batch", broker=loaded.REDIS_URL)
app.conf.update(
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    task_acks_late=False,  # the database gives back what a worker does not finish
    worker_prefetch_multiplier=1,
    worker_direct=True,  # a queue for each worker
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_send_task_events=True,  # for Flower
    task_publish_retry=False,  # workers also poll the database: a lost task does no harm
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "max_connections": 200,  # kombu's ten do not last for gevent's tasks
        "socket_connect_timeout": 5,  # s
        "socket_timeout": 30,  # s
        "socket_keepalive": True,
        "health_check_interval": 10,  # s
    },
)


@app.task(name="simple_batch.lane")  # the name is known to workers of other versions
def follow_run(job_id: int) -> None:
    """Follow this worker's run of a job."""
    if _worker is not None and _worker.follow_run(job_id, FOLLOW_S):
        _send(_worker.name, job_id)


def _wake(name: str, job_id: int) -> None:
    gevent.spawn(_send, name, job_id)


def _send(name: str, job_id: int) -> None:
    """Send a task to one worker. Best effort: nothing depends on its arrival."""
    try:
        follow_run.apply_async((job_id,), queue=worker_direct(name), expires=FOLLOW_S)
    except (OperationalError, OSError) as error:
        logger.warning(
            "the broker cannot be reached: workers find their assignments without it: %s", error
        )


@signals.setup_logging.connect
def _leave_logging(**_) -> None:
    """Celery then does not set up its own."""


@signals.worker_init.connect
def _begin(sender, **_) -> None:
    global _worker
    if not monkey.is_module_patched("socket"):
        _end_with(
            f"a worker makes its calls in gevent's greenlets. Start it with: {lifecycle.WORKER_COMMAND}"
        )
    # gevent's patching makes Celery load kombu before `sleep` is patched: kombu would block the whole
    # process while the broker is unreachable
    functional.sleep = time.sleep
    try:
        lifecycle.set_up(loaded)
        log.log_all_to_console()
    except SimpleBatchError as error:
        _end_with(error)
    address_policy.follow_logins(lambda: users.login_possible(loaded))
    _worker = Worker(
        loaded,
        context.vault(),
        lifecycle.hooks(),
        name=sender.hostname,
        max_runs=sender.concurrency,
        wake=_wake,
    )
    _worker.start()
    gc.freeze()  # exclude loaded modules from garbage collection, whose pauses block all greenlets
    if loaded.WORKER_METRICS:
        try:
            metrics_server.serve(loaded.WORKER_METRICS, _worker.figures)
        except SimpleBatchError as error:
            _end_with(error)


@signals.worker_shutting_down.connect
def _drain(how: str, **_) -> None:
    global _drain_s
    if how == "Cold":
        _drain_s = 0.0
    if _worker is not None:
        gevent.spawn(_worker.drain)  # a signal's handler may not wait


@signals.worker_shutdown.connect
def _end(**_) -> None:
    if _worker is not None:
        _worker.stop(_drain_s)
        close_database()
